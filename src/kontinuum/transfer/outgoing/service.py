"""Send files: join the sender's machine to a stream and to the sources.

Bounds:   INBOX_MAX events; one block being written and one being read, CHUNK_BYTES_MAX each.
Trust:    what the stream says goes through the machine.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from kontinuum.base.errors import KontinuumError
from kontinuum.transfer import events as ev
from kontinuum.transfer.digest import Hasher, HasherFactory, new_blake3
from kontinuum.transfer.errors import TransferInterruptedError, TransferProtocolError
from kontinuum.transfer.messages import FILES_MAX, Chunk, Code, encode
from kontinuum.transfer.outgoing.machine import Sender
from kontinuum.transfer.outgoing.source import Source, SourceChangedError
from kontinuum.transfer.report import FileReport, Progress, ProgressCallback
from kontinuum.transfer.shell import ByteStream, Worker, read_message

INBOX_MAX = 64
"""Events that wait for a sender's machine. Our choice (ADR 0012); whoever brings another one waits."""


async def send_files(
    stream: ByteStream,
    sources: Sequence[Source],
    *,
    on_progress: ProgressCallback | None = None,
    new_hasher: HasherFactory = new_blake3,
) -> list[FileReport]:
    """Offer ``sources`` over a fresh stream and send what the peer wants.

    Returns:
        One report per source, in order; a file that the peer refused is one of them, not an error.

    Raises:
        TransferInterruptedError: the stream ended early or stood still; what arrived can be resumed.
        TransferProtocolError: the peer broke the protocol.
    """
    if not 0 < len(sources) <= FILES_MAX:
        raise ValueError(f"between 1 and {FILES_MAX} files travel in one session")
    return await _Sending(stream, sources, on_progress, new_hasher).run()


class _Sending:
    """One outgoing session: the machine, its inbox, and the tasks that fill it."""

    def __init__(
        self,
        stream: ByteStream,
        sources: Sequence[Source],
        on_progress: ProgressCallback | None,
        new_hasher: HasherFactory,
    ) -> None:
        self._stream = stream
        self._sources = sources
        self._on_progress = on_progress
        self._new_hasher = new_hasher
        self._machine = Sender([source.offer for source in sources])
        self._inbox: asyncio.Queue[ev.SenderEvent | TransferProtocolError] = asyncio.Queue(INBOX_MAX)
        self._worker = Worker()
        self._prefix: tuple[int, int, Hasher] | None = None
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished = False

    async def run(self) -> list[FileReport]:
        try:
            await self._drive()
        except BaseException:
            self._stream.reset()
            self._stream.stop()
            raise
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for source in self._sources:
                self._worker.submit(source.close)
            self._worker.close()
        return [
            FileReport(source.offer.name, source.offer.size, outcome)
            for source, outcome in zip(self._sources, self._machine.outcomes, strict=True)
        ]

    async def _drive(self) -> None:
        now = asyncio.get_running_loop().time
        effects = self._machine.start(now())
        self._start(self._read())
        while True:
            for effect in effects:
                await self._perform(effect)
            if self._finished:
                return
            try:
                async with asyncio.timeout_at(self._machine.next_deadline()):
                    event = await self._inbox.get()
            except TimeoutError:
                effects = self._machine.handle_timeout(now())
                continue
            if isinstance(event, TransferProtocolError):
                raise event
            effects = self._machine.handle(event, now())

    async def _perform(self, effect: ev.SenderEffect) -> None:
        match effect:
            case ev.Send(message=message):
                # The machine sends nothing while a content task writes, so chunks and messages never mix.
                try:
                    await self._stream.write(encode(message))
                except KontinuumError as error:
                    raise TransferInterruptedError(str(error)) from error
            case ev.HashPrefix(index=index, offset=offset):
                self._start(self._hash_prefix(index, offset))
            case ev.SendContent(index=index, offset=offset):
                self._stopping = False
                self._start(self._send_content(index, offset))
            case ev.StopContent():
                self._stopping = True
            case ev.Finished():
                self._finished = True
                with suppress(KontinuumError):  # All verdicts are in; that the peer has left changes nothing.
                    await self._stream.finish()
            case ev.Interrupted(reason=reason):
                raise TransferInterruptedError(reason)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        """Bring every message of the peer to the machine, and then the end."""
        try:
            while (message := await read_message(self._stream)) is not None:
                await self._inbox.put(ev.Received(message))
            await self._inbox.put(ev.StreamEnded())
        except TransferProtocolError as error:
            await self._inbox.put(error)
        except KontinuumError as error:
            await self._inbox.put(ev.StreamEnded(str(error)))

    async def _hash_prefix(self, index: int, offset: int) -> None:
        hasher = self._new_hasher()
        try:
            digest = await self._worker.submit(self._sources[index].hash_prefix, offset, hasher)
        except SourceChangedError as error:
            await self._inbox.put(ev.PrefixHashed(index, None, error.code))
            return
        self._prefix = (index, offset, hasher)
        await self._inbox.put(ev.PrefixHashed(index, digest))

    async def _send_content(self, index: int, offset: int) -> None:
        """Read, hash and write block by block; the next block is read while the last one is written."""
        source = self._sources[index]
        known, self._prefix = self._prefix, None
        hasher = known[2] if known is not None and known[:2] == (index, offset) else self._new_hasher()
        size = source.offer.size

        def next_block(at: int) -> bytes:
            return source.read_block(at, size - at, hasher) if at < size else b""

        try:
            await self._worker.submit(source.open)
            self._tell(index, offset)
            ahead = self._worker.submit(next_block, offset)
            while block := await ahead:
                offset += len(block)
                ahead = self._worker.submit(next_block, offset)
                await self._stream.write(encode(Chunk(len(block))))
                await self._stream.write(block)
                await self._inbox.put(ev.Moved(len(block)))
                self._tell(index, offset)
                if self._stopping:
                    await ahead
                    await self._inbox.put(ev.ContentFailed(index, Code.CANCELLED))
                    return
            await self._worker.submit(source.verify_unchanged)
            await self._inbox.put(ev.ContentEnded(index, hasher.digest()))
        except SourceChangedError as error:
            await self._inbox.put(ev.ContentFailed(index, error.code))
        except KontinuumError as error:
            await self._inbox.put(ev.StreamEnded(str(error)))
        finally:
            self._worker.submit(source.close)

    def _tell(self, index: int, done: int) -> None:
        if self._on_progress is not None:
            offer = self._sources[index].offer
            self._on_progress(Progress(index, offer.name, done, offer.size))
