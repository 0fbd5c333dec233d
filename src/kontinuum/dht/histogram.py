"""How long operations take: counts by upper bound, as Prometheus wants them.

Bounds: one number for each of BOUNDS_S, and two.
Pure:   no I/O, clock or randomness.
"""

from bisect import bisect_left

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; a last bucket takes the rest. Our choice: from one round trip on one machine to a
lookup that waits for dead peers."""


class Histogram:
    """Counts how often something took how long."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        """How many took at most that bound and more than the one before; the last one took longer."""
        self.total_s = 0.0
        """Seconds of all together."""

    def observe(self, seconds: float) -> None:
        """One more, that took ``seconds``."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The bound below which at least ``share`` (0 to 1) of them were; ``None`` without any.

        Infinite if it is beyond the last bound.
        """
        wanted, seen = share * self.count, 0
        for bound, count in zip((*BOUNDS_S, float("inf")), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return None
