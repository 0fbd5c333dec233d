"""Messages of our own: to whom they go, and what becomes of those that find nobody.

Source:   libp2p specs, gossipsub v1.0 (fanout), v1.1 ("Flood Publishing", "Explicit Peering Agreements").
Differs:  a message that finds no peer of its topic waits ``publish_wait_s`` for the first ones, where others
          drop it: so publishing before bootstrap delivers.
Bounds:   WAITING_MAX messages and WAITING_BYTES_MAX bytes wait for peers; one fanout for each topic.
Trust:    what our own program gives.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.gossip.entry import Entry, State
from kontinuum.gossip.events import Deliver, Message, NotPublished, Published
from kontinuum.gossip.outbox import OWN_AGE_MAX_S
from kontinuum.gossip.topics import check_topic
from kontinuum.messages.pubsub_fields import message_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.gossip.outbox import Item
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.signing import Author
    from kontinuum.gossip.topics import Topic
    from kontinuum.identity import PeerId

WAITING_MAX = 1024
"""Messages of our own that wait for a peer of their topic. Our choice. Beyond it the oldest are given up."""

WAITING_BYTES_MAX = 8 * 2**20
"""Their bytes. Our choice: as one peer's queue."""


class _Waiting:
    """A message that has found too few peers."""

    __slots__ = ("expires_at", "given", "item", "peers_left", "topic")

    def __init__(self, topic: str, item: Item, peers_left: int, expires_at: float) -> None:
        self.topic = topic
        self.item = item
        self.peers_left = peers_left
        """To how many more it goes."""
        self.given: set[PeerId] = set()
        """Who had it: a peer that leaves the topic and comes again takes nobody else's place."""
        self.expires_at = expires_at


