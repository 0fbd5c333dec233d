"""Copies between vaults over streams of messages: the one side asks, the other one answers.

Source:   docs/protocols/envelope.md, "Copies on other nodes".
Bounds:   one request at a time on a stream; QUIET_S without a message ends it; file work in worker threads.
Trust:    who may have copies, and whose are taken, is the caller's business; it asks before it comes here.
          Copies are sealed: whoever holds one learns its length, and nothing else.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from kontinuum.base.clock import Clock
from kontinuum.base.errors import KontinuumError
from kontinuum.vault.copying import IncomingCopy
from kontinuum.vault.errors import (
    DamagedObjectError,
    NoSuchObjectError,
    SyncInterruptedError,
    SyncProtocolError,
)
from kontinuum.vault.messages import (
    PAGE_OBJECTS,
    PIECE_BYTES,
    Gone,
    List,
    Object,
    Refused,
    decode_request,
    encode,
)
from kontinuum.vault.object_id import ObjectId
from kontinuum.vault.pulling import Ask, Begin, Complete, Done, Effect, Pull, Write, page_of
from kontinuum.vault.store import VaultStore

QUIET_S = 60.0
"""Seconds without a message after which the other vault is given up. Our choice, as for file transfer."""

REFUSAL_S = 5.0
"""Seconds that a question of somebody who gets nothing is waited for. Our choice; then the stream ends."""

OnCopy = Callable[[int, int], None]
"""Called with the bytes that have come and those that will."""


class Stream(Protocol):
    """What this room needs of the transport's stream of messages."""

    async def send(self, message: bytes, /) -> None:
        """Send one message; waits while much is queued."""
        ...

    async def receive(self) -> bytes | None:
        """The next message, or ``None`` at the end."""
        ...

    async def finish(self) -> None:
        """End our half."""
        ...

    def reset(self, code: int = ..., /) -> None:
        """Abort our half."""
        ...

    def stop(self, code: int = ..., /) -> None:
        """Refuse the other half."""
        ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a pull."""

    objects: tuple[ObjectId, ...]
    """The copies that were taken."""

    size_bytes: int
    """Their lengths together."""

    missed: tuple[ObjectId, ...] = ()
    """Objects that were listed and not given, or whose copy was wrong."""


async def pull(
    stream: Stream, store: VaultStore, *, clock: Clock, on_progress: OnCopy | None = None
) -> Pulled:
    """Take from the vault at the other end of ``stream`` what ``store`` lacks.

    Raises:
        SyncRefusedError: It gives us nothing.
        SyncProtocolError: It broke the protocol.
        SyncInterruptedError: The stream ended early or stood still; what came is kept.
        FileUnavailableError: Our disk is full, read-only or failing; what came is kept.
    """
    pulling = _Pulling(stream, store, clock, on_progress)
    try:
        return await pulling.run()
    except BaseException:
        stream.reset()
        stream.stop()
        raise
    finally:
        pulling.close()


class _Pulling:
    """One pull: the machine, the stream, and the file of the object that is coming."""

    def __init__(self, stream: Stream, store: VaultStore, clock: Clock, on_progress: OnCopy | None) -> None:
        self._stream = stream
        self._store = store
        self._clock = clock
        self._on_progress = on_progress
        self._machine: Pull
        self._copy: IncomingCopy | None = None
        self._taken: list[ObjectId] = []
        self._wrong: list[ObjectId] = []
        self._size_bytes = 0
        self._done_bytes = 0

    async def run(self) -> Pulled:
        self._machine = Pull(await asyncio.to_thread(self._store.index))
        effects = self._machine.start()
        while True:
            for effect in effects:
                if isinstance(effect, Done):
                    with suppress(KontinuumError):  # We have everything; that it left changes nothing.
                        await self._stream.finish()
                    missed = (*effect.missed, *self._wrong)
                    return Pulled(tuple(self._taken), self._size_bytes, missed)
                await self._perform(effect)
            effects = self._machine.handle(await _received(self._stream))

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case Ask(request=request):
                await _sent(self._stream, encode(request))
            case Begin(object_id=object_id):
                self._copy = await asyncio.to_thread(self._store.begin_copy, object_id)
            case Write(piece=piece) if self._copy is not None:
                await asyncio.to_thread(self._copy.write, piece)
                self._done_bytes += len(piece)
                if self._on_progress is not None:
                    self._on_progress(self._done_bytes, self._machine.total_bytes)
            case Complete() if self._copy is not None:
                await self._finish(self._copy)
                self.close()

    async def _finish(self, copy: IncomingCopy) -> None:
        try:
            taken = await asyncio.to_thread(self._store.finish_copy, copy, at=self._clock.utc())
        except DamagedObjectError:
            # The peer's disk may be at fault: the others may be right.
            self._wrong.append(copy.object_id)
            return
        if taken:
            self._taken.append(copy.object_id)
            self._size_bytes += copy.size_bytes

    def close(self) -> None:
        """Give up an unfinished copy."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None


