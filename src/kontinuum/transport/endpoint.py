"""The endpoint of one identity on one UDP socket, driven by the asyncio loop.

The native engine does the work of every packet; Python sees each message once. The loop calls
``pump()`` when the socket is readable and ``flush()`` once per iteration in which something was
written; one timer serves all connections; a native guard thread keeps them alive while the loop is
blocked.
Bounds: TransportOptions; events of one pump are bounded by the batches that it receives.
Trust:  an error while an event is handled costs that event, never the endpoint.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Sized
from typing import Any, Self

from kontinuum import _native
from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import KeyPair, PeerId
from kontinuum.transport.connection import Connection
from kontinuum.transport.errors import (
    AddressInUseError,
    CloseCode,
    CloseKind,
    CloseReason,
    ConnectError,
    ConnectionLostError,
    DialTimeoutError,
    connect_error,
)
from kontinuum.transport.options import TransportOptions
from kontinuum.transport.policy import Use, least_useful
from kontinuum.transport.protocols import ALPN, ALPN_LIBP2P
from kontinuum.transport.stream_events import StreamEvents
from kontinuum.transport.upcalls import Upcalls

_Event = tuple[Any, ...]

_MORE, _WANTS_WRITE = 1, 2
"""Flags of a pump: work is left over; the socket's buffer is full."""

_CANCELLED = 1
"""Stream code: it is no longer wanted. native/src/engine/event.rs."""

CLOSE_DRAIN_S = 2.0
"""Seconds that closing waits for peers to acknowledge what was finished: the last reply, the end of a file.
Our choice: some round trips to anywhere; a peer that does not answer does not hold a node up for longer."""

_DRAIN_STEP_S = 0.002
"""Seconds between two looks at what is still unacknowledged."""

_TIMER_SLACK_S = 0.0005
"""A timer is only armed again when it would be earlier by more than this: arming costs more than waking."""

_log = RoomLogger("transport")


