"""What a node holds for others: records and who provides what, in memory; each change also for the disk.

A record is checked when it comes and again when it is given away, and an older one never replaces a newer
one. Every entry counts to the peer that sent it. Nothing that is valid ever goes because of somebody else:
when there is no room, a put is refused. The one exception is a peer's own doing: what it says itself makes
room among what it has passed on for others.

Bounds:   ``bytes_max`` in all, ENTRY_BYTES for each entry included; the shares and rates of ``quotas``; of
          the providers of a key PROVIDERS_MAX.
Trust:    keys and values are hostile; ``sender`` and ``ip`` are proven by the connection; a Peer was
          verified.
Pure:     no I/O, clock or randomness. Rates go by ``now`` and validity by ``at``: some methods take both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from kontinuum.dht.events import Drop, Keep, Refusal
from kontinuum.dht.prefixes import cap_prefix
from kontinuum.dht.records.entries import Entries, Entry
from kontinuum.dht.records.errors import RecordError
from kontinuum.dht.records.quotas import Rates
from kontinuum.dht.records.validators import FOREVER, Valid
from kontinuum.identity import CONTACT_AGE_MAX_S
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records.validators import Validators
    from kontinuum.identity import PeerId

RECORD_LIFETIME_S = 48 * 3600.0
"""Seconds that a record is held after somebody sent it last. libp2p specs, kad-dht/README.md, "Provider
record expiration": 48 h; owners send records every 24 h."""

EXTEND_STEP_S = 3600.0
"""Seconds that sending a record again must win before its new end is written down. Our choice: holders send
records to each other every hour, and a disk need not hear of it each time."""

PROVIDERS_MAX = 256
"""Providers of one key. Our choice. More: refused, ``Refusal.FULL``."""

PROVIDERS_PER_PREFIX_MAX = 32
"""Providers of one key from one /24 while nobody else provides it; fewer with the square of the places that
are left, as in ``quotas``, but always one. Our choice: alone it gets 26. More: refused,
``Refusal.QUOTA``."""

_CONTACT_AGE_MAX = timedelta(seconds=CONTACT_AGE_MAX_S)

_UNCHECKED = Valid(rank=(), expires_at=FOREVER, owner=None, mutable=True)


@dataclass(frozen=True, slots=True)
class RecordsFigures:
    """What a store holds, and what became of what was sent to it."""

    values: int
    providers: int
    bytes: int
    bytes_max: int
    accounts: int
    """Peers and networks that have something here."""
    stored: int
    """Entries that were new, or newer."""
    repeated: int
    """Records that were here already."""
    expired: int
    evicted: int
    """Entries that went for others: of the same sender, or, without quotas, of anybody."""
    refused: dict[Refusal, int]


