"""Addresses that others name for a peer: which of them we would dial.

A peer signs its own addresses, but whoever names it chose it: a member could have us dial hosts of our own
network, or look up names. So no name is looked up, and nothing is dialled that is nearer to us than we are
to the world.

Bounds:   ADDRESSES_MAX for a peer.
Trust:    the addresses are a stranger's.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.identity import Multiaddr

ADDRESSES_MAX = 8
"""Addresses of a named peer that are dialled. Our choice: a host with several networks, in two families."""


class Reach(IntEnum):
    """From where an address can be reached."""

    HOST = 0
    """This host alone: loopback."""
    NETWORK = 1
    """The networks around it: private, link-local, shared (RFC 1918, 3927, 4193, 6598)."""
    WORLD = 2


def reach_of(address: Multiaddr) -> Reach | None:
    """From where an address can be reached; ``None`` for names and for what nobody can be reached at."""
    if address.kind not in ("ip4", "ip6"):
        return None
    ip = ip_address(address.host)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return Reach.HOST
    if ip.is_unspecified or ip.is_multicast:
        return None
    return Reach.WORLD if ip.is_global else Reach.NETWORK


def fit_to_dial(named: Iterable[Multiaddr], own: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """Those of ``named`` that reach at least as far as the farthest of our ``own`` addresses."""
    ours = max((reach for one in own if (reach := reach_of(one)) is not None), default=Reach.NETWORK)
    fit = [one for one in named if (reach := reach_of(one)) is not None and reach >= ours]
    return tuple(fit[:ADDRESSES_MAX])
