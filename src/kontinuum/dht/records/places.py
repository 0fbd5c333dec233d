"""Where the records of a store lie in the key space: which of them are around a place.

Sorted by place, those around another place stand together: within a distance below 2^n are exactly keys that
begin as it does, but for the last n bits.

Bounds: one entry for each record of the store.
Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from hashlib import sha256
from typing import TYPE_CHECKING

from kontinuum.dht.keys import KEY_BITS

if TYPE_CHECKING:
    from kontinuum.dht.keys import KadKey

_PLACE_BYTES = KEY_BITS // 8


class Places:
    """Keys of records by their places."""

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        self._sorted: list[bytes] = []
        """Place and key of each record, one behind the other: a third of what a number and a tuple take."""

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, key: bytes) -> None:
        """A record with that key is there; there was none."""
        insort(self._sorted, sha256(key).digest() + key)

    def remove(self, key: bytes) -> None:
        """It is gone."""
        del self._sorted[bisect_left(self._sorted, sha256(key).digest() + key)]

    def within(self, place: KadKey, radius: int) -> list[tuple[bytes, KadKey]]:
        """Keys and places of the records at most ``radius`` away from ``place``, in the order of places."""
        bits = radius.bit_length()
        low = place >> bits << bits
        first = bisect_left(self._sorted, low.to_bytes(_PLACE_BYTES))
        found: list[tuple[bytes, KadKey]] = []
        for at in range(first, len(self._sorted)):
            entry = self._sorted[at]
            own = int.from_bytes(entry[:_PLACE_BYTES])
            if own >> bits != low >> bits:
                break
            if own ^ place <= radius:
                found.append((entry[_PLACE_BYTES:], own))
        return found
