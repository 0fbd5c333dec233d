"""Names of places, branches and keys, and the way of numbers that derives them.

A *place* is a stable name: where a node stands in its cluster, such as ``/3/1``, child 1 of child 3 of the
root. A
*path* says which branch each of them is on, such as ``/3.0/1.2``; a *key name* adds the epoch and the
purpose: ``/3.0/1.2@7:signing``. Every step is hardened: knowing one key tells nothing about its neighbours.

Source:   SLIP-0010, "Private parent key -> private child key"; the shape of the path is our own
          (docs/protocols/key-derivation.md).
Bounds:   KEY_DEPTH_MAX, KEY_CHILDREN_MAX, KEY_BRANCHES_MAX, KEY_EPOCHS_MAX, KEY_PATH_TEXT_CHARS_MAX.
Trust:    texts and lists of numbers are hostile; each name has one spelling.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from kontinuum.keys.errors import BadPathError
from kontinuum.wire.limits import (
    KEY_BRANCHES_MAX,
    KEY_CHILDREN_MAX,
    KEY_DEPTH_MAX,
    KEY_EPOCHS_MAX,
    KEY_PATH_TEXT_CHARS_MAX,
)

if TYPE_CHECKING:
    from kontinuum.wire import cbor

HARDENED = 1 << 31
"""What SLIP-0010 adds to the number of a hardened step; all of ours are."""

KEY_TREE = 19279
"""The first step from any seed ("KO" in ASCII): keeps our keys apart from a wallet's, should both share
words.
"""

_NUMBER = "(?:0|[1-9][0-9]{0,3})"
_PLACE = re.compile(rf"/|(?:/{_NUMBER})+", re.ASCII)
_PATH = re.compile(rf"/|(?:/{_NUMBER}\.{_NUMBER})+", re.ASCII)
_KEY = re.compile(rf"(?P<path>[^@]+)@(?P<epoch>{_NUMBER}):(?P<purpose>[a-z]+)", re.ASCII)


class Purpose(StrEnum):
    """What a key of an epoch is for. No key serves two purposes."""

    SIGNING = "signing"
    """Ed25519: the identity on the wire; signs messages."""

    ENCRYPTION = "encryption"
    """X25519: what others encrypt to."""

    STORAGE = "storage"
    """A symmetric key for what the node keeps for itself."""


class Step(NamedTuple):
    """One level of a path."""

    child: int
    """Which child, 0 to KEY_CHILDREN_MAX - 1."""

    branch: int
    """Which of its branches, 0 to KEY_BRANCHES_MAX - 1; a higher one replaces the lower ones."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stable name in a cluster: the children's numbers from the root down. ``Place()`` is the root."""

    indexes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.indexes) > KEY_DEPTH_MAX:
            raise BadPathError(f"no place is more than {KEY_DEPTH_MAX} levels below the root")
        if not all(0 <= index < KEY_CHILDREN_MAX for index in self.indexes):
            raise BadPathError(f"a place's numbers are 0 to {KEY_CHILDREN_MAX - 1}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``/`` or ``/3/1``.

        Raises:
            BadPathError: It is no place in its only spelling.
        """
        if len(text) > KEY_PATH_TEXT_CHARS_MAX or not _PLACE.fullmatch(text):
            raise BadPathError(f"{text[:40]!r} is no place: one looks like /3/1")
        return cls(tuple(int(index) for index in text.split("/") if index))

    @property
    def parent(self) -> Place:
        """The place right above; the root is its own parent."""
        return Place(self.indexes[:-1])

    def is_above(self, other: Place) -> bool:
        """Whether ``other`` is a descendant of this place."""
        depth = len(self.indexes)
        return depth < len(other.indexes) and other.indexes[:depth] == self.indexes

    def __str__(self) -> str:
        return "/" + "/".join(map(str, self.indexes))


@dataclass(frozen=True, slots=True)
class Path:
    """A branch's address: each level's child and branch, from the root down. ``Path()`` is the root."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) > KEY_DEPTH_MAX:
            raise BadPathError(f"no path has more than {KEY_DEPTH_MAX} steps")
        for index, branch in self.steps:
            if not 0 <= index < KEY_CHILDREN_MAX or not 0 <= branch < KEY_BRANCHES_MAX:
                raise BadPathError(
                    f"a path's children are below {KEY_CHILDREN_MAX}, its branches below {KEY_BRANCHES_MAX}"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``/`` or ``/3.0/1.2``.

        Raises:
            BadPathError: It is no path in its only spelling.
        """
        if len(text) > KEY_PATH_TEXT_CHARS_MAX or not _PATH.fullmatch(text):
            raise BadPathError(f"{text[:40]!r} is no path: one looks like /3.0/1.2")
        levels = (level.split(".") for level in text.split("/") if level)
        return cls(tuple(Step(int(index), int(branch)) for index, branch in levels))

    @classmethod
    def decode(cls, numbers: cbor.CborValue) -> Self:
        """Read the list ``[index, branch, index, branch, ...]``.

        Raises:
            BadPathError: It is none.
        """
        if not isinstance(numbers, list) or len(numbers) > 2 * KEY_DEPTH_MAX or len(numbers) % 2:
            raise BadPathError("a path is a list of at most four children, each with its branch")
        integers: list[int] = []
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool):
                raise BadPathError("a path consists of numbers")
            integers.append(number)
        return cls(tuple(map(Step, integers[::2], integers[1::2])))

    def encode(self) -> list[cbor.CborValue]:
        """The list that :meth:`decode` reads."""
        return [number for step in self.steps for number in step]

    @property
    def place(self) -> Place:
        """The stable name of whoever is on this branch."""
        return Place(tuple(step.child for step in self.steps))

    @property
    def parent(self) -> Path:
        """The branch right above; the root is its own parent."""
        return Path(self.steps[:-1])

    @property
    def branch(self) -> int:
        """The number of the last level's branch; 0 for the root."""
        return self.steps[-1].branch if self.steps else 0

    def child(self, index: int, branch: int = 0) -> Path:
        """The branch of a child of this one."""
        return Path((*self.steps, Step(index, branch)))

    def lineage(self) -> tuple[Path, ...]:
        """The root, every branch below it on the way here, and this branch itself."""
        return tuple(Path(self.steps[:depth]) for depth in range(len(self.steps) + 1))

    def is_above(self, other: Path) -> bool:
        """Whether ``other`` descends from this branch; a branch is not above itself."""
        depth = len(self.steps)
        return depth < len(other.steps) and other.steps[:depth] == self.steps

    def derivation(self, cluster: int) -> tuple[int, ...]:
        """The hardened numbers of SLIP-0010 from the seed to this branch, in cluster number ``cluster``."""
        return tuple(
            HARDENED + number for number in (KEY_TREE, cluster, *(n for step in self.steps for n in step))
        )

    def __str__(self) -> str:
        return "/" + "/".join(f"{index}.{branch}" for index, branch in self.steps)


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which key: a branch, an epoch of it, and what the key is for."""

    path: Path
    epoch: int
    purpose: Purpose = Purpose.SIGNING

    def __post_init__(self) -> None:
        if not 0 <= self.epoch < KEY_EPOCHS_MAX:
            raise BadPathError(f"an epoch is 0 to {KEY_EPOCHS_MAX - 1}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``/3.0/1.2@7:signing``.

        Raises:
            BadPathError: It is no key name in its only spelling.
        """
        match = _KEY.fullmatch(text) if len(text) <= KEY_PATH_TEXT_CHARS_MAX else None
        if match is None:
            raise BadPathError(f"{text[:40]!r} is no key's name: one looks like /3.0/1.2@7:signing")
        try:
            purpose = Purpose(match["purpose"])
        except ValueError:
            raise BadPathError(f"{match['purpose']!r} is no purpose of a key") from None
        return cls(Path.parse(match["path"]), int(match["epoch"]), purpose)

    def __str__(self) -> str:
        return f"{self.path}@{self.epoch}:{self.purpose}"
