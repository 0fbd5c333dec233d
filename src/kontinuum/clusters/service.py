"""The shell of the machine of clusters: runs it on real time, real connections and real streams.

One stream of messages in both directions stands on each connection whose two ends know each other's cluster.
What a peer says is handled in the turn of the loop in which it comes; while what we have to say to it waits
in its stream, it is not listened to.

Source: docs/protocols/cluster.md.
Bounds: OUTBOX_BYTES_MAX for each session; what is not listened to is bounded by the stream's credit.
Trust:  the machine judges what peers send; a fault in it costs one message, not the node.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import KontinuumError, UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.clusters import events as ev
from kontinuum.clusters.tags import EXPORTER_BYTES, EXPORTER_LABEL
from kontinuum.rpc.errors import StreamCode
from kontinuum.transport.owned_stream import SEND_HIGH_WATER_BYTES, OwnedMessageStream
from kontinuum.transport.protocols import ALPN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kontinuum.clusters.machine import ClusterMachine
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection, MessageStream

PROTOCOL = "kontinuum/cluster/1"
"""The name of its streams."""

OUTBOX_BYTES_MAX = 8 * SEND_HIGH_WATER_BYTES
"""Bytes that wait in one session's stream. Our choice: a peer for which more waits does not read, and its
stream is reset. It asks for what it missed on the next one."""

TIMER_STEP_S = 0.001
"""Seconds from now at which a timer is set at the earliest: a fault in the machine must not keep the loop
from sleeping. Our choice."""

_log = RoomLogger("clusters")


class _Session:
    """A connection, and its stream if there is one."""

    def __init__(self, service: ClusterService, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.stream: OwnedMessageStream | None = None
        self.opening: asyncio.Task[None] | None = None
        self._service = service
        self._unheard: deque[bytes] = deque()
        """What came while too much waits to be sent; bounded by the stream's credit."""

    def use(self, stream: OwnedMessageStream) -> None:
        """This is the stream from now on."""
        self.stream = stream
        self._service.take(ev.StreamReady(self.number))

    def send(self, data: bytes) -> None:
        """Queue a message; a peer that does not read loses the stream."""
        if self.stream is not None and self.stream.send_nowait(data) > OUTBOX_BYTES_MAX:
            self._service.counts["unread"] += 1
            self.drop(StreamCode.BUSY)
            self._service.take(ev.StreamEnded(self.number))

    def drop(self, code: StreamCode) -> None:
        """End the stream, both halves."""
        stream, self.stream = self.stream, None
        self._unheard.clear()
        if stream is not None:
            stream.reset(code)
            stream.stop(code)

    # --- called by the stream ---

    def on_message(self, stream: OwnedMessageStream, message: bytes) -> None:
        """A message came."""
        if stream is self.stream:
            self._unheard.append(message)
            self._listen(stream)

    def on_room(self, stream: OwnedMessageStream) -> None:
        """There is room again to answer in."""
        if stream is self.stream:
            self._listen(stream)

    def on_end(self, stream: OwnedMessageStream) -> None:
        """It is over."""
        if stream is self.stream:
            self.drop(StreamCode.CANCELLED)
            self._service.take(ev.StreamEnded(self.number))

    def _listen(self, stream: OwnedMessageStream) -> None:
        # want_room() says whether it has to wait; if so, on_room() will come.
        while self._unheard and stream is self.stream and not stream.want_room():
            message = self._unheard.popleft()
            stream.consume(len(message))
            self._service.take(ev.Received(self.number, message))


