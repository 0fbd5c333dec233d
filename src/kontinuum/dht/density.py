"""How many peers the network has, and whether a neighbourhood is too crowded to be true.

Keys of honest peers are spread evenly, so of N peers j are expected within the j-th part of 1/N of the key
space. Who grinds identities to hold all copies of a record must put k of them nearer to its key than any
honest peer, and thereby makes that neighbourhood denser than chance does. Then a record is stored and sought
within the distance at which k honest peers are to be expected (``Search.extend``).

Source: Sridhar, Ascigil, Keizer, Genon, Pierre, Psaras, Riviere and Krol, "Content Censorship in the
        InterPlanetary File System", NDSS 2024 (detection by density, queries of a whole region); Netto,
        Cholez and Ignat, "Active Sybil Attack and Efficient Defense Strategy in IPFS DHT", 2025 (crowds that
        keep below a threshold); go-libp2p-kad-dht, netsize (the size of a network from its lookups).
Differs:  the size is the median over lookups of what the farthest of the k closest tells, which varies
          less than a line through all of them. Instead of a divergence of two histograms each number of
          peers gets the probability that so many are so near by chance: so crowds of any shape are seen.
Bounds:   OBSERVATIONS_MAX lookups remembered, one for each neighbourhood.
Trust:    a lookup may be for a key under attack: however often it is repeated, it counts once, and not at all
          when that key is judged.
Pure:     no I/O, clock or randomness. A part of ``kontinuum.dht.node``.
"""

from __future__ import annotations

from math import exp, lgamma, log
from statistics import median
from typing import TYPE_CHECKING

from kontinuum.dht.keys import KEY_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.dht.keys import KadKey

OBSERVATIONS_MAX = 32
"""Lookups that the estimate is made of, the latest. Our choice: it is then 5 % wrong as a rule, and hours old
at most."""

OBSERVATIONS_MIN = 5
"""Lookups before there is an estimate, as in go-libp2p; with fewer nothing is suspicious."""

PEERS_MIN = 10
"""Peers that a lookup must have found to tell anything: the smallest k. In a network with fewer, all of them
hold every record."""

APART = 4
"""Two lookups count as of one neighbourhood if their targets are nearer to each other than a fourth of the
way to the farthest peer found. Our choice: more would leave networks of 100 peers without an estimate."""

ESTIMATE_ERROR = 1.2
"""By how much the network may be larger than estimated before anything counts as suspicious. Our choice: two
standard deviations of the estimate of eight lookups."""

CHANCE_MIN = 1e-4
"""A neighbourhood less likely than this is suspicious. Our choice: with ESTIMATE_ERROR, at most 3 in 10,000
honest lookups are, and 1 in 1,000 is promised (tests/properties/test_dht_density.py); each costs some hundred
requests more. Of crowds that leave no honest peer among the k closest, fewer than 1 in 100 stays below it."""

NEAR_FACTOR = 2
"""How much farther than expected a peer may be and still count as one of the closest. Our choice: density
varies by less from place to place, and the estimate is wrong by less."""

_SPACE = 1 << KEY_BITS


class Density:
    """What the lookups of a node tell about the network."""

    __slots__ = ("_observations",)

    def __init__(self) -> None:
        self._observations: list[tuple[KadKey, int, float]] = []
        """Target, distance of the farthest found, and the size that follows from it; oldest first."""

    def observe(self, target: KadKey, distances: Sequence[int]) -> None:
        """A lookup came to its end, not cut short, and found peers at these distances, nearest first."""
        if len(distances) < PEERS_MIN or not distances[-1]:
            return
        farthest = distances[-1]
        self._observations = [
            *self._apart(target, farthest),
            (target, farthest, (len(distances) - 1) * _SPACE / farthest),
        ][-OBSERVATIONS_MAX:]

    def estimate(self) -> float | None:
        """Peers in the network, without us; ``None`` before enough was seen."""
        return _size(self._observations)

    def radius(self, count: int) -> int | None:
        """The distance within which ``count`` peers are next to a key, with room for chance.

        ``None`` while the size of the network is not known.
        """
        size = self.estimate()
        return None if size is None else min(_SPACE - 1, int(NEAR_FACTOR * count / size * _SPACE))

    def suspicious(self, target: KadKey, distances: Sequence[int]) -> int | None:
        """Whether the peers found closest to ``target`` are nearer to it than chance would have them.

        The nearer half is not looked at by itself: a few ids next to a key harm nobody, and a peer may well
        be looked up by its own key.

        Returns:
            The distance within which as many honest peers are to be expected, or ``None`` if all is well.
        """
        count = len(distances)
        if count < PEERS_MIN or (size := _size(self._apart(target, distances[-1]))) is None:
            return None
        for number in range(count // 2, count + 1):
            expected = distances[number - 1] / _SPACE * size * ESTIMATE_ERROR
            if expected < number and chance_of(number, expected) < CHANCE_MIN:
                return min(_SPACE - 1, int(count / size * _SPACE))
        return None

    def _apart(self, target: KadKey, farthest: int) -> list[tuple[KadKey, int, float]]:
        """What was observed elsewhere than around ``target``."""
        return [seen for seen in self._observations if seen[0] ^ target > max(farthest, seen[1]) // APART]


def chance_of(number: int, expected: float) -> float:
    """The probability of ``number`` or more events where fewer, ``expected``, are to be expected.

    The upper tail of the Poisson distribution, which is what evenly spread peers make of a small part of the
    key space.
    """
    if expected <= 0:
        return 0.0
    term = exp(number * log(expected) - expected - lgamma(number + 1))
    total = 0.0
    while term > total * 1e-9:
        total += term
        number += 1
        term *= expected / number
    return total


def _size(observations: Sequence[tuple[KadKey, int, float]]) -> float | None:
    if len(observations) < OBSERVATIONS_MIN:
        return None
    return median(size for _, _, size in observations)
