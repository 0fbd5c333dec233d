"""Whom we know: 256 k-buckets by XOR distance from us, with caps for each network.

Source:   Maymounkov and Mazières, "Kademlia", IPTPS 2002, sections 2.2 to 2.4 and 4.1. Order of buckets
          around a target: rust-libp2p, protocols/kad/src/kbucket.rs, ``ClosestBucketsIter``. Caps:
          go-ethereum, p2p/discover/table.go, ``bucketIPLimit`` and ``tableIPLimit``.
Differs:  a peer that failed is not named to anybody while others are there (``kbucket``), and a full bucket
          asks for a ping of its oldest peer only if that one was not seen for QUESTIONABLE_AFTER_S.
Bounds:   256 buckets of k peers and WAITING_MAX waiting ones; PREFIX_BUCKET_MAX and PREFIX_TABLE_MAX peers of
          one /24 or /48, and a bucket's PROVIDER_SHARE of one /16 or /32. Only buckets that hold somebody
          take memory.
Trust:    peers were verified and have answered before they are offered. Whoever answers stays: a newcomer, or
          any number of them, cannot displace it.
Pure:     no I/O, clock or randomness; random keys take an Rng.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from kontinuum.dht.kbucket import NEVER, Entry, KBucket
from kontinuum.dht.keys import KEY_BITS, KadKey, bucket_index, key_of_peer
from kontinuum.dht.prefixes import cap_prefix, provider_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kontinuum.base.entropy import Rng
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId
    from kontinuum.messages.kad import KadPeer

PREFIX_BUCKET_MAX = 2
"""Peers of one /24 or /48 in a bucket, as go-ethereum's ``bucketIPLimit``. One more is refused."""

PREFIX_TABLE_MAX = 10
"""Peers of one /24 or /48 in a table, as go-ethereum's ``tableIPLimit``. One more is refused."""

PROVIDER_SHARE = 0.5
"""Part of a bucket's k places that peers of one /16 or /32 can have. Our choice: no provider fills a bucket,
and a network that lives within one still works, with half as large buckets. One more peer is refused."""

FAILURES_MAX = 3
"""Requests in a row that a peer fails before it is removed even if nobody waits for its place. Our choice:
Kademlia removes after five, yet its requests are single datagrams, ours are repeated by QUIC."""

FAILURE_SPACING_S = 5.0
"""Seconds within which several failures of a peer count as one: requests that were under way together. Our
choice: the time in which a request has failed."""

QUESTIONABLE_AFTER_S = 900.0
"""Seconds after which a peer that was not seen is pinged when a newcomer wants its place. BEP 5, "Routing
Table": a node is questionable after 15 minutes."""

CHECK_INTERVAL_S = 10.0
"""Seconds between two pings in one bucket on behalf of newcomers, however many of them come. Our choice:
twice the time in which a ping has failed."""

UNASKED_SHARE = 0.5
"""Part of a bucket that peers may fill who come by themselves. Our choice: whoever besieges a newcomer is
there first, before the newcomer has looked around, and whoever answers stays."""


class EntryRefusal(Enum):
    """Why a peer was not taken into the table."""

    SELF = "our own contact"
    CAPPED = "its network has its share"
    FULL = "the bucket is full of peers seen lately; it waits"


@dataclass(frozen=True, slots=True)
class Inserted:
    """The peer is new in the table."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The peer was there; now it is the most recently seen one, with the newer of both contacts."""


@dataclass(frozen=True, slots=True)
class Full:
    """The bucket is full. Ping ``oldest``, then tell :meth:`RoutingTable.seen` or ``failed``."""

    oldest: Peer


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """The table is as it was, but for the replacement cache if the reason is FULL."""

    reason: EntryRefusal


Offered = Inserted | Updated | Full | RefusedEntry

_INSERTED = Inserted()
_UPDATED = Updated()


@dataclass(frozen=True, slots=True)
class TableFigures:
    """How full a table is, for metrics."""

    k: int
    peers: int
    doubtful: int
    """Of ``peers``: those that failed when last asked."""
    waiting: int
    """Peers in replacement caches."""
    sizes: dict[int, int]
    """Peers by bucket, without empty buckets."""
    refusals: dict[EntryRefusal, int]
    """Offers refused so far, by reason."""


