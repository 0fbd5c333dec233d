"""IHAVE, IWANT and IDONTWANT: what is said about messages instead of sending them.

Source:   libp2p specs, gossipsub v1.0 ("IHAVE", "IWANT", "Gossip emission"), v1.1 ("Adaptive Gossip
          Dissemination", "Spam Protection Measures"), v1.2 ("IDONTWANT"); go-libp2p-pubsub for the caps.
Differs:  what a full queue dropped is announced to that peer, in the mesh or not; floods cost P7, where go
          only ignores them; IDONTWANT follows the check of the signature, so a forgery silences nobody.
Bounds:   the max_* of ``params`` for each peer and heartbeat.
Trust:    all of it is hostile input.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.gossip.entry import Entry, State
from kontinuum.gossip.outbox import GOSSIP_AGE_MAX_S
from kontinuum.messages.pubsub_fields import idontwant_part, ihave_part, iwant_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kontinuum.gossip.forwarding import Forwarding
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.topics import Topic
    from kontinuum.messages.pubsub import IHave

IDS_PER_PART = 1000
"""Ids in one IHAVE or IWANT that we send. Our choice: 48 kB, so that RPCs stay below rpc_bytes_target."""

IWANT_USELESS_MAX = 100
"""Ids that a peer asks for in a heartbeat and does not get (unknown, too often) before it costs anything. Our
choice: an honest one asks for what we announced."""

FLOOD_PENALTY = 1.0
"""Offences (P7) for each time that a peer exceeds what it may say in a heartbeat by as much again. Our
choice."""

FLOOD_PENALTY_MAX = 10.0
"""Offences for one kind of flood in one heartbeat. Our choice."""


class Gossiping:
    """Gossip with all peers."""

    def __init__(self, parts: Parts, forwarding: Forwarding) -> None:
        self._parts = parts
        self._forwarding = forwarding
        self._tick = 0

    # --- what peers say ---

    def handle_ihave(self, peer: Peer, ihaves: Sequence[IHave], now: float) -> None:
        """A peer has these messages: ask for those that we lack."""
        parts, params, counters = self._parts, self._parts.params, self._parts.counters
        count = sum(len(ids) for _, ids in ihaves)
        counters.ihave_received += count
        peer.ihave_messages += 1
        room = params.max_ihave_length - peer.ids_asked
        if peer.ihave_messages > params.max_ihave_messages or room <= 0:
            counters.flooded += count
            return
        if not parts.may_gossip_with(peer):
            return
        wanted = self._lacking(ihaves)
        if not wanted:
            return
        asked = parts.rng.sample(list(wanted), room)
        peer.ids_asked += len(asked)
        counters.iwant_sent += len(asked)
        parts.promises.add(parts.rng.choice(asked), peer, now)
        for at in range(0, len(asked), IDS_PER_PART):
            part = iwant_part(asked[at : at + IDS_PER_PART])
            peer.outbox.put_gossip((now + GOSSIP_AGE_MAX_S, part, b""))
        parts.mark(peer)

    def _lacking(self, ihaves: Sequence[IHave]) -> dict[bytes, None]:
        parts = self._parts
        known, joined = parts.seen.known, parts.topics.joined
        is_replay = parts.seen.is_replay
        own, size = parts.own, len(parts.local.multihash)
        wanted: dict[bytes, None] = {}
        for topic, ids in ihaves:
            if topic not in joined:
                continue
            limit = parts.params.max_ihave_length
            parts.counters.flooded += max(0, len(ids) - limit)
            for message_id in ids[:limit]:
                author = message_id[:size]
                # A replay would be dropped when it comes, and break the promise of an honest peer.
                if message_id not in known and author not in own and not is_replay(author, message_id[size:]):
                    wanted[message_id] = None
        return wanted

    def handle_iwant(self, peer: Peer, ids: Sequence[bytes], now: float) -> None:
        """A peer lacks these messages: send those that we have."""
        parts, counters = self._parts, self._parts.counters
        counters.iwant_received += len(ids)
        if not parts.may_gossip_with(peer):
            peer.iwant_useless += len(ids)
            return
        retransmission, dont_want = parts.params.gossip_retransmission, peer.outbox.dont_want
        for message_id in ids:
            entry = parts.mcache.get(message_id)
            if entry is None or entry.asked.get(peer, 0) >= retransmission:
                peer.iwant_useless += 1
            elif message_id not in dont_want:
                entry.asked[peer] = entry.asked.get(peer, 0) + 1
                counters.iwant_answered += 1
                counters.messages_queued += 1
                peer.outbox.put_gossip((now + GOSSIP_AGE_MAX_S, entry.field, message_id))
        parts.mark(peer)

    def handle_idontwant(self, peer: Peer, ids: Sequence[bytes], now: float) -> None:
        """A peer has these messages: do not send them to it."""
        params, counters = self._parts.params, self._parts.counters
        counters.idontwant_received += len(ids)
        room = params.max_idontwant_messages - peer.idontwant_ids
        peer.idontwant_ids += len(ids)
        counters.flooded += max(0, len(ids) - max(0, room))
        until = self._tick + params.idontwant_ttl
        dont_want, known = peer.outbox.dont_want, self._parts.seen.known
        for message_id in ids[: max(0, room)]:
            entry = known.get(message_id)
            if isinstance(entry, Entry) and entry.state is State.VALID:
                self._forwarding.observe(entry, now - entry.at)
            dont_want.pop(message_id, None)  # To the end: they are in the order of their time.
            dont_want[message_id] = until

    # --- what we say ---

    def dont_want(self, topic: Topic, message_ids: Mapping[bytes, Peer | None]) -> None:
        """Tell the mesh that we have these messages; of each, all but the peer that brought it."""
        for peer in topic.mesh or ():
            if not peer.protocol.has_idontwant:
                continue
            ids = [message_id for message_id, source in message_ids.items() if source is not peer]
            if ids:
                self._parts.control(peer, idontwant_part(ids))
                self._parts.counters.idontwant_sent += len(ids)

    def begin_heartbeat(self, tick: int, now: float) -> None:
        """Look back at how peers behaved, and begin to count anew."""
        self._tick = tick
        self._judge(now)
        for peer in self._parts.peers.values():
            peer.begin_heartbeat()
            self._forget_unwanted(peer)

    def announce(self, now: float) -> None:
        """Announce what is new."""
        parts = self._parts
        told: dict[Peer, int] = {}
        for peer in parts.peers.values():
            if peer.outbox.missed:
                self._announce_missed(peer, told, now)
        for name, ids in parts.mcache.gossip_ids().items():
            topic = parts.topics.by_name.get(name)
            if topic is None:
                continue
            # v1.1, "Flood Publishing": who only publishes has sent it to everybody already.
            pushed = topic.mesh if topic.mesh is not None or parts.params.flood_publish else topic.fanout
            if pushed is not None:
                self._announce_topic(topic, pushed, ids, told, now)

    def _judge(self, now: float) -> None:
        parts, params = self._parts, self._parts.params
        for peer in parts.promises.broken(now):
            if peer.outbox.stalled_since is None:  # Otherwise our own question may not have left yet.
                parts.counters.promises_broken += 1
                parts.penalize(peer, 1.0)
        for peer in parts.peers.values():
            offences = (
                _excess(peer.ihave_messages, params.max_ihave_messages)
                + _excess(peer.iwant_useless, IWANT_USELESS_MAX)
                + _excess(peer.idontwant_ids, params.max_idontwant_messages)
            )
            if offences:
                parts.penalize(peer, offences)

    def _forget_unwanted(self, peer: Peer) -> None:
        dont_want = peer.outbox.dont_want
        over: list[bytes] = []
        for message_id, until in dont_want.items():
            if until > self._tick:
                break
            over.append(message_id)
        for message_id in over:
            del dont_want[message_id]

    def _announce_missed(self, peer: Peer, told: dict[Peer, int], now: float) -> None:
        """Announce what did not reach a peer, whether or not it is in a mesh."""
        topics: dict[str, list[bytes]] = {}
        for message_id in peer.outbox.missed:
            entry = self._parts.mcache.get(message_id)
            if entry is not None and entry.topic in peer.topics and peer.protocol.has_mesh:
                topics.setdefault(entry.topic, []).append(message_id)
        peer.outbox.missed.clear()
        if self._parts.may_gossip_with(peer):
            for name, ids in topics.items():
                self._tell(peer, _Announcement(name, ids), told, now)

    def _announce_topic(
        self,
        topic: Topic,
        pushed: Mapping[Peer, None],
        ids: list[bytes],
        told: dict[Peer, int],
        now: float,
    ) -> None:
        """Announce a topic's messages to some of those to whom they are not pushed."""
        parts, params = self._parts, self._parts.params
        lazy = [
            peer
            for peer in topic.peers
            if peer not in pushed
            and peer.protocol.has_mesh
            and not peer.is_direct
            and parts.may_gossip_with(peer)
        ]
        count = max(params.D_lazy, int(params.gossip_factor * len(lazy)))
        announcement = _Announcement(topic.name, ids)
        for peer in parts.rng.sample(lazy, count):
            self._tell(peer, announcement, told, now)

    def _tell(self, peer: Peer, announcement: _Announcement, told: dict[Peer, int], now: float) -> None:
        """Announce messages to one peer; of too many some by lot, so that others hear of other ones."""
        parts = self._parts
        room = parts.params.max_ihave_length - told.get(peer, 0)
        if room < len(announcement.ids):
            if room <= 0:
                return
            announcement = _Announcement(announcement.topic, parts.rng.sample(announcement.ids, room))
        told[peer] = told.get(peer, 0) + len(announcement.ids)
        for part in announcement.parts():
            peer.outbox.put_gossip((now + GOSSIP_AGE_MAX_S, part, b""))
        parts.counters.ihave_sent += len(announcement.ids)
        parts.mark(peer)


class _Announcement:
    """Messages of one topic to be announced; written once for all who hear of the same ones."""

    def __init__(self, topic: str, ids: list[bytes]) -> None:
        self.topic = topic
        self.ids = ids
        self._parts: list[bytes] = []

    def parts(self) -> list[bytes]:
        """As parts of control fields."""
        if not self._parts:
            self._parts = [
                ihave_part(self.topic, self.ids[at : at + IDS_PER_PART])
                for at in range(0, len(self.ids), IDS_PER_PART)
            ]
        return self._parts


def _excess(count: int, limit: int) -> float:
    """Offences for exceeding a limit: none up to twice the limit, since heartbeats of two peers differ."""
    return min(FLOOD_PENALTY_MAX, FLOOD_PENALTY * max(0, (count - 1) // limit - 1))
