"""The control socket of a running node: one JSON object per line, in both directions.

Request:  ``{"id": 1, "method": "status", "params": {}}``
Answer:   any number of ``{"id": 1, "event": {...}}``, then ``{"id": 1, "result": {...}}`` or
          ``{"id": 1, "error": {"code": "...", "message": "..."}}``.
          Requests of one connection run side by side; one is ended by
          ``{"id": 2, "method": "cancel", "params": {"id": 1}}``.
Bounds:   LINE_BYTES_MAX, CONNECTIONS_MAX, REQUESTS_MAX; a client that does not read loses its connection
          after WRITE_TIMEOUT_S. A client that goes away ends its requests.
Trust:    the owner of the node, or root: the socket is 0600 and the kernel names the user at the other end.
          Still, no line can end the node: what is not understood is answered with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import KontinuumError
from kontinuum.node import unix_socket
from kontinuum.node.errors import ControlError
from kontinuum.node.local_server import LocalServer

if TYPE_CHECKING:
    import socket
    from pathlib import Path

LINE_BYTES_MAX = 2 * 1024 * 1024
"""Bytes of one line. Our choice: a call of 1 MiB fits as base64. A longer request ends its connection with
an error; a longer answer becomes an error."""

CONNECTIONS_MAX = 64
"""Clients at once. Our choice: people and scripts of one machine. Further ones are told and closed."""

REQUESTS_MAX = 64
"""Requests of one client at once. Our choice; the next one is answered ``busy``."""

WRITE_TIMEOUT_S = 30.0
"""Seconds that a client may leave its answers unread. Our choice; then its connection is closed."""

Emit = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Sends one event of a request; waits while the client does not read."""

Handler = Callable[[dict[str, Any], Emit], Awaitable[Mapping[str, Any]]]
"""Does one request: its params and a way to send events in, the result out. Cancelled if the client goes."""

RequestId = int | str

logger = logging.getLogger("kontinuum.node.control")


