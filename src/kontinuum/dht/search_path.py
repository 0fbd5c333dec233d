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

UNDER_WAY = (WAITING, SLOW, LATE)
"""Asked, and not ended."""

PREFIX_PEERS_MAX = 2
"""Peers of one /24 or /48 that count among the closest. Our choice: go-libp2p allows two in a bucket."""


class Candidate:
    """A peer that a path has heard of."""

    __slots__ = ("asked_at", "distance", "hop", "path", "peer", "prefix", "rtt_s", "state", "tier", "via")

    def __init__(self, peer: Peer, distance: int, via: PeerId | None, hop: int, prefix: str | None) -> None:
        self.peer = peer
        self.distance = distance
        self.via = via
        """Who named it to this path first; ``None`` for our own table."""
        self.path = -1
        """The path that asks it."""
        self.hop = hop
        self.prefix = prefix
        """Its neighbourhood, if that is capped."""
        self.state = NEW
        self.asked_at = 0.0
        self.tier = -1
        """Unknown until two candidates are compared by it."""
        self.rtt_s = 0.0
        """What round trip whoever named it first lets expect; 0 if nothing."""


class Path:
    """The candidates of one path.

    ``order`` never holds a failed one. Once some path asks a peer, its candidate takes the place of those of
    the other paths, so that all of them see what becomes of it: see :meth:`adopt`.

    Args:
        index: Its number.
        peers_max: How many candidates it remembers.
    """

    __slots__ = (
        "asked",
        "barren",
        "blocker",
        "closed",
        "crowded",
        "distances",
        "fresh",
        "in_flight",
        "index",
        "known",
        "order",
        "peers_max",
        "prefixes",
        "saw_fresh",
        "width",
    )

    def __init__(self, index: int, peers_max: int) -> None:
        self.index = index
        self.peers_max = peers_max
        self.known: dict[PeerId, Candidate] = {}
        self.order: list[Candidate] = []
        self.distances: list[int] = []
        """Of ``order``."""
        self.prefixes: dict[str, int] = {}
        """How many of each network it has heard of."""
        self.crowded = False
        """They may be more of one network than may count."""
        self.fresh: list[Candidate] = []
        """Whom it would ask next."""
        self.saw_fresh = False
        """There was room in flight when it was looked at last, so that ``fresh`` is all there is."""
        self.blocker: Candidate | None = None
        """The nearest of those that its end waits for, when it was looked at last; ``None``: it is done."""
        self.asked = 0
        self.barren = 0
        """Answers in a row that brought nobody nearer than the nearest known."""
        self.in_flight = 0
        self.width = 0
        """How many may be in flight."""
        self.closed = False
        """It has asked as many as it may."""

    def rank(self, distance: int) -> int:
        """How many that it knows are nearer than that."""
        return bisect_left(self.distances, distance)

    def add(self, candidate: Candidate, at: int) -> None:
        """Remember one that is not known yet; the farthest goes if there is no room.

        Args:
            candidate: It has not failed.
            at: Its place in ``distances``, below ``peers_max``.
        """
        self.distances.insert(at, candidate.distance)
        self.order.insert(at, candidate)
        self.known[candidate.peer.peer_id] = candidate
        if (prefix := candidate.prefix) is not None:
            self.prefixes[prefix] = number = self.prefixes.get(prefix, 0) + 1
            if number > PREFIX_PEERS_MAX:
                self.crowded = True
        if len(self.order) > self.peers_max:
            self.distances.pop()
            del self.known[self.order.pop().peer.peer_id]

    def begin_with(self, other: "Path") -> None:
        """Know the same candidates as ``other``, who has asked none of them."""
        self.known = other.known.copy()
        self.prefixes = other.prefixes.copy()
        self.crowded = other.crowded
        self.order = other.order.copy()
        self.distances = other.distances.copy()

    @property
    def has_room(self) -> bool:
        """One request more may be in flight."""
        return self.in_flight < self.width

    def look(self, k: int, *, capped: bool) -> None:  # noqa: C901 -- calls would double its time
        """See whom it waits for, and whom it would ask if there is room in flight.

        Args:
            k: How many of the nearest count.
            capped: Of one network no more than PREFIX_PEERS_MAX of them.
        """
        room = self.in_flight < self.width
        left, crowded = k, self.crowded and capped
        blocker: Candidate | None = None
        fresh: list[Candidate] = []
        prefixes: dict[str, int] = {}
        for candidate in self.order:
            state = candidate.state
            if state == LATE:
                continue
            if crowded and (prefix := candidate.prefix) is not None:
                used = prefixes.get(prefix, 0)
                if used >= PREFIX_PEERS_MAX:
                    continue
                prefixes[prefix] = used + 1
            if state != ANSWERED:
                if blocker is None:
                    blocker = candidate
                if not room:
                    break
                if state == SLOW:
                    continue  # It may fail: whoever comes after it is asked meanwhile.
                if state == NEW:
                    fresh.append(candidate)
            left -= 1
            if left == 0:
                break
        self.blocker, self.fresh, self.saw_fresh = blocker, fresh, room

    def is_as_it_was(self) -> bool:
        """Whether there is nothing new to see, if all that happened is that somebody answered in time.

        Somebody else is still waited for, and who may be asked next is known or cannot be asked.
        """
        blocker = self.blocker
        waited_for = blocker is not None and blocker.state <= WAITING and not self.closed
        return waited_for and (self.saw_fresh or not self.has_room)

    def adopt(self, asked: Candidate) -> None:
        """Another path asks this peer: if we have heard of it too, its candidate is ours from now on."""
        own = self.known.get(asked.peer.peer_id)
        if own is not None and own is not asked:
            own.state = WAITING  # It may be among the fresh ones still.
            self.order[self._index(own)] = asked
            self.known[asked.peer.peer_id] = asked
            if self.blocker is own:
                self.blocker = asked

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
