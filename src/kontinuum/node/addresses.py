"""Addresses of this machine, and of peers by name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

from kontinuum.identity import Multiaddr
from kontinuum.wire.limits import CONTACT_ADDRESSES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

ADDRESSES_PER_NAME_MAX = 4
"""IP addresses of one name that are tried. Our choice: a name cannot make us dial a whole network."""


def own_addresses(bound: tuple[str, int]) -> tuple[Multiaddr, ...]:
    """Where peers may reach a socket bound to ``bound``, the most widely reachable first.

    A wildcard address stands for those of all interfaces; loopback counts only where there is nothing else.
    """
    host, port = bound
    ip = ipaddress.ip_address(host)
    if not ip.is_unspecified:
        return (Multiaddr.from_ip(host, port),)
    import ifaddr  # A dependency of zeroconf; most nodes in tests do not need it.

    hosts = (entry.ip for adapter in ifaddr.get_adapters() for entry in adapter.ips)
    texts = [host if isinstance(host, str) else host[0] for host in hosts]
    return _chosen((ipaddress.ip_address(text) for text in texts), port, six=ip.version == 6)


def _chosen(
    found: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address], port: int, *, six: bool
) -> tuple[Multiaddr, ...]:
    usable = [ip for ip in found if (six or ip.version == 4) and not (ip.is_link_local or ip.is_multicast)]
    outside = [ip for ip in usable if not ip.is_loopback]
    ranked = sorted(outside or usable, key=lambda ip: (not ip.is_global, ip.version == 6))
    unique = dict.fromkeys(Multiaddr.from_ip(str(ip), port) for ip in ranked)
    return tuple(unique)[:CONTACT_ADDRESSES_MAX]


async def resolve(address: Multiaddr) -> list[tuple[str, int]]:
    """The IP addresses and port that ``address`` means; several for a name.

    Raises:
        OSError: The name is unknown, or the resolver cannot be reached.
    """
    if address.kind in ("ip4", "ip6"):
        return [(address.host, address.port)]
    family = socket.AF_INET if address.kind == "dns4" else socket.AF_INET6
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, family=family, type=socket.SOCK_DGRAM)
    return [(str(entry[4][0]), address.port) for entry in found[:ADDRESSES_PER_NAME_MAX]]
