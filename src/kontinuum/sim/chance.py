"""Chance for simulations: one stream of numbers for each purpose, all of them from one seed.

A stream of its own for each purpose means that more churn does not change the latencies, and one more lookup
not the addresses.

Pure:   no I/O or clock; everything follows from the seed.
"""

import math
from hashlib import sha256

from kontinuum.base.entropy import Rng


def stream(seed: int, purpose: str, number: int = 0) -> Rng:
    """The numbers of one purpose, the same for the same arguments on every machine."""
    return Rng(int.from_bytes(material(seed, purpose, number)[:8]))


def material(seed: int, purpose: str, number: int = 0) -> bytes:
    """32 bytes for keys that only ever live in a simulation."""
    return sha256(f"{seed}/{purpose}/{number}".encode()).digest()


def exponential(rng: Rng, mean: float) -> float:
    """A waiting time without memory."""
    return -mean * math.log(1.0 - rng.uniform(0.0, 1.0) * (1.0 - 1e-12))


def weibull(rng: Rng, scale: float, shape: float) -> float:
    """Below a shape of 1: the longer somebody was there, the longer it will stay."""
    return scale * math.pow(exponential(rng, 1.0), 1.0 / shape)


def normal(rng: Rng, deviation: float) -> float:
    """Around 0 (Box and Muller 1958)."""
    radius = math.sqrt(2.0 * exponential(rng, 1.0))
    return deviation * radius * math.cos(2.0 * math.pi * rng.uniform(0.0, 1.0))


def lognormal(rng: Rng, median: float, spread: float) -> float:
    """Many small values and a few large ones; ``spread`` is the deviation of the logarithm."""
    return median * math.exp(normal(rng, spread))