class Publishing:
    """Sends our own messages."""

    def __init__(self, parts: Parts, author: Author) -> None:
        self._parts = parts
        self._author = author
        self._waiting: deque[_Waiting] = deque()
        """The oldest first."""
        self._waiting_bytes = 0
        self._fanouts: dict[str, Topic] = {}

    @property
    def fanouts(self) -> list[Topic]:
        """The topics that we publish to without being in them."""
        return list(self._fanouts.values())

    def publish(self, topic: str, data: bytes, token: int, now: float) -> None:
        """Send one message."""
        self._publish_all(((topic, data),), token, now)

    def publish_batch(self, messages: Sequence[tuple[str, bytes]], token: int, now: float) -> None:
        """Send several; each peer gets them in an order that begins at another one."""
        self._publish_all(messages, token, now)

    def came(self, topic: Topic, peer: Peer, now: float) -> None:
        """A peer has come into a topic: it gets what waits for one."""
        if not self._waiting or not self._parts.may_publish_to(peer):
            return
        for waiting in self._waiting:
            if (
                waiting.topic == topic.name
                and waiting.peers_left
                and waiting.expires_at > now
                and peer.peer_id not in waiting.given
            ):
                waiting.peers_left -= 1
                waiting.given.add(peer.peer_id)
                self._put(peer, waiting.item)

    def rename(self, peer: PeerId, name: PeerId) -> None:
        """A peer goes by another name: what it had it has under that as well."""
        for waiting in self._waiting:
            if peer in waiting.given:
                waiting.given.add(name)

    def heartbeat(self, now: float) -> None:
        """Give up what waits too long; keep the fanouts up."""
        while self._waiting and self._waiting[0].expires_at <= now:
            self._drop_waiting()
        parts, params = self._parts, self._parts.params
        for topic in self.fanouts:
            if topic.fanout is None or topic.mesh is not None or topic.fanout_until <= now:
                del self._fanouts[topic.name]
                if topic.fanout is not None:
                    parts.topics.end_fanout(topic)
                continue
            for peer in [peer for peer in topic.fanout if not parts.may_publish_to(peer)]:
                del topic.fanout[peer]
            self._fill_fanout(topic, topic.fanout, params.D)

    # --- inside ---

    def _publish_all(self, messages: Sequence[tuple[str, bytes]], token: int, now: float) -> None:
        queues: dict[Peer, list[Item]] = {}
        for name, data in messages:
            try:
                check_topic(name)
            except MisuseError as error:
                self._parts.out.append(NotPublished(token, str(error)))
                continue
            if len(data) > self._parts.params.message_bytes_max:
                bytes_max = self._parts.params.message_bytes_max
                reason = f"a message has at most {bytes_max} bytes, not {len(data)}"
                self._parts.out.append(NotPublished(token, reason))
                continue
            self._publish_one(name, data, token, queues, now)
        for index, (peer, items) in enumerate(queues.items()):
            first = index % len(items)
            for item in items[first:] + items[:first]:
                self._put(peer, item)

    def _publish_one(
        self, name: str, data: bytes, token: int, queues: dict[Peer, list[Item]], now: float
    ) -> None:
        parts = self._parts
        seqno, body = self._author.write(name, data, now)
        message_id = parts.local.multihash + seqno.to_bytes(8)
        entry = Entry(message_id, name, b"", None)
        entry.field, entry.state, entry.at, entry.author = message_field(body), State.VALID, now, parts.local
        parts.seen.keep(entry)
        parts.cache(entry)
        topic = self._topic(name, now)
        item = (now + OWN_AGE_MAX_S, entry.field, message_id)
        targets = self._targets(topic)
        for peer in targets:
            queues.setdefault(peer, []).append(item)
        if not targets:
            self._wait(name, item, now)
        parts.counters.published += 1
        parts.out.append(Published(token, message_id, len(targets)))
        if topic.mesh is not None:
            parts.counters.delivered += 1
            parts.out.append(Deliver(Message(name, data, parts.local, seqno, message_id, parts.local)))

    def _topic(self, name: str, now: float) -> Topic:
        parts = self._parts
        topic = parts.topics.joined.get(name)
        if topic is None:
            topic = self._fanouts.get(name)
            if topic is None or topic.fanout is None:
                topic = self._fanouts[name] = parts.topics.begin_fanout(name)
            topic.fanout_until = now + parts.params.fanout_ttl_s
        return topic

    def _targets(self, topic: Topic) -> list[Peer]:
        """To whom a message of our own goes."""
        parts = self._parts
        if parts.params.flood_publish:
            return [peer for peer in topic.peers if parts.may_publish_to(peer)]
        targets = [peer for peer in topic.always if parts.may_publish_to(peer)]
        if topic.mesh:
            return targets + list(topic.mesh)
        fanout = topic.fanout if topic.mesh is None and topic.fanout is not None else {}
        self._fill_fanout(topic, fanout, parts.params.D)
        return targets + list(fanout)

    def _fill_fanout(self, topic: Topic, fanout: dict[Peer, None], target: int) -> None:
        parts = self._parts
        if len(fanout) >= target or parts.params.flood_publish:
            return
        fit = [
            peer
            for peer in topic.peers
            if peer not in fanout and peer not in topic.always and parts.may_publish_to(peer)
        ]
        fanout.update(dict.fromkeys(parts.rng.sample(fit, target - len(fanout))))

    def _put(self, peer: Peer, item: Item) -> None:
        if item[2] not in peer.outbox.dont_want:
            peer.outbox.put_own(item)
            self._parts.counters.messages_queued += 1
            self._parts.mark(peer)

    def _wait(self, name: str, item: Item, now: float) -> None:
        params = self._parts.params
        if not params.publish_wait_s:
            return
        self._waiting.append(_Waiting(name, item, params.D, now + params.publish_wait_s))
        self._waiting_bytes += len(item[1])
        while len(self._waiting) > WAITING_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self._drop_waiting()

    def _drop_waiting(self) -> None:
        self._waiting_bytes -= len(self._waiting.popleft().item[1])