class Endpoint:
    """All connections of one identity. Use as ``async with Endpoint(...) as endpoint``.

    Args:
        key_pair: Our identity.
        bind: IP address and port; port 0 takes any.
        upcalls: The floor above.
        options: Settings.

    Raises:
        AddressInUseError: Another program has the port.
        UnavailableError: The socket cannot be had for another reason.
    """

    def __init__(
        self,
        key_pair: KeyPair,
        bind: tuple[str, int],
        upcalls: Upcalls,
        options: TransportOptions | None = None,
    ) -> None:
        self.options = options or TransportOptions()
        self.loop = asyncio.get_running_loop()
        self.peer_id = key_pair.peer_id
        """Our identity: what new handshakes show."""
        self.connections: dict[int, Connection] = {}
        try:
            self.native = _native.Endpoint(key_pair.seed, bind, self.options.native())
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUseError(
                    f"UDP port {bind[1]} of {bind[0]} is in use by another program"
                ) from None
            why = os.strerror(error.errno) if error.errno else str(error)
            raise UnavailableError(f"no UDP socket on {bind[0]} port {bind[1]}: {why}") from None
        except RuntimeError as error:  # A file that the settings name.
            raise UnavailableError(str(error)) from None
        self.local_address = self.native.local_address
        self._upcalls = upcalls
        self._past = [0, 0, 0, 0]
        self._token = 0
        self._dials: dict[int, asyncio.Future[Connection]] = {}
        self._opens: dict[int, tuple[int, asyncio.Future[int]]] = {}
        self.flush_scheduled = False
        """A flush is coming anyway, so that :meth:`touch` need not be called."""
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False
        self._socket_fd, self._guard_fd = self.native.filenos()
        self.loop.add_reader(self._socket_fd, self._on_readable)
        self.loop.add_reader(self._guard_fd, self._on_guard)
        # asyncio has no public way to ask whether it will sleep; on a loop without this, nothing waits.
        self._ready: Sized | None = getattr(self.loop, "_ready", None)
        self._handlers: dict[int, Callable[..., None]] = {
            _native.OPENED: self._on_opened,
            _native.CONNECTED: self._on_connected,
            _native.CLOSED: self._on_closed,
            _native.CALL_FAILED: upcalls.on_call_failed,
            **StreamEvents(self.connections, upcalls, self.loop.time).handlers(),
        }

    async def dial(
        self, peer_id: PeerId, address: tuple[str, int], *, timeout_s: float = 10.0, alpn: str = ALPN
    ) -> Connection:
        """Connect to ``peer_id`` at an IP address and port. Whoever else answers there is refused.

        With ``alpn=ALPN_LIBP2P`` by libp2p's certificates; the connection then has raw streams only. A peer
        that does not take *our* certificate says so after this has returned: by ``connection.close_reason``.

        Raises:
            MisuseError: That is no address, or libp2p is switched off here.
            DialTimeoutError: Nobody answered in time.
            HandshakeError: Its leaves say what was wrong, see ``kontinuum.transport.errors``.
            ConnectError: No connection could be made.
        """
        if self._closed:
            raise MisuseError("the endpoint is closed")
        if alpn == ALPN_LIBP2P and not self.options.libp2p:
            raise MisuseError("this endpoint does not speak libp2p; TransportOptions(libp2p=True)")
        token = self.next_token()
        try:
            connection_id = self.native.connect(token, address[0], address[1], peer_id, alpn.encode())
        except (ValueError, OverflowError):
            raise MisuseError(f"not an IP address and a port: {address!r}") from None
        future: asyncio.Future[Connection] = self.loop.create_future()
        self._dials[token] = future
        self.touch()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise DialTimeoutError(
                f"{address[0]} port {address[1]} did not answer within {timeout_s:g} s"
            ) from None
        finally:
            del self._dials[token]
            if connection_id not in self.connections:
                self._quietly_close(connection_id)

    def adopt(self, key_pair: KeyPair) -> None:
        """Go over to another identity: handshakes that begin from now on show it, in both directions.

        Connections go on, and so do handshakes that are under way, under the identity that they began with
        (``Connection.local_id``).

        Raises:
            MisuseError: The endpoint is closed.
            UnavailableError: A file that the settings name cannot be written; nothing has changed.
        """
        if self._closed:
            raise MisuseError("the endpoint is closed")
        try:
            self.native.set_identity(key_pair.seed)
        except RuntimeError as error:
            raise UnavailableError(str(error)) from None
        self.peer_id = key_pair.peer_id

    async def close(self, code: int = CloseCode.SHUTDOWN, reason: str = "shutdown") -> None:
        """End all connections, tell the peers, and give the socket back. A second call does nothing.

        What was finished before arrives: closing waits for its acknowledgement, at most CLOSE_DRAIN_S.
        """
        if self._closed:
            return
        self._flush_now()
        drained_by = self.loop.time() + CLOSE_DRAIN_S
        await self._until(lambda: not self.native.unacknowledged(), drained_by)
        for connection in list(self.connections.values()):
            connection.close(code, reason)
        self._flush_now()
        await self._until(lambda: not self._writing, drained_by)
        if self._closed:
            return
        self._closed = True
        self.loop.remove_reader(self._socket_fd)
        self.loop.remove_reader(self._guard_fd)
        if self._writing:
            self.loop.remove_writer(self._socket_fd)
        if self._timer is not None:
            self._timer.cancel()
        self.native.shutdown()
        failed = ConnectError("the endpoint is closed")
        for future in self._dials.values():
            if not future.done():
                future.set_exception(failed)

    async def _until(self, done: Callable[[], bool], deadline: float) -> None:
        # Acknowledgements are no events of the engine: looking is all that can be done.
        while not (self._closed or done() or self.loop.time() >= deadline):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_STEP_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def totals(self) -> tuple[int, int, int, int]:
        """Packets sent and lost, bytes sent and received, over all connections that ever were."""
        sums = list(self._past)
        for connection_id in self.connections:
            self._add_counts(sums, connection_id)
        return (sums[0], sums[1], sums[2], sums[3])

    def _add_counts(self, sums: list[int], connection_id: int) -> None:
        try:
            counts = self.native.statistics(connection_id)["counts"]
        except BrokenPipeError:
            return
        for index, count in enumerate(counts):
            sums[index] += count

    # --- for the connections, the streams and the floor above ---

    def next_token(self) -> int:
        """A number that no other request of this endpoint has."""
        self._token += 1
        return self._token

    def touch(self) -> None:
        """Something was written: transmit it before the loop waits again."""
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self.loop.call_soon(self._on_flush)

    def expect_open(self, connection_id: int) -> tuple[int, asyncio.Future[int]]:
        """A token under which the engine will tell the number of a stream that has to wait."""
        token = self.next_token()
        future: asyncio.Future[int] = self.loop.create_future()
        self._opens[token] = (connection_id, future)
        return token, future

    def forget_open(self, token: int) -> None:
        """Nobody waits for that stream any more."""
        del self._opens[token]

    def give_up_stream(self, connection_id: int, stream_id: int) -> None:
        """A stream was opened and nobody wants it any more."""
        with contextlib.suppress(BrokenPipeError):
            self.native.reset(connection_id, stream_id, _CANCELLED)
            self.native.stop(connection_id, stream_id, _CANCELLED)
        self.touch()

    # --- the loop ---

    def _on_readable(self) -> None:
        self._process(self.native.pump())

    def _on_guard(self) -> None:
        self.native.guard_acknowledge()
        self._process(self.native.pump())

    def _on_timer(self) -> None:
        self._timer = None
        self._process(self.native.pump())

    def _on_flush(self) -> None:
        self.flush_scheduled = False
        if not self._closed:
            self._process(self.native.flush(self._idle()))

    def _idle(self) -> bool:
        """The loop has nothing to run before it sleeps."""
        return self._ready is not None and not self._ready

    def _flush_now(self) -> None:
        self._process(self.native.flush())

    def _process(self, pumped: tuple[list[_Event], float | None, int]) -> None:
        events, delay_s, flags = pumped
        if events:
            # Nothing was transmitted yet. Replies of handlers that did not wait leave at once; otherwise the
            # tasks that the events woke come first, so that what they write shares packets with the
            # acknowledgements.
            answered = self._dispatch(events)
            if answered and not self._closed:
                events, delay_s, more = self.native.flush(self._idle())
                flags |= more
                if events:
                    self._dispatch(events)
                    self.touch()
            else:
                self.touch()
        if delay_s is not None:
            self._arm(delay_s)
        if flags or self._writing:
            self._follow(flags)

    def _arm(self, delay_s: float) -> None:
        at = self.loop.time() + delay_s
        if self._timer is not None:
            if at > self._timer_at - _TIMER_SLACK_S:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self._on_timer)
        self._timer_at = at

    def _follow(self, flags: int) -> None:
        if self._closed:
            return
        if flags & _MORE:
            self.loop.call_soon(self._pump_more)
        wants_write = bool(flags & _WANTS_WRITE)
        if wants_write and not self._writing:
            self.loop.add_writer(self._socket_fd, self._flush_now)
        elif self._writing and not wants_write:
            self.loop.remove_writer(self._socket_fd)
        self._writing = wants_write

    def _pump_more(self) -> None:
        if not self._closed:
            self._process(self.native.pump())

    def _dispatch(self, events: list[_Event]) -> bool:
        """Handle ``events``; says whether there were requests among them."""
        on_reply, on_call = self._upcalls.on_reply, self._upcalls.on_call
        connections, handlers = self.connections, self._handlers
        reply, call = _native.REPLY, _native.CALL
        scheduled = self.flush_scheduled
        self.flush_scheduled = True  # Whatever is written now is flushed when this is done.
        asked = False
        rest = iter(events)
        try:
            while True:
                try:
                    for event in rest:
                        kind = event[0]
                        if kind == reply:
                            on_reply(event[1], event[2], event[3])
                        elif kind == call:
                            asked = True
                            connection = connections.get(event[1])
                            if connection is not None:
                                on_call(connection, event[2], event[3], event[4], event[5])
                        else:
                            handlers[kind](*event[1:])
                    return asked  # noqa: TRY300 -- the loop ends here
                except Exception as error:  # noqa: BLE001
                    # A bug of ours must cost one event, not the node: go on with the rest.
                    _log.error("an event could not be handled", exc_info=error)
        finally:
            self.flush_scheduled = scheduled

    # --- events ---

    def _on_opened(self, connection_id: int, stream_id: int, token: int) -> None:
        _, future = self._opens.get(token, (0, None))
        if future is not None and not future.done():
            future.set_result(stream_id)
            return
        self.give_up_stream(connection_id, stream_id)  # Whoever wanted it was cancelled meanwhile.

    def _on_connected(  # noqa: PLR0917 -- the engine's event
        self,
        connection_id: int,
        token: int | None,
        peer: bytes,
        alpn: bytes,
        key_exchange: str,
        host: str,
        port: int,
    ) -> None:
        try:
            shown = PeerId(self.native.shown(connection_id))
        except BrokenPipeError:  # It is over already; the event of that comes next.
            shown = self.peer_id
        connection = Connection(
            self,
            connection_id,
            PeerId(peer),
            shown,
            (host, port),
            outbound=token is not None,
            alpn=alpn.decode(),
            key_exchange=key_exchange,
            opened_at=self.loop.time(),
        )
        self.connections[connection_id] = connection
        if token is not None:
            future = self._dials.get(token)
            if future is None or future.done():  # Given up meanwhile.
                connection.close(CloseCode.NONE, "no longer wanted")
                return
            future.set_result(connection)
        self._upcalls.on_connection(connection)
        self._make_room(connection)

    def _make_room(self, newcomer: Connection) -> None:
        others = [
            other for other in self.connections.values() if other is not newcomer and not other.is_closing
        ]
        excess = len(others) + 1 - self.options.connections_max
        while excess > 0:
            victim = least_useful(
                Use(other.id, other.outbound, other.is_busy, other.last_used)
                for other in others
                if not other.is_closing
            )
            if victim is None:
                newcomer.close(CloseCode.FULL, "too many connections")
                return
            self.connections[victim].close(CloseCode.EVICTED, "idle, and another peer needs the place")
            excess -= 1

    def _on_closed(self, connection_id: int, token: int | None, kind: int, code: int, text: str) -> None:
        reason = CloseReason(CloseKind(kind), code, text)
        if token is not None:
            dial = self._dials.get(token)
            if dial is not None and not dial.done():
                dial.set_exception(connect_error(reason))
            return
        for waiting, opened in self._opens.values():
            if waiting == connection_id and not opened.done():
                opened.set_exception(ConnectionLostError(reason))
        connection = self.connections.pop(connection_id, None)
        if connection is None:
            _log.debug("a handshake failed", reason=str(reason))
            return
        self._add_counts(self._past, connection_id)
        connection.on_closed(reason)
        self._upcalls.on_closed(connection, reason)

    def _quietly_close(self, connection_id: int) -> None:
        try:
            self.native.close(connection_id, CloseCode.NONE, "given up")
        except BrokenPipeError:
            return
        self.touch()
