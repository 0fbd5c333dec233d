"""The calls and streams that peers make, and the handlers that answer them.

Bounds: RpcOptions: how many handlers work at once, for all and for one peer, and how long.
Trust:  a request may contain anything and its caller may do anything; a handler's failure tells the caller
        nothing but that it failed.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from kontinuum.base.errors import MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import PeerId
from kontinuum.rpc.deadlines import NEVER, Deadlines
from kontinuum.rpc.eager import Starter
from kontinuum.rpc.errors import CallError, Status, StreamCode
from kontinuum.transport import MESSAGE_BYTES_MAX, Connection, MessageStream, Stream
from kontinuum.transport.protocols import protocol_name

HANDLER_STOP_S = 5.0
"""Seconds that a handler may take to end after the node has asked it to. Our choice; beyond it the node
closes without waiting for it."""

CallHandler = Callable[[PeerId, bytes], Awaitable[bytes] | bytes]
"""Gets who calls and what; its result is the reply. A plain function runs inline and must not block."""

_FAILED_TEXT = b"the handler failed"
"""All that a caller learns about a failure."""

_log = RoomLogger("rpc")


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcOptions:
    """How much work peers may make us do at once."""

    handlers_max: int = 4096
    """Handlers at work, of all peers; a call beyond it is answered BUSY, a stream is refused."""
    handlers_per_peer_max: int = 1024
    """Handlers at work for one peer."""
    call_timeout_max_s: float = 600.0
    """The longest that a peer's deadline may make a handler work, seconds."""


@dataclass(slots=True)
class _Job:
    """A handler at work that had to wait for something."""

    task: asyncio.Task[None]
    connection: Connection
    deadline: float
    late: bool = False


@dataclass(frozen=True, slots=True)
class _Handler:
    function: CallHandler
    is_coroutine: bool