class Records:
    """The records that a node holds.

    Args:
        validators: Which are valid.
        bytes_max: Bytes of all of them, ENTRY_BYTES for each included.
        quotas: Shares and rates. Without them (simulations only) a full store forgets what is oldest.
        validate: Check records. Without it (simulations only) anything is kept under any key.
        newest: Refuse older ones. Without it (simulations only) the last one replaces the others.
    """

    __slots__ = (
        "_entries",
        "_evicted",
        "_expired",
        "_newest",
        "_rates",
        "_refused",
        "_repeated",
        "_shared",
        "_stored",
        "_validate",
        "_validators",
    )

    def __init__(
        self,
        validators: Validators,
        *,
        bytes_max: int,
        quotas: bool = True,
        validate: bool = True,
        newest: bool = True,
    ) -> None:
        self._validators = validators
        self._shared = quotas
        self._validate = validate
        self._newest = newest
        self._entries = Entries(bytes_max)
        self._rates = Rates()
        self._stored = self._repeated = self._expired = self._evicted = 0
        self._refused: dict[Refusal, int] = {}

    # --- records ---

    def put(self, key: bytes, value: bytes, *, sender: PeerId, ip: str, at: datetime, now: float) -> Refusal:
        """Keep a record, if it is valid, not older than ours, and within the shares.

        Args:
            key: any bytes.
            value: any bytes.
            sender: whom it counts to.
            ip: where the sender is, as we see it; empty if that means nothing.
            at: the time of day, for validity.
            now: monotonic seconds, for rates.
        """
        if self._shared and not self._rates.allow(sender, ip, now):
            return self._refuse(Refusal.BUSY)
        at_s = at.timestamp()
        held = self._entries.values.get(key)
        if held is not None and not held.holds_at(at_s):
            self._entries.remove(held)
            held = None
        if held is not None and held.value == value:
            self._put_again(held, sender, ip, at_s)
            held.received = now
            return Refusal.NONE
        valid = self._valid(key, value, at)
        if valid is None:
            return self._refuse(Refusal.INVALID)
        if held is not None and self._newest and valid.rank < held.rank:
            return self._refuse(Refusal.OLDER)
        entry = Entry(key, value, None, valid, sender=sender, ip=ip)
        entry.received = now
        return self._place(entry, held, at_s + RECORD_LIFETIME_S)

    def get(self, key: bytes, at: datetime) -> bytes | None:
        """The record of ``key``, if it is valid at ``at``."""
        held = self._entries.values.get(key)
        return held.value if held is not None and held.holds_at(at.timestamp()) else None

    def keys(self) -> Iterable[bytes]:
        """The keys of all records, in an order that does not depend on chance."""
        return self._entries.values.keys()

    def around(self, place: KadKey, radius: int) -> list[tuple[bytes, KadKey]]:
        """Keys and places of the records at most ``radius`` away from ``place``."""
        return self._entries.places.within(place, radius)

    def received_at(self, key: bytes) -> float | None:
        """When that record was sent last, monotonic; ``-inf`` if not in this run; ``None`` if unknown."""
        held = self._entries.values.get(key)
        return None if held is None else held.received

    def touch(self, key: bytes, now: float) -> None:
        """Note that a record was sent around just now, by ourselves."""
        if (held := self._entries.values.get(key)) is not None:
            held.received = now

    # --- providers ---

    def add_provider(self, key: bytes, peer: Peer, *, ip: str, at: datetime, now: float) -> Refusal:
        """Keep that ``peer``, who must be the sender, provides ``key``; as long as its contact is fresh.

        Arguments as in :meth:`put`.
        """
        if self._shared and not self._rates.allow(peer.peer_id, ip, now):
            return self._refuse(Refusal.BUSY)
        at_s = at.timestamp()
        entry = _provider_entry(key, peer, ip, at_s)
        if entry is None:
            return self._refuse(Refusal.INVALID)
        entry.received = now
        held = self._entries.providers.get(key, {}).get(peer.peer_id)
        if held is None:
            if refusal := self._provider_refusal(key, ip):
                return self._refuse(refusal)
        elif self._newest and held.provider is not None and held.provider.replaces(peer):
            return self._refuse(Refusal.OLDER)
        return self._place(entry, held, at_s + RECORD_LIFETIME_S)

    def providers(self, key: bytes, at: datetime) -> list[Peer]:
        """Who provides ``key``; those that came first, first; to come again moves nobody."""
        at_s = at.timestamp()
        entries = self._entries.providers.get(key, {}).values()
        return [each.provider for each in entries if each.provider is not None and each.holds_at(at_s)]

    # --- disk and time ---

    def restore(self, keep: Keep, peer: Peer | None, at: datetime) -> None:
        """Take an entry back from disk: checked as if it came from a stranger, but for the rates.

        Args:
            keep: what was written; the disk may hold anything.
            peer: for a provider its contact (``keep.value``), verified anew; ``None`` if that failed.
            at: the time of day.
        """
        entry: Entry | None = None
        if keep.provider is None:
            if keep.key in self._entries.values:
                return  # What we learned since is newer than the disk.
            if valid := self._valid(keep.key, keep.value, at):
                entry = Entry(keep.key, keep.value, None, valid, sender=keep.sender, ip=keep.ip)
        else:
            if keep.provider in self._entries.providers.get(keep.key, {}):
                return
            if peer is not None and peer.peer_id == keep.provider:
                entry = _provider_entry(keep.key, peer, keep.ip, at.timestamp())
        if entry is None or not self._restore(entry, keep.expires_at_s, at.timestamp()):
            self._entries.effects.append(Drop(keep.key, keep.provider))

    def expire(self, at: datetime) -> None:
        """Forget what is over."""
        for entry in self._entries.over(at.timestamp()):
            self._entries.remove(entry)
            self._expired += 1

    def next_expiry(self) -> datetime | None:
        """When :meth:`expire` has something to do."""
        end_s = self._entries.next_end()
        return None if end_s is None else datetime.fromtimestamp(end_s, UTC)

    @property
    def changed(self) -> bool:
        """Whether :meth:`effects` has something."""
        return bool(self._entries.effects)

    def effects(self) -> list[Keep | Drop]:
        """What is to be written to disk since this was last asked, in order."""
        effects, self._entries.effects = self._entries.effects, []
        return effects

    def figures(self) -> RecordsFigures:
        """Figures for people and metrics."""
        entries = self._entries
        return RecordsFigures(
            values=len(entries.values),
            providers=entries.providers_count,
            bytes=entries.quotas.bytes,
            bytes_max=entries.quotas.bytes_max,
            accounts=len(entries.quotas),
            stored=self._stored,
            repeated=self._repeated,
            expired=self._expired,
            evicted=self._evicted,
            refused=dict(self._refused),
        )

    def __len__(self) -> int:
        """Entries: records and providers."""
        return len(self._entries)

    # --- inside ---

    def _refuse(self, refusal: Refusal) -> Refusal:
        self._refused[refusal] = self._refused.get(refusal, 0) + 1
        return refusal

    def _valid(self, key: bytes, value: bytes, at: datetime) -> Valid | None:
        if not self._validate:
            fits = 0 < len(key) <= KAD_KEY_BYTES_MAX and len(value) <= KAD_VALUE_BYTES_MAX
            return _UNCHECKED if fits else None
        try:
            valid = self._validators.validate(key, value, at)
        except RecordError:
            return None
        return valid if valid.valid_from <= at < valid.expires_at else None

    def _put_again(self, held: Entry, sender: PeerId, ip: str, at_s: float) -> None:
        """The same bytes once more. What a peer says itself counts to it; all else to who sent it last."""
        self._repeated += 1
        moves = held.sender not in (sender, held.owner)
        if moves:
            quotas = self._entries.quotas
            quotas.give(held.sender, held.ip, held.cost)
            refused = self._shared and quotas.refusal(sender, ip, held.cost)
            quotas.take(held.sender, held.ip, held.cost)
            if refused:
                return  # It would be refused if it were not here already: it stays as it is.
            self._entries.move(held, sender, ip)
        expires_s = min(held.valid_until_s, at_s + RECORD_LIFETIME_S)
        extends = expires_s >= held.expires_s + EXTEND_STEP_S
        if extends:
            self._entries.extend(held, expires_s)
        if extends or moves:
            self._entries.effects.append(held.keep())

    def _place(self, entry: Entry, held: Entry | None, end_s: float) -> Refusal:
        """Put ``entry`` in, in the place of ``held``, if there is room."""
        replaced = [] if held is None else [held]
        if self._shared:
            refusal, going = self._make_room(entry, replaced)
        else:
            refusal, going = self._make_room_by_age(entry, replaced)
        if refusal:
            return self._refuse(refusal)
        # What somebody else brought here before does not go for the sake of who brought a newer one.
        passed_on = entry.sender != entry.owner and (
            held is None or held in self._entries.passed_on(entry.sender)
        )
        for other in going:
            self._entries.remove(other)
        expires_s = min(entry.valid_until_s, end_s)
        if held is None:
            self._entries.insert(entry, expires_s, passed_on=passed_on)
        else:
            self._entries.renew(held, entry, expires_s, passed_on=passed_on)
        self._entries.effects.append(entry.keep())
        self._evicted += len(going)
        self._stored += 1
        return Refusal.NONE

    def _make_room(self, entry: Entry, replaced: list[Entry]) -> tuple[Refusal, list[Entry]]:
        """Whether ``entry`` fits, and what its sender passed on that has to go for its own word."""
        quotas = self._entries.quotas
        away = list(replaced)
        for other in away:
            quotas.give(other.sender, other.ip, other.cost)
        refusal = quotas.refusal(entry.sender, entry.ip, entry.cost)
        if refusal and entry.sender == entry.owner:
            for other in self._entries.passed_on(entry.sender):
                away.append(other)
                quotas.give(other.sender, other.ip, other.cost)
                refusal = quotas.refusal(entry.sender, entry.ip, entry.cost)
                if not refusal:
                    break
        for other in away:  # Until it is decided, and for whoever removes them.
            quotas.take(other.sender, other.ip, other.cost)
        return refusal, away[len(replaced) :]

    def _make_room_by_age(self, entry: Entry, replaced: list[Entry]) -> tuple[Refusal, list[Entry]]:
        """What a store without quotas does: whoever came first goes first, whosever it is."""
        entries = self._entries
        room = entries.quotas.bytes_max - entries.quotas.bytes - entry.cost
        room += sum(other.cost for other in replaced)
        going: list[Entry] = []
        by_key = (providers.values() for providers in entries.providers.values())
        for other in chain(entries.values.values(), *by_key):
            if room >= 0:
                break
            if other not in replaced:
                going.append(other)
                room += other.cost
        return (Refusal.FULL if room < 0 else Refusal.NONE), going

    def _provider_refusal(self, key: bytes, ip: str) -> Refusal:
        """Whether one more provider of ``key`` from ``ip`` may come."""
        entries = self._entries.providers.get(key)
        if entries is None or not self._shared:
            return Refusal.NONE
        prefix = cap_prefix(ip) if ip else None
        count = 0
        if prefix is not None:
            count = sum(1 for entry in entries.values() if entry.ip and cap_prefix(entry.ip) == prefix)
        room = 1 - len(entries) / PROVIDERS_MAX
        if room <= 0:
            return Refusal.FULL
        if count and count + 1 > PROVIDERS_PER_PREFIX_MAX * room**2:
            return Refusal.QUOTA
        return Refusal.NONE

    def _restore(self, entry: Entry, expires_s: float, at_s: float) -> bool:
        """Whether there was room for an entry from disk, and time left for it."""
        expires_s = min(entry.valid_until_s, expires_s, at_s + RECORD_LIFETIME_S)
        if expires_s <= at_s:
            return False
        if entry.provider is not None and self._provider_refusal(entry.key, entry.ip):
            return False
        quotas = self._entries.quotas
        if self._shared and quotas.refusal(entry.sender, entry.ip, entry.cost):
            return False
        if quotas.bytes + entry.cost > quotas.bytes_max:
            return False
        own = entry.sender == entry.owner
        self._entries.insert(entry, expires_s, passed_on=not own)
        return True


def _provider_entry(key: bytes, peer: Peer, ip: str, at_s: float) -> Entry | None:
    """The entry of a provider; ``None`` if its contact is not fresh, or the key is none."""
    fresh_until = peer.contact.issued_at + _CONTACT_AGE_MAX
    if not 0 < len(key) <= KAD_KEY_BYTES_MAX or fresh_until.timestamp() <= at_s:
        return None
    valid = Valid(rank=(), expires_at=fresh_until, owner=peer.peer_id, mutable=True)
    return Entry(key, peer.wire.contact, peer, valid, sender=peer.peer_id, ip=ip)