def error_code(error: KontinuumError) -> str:
    """Return the stable code of an error: ``DialTimeoutError`` is ``dial_timeout``."""
    if isinstance(error, ControlError):
        return error.code
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def encode_line(message: Mapping[str, Any]) -> bytes:
    """Return the message as one line of JSON."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode_line(line: bytes) -> dict[str, Any]:
    """Read one line.

    Raises:
        ValueError: it is not one JSON object in UTF-8.
    """
    try:
        message = json.loads(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 -- one kind of error for every wrong line
    return message


class ControlServer(LocalServer):
    """Answers control requests at ``path`` until :meth:`close`. An async context manager.

    Args:
        path: the socket; a stale one is replaced. Its length is not limited.
        methods: what can be asked. ``cancel`` is built in.

    Raises:
        ListenError: on entering, if the socket cannot be had.
    """

    def __init__(self, path: Path, methods: Mapping[str, Handler]) -> None:
        super().__init__()
        self.path = path
        self._methods = dict(methods)

    async def _listen(self) -> asyncio.Server:
        return await self._listen_unix(self.path, LINE_BYTES_MAX)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(reader, writer, self._methods)
        if refusal := self._refusal(writer.get_extra_info("socket")):
            await client.send({"id": None, "error": {"code": "refused", "message": refusal}})
        else:
            await client.serve()

    def _refusal(self, connection: socket.socket) -> str:
        if unix_socket.peer_uid(connection) not in (0, os.geteuid()):
            return "this node belongs to another user"
        if len(self._connections) > CONNECTIONS_MAX:
            return f"{CONNECTIONS_MAX} clients are connected already"
        return ""


class _Client:
    """One connection: reads requests, runs each as a task, writes answers one at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, methods: Mapping[str, Handler]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._methods = methods
        self._running: dict[RequestId, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Answer until the client goes away; then end what it asked for."""
        try:
            while True:
                try:
                    line = await self._reader.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    return  # The client is gone; half a line is no request.
                except asyncio.LimitOverrunError:
                    await self._fail(
                        None, "too_large", f"a request is one line of at most {LINE_BYTES_MAX} bytes"
                    )
                    return  # Where the next request begins is not known any more.
                await self._begin(line)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _begin(self, line: bytes) -> None:
        try:
            request = decode_line(line)
        except ValueError as error:
            await self._fail(None, "malformed", f"a request is a JSON object on one line: {error}")
            return
        identifier, method, params = request.get("id"), request.get("method"), request.get("params", {})
        if isinstance(identifier, bool) or not isinstance(identifier, int | str) or len(str(identifier)) > 64:
            await self._fail(
                None, "malformed", "a request has an id: a number, or a text of at most 64 characters"
            )
        elif not isinstance(method, str) or not isinstance(params, dict):
            await self._fail(identifier, "malformed", "a request has a method (text) and params (object)")
        elif unknown := sorted(request.keys() - {"id", "method", "params"}):
            await self._fail(identifier, "malformed", f"a request has no field {unknown[0][:64]!r}")
        elif identifier in self._running:
            await self._fail(identifier, "malformed", "a request with this id is still running")
        elif method == "cancel":
            await self._cancel(identifier, params.get("id"))
        elif (handler := self._methods.get(method)) is None:
            known = ", ".join(sorted([*self._methods, "cancel"]))
            await self._fail(
                identifier, "unknown_method", f"there is no method {method[:64]!r}; there are: {known}"
            )
        elif len(self._running) >= REQUESTS_MAX:
            await self._fail(identifier, "busy", f"{REQUESTS_MAX} requests are running already")
        else:
            task = asyncio.create_task(self._run(identifier, handler, params), name=f"control {method}")
            self._running[identifier] = task
            task.add_done_callback(functools.partial(self._ended, identifier))

    def _ended(self, identifier: RequestId, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step runs none of its own clean-up.
        if self._running.get(identifier) is task:
            self._cancelled(identifier)

    def _cancelled(self, identifier: RequestId) -> None:
        self._running.pop(identifier, None)
        # Written without waiting: what cancels is often the end of this very connection.
        self._write(encode_line(_error(identifier, "cancelled", "the request was ended")))

    async def _cancel(self, identifier: RequestId, target: object) -> None:
        task = self._running.get(target) if isinstance(target, int | str) else None
        if task is not None:
            task.cancel()
        await self.send({"id": identifier, "result": {"cancelled": task is not None}})

    async def _run(self, identifier: RequestId, handler: Handler, params: dict[str, Any]) -> None:
        async def emit(event: Mapping[str, Any]) -> None:
            await self.send({"id": identifier, "event": event})

        answer: dict[str, Any]
        try:
            answer = {"id": identifier, "result": await handler(params, emit)}
        except asyncio.CancelledError:
            self._cancelled(identifier)
            raise
        except KontinuumError as error:
            answer = _error(identifier, error_code(error), str(error))
        except Exception:
            if self._writer.is_closing():
                return  # An event found nobody to read it.
            logger.exception("a control request failed")
            answer = _error(identifier, "internal", "the node failed at this request; its log says more")
        finally:
            self._running.pop(identifier, None)
        with contextlib.suppress(OSError):  # The connection's own task sees as well that it ended.
            await self.send(answer)

    async def _fail(self, identifier: RequestId | None, code: str, message: str) -> None:
        await self.send(_error(identifier, code, message))

    async def send(self, message: dict[str, Any]) -> None:
        """Write one line and wait until the client has read most of what is due to it.

        Raises:
            OSError: the client is gone, or did not read for WRITE_TIMEOUT_S.
        """
        try:
            line = encode_line(message)
        except (TypeError, ValueError, RecursionError):
            logger.exception("a control answer cannot be written as JSON")
            line = encode_line(
                _error(message["id"], "internal", "the node's answer is no JSON; its log says more")
            )
        if len(line) > LINE_BYTES_MAX:
            line = encode_line(
                _error(message["id"], "too_large", f"the answer is longer than {LINE_BYTES_MAX} bytes")
            )
        self._write(line)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise

    def _write(self, line: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(line)


def _error(identifier: RequestId | None, code: str, message: str) -> dict[str, Any]:
    return {"id": identifier, "error": {"code": code, "message": message}}
