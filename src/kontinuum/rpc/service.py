"""Calls between peers, and the handlers that answer them.

One stream per call (ADR 0004): calls do not wait for each other, and either side can end one. The deadline
travels with the request; a caller that gives up stops the handler.
Source: docs/protocols/rpc.md.
Bounds: RpcOptions; requests and replies have at most MESSAGE_BYTES_MAX bytes.
Trust:  a request may contain anything and its caller may do anything; a handler's failure tells it nothing
        but that it failed.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from kontinuum.base.errors import MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import PeerId
from kontinuum.rpc.deadlines import NEVER, Deadlines
from kontinuum.rpc.eager import Starter
from kontinuum.rpc.errors import (
    BusyError,
    CallCancelledError,
    CallError,
    CallTimeoutError,
    CallTooLargeError,
    InvalidTimeoutError,
    Status,
    error_of,
)
from kontinuum.transport import MESSAGE_BYTES_MAX, CloseReason, Connection, MessageStream, Stream

PROTOCOL_NAME_BYTES_MAX = 128
"""UTF-8 bytes of a protocol's name. docs/protocols/rpc.md; a longer one cannot be registered or called."""

CALL_TIMEOUT_MAX_S = 10.0**9
"""Seconds that a call waits at most, some thirty years. Our choice; a longer time-out means this one."""

HANDLER_STOP_S = 5.0
"""Seconds that a handler may take to end after the node has asked it to. Our choice; beyond it the node closes
without waiting for it."""

CallHandler = Callable[[PeerId, bytes], Awaitable[bytes] | bytes]
"""Gets who calls and what; its result is the reply. A plain function runs inline and must not block."""

StreamHandler = Callable[[Stream], Awaitable[None]]
MessageHandler = Callable[[MessageStream], Awaitable[None]]
H = TypeVar("H", bound=Callable[..., Any])

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


class _Call(asyncio.Future[bytes]):
    """A call of ours in progress."""

    __slots__ = ("connection", "deadline", "protocol")
    connection: Connection
    deadline: float
    protocol: str


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


