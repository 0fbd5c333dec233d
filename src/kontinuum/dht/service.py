"""The shell of the DHT: runs the machine on real time and real connections.

An event goes into the machine and its effects are performed before anything else happens, in the same turn of
the loop: a request is answered in the wake-up that brought it, and a reply that leads to the next question
leaves no gap. There is no task and no future for a request to a peer that is connected.

Source: docs/protocols/kad.md.
Bounds: ASKS_MAX requests in flight; those beyond wait here, and the machine hears how many. The machine
        bounds operations, and so the queue.
Trust:  what peers send is decoded here and judged by the machine; a peer's bytes cannot end it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, PeerError, UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.dht import events as ev
from kontinuum.dht.events import Failure, State
from kontinuum.dht.histogram import Histogram
from kontinuum.messages.kad import decode_prefixed, encode_prefixed
from kontinuum.rpc.errors import (
    BusyError,
    CallCancelledError,
    CallError,
    CallTimeoutError,
    RemoteError,
    UnknownProtocolError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kontinuum.dht.node import Dht
    from kontinuum.identity import Contact, PeerId
    from kontinuum.messages.kad import KadMessage
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection

PROTOCOL = "/kontinuum/kad/1.0.0"
"""Name of the calls."""

ASKS_MAX = 256
"""Requests in flight, those that wait for a connection included. Our choice: some 25 lookups at full speed; a
dead peer holds its place for a request's time-out. Further ones wait for their turn."""

TIMER_STEP_S = 0.001
"""Seconds from now at which a timer is set at the earliest, and how much later than asked one may come. Our
choice: deadlines are tenths of seconds; a fault in a machine must not keep the loop from sleeping."""

FAULT_PAUSE_S = 1.0
"""Seconds until deadlines are looked at again after a fault in one. Our choice: a fault that stays must not
keep the loop, or the log, busy."""

REFUSED = 100
"""Code of the error that a peer gets whose request is not answered."""

MALFORMED = 101
"""Code of the error that a peer gets whose request is none."""

Command = ev.FindPeers | ev.Put | ev.Get | ev.Provide | ev.FindProviders
"""What our own program may want."""

_log = RoomLogger("dht")


@dataclass(slots=True)
class _Operation:
    """An operation that somebody waits for."""

    outcome: asyncio.Future[ev.Outcome]
    kind: str
    started: float
    on_step: Callable[[ev.Step], None] | None


class _Waiter:
    """Takes the reply to one request of ours; see ``kontinuum.rpc.outgoing.Waiter``."""

    __slots__ = ("_ask", "_ip", "_sent_at", "_service")

    def __init__(self, service: DhtService, ask: ev.Ask, ip: str, sent_at: float) -> None:
        self._service = service
        self._ask = ask
        self._ip = ip
        self._sent_at = sent_at

    def done(self) -> bool:
        """Never before it was told."""
        return False

    def set_result(self, result: bytes) -> None:
        """The reply came."""
        self._service.on_reply(self._ask, result, self._ip, self._sent_at)

    def set_exception(self, exception: BaseException) -> None:
        """There will be none."""
        self._service.on_failed(self._ask, _failure(exception))


