"""What the root seed alone gives back: the proof that it is the right one, and every key that ever was.

Keys derive from the seed and a few small numbers, so data can be opened even if every chain was lost. A
key's name beside the data (``kontinuum.keys.paths.KeyName``) says the numbers; without it they are tried: a
branch has at most KEY_EPOCHS_MAX epochs, a place at most KEY_BRANCHES_MAX branches, a parent at most
KEY_CHILDREN_MAX children. The search tries small numbers first, because honest chains count from 0.

Bounds:   :class:`Reach` says how far one search goes; see docs/protocols/key-derivation.md for what it takes.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.keys.errors import WrongRootError
from kontinuum.wire.limits import (
    KEY_BRANCHES_MAX,
    KEY_CHILDREN_MAX,
    KEY_CLUSTERS_MAX,
    KEY_DEPTH_MAX,
    KEY_EPOCHS_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kontinuum.keys.derivation import BranchSecret, EpochSecret, RootSeed
    from kontinuum.keys.genesis import ClusterId, Genesis


class CheckedRecovery:
    """The proof that somebody has the root of a cluster at hand: it exists only if the seed made that root.

    What removes the last key in use asks for it.

    Args:
        genesis: The cluster's beginning.
        seed: What the words, or enough shares, gave.

    Raises:
        WrongRootError: The seed makes no root of this cluster.
    """

    __slots__ = ("cluster", "number")

    cluster: ClusterId
    """Which cluster."""

    number: int
    """Its number under the seed."""

    def __init__(self, genesis: Genesis, seed: RootSeed) -> None:
        for number in range(KEY_CLUSTERS_MAX):
            if seed.cluster(number).public == genesis.root:
                self.cluster, self.number = genesis.cluster, number
                return
        raise WrongRootError("these words or shares do not make the root of this cluster")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a search goes from a branch: how many of each it tries, from 0.

    Raises:
        MisuseError: More than there can be.
    """

    depth: int = 1
    """Levels of places below the branch; 0: only the branch itself."""

    children: int = 16
    """Children of each parent."""

    branches: int = 4
    """Branches of each place."""

    epochs: int = 64
    """Epochs of each branch."""

    def __post_init__(self) -> None:
        limits = (KEY_DEPTH_MAX, KEY_CHILDREN_MAX, KEY_BRANCHES_MAX, KEY_EPOCHS_MAX)
        given = (self.depth, self.children, self.branches, self.epochs)
        if not all(0 <= number <= limit for number, limit in zip(given, limits, strict=True)):
            raise MisuseError(f"a search reaches at most {limits}: depth, children, branches, epochs")

    @property
    def epochs_tried(self) -> int:
        """How many epochs are derived at most; each takes 0.1 ms."""
        branches, level = 1, 1
        for _ in range(self.depth):
            level *= self.children * self.branches
            branches += level
        return branches * self.epochs


EVERYTHING = Reach(1, KEY_CHILDREN_MAX, KEY_BRANCHES_MAX, KEY_EPOCHS_MAX)
"""All that can be right below a root: 16.8 million epochs."""


def find_keys(
    ancestor: BranchSecret, wanted: Iterable[bytes], reach: Reach | None = None
) -> Iterator[tuple[bytes, EpochSecret]]:
    """Search for the epochs that have certain public keys, signing or encryption keys, by trying numbers.

    Args:
        ancestor: From where to search: the root, or any branch above what is looked for.
        wanted: The public keys, 32 bytes each.
        reach: How far; by default a household's cluster, which takes about a second.

    Yields:
        A wanted key and the secret of its epoch, once each; ends when all were found or everything was tried.
    """
    left = dict.fromkeys(map(bytes, wanted))
    reach = reach or Reach()
    for branch in _branches(ancestor, reach, reach.depth):
        for number in range(reach.epochs):
            if not left:
                return
            epoch = branch.epoch(number)
            for key in (bytes(epoch.signing().peer_id), bytes(epoch.encryption().public)):
                if key in left:
                    del left[key]
                    yield key, epoch


def _branches(branch: BranchSecret, reach: Reach, depth: int) -> Iterator[BranchSecret]:
    """The branch itself and those below it: low numbers of branches first, for most places have one."""
    yield branch
    if depth == 0:
        return
    for number in range(reach.branches):
        for child in range(reach.children):
            yield from _branches(branch.child(child, number), reach, depth - 1)