class RoutingTable:
    """The peers that we know, around our own place in the key space.

    Args:
        local: Our place.
        k: Peers in a bucket.
        prefix_caps: Refuse peers of networks that have their share (off in simulations of attacks only).
        prefer_old: Keep peers that answer; off (in simulations of attacks only), a newcomer replaces the
            least recently seen one.
    """

    __slots__ = (
        "_buckets",
        "_entries",
        "_k",
        "_local",
        "_looked_up",
        "_occupied",
        "_of_prefix",
        "_prefer_old",
        "_prefix_caps",
        "_refusals",
    )

    def __init__(self, local: KadKey, *, k: int, prefix_caps: bool = True, prefer_old: bool = True) -> None:
        self._local = local
        self._k = k
        self._prefix_caps = prefix_caps
        self._prefer_old = prefer_old
        self._entries: dict[PeerId, Entry] = {}
        self._of_prefix: dict[str, int] = {}
        """Entries of each network that is capped."""
        self._buckets: dict[int, KBucket] = {}
        self._occupied = 0
        """Bit i is set if bucket i exists."""
        self._looked_up: dict[int, float] = {}
        self._refusals: dict[EntryRefusal, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._entries

    def __iter__(self) -> Iterator[Peer]:
        """Those next to us first; in a bucket the doubtful ones, then the least recently seen ones first."""
        for index in sorted(self._buckets):
            yield from self._buckets[index]

    @property
    def k(self) -> int:
        """Peers in a bucket."""
        return self._k

    def get(self, peer_id: PeerId) -> Entry | None:
        """What we know of a peer of the table. To be read only."""
        return self._entries.get(peer_id)

    def closest(self, target: KadKey, count: int) -> list[Peer]:
        """The ``count`` peers nearest to ``target``, nearest first; doubtful ones only if all are.

        Where our distance to the target has bit i set, peers of bucket i are nearer to it than those of all
        lower buckets, and otherwise farther. So the buckets of its set bits come first, from the top down,
        then the others from the bottom up, and only as many as are needed.
        """
        distance = self._local ^ target
        buckets = self._buckets
        found: list[Peer] = []
        nearer = self._occupied & distance
        while nearer and len(found) < count:
            index = nearer.bit_length() - 1
            found += buckets[index].peers
            nearer ^= 1 << index
        if len(found) < count:
            farther = self._occupied & ~distance
            while farther and len(found) < count:
                lowest = farther & -farther
                found += buckets[lowest.bit_length() - 1].peers
                farther ^= lowest
            if not found:
                found = list(self)
        found.sort(key=lambda peer: peer.key ^ target)
        del found[count:]
        return found

    def named(self, peers: Iterable[Peer]) -> tuple[KadPeer, ...]:
        """How replies name these peers of the table: with the round trips that we have measured."""
        entries = self._entries
        return tuple([entries[peer.peer_id].named() for peer in peers])

    def offer(self, peer: Peer, ip: str | None, now: float) -> Offered:
        """Take a peer in that was verified and has just answered.

        Args:
            peer: The peer.
            ip: Where it answered from; ``None`` takes what it claims.
            now: Monotonic seconds.
        """
        if peer.key == self._local:
            return self._refuse(EntryRefusal.SELF)
        entry = self._entries.get(peer.peer_id)
        prefix = self._prefix(peer, ip)
        index = bucket_index(peer.key ^ self._local)
        if entry is not None:
            return self._update(entry, peer, entry.prefix if ip is None else prefix, now)
        bucket = self._buckets.get(index)
        full = bucket is not None and len(bucket) >= self._k
        if bucket is not None and full and self._prefer_old:
            return self._full(bucket, peer, prefix, now)
        leaving = self._entries[bucket.oldest.peer_id] if bucket is not None and full else None
        if not self._has_place(prefix, index, leaving):
            return self._refuse(EntryRefusal.CAPPED)
        if leaving is not None:
            self.remove(leaving.peer.peer_id)
        self._insert(peer, prefix, index, now)
        return _INSERTED

    def wants(self, peer: Peer, ip: str | None = None, *, unasked: bool = False) -> bool:
        """Whether :meth:`offer` would insert the peer or learn a newer contact: else a ping would be wasted.

        Also if its bucket is full, but has a doubtful peer that may have to go.

        Args:
            peer: The peer.
            ip: Where it is; ``None`` takes what it claims.
            unasked: It came by itself. Such peers get UNASKED_SHARE of a bucket, the rest is for those whom
                our own lookups find; but for our nearest neighbours, with whom we share records.
        """
        entry = self._entries.get(peer.peer_id)
        if entry is not None:
            return peer is not entry.peer and peer.replaces(entry.peer)
        if peer.key == self._local:
            return False
        index = bucket_index(peer.key ^ self._local)
        bucket = self._buckets.get(index)
        size = 0 if bucket is None else len(bucket)
        if unasked and self._prefer_old and size >= UNASKED_SHARE * self._k and not self._is_near(peer):
            return False
        if bucket is not None and size >= self._k and self._prefer_old and not bucket.doubtful:
            return False
        return self._has_place(self._prefix(peer, ip), index)

    def seen(self, peer_id: PeerId, now: float, rtt_s: float | None = None) -> None:
        """The peer answered just now. Does nothing if it is not in the table."""
        entry = self._entries.get(peer_id)
        if entry is not None:
            entry.seen_at = now
            entry.failures = 0
            if rtt_s is not None:
                entry.measured(rtt_s)
            peer = entry.peer
            self._buckets[bucket_index(peer.key ^ self._local)].answered(peer, peer)

    def failed(self, peer_id: PeerId, now: float) -> Peer | None:
        """The peer did not answer a request. It becomes doubtful; it goes if somebody waits for its place.

        Args:
            peer_id: The peer; if it is not in the table it is dropped from the replacement cache.
            now: Monotonic seconds.

        Returns:
            A peer out of the replacement cache for the place that is free: ping it, and offer it if it
            answers (if not, tell ``failed``, which gives the next one).
        """
        entry = self._entries.get(peer_id)
        if entry is None:
            index = bucket_index(key_of_peer(peer_id) ^ self._local)
            bucket = self._buckets.get(index)
            if bucket is None:
                return None
            bucket.forget_waiting(peer_id)
            return self._candidate(index, bucket) if len(bucket) < self._k else None
        if not entry.failures or now >= entry.failed_at + FAILURE_SPACING_S:
            entry.failures += 1
            entry.failed_at = now
        index = bucket_index(entry.peer.key ^ self._local)
        bucket = self._buckets[index]
        candidate = self._candidate(index, bucket, entry) if len(bucket) <= self._k else None
        if candidate is not None or entry.failures >= FAILURES_MAX:
            self.remove(peer_id)
        else:
            bucket.doubt(entry.peer)
        return candidate

    def remove(self, peer_id: PeerId) -> None:
        """Forget a peer. Does nothing if it is not in the table."""
        entry = self._entries.pop(peer_id, None)
        if entry is not None:
            self._count(entry.prefix, -1)
            index = bucket_index(entry.peer.key ^ self._local)
            bucket = self._buckets[index]
            bucket.remove(entry.peer)
            if not bucket and not bucket.waiting:
                del self._buckets[index]
                self._occupied ^= 1 << index

    def oldest(self) -> list[Peer]:
        """All peers, those first that have been in the table for longest."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.since)
        return [entry.peer for entry in entries]

    def doubtful(self) -> list[Peer]:
        """Peers that failed when last asked and are still there: worth a ping now and then."""
        return [peer for index in sorted(self._buckets) for peer in self._buckets[index].doubtful]

    def size(self, index: int) -> int:
        """Peers in that bucket."""
        bucket = self._buckets.get(index)
        return 0 if bucket is None else len(bucket)

    def touched(self, index: int, now: float) -> None:
        """Something was looked up in that bucket."""
        self._looked_up[index] = now

    def stale(self, now: float, older_than_s: float) -> list[int]:
        """Buckets in which nothing was looked up for so long, the farthest first.

        All from the farthest to the nearest one that holds somebody: below that there is nobody to be found.
        """
        lowest = bucket_index(self._occupied & -self._occupied) if self._occupied else KEY_BITS
        return [
            index
            for index in reversed(range(lowest, KEY_BITS))
            if self._looked_up.get(index, NEVER) <= now - older_than_s
        ]

    def random_key(self, index: int, rng: Rng) -> KadKey:
        """A place of the key space that falls into that bucket."""
        return self._local ^ (1 << index | rng.below(1 << index))

    def move(self, local: KadKey) -> None:
        """Our own place is another one now.

        The peers stay for whom there is a place around it, those first that have been here for longest. Who
        waits in replacement caches is forgotten.
        """
        entries = sorted(self._entries.values(), key=lambda entry: entry.since)
        self._local = local
        self._entries, self._of_prefix, self._buckets, self._looked_up = {}, {}, {}, {}
        self._occupied = 0
        for entry in entries:
            index = bucket_index(entry.peer.key ^ local) if entry.peer.key != local else -1
            if index >= 0 and self.size(index) < self._k and self._has_place(entry.prefix, index):
                self._place(entry, index)
                if entry.failures:
                    self._buckets[index].doubt(entry.peer)

    def set_k(self, k: int) -> list[Peer]:
        """Change the size of the buckets.

        A bucket that has more peers than that keeps all that answer; it only stops growing.

        Returns:
            Peers out of replacement caches for the places that are free now: ping and offer them.
        """
        candidates: list[Peer] = []
        if k == self._k:
            return candidates
        self._k = k
        for index in sorted(self._buckets):
            bucket = self._buckets[index]
            for _ in range(k - len(bucket)):
                candidate = self._candidate(index, bucket)
                if candidate is None:
                    break
                candidates.append(candidate)
        return candidates

    def fill(self) -> TableFigures:
        """How full the table is."""
        return TableFigures(
            k=self._k,
            peers=len(self._entries),
            doubtful=sum(len(bucket.doubtful) for bucket in self._buckets.values()),
            waiting=sum(len(bucket.waiting) for bucket in self._buckets.values()),
            sizes={index: len(self._buckets[index]) for index in sorted(self._buckets)},
            refusals=dict(self._refusals),
        )

    def _is_near(self, peer: Peer) -> bool:
        """It would be one of the k peers nearest to us."""
        nearest = self.closest(self._local, self._k)
        return len(nearest) < self._k or peer.key ^ self._local < nearest[-1].key ^ self._local

    def _prefix(self, peer: Peer, ip: str | None) -> str | None:
        """The network that counts for the caps, if any."""
        where = ip or peer.ip
        return cap_prefix(where) if self._prefix_caps and where else None

    def _has_place(self, prefix: str | None, index: int, leaving: Entry | None = None) -> bool:
        """Whether one more peer of that network may come into the bucket, ``leaving`` not counted."""
        if prefix is None:
            return True
        own = leaving is not None and leaving.prefix == prefix
        if self._of_prefix.get(prefix, 0) - own >= PREFIX_TABLE_MAX:
            return False
        entries = self._entries
        others = [
            entry.prefix
            for entry in (entries[peer.peer_id] for peer in self._buckets.get(index, ()))
            if entry.prefix is not None and entry is not leaving
        ]
        provider = provider_prefix(prefix)
        return (
            others.count(prefix) < PREFIX_BUCKET_MAX
            and sum(provider_prefix(other) == provider for other in others) < PROVIDER_SHARE * self._k
        )

    def _insert(self, peer: Peer, prefix: str | None, index: int, now: float) -> None:
        if (bucket := self._buckets.get(index)) is not None:
            bucket.forget_waiting(peer.peer_id)
        self._place(Entry(peer, prefix, now), index)

    def _place(self, entry: Entry, index: int) -> None:
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = KBucket()
            self._occupied |= 1 << index
        bucket.peers.append(entry.peer)
        self._entries[entry.peer.peer_id] = entry
        self._count(entry.prefix, 1)

    def _count(self, prefix: str | None, change: int) -> None:
        if prefix is not None:
            count = self._of_prefix[prefix] = self._of_prefix.get(prefix, 0) + change
            if not count:
                del self._of_prefix[prefix]

    def _candidate(self, index: int, bucket: KBucket, leaving: Entry | None = None) -> Peer | None:
        return bucket.take_waiting(lambda prefix: self._has_place(prefix, index, leaving))

    def _update(self, entry: Entry, peer: Peer, prefix: str | None, now: float) -> Updated | RefusedEntry:
        index = bucket_index(peer.key ^ self._local)
        if prefix != entry.prefix and not self._has_place(prefix, index, entry):
            return self._refuse(EntryRefusal.CAPPED)
        self._count(entry.prefix, -1)
        self._count(prefix, 1)
        entry.prefix = prefix
        entry.seen_at = now
        entry.failures = 0
        newer = peer if peer is not entry.peer and peer.replaces(entry.peer) else entry.peer
        self._buckets[index].answered(entry.peer, newer)
        entry.peer = newer
        return _UPDATED

    def _full(self, bucket: KBucket, peer: Peer, prefix: str | None, now: float) -> Full | RefusedEntry:
        """Let a newcomer wait; say whom to ping for it, if it is time for that."""
        bucket.wait(peer, prefix)
        oldest = self._entries[bucket.oldest.peer_id]
        lately = not oldest.failures and oldest.seen_at > now - QUESTIONABLE_AFTER_S
        if lately or bucket.checked_at > now - CHECK_INTERVAL_S:
            return self._refuse(EntryRefusal.FULL)
        bucket.checked_at = now
        return Full(oldest.peer)

    def _refuse(self, reason: EntryRefusal) -> RefusedEntry:
        self._refusals[reason] = self._refusals.get(reason, 0) + 1
        return RefusedEntry(reason)
