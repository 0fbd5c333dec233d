"""Who a key belongs to, and what it is worth: what the book answers.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from kontinuum.identity import PeerId
    from kontinuum.keys.genesis import ClusterId, Genesis
    from kontinuum.keys.paths import Place


class Judgement(IntEnum):
    """What a key is worth. Of two, the higher one is worse."""

    STRANGER = 0
    """No chain here knows it."""

    MEMBER = 1
    """It speaks for a node of our cluster, or of one that we trust."""

    SUPERSEDED = 2
    """It did until its owner moved on to another key."""

    OUT_OF_USE = 3
    """It did, and was taken out of use."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a cluster, with one of its keys."""

    cluster: ClusterId
    """Which cluster."""

    name: str
    """What we call the cluster; HOME for our own."""

    place: Place
    """The stable name of the node in its cluster."""

    label: str
    """What its owner calls it. Not unique."""

    own: bool
    """It is of our own cluster."""

    key: PeerId
    """Its key that was asked about."""

    @property
    def text(self) -> str:
        """Its name: ``/1`` in our own cluster, ``bob:/1`` elsewhere."""
        return str(self.place) if self.own else f"{self.name}:{self.place}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a key."""

    judgement: Judgement
    """What it is worth."""

    member: Member | None
    """Whose it is or was; None for a stranger's."""

    current: PeerId | None
    """The key that speaks for the same node now, if one does."""

    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A cluster that ours trusts now."""

    name: str
    """What we call it; unique."""

    cluster: ClusterId
    """Which."""

    genesis: Genesis
    """Where its chain begins."""

    since: datetime
    """When that was said last, by the clock of who said it."""

    how: str
    """How it came to be: a :class:`How`, or ``unknown``."""

    by: Place
    """Which node of ours said it."""

    successor: ClusterId | None
    """Where its root went, if it left: follow it, or meet its owner again."""

    disputed: bool
    """Its root named several successors: it is in two hands."""
