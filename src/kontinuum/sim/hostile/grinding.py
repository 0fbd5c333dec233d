"""Ids ground next to a place of the key space: real keys, tried until enough of them lie there.

Each try is what it costs an attacker: one Ed25519 key from a seed, one SHA-256. One search serves several
places: a candidate is compared with the two that stand next to it in order, one of which is the nearest.

Bounds: CANDIDATES_MAX tries.
Pure:   no I/O or clock; keys follow from the seed.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from kontinuum._native import ed25519_public_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.dht.keys import KadKey

CANDIDATES_MAX = 20_000_000
"""Keys that are tried at most in a simulation: some three minutes of one core. Our choice."""

_MULTIHASH = bytes.fromhex("002408011220")


@dataclass(slots=True)
class Ground:
    """What a search found."""

    tried: int = 0
    """Keys."""
    seeds: dict[KadKey, list[bytes]] = field(default_factory=dict)
    """Private keys for each place, the nearest first."""


def grind(
    material: bytes, targets: Sequence[KadKey], count: int, *, radius: Sequence[int] = (), candidates: int = 0
) -> Ground:
    """Find ``count`` keys next to each target.

    Args:
        material: 32 bytes from which the candidates follow.
        targets: Places.
        count: How many for each.
        radius: For each target: take whatever is nearer than that. Needed unless ``candidates`` is given.
        candidates: Try so many and take the nearest; 0 tries until all are found.
    """
    order = sorted(range(len(targets)), key=targets.__getitem__)
    places = [targets[i] for i in order]
    limits = [radius[i] for i in order] if radius else [1 << 256] * len(places)
    found: list[list[tuple[int, bytes]]] = [[] for _ in places]
    missing, tried = len(places), 0
    while tried < (candidates or CANDIDATES_MAX) and (missing or candidates):
        seed = sha256(material + tried.to_bytes(8)).digest()
        key = int.from_bytes(sha256(_MULTIHASH + ed25519_public_key(seed)).digest())
        tried += 1
        above = bisect_left(places, key)
        nearest = min((i for i in (above - 1, above) if 0 <= i < len(places)), key=lambda i: places[i] ^ key)
        distance = places[nearest] ^ key
        if distance >= limits[nearest]:
            continue
        kept = found[nearest]
        if candidates:
            kept.append((distance, seed))
            if len(kept) >= 2 * count:
                kept.sort()
                del kept[count:]
                limits[nearest] = kept[-1][0]
        elif len(kept) < count:
            kept.append((distance, seed))
            missing -= len(kept) == count
    result = Ground(tried)
    for place, kept in zip(places, found, strict=True):
        result.seeds[place] = [seed for _, seed in sorted(kept)[:count]]
    return result
