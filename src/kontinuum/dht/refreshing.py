"""Looks around: into each part of the key space and for oneself when one joins, and again now and then.

A lookup of a random key in a bucket fills that; one of our own key fills the buckets near us and tells the
neighbours that we are here. Later only buckets in which nothing was looked up for a while are refreshed.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.3 (refreshing, joining).
Differs:  who joins looks into the farthest bucket first and at itself last. The paper begins with oneself;
          but whoever waits for a newcomer sits next to it, and would be all that its first lookups know.
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
records that we hold. Our choice."""

EMPTY_MAX = 2
"""Buckets one after the other in which a newcomer finds nobody, before it looks at itself: there are none
nearer. Our choice: one may be empty by chance."""

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
        self._down: int | None = None
        """While we join: the bucket that is looked into."""
        self._empty = 0
        self._look_at: float | None = None
        self._self_at = 0.0
        self.settled = False
        """We have looked around since we joined."""

    def move(self, local: KadKey) -> None:
        """Our own place is another one now."""
        self._local = local

    def all(self, now: float) -> None:
        """We have just joined, or are somewhere else: every bucket from the farthest on, then ourselves."""
        self._queue.clear()
        self._down, self._empty = KEY_BITS - 1, 0
        self._queue.append(self._down)
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
        if self._down is not None:
            self._empty = 0 if self._table.size(self._down) else self._empty + 1
            self._down = self._down - 1 if self._down and self._empty < EMPTY_MAX else None
            self._queue.append(_SELF if self._down is None else self._down)
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
