"""What a peer may cost us: bytes that fill again with time.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations


class Budget:
    """A token bucket.

    Args:
        full: How much it holds; it begins full.
        refill_per_s: How much comes back each second.
    """

    __slots__ = ("_at", "_full", "_left", "_refill_per_s")

    def __init__(self, full: float, refill_per_s: float, now: float) -> None:
        self._full = full
        self._left = full
        self._refill_per_s = refill_per_s
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Take ``amount`` out. False, and nothing is taken, if there is not so much."""
        self._left = min(self._full, self._left + (now - self._at) * self._refill_per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def give_back(self, amount: float) -> None:
        """What was taken was well spent."""
        self._left = min(self._full, self._left + amount)
