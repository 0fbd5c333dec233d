"""How far away peers are, by the network that they are in: a few tiers, the fastest first.

A peer that we never asked is judged by its neighbours: round trips are kept per /16 (IPv4) or /32 (IPv6) and
clustered into tiers, so that a lookup can choose the nearer one of two peers that are equally useful.

Source:   Freedman, Freudenthal and Mazières, "Democratizing content publication with Coral", NSDI 2004,
          section 4 (clusters by round trip); Lloyd, "Least squares quantization in PCM", 1982 (k-means).
Differs:  clusters are made of logarithms, so that a tier is a factor and not a number of milliseconds.
Bounds:   PREFIXES_MAX networks; TIERS_MAX tiers; LLOYD_ROUNDS_MAX rounds for each number of tiers; one
          clustering per RECLUSTER_INTERVAL_S, and one when the networks have doubled.
Trust:    round trips are our own measurements. A peer can seem farther than it is, and with it its network,
          but not nearer. Yet which network a peer is in is its own claim: one that claims an address in a
          near network is asked before its equals. That gains an attacker the order only: tiers are
          compared among candidates of about the same distance, and a search ends when the k closest have
          answered, whatever their tiers. To trust no claim of a stranger would cost more than half of what
          tiers win (dht-1k with 4,000 nodes: 6 % of a lookup's median instead of 14).
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, log
from typing import TYPE_CHECKING

from kontinuum.dht.prefixes import latency_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PREFIXES_MAX = 10_000
"""Networks that are remembered. The project's seed. One more: the one that was not measured for longest
goes."""

TIERS_MAX = 7
"""Most tiers. The project's seed."""

TIER_PENALTY = 0.03
"""How much one more tier must lower the mean squared deviation of the logarithms to be worth it. Our choice:
round trips that spread evenly get tiers of a factor of about two, and noise of a fifth gets none."""

RTT_GAIN = 0.125
"""Weight of the newest round trip in a network's smoothed one. RFC 6298, section 2.3."""

RTT_MIN_S = 0.001
"""Seconds below which all round trips are the same: a host's own noise. Our choice."""

RECLUSTER_INTERVAL_S = 300.0
"""Seconds between two clusterings, as Korium; before that only if twice as many networks are known."""

LLOYD_ROUNDS_MAX = 20
"""Rounds of one k-means, as Korium; it has mostly settled before."""


@dataclass(frozen=True, slots=True)
class TierFigures:
    """What is known of latencies, for metrics."""

    prefixes: int
    borders_s: tuple[float, ...]
    """The round trip up to which a network belongs to each tier but the last."""
    sizes: tuple[int, ...]
    """Networks in each tier."""


class Tiers:
    """Round trips by network, and the tiers that they make."""

    __slots__ = ("_borders", "_due", "_due_at_count", "_rtts")

    def __init__(self) -> None:
        self._rtts: dict[str, float] = {}
        """Smoothed seconds by network, the least recently measured first."""
        self._borders: list[float] = []
        """Seconds up to which a network belongs to each tier but the last."""
        self._due = float("inf")
        self._due_at_count = 2

    def __len__(self) -> int:
        """How many tiers there are."""
        return len(self._borders) + 1

    def observe(self, ip: str, rtt_s: float, now: float) -> None:
        """Take a round trip that was measured to an address, and cluster anew if that is due."""
        prefix = latency_prefix(ip)
        known = self._rtts.pop(prefix, None)
        if known is None and len(self._rtts) >= PREFIXES_MAX:
            del self._rtts[next(iter(self._rtts))]
        self._rtts[prefix] = rtt_s if known is None else known + RTT_GAIN * (rtt_s - known)
        self.refresh(now)

    def tier(self, ip: str | None, expected_s: float = 0.0) -> int:
        """The tier of an address, 0 the fastest.

        Args:
            ip: The address, if there is one.
            expected_s: The round trip that others let expect (``rtt_hint``), 0 for none. It counts only for
                networks to which we have measured nothing; without it these are in the middle tier.
        """
        rtt_s = None if ip is None else self._rtts.get(latency_prefix(ip))
        if rtt_s is None:
            if not expected_s:
                return len(self) // 2
            rtt_s = expected_s
        return bisect_left(self._borders, rtt_s)

    def refresh(self, now: float) -> None:
        """Cluster anew if it is time for it. :meth:`observe` does this itself."""
        if now >= self._due or len(self._rtts) >= self._due_at_count:
            self._due = now + RECLUSTER_INTERVAL_S
            self._due_at_count = 2 * len(self._rtts)
            self._borders = tier_borders(self._rtts.values())

    def figures(self) -> TierFigures:
        """What is known."""
        sizes = [0] * len(self)
        for rtt_s in self._rtts.values():
            sizes[bisect_left(self._borders, rtt_s)] += 1
        return TierFigures(len(self._rtts), tuple(self._borders), tuple(sizes))


def tier_borders(rtts_s: Iterable[float]) -> list[float]:
    """Cluster round trips, at least one of them, in any order.

    Returns:
        The borders between the tiers in seconds, ascending: none if they are all of one kind.
    """
    logs = sorted(log(max(rtt_s, RTT_MIN_S)) for rtt_s in rtts_s)
    sums = [0.0, *accumulate(logs)]
    squares = [0.0, *accumulate(value * value for value in logs)]
    best_score, best_ends = float("inf"), [0, len(logs)]
    for count in range(1, TIERS_MAX + 1):
        ends = _clusters(logs, sums, count)
        deviation = sum(
            squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start)
            for start, end in pairwise(ends)
        ) / len(logs)
        score = deviation + TIER_PENALTY * (len(ends) - 1)
        if score < best_score:
            best_score, best_ends = score, ends
        if deviation <= TIER_PENALTY:  # Another tier cannot earn its penalty.
            break
    return [exp((logs[end - 1] + logs[end]) / 2) for end in best_ends[1:-1]]


def _clusters(logs: Sequence[float], sums: Sequence[float], count: int) -> list[int]:
    """K-means of sorted values: where clusters end, from 0 to their number; none is empty.

    Sorted, a cluster is a range, and with ``sums`` of all ranges that begin with the first value, a round is
    a few binary searches. It begins with ``count`` clusters of equal size, so it always ends alike.
    """
    ends = sorted({len(logs) * place // count for place in range(count + 1)})
    for _ in range(LLOYD_ROUNDS_MAX):
        means = [(sums[end] - sums[start]) / (end - start) for start, end in pairwise(ends)]
        borders = (bisect_left(logs, (left + right) / 2) for left, right in pairwise(means))
        moved = sorted({0, *borders, len(logs)})
        if moved == ends:
            break
        ends = moved
    return ends