async def serve(stream: Stream, store: VaultStore) -> int:
    """Answer the vault at the other end of ``stream`` until it has enough; return the bytes that it took.

    Raises:
        SyncProtocolError: It broke the protocol.
        SyncInterruptedError: The stream ended early or stood still.
    """
    sent = 0
    try:
        while (message := await _next(stream)) is not None:
            request = decode_request(message)
            if isinstance(request, List):
                index = await asyncio.to_thread(store.index)
                await _sent(stream, encode(page_of(index, request.after, PAGE_OBJECTS)))
            else:
                sent += await _serve_object(stream, store, request.object_id)
        with suppress(KontinuumError):
            await stream.finish()
    except BaseException:
        stream.reset()
        stream.stop()
        raise
    return sent


async def refuse(stream: Stream, *, asked: bool) -> None:
    """Say that the other vault gets nothing, or gives nothing.

    Args:
        stream: Where.
        asked: It begins with a question of the other side: left unread, that would fail before the answer.
    """
    with suppress(KontinuumError, TimeoutError):
        if asked:
            async with asyncio.timeout(REFUSAL_S):
                await stream.receive()
        await stream.send(encode(Refused()))
        await stream.finish()


async def _serve_object(stream: Stream, store: VaultStore, object_id: ObjectId) -> int:
    """Send one object; return its length. Whoever takes it checks it, so that it is read here once."""
    opened = store.opened(object_id, verify=False)
    try:
        descriptor, size = await asyncio.to_thread(opened.__enter__)
    except (NoSuchObjectError, DamagedObjectError):
        await _sent(stream, encode(Gone()))
        return 0
    try:
        await _sent(stream, encode(Object(size)))
        for at in range(0, size, PIECE_BYTES):
            piece = await asyncio.to_thread(os.pread, descriptor, PIECE_BYTES, at)
            await _sent(stream, piece)
    finally:
        opened.__exit__(None, None, None)
    return size


async def _next(stream: Stream) -> bytes | None:
    try:
        async with asyncio.timeout(QUIET_S):
            return await stream.receive()
    except TimeoutError:
        raise SyncInterruptedError(f"the other vault said nothing for {QUIET_S:.0f} s") from None
    except KontinuumError as error:
        raise SyncInterruptedError(f"the copying ended early: {error}") from error


async def _received(stream: Stream) -> bytes:
    message = await _next(stream)
    if message is None:
        raise SyncProtocolError("the other vault ended before it had answered")
    return message


async def _sent(stream: Stream, message: bytes) -> None:
    try:
        async with asyncio.timeout(QUIET_S):
            await stream.send(message)
    except TimeoutError:
        raise SyncInterruptedError(f"the other vault took nothing for {QUIET_S:.0f} s") from None
    except KontinuumError as error:
        raise SyncInterruptedError(f"the copying ended early: {error}") from error
