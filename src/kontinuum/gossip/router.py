"""The gossip router of one node: the machine that all parts of this room belong to.

Events in, effects out (``events.py``). ``receiving`` takes messages in, ``publishing`` sends our own,
``meshes`` and ``gossiping`` do what the specification calls so, ``exchange`` and ``rendezvous`` find peers,
``outbox`` holds what waits for a peer. This file joins them, and keeps the time.

Source:   libp2p specs, pubsub/README.md, gossipsub v1.0, v1.1, v1.2. Where we differ, the parts say so, and
          docs/protocols/pubsub.md lists it.
Bounds:   those of the parts.
Trust:    whatever peers send is hostile input: it can cost them score, and nobody anything else.
Pure:     no I/O or clock; chance is a seedable Rng. Driven by ``kontinuum.gossip.service`` and
          ``kontinuum.sim``.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.gossip import events as ev
from kontinuum.gossip.exchange import PeerExchange
from kontinuum.gossip.forwarding import Forwarding
from kontinuum.gossip.gossiping import Gossiping
from kontinuum.gossip.meshes import Meshes
from kontinuum.gossip.outbox import Outbox
from kontinuum.gossip.parts import Parts
from kontinuum.gossip.peers import Peer
from kontinuum.gossip.publishing import Publishing
from kontinuum.gossip.receiving import Receiving
from kontinuum.gossip.rendezvous import Rendezvous
from kontinuum.gossip.signing import Author, SignedBytes
from kontinuum.gossip.snapshot import Snapshot, take_snapshot
from kontinuum.gossip.topics import check_topic
from kontinuum.messages.pubsub import Rpc, decode
from kontinuum.messages.pubsub_fields import subscription_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kontinuum.base.entropy import Rng
    from kontinuum.gossip.events import Effect, Event
    from kontinuum.gossip.params import GossipParams
    from kontinuum.gossip.peer_score import PeerScore
    from kontinuum.gossip.score_params import PeerScoreThresholds
    from kontinuum.gossip.topics import Topic
    from kontinuum.identity import PeerId

__all__ = ["Router", "SignedBytes"]

MALFORMED_PENALTY = 10.0
"""Offences (P7) for bytes that are no RPC. Our choice: the third one is the graylist."""

SUBSCRIPTIONS_PER_OFFENCE = 1000
"""Refused subscriptions that make one offence (P7). Our choice: a flood of 100,000 is the graylist."""

TOGGLES_MAX = 20
"""How often a peer may come back, in a heartbeat, into topics of ours that it left. Our choice: each return
is told to the application and may be sent what waits. Twice that, and each so many more, is an offence."""

STALLED_S = 60.0
"""Seconds after which a peer whose stream takes nothing is of no use. Our choice."""


class Router:
    """The gossip router of one node.

    Feed it with :meth:`handle`, or better :meth:`handle_batch` with all that came at once: the signatures of
    a batch are verified in one call, and what goes to the same peer shares RPCs. Perform effects in order.
    Every ``now`` is monotonic seconds and never goes backwards.

    Args:
        local: Who we are.
        params: The settings.
        scores: Keeps the score of each peer. With all weights 0 and ``thresholds`` at minus infinity, scoring
            is off.
        thresholds: From which score on a peer gets and gives what.
        rng: Chance for choices that are no secret.
        sign: The 64-byte Ed25519 signature by our key over exactly these bytes.
        verify: For each triple whether the signature is valid. Called once per batch, after the seen check.
        unix_ns: The Unix time in nanoseconds at a monotonic time: sequence numbers.
        open_record: Check a signed peer record that somebody gave us for a peer (peer, record); false if it
            is not of that peer. Raises nothing. Without it every record is refused.
        record_of: The signed peer record that we have of a peer, or empty bytes.
    """

    def __init__(
        self,
        local: PeerId,
        params: GossipParams,
        *,
        scores: PeerScore,
        thresholds: PeerScoreThresholds,
        rng: Rng,
        sign: Callable[[bytes], bytes],
        verify: Callable[[Sequence[SignedBytes]], Sequence[bool]],
        unix_ns: Callable[[float], int],
        open_record: Callable[[PeerId, bytes], bool] | None = None,
        record_of: Callable[[PeerId], bytes] | None = None,
    ) -> None:
        parts = self._parts = Parts(
            local, params, scores=scores, thresholds=thresholds, rng=rng, unix_ns=unix_ns
        )
        self._exchange = PeerExchange(
            parts, open_record=open_record, record_of=record_of or (lambda _peer: b"")
        )
        self._meshes = Meshes(parts, self._exchange)
        self._forwarding = Forwarding(parts)
        self._gossiping = Gossiping(parts, self._forwarding)
        self._receiving = Receiving(parts, self._gossiping, self._forwarding, verify)
        self._author = Author(local, sign, unix_ns)
        self._publishing = Publishing(parts, self._author)
        self._rendezvous = Rendezvous(parts, self._exchange)
        self._direct: dict[PeerId, None] = dict.fromkeys(params.direct_peers)
        self._tick = 0
        self._now = 0.0
        self._next_heartbeat: float | None = None
        self._handlers: dict[type, Callable[..., None]] = {
            ev.PeerConnected: self._on_peer_connected,
            ev.PeerDisconnected: self._on_peer_disconnected,
            ev.PeerRenamed: self._on_peer_renamed,
            ev.PeerInherits: self._on_peer_inherits,
            ev.Writable: self._on_writable,
            ev.Candidates: self._on_candidates,
            ev.Validated: self._on_validated,
            ev.Subscribe: self._on_subscribe,
            ev.Unsubscribe: self._on_unsubscribe,
            ev.Publish: self._on_publish,
            ev.PublishBatch: self._on_publish_batch,
            ev.AddDirectPeer: self._on_add_direct_peer,
            ev.RemoveDirectPeer: self._on_remove_direct_peer,
            ev.SetApplicationScore: self._on_set_application_score,
        }

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return what shall be done about it, in order.

        Raises nothing for anything that a peer sent. What our own program must not do (a topic that is none,
        too many topics) is a MisuseError. It has changed nothing; the other events of the batch are taken,
        and their effects come with the next call.
        """
        return self.handle_batch((event,), now)

    def handle_batch(self, events: Sequence[Event], now: float) -> list[Effect]:
        """:meth:`handle` for several events that came at the same time, cheaper than one by one."""
        misuse: MisuseError | None = None
        for event in events:
            if type(event) is ev.RpcReceived:
                self._on_rpc_received(event, now)
                continue
            self._receiving.finish(now)
            try:
                self._handlers[type(event)](event, now)
            except MisuseError as error:
                misuse = misuse or error
        self._receiving.finish(now)
        if misuse is not None:
            raise misuse
        return self._effects(now)

    def handle_timeout(self, now: float) -> list[Effect]:
        """Heartbeat, decay of scores."""
        interval_s = self._parts.params.heartbeat_interval_s
        if self._next_heartbeat is None:
            self._next_heartbeat = now + self._parts.params.heartbeat_initial_delay_s
        elif self._next_heartbeat <= now:
            # After a standstill the heartbeats that were missed are left out.
            self._next_heartbeat = max(self._next_heartbeat + interval_s, now + interval_s / 2)
            self._heartbeat(now)
        self._parts.scores.refresh(now)
        self._forwarding.handle_timeout(now)
        return self._effects(now)

    def next_deadline(self) -> float:
        """When :meth:`handle_timeout` wants to be called: at once for the first time."""
        if self._next_heartbeat is None:
            return 0.0
        refresh = self._parts.scores.next_refresh
        return min(
            self._next_heartbeat, self._forwarding.next_deadline(), inf if refresh is None else refresh
        )

    def adopt(self, local: PeerId, sign: Callable[[bytes], bytes]) -> None:
        """Another identity is ours from now on: messages of our own are its. All else goes on."""
        self._parts.adopt(local)
        self._author.adopt(local, sign)

    # --- what can be seen from outside ---

    def topics(self) -> list[str]:
        """The topics that we are in."""
        return list(self._parts.topics.joined)

    def topic_peers(self, topic: str) -> list[PeerId]:
        """Connected peers that are in a topic, whether or not we are."""
        found = self._parts.topics.by_name.get(topic)
        return [peer.peer_id for peer in found.peers] if found is not None else []

    def mesh_peers(self, topic: str) -> list[PeerId]:
        """Those of them in our mesh."""
        found = self._parts.topics.joined.get(topic)
        return [peer.peer_id for peer in found.mesh or ()] if found is not None else []

    def score(self, peer: PeerId) -> float:
        """The score of a peer, connected or not."""
        return self._parts.scores.score(peer)

    def counters(self) -> Mapping[str, int]:
        """What happened since the start, by name (``counters.py``)."""
        return self._parts.counters.as_dict()

    def snapshot(self) -> Snapshot:
        """The state of peers and topics at the last call: costs time by their number."""
        return take_snapshot(self._parts, self._ours(), self._receiving.pending, self._now)

    def _ours(self) -> Iterator[Topic]:
        yield from self._parts.topics.joined.values()
        yield from (topic for topic in self._publishing.fanouts if topic.mesh is None)

    # --- peers ---

    def _on_peer_connected(self, event: ev.PeerConnected, now: float) -> None:
        parts = self._parts
        if not parts.scores.add_peer(event.peer, event.address, now):
            parts.out.append(ev.Disconnect(event.peer, ev.DisconnectReason.TOO_MANY_PEERS))
            return
        peer = parts.peers.get(event.peer)
        if peer is None:
            box = Outbox(
                event.room_bytes,
                rpc_bytes=parts.params.rpc_bytes_target,
                bytes_max=parts.params.queue_bytes_max,
                counters=parts.counters,
            )
            peer = Peer(event.peer, event.protocol, box, outbound=event.outbound, address=event.address)
            peer.is_direct = event.peer in self._direct
            parts.peers[event.peer] = peer
        else:
            peer.outbox.room_bytes = event.room_bytes
            peer.outbox.forget_control()
            peer.protocol, peer.outbound, peer.address = event.protocol, event.outbound, event.address
            for topic in peer.topics.values():
                self._meshes.gone(topic, peer, now)  # It has forgotten that it was in our mesh.
            parts.topics.classify(peer)
        for topic in parts.topics.joined.values():
            peer.outbox.put_subscription(topic.greeting)
        for topic in peer.topics.values():
            self._meshes.came(topic, peer, now)
        parts.mark(peer)

    def _on_peer_disconnected(self, event: ev.PeerDisconnected, now: float) -> None:
        peer = self._parts.peers.pop(event.peer, None)
        if peer is None:
            return
        for topic in list(peer.topics.values()):
            self._leave(topic, peer, now)
        self._parts.scores.remove_peer(event.peer, now)

    def _on_peer_renamed(self, event: ev.PeerRenamed, now: float) -> None:
        parts = self._parts
        parts.scores.rename(event.peer, event.name, now)
        parts.backoff.rename(event.peer, event.name)
        self._publishing.rename(event.peer, event.name)
        if event.peer in self._direct:
            del self._direct[event.peer]
            self._direct[event.name] = None
        peer = parts.peers.pop(event.peer, None)
        if peer is None:
            return
        parts.peers[event.name] = peer
        peer.peer_id = event.name
        for topic in peer.topics.values():
            if topic.mesh is not None:
                parts.out += (ev.PeerLeft(topic.name, event.peer), ev.PeerJoined(topic.name, event.name))

    def _on_peer_inherits(self, event: ev.PeerInherits, now: float) -> None:
        self._parts.scores.inherit(event.peer, event.other, now)

    def _on_writable(self, event: ev.Writable, _now: float) -> None:
        peer = self._parts.peers.get(event.peer)
        if peer is not None:
            peer.outbox.room_bytes = event.room_bytes
            if len(peer.outbox):
                self._parts.mark(peer)

    def _on_add_direct_peer(self, event: ev.AddDirectPeer, now: float) -> None:
        self._direct[event.peer] = None
        peer = self._parts.peers.get(event.peer)
        if peer is None:
            self._connect_direct()
        else:
            self._meshes.exclude(peer, now)
            peer.is_direct = True
            self._parts.topics.classify(peer)

    def _on_remove_direct_peer(self, event: ev.RemoveDirectPeer, _now: float) -> None:
        self._direct.pop(event.peer, None)
        peer = self._parts.peers.get(event.peer)
        if peer is not None:
            peer.is_direct = False
            self._parts.topics.classify(peer)

    def _on_set_application_score(self, event: ev.SetApplicationScore, _now: float) -> None:
        self._parts.scores.set_application_score(event.peer, event.value)

    def _on_candidates(self, event: ev.Candidates, _now: float) -> None:
        self._rendezvous.found(event)

    # --- what peers say ---

    def _on_rpc_received(self, event: ev.RpcReceived, now: float) -> None:
        parts = self._parts
        peer = parts.peers.get(event.peer)
        if peer is None:
            parts.counters.rpcs_stray += 1
            return
        if parts.is_graylisted(peer):
            parts.counters.rpcs_graylisted += 1
            return
        parts.counters.rpcs_received += 1
        try:
            rpc = decode(event.data)
        except PeerError:
            parts.counters.rpcs_malformed += 1
            parts.penalize(peer, MALFORMED_PENALTY)
            return
        if rpc.subscriptions:
            self._take_subscriptions(peer, rpc.subscriptions, now)
        if rpc.messages:
            self._receiving.take(peer, rpc.messages, now)
        self._take_control(peer, rpc, now)

    def _take_control(self, peer: Peer, rpc: Rpc, now: float) -> None:
        if rpc.ihave:
            self._gossiping.handle_ihave(peer, rpc.ihave, now)
        if rpc.iwant:
            self._gossiping.handle_iwant(peer, rpc.iwant, now)
        if rpc.graft:
            self._meshes.handle_graft(peer, rpc.graft, now)
        if rpc.prune:
            self._meshes.handle_prune(peer, rpc.prune, now)
        if rpc.idontwant:
            self._gossiping.handle_idontwant(peer, rpc.idontwant, now)
        self._parts.counters.skipped += rpc.skipped

    def _take_subscriptions(self, peer: Peer, subscriptions: Sequence[tuple[bool, str]], now: float) -> None:
        parts, refused = self._parts, 0
        # Of each topic the last word counts: what a peer takes back in the same breath it has not done.
        for name, subscribe in {name: subscribe for subscribe, name in subscriptions}.items():
            known = peer.topics.get(name)
            if subscribe and known is None:
                topic = parts.topics.subscribe(peer, name)
                if topic is None:
                    refused += 1
                    continue
                if name in peer.topics_left:
                    peer.toggles += 1
                    parts.tolerate(peer, peer.toggles, TOGGLES_MAX)
                self._came(topic, peer, now)
            elif known is not None and not subscribe:
                if known.mesh is not None:
                    peer.topics_left.add(name)
                self._leave(known, peer, now)
        if refused:
            parts.counters.subscriptions_refused += refused
            parts.penalize(peer, refused / SUBSCRIPTIONS_PER_OFFENCE)

    def _came(self, topic: Topic, peer: Peer, now: float) -> None:
        if topic.mesh is not None:
            self._parts.out.append(ev.PeerJoined(topic.name, peer.peer_id))
        self._meshes.came(topic, peer, now)
        self._publishing.came(topic, peer, now)

    def _leave(self, topic: Topic, peer: Peer, now: float) -> None:
        if topic.mesh is not None:
            self._parts.out.append(ev.PeerLeft(topic.name, peer.peer_id))
        self._meshes.gone(topic, peer, now)
        self._parts.topics.unsubscribe(peer, topic)

    # --- what our own program wants ---

    def _on_subscribe(self, event: ev.Subscribe, now: float) -> None:
        parts = self._parts
        name = check_topic(event.topic)
        is_new = name not in parts.topics.joined
        topic = parts.topics.join(name)
        topic.validate = event.validate
        if is_new:
            self._tell_all(topic.greeting)
            self._meshes.join(topic, now)
            topic.fanout = None
            parts.out.extend(ev.PeerJoined(name, peer.peer_id) for peer in topic.peers)
            self._rendezvous.joined(topic, now)

    def _on_unsubscribe(self, event: ev.Unsubscribe, now: float) -> None:
        parts = self._parts
        topic = parts.topics.joined.get(event.topic)
        if topic is None:
            return
        self._meshes.leave(topic, now)
        self._tell_all(subscription_field(event.topic, subscribe=False))
        self._receiving.left(event.topic, now)
        self._rendezvous.left(topic)
        parts.topics.leave(topic)

    def _tell_all(self, field: bytes) -> None:
        for peer in self._parts.peers.values():
            peer.outbox.put_subscription(field)
            self._parts.mark(peer)

    def _on_publish(self, event: ev.Publish, now: float) -> None:
        self._publishing.publish(event.topic, event.data, event.token, now)
        self._seek(event.topic, now)

    def _on_publish_batch(self, event: ev.PublishBatch, now: float) -> None:
        self._publishing.publish_batch(event.messages, event.token, now)
        for name in dict.fromkeys(name for name, _ in event.messages):
            self._seek(name, now)

    def _seek(self, name: str, now: float) -> None:
        topic = self._parts.topics.by_name.get(name)
        if topic is not None and topic.fanout is not None:
            self._rendezvous.needed(topic, now)

    def _on_validated(self, event: ev.Validated, now: float) -> None:
        self._receiving.judge(event.message_id, event.verdict, now)

    # --- time ---

    def _heartbeat(self, now: float) -> None:
        parts = self._parts
        self._tick += 1
        parts.counters.heartbeats += 1
        self._exchange.heartbeat()
        self._forwarding.heartbeat()
        self._receiving.heartbeat(now)
        self._gossiping.begin_heartbeat(self._tick, now)
        self._look_at_peers(now)
        self._meshes.heartbeat(self._tick, now)
        self._publishing.heartbeat(now)
        self._gossiping.announce(now)
        self._rendezvous.heartbeat(self._ours(), now)
        if self._tick % parts.params.direct_connect_ticks == 1 or parts.params.direct_connect_ticks == 1:
            self._connect_direct()
        parts.seen.settle(parts.mcache.shift())
        parts.seen.tick(now, parts.unix_ns(now))

    def _look_at_peers(self, now: float) -> None:
        """Charge slow peers, and name those that we have no use for."""
        parts = self._parts
        for peer in parts.peers.values():
            box = peer.outbox
            if box.stalled_since is not None:
                box.expire(now)
                if box.is_stalled(now - STALLED_S):
                    box.stalled_since = now
                    parts.out.append(ev.Disconnect(peer.peer_id, ev.DisconnectReason.STALLED))
            if box.dropped:
                parts.scores.slow_peer(peer.peer_id, box.dropped)
                box.dropped = 0
            is_graylisted = parts.is_graylisted(peer)
            if is_graylisted and not peer.is_graylisted:
                parts.out.append(ev.Disconnect(peer.peer_id, ev.DisconnectReason.GRAYLISTED))
            peer.is_graylisted = is_graylisted

    def _connect_direct(self) -> None:
        missing = [ev.Candidate(peer) for peer in self._direct if peer not in self._parts.peers]
        if missing:
            self._parts.out.append(ev.Connect(None, tuple(missing)))

    def _effects(self, now: float) -> list[Effect]:
        parts, self._now = self._parts, now
        out, parts.out = parts.out, []
        marked, parts.marked = parts.marked, []
        for peer in marked:
            box = peer.outbox
            peer_id = peer.peer_id
            if parts.peers.get(peer_id) is not peer:
                continue
            for rpc in box.flush(now):
                parts.counters.rpcs_sent += 1
                parts.counters.bytes_sent += len(rpc)
                out.append(ev.Send(peer_id, rpc))
            if box.is_overflown:
                box.is_overflown = False
                out.append(ev.Disconnect(peer_id, ev.DisconnectReason.STALLED))
        return out