class DhtService:
    """Runs one machine. Call :meth:`start` in the loop that will run it, :meth:`close` before the rpc room's.

    Args:
        machine: The DHT of this node; nobody else feeds it.
        rpc: The calls; the handler is registered here if the node answers others.
        connection_of: The connection in use with a peer, if there is one.
        reach: Connects to a peer at the addresses of its contact; raises a KontinuumError.
        usable: Whether a connection in use can carry our requests; if not, ``reach`` makes another one.
        keep: Told of each record that is to be written to disk, or removed from it.
        state_changed: Told where the node stands with the network.
    """

    def __init__(
        self,
        machine: Dht,
        rpc: RpcService,
        *,
        connection_of: Callable[[PeerId], Connection | None],
        reach: Callable[[Contact], Awaitable[Connection]],
        usable: Callable[[Connection], bool] = lambda _connection: True,
        keep: Callable[[ev.Keep | ev.Drop], None],
        state_changed: Callable[[State], None],
    ) -> None:
        self.machine = machine
        self.counts: Counter[str] = Counter()
        """Requests that were none, and other things that the machine never saw, by name."""
        self.latencies: dict[str, Histogram] = {}
        """How long operations took, by kind."""
        self.dead_seeds: set[PeerId] = set()
        """Bootstrap contacts that did not answer when they were asked last."""
        self.asks = 0
        """Requests in flight."""
        self._rpc = rpc
        self._connection_of = connection_of
        self._reach = reach
        self._usable = usable
        self._state_changed = state_changed
        self._loop: asyncio.AbstractEventLoop
        self._seeds: set[PeerId] = set()
        self._numbers = count(1)
        self._operations: dict[int, _Operation] = {}
        self._settled = asyncio.Event()
        self._waiting: deque[ev.Ask] = deque()
        self._inbox: deque[ev.Event] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._running = False
        self._closing = False
        self._ticket = 0
        self._answer: KadMessage | None = None
        self._encoded: tuple[KadMessage, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._performers: dict[type, Callable[..., None]] = {
            ev.Ask: self._on_ask,
            ev.Answer: self._on_answer,
            ev.Completed: self._on_completed,
            ev.Step: self._on_step,
            ev.Keep: keep,
            ev.Drop: keep,
            ev.StateChanged: self._on_state_changed,
        }

    @property
    def queued(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    # --- life ---

    def start(self, own: Contact, *, seeds: Iterable[Contact], saved: Iterable[Contact]) -> None:
        """Begin to answer others, and to look for them."""
        self._loop = asyncio.get_running_loop()
        if self.machine.config.server:
            self._rpc.add_handler(PROTOCOL, self._on_request)
        named = tuple(seeds)
        self._seeds = {seed.peer_id for seed in named}
        self.feed(ev.SelfChanged(own))
        self.feed(ev.Start(named, tuple(saved)))

    async def close(self) -> None:
        """Ask nobody any more; operations fail. A second call does nothing."""
        self._closing = True
        self._settled.set()
        if self._timer is not None:
            self._timer.cancel()
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for operation in self._operations.values():
            if not operation.outcome.done():
                operation.outcome.set_exception(UnavailableError("the node stops"))

    # --- for the node ---

    def feed(self, event: ev.Event) -> None:
        """Let the machine take ``event`` now, or after what it is doing."""
        self._inbox.append(event)
        if not self._running:
            self._run()

    def number(self) -> int:
        """A number for a new operation."""
        return next(self._numbers)

    async def operate(self, command: Command, on_step: Callable[[ev.Step], None] | None = None) -> ev.Outcome:
        """Run an operation to its end. Cancelling ends it.

        Args:
            command: What; its number is fresh from :meth:`number`.
            on_step: Told of each request, if the command asks for a trace.

        Raises:
            UnavailableError: The node stops.
        """
        if self._closing:
            raise UnavailableError("the node stops")
        outcome: asyncio.Future[ev.Outcome] = self._loop.create_future()
        kind = type(command).__name__
        self._operations[command.operation] = _Operation(outcome, kind, self._loop.time(), on_step)
        try:
            self.feed(command)
            return await outcome
        except asyncio.CancelledError:
            self.feed(ev.Cancel(command.operation))
            raise
        finally:
            del self._operations[command.operation]

    async def settled(self) -> State:
        """Where the node stands with the network, once that is known, or once it stops."""
        await self._settled.wait()
        return self.machine.state

    # --- the machine ---

    def _run(self) -> None:
        """Feed the machine until nothing is left to be done in this turn."""
        self._running = True
        machine, inbox, waiting, now = self.machine, self._inbox, self._waiting, self._loop.time
        try:
            while not self._closing:
                if inbox:
                    event = inbox.popleft()
                    try:
                        effects = machine.handle(event, now())
                    except Exception as error:  # noqa: BLE001
                        self._on_fault(event, error)
                        continue
                    for effect in effects:
                        self._performers[type(effect)](effect)
                elif waiting and self.asks < ASKS_MAX:
                    self._send(waiting.popleft())
                    machine.adaptation.queued(len(waiting))
                else:
                    break
        finally:
            self._running = False
        self._arm()

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        # A timer that comes too early does no harm: most deadlines are met, and arming costs more.
        if due is not None and due < self._timer_at - TIMER_STEP_S and not self._closing:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = max(due, self._loop.time() + TIMER_STEP_S)
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._running = True
        try:
            effects = self.machine.handle_timeout(self._loop.time())
        except Exception as error:  # noqa: BLE001
            _log.error("a deadline of the DHT could not be handled", exc_info=error)
            self._running = False
            self._timer_at = self._loop.time() + FAULT_PAUSE_S
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)
            return
        for effect in effects:
            self._performers[type(effect)](effect)
        self._run()

    def _on_fault(self, event: ev.Event, error: Exception) -> None:
        """A bug of ours, or misuse, costs one event, not the calls of others that end in this turn."""
        operation = self._operations.get(event.operation) if isinstance(event, Command) else None
        if operation is not None and not operation.outcome.done():
            operation.outcome.set_exception(error)
        else:
            _log.error("an event of the DHT could not be handled", exc_info=error)

    def _on_completed(self, effect: ev.Completed) -> None:
        operation = self._operations.get(effect.operation)
        if operation is None or operation.outcome.done():
            return
        if (latency := self.latencies.get(operation.kind)) is None:
            latency = self.latencies[operation.kind] = Histogram()
        latency.observe(self._loop.time() - operation.started)
        operation.outcome.set_result(effect.outcome)

    def _on_step(self, effect: ev.Step) -> None:
        operation = self._operations.get(effect.operation)
        if operation is not None and operation.on_step is not None:
            operation.on_step(effect)

    def _on_state_changed(self, effect: ev.StateChanged) -> None:
        self._settled.set()
        self._state_changed(effect.state)

    # --- we ask ---

    def _on_ask(self, ask: ev.Ask) -> None:
        if self.asks < ASKS_MAX and not self._waiting:
            self._send(ask)
        else:
            self._waiting.append(ask)
            self.machine.adaptation.queued(len(self._waiting))

    def _send(self, ask: ev.Ask) -> None:
        self.asks += 1
        connection = self._connection_of(ask.peer.peer_id)
        if connection is not None and self._usable(connection):
            self._call(connection, ask, ask.timeout_s)
        else:
            dial = self._loop.create_task(self._dial(ask))
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)

    async def _dial(self, ask: ev.Ask) -> None:
        started = self._loop.time()
        try:
            async with asyncio.timeout(ask.timeout_s):
                connection = await self._reach(ask.peer.contact)
        except (TimeoutError, KontinuumError):
            self.on_failed(ask, Failure.UNREACHABLE)
        else:
            left_s = ask.timeout_s - (self._loop.time() - started)
            self._call(connection, ask, max(left_s, TIMER_STEP_S))

    def _call(self, connection: Connection, ask: ev.Ask, timeout_s: float) -> None:
        # A lookup sends the same message to many peers.
        if self._encoded is None or self._encoded[0] is not ask.message:
            self._encoded = ask.message, encode_prefixed(ask.message)
        waiter = _Waiter(self, ask, connection.remote_address[0], self._loop.time())
        try:
            self._rpc.begin_call(connection, PROTOCOL, self._encoded[1], timeout_s, waiter)
        except KontinuumError as error:
            self.on_failed(ask, _failure(error))

    def on_reply(self, ask: ev.Ask, body: bytes, ip: str, sent_at: float) -> None:
        """An answer came. Called by its waiter."""
        try:
            message = decode_prefixed(body)
        except PeerError:
            self.on_failed(ask, Failure.MALFORMED)
            return
        self.asks -= 1
        self.dead_seeds.discard(ask.peer.peer_id)
        self.feed(ev.Reply(ask.request, message, self._loop.time() - sent_at, ip))

    def on_failed(self, ask: ev.Ask, reason: Failure) -> None:
        """There will be no answer. Called by its waiter."""
        self.asks -= 1
        if ask.peer.peer_id in self._seeds and ask.peer.peer_id not in self.dead_seeds:
            self.dead_seeds.add(ask.peer.peer_id)
            _log.warning("a bootstrap contact does not answer", peer=ask.peer.peer_id.short, why=reason.value)
        self.feed(ev.Failed(ask.request, reason))

    # --- others ask ---

    def _on_request(self, peer_id: PeerId, data: bytes) -> bytes:
        try:
            message = decode_prefixed(data)
        except PeerError:
            self.counts["malformed"] += 1
            raise CallError(MALFORMED, "no message of this protocol") from None
        connection = self._connection_of(peer_id)
        if connection is None or self._running:
            raise CallError(REFUSED)
        self._answer = None
        self._ticket += 1
        self.feed(ev.Request(self._ticket, peer_id, connection.remote_address[0], message))
        if self._answer is None:
            raise CallError(REFUSED)
        return encode_prefixed(self._answer)

    def _on_answer(self, effect: ev.Answer) -> None:
        if effect.ticket == self._ticket:
            self._answer = effect.message


def _failure(error: BaseException) -> Failure:
    """What an error of a call means to the machine."""
    match error:
        case CallTimeoutError():
            return Failure.TIMEOUT
        case BusyError() | CallCancelledError() | UnknownProtocolError() | RemoteError():
            return Failure.REFUSED
    return Failure.UNREACHABLE
