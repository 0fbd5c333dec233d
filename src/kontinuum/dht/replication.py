"""Keeps records where they belong while peers come and go.

A peer that comes close to records of ours is given them, and when a holder dies, the next peer takes its
place; the few holders nearest to a key see to that. What nobody has refreshed for an hour is sent once more
to those who should hold it, by whoever notices first: the others see that it was done.

A receiver takes so much from one sender and no more (``records.quotas``), so each is sent no more at a time
than it takes from us; what it puts off is sent again later, and one that takes nothing more is left alone
for a while: the other holders have shares of their own there, and so has the owner.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2.5 (who re-publishes, and who need not).
Bounds:   QUEUE_MAX things to send; STORES_PER_TURN of them at a time, and to each receiver BURST at once and
          PACE_PER_S from then on. Receivers are peers of our table.
Trust:    only records that we hold, which were validated. A receiver that refuses costs itself the records.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.events import Refusal
from kontinuum.dht.keys import KEY_BITS, key_of
from kontinuum.dht.records.quotas import PUTS_BURST_PEER, PUTS_PER_S_PEER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.parts import Parts
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId

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
"""Things to send that may wait; one more is left to the hourly look. Our choice."""

BURST = PUTS_BURST_PEER // 2
"""Records that one receiver is sent at once. Our choice: half of what it takes, the rest is for our own."""

PACE_PER_S = PUTS_PER_S_PEER / 2
"""Records a second that one receiver is sent after that. Our choice, likewise."""

BUSY_PAUSE_S = 60.0
"""Seconds for which a receiver is left alone that says that we send too fast. Our choice: sixty more are then
welcome."""

REFUSALS_MAX = 3
"""Refusals one after the other for want of room, after which a receiver is not sent what waits for it. Our
choice: the first may be about one large record."""


_FARTHEST = (1 << KEY_BITS) - 1


class _Receiver:
    """What one peer is to be sent."""

    __slots__ = ("free_at", "full_at", "keys", "peer", "refusals")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.keys: dict[bytes, None] = {}
        self.full_at = 0.0
        """When it may be sent a whole burst again."""
        self.free_at = 0.0
        """When it may be sent the next one."""
        self.refusals = 0
        """One after the other, for want of room."""

    def take(self, count: int, now: float) -> list[bytes]:
        """At most ``count`` keys that may be sent now."""
        taken: list[bytes] = []
        while self.keys and len(taken) < count and self.free_at <= now:
            key = next(iter(self.keys))
            del self.keys[key]
            taken.append(key)
            self.full_at = max(self.full_at, now) + 1 / PACE_PER_S
            self.free_at = self.full_at - (BURST - 1) / PACE_PER_S
        return taken

    def is_idle(self, now: float) -> bool:
        """There is nothing to be remembered of it."""
        return not self.keys and max(self.full_at, self.free_at) <= now


class Replication:
    """Which record to send to whom. :meth:`handle_timeout` gives the pairs that are due."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._table = parts.table
        self._records = parts.records
        self._adaptation = parts.adaptation
        self._receivers: dict[PeerId, _Receiver] = {}
        self._queued = 0
        self._settled = False
        """Before that everybody whom we know seems to be close to everything that we hold."""
        self._look_at = 0.0
        self._turn_at: float | None = None

    @property
    def _local(self) -> KadKey:
        return self._parts.key

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
        if (receiver := self._receivers.pop(peer.peer_id, None)) is not None:
            self._queued -= len(receiver.keys)
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
        due: list[tuple[bytes, Peer]] = []
        for peer_id, receiver in list(self._receivers.items()):
            due += ((key, receiver.peer) for key in receiver.take(STORES_PER_TURN - len(due), now))
            if receiver.is_idle(now):
                del self._receivers[peer_id]
        self._queued -= len(due)
        self._wait(now)
        return due

    def answered(self, peer: Peer, key: bytes, refusal: int, now: float) -> None:
        """``peer`` was sent that record, and keeps it or says why not."""
        receiver = self._receivers.get(peer.peer_id)
        if receiver is None:
            return
        if refusal == Refusal.BUSY:
            receiver.free_at = now + BUSY_PAUSE_S
            self._send(key, (peer,), now)
        elif refusal in (Refusal.QUOTA, Refusal.FULL, Refusal.NOT_SERVING):
            receiver.refusals += 1
            if receiver.refusals >= REFUSALS_MAX:
                receiver.refusals = 0
                receiver.free_at = now + REPLICATE_AFTER_S
                self._queued -= len(receiver.keys)
                receiver.keys.clear()
        else:
            receiver.refusals = 0

    def next_deadline(self) -> float | None:
        """When to be called again; ``None`` while there is nothing to keep."""
        if self._turn_at is not None:
            return min(self._turn_at, self._look_at)
        return self._look_at if self._records else None

    def _refresh(self, now: float) -> None:
        old = now - REPLICATE_AFTER_S
        for key in [key for key in self._records.keys() if self._is_older(key, old)]:  # noqa: SIM118 -- no dict
            self._records.touch(key, now)
            self._send(key, self._table.closest(key_of(key), self._k), now)

    def _is_older(self, key: bytes, old: float) -> bool:
        received = self._records.received_at(key)
        return received is not None and received <= old

    def _held_around(self, peer: Peer) -> list[tuple[bytes, KadKey]]:
        """Records that ``peer`` may have to hold: a cheap look before the exact one."""
        if not self._records or not self._settled:
            return []
        neighbours = self._table.closest(self._local, self._k)
        if len(neighbours) < self._k:
            return self._records.around(peer.key, _FARTHEST)
        # As far from the key as our k-th neighbour is from us, with some room since density varies.
        radius = NEAR_FACTOR * (self._local ^ neighbours[-1].key)
        return self._records.around(peer.key, min(radius, _FARTHEST))

    def _responsible(self, place: KadKey, closest: list[Peer], without: Peer | None = None) -> bool:
        ours = place ^ self._local
        nearer = sum(1 for peer in closest if peer is not without and place ^ peer.key < ours)
        return nearer < RESPONSIBLE

    def _send(self, key: bytes, peers: Iterable[Peer], now: float) -> None:
        for peer in peers:
            if self._queued >= QUEUE_MAX:
                return
            receiver = self._receivers.get(peer.peer_id)
            if receiver is None:
                receiver = self._receivers[peer.peer_id] = _Receiver(peer)
            self._queued += key not in receiver.keys
            receiver.keys[key] = None
        self._turn_at = now + TURN_S if self._turn_at is None else min(self._turn_at, now + TURN_S)

    def _wait(self, now: float) -> None:
        """Set the time of the next turn: when somebody may be sent something."""
        free = [receiver.free_at for receiver in self._receivers.values() if receiver.keys]
        self._turn_at = max(now + TURN_S, min(free)) if free else None
