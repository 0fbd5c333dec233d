"""Find the peers closest to a key by asking ever closer peers, over several paths that share no peer.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3; Baumgart and Mies, "S/Kademlia", ICPADS
        2007, section 4.4 (disjoint paths).
Differs:  a sliding window instead of rounds: each answer may lead to the next question. A slow peer frees its
          place in flight, yet its late answer counts, and the end waits for it while it might be one of the
          k closest. All paths begin with the same peers; whichever path asks a peer first has it, and the
          others only see whether it answered. Among peers about equally close the faster are asked first.
Bounds:   alpha requests in flight for each path, k in its last phase; each path remembers ``peers_max`` peers
          and asks as many at most; k peers of each answer; EXTENDED_PEERS_MAX more once a search is extended.
Trust:    answers are hostile input. A peer that was not asked cannot change anything, nor can a second
          answer; a peer counts once, however many addresses it is named with.
Pure:     no I/O, clock or randomness. A part of ``kontinuum.dht.node``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.dht.config import ALPHA, SLOW_AFTER_S, K
from kontinuum.dht.prefixes import cap_prefix
from kontinuum.dht.search_path import ANSWERED, FAILED, NEW, SLOW, WAITING, Candidate, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId

SEARCH_PEERS_MAX = 200
"""Peers that one path of a search remembers, and that it asks at most. Our choice: ten times k, so that the k
closest that live are found among many dead ones. The farthest are forgotten; a path that has asked so many
asks nobody more."""

EXTENDED_PEERS_MAX = 200
"""Peers that a search asks beyond its k closest once it is extended. Our choice: a hundred ids ground next to
a key, k honest peers, and as many again to be sure. At the limit it ends with those who answered."""

PREFIX_PEERS_MAX = 2
"""Peers of one /24 or /48 that count among the closest. Our choice: go-libp2p allows two in a bucket."""

EQUAL_BITS = 1
"""Peers whose distances differ by at most so many bits are about equally useful: the faster tier is asked
first. Our choice (docs/dht.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What a search is told by its node."""

    k: int = K
    alpha: int = ALPHA
    paths: int = 1
    slow_after_s: float = SLOW_AFTER_S
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
        tier_of: Says how far away in time a peer is, 0 for the fastest; without it distance alone counts.
    """

    __slots__ = (
        "_alpha",
        "_asked",
        "_deadlines",
        "_extra",
        "_k",
        "_local",
        "_now",
        "_paths",
        "_peers_max",
        "_prefix_caps",
        "_radius",
        "_slow_after_s",
        "_tier_of",
        "done",
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
        tier_of: Callable[[Peer], int] | None = None,
    ) -> None:
        self.target = target
        self.done = False
        self.requests = 0
        self._local = local
        self._k = settings.k
        self._alpha = settings.alpha
        self._slow_after_s = settings.slow_after_s
        self._prefix_caps = settings.prefix_caps
        self._peers_max = settings.peers_max
        self._tier_of = tier_of
        self._radius = -1
        self._extra = 0
        self._now = 0.0
        self._asked: dict[PeerId, Candidate] = {}
        self._deadlines: deque[tuple[float, Candidate]] = deque()
        """Of those asked, oldest first: all wait equally long."""
        self._paths = [Path(index, settings.peers_max) for index in range(settings.paths)]
        for path in self._paths:
            self._learn(path, seeds, None, 1)

    def start(self, now: float) -> list[Peer]:
        """Whom to ask first."""
        return self._advance(now)

    def answered(
        self, peer_id: PeerId, closer: Sequence[Peer], now: float, ip: str | None = None
    ) -> list[Peer]:
        """A peer answered and named others. ``ip`` is where it was seen, if that is known."""
        candidate = self._ended(peer_id, ANSWERED)
        if candidate is None:
            return []
        if ip is not None and self._prefix_caps:
            candidate.prefix = cap_prefix(ip)
        if len(closer) > self._k:
            target = self.target
            closer = sorted(closer, key=lambda peer: peer.key ^ target)[: self._k]
        path = self._paths[candidate.path]
        nearest = path.distances[:1]
        self._learn(path, closer, peer_id, candidate.hop + 1)
        path.barren = path.barren + 1 if path.distances[:1] == nearest else 0
        return self._advance(now)

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
        while self._deadlines and self._deadlines[0][0] <= now:
            candidate = self._deadlines.popleft()[1]
            if candidate.state == WAITING:
                candidate.state = SLOW
                self._paths[candidate.path].in_flight -= 1
        return self._advance(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called."""
        if self.done:
            return None
        deadlines = self._deadlines
        while deadlines and deadlines[0][1].state != WAITING:
            deadlines.popleft()
        return deadlines[0][0] if deadlines else None

    def closest(self, count: int) -> list[Peer]:
        """Those that answered, nearest first, at most ``count``."""
        return [candidate.peer for candidate in self._closest(count)]

    @property
    def hops(self) -> int:
        """Requests from our table to the one of the k closest that took most of them."""
        return max((candidate.hop for candidate in self._closest(self._k)), default=0)

    def trace(self, peer_id: PeerId) -> tuple[PeerId | None, int, int]:
        """Of a peer that was asked: who named it (``None``: our table), its path, and its hop, from 1."""
        candidate = self._asked[peer_id]
        return candidate.via, candidate.path, candidate.hop

    def set_alpha(self, alpha: int) -> None:
        """Keep so many requests of each path in flight from now on."""
        self._alpha = alpha

    def finish(self) -> None:
        """The caller knows enough: nobody is asked any more, and answers change nothing."""
        self.done = True

    def extend(self, radius: int) -> list[Peer]:
        """Go on until everybody known within that distance has answered; returns whom to ask now.

        The time is that of the last call. From the outside inwards: who crowds a key sits next to it, and
        honest peers are everywhere.
        """
        if self._radius < 0:
            self._extra = EXTENDED_PEERS_MAX
        self._radius = radius
        self.done = False
        return self._advance(self._now)

    # --- inside ---

    def _ended(self, peer_id: PeerId, state: int) -> Candidate | None:
        """Note how a request ended, once, if there was one."""
        candidate = self._asked.get(peer_id)
        if candidate is None or self.done or candidate.state not in (WAITING, SLOW):
            return None
        if candidate.state == WAITING:
            self._paths[candidate.path].in_flight -= 1
        candidate.state = state
        return candidate

    def _learn(self, path: Path, peers: Sequence[Peer], via: PeerId | None, hop: int) -> None:
        if path.closed:
            return
        target, known, asked, local = self.target, path.known, self._asked, self._local
        for peer in peers:
            peer_id = peer.peer_id
            have = known.get(peer_id)
            if have is not None:
                if have.peer is not peer and have.state == NEW and peer.replaces(have.peer):
                    have.peer = peer  # A newer contact of the same peer: perhaps it has moved.
                continue
            distance = peer.key ^ target
            if peer_id == local or not path.reaches(distance):
                continue
            candidate = asked.get(peer_id)
            if candidate is None:
                prefix = cap_prefix(peer.ip) if self._prefix_caps and peer.ip is not None else None
                candidate = Candidate(peer, distance, via, path.index, hop, prefix)
            elif candidate.state == FAILED:
                continue
            path.add(candidate)

    def _advance(self, now: float) -> list[Peer]:
        """Decide what comes next. All else only notes what happened."""
        if self.done:
            return []
        self._now = now
        for path in self._paths:
            self._look(path)
        out: list[Peer] = []
        busy = True
        while busy:
            busy = False
            for path in self._paths:  # In turn, so that no path takes the best of all.
                if path.in_flight < self._width(path) and (candidate := self._choose(path)) is not None:
                    self._ask(path, candidate, now)
                    out.append(candidate.peer)
                    busy = True
        self.done = all(path.done for path in self._paths)
        return out

    def _width(self, path: Path) -> int:
        """Requests in flight: alpha, until so many answers in a row named nobody nearer than the nearest.

        Then all of the k closest are asked at once, as Kademlia 2002, section 2.3, has it.
        """
        return self._k if path.barren >= self._alpha else self._alpha

    def _look(self, path: Path) -> None:
        """See whether a path is done, and whom it would ask if there is room in flight."""
        left, radius, capped = self._k, self._radius, self._prefix_caps
        room = path.in_flight < self._width(path)
        prefixes: dict[str, int] = {}
        fresh: list[Candidate] = []
        beyond: list[Candidate] = []
        done = True
        for candidate in path.order:
            if left <= 0 and candidate.distance > radius:
                break
            prefix = candidate.prefix
            if capped and prefix is not None:
                used = prefixes.get(prefix, 0)
                if used >= PREFIX_PEERS_MAX:
                    continue
                prefixes[prefix] = used + 1
            state = candidate.state
            if state == ANSWERED:
                left -= 1
                continue
            done = False
            if not room:
                break
            if state == SLOW:
                continue  # It may fail: whoever comes after it is asked meanwhile.
            left -= 1
            if state == NEW:
                (fresh if left >= 0 else beyond).append(candidate)
        beyond.reverse()
        path.fresh = fresh + beyond
        path.done = done

    def _choose(self, path: Path) -> Candidate | None:
        """The best of those that nobody has asked since; it is taken off the list."""
        fresh = path.fresh
        while fresh and fresh[0].state != NEW:
            del fresh[0]
        if not fresh:
            return None
        best = 0
        if self._tier_of is not None and self._radius < 0:
            limit = 1 << fresh[0].distance.bit_length() + EQUAL_BITS
            for at, candidate in enumerate(fresh):
                if candidate.distance >= limit:
                    break
                if candidate.tier < 0:
                    candidate.tier = self._tier_of(candidate.peer)
                if candidate.state == NEW and candidate.tier < fresh[best].tier:
                    best = at
        return fresh.pop(best)

    def _ask(self, path: Path, candidate: Candidate, now: float) -> None:
        candidate.state = WAITING
        self._asked[candidate.peer.peer_id] = candidate
        self._deadlines.append((now + self._slow_after_s, candidate))
        self.requests += 1
        path.in_flight += 1
        for other in self._paths:
            if other is not path:
                other.adopt(candidate)
        if self._radius < 0:
            path.asked += 1
            if path.asked >= self._peers_max:
                path.close()
        else:
            self._extra -= 1
            if self._extra <= 0:
                for each in self._paths:
                    each.close()

    def _closest(self, count: int) -> list[Candidate]:
        answered = [candidate for candidate in self._asked.values() if candidate.state == ANSWERED]
        answered.sort(key=lambda candidate: candidate.distance)
        if not self._prefix_caps:
            return answered[:count]
        closest: list[Candidate] = []
        prefixes: dict[str, int] = {}
        for candidate in answered:
            prefix = candidate.prefix
            if prefix is not None:
                prefixes[prefix] = prefixes.get(prefix, 0) + 1
                if prefixes[prefix] > PREFIX_PEERS_MAX:
                    continue
            closest.append(candidate)
        return closest[:count]
