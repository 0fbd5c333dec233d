"""Ask a running node through its control socket. The counterpart of ``control``.

:class:`ControlClient` for programs on asyncio; :func:`ask` for one question from a command.

Bounds:   LINE_BYTES_MAX of ``control``; QUEUED_EVENTS_MAX unread events of one request, then the node waits.
Trust:    the node at the other end is ours; a line that is not understood ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Self

from kontinuum.node import unix_socket
from kontinuum.node.control import LINE_BYTES_MAX, decode_line, encode_line
from kontinuum.node.errors import ControlError, NotRunningError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

QUEUED_EVENTS_MAX = 256
"""Events of one request that wait for their reader. Our choice; at the limit the whole connection waits, and
by way of the socket the node's handler."""

Answers = asyncio.Queue[dict[str, Any]]


class ControlClient:
    """One connection to a node. An async context manager; requests may run side by side.

    Args:
        path: the control socket, ``DIR/control.sock``.

    Raises:
        NotRunningError: on entering, if nobody answers there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ids = itertools.count(1)
        self._waiting: dict[int, Answers] = {}
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Open the connection."""
        try:
            connection = unix_socket.connect(self.path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunningError(self.path) from None
        except OSError as error:
            raise ControlError("unreachable", f"{self.path}: {error.strerror}") from error
        connection.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        reader, self._writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_BYTES_MAX)
        self._reading = asyncio.create_task(self._read(reader), name="control client")

    async def close(self) -> None:
        """Close the connection; the node ends what still runs. A second call does nothing."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask, and return the result; events on the way are dropped. Cancelling it ends it in the node too.

        Raises:
            ControlError: the node refused; ``code`` tells why. ``connection_lost`` if the node went away.
        """
        result: dict[str, Any] = {}
        async with contextlib.aclosing(self._exchange(method, params)) as answers:
            async for answer in answers:
                result = answer.get("result", result)
        return result

    async def stream(
        self, method: str, params: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Ask, and yield ``{"event": ...}`` for each event and at last ``{"result": ...}``.

        Close the iterator (``contextlib.aclosing``) to end the request early.

        Raises:
            ControlError: as :meth:`request`.
        """
        async with contextlib.aclosing(self._exchange(method, params)) as answers:
            async for answer in answers:
                yield answer

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _exchange(
        self, method: str, params: Mapping[str, Any] | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        if self._writer is None or self._reading is None or self._reading.done():
            raise ControlError("connection_lost", "the connection to the node is closed")
        identifier = next(self._ids)
        answers = self._waiting[identifier] = Answers(QUEUED_EVENTS_MAX)
        finished = False
        try:
            line = encode_line({"id": identifier, "method": method, "params": params or {}})
            if len(line) > LINE_BYTES_MAX:
                raise ControlError("too_large", f"the request is longer than {LINE_BYTES_MAX} bytes")
            await self._send(line)
            while not finished:
                answer = await answers.get()
                finished = "event" not in answer
                if failure := answer.get("error"):
                    raise ControlError(str(failure.get("code")), str(failure.get("message")))
                yield answer
        finally:
            del self._waiting[identifier]
            if not finished and not self._writer.is_closing():
                self._writer.write(
                    encode_line({"id": next(self._ids), "method": "cancel", "params": {"id": identifier}})
                )

    async def _send(self, line: bytes) -> None:
        if self._writer is None:  # pragma: no cover -- checked by the caller
            raise AssertionError
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError:
            raise ControlError("connection_lost", "the node went away") from None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        loss = {"error": {"code": "connection_lost", "message": "the node went away"}}
        try:
            while True:
                answer = decode_line(await reader.readuntil(b"\n"))
                identifier = answer.pop("id", None)
                if identifier is None and "error" in answer:
                    loss = answer  # The node refuses the whole connection and says why.
                elif (answers := self._waiting.get(identifier)) is not None:
                    await answers.put(answer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            for answers in self._waiting.values():
                while answers.full():
                    answers.get_nowait()  # The end must be heard even by a reader who is far behind.
                answers.put_nowait(loss)


def ask(
    path: Path,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    timeout_s: float | None = 30.0,
) -> dict[str, Any]:
    """Ask one question and wait for its result: for commands, which have no event loop.

    Args:
        path: the control socket.
        method: what to ask.
        params: its parameters.
        on_event: called with each event.
        timeout_s: how long to wait for the result; ``None``: for ever (a command that follows events).

    Raises:
        NotRunningError: nobody answers there.
        ControlError: the node refused, or (``timed_out``) took too long.
    """

    async def exchange() -> dict[str, Any]:
        result: dict[str, Any] = {}
        async with ControlClient(path) as client, asyncio.timeout(timeout_s):
            async for answer in client.stream(method, params):
                if on_event is not None and "event" in answer:
                    on_event(answer["event"])
                result = answer.get("result", result)
        return result

    try:
        return asyncio.run(exchange())
    except TimeoutError:
        raise ControlError("timed_out", f"the node did not answer within {timeout_s:g} s") from None
