"""The calls that we make.

Bounds: the engine takes OPENING_MAX waiting calls of a connection; beyond it a call fails at once.
Trust:  a peer may answer anything, late, or never; every call ends by its deadline.
"""

import asyncio
from typing import Protocol

from kontinuum.base.errors import KontinuumError
from kontinuum.rpc.deadlines import NEVER, Deadlines
from kontinuum.rpc.errors import (
    BusyError,
    CallCancelledError,
    CallTimeoutError,
    CallTooLargeError,
    InvalidTimeoutError,
    StreamCode,
    error_of,
)
from kontinuum.transport import MESSAGE_BYTES_MAX, Connection
from kontinuum.transport.protocols import protocol_name

PROTOCOL_NAMES_MAX = 4096
"""Protocol names whose bytes are remembered; further ones are encoded at every call. Our choice."""

CALL_TIMEOUT_MAX_S = 10.0**9
"""Seconds that a call waits at most, some thirty years. Our choice; a longer time-out means this one."""


class Waiter(Protocol):
    """Whoever waits for a reply: a future, or something that takes it in the same turn of the loop."""

    def done(self) -> bool:
        """Whether it waits no more."""

    def set_result(self, result: bytes, /) -> None:
        """The reply."""

    def set_exception(self, exception: KontinuumError, /) -> None:
        """Why there will be none."""


class _Call:
    """A call in progress. Filled in by its maker: a constructor would cost a tenth of the call."""

    __slots__ = ("connection", "deadline", "protocol", "waiter")
    connection: Connection
    deadline: float
    waiter: Waiter
    protocol: str


class OutgoingCalls:
    """Makes calls, and matches replies with them.

    Args:
        loop: Where the calls wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ok = 0
        """Calls that were answered."""
        self.failed = 0
        """Calls that were refused, failed, or lost with their connection."""
        self.timed_out = 0
        """Calls that were not answered in time."""
        self._loop = loop
        self._token = 0
        self._names: dict[str, bytes] = {}
        self._calls: Deadlines[int, _Call] = Deadlines()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    async def call(self, connection: Connection, protocol: str, data: bytes, timeout_s: float) -> bytes:
        """Ask the peer and wait for its answer; see ``RpcService.call``."""
        future: asyncio.Future[bytes] = self._loop.create_future()
        token = self.begin(connection, protocol, data, timeout_s, future)
        try:
            return await future
        except asyncio.CancelledError:
            if self._calls.remove(token) is not None:
                connection.calls -= 1
                self._cancel(connection, token)
            raise

    def begin(
        self, connection: Connection, protocol: str, data: bytes, timeout_s: float, waiter: Waiter
    ) -> int:
        """Ask the peer and let ``waiter`` know; returns the call's number. See ``RpcService.begin_call``."""
        if not 0 < timeout_s < CALL_TIMEOUT_MAX_S:
            timeout_s = _bounded(timeout_s)
        endpoint = connection.endpoint
        self._token = token = self._token + 1
        try:
            name = self._names.get(protocol) or self._name(protocol)
            endpoint.native.call(connection.id, token, name, int(timeout_s * 1000) or 1, data)
        except (BrokenPipeError, BufferError, OverflowError) as error:
            raise _refused(error, connection, len(data)) from None
        call = _Call()
        call.waiter = waiter
        call.connection = connection
        call.protocol = protocol
        connection.last_used = now = self._loop.time()
        call.deadline = now + timeout_s
        if self._calls.add(token, call):
            self._arm(call.deadline)
        connection.calls += 1
        if not endpoint.flush_scheduled:
            endpoint.touch()
        return token

    def on_reply(self, token: int, status: int, body: bytes) -> None:
        """A reply came."""
        call = self._calls.entries.pop(token, None)
        if call is None:
            return  # It came too late.
        call.connection.calls -= 1
        waiter = call.waiter
        if waiter.done():
            return
        if status == 0:
            self.ok += 1
            waiter.set_result(body)
        else:
            self.failed += 1
            waiter.set_exception(error_of(status, body, call.protocol))

    def on_failed(self, token: int, code: int) -> None:
        """The peer ended a call without a reply."""
        call = self._calls.remove(token)
        if call is None:
            return
        call.connection.calls -= 1
        self.failed += 1
        if not call.waiter.done():
            call.waiter.set_exception(
                BusyError("the peer has no room for this call")
                if code == StreamCode.BUSY
                else CallCancelledError(f"the peer ended the call (code {code})")
            )

    def on_closed(self, connection: Connection) -> None:
        """A connection ended: its calls fail."""
        entries = self._calls.entries
        for token in [token for token, call in entries.items() if call.connection is connection]:
            call = entries.pop(token)
            self.failed += 1
            if not call.waiter.done():
                call.waiter.set_exception(connection.lost_error())

    def close(self) -> None:
        """No deadline matters any more: the connections are about to end."""
        if self._timer is not None:
            self._timer.cancel()

    def _name(self, protocol: str) -> bytes:
        name = protocol_name(protocol)
        if len(self._names) < PROTOCOL_NAMES_MAX:
            self._names[protocol] = name
        return name

    def _cancel(self, connection: Connection, token: int) -> None:
        try:
            connection.endpoint.native.cancel(connection.id, token)
        except BrokenPipeError:
            return
        connection.endpoint.touch()

    def _arm(self, at: float) -> None:
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, NEVER
        for token, call in self._calls.handle_timeout(self._loop.time()):
            call.connection.calls -= 1
            self.timed_out += 1
            self._cancel(call.connection, token)
            if not call.waiter.done():
                call.waiter.set_exception(
                    CallTimeoutError(f"no answer from {call.connection.peer_id.short} in time")
                )
        if (due := self._calls.next_deadline()) is not None:
            self._arm(due)


def _refused(error: Exception, connection: Connection, length: int) -> KontinuumError:
    """What the engine's refusal of a call means to its caller."""
    match error:
        case BufferError():
            return BusyError(f"too many calls to {connection.peer_id.short} wait already")
        case OverflowError():
            return CallTooLargeError(
                f"{length} bytes are more than a call carries ({MESSAGE_BYTES_MAX}); use a stream"
            )
        case _:
            return connection.lost_error()


def _bounded(timeout_s: float) -> float:
    if timeout_s >= CALL_TIMEOUT_MAX_S:
        return CALL_TIMEOUT_MAX_S
    raise InvalidTimeoutError(f"a call's time-out is a number of seconds above 0, not {timeout_s}")
