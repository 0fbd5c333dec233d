"""Networks that addresses belong to: what counts as one neighbourhood for caps and for latency.

Source: one /24 (IPv4) or /48 (IPv6) is what one customer of a provider commonly has; /16 and /32 roughly one
        provider in one region (seeds of the project, "Latency Tiering").
Trust:  addresses are claims until a peer answered there.
Pure:   no I/O, clock or randomness.
"""

from functools import lru_cache
from ipaddress import IPv4Address, ip_address

PREFIX_CACHE_MAX = 65_536
"""Addresses whose networks are remembered, since working them out costs more than looking them up."""


@lru_cache(maxsize=PREFIX_CACHE_MAX)
def cap_prefix(ip: str) -> str | None:
    """The /24 or /48 that ``ip`` belongs to, for caps; ``None`` for addresses that are not on the internet.

    Loopback, private and link-local addresses are not capped: whoever can use them is in the same network as
    we are, and there all peers share one prefix.
    """
    address = ip_address(ip)
    if not address.is_global:
        return None
    if isinstance(address, IPv4Address):
        return ip.rpartition(".")[0]
    return address.exploded[:14]


def provider_prefix(prefix: str) -> str:
    """The /16 or /32 that a network from :func:`cap_prefix` is part of."""
    return prefix[:9] if ":" in prefix else prefix.rpartition(".")[0]


@lru_cache(maxsize=PREFIX_CACHE_MAX)
def latency_prefix(ip: str) -> str:
    """The /16 or /32 that ``ip`` belongs to, for latency tiers."""
    address = ip_address(ip)
    if isinstance(address, IPv4Address):
        return ".".join(ip.split(".")[:2])
    return address.exploded[:9]
