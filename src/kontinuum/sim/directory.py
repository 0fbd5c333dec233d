"""All nodes in the order of their keys: what a simulation knows of the network and no node does.

Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Generic, TypeVar

from kontinuum.dht.keys import KEY_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kontinuum.dht.keys import KadKey

T = TypeVar("T")


class Directory(Generic[T]):
    """Things by their keys. Nodes whose keys begin alike stand together, so every bucket is a slice."""

    __slots__ = ("_items", "keys")

    def __init__(self, items: Iterable[tuple[KadKey, T]] = ()) -> None:
        self._items: dict[KadKey, T] = dict(items)
        self.keys: list[KadKey] = sorted(self._items)

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, place: int) -> T:
        """The item at a place of the order."""
        return self._items[self.keys[place]]

    def bucket(self, local: KadKey, index: int) -> tuple[int, int]:
        """The slice of those in bucket ``index`` of ``local``: begin, and end behind the last."""
        begin = ((local >> index) ^ 1) << index
        return bisect_left(self.keys, begin), bisect_left(self.keys, begin + (1 << index))

    def closest(self, target: KadKey, count: int, usable: Callable[[T], bool] | None = None) -> list[T]:
        """The ``count`` nearest to ``target`` by XOR, or all there are."""
        keys, items = self.keys, self._items
        bits = max(0, KEY_BITS - len(keys).bit_length())
        while True:
            begin = (target >> bits) << bits
            low, high = bisect_left(keys, begin), bisect_left(keys, begin + (1 << bits))
            if high - low >= count or bits >= KEY_BITS:
                near = [key for key in keys[low:high] if usable is None or usable(items[key])]
                if len(near) >= count or bits >= KEY_BITS:
                    near.sort(key=target.__xor__)
                    return [items[key] for key in near[:count]]
            bits += 1
