"""The entries of a store: found by key, counted to senders, dropped in time.

Each change is told to the disk. This file keeps the books; what may come in, ``store`` decides.

Bounds:   the store decides; the queue of ends holds at most STALE_MAX more than two for each entry.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from kontinuum.dht.events import Drop, Keep
from kontinuum.dht.records.places import Places
from kontinuum.dht.records.quotas import Quotas
from kontinuum.dht.records.validators import ALWAYS, FOREVER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records.validators import Valid
    from kontinuum.identity import PeerId

ENTRY_BYTES = 2048
"""Bytes that an entry costs besides its key and value. Our choice: some more than was measured in the worst
case, each of another sender in another network, so that ``bytes_max`` bounds memory and not only payload."""

PROVIDER_BYTES = 768
"""Bytes that a provider costs besides: its contact is kept decoded. Our choice, likewise."""

STALE_MAX = 64
"""Outdated places in the queue of ends beyond as many as there are entries; then it is made anew."""

_GONE = -1.0
_FOREVER_S = FOREVER.timestamp()


class Entry:
    """One record, or one provider of a key.

    Args:
        key: Its key.
        value: The record, or the provider's contact.
        provider: The provider, if it is one.
        valid: What its validator said.
        sender: Whom it counts to.
        ip: Where that one is; empty if that means nothing.
    """

    __slots__ = (
        "cost",
        "expires_s",
        "ip",
        "key",
        "owner",
        "provider",
        "rank",
        "received",
        "sender",
        "valid_from_s",
        "valid_until_s",
        "value",
    )

    def __init__(
        self, key: bytes, value: bytes, provider: Peer | None, valid: Valid, *, sender: PeerId, ip: str
    ) -> None:
        self.key = key
        self.value = value
        self.provider = provider
        self.rank: tuple[Any, ...] = valid.rank
        self.owner = valid.owner
        self.valid_from_s = _seconds(valid.valid_from)
        self.valid_until_s = _seconds(valid.expires_at)
        self.sender = sender
        self.ip = ip
        self.cost = ENTRY_BYTES + len(key) + len(value)
        if provider is not None:
            self.cost += PROVIDER_BYTES
        self.expires_s = _GONE
        """When it goes from the store."""
        self.received = float("-inf")
        """When it was sent last, monotonic; ``-inf`` if not in this run."""

    def holds_at(self, at_s: float) -> bool:
        """Whether it may be given away at that time."""
        return self.valid_from_s <= at_s < self.expires_s

    def empty(self) -> None:
        """It is in the store no more; the queue of ends may hold it for a while yet."""
        self.value, self.provider, self.rank, self.owner = b"", None, (), None
        self.expires_s = _GONE

    def keep(self) -> Keep:
        """How it is written to disk."""
        provider = None if self.provider is None else self.provider.peer_id
        return Keep(self.key, self.value, provider, self.sender, self.expires_s, self.ip)


class Entries:
    """All entries of one store, and their accounts.

    Args:
        bytes_max: Bytes of all of them.
    """

    __slots__ = (
        "_ends",
        "_number",
        "_passed_on",
        "effects",
        "places",
        "providers",
        "providers_count",
        "quotas",
        "values",
    )

    def __init__(self, bytes_max: int) -> None:
        self.quotas = Quotas(bytes_max)
        self.values: dict[bytes, Entry] = {}
        """Records by key; what came or was replaced last is at the end."""
        self.places = Places()
        """Of ``values``."""
        self.providers: dict[bytes, dict[PeerId, Entry]] = {}
        """Providers by key; those that came first are at the beginning."""
        self.providers_count = 0
        self.effects: list[Keep | Drop] = []
        """For the disk, not taken yet."""
        self._passed_on: dict[PeerId, dict[Entry, None]] = {}
        self._ends: list[tuple[float, int, Entry]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self.values) + self.providers_count

    def passed_on(self, sender: PeerId) -> Collection[Entry]:
        """Entries that nobody but ``sender`` brought here, and that are not its own word; oldest first."""
        return self._passed_on.get(sender, {})

    def insert(self, entry: Entry, expires_s: float, *, passed_on: bool) -> None:
        """Put an entry in, until ``expires_s``; there is none of its key, or of its key and provider."""
        self.quotas.take(entry.sender, entry.ip, entry.cost)
        if entry.provider is None:
            self.values[entry.key] = entry
            self.places.add(entry.key)
            if passed_on:
                self._passed_on.setdefault(entry.sender, {})[entry] = None
        else:
            self.providers.setdefault(entry.key, {})[entry.provider.peer_id] = entry
            self.providers_count += 1
        self.extend(entry, expires_s)

    def renew(self, held: Entry, entry: Entry, expires_s: float, *, passed_on: bool) -> None:
        """Put an entry in the place of ``held``: on the disk, and if it is a provider, in their order."""
        if entry.provider is None:
            self._take_out(held)
            self.insert(entry, expires_s, passed_on=passed_on)
            return
        self.quotas.give(held.sender, held.ip, held.cost)
        held.empty()
        self.quotas.take(entry.sender, entry.ip, entry.cost)
        self.providers[entry.key][entry.provider.peer_id] = entry
        self.extend(entry, expires_s)

    def extend(self, entry: Entry, expires_s: float) -> None:
        """Set its end."""
        entry.expires_s = expires_s
        self._number += 1
        heappush(self._ends, (expires_s, self._number, entry))
        if len(self._ends) > 2 * len(self) + STALE_MAX:
            self._ends = [end for end in self._ends if end[2].expires_s == end[0]]
            heapify(self._ends)

    def move(self, entry: Entry, sender: PeerId, ip: str) -> None:
        """Count an entry to another sender."""
        self.quotas.give(entry.sender, entry.ip, entry.cost)
        self._not_passed_on(entry)
        entry.sender, entry.ip = sender, ip
        self.quotas.take(sender, ip, entry.cost)

    def remove(self, entry: Entry) -> None:
        """Take an entry out, and off the disk."""
        provider = None if entry.provider is None else entry.provider.peer_id
        self.effects.append(Drop(entry.key, provider))
        self._take_out(entry)

    def over(self, at_s: float) -> Iterable[Entry]:
        """Entries whose end has come. Each is to be removed before the next one is asked for."""
        while self._ends and self._ends[0][0] <= at_s:
            end_s, _, entry = heappop(self._ends)
            if entry.expires_s == end_s:
                yield entry

    def next_end(self) -> float | None:
        """When the next one's end comes, Unix seconds."""
        while self._ends and self._ends[0][2].expires_s != self._ends[0][0]:
            heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def _take_out(self, entry: Entry) -> None:
        self.quotas.give(entry.sender, entry.ip, entry.cost)
        if entry.provider is None:
            del self.values[entry.key]
            self.places.remove(entry.key)
            self._not_passed_on(entry)
        else:
            entries = self.providers[entry.key]
            del entries[entry.provider.peer_id]
            if not entries:
                del self.providers[entry.key]
            self.providers_count -= 1
        entry.empty()

    def _not_passed_on(self, entry: Entry) -> None:
        entries = self._passed_on.get(entry.sender)
        if entries is not None and entries.pop(entry, self) is None and not entries:
            del self._passed_on[entry.sender]


def _seconds(at: datetime) -> float:
    """Unix seconds; the ends of the calendar have none on some machines."""
    if at is ALWAYS:
        return float("-inf")
    return _FOREVER_S if at is FOREVER else at.timestamp()
