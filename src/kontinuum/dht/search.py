"""Find the peers closest to a key by asking ever closer peers, over several paths that share no peer.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.4 (disjoint paths).
Differs:  a sliding window instead of rounds: each answer may lead to the next question. A slow peer frees its
          place in flight, and the end waits some time for it if it might be one of the k closest; however
          late, its answer counts as long as the search runs. All paths begin with the same peers; whichever
          path asks a peer first has it, and the others only see whether it answered. Among peers about
          equally close the faster are asked first.
Bounds:   alpha requests in flight for each path, k in its last phase; each path remembers ``peers_max`` peers
          and asks as many at most; k peers of each answer; EXTENDED_REQUESTS_MAX once a search is extended.
Trust:    answers are hostile input. A peer that was not asked cannot change anything, nor can a second
          answer; a peer counts once, however many addresses it is named with.
Pure:     no I/O, clock or randomness. A part of ``kontinuum.dht.node``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.dht.config import ALPHA, K
from kontinuum.dht.patience import LATE_MAX_S, SLOW_SHARE
from kontinuum.dht.prefixes import cap_prefix
from kontinuum.dht.search_path import (
    ANSWERED,
    FAILED,
    LATE,
    NEW,
    PREFIX_PEERS_MAX,
    SLOW,
    UNDER_WAY,
    WAITING,
    Candidate,
    Path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId

SEARCH_PEERS_MAX = 200
"""Peers that one path of a search remembers, and that it asks at most. Our choice: ten times k, so that the k
closest that live are found among many dead ones. The farthest are forgotten; a path that has asked so many
asks nobody more."""

EXTENDED_REQUESTS_MAX = 400
"""Requests of an extended search on top. Our choice: twice what a hundred ids ground next to a key make of it
(docs/dht.md). At the limit it ends with those who answered."""

SHELLS = 4
"""Parts of a region that an extended search looks into, each half as large as the one before. What is
further inside is left to the crowd. Our choice: k / 16 honest peers are expected there."""

EQUAL_BITS = 2
"""Peers whose distances differ by at most so many bits are about equally useful: the faster tier is asked
first. Our choice (docs/dht.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What a search is told by its node."""

    k: int = K
    alpha: int = ALPHA
    paths: int = 1
    slow_after_s: float = LATE_MAX_S * SLOW_SHARE
    """Seconds after which a request frees its place in flight."""
    late_after_s: float = LATE_MAX_S
    """Seconds after which the end does not wait for an answer any more; the peer at the target itself is
    waited for LATE_MAX_S in any case. Has no effect before ``slow_after_s``."""
    prefix_caps: bool = True
    """Count at most PREFIX_PEERS_MAX peers of one network among the closest, and look for others instead."""
    peers_max: int = SEARCH_PEERS_MAX

    def __post_init__(self) -> None:
        if self.k < 1 or self.alpha < 1 or self.paths < 1 or self.peers_max < self.k:
            raise MisuseError("k, alpha and paths are at least 1, and peers_max is at least k")


class Search:
    """One search for the k peers closest to ``target``.

    Call :meth:`start` once; then :meth:`answered` or :meth:`failed` once for each peer that it said to ask,
    and :meth:`handle_timeout` at or after :meth:`next_deadline` (an early or extra call does nothing). Each
    of them returns whom to ask now. It is over when ``done`` is set, which needs every request to end sooner
    or later: how long to wait for an answer is the caller's. Every ``now`` is monotonic seconds and never
    goes backwards.

    Args:
        target: The place to look for.
        seeds: Peers of our own table.
        local: Who we are: never asked.
        settings: The numbers.
        tier_of: Says how far away in time a peer is, 0 for the fastest, given the peer and the seconds of
            round trip that others let expect (0 for none); without it distance alone counts.
    """

    __slots__ = (
        "_alpha",
        "_answered",
        "_asked",
        "_core",
        "_extra",
        "_last",
        "_local",
        "_now",
        "_past",
        "_paths",
        "_places",
        "_radius",
        "_seeds",
        "_settings",
        "_slow",
        "_tier_of",
        "_waiting",
        "done",
        "place",
        "requests",
        "target",
    )

    def __init__(
        self,
        target: KadKey,
        seeds: Sequence[Peer],
        *,
        local: PeerId,
        settings: SearchSettings,
        tier_of: Callable[[Peer, float], int] | None = None,
    ) -> None:
        self.target = target
        self.place = target
        """Whose neighbours to ask for: the target, or in an extended search another place of its region."""
        self.done = False
        self.requests = 0
        self._seeds = seeds
        self._local = local
        self._settings = settings
        self._alpha = settings.alpha
        self._tier_of = tier_of
        self._radius = -1
        self._core = 0
        """Peers nearer to the target than that are not asked: the crowd of an extended search."""
        self._places: list[KadKey] = []
        """Where to look next."""
        self._extra = 0
        self._now = 0.0
        self._answered: dict[PeerId, Candidate] = {}
        self._past: dict[PeerId, Candidate] = {}
        """Who was asked for places where we have looked already."""
        self._begin(seeds)

    @property
    def k(self) -> int:
        """How many peers it is after."""
        return self._settings.k

    def is_near(self, peer_id: PeerId) -> bool:
        """Whether a peer that was asked is one of the k closest that its path knows."""
        candidate = self._asked.get(peer_id) or self._past[peer_id]
        return self._paths[candidate.path].rank(candidate.distance) < self._settings.k

    def start(self, now: float) -> list[Peer]:
        """Whom to ask first."""
        return self._advance(now)

    def answered(
        self,
        peer_id: PeerId,
        closer: Sequence[Peer],
        now: float,
        ip: str | None = None,
        *,
        rtts_s: Mapping[bytes, float] | None = None,
    ) -> list[Peer]:
        """A peer answered and named others.

        Args:
            peer_id: Who.
            closer: Whom it named.
            now: Monotonic seconds.
            ip: Where it was seen, if that is known.
            rtts_s: What round trips to those named its answer lets expect, by their wire ids.
        """
        asked = self._asked.get(peer_id)
        in_time = asked is not None and asked.state == WAITING
        candidate = self._ended(peer_id, ANSWERED)
        if candidate is None:
            return []
        self._answered.setdefault(peer_id, candidate)
        if ip is not None and self._settings.prefix_caps and (prefix := cap_prefix(ip)) != candidate.prefix:
            candidate.prefix = prefix
            in_time = False
            for path in self._paths:
                path.crowded = True
        if len(closer) > self._settings.k:
            place = self.place
            closer = sorted(closer, key=lambda peer: peer.key ^ place)[: self._settings.k]
        path = self._paths[candidate.path]
        nearest = path.distances[:1]
        self._learn(path, closer, peer_id, candidate.hop + 1, rtts_s)
        path.barren = path.barren + 1 if path.distances[:1] == nearest else 0
        self._widen(path)
        return self._advance(now, path if in_time else None)

    def failed(self, peer_id: PeerId, now: float) -> list[Peer]:
        """There will be no answer of that peer."""
        candidate = self._ended(peer_id, FAILED)
        if candidate is None:
            return []
        for path in self._paths:
            path.drop(candidate)
        return self._advance(now)

    def handle_timeout(self, now: float) -> list[Peer]:
        """Ask somebody else instead of those who take long."""
        slow_after_s, late_after_s = self._settings.slow_after_s, self._settings.late_after_s
        while (first := _first(self._waiting, WAITING)) is not None and first.asked_at + slow_after_s <= now:
            first.state = SLOW
            self._paths[first.path].in_flight -= 1
            (self._slow if first.distance else self._last).append(first)
        while (first := _first(self._slow, SLOW)) is not None and first.asked_at + late_after_s <= now:
            first.state = LATE
        while (first := _first(self._last, SLOW)) is not None and first.asked_at + LATE_MAX_S <= now:
            first.state = LATE
        return self._advance(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called."""
        if self.done:
            return None
        due, settings = inf, self._settings
        if (first := _first(self._waiting, WAITING)) is not None:
            due = first.asked_at + settings.slow_after_s
        if self._slow and (first := _first(self._slow, SLOW)) is not None:
            due = min(due, first.asked_at + settings.late_after_s)
        if self._last and (first := _first(self._last, SLOW)) is not None:
            due = min(due, first.asked_at + LATE_MAX_S)
        return None if due == inf else due

    def awaits(self, peer_id: PeerId) -> bool:
        """That peer was asked, and has neither answered nor failed."""
        asked = self._asked.get(peer_id) or self._past.get(peer_id)
        return asked is not None and asked.state in UNDER_WAY

    def is_within(self, peer: Peer) -> bool:
        """It is in the region of an extended search."""
        return peer.key ^ self.target <= self._radius

    def closest(self, count: int) -> list[Peer]:
        """Those that answered, nearest to the target first, at most ``count``."""
        return [candidate.peer for candidate in self._closest()[:count]]

    def outermost(self, count: int) -> list[Peer]:
        """Those within the radius of an extended search that answered, farthest first, at most ``count``.

        Who crowds a key sits next to it, and honest peers are everywhere: so most of these are honest.
        """
        target, radius = self.target, self._radius
        within = [each.peer for each in self._closest() if each.peer.key ^ target <= radius]
        return within[::-1][:count]

    @property
    def hops(self) -> int:
        """Requests from our table to the one of the k closest that took most of them."""
        return max((candidate.hop for candidate in self._closest()[: self._settings.k]), default=0)

    def trace(self, peer_id: PeerId) -> tuple[PeerId | None, int, int]:
        """Of a peer that was asked: who named it (``None``: our table), its path, and its hop, from 1."""
        candidate = self._asked.get(peer_id) or self._past[peer_id]
        return candidate.via, candidate.path, candidate.hop

    def set_alpha(self, alpha: int) -> None:
        """Keep so many requests of each path in flight from now on."""
        self._alpha = alpha
        for path in self._paths:
            self._widen(path)

    def finish(self) -> None:
        """The caller knows enough: nobody is asked any more, and answers change nothing."""
        self.done = True

    def extend(self, radius: int) -> list[Peer]:
        """Go on and find the peers within ``radius`` of the target, though others crowd it; whom to ask now.

        Peers that know the crowd name nobody else when asked for the target, and those in the crowd only
        each other. So the others are asked for places beside it: one in the half of the region where the
        target is not, one in the quarter next to it, and so on. That is what ``place`` is then, and for a new
        place a peer may be asked again. The time is that of the last call.
        """
        self._radius = radius
        self._extra = EXTENDED_REQUESTS_MAX
        self._core = radius >> SHELLS
        outermost = radius.bit_length() - 1
        self._places = [self.target ^ 1 << bit for bit in range(outermost, max(-1, outermost - SHELLS), -1)]
        self.done = False
        return self._advance(self._now)

    # --- inside ---

    def _begin(self, peers: Sequence[Peer]) -> None:
        """Look for ``place``, beginning with these peers."""
        self._asked: dict[PeerId, Candidate] = {}
        self._waiting: deque[Candidate] = deque()
        """Those asked, the first first; who has answered meanwhile is skipped."""
        self._slow: deque[Candidate] = deque()
        self._last: deque[Candidate] = deque()
        """The peer whose key is the place itself, if it is slow: who is looked for is waited for longest."""
        self._paths = [Path(index, self._settings.peers_max) for index in range(self._settings.paths)]
        first = self._paths[0]
        self._learn(first, peers, None, 1, None)
        for path in self._paths[1:]:
            path.begin_with(first)
        for path in self._paths:
            self._widen(path)

    def _begin_next(self) -> None:
        """Look for the next place, with all that have answered and our own table, but without who did not."""
        self._past |= self._asked
        self.place = self._places.pop(0)
        known = {peer.peer_id: peer for peer in self._seeds}
        for peer_id, candidate in self._past.items():
            if candidate.state == ANSWERED:
                known[peer_id] = candidate.peer
            else:
                known.pop(peer_id, None)
        self._begin(list(known.values()))

    def _ended(self, peer_id: PeerId, state: int) -> Candidate | None:
        """Note how a request ended, once, if there was one: for this place or for one before."""
        candidate = self._asked.get(peer_id)
        present = candidate is not None
        if candidate is None:
            candidate = self._past.get(peer_id)
        if candidate is None or self.done or candidate.state not in UNDER_WAY:
            return None
        if candidate.state == WAITING and present:
            self._paths[candidate.path].in_flight -= 1
        candidate.state = state
        return candidate

    def _learn(
        self,
        path: Path,
        peers: Sequence[Peer],
        via: PeerId | None,
        hop: int,
        rtts_s: Mapping[bytes, float] | None,
    ) -> None:
        if path.closed:
            return
        place, target, core = self.place, self.target, self._core
        known, distances, local = path.known, path.distances, self._local
        asked, past = self._asked, self._past
        capped, peers_max = self._settings.prefix_caps, path.peers_max
        for peer in peers:
            peer_id = peer.peer_id
            have = known.get(peer_id)
            if have is not None:
                if have.peer is not peer and have.state == NEW and peer.replaces(have.peer):
                    have.peer = peer  # A newer contact of the same peer: perhaps it has moved.
                continue
            distance = peer.key ^ place
            at = bisect_left(distances, distance)
            if at >= peers_max or peer_id == local or (core and peer.key ^ target < core):
                continue
            candidate = asked.get(peer_id)
            if candidate is None:
                if past and (before := past.get(peer_id)) is not None and before.state in UNDER_WAY:
                    continue  # It is still to answer for the place before; one question at a time.
                prefix = cap_prefix(peer.ip) if capped and peer.ip is not None else None
                candidate = Candidate(peer, distance, via, hop, prefix)
                if rtts_s:
                    candidate.rtt_s = rtts_s.get(peer.wire.peer_id, 0.0)
            elif candidate.state == FAILED:
                continue
            path.add(candidate, at)

    def _advance(self, now: float, changed: Path | None = None) -> list[Peer]:
        """Decide what comes next. All else only notes what happened.

        Args:
            now: The time.
            changed: If all that happened is that somebody answered in time, the path that had asked him.
        """
        if self.done:
            return []
        self._now = now
        out: list[Peer] = []
        while not out and not self.done:
            for path in self._paths:
                if changed is None or path is changed or not path.is_as_it_was():
                    path.look(self._settings.k, capped=self._settings.prefix_caps)
            self._ask_in_turn(now, out)
            if any(path.blocker is not None for path in self._paths) or self._hopes():
                break
            if self._places:
                self._begin_next()
                changed = None
            else:
                self.done = True
        return out

    def _hopes(self) -> bool:
        """Nobody at all has answered yet, but somebody still may: better late than never."""
        return not self._answered and any(each.state == LATE for each in self._asked.values())

    def _widen(self, path: Path) -> None:
        """Say how many requests the path keeps in flight.

        Alpha, until so many answers in a row named nobody nearer than the nearest. Then all of the k closest
        are asked at once, as Kademlia 2002, section 2.3, has it.
        """
        path.width = self._settings.k if path.barren >= self._alpha else self._alpha

    def _ask_in_turn(self, now: float, out: list[Peer]) -> None:
        """Each path asks one peer after the other, so that none of them takes the best of all."""
        busy = True
        while busy:
            busy = False
            for path in self._paths:
                if path.has_room and (candidate := self._choose(path)) is not None:
                    self._ask(path, candidate, now)
                    out.append(candidate.peer)
                    busy = True

    def _choose(self, path: Path) -> Candidate | None:
        """The best of those that nobody has asked since; it is taken off the list."""
        fresh = path.fresh
        while fresh and fresh[0].state != NEW:
            del fresh[0]
        if not fresh:
            return None
        best = 0
        if self._tier_of is not None:
            limit = 1 << fresh[0].distance.bit_length() + EQUAL_BITS
            for at, candidate in enumerate(fresh):
                if candidate.distance >= limit:
                    break
                if candidate.tier < 0:
                    candidate.tier = self._tier_of(candidate.peer, candidate.rtt_s)
                if candidate.state == NEW and candidate.tier < fresh[best].tier:
                    best = at
        return fresh.pop(best)

    def _ask(self, path: Path, candidate: Candidate, now: float) -> None:
        candidate.state, candidate.path, candidate.asked_at = WAITING, path.index, now
        self._asked[candidate.peer.peer_id] = candidate
        self._waiting.append(candidate)
        self.requests += 1
        path.in_flight += 1
        path.asked += 1
        for other in self._paths:
            if other is not path:
                other.adopt(candidate)
        if path.asked >= self._settings.peers_max:
            path.close()
        if self._radius >= 0:
            self._extra -= 1
            if self._extra <= 0:
                self._places.clear()
                for each in self._paths:
                    each.close()

    def _closest(self) -> list[Candidate]:
        """Who answered, nearest to the target first, with no more of one network than may count."""
        target = self.target
        answered = sorted(self._answered.values(), key=lambda candidate: candidate.peer.key ^ target)
        if not self._settings.prefix_caps:
            return answered
        closest: list[Candidate] = []
        prefixes: dict[str, int] = {}
        for candidate in answered:
            prefix = candidate.prefix
            if prefix is not None:
                prefixes[prefix] = prefixes.get(prefix, 0) + 1
                if prefixes[prefix] > PREFIX_PEERS_MAX:
                    continue
            closest.append(candidate)
        return closest


def _first(queue: deque[Candidate], state: int) -> Candidate | None:
    """The first in the queue that is in that state still; those before it are dropped."""
    while queue and queue[0].state != state:
        queue.popleft()
    return queue[0] if queue else None
