"""What one router consists of, so that its parts are handed on as one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.gossip.backoff import Backoff
from kontinuum.gossip.counters import Counters
from kontinuum.gossip.mcache import MessageCache
from kontinuum.gossip.promises import Promises
from kontinuum.gossip.seen import Seen
from kontinuum.gossip.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.base.entropy import Rng
    from kontinuum.gossip.entry import Entry
    from kontinuum.gossip.events import Effect
    from kontinuum.gossip.params import GossipParams
    from kontinuum.gossip.peer_score import PeerScore
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.score_params import PeerScoreThresholds
    from kontinuum.identity import PeerId

OWN_MAX = 8
"""Identities of ours whose messages are known as our own, the present one among them. Our choice: messages
travel for minutes, and who changes more often than that meets the last of its own as a stranger's."""

BACKOFF_SLACK_HEARTBEATS = 2
"""Heartbeats that we wait beyond the end of a backoff. As go-libp2p-pubsub (clearBackoff)."""


class Parts:
    """The parts that several others look at. Each belongs to the machine ``router.Router``."""

    def __init__(
        self,
        local: PeerId,
        params: GossipParams,
        *,
        scores: PeerScore,
        thresholds: PeerScoreThresholds,
        rng: Rng,
        unix_ns: Callable[[float], int],
    ) -> None:
        self.local = local
        self.own: dict[bytes, None] = {local.multihash: None}
        """As authors: our identity, and those that we had."""
        self.params = params
        self.scores = scores
        self.thresholds = thresholds
        self.rng = rng
        self.unix_ns = unix_ns
        self.counters = Counters()
        self.peers: dict[PeerId, Peer] = {}
        """Those that are connected."""
        self.topics = Topics()
        self.seen = Seen(params.seen_ttl_s)
        self.mcache = MessageCache(params.mcache_len, params.mcache_gossip, params.mcache_bytes_max)
        slack_s = BACKOFF_SLACK_HEARTBEATS * params.heartbeat_interval_s
        self.backoff = Backoff(params.prune_backoff_s, params.prune_backoff_max_s, slack_s)
        self.promises = Promises(params.iwant_followup_s)
        self.out: list[Effect] = []
        """Effects of this call."""
        self.marked: list[Peer] = []
        """Peers to whom something is to be sent."""

    def adopt(self, local: PeerId) -> None:
        """Another identity is ours from now on."""
        self.local = local
        self.own.pop(local.multihash, None)
        self.own[local.multihash] = None
        if len(self.own) > OWN_MAX:
            del self.own[next(iter(self.own))]

    def mark(self, peer: Peer) -> None:
        """Something was put into the peer's outbox."""
        if not peer.outbox.is_marked:
            peer.outbox.is_marked = True
            self.marked.append(peer)

    def control(self, peer: Peer, part: bytes) -> None:
        """Tell a peer something, soon."""
        peer.outbox.put_control(part)
        self.mark(peer)

    def penalize(self, peer: Peer, count: float) -> None:
        """The peer broke the rules (P7)."""
        self.scores.behaviour_penalty(peer.peer_id, count)

    def tolerate(self, peer: Peer, count: int, limit: int) -> None:
        """The peer did something unusual for the ``count``-th time in a heartbeat.

        So much is free, twice that or more costs an offence (P7) for each ``limit``: the heartbeats of two
        peers differ.
        """
        if count > limit and count % limit == 0:
            self.penalize(peer, 1.0)

    def score(self, peer: Peer) -> float:
        """The peer's score."""
        return self.scores.score(peer.peer_id)

    def cache(self, entry: Entry) -> None:
        """A message is valid: it can be asked for."""
        gone = self.mcache.put(entry)
        if gone:
            self.seen.settle(gone)

    def is_graylisted(self, peer: Peer) -> bool:
        """Whether nothing that the peer sends is looked at."""
        return not peer.is_direct and self.score(peer) < self.thresholds.graylist_threshold

    def may_publish_to(self, peer: Peer) -> bool:
        """Whether messages go to a peer that is not in the mesh."""
        return peer.is_direct or self.score(peer) >= self.thresholds.publish_threshold

    def may_gossip_with(self, peer: Peer) -> bool:
        """Whether gossip is exchanged with a peer."""
        return peer.is_direct or self.score(peer) >= self.thresholds.gossip_threshold