class Handlers:
    """The handlers of a node, and those of them that are at work.

    Args:
        options: The limits.
    """

    def __init__(self, options: RpcOptions) -> None:
        self.ok = 0
        """Calls that a handler answered."""
        self.failed = 0
        """Calls that were answered with an error."""
        self.unwanted = 0
        """Answers whose caller had given up."""
        self._options = options
        self._loop: asyncio.AbstractEventLoop
        self._starter: Starter
        self._jobs: Deadlines[tuple[int, int], _Job] = Deadlines()
        self._stream_tasks: dict[asyncio.Task[None], Connection] = {}
        self._per_peer: Counter[PeerId] = Counter()
        self._handlers: dict[bytes, _Handler] = {}
        self._stream_handlers: dict[tuple[str, bool], Callable[[Any], Awaitable[None]]] = {}
        self._acceptors: dict[str, Callable[[MessageStream], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closing = False

    # --- registration ---

    def add(self, protocol: str, function: CallHandler) -> None:
        """See ``RpcService.add_handler``."""
        name = protocol_name(protocol)
        if name in self._handlers:
            raise MisuseError(f"the protocol {protocol!r} has a handler already")
        self._handlers[name] = _Handler(function, _is_coroutine_function(function))

    def add_for_streams(
        self, protocol: str, function: Callable[[Any], Awaitable[None]], *, messages: bool
    ) -> None:
        """See ``RpcService.add_stream_handler``."""
        protocol_name(protocol)
        if (protocol, messages) in self._stream_handlers or (messages and protocol in self._acceptors):
            raise MisuseError(f"streams of {protocol!r} have a handler already")
        self._stream_handlers[protocol, messages] = function

    def add_acceptor(self, protocol: str, function: Callable[[MessageStream], None]) -> None:
        """See ``RpcService.add_acceptor``."""
        protocol_name(protocol)
        if protocol in self._acceptors or (protocol, True) in self._stream_handlers:
            raise MisuseError(f"streams of {protocol!r} have a handler already")
        self._acceptors[protocol] = function

    @property
    def at_work(self) -> int:
        """Handlers that wait for something, of calls and of streams."""
        return len(self._jobs.entries) + len(self._stream_tasks)

    # --- life ---

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handlers run on ``loop``."""
        self._loop = loop
        self._starter = Starter(loop)

    async def close(self) -> None:
        """Stop all handlers and wait for them. From now on peers are answered BUSY."""
        self._closing = True
        self._starter.close()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [job.task for job in self._jobs.entries.values()] + list(self._stream_tasks)
        for task in tasks:
            self._cancel(task, "the node stops")
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=HANDLER_STOP_S)
            if stubborn:
                _log.error("handlers do not end and are left behind", handlers=len(stubborn))

    def on_closed(self, connection: Connection) -> None:
        """A connection ended: its handlers stop."""
        for job in [job for job in self._jobs.entries.values() if job.connection is connection]:
            self._cancel(job.task, "the connection ended")

    def renamed(self, connection: Connection, former: PeerId) -> None:
        """The peer of a connection goes by another name: what it has at work counts under that."""
        count = sum(job.connection is connection for job in self._jobs.entries.values())
        count += sum(each is connection for each in self._stream_tasks.values())
        if count:
            self._per_peer[connection.peer_id] += count
            self._leave(former, count)

    # --- calls ---

    def on_call(
        self, connection: Connection, stream: int, protocol: bytes, timeout_ms: int, body: bytes
    ) -> None:
        """A request came."""
        connection.last_used = self._loop.time()
        handler = self._handlers.get(protocol)
        if handler is None:
            self._answer(connection, stream, Status.UNKNOWN_PROTOCOL, b"")
        elif handler.is_coroutine:
            if self._may_work(connection.peer_id):
                self._work_on(handler.function, connection, stream, body, timeout_ms)
            else:
                self._answer(connection, stream, Status.BUSY, b"")
        else:
            self._run_inline(handler.function, connection, stream, timeout_ms, body)

    def _run_inline(
        self, function: CallHandler, connection: Connection, stream: int, timeout_ms: int, body: bytes
    ) -> None:
        try:
            # In a context of its own, as a task has one: what a handler sets there ends with it.
            result = copy_context().run(function, connection.peer_id, body)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- a handler may raise anything
            self._answer_error(connection, stream, error)
            return
        if not inspect.isawaitable(result):
            self._answer_result(connection, stream, result)
        elif self._may_work(connection.peer_id):
            self._work_on(lambda _peer, _data: result, connection, stream, body, timeout_ms)
        else:
            if inspect.iscoroutine(result):
                result.close()
            self._answer(connection, stream, Status.BUSY, b"")

    def _work_on(
        self, function: CallHandler, connection: Connection, stream: int, body: bytes, timeout_ms: int
    ) -> None:
        connection.calls += 1
        try:
            task = self._starter.start(self._work(function, connection, stream, body))
        except BaseException as error:
            connection.calls -= 1
            if not isinstance(error, asyncio.CancelledError):
                raise  # The interpreter is to end.
            self._answer_error(connection, stream, error)
            return
        if task is None:
            connection.calls -= 1
        else:
            self._begin_job(task, connection, stream, timeout_ms)

    async def _work(self, function: CallHandler, connection: Connection, stream: int, body: bytes) -> None:
        try:
            result = await function(connection.peer_id, body)  # type: ignore[misc]
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- a handler may raise anything
            self._answer_error(connection, stream, error)
        else:
            self._answer_result(connection, stream, result)

    def _may_work(self, peer_id: PeerId) -> bool:
        return (
            not self._closing
            and len(self._jobs.entries) + len(self._stream_tasks) < self._options.handlers_max
            and self._per_peer.get(peer_id, 0) < self._options.handlers_per_peer_max
        )

    def _begin_job(
        self, task: asyncio.Task[None], connection: Connection, stream: int, timeout_ms: int
    ) -> None:
        allowed = self._options.call_timeout_max_s
        timeout_s = min(timeout_ms / 1000, allowed) if timeout_ms else allowed
        job = _Job(task, connection, self._loop.time() + timeout_s)
        key = (connection.id, stream)
        if self._jobs.add(key, job):
            self._arm(job.deadline)
        self._per_peer[connection.peer_id] += 1

        def end_job(_task: asyncio.Task[None]) -> None:
            self._jobs.remove(key)
            connection.calls -= 1
            self._leave(connection.peer_id)
            if not task.cancelled() or self._closing or connection.close_reason is not None:
                return  # It has answered; or nobody is there to be answered; or the node says that it stops.
            # A caller that gave up hears nothing of this; a handler that cancelled itself has failed.
            status, text = (Status.TIMED_OUT, b"") if job.late else (Status.FAILED, _FAILED_TEXT)
            self._answer(connection, stream, status, text)

        task.add_done_callback(end_job)

    def _stop(self, task: asyncio.Task[None], why: str) -> None:
        # A task made in this turn has not begun: it must take its handler over before it can tell it.
        self._loop.call_soon(task.cancel, why)

    def _leave(self, peer_id: PeerId, count: int = 1) -> None:
        self._per_peer[peer_id] -= count
        if not self._per_peer[peer_id]:
            del self._per_peer[peer_id]

    def on_call_cancelled(self, connection: Connection, stream: int) -> None:
        """The caller gave up."""
        if (job := self._jobs.entries.get((connection.id, stream))) is not None:
            self._cancel(job.task, "the caller gave up")

    def _cancel(self, task: asyncio.Task[None], reason: str) -> None:
        # A task that was made in this turn of the loop takes its handler over in the next one. Cancelled
        # before that it would end without it, and the handler would never learn that it is over.
        self._loop.call_soon(task.cancel, reason)

    # --- answers ---

    def _answer_result(self, connection: Connection, stream: int, result: object) -> None:
        if isinstance(result, (bytes, bytearray, memoryview)):
            self._answer(connection, stream, Status.OK, bytes(result))
        elif result is None:
            self._answer(connection, stream, Status.OK, b"")
        else:
            error = TypeError(f"a handler returned {type(result).__name__} instead of bytes")
            self._answer_error(connection, stream, error)

    def _answer_error(self, connection: Connection, stream: int, error: BaseException) -> None:
        if isinstance(error, CallError):
            self._answer(connection, stream, error.code, error.encoded_text)
            return
        # The caller learns that it failed; why is for this node's operator alone.
        _log.error("a handler failed", peer=connection.peer_id.short, exc_info=error)
        self._answer(connection, stream, Status.FAILED, _FAILED_TEXT)

    def _answer(self, connection: Connection, stream: int, status: int, body: bytes) -> None:
        if len(body) > MESSAGE_BYTES_MAX:
            _log.error("a reply is too long", bytes=len(body), bytes_max=MESSAGE_BYTES_MAX)
            status, body = Status.FAILED, b"the reply is too long"
        endpoint = connection.endpoint
        try:
            endpoint.native.reply(connection.id, stream, status, body)
        except BrokenPipeError:
            self.unwanted += 1  # The caller gave up, or is gone.
            return
        if status == 0:
            self.ok += 1
        else:
            self.failed += 1
        endpoint.touch()

    # --- streams ---

    def on_stream(self, stream: Stream | MessageStream) -> None:
        """A peer opened a stream."""
        if isinstance(stream, MessageStream) and (accept := self._acceptors.get(stream.protocol)) is not None:
            accept(stream)
            return
        handler = self._stream_handlers.get((stream.protocol, isinstance(stream, MessageStream)))
        peer_id = stream.connection.peer_id
        if handler is None or not self._may_work(peer_id):
            code = StreamCode.UNKNOWN_KIND if handler is None else StreamCode.BUSY
            stream.reset(code)
            stream.stop(code)
            return
        task = self._loop.create_task(self._serve(handler, stream))
        self._stream_tasks[task] = stream.connection
        self._per_peer[peer_id] += 1

        def end(_task: asyncio.Task[None]) -> None:
            del self._stream_tasks[task]
            self._leave(stream.connection.peer_id)  # By another name than at the start, it may be.

        task.add_done_callback(end)

    async def _serve(self, handler: Callable[[Any], Awaitable[None]], stream: Stream | MessageStream) -> None:
        try:
            async with stream:
                await handler(stream)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- a handler may raise anything
            _log.error("a stream handler failed", peer=stream.connection.peer_id.short, exc_info=error)

    # --- deadlines ---

    def _arm(self, at: float) -> None:
        if at < self._timer_at and not self._closing:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, NEVER
        for key, job in self._jobs.handle_timeout(self._loop.time()):
            job.late = True
            job.deadline = NEVER
            self._jobs.add(key, job)  # It stays until its task has ended.
            self._cancel(job.task, "its caller's deadline passed")
        if (due := self._jobs.next_deadline()) is not None:
            self._arm(due)


def _is_coroutine_function(function: CallHandler) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 -- an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