class RpcService:
    """Calls over the connections of one endpoint; the ``Upcalls`` of that endpoint.

    Handlers may be added before :meth:`start`. The floor above sets ``connection_opened``,
    ``connection_closed``, ``on_datagram`` and ``on_path``.
    """

    def __init__(self, options: RpcOptions | None = None) -> None:
        self.options = options or RpcOptions()
        self.counts: Counter[str] = Counter()
        """Calls made and answered, by outcome; shown as metrics."""
        self._loop: asyncio.AbstractEventLoop
        self._starter: Starter
        self._calls: Deadlines[int, _Call] = Deadlines()
        self._jobs: Deadlines[tuple[int, int], _Job] = Deadlines()
        self._stream_tasks: set[asyncio.Task[None]] = set()
        self._per_peer: Counter[PeerId] = Counter()
        self._names: dict[str, bytes] = {}
        self._handlers: dict[bytes, _Handler] = {}
        self._stream_handlers: dict[tuple[str, bool], Callable[[Any], Awaitable[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closing = False
        self.connection_opened: Callable[[Connection], None] = lambda _connection: None
        self.connection_closed: Callable[[Connection, CloseReason], None] = lambda _connection, _reason: None
        self.on_datagram: Callable[[Connection, bytes], None] = lambda _connection, _data: None
        self.on_path: Callable[[Connection, int, int, tuple[str, int] | None], None] = lambda *_: None

    # --- handlers ---

    def add_handler(self, protocol: str, function: CallHandler) -> None:
        """Answer calls of ``protocol`` with ``function``.

        Raises:
            MisuseError: The name is too long, empty, or has a handler already.
        """
        name = self._name(protocol)
        if name in self._handlers:
            raise MisuseError(f"the protocol {protocol!r} has a handler already")
        self._handlers[name] = _Handler(function, _is_coroutine_function(function))

    def add_stream_handler(
        self, protocol: str, function: Callable[[Any], Awaitable[None]], *, messages: bool
    ) -> None:
        """Serve streams (or, with ``messages``, streams of messages) of ``protocol`` with ``function``.

        Raises:
            MisuseError: The name is too long, empty, or has a handler already.
        """
        self._name(protocol)
        if (protocol, messages) in self._stream_handlers:
            raise MisuseError(f"streams of {protocol!r} have a handler already")
        self._stream_handlers[protocol, messages] = function

    def remove_stream_handler(self, protocol: str, *, messages: bool) -> None:
        """Serve no further streams of ``protocol``; those that are open go on."""
        self._stream_handlers.pop((protocol, messages), None)

    @property
    def handlers_at_work(self) -> int:
        """Handlers that wait for something, of calls and of streams."""
        return len(self._jobs.entries) + len(self._stream_tasks)

    @property
    def protocols(self) -> list[str]:
        """The protocols that have a handler for calls or streams."""
        return sorted(
            {name.decode() for name in self._handlers} | {name for name, _ in self._stream_handlers}
        )

    def _name(self, protocol: str) -> bytes:
        name = protocol.encode()
        if not 1 <= len(name) <= PROTOCOL_NAME_BYTES_MAX:
            raise MisuseError(f"a protocol's name has 1 to {PROTOCOL_NAME_BYTES_MAX} bytes, not {len(name)}")
        if len(self._names) < 4096:
            self._names[protocol] = name
        return name

    # --- calls that we make ---

    async def call(self, connection: Connection, protocol: str, data: bytes, timeout_s: float) -> bytes:
        """Ask the peer and wait for its answer. Cancelling stops the handler there.

        Raises:
            CallTimeoutError: No answer in time.
            InvalidTimeoutError: ``timeout_s`` is not above 0.
            UnknownProtocolError: The peer has no such handler.
            RemoteError: The handler failed or refused.
            BusyError: The peer is busy, or thousands of calls to it wait already.
            CallTooLargeError: ``data`` is longer than MESSAGE_BYTES_MAX.
            ConnectionLostError: The connection ended before the answer came.
        """
        if not 0 < timeout_s < CALL_TIMEOUT_MAX_S:
            timeout_s = _bounded(timeout_s)
        endpoint = connection.endpoint
        token = endpoint.next_token()
        call = _Call(loop=self._loop)
        call.connection = connection
        call.deadline = deadline = self._loop.time() + timeout_s
        call.protocol = protocol
        try:
            name = self._names.get(protocol) or self._name(protocol)
            endpoint.native.call(connection.id, token, name, int(timeout_s * 1000) or 1, data)
        except BrokenPipeError:
            raise connection.lost_error() from None
        except BufferError:
            raise BusyError(f"too many calls to {connection.peer_id.short} wait already") from None
        except OverflowError:
            raise CallTooLargeError(
                f"{len(data)} bytes are more than a call carries ({MESSAGE_BYTES_MAX}); use a stream"
            ) from None
        if self._calls.add(token, call):
            self._arm(deadline)
        connection.calls += 1
        connection.last_used = deadline - timeout_s
        endpoint.touch()
        try:
            return await call
        except asyncio.CancelledError:
            if self._calls.remove(token) is not None:
                connection.calls -= 1
                self._cancel(connection, token)
            raise

    def _cancel(self, connection: Connection, token: int) -> None:
        try:
            connection.endpoint.native.cancel(connection.id, token)
        except BrokenPipeError:
            return
        connection.endpoint.touch()

    def on_reply(self, token: int, status: int, body: bytes) -> None:
        """Upcall: a reply came."""
        call = self._calls.remove(token)
        if call is None:
            return  # It came too late.
        call.connection.calls -= 1
        if call.done():
            return
        if status == 0:
            self.counts["call ok"] += 1
            call.set_result(body)
        else:
            self.counts["call failed"] += 1
            call.set_exception(error_of(status, body, call.protocol))

    def on_call_failed(self, token: int, code: int) -> None:
        """Upcall: the peer ended our call without a reply."""
        if (call := self._calls.remove(token)) is not None:
            call.connection.calls -= 1
            self.counts["call failed"] += 1
            if not call.done():
                busy = code == _BUSY
                call.set_exception(
                    BusyError("the peer has no room for this call")
                    if busy
                    else CallCancelledError(f"the peer ended the call (code {code})")
                )

    # --- calls that we answer ---

    def on_call(
        self, connection: Connection, stream: int, protocol: bytes, timeout_ms: int, body: bytes
    ) -> None:
        """Upcall: a request came."""
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
            try:
                # In a context of its own, as a task has one: what a handler sets there ends with it.
                result = copy_context().run(handler.function, connection.peer_id, body)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 -- a handler may raise anything
                self._answer_error(connection, stream, error)
            else:
                if inspect.isawaitable(result):
                    # A wrapped coroutine function shows what it is only now.
                    self._handlers[protocol] = _Handler(handler.function, is_coroutine=True)
                    self._work_on(lambda _peer, _data: result, connection, stream, body, timeout_ms)
                else:
                    self._answer_result(connection, stream, result)

    def _work_on(
        self, function: CallHandler, connection: Connection, stream: int, body: bytes, timeout_ms: int
    ) -> None:
        connection.calls += 1
        try:
            task = self._starter.start(self._work(function, connection, stream, body))
        except asyncio.CancelledError as error:
            connection.calls -= 1
            self._answer_error(connection, stream, error)
            return
        if task is None:
            connection.calls -= 1
        else:
            self._begin_job(task, connection, stream, timeout_ms)

    async def _work(self, function: CallHandler, connection: Connection, stream: int, body: bytes) -> None:
        try:
            result = await function(connection.peer_id, body)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 -- a handler may raise anything
            self._answer_error(connection, stream, error)
        else:
            self._answer_result(connection, stream, result)

    def _may_work(self, peer_id: PeerId) -> bool:
        return (
            not self._closing
            and self.handlers_at_work < self.options.handlers_max
            and self._per_peer.get(peer_id, 0) < self.options.handlers_per_peer_max
        )

    def _begin_job(
        self, task: asyncio.Task[None], connection: Connection, stream: int, timeout_ms: int
    ) -> None:
        allowed = self.options.call_timeout_max_s
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
            if not task.cancelled() or self._closing:
                return  # It has answered; or the connection is about to say that the node stops.
            if job.late:
                self._answer(connection, stream, Status.TIMED_OUT, b"")
            else:
                # Its caller gave up and hears nothing; or it cancelled itself, which is a failure.
                self._answer_unwanted_or_failed(connection, stream)

        task.add_done_callback(end_job)

    def _answer_unwanted_or_failed(self, connection: Connection, stream: int) -> None:
        if connection.close_reason is None:
            self._answer(connection, stream, Status.FAILED, _FAILED_TEXT)

    def _leave(self, peer_id: PeerId) -> None:
        self._per_peer[peer_id] -= 1
        if not self._per_peer[peer_id]:
            del self._per_peer[peer_id]

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
        try:
            connection.endpoint.native.reply(connection.id, stream, status, body)
        except BrokenPipeError:
            self.counts["answer unwanted"] += 1  # The caller gave up, or is gone.
            return
        self.counts["answer ok" if status == 0 else "answer failed"] += 1
        connection.endpoint.touch()

    def on_call_cancelled(self, connection: Connection, stream: int) -> None:
        """Upcall: the caller gave up."""
        if (job := self._jobs.entries.get((connection.id, stream))) is not None:
            job.task.cancel("the caller gave up")

    # --- streams that peers open ---

    def on_stream(self, stream: Stream | MessageStream) -> None:
        """Upcall: a peer opened a stream."""
        handler = self._stream_handlers.get((stream.protocol, isinstance(stream, MessageStream)))
        peer_id = stream.connection.peer_id
        if handler is None or not self._may_work(peer_id):
            stream.reset(_UNKNOWN_KIND if handler is None else _BUSY)
            stream.stop(_UNKNOWN_KIND if handler is None else _BUSY)
            return
        task = self._loop.create_task(self._serve(handler, stream))
        self._stream_tasks.add(task)
        self._per_peer[peer_id] += 1

        def end(_task: asyncio.Task[None]) -> None:
            self._stream_tasks.discard(task)
            self._leave(peer_id)

        task.add_done_callback(end)

    async def _serve(self, handler: Callable[[Any], Awaitable[None]], stream: Stream | MessageStream) -> None:
        try:
            async with stream:
                await handler(stream)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 -- a handler may raise anything
            _log.error("a stream handler failed", peer=stream.connection.peer_id.short, exc_info=error)

    # --- beginnings and ends ---

    def start(self) -> None:
        """To be called within the loop that will run everything, before the endpoint is made."""
        self._loop = asyncio.get_running_loop()
        self._starter = Starter(self._loop)

    def on_connection(self, connection: Connection) -> None:
        """Upcall: a peer is connected."""
        self.connection_opened(connection)

    def on_closed(self, connection: Connection, reason: CloseReason) -> None:
        """Upcall: a connection ended. Its calls fail, its handlers stop."""
        for token, call in [
            (token, call) for token, call in self._calls.entries.items() if call.connection is connection
        ]:
            self._calls.remove(token)
            self.counts["call failed"] += 1
            if not call.done():
                call.set_exception(connection.lost_error())
        connection.calls = 0
        for job in [job for job in self._jobs.entries.values() if job.connection is connection]:
            job.task.cancel("the connection ended")
        self.connection_closed(connection, reason)

    async def close(self) -> None:
        """Stop all handlers and wait for them; to be called before the endpoint closes.

        From now on calls and streams of peers are answered BUSY.
        """
        self._closing = True
        self._starter.close()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [job.task for job in self._jobs.entries.values()] + list(self._stream_tasks)
        for task in tasks:
            task.cancel("the node stops")
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=HANDLER_STOP_S)
            if stubborn:
                _log.error("handlers do not end and are left behind", handlers=len(stubborn))

    # --- deadlines ---

    def _arm(self, at: float) -> None:
        if at < self._timer_at and not self._closing:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        now = self._loop.time()
        self._timer, self._timer_at = None, NEVER
        for token, call in self._calls.handle_timeout(now):
            call.connection.calls -= 1
            self.counts["call timed out"] += 1
            self._cancel(call.connection, token)
            if not call.done():
                call.set_exception(
                    CallTimeoutError(f"no answer from {call.connection.peer_id.short} in time")
                )
        for key, job in self._jobs.handle_timeout(now):
            job.late = True
            job.deadline = NEVER
            self._jobs.add(key, job)  # It stays until its task has ended.
            job.task.cancel("its caller's deadline passed")
        for due in (self._calls.next_deadline(), self._jobs.next_deadline()):
            if due is not None:
                self._arm(due)


def _is_coroutine_function(function: CallHandler) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 -- an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _bounded(timeout_s: float) -> float:
    if timeout_s >= CALL_TIMEOUT_MAX_S:
        return CALL_TIMEOUT_MAX_S
    raise InvalidTimeoutError(f"a call's time-out is a number of seconds above 0, not {timeout_s}")


_FAILED_TEXT = b"the handler failed"
"""All that a caller learns about a failure."""

_BUSY = 2
"""Stream code: too much is buffered or running. native/src/engine/event.rs."""

_UNKNOWN_KIND = 5
"""Stream code: nobody serves this. native/src/engine/event.rs."""
