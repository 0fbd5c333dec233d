"""Keeps records where they belong while peers come and go.

A peer that comes close to records of ours is given them, and when a holder dies, the next peer takes its
place; the few holders nearest to a key see to that. What nobody has refreshed for an hour is sent once more
to those who should hold it, by whoever notices first: the others see that it was done.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.5 (who re-publishes, and who need not).
Bounds:   QUEUE_MAX things to send; STORES_PER_TURN of them at a time.
Trust:    only records that we hold, which were validated.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kontinuum.dht.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.parts import Parts
    from kontinuum.dht.peer import Peer

REPLICATE_AFTER_S = 3600.0
"""Seconds without a store after which a holder sends a record to the others once more. Kademlia 2002,
section 2.5: an hour."""

NEAR_FACTOR = 4
"""How many times the distance of our k-th neighbour a record may be away from a peer that should hold it. Our
choice: the density of peers varies less from place to place."""

RESPONSIBLE = 3
"""Holders, the nearest to a key, that give it to newcomers and to successors of the dead. Our choice: one may
be gone and one hostile."""

STORES_PER_TURN = 32
"""Records sent at a time. Our choice: some twenty kilobytes."""

TURN_S = 0.5
"""Seconds between two such turns. Our choice."""

LOOK_EVERY_S = 60.0
"""Seconds between two looks for records that nobody has refreshed. Our choice."""

QUEUE_MAX = 65_536
"""Things to send that may wait; beyond it the oldest is forgotten until the hourly look. Our choice."""


class Replication:
    """Which record to send to whom. :meth:`handle_timeout` gives the pairs that are due."""

    def __init__(self, parts: Parts) -> None:
        self._local = parts.key
        self._table = parts.table
        self._records = parts.records
        self._adaptation = parts.adaptation
        self._queue: deque[tuple[bytes, Peer]] = deque(maxlen=QUEUE_MAX)
        self._settled = False
        """Before that everybody whom we know seems to be close to everything that we hold."""
        self._look_at = 0.0
        self._turn_at: float | None = None

    @property
    def _k(self) -> int:
        return self._adaptation.k

    def start(self, now: float) -> None:
        """Time begins."""
        self._look_at = now + LOOK_EVERY_S

    def settle(self) -> None:
        """We have looked around: from now on the table says who should hold what."""
        self._settled = True

    def joined(self, peer: Peer, now: float) -> None:
        """``peer`` is new in the table: what should it hold?"""
        for key, place in self._held_around(peer):
            closest = self._table.closest(place, self._k)
            if peer in closest and self._responsible(place, closest, without=peer):
                self._send(key, (peer,), now)

    def left(self, peer: Peer, now: float) -> None:
        """``peer`` is gone: who takes what it held?"""
        doubtful = self._table.doubtful()
        for key, place in self._held_around(peer):
            closest = self._table.closest(place, self._k)
            if not closest or not self._responsible(place, closest):
                continue
            edge = place ^ closest[-1].key
            if len(closest) < self._k or place ^ peer.key < edge:
                # It was among the k closest, as were those in doubt, which are not named any more either.
                gone = 1 + sum(place ^ doubted.key < edge for doubted in doubtful)
                self._send(key, closest[-gone:], now)

    def handle_timeout(self, now: float) -> list[tuple[bytes, Peer]]:
        """What to send now, and to whom."""
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            if self._settled:
                self._refresh(now)
        if self._turn_at is None or now < self._turn_at:
            return []
        due = [self._queue.popleft() for _ in range(min(STORES_PER_TURN, len(self._queue)))]
        self._turn_at = now + TURN_S if self._queue else None
        return due

    def next_deadline(self) -> float | None:
        """When to be called again; ``None`` while there is nothing to keep."""
        if self._turn_at is not None:
            return min(self._turn_at, self._look_at)
        return self._look_at if self._records else None

    def _refresh(self, now: float) -> None:
        for key, place in self._held():
            received = self._records.received_at(key)
            if received is not None and now - received >= REPLICATE_AFTER_S:
                self._records.touch(key, now)
                self._send(key, self._table.closest(place, self._k), now)

    def _held(self) -> Iterable[tuple[bytes, KadKey]]:
        return [(key, key_of(key)) for key in self._records.keys()]  # noqa: SIM118 -- not a dict

    def _held_around(self, peer: Peer) -> list[tuple[bytes, KadKey]]:
        """Records that ``peer`` may have to hold: a cheap look before the exact one."""
        if not self._records or not self._settled:
            return []
        neighbours = self._table.closest(self._local, self._k)
        if len(neighbours) < self._k:
            return list(self._held())
        # As far from the key as our k-th neighbour is from us, with some room since density varies.
        radius = NEAR_FACTOR * (self._local ^ neighbours[-1].key)
        return [(key, place) for key, place in self._held() if place ^ peer.key <= radius]

    def _responsible(self, place: KadKey, closest: list[Peer], without: Peer | None = None) -> bool:
        ours = place ^ self._local
        nearer = sum(1 for peer in closest if peer is not without and place ^ peer.key < ours)
        return nearer < RESPONSIBLE

    def _send(self, key: bytes, peers: Iterable[Peer], now: float) -> None:
        self._queue.extend((key, peer) for peer in peers)
        if self._turn_at is None:
            self._turn_at = now + TURN_S
