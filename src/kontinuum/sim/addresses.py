"""Addresses of hosts: /16 networks that belong to regions, /24 networks that a few hosts share.

Source:  Trautwein et al., SIGCOMM 2022, section 5.1: few networks have most peers (the ten largest have
         65 %), so the size of the /16 networks of a region falls with their rank (Zipf).
Bounds:  254 hosts in a /24.
Pure:    no I/O or clock.
"""

from __future__ import annotations

from bisect import bisect_left
from ipaddress import IPv4Network
from itertools import accumulate
from typing import TYPE_CHECKING

from kontinuum.sim.regions import REGIONS

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.sim.scenario import NetworkSettings

HOSTS_PER_24 = 254
"""Addresses of a /24 that hosts can have."""

_RESERVED = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
    )
] + [IPv4Network("224.0.0.0/3")]
"""Not for hosts, and smaller than a /16 or not told by ``is_global``: RFC 6890, RFC 5771."""


class Addresses:
    """Gives out addresses, each once."""

    def __init__(self, settings: NetworkSettings, rng: Rng) -> None:
        self._rng = rng
        shares = settings.regions or {region.name: region.share for region in REGIONS}
        self._regions = [i for i, region in enumerate(REGIONS) if shares.get(region.name, 0) > 0]
        weights = [shares[REGIONS[i].name] for i in self._regions]
        self._region_sums = list(accumulate(weights))
        self._new_24 = 1.0 / settings.hosts_per_24
        blocks = _blocks(rng, max(settings.prefixes_16, len(self._regions)))
        self._blocks: list[list[str]] = [[] for _ in self._regions]
        """/16 networks of each region, the largest first."""
        for place, block in enumerate(blocks):
            self._blocks[self._share(place, len(blocks))].append(block)
        self._block_sums = [
            list(accumulate(1.0 / rank for rank in range(1, len(own) + 1))) for own in self._blocks
        ]
        self._open: dict[str, list[str]] = {}
        """/24 networks of a /16 that honest hosts are in already."""
        self._taken: dict[str, int] = {}

    def honest(self) -> tuple[int, str]:
        """A region and an address for one host."""
        place = self._pick(self._region_sums)
        block = self._blocks[place][self._pick(self._block_sums[place])]
        known = self._open.setdefault(block, [])
        if known and self._rng.uniform(0.0, 1.0) >= self._new_24:
            return self._regions[place], self._next(self._rng.choice(known), block)
        prefix = self._fresh(block)
        known.append(prefix)
        return self._regions[place], self._next(prefix, block)

    def hostile(self, count: int) -> list[tuple[int, str]]:
        """``count`` networks of an attacker's own: regions and /24 prefixes."""
        found = []
        for _ in range(count):
            place = self._pick(self._region_sums)
            found.append((self._regions[place], self._fresh(self._rng.choice(self._blocks[place]))))
        return found

    def within(self, prefix: str) -> str:
        """The next address of an attacker's /24; they may use one twice when all are used."""
        number = self._taken.get(prefix, 0)
        self._taken[prefix] = number + 1
        return f"{prefix}.{number % HOSTS_PER_24 + 1}"

    def _next(self, prefix: str, block: str) -> str:
        number = self._taken.get(prefix, 0)
        if number >= HOSTS_PER_24:
            return self._next(self._fresh(block), block)
        self._taken[prefix] = number + 1
        return f"{prefix}.{number + 1}"

    def _fresh(self, block: str) -> str:
        for _ in range(1024):
            prefix = f"{block}.{self._rng.below(256)}"
            if prefix not in self._taken:
                self._taken[prefix] = 0
                return prefix
        return prefix

    def _pick(self, sums: list[float]) -> int:
        return min(bisect_left(sums, self._rng.uniform(0.0, sums[-1])), len(sums) - 1)

    def _share(self, place: int, count: int) -> int:
        """Each region has one /16 first, then as many as its share says."""
        if place < len(self._regions):
            return place
        at = (place - len(self._regions) + 0.5) / (count - len(self._regions)) * self._region_sums[-1]
        return min(bisect_left(self._region_sums, at), len(self._regions) - 1)


def _blocks(rng: Rng, count: int) -> list[str]:
    """``count`` random /16 networks that are on the internet."""
    found: dict[str, None] = {}
    while len(found) < count:
        number = rng.below(1 << 16)
        network = IPv4Network((number << 16, 16))
        if network.is_global and not any(network.overlaps(reserved) for reserved in _RESERVED):
            found[f"{number >> 8}.{number & 255}"] = None
    return list(found)
