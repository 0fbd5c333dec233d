"""The two sources of chance, kept apart by type.

``Entropy`` makes keys and nonces and cannot be seeded. ``Rng`` picks peers and jitter, is seedable so that a
run can be replayed, and must never reach a key: no function takes both.
"""

import os
import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Entropy(Protocol):
    """Unpredictable bytes for keys, salts and nonces."""

    def token(self, length: int) -> bytes:
        """``length`` bytes that nobody can predict."""
        ...


class SystemEntropy:
    """The operating system's random number generator."""

    def token(self, length: int) -> bytes:
        """``length`` bytes from the kernel."""
        return os.urandom(length)


class Rng:
    """Seedable chance for choices whose outcome is no secret.

    Args:
        seed: The same seed gives the same choices on every machine, whatever the hash seed.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  choices that are no secret; keys take Entropy

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return self._random.uniform(low, high)

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound - 1``."""
        return self._random.randrange(bound)

    def choice(self, items: Sequence[T]) -> T:
        """One of ``items``, which is not empty and whose order is defined."""
        return self._random.choice(items)

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` different ones of ``items``, or all of them in a random order if they are fewer."""
        return self._random.sample(items, min(count, len(items)))
