"""Looks around: for oneself when one joins, and into each part of the key space now and then.

A lookup of one's own key fills the buckets near us, and tells the neighbours that we are here; a lookup of a
random key in each farther bucket fills that. Later only buckets in which nothing was looked up for a while
are refreshed.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3 (refreshing, joining).
Bounds:   one refresh at a time, each bucket once in an interval.
Pure:     no I/O or clock; random keys come from a seedable Rng.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kontinuum.dht.keys import KEY_BITS, bucket_index

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.routing_table import RoutingTable

LOOK_EVERY_S = 60.0
"""Seconds between two looks for stale buckets. Our choice."""

SELF_INTERVAL_FACTOR = 0.5
"""Part of a refresh interval after which our own neighbourhood is looked up again: it matters most for
records
that we hold. Our choice."""

_SELF = -1
"""In the queue: our own key instead of a bucket."""


class Refreshing:
    """Which places to look up for the table's sake."""

    def __init__(self, local: KadKey, table: RoutingTable, *, interval_s: float) -> None:
        self._local = local
        self._table = table
        self._interval_s = interval_s
        self._queue: deque[int] = deque()
        self._busy = False
        self._all = False
        """After the lookup that is under way, every bucket follows."""
        self._look_at: float | None = None
        self._self_at = 0.0
        self.settled = False
        """We have looked around since we joined."""

    def all(self, now: float) -> None:
        """We have just joined, or are somewhere else: ourselves first, then every bucket."""
        self._queue.clear()
        self._queue.append(_SELF)
        self._all = True
        self._look_at = now

    def due(self, now: float, rng: Rng) -> KadKey | None:
        """The place to look up now, if it is time and the last one is done."""
        if self._busy or self._look_at is None:
            return None
        if not self._queue and now >= self._look_at:
            self._collect(now)
        if not self._queue:
            return None
        self._busy = True
        index = self._queue.popleft()
        if index == _SELF:
            self._self_at = now + self._interval_s * SELF_INTERVAL_FACTOR
            return self._local
        self._table.touched(index, now)
        return self._table.random_key(index, rng)

    def ended(self, now: float) -> None:
        """The lookup that :meth:`due` asked for is over."""
        self._busy = False
        if self._all:
            self._all = False
            self._queue.extend(range(self._nearest(), KEY_BITS))
        if self._queue:
            self._look_at = now
        else:
            self.settled = True

    def next_deadline(self) -> float | None:
        """When :meth:`due` is to be asked again; ``None`` before the start and during a lookup."""
        return None if self._busy else self._look_at

    def _collect(self, now: float) -> None:
        self._look_at = now + LOOK_EVERY_S
        if now >= self._self_at:
            self._queue.append(_SELF)
        nearest = self._nearest()
        self._queue.extend(i for i in self._table.stale(now, self._interval_s) if i >= nearest)

    def _nearest(self) -> int:
        """The bucket of our nearest neighbour: nobody is in those nearer to us."""
        nearest = self._table.closest(self._local, 1)
        return bucket_index(nearest[0].key ^ self._local) if nearest else KEY_BITS
