"""How many peers share an address, and what that costs each of them (P6).

Source:   libp2p specs, gossipsub v1.1, "The Score Function", P6; go-libp2p-pubsub score.go (IPv6 by /64).
Differs:  an IPv6 address counts as its /64 only; go counts the address and the /64, so twice. Peers that
          left are not counted, also if their score is retained: the next tenant of an address owes nothing.
          A peer has the one address that its connection has.
Bounds:   as many addresses as peers.
Trust:    addresses are those of connections that were made, not claims.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

IPV6_SITE_BITS = 64
"""Leading bits of an IPv6 address that tell one site from another. As go-libp2p-pubsub: one host may take any
address of its /64 (RFC 4291, section 2.5.1; RFC 8981)."""

Network = IPv4Network | IPv6Network


class AddressGroup:
    """The connected peers of one address. ``penalty`` is P6 with its weight, the same for each of them."""

    __slots__ = ("key", "peers", "penalty")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.peers = 0
        self.penalty = 0.0


class Colocation:
    """The addresses of connected peers.

    Args:
        weight: Points for each squared peer above the threshold; 0 or less.
        threshold: Peers of one address that cost nothing.
        allow_list: Networks whose addresses are not counted.
    """

    def __init__(self, weight: float, threshold: int, allow_list: Iterable[Network]) -> None:
        self._weight = weight
        self._threshold = threshold
        self._allow_list = tuple(allow_list)
        self._groups: dict[bytes, AddressGroup] = {}
        self._nobody = AddressGroup(b"")
        """Of all that are not counted; its penalty stays 0."""

    def __len__(self) -> int:
        return len(self._groups)

    def join(self, ip: str | None) -> AddressGroup:
        """Count one more peer at ``ip``; ``None`` and what is no address (a relayed peer) is not counted."""
        key = self._key(ip)
        if key is None:
            return self._nobody
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = AddressGroup(key)
        self._resize(group, group.peers + 1)
        return group

    def leave(self, group: AddressGroup) -> None:
        """Count one less in a group that :meth:`join` gave; once for each time."""
        if group is self._nobody:
            return
        self._resize(group, group.peers - 1)
        if not group.peers:
            del self._groups[group.key]

    def _resize(self, group: AddressGroup, peers: int) -> None:
        group.peers = peers
        surplus = max(0, peers - self._threshold)
        group.penalty = self._weight * surplus**2 if surplus else 0.0

    def _key(self, ip: str | None) -> bytes | None:
        """What peers of one address have in common."""
        if ip is None:
            return None
        try:
            address = ip_address(ip)
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._allow_list):
            return None
        if isinstance(address, IPv4Address):
            return address.packed
        return address.packed[: IPV6_SITE_BITS // 8]
