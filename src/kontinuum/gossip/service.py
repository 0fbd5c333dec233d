"""The shell of the gossip router: runs the machine on real time and real streams.

What arrives in one turn of the loop goes into the machine as one batch, so that its signatures are verified
in one call and what it causes leaves together. What our own program wants goes in at once. No effect waits
for a peer: a stream is written to while it has room, and the machine's queues hold, or drop and count, the
rest.

Source: docs/protocols/topics.md.
Bounds: BATCH_MAX events per turn; the readers of streams hold theirs back (``streams``). Subscribers and
        validators have bounds of their own (``subscription``, ``validation``).
Trust:  the machine judges what peers send; a fault in it costs the events of one turn, not the node.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from functools import partial
from itertools import count
from time import thread_time
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.gossip import events as ev
from kontinuum.gossip.shell_errors import NotPublishedError
from kontinuum.gossip.validation import Validators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kontinuum.gossip.carrier import Carrier
    from kontinuum.gossip.router import Router
    from kontinuum.gossip.subscription import Subscription
    from kontinuum.gossip.validation import Validator
    from kontinuum.identity import PeerId

BATCH_MAX = 256
"""Events that the machine takes at once. Our choice: some 6 ms of signatures to verify; then calls and timers
have their turn."""

PUBLISHES_PER_TURN = 32
"""Messages that are published before the loop has its turn. Our choice: a program that publishes without a
pause must let them leave."""

TIMER_STEP_S = 0.001
"""Seconds from now at which a timer is set at the earliest: a fault in the machine must not keep the loop
from sleeping. Our choice."""

FAULT_PAUSE_S = 1.0
"""Seconds until deadlines are looked at again after a fault in one. Our choice, as for the DHT."""

_log = RoomLogger("gossip")


class _Peer:
    """Our stream to a peer, and how much of its room the machine has used since it was told."""

    __slots__ = ("asked", "carrier", "room_bytes", "used")

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.room_bytes = carrier.room_bytes if carrier.is_open else 0
        self.used = 0
        self.asked = False

    def connected(self, peer_id: PeerId) -> ev.PeerConnected:
        """What the machine is told of it, with the room that is left."""
        carrier = self.carrier
        room_bytes = max(0, self.room_bytes - self.used)
        return ev.PeerConnected(
            peer_id, carrier.protocol, carrier.outbound, carrier.address, room_bytes=room_bytes
        )


class GossipService:
    """Runs one router. Call :meth:`start` in the loop that will run it.

    Args:
        local: Who we are.
        machine: The router of this node; nobody else feeds it.
        rendezvous: Told of Connect, FindPeers, Advertise and Withdraw.
        unwanted: Told of peers that the router has no use for.
        joined: Told of peers that come to topics of ours, and leave them.
    """

    def __init__(
        self,
        local: PeerId,
        machine: Router,
        *,
        rendezvous: Callable[[ev.Connect | ev.FindPeers | ev.Advertise | ev.Withdraw], None],
        unwanted: Callable[[ev.Disconnect], None],
        joined: Callable[[ev.PeerJoined | ev.PeerLeft], None],
    ) -> None:
        self.machine = machine
        self._local = local
        self.validators = Validators(self._on_verdict)
        self.counts: Counter[str] = Counter()
        """What the machine does not count: delivered, published, subscriber_dropped, faults."""
        self.busy_s = 0.0
        """Seconds of processor time that the machine and its effects have taken."""
        self.loop: asyncio.AbstractEventLoop
        """Where all of this runs."""
        self._peers: dict[PeerId, _Peer] = {}
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._tokens = count(1)
        self._waiting: dict[int, _Publication] = {}
        self._inbox: deque[ev.Event] = deque()
        self._consumers: deque[Callable[[int], None] | None] = deque()
        self._turn: asyncio.Future[None] | None = None
        self._scheduled = False
        self._running = False
        self._closing = False
        self._published_in_turn = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._performers: dict[type, Callable[[Any], None]] = {
            ev.Send: self._on_send,
            ev.Deliver: self._on_deliver,
            ev.Validate: self._on_validate,
            ev.Published: self._on_published,
            ev.NotPublished: self._on_not_published,
            ev.Connect: rendezvous,
            ev.FindPeers: rendezvous,
            ev.Advertise: rendezvous,
            ev.Withdraw: rendezvous,
            ev.Disconnect: unwanted,
            ev.PeerJoined: joined,
            ev.PeerLeft: joined,
        }

    # --- life ---

    def start(self) -> None:
        """Begin: the first heartbeat is due."""
        self.loop = asyncio.get_running_loop()
        self._arm()

    async def close(self) -> None:
        """Leave all topics and tell the peers, end subscriptions, fail what waits. Once is enough."""
        if self._closing:
            return
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        for peer in self._peers.values():
            peer.carrier.close()
        self._peers.clear()
        await self.validators.close()
        for publication in self._waiting.values():
            publication.fail(UnavailableError("the node stops"))
        self._wake_readers()

    def adopt(self, local: PeerId, sign: Callable[[bytes], bytes]) -> None:
        """Another identity is ours from now on; topics, meshes and streams go on."""
        self.machine.adopt(local, sign)
        self._local = local

    # --- for those who own streams ---

    def opened(self, peer_id: PeerId, carrier: Carrier) -> None:
        """There is a stream of ours to a peer, the first one or another one in its place."""
        if self._closing:
            return
        peer = self._peers[peer_id] = _Peer(carrier)
        self.feed(peer.connected(peer_id))

    def closed(self, peer_id: PeerId, carrier: Carrier) -> None:
        """That stream is over, and no other takes its place now."""
        if self.carrier(peer_id) is carrier:
            del self._peers[peer_id]
            self.feed(ev.PeerDisconnected(peer_id))

    def rename(self, peer_id: PeerId, name: PeerId) -> None:
        """A peer goes by another name from now on: its stream, and what is under way on it, go on."""
        while self._inbox and not self._closing:
            self._work()  # What it sent under the old name came from that one.
        peer = self._peers.get(peer_id)
        if peer is not None and name in self._peers:  # There is another stream to it; this one takes over.
            self.inherit(name, peer_id)
            self.closed(peer_id, peer.carrier)
            self.opened(name, peer.carrier)
            return
        if peer is not None:
            self._peers[name] = self._peers.pop(peer_id)
        self.command(ev.PeerRenamed(peer_id, name))

    def inherit(self, peer_id: PeerId, other: PeerId) -> None:
        """Two names are the same peer's: what counts against one counts against the other."""
        self.feed(ev.PeerInherits(peer_id, other))

    def greet(self, peer_id: PeerId) -> None:
        """The peer lost what we had told it: its stream to us broke and is another one now."""
        if (peer := self._peers.get(peer_id)) is not None:
            self.feed(peer.connected(peer_id))

    def carrier(self, peer_id: PeerId) -> Carrier | None:
        """Our stream to a peer, if it is one of ours to speak to."""
        peer = self._peers.get(peer_id)
        return None if peer is None else peer.carrier

    def received(self, peer_id: PeerId, rpc: bytes, consume: Callable[[int], None] | None = None) -> None:
        """A peer sent an RPC, protobuf bytes.

        Args:
            peer_id: Who.
            rpc: What.
            consume: Called with its length when the machine has seen it: the peer may send more.
        """
        self.feed(ev.RpcReceived(peer_id, rpc), consume)

    def writable(self, peer_id: PeerId, carrier: Carrier, waiting_bytes: int) -> None:
        """The stream to a peer has so many bytes left to send, and room for more."""
        peer = self._peers.get(peer_id)
        if peer is not None and peer.carrier is carrier:
            peer.asked = False
            self._tell_room(peer_id, peer, waiting_bytes)

    async def turn(self) -> None:
        """Wait until all that was fed before has been handled: how a reader of a stream keeps pace."""
        if not self._inbox or self._closing:
            return
        if self._turn is None:
            self._turn = self.loop.create_future()
        await asyncio.shield(self._turn)

    # --- for the node ---

    def feed(self, event: ev.Event, consume: Callable[[int], None] | None = None) -> None:
        """Let the machine take ``event`` in the next turn of the loop, with all else that comes now."""
        self._inbox.append(event)
        self._consumers.append(consume)
        if not self._scheduled and not self._closing:
            self._scheduled = True
            self.loop.call_soon(self._on_turn)

    def command(self, event: ev.Event) -> None:
        """Let the machine take what our own program wants, at once.

        Raises:
            MisuseError: It is against the rules; nothing has happened.
        """
        if self._running:  # A validator or a carrier wants something; its turn comes.
            self.feed(event)
            return
        if self._inbox:
            self._work()
        self._handle(partial(self.machine.handle, event))
        self._arm()

    def subscribe(self, subscription: Subscription) -> None:
        """Let a subscription have the messages of its topic.

        Raises:
            MisuseError: The topic is none.
            UnavailableError: The node stops.
        """
        if self._closing:
            raise UnavailableError("the node stops")
        topic = subscription.topic
        if topic not in self._subscriptions:
            self.command(ev.Subscribe(topic, validate=self.validators.of(topic)))
        self._subscriptions.setdefault(topic, []).append(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Let it have no more; with the last one of its topic the node leaves the topic."""
        subscriptions = self._subscriptions.get(subscription.topic, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)
            if not subscriptions:
                del self._subscriptions[subscription.topic]
                if not self._closing:
                    self.command(ev.Unsubscribe(subscription.topic))

    def subscriptions(self) -> list[Subscription]:
        """All of them."""
        return [each for subscriptions in self._subscriptions.values() for each in subscriptions]

    def add_validator(self, topic: str, validator: Validator) -> None:
        """Ask ``validator`` about messages of ``topic``. Raises a MisuseError if it is there already."""
        self.validators.add(topic, validator)
        self._tell_validate(topic)

    def remove_validator(self, topic: str, validator: Validator) -> None:
        """Ask it no more. Raises a MisuseError if it is none of that topic."""
        self.validators.remove(topic, validator)
        self._tell_validate(topic)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> list[int]:
        """Sign and send messages, topic and data each. Waits for nobody.

        Returns:
            For each of them, to how many peers it was queued.

        Raises:
            MisuseError: A topic is none.
            NotPublishedError: One cannot be sent; those before it were.
            UnavailableError: The node stops.
        """
        if self._closing:
            raise UnavailableError("the node stops")
        if not messages:
            return []
        self._published_in_turn += len(messages)
        if self._published_in_turn > PUBLISHES_PER_TURN:
            self._published_in_turn = 0
            await asyncio.sleep(0)
        token = next(self._tokens)
        publication = self._waiting[token] = _Publication(len(messages), self.loop)
        try:
            if len(messages) == 1:
                self.command(ev.Publish(*messages[0], token))
            else:
                self.command(ev.PublishBatch(tuple(messages), token))
            return await publication.outcome
        finally:
            del self._waiting[token]

    # --- the machine ---

    def _on_turn(self) -> None:
        self._scheduled = False
        self._published_in_turn = 0
        if self._closing:
            return
        if self._inbox:
            self._work()
        if self._inbox:
            self._scheduled = True
            self.loop.call_soon(self._on_turn)
        else:
            self._wake_readers()
        self._arm()

    def _work(self) -> None:
        size = min(len(self._inbox), BATCH_MAX)
        batch = [self._inbox.popleft() for _ in range(size)]
        try:
            self._handle(partial(self.machine.handle_batch, batch))
        except Exception as error:  # noqa: BLE001
            self._on_fault("events of the gossip router could not be handled", error)
        for event in batch:
            consume = self._consumers.popleft()
            if consume is not None and isinstance(event, ev.RpcReceived):
                consume(len(event.data))

    def _handle(self, act: Callable[[float], Iterable[ev.Effect]]) -> None:
        started = thread_time()
        self._running = True
        try:
            for effect in act(self.loop.time()):
                self._performers[type(effect)](effect)
        finally:
            self._running = False
            self.busy_s += thread_time() - started

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        # A timer that comes too early does no harm, and arming costs more than that.
        if due < self._timer_at - TIMER_STEP_S and not self._closing:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = max(due, self.loop.time() + TIMER_STEP_S)
            self._timer = self.loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        try:
            self._handle(self.machine.handle_timeout)
        except Exception as error:  # noqa: BLE001
            self._on_fault("a deadline of the gossip router could not be handled", error)
            self._timer_at = self.loop.time() + FAULT_PAUSE_S
            self._timer = self.loop.call_at(self._timer_at, self._on_timer)
        else:
            self._arm()

    def _on_fault(self, what: str, error: Exception) -> None:
        self.counts["faults"] += 1
        _log.error(what, exc_info=error)

    def _wake_readers(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
        self._turn = None

    # --- effects ---

    def _on_send(self, effect: ev.Send) -> None:
        peer = self._peers.get(effect.peer)
        if peer is None:
            return
        waiting_bytes = peer.carrier.send(effect.data)
        peer.used += len(effect.data)
        room_bytes = peer.carrier.room_bytes
        if 2 * peer.used >= room_bytes and not peer.asked:
            if 2 * waiting_bytes <= room_bytes:
                self._tell_room(effect.peer, peer, waiting_bytes)
            elif peer.carrier.call_when_low():
                peer.asked = True
            else:
                self._tell_room(effect.peer, peer, room_bytes // 2)

    def _tell_room(self, peer_id: PeerId, peer: _Peer, waiting_bytes: int) -> None:
        peer.used, peer.room_bytes = 0, peer.carrier.room_bytes - waiting_bytes
        self.feed(ev.Writable(peer_id, peer.room_bytes))

    def _on_deliver(self, effect: ev.Deliver) -> None:
        message = effect.message
        own = message.received_from == self._local
        self.counts["delivered"] += not own
        for subscription in self._subscriptions.get(message.topic, ()):
            if (subscription.own or not own) and not subscription.put(message):
                self.counts["subscriber_dropped"] += 1

    def _on_validate(self, effect: ev.Validate) -> None:
        self.validators.begin(effect.message)

    def _on_verdict(self, message: ev.Message, verdict: ev.Verdict) -> None:
        self.feed(ev.Validated(message.message_id, verdict))

    def _tell_validate(self, topic: str) -> None:
        if topic in self._subscriptions:
            self.command(ev.Subscribe(topic, validate=self.validators.of(topic)))

    def _on_published(self, effect: ev.Published) -> None:
        self.counts["published"] += 1
        if (publication := self._waiting.get(effect.token)) is not None:
            publication.published(effect.peers)

    def _on_not_published(self, effect: ev.NotPublished) -> None:
        if (publication := self._waiting.get(effect.token)) is not None:
            publication.fail(NotPublishedError(effect.reason))


class _Publication:
    """Messages that somebody publishes, and waits for."""

    __slots__ = ("_missing", "_peers", "outcome")

    def __init__(self, messages: int, loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: asyncio.Future[list[int]] = loop.create_future()
        self._peers: list[int] = []
        self._missing = messages

    def published(self, peers: int) -> None:
        """One is on its way to so many peers."""
        self._peers.append(peers)
        if len(self._peers) >= self._missing and not self.outcome.done():
            self.outcome.set_result(self._peers)

    def fail(self, error: Exception) -> None:
        """One cannot be sent."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
