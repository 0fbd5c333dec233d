"""Peer exchange: a PRUNE may name other peers of its topic.

Source:   libp2p specs, gossipsub v1.1, "PRUNE Backoff and Peer Exchange"; signed records: RFC 0003.
Differs:  a peer without a record is passed on too, as a name that the directory may resolve; a record that is
          not its peer's costs the bearer an offence.
Bounds:   ``prune_peers`` of one PRUNE; CONNECT_MAX of a heartbeat.
Trust:    what peers name is hostile input: only a peer with a good score is listened to, and records are
          checked. Whoever connects pins the identity.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.gossip.events import Candidate, Connect
from kontinuum.identity import PeerId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.topics import Topic

POISON_PENALTY = 1.0
"""Offences (P7) for each peer that a PRUNE names with a record that is not its own. Our choice."""

CONNECT_MAX = 128
"""Peers of PRUNEs and rendezvous whose connection is asked for within one heartbeat. As go
(MaxPendingConnections). More are passed over."""


class PeerExchange:
    """Whom we name to others, and what becomes of whom others name.

    Args:
        parts: The router.
        open_record: Whether a signed record is that of a peer; ``None``: records are left aside.
        record_of: The signed record that we have of a peer, or empty bytes.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        open_record: Callable[[PeerId, bytes], bool] | None,
        record_of: Callable[[PeerId], bytes],
    ) -> None:
        self._parts = parts
        self._open_record = open_record
        self._record_of = record_of
        self._asked = 0

    def heartbeat(self) -> None:
        """Begin to count anew."""
        self._asked = 0

    def choose(self, topic: Topic, pruned: Peer) -> Sequence[tuple[bytes, bytes]]:
        """Whom we name to a peer that we prune: multihash and record."""
        params = self._parts.params
        if not params.do_px or not pruned.protocol.has_backoff:
            return ()
        others = [
            peer
            for peer in topic.peers
            if peer is not pruned and peer.protocol.has_mesh and self._parts.score(peer) >= 0
        ]
        chosen = self._parts.rng.sample(others, params.prune_peers)
        return [(peer.peer_id.multihash, self._record_of(peer.peer_id)) for peer in chosen]

    def handle(self, bearer: Peer, topic: str, named: Sequence[tuple[bytes, bytes]]) -> None:
        """A peer has pruned us and named others."""
        parts = self._parts
        if parts.score(bearer) < parts.thresholds.accept_px_threshold:
            parts.counters.px_refused += len(named)
            return
        chosen = parts.rng.sample(named, parts.params.prune_peers)
        candidates = [each for each in map(self._check, chosen) if each is not None]
        poisoned = len(chosen) - len(candidates)
        if poisoned:
            parts.penalize(bearer, POISON_PENALTY * poisoned)
            parts.counters.px_refused += poisoned
        parts.counters.px_accepted += len(candidates)
        self.connect(topic, candidates)

    def connect(self, topic: str, candidates: Sequence[Candidate]) -> None:
        """Ask for connections to those that are not connected."""
        parts = self._parts
        new = [each for each in candidates if each.peer not in parts.peers and each.peer != parts.local]
        new = new[: CONNECT_MAX - self._asked]
        if new:
            self._asked += len(new)
            parts.out.append(Connect(topic, tuple(new)))

    def _check(self, named: tuple[bytes, bytes]) -> Candidate | None:
        multihash, record = named
        try:
            peer_id = PeerId.from_multihash(multihash)
        except PeerError:
            return None
        if self._open_record is None:
            record = b""
        elif record and not self._open_record(peer_id, record):
            return None
        return Candidate(peer_id, record)
