"""One path of a search: the peers that it has heard of, nearest first.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.4 (each path has a list of its own, and no peer serves two of them).
Bounds: ``peers_max`` peers remembered; the nearest are kept.
Trust:  what peers name is hostile input, though every contact was verified before it came here.
Pure:   no I/O, clock or randomness.
"""

from bisect import bisect_left

from kontinuum.dht.peer import Peer
from kontinuum.identity import PeerId

NEW, WAITING, SLOW, LATE, ANSWERED, FAILED = range(6)
"""Not asked; asked a moment ago; so long ago that somebody else is asked meanwhile; so long ago that the end
does not wait for it; and the two ends."""


class Candidate:
    """A peer that a path has heard of."""

    __slots__ = ("asked_at", "distance", "hop", "path", "peer", "prefix", "state", "tier", "via")

    def __init__(  # noqa: PLR0917 -- made twenty times for each answer
        self, peer: Peer, distance: int, via: PeerId | None, path: int, hop: int, prefix: str | None
    ) -> None:
        self.peer = peer
        self.distance = distance
        self.via = via
        """Who named it to this path first; ``None`` for our own table."""
        self.path = path
        self.hop = hop
        self.prefix = prefix
        """Its neighbourhood, if that is capped."""
        self.state = NEW
        self.asked_at = 0.0
        self.tier = -1
        """Unknown until two candidates are compared by it."""


class Path:
    """The candidates of one path.

    ``order`` never holds a failed one. Once some path asks a peer, its candidate takes the place of those of
    the other paths, so that all of them see what becomes of it: see :meth:`adopt`.
    """

    __slots__ = (
        "asked",
        "barren",
        "closed",
        "distances",
        "done",
        "fresh",
        "in_flight",
        "index",
        "known",
        "order",
        "peers_max",
    )

    def __init__(self, index: int, peers_max: int) -> None:
        self.index = index
        self.peers_max = peers_max
        self.known: dict[PeerId, Candidate] = {}
        self.order: list[Candidate] = []
        self.distances: list[int] = []
        """Of ``order``."""
        self.fresh: list[Candidate] = []
        """Whom it would ask next."""
        self.asked = 0
        self.barren = 0
        """Answers in a row that brought nobody nearer than the nearest known."""
        self.in_flight = 0
        self.done = False
        """As far as it can see, the k closest have answered."""
        self.closed = False
        """It has asked as many as it may."""

    def reaches(self, distance: int) -> bool:
        """A candidate at ``distance`` would be remembered."""
        return len(self.distances) < self.peers_max or distance < self.distances[-1]

    def add(self, candidate: Candidate) -> None:
        """Remember one that is not known yet; the farthest goes if there is no room."""
        at = bisect_left(self.distances, candidate.distance)
        self.distances.insert(at, candidate.distance)
        self.order.insert(at, candidate)
        self.known[candidate.peer.peer_id] = candidate
        if len(self.order) > self.peers_max:
            self.distances.pop()
            del self.known[self.order.pop().peer.peer_id]

    def adopt(self, asked: Candidate) -> None:
        """Another path asks this peer: if we have heard of it too, its candidate is ours from now on."""
        own = self.known.get(asked.peer.peer_id)
        if own is not None:
            own.state = WAITING  # It may be among the fresh ones still.
            self.order[self._index(own)] = asked
            self.known[asked.peer.peer_id] = asked

    def drop(self, candidate: Candidate) -> None:
        """Forget one that failed."""
        if self.known.pop(candidate.peer.peer_id, None) is not None:
            at = self._index(candidate)
            del self.order[at], self.distances[at]

    def close(self) -> None:
        """Ask nobody more: forget those that were not asked, and learn of no others."""
        self.closed = True
        self.fresh = []
        self.order = [candidate for candidate in self.order if candidate.state != NEW]
        self.distances = [candidate.distance for candidate in self.order]
        self.known = {candidate.peer.peer_id: candidate for candidate in self.order}

    def _index(self, candidate: Candidate) -> int:
        at = bisect_left(self.distances, candidate.distance)
        while self.order[at] is not candidate:  # Nothing but a test makes two peers of one distance.
            at += 1
        return at
