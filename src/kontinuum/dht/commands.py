"""From what our program wants to the operation that does it: searches with the settings of the moment.

Bounds: those of ``search`` and ``operations``.
Trust:  commands are our own program's; a record that no validator accepts is refused before it leaves.
Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.keys import bucket_index, key_of
from kontinuum.dht.operation import Surroundings
from kontinuum.dht.operations import (
    FindOperation,
    FindProvidersOperation,
    GetOperation,
    PutOperation,
)
from kontinuum.dht.responder import PLACE_BYTES
from kontinuum.dht.search import SEARCH_PEERS_MAX, Search, SearchSettings
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kontinuum.dht import events as ev
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.operation import Operation
    from kontinuum.dht.parts import Parts
    from kontinuum.dht.peer import Peer
    from kontinuum.dht.records import Valid

SEEDS_PER_SEARCH = 60
"""Peers of our table that a search begins with: 3 paths of k, so that a node near a crowded key does not
begin with the crowd only. Our choice."""


class Commands:
    """Makes operations. One for each node.

    Args:
        parts: The node's table, records and what else operations look at.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.own: Peer | None = None
        """Ourselves, as others shall know us."""

    @property
    def sender(self) -> bytes:
        """Our contact, which requests carry; empty for a client, which nobody shall ask."""
        return self.own.wire.contact if self._parts.config.server and self.own is not None else b""

    def find(self, target: KadKey, now: float, deadline: float, count: int = 0) -> Operation:
        """The ``count`` or k peers closest to ``target``."""
        message = KadMessage(MessageType.FIND_NODE, key=target.to_bytes(PLACE_BYTES), sender=self.sender)
        count = count or self._parts.adaptation.k
        return FindOperation(self._search(target, now, count), message, self._around(), deadline, count)

    def get(self, command: ev.Get, now: float, at: datetime) -> Operation:
        """The newest valid record of a key."""
        parts, key = self._parts, command.key
        local: tuple[bytes, Valid | None] | None = None
        if (value := parts.records.get(key, at)) is not None:
            validated = parts.config.defences.validate_records
            local = value, parts.validators.validate(key, value, at) if validated else None
        return GetOperation(
            self._search(key_of(key), now),
            self._around(),
            now + command.timeout_s,
            key=key,
            quorum=command.quorum or parts.config.quorum,
            paths=self._paths,
            local=local,
        )

    def find_providers(self, command: ev.FindProviders, now: float, at: datetime) -> Operation:
        """Peers that provide a key."""
        key = command.key
        return FindProvidersOperation(
            self._search(key_of(key), now),
            self._around(),
            now + command.timeout_s,
            key=key,
            count=command.count,
            quorum=self._parts.config.quorum,
            local=self._parts.records.providers(key, at),
            check=self._check_providers,
        )

    def store(self, key: bytes, value: bytes, now: float, deadline: float) -> Operation:
        """Store a record, which is valid, at the peers closest to its key."""
        return self._spread(key, self.put_message(key, value), now, deadline)

    def provide(self, key: bytes, now: float, deadline: float) -> Operation:
        """Say at the peers closest to ``key`` that we have what it names."""
        own = () if self.own is None else (self.own.wire,)
        message = KadMessage(MessageType.ADD_PROVIDER, key=key, provider_peers=own, sender=self.sender)
        return self._spread(key, message, now, deadline)

    def put_message(self, key: bytes, value: bytes) -> KadMessage:
        """The request to store a record."""
        record = KadRecord(key, value)
        return KadMessage(MessageType.PUT_VALUE, key=key, record=record, sender=self.sender)

    def _spread(self, key: bytes, store: KadMessage, now: float, deadline: float) -> Operation:
        place = key_of(key)
        find = KadMessage(MessageType.FIND_NODE, key=place.to_bytes(PLACE_BYTES), sender=self.sender)
        search = self._search(place, now)
        return PutOperation(search, self._around(), deadline, find=find, store=store)

    @property
    def _paths(self) -> int:
        config = self._parts.config
        return config.paths if config.defences.disjoint_paths else 1

    def _search(self, target: KadKey, now: float, count: int = 0) -> Search:
        parts = self._parts
        if target != parts.key:
            parts.table.touched(bucket_index(target ^ parts.key), now)
        k = max(parts.adaptation.k, count)
        settings = SearchSettings(
            k=k,
            alpha=parts.adaptation.alpha,
            paths=self._paths,
            slow_after_s=parts.patience.slow_after_s,
            late_after_s=parts.patience.late_after_s,
            prefix_caps=parts.config.defences.prefix_caps,
            peers_max=max(SEARCH_PEERS_MAX, 2 * k),
        )
        seeds = parts.table.closest(target, max(k, SEEDS_PER_SEARCH))
        tier_of = self._tier_of if parts.config.tiers else None
        return Search(target, seeds, local=parts.local, settings=settings, tier_of=tier_of)

    def _tier_of(self, peer: Peer, expected_s: float) -> int:
        return self._parts.tiers.tier(peer.ip, expected_s)

    def _around(self) -> Surroundings:
        parts = self._parts
        defences = parts.config.defences
        return Surroundings(
            k=parts.adaptation.k,
            validators=parts.validators,
            density=self._radius,
            near=parts.density.radius,
            validate=defences.validate_records,
            newest=defences.newest_of_several,
            sender=self.sender,
        )

    def _radius(self, target: KadKey, closest: Sequence[Peer]) -> int | None:
        parts = self._parts
        if not parts.config.defences.density_check:
            return None
        radius = parts.density.suspicious(target, [target ^ peer.key for peer in closest])
        if radius is not None:
            parts.counts["dense_neighbourhoods"] += 1
        return radius

    def _check_providers(self, message: KadMessage, at: datetime) -> list[Peer]:
        parts, named = self._parts, message.provider_peers
        providers, refused = parts.admission.check_all(named, at, count_max=len(named))
        parts.counts["contacts_refused"] += refused
        return providers
