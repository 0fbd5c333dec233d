"""Which topics there are, who is in them, and our mesh or fanout of each.

Everybody tells his topics once, so those that we are not in are remembered too: we may join or publish later.
What strangers can fill that way is bounded, and who has filled most of it yields.

Source:   libp2p specs, gossipsub v1.0, "Peering State".
Bounds:   PEER_TOPICS_MAX topics of a peer; FOREIGN_TOPICS_MAX topics that we are not in, with
          FOREIGN_SUBSCRIPTIONS_MAX subscriptions. Topics that we are in have room for every peer.
Trust:    a peer's subscriptions are hostile input.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from kontinuum.gossip.errors import BadTopicError, TooManyTopicsError
from kontinuum.messages.pubsub_fields import subscription_field
from kontinuum.wire.limits import PUBSUB_TOPIC_BYTES_MAX

if TYPE_CHECKING:
    from kontinuum.gossip.peers import Peer

PEER_TOPICS_MAX = 10_000
"""Topics that one peer may be in. The issue: 10,000 topics. More: refused, and cost the peer P7."""

FOREIGN_TOPICS_MAX = 10_000
"""Topics that we are not in and remember. The issue: 10,000 topics. For one more, the peer that has most of
them loses one, unless it is the peer itself that wants one more."""

FOREIGN_SUBSCRIPTIONS_MAX = 500_000
"""Subscriptions in those topics. Our choice: some 100 MB. Beyond it only peers with few topics get more."""

MAKE_ROOM_LOOKS_MAX = 100
"""Topics of the greediest peer that are looked at for one to take away. Our choice: two that share thousands
must not make each subscription of a third cost a look at all of them."""

FAIR_TOPICS = 100
"""Topics that a peer always has room for. Our choice."""

JOINED_TOPICS_MAX = 10_000
"""Topics that we ourselves can be in. The issue. More: MisuseError."""


def check_topic(topic: str) -> str:
    """Return ``topic`` if our own program may use it.

    Raises:
        BadTopicError: It is empty, too long, or cannot be written in UTF-8.
    """
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise BadTopicError("a topic must be text that UTF-8 can write") from None
    if not 0 < size <= PUBSUB_TOPIC_BYTES_MAX:
        raise BadTopicError(f"a topic has 1 to {PUBSUB_TOPIC_BYTES_MAX} bytes, not {size}")
    return topic


class Topic:
    """One topic."""

    __slots__ = ("always", "fanout", "fanout_until", "greeting", "mesh", "name", "peers", "validate")

    def __init__(self, name: str) -> None:
        self.name = name
        self.peers: dict[Peer, None] = {}
        """Connected peers that are in it, in the order in which they came."""
        self.always: dict[Peer, None] = {}
        """Those of them that get every message without a mesh: floodsub and direct peers."""
        self.mesh: dict[Peer, None] | None = None
        """Our mesh; ``None``: we are not in the topic."""
        self.validate = False
        """The application is asked about each message."""
        self.fanout: dict[Peer, None] | None = None
        """Whom we publish to without being in it; ``None``: we have not published lately."""
        self.fanout_until = 0.0
        self.greeting = b""
        """That we are in it, as a field of an RPC; written when we join."""

    @property
    def is_ours(self) -> bool:
        """Whether we are in it, or publish to it."""
        return self.mesh is not None or self.fanout is not None


class Topics:
    """All topics that we are in, publish to, or have heard of."""

    def __init__(self) -> None:
        self.by_name: dict[str, Topic] = {}
        """To be read; the methods write."""
        self.joined: dict[str, Topic] = {}
        """Those that we are in."""
        self._foreign = 0
        """Topics in which we have no interest."""
        self._foreign_subscriptions = 0
        self._greedy: dict[Peer, None] = {}
        """Peers that are in more than FAIR_TOPICS."""

    def join(self, name: str) -> Topic:
        """We are in a topic from now on.

        Raises:
            TooManyTopicsError: We are in JOINED_TOPICS_MAX others.
        """
        if len(self.joined) >= JOINED_TOPICS_MAX and name not in self.joined:
            raise TooManyTopicsError(f"a node is in {JOINED_TOPICS_MAX} topics at most")
        topic = self._ours(name)
        if topic.mesh is None:
            topic.mesh = {}
            topic.greeting = subscription_field(name, subscribe=True)
            self.joined[name] = topic
        return topic

    def leave(self, topic: Topic) -> None:
        """We are not in it any more."""
        topic.mesh = None
        topic.validate = False
        del self.joined[topic.name]
        self._lost_interest(topic)

    def begin_fanout(self, name: str) -> Topic:
        """We publish to a topic."""
        topic = self._ours(name)
        if topic.fanout is None:
            topic.fanout = {}
        return topic

    def end_fanout(self, topic: Topic) -> None:
        """We have not published to it for long."""
        topic.fanout = None
        self._lost_interest(topic)

    def subscribe(self, peer: Peer, name: str) -> Topic | None:
        """A peer is in a topic from now on; ``None``: there is no room for that."""
        if name in peer.topics:
            return peer.topics[name]
        if len(peer.topics) >= PEER_TOPICS_MAX:
            return None
        topic = self.by_name.get(name)
        if topic is None or not topic.is_ours:
            if not self._has_room(peer, topic):
                return None
            self._foreign_subscriptions += 1
            if topic is None:
                topic = self.by_name[name] = Topic(name)
                self._foreign += 1
        topic.peers[peer] = None
        peer.topics[name] = topic
        if len(peer.topics) == FAIR_TOPICS + 1:
            self._greedy[peer] = None
        if peer.is_direct or not peer.protocol.has_mesh:
            topic.always[peer] = None
        return topic

    def unsubscribe(self, peer: Peer, topic: Topic) -> None:
        """A peer is not in a topic any more. The caller has taken it out of mesh and fanout."""
        del peer.topics[topic.name]
        del topic.peers[peer]
        if len(peer.topics) == FAIR_TOPICS:
            del self._greedy[peer]
        topic.always.pop(peer, None)
        if not topic.is_ours:
            self._foreign_subscriptions -= 1
            self._drop_if_empty(topic)

    def classify(self, peer: Peer) -> None:
        """The peer has another protocol now, or is direct now, or not any more."""
        for topic in peer.topics.values():
            if peer.is_direct or not peer.protocol.has_mesh:
                topic.always[peer] = None
            else:
                topic.always.pop(peer, None)

    # --- inside ---

    def _ours(self, name: str) -> Topic:
        topic = self.by_name.get(name)
        if topic is None:
            topic = self.by_name[name] = Topic(name)
        elif not topic.is_ours:
            self._foreign -= 1
            self._foreign_subscriptions -= len(topic.peers)
        return topic

    def _lost_interest(self, topic: Topic) -> None:
        if topic.is_ours:
            return
        self._foreign += 1
        self._foreign_subscriptions += len(topic.peers)
        self._drop_if_empty(topic)

    def _drop_if_empty(self, topic: Topic) -> None:
        if not topic.peers:
            del self.by_name[topic.name]
            self._foreign -= 1

    def _has_room(self, peer: Peer, topic: Topic | None) -> bool:
        is_modest = len(peer.topics) < FAIR_TOPICS
        if self._foreign_subscriptions >= FOREIGN_SUBSCRIPTIONS_MAX and not is_modest:
            return False
        if topic is not None or self._foreign < FOREIGN_TOPICS_MAX:
            return True
        return is_modest and self._make_room()

    def _make_room(self) -> bool:
        """Take a topic from the peer that has most of them."""
        greediest = max(self._greedy, key=lambda peer: len(peer.topics), default=None)
        if greediest is None:
            return False
        for topic in islice(reversed(greediest.topics.values()), MAKE_ROOM_LOOKS_MAX):
            if not topic.is_ours and len(topic.peers) == 1:
                self.unsubscribe(greediest, topic)
                return True
        return False