class ClusterService:
    """Runs one machine. Call :meth:`start` in the loop that will run it.

    Args:
        machine: The machine of this node; nobody else feeds it.
        rpc: Where the peers' streams arrive.
        on_effect: Performs what the shell does not do itself: all effects but OpenStream, Send and Refuse,
            with the connection that they name, if they name one. Of Cut it is told; the shell cuts. It
            returns at once. If it raises at Save, SaveTrust or SaveOrders, nothing more is sent of what
            belongs to it.
    """

    def __init__(
        self,
        machine: ClusterMachine,
        *,
        rpc: RpcService,
        on_effect: Callable[[ev.Effect, Connection | None], None],
    ) -> None:
        self.machine = machine
        self.counts: Counter[str] = Counter()
        """What the machine does not count: faults, unread."""
        self._on_effect = on_effect
        self._loop: asyncio.AbstractEventLoop
        self._numbers = count(1)
        self._sessions: dict[int, _Session] = {}
        self._by_connection: dict[Connection, _Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: deque[ev.Event] = deque()
        """What came while the machine's effects were performed."""
        self._running = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._own: dict[type, Callable[[Any], None]] = {
            ev.OpenStream: self._on_open_stream,
            ev.Send: self._on_send,
            ev.Refuse: self._on_refuse,
            ev.Cut: self._on_cut,
        }
        rpc.add_acceptor(PROTOCOL, self._accept)

    # --- life ---

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self.take(ev.Started())

    async def close(self) -> None:
        """Send nothing any more. Connections are their owner's. Once is enough."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in list(self._sessions.values()):
            session.drop(StreamCode.CANCELLED)

    # --- for the node ---

    def opened(self, connection: Connection) -> bool:
        """There is a connection. Says whether its peer may stay: one whose key is out of use is cut."""
        if self._closing or connection in self._by_connection:
            return not connection.is_closing
        try:
            exporter = connection.export_keying_material(EXPORTER_LABEL, b"", EXPORTER_BYTES)
        except KontinuumError:
            return False  # It is gone already.
        session = _Session(self, connection, next(self._numbers))
        self._sessions[session.number] = self._by_connection[connection] = session
        self.take(
            ev.Opened(session.number, connection.peer_id, connection.local_id, connection.outbound, exporter)
        )
        return not connection.is_closing

    def closed(self, connection: Connection) -> None:
        """That connection is over."""
        session = self._by_connection.pop(connection, None)
        if session is not None:
            del self._sessions[session.number]
            session.stream = None
            self.take(ev.Closed(session.number))

    def connections(self) -> list[Connection]:
        """Those that are open."""
        return list(self._by_connection)

    def heard(self, topic: str, data: bytes) -> None:
        """A message came on the topic of a cluster."""
        self.take(ev.Heard(topic, data))

    def feed(self, event: ev.Event) -> list[ev.Effect]:
        """Let the machine take what our own user wants, at once.

        Returns:
            What followed from it; nothing if it comes out of ``on_effect``: then its turn comes later.

        Raises:
            KontinuumError: What he said was refused, in whole or in part, or could not be saved.
        """
        if self._running:
            self._later.append(event)
            return []
        effects, failed = self._handle(partial(self.machine.handle, event))
        self._settle()
        refused = next((effect.error for effect in effects if isinstance(effect, ev.NotSaid)), failed)
        if refused is not None:
            raise refused
        return effects

    def take(self, event: ev.Event) -> None:
        """Let the machine take what happened. Never raises."""
        if self._closing:
            return
        if self._running:
            self._later.append(event)
            return
        self._guarded(partial(self.machine.handle, event))
        self._settle()

    # --- the machine ---

    def _settle(self) -> None:
        while self._later and not self._closing:
            self._guarded(partial(self.machine.handle, self._later.popleft()))
        self._arm()

    def _guarded(self, act: Callable[[float], Iterable[ev.Effect]]) -> None:
        try:
            self._handle(act)
        except Exception as error:  # noqa: BLE001
            self._on_fault("an event between clusters could not be handled", error)

    def _handle(
        self, act: Callable[[float], Iterable[ev.Effect]]
    ) -> tuple[list[ev.Effect], KontinuumError | None]:
        """Perform the effects in order. Returns them, and why something could not be saved, if so."""
        failed: KontinuumError | None = None
        self._running = True
        try:
            effects = list(act(self._loop.time()))
            for effect in effects:
                if failed is not None and isinstance(effect, ev.Send | ev.Announce):
                    continue  # Nobody may hear of what is not on the disk.
                try:
                    self._perform(effect)
                except Exception as error:  # noqa: BLE001 -- what follows may be that a thief is cut
                    self._on_fault(f"{type(effect).__name__} could not be performed", error)
                    if isinstance(effect, ev.Save | ev.SaveTrust | ev.SaveOrders):
                        failed = error if isinstance(error, KontinuumError) else UnavailableError(str(error))
        finally:
            self._running = False
        return effects, failed

    def _perform(self, effect: ev.Effect) -> None:
        own = self._own.get(type(effect))
        session = self._sessions.get(getattr(effect, "connection", 0))
        if own is not None:
            own(effect)
        if own is None or isinstance(effect, ev.Cut):
            self._on_effect(effect, None if session is None else session.connection)

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        # A timer that comes too early does no harm, and arming costs more than that.
        if due is not None and due < self._timer_at - TIMER_STEP_S and not self._closing:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = max(due, self._loop.time() + TIMER_STEP_S)
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._guarded(self.machine.handle_timeout)
        self._settle()

    def _on_fault(self, what: str, error: Exception) -> None:
        self.counts["faults"] += 1
        _log.error(what, exc_info=error)

    # --- effects ---

    def _on_open_stream(self, effect: ev.OpenStream) -> None:
        session = self._sessions.get(effect.connection)
        if session is None:
            return
        if session.connection.alpn != ALPN:
            self._later.append(ev.StreamEnded(effect.connection))
            return
        task = self._loop.create_task(self._open(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, session: _Session) -> None:
        try:
            stream = await OwnedMessageStream.open(session.connection, PROTOCOL, session, bidirectional=True)
        except KontinuumError:
            self.take(ev.StreamEnded(session.number))
            return
        if stream.can_send:
            session.use(stream)
        else:
            stream.close()
            self.take(ev.StreamEnded(session.number))

    def _on_send(self, effect: ev.Send) -> None:
        if (session := self._sessions.get(effect.connection)) is not None:
            session.send(effect.data)

    def _on_refuse(self, effect: ev.Refuse) -> None:
        if (session := self._sessions.get(effect.connection)) is not None:
            session.drop(StreamCode.UNKNOWN_KIND)

    def _on_cut(self, effect: ev.Cut) -> None:
        if (session := self._sessions.get(effect.connection)) is not None:
            session.stream = None
            session.connection.close(effect.code, effect.why)

    # --- streams of peers ---

    def _accept(self, stream: MessageStream) -> None:
        session = self._by_connection.get(stream.connection)
        if session is None or session.connection.outbound or not stream.bidirectional or self._closing:
            stream.reset(StreamCode.UNKNOWN_KIND)
            stream.stop(StreamCode.UNKNOWN_KIND)
            return
        session.drop(StreamCode.CANCELLED)  # Who opens another one has given up the one before.
        session.use(OwnedMessageStream.adopt(stream, session))
