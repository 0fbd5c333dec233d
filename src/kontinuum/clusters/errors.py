"""What can go wrong with clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError, PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class NoClusterError(MisuseError):
    """This node belongs to no cluster; the message says how it comes to one."""


class UnknownClusterError(MisuseError):
    """A cluster that is neither ours nor trusted."""


class BadNameError(MisuseError):
    """A text that cannot be the name of a cluster; the message says what can."""


class UnknownNameError(MisuseError):
    """A name that is nobody's, or of a place for which nobody speaks now.

    Args:
        name: The name.
        reason: Why it leads nowhere.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} leads nowhere: {reason}")
        self.name = name


class AmbiguousNameError(MisuseError):
    """A label that several nodes have.

    Args:
        name: The name.
        candidates: Names, each of one node.
    """

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__(f"{name!r} could be {', '.join(candidates)}; say which")
        self.name = name
        self.candidates = tuple(candidates)


class TooManyTrustedError(MisuseError):
    """More trusted clusters than a node keeps; trust one no longer that you do not need."""


class LineageError(PeerError):
    """A proof does not show that an old key and a new one are of one place."""


class NewerStoreError(MisuseError):
    """A file of a newer version: use a newer Kontinuum. Nothing was changed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was written by a newer version; use a newer Kontinuum")
        self.path = path


class DamagedStoreError(MisuseError):
    """What a node keeps of its cluster cannot be used; the message says what to do. Nothing was changed."""


class NoKeyError(MisuseError):
    """A secret that this would take is not on this machine; the message says where it may be."""


class AlreadyInClusterError(MisuseError):
    """This node belongs to a cluster already; the message says what can be done instead."""


class HandoverError(PeerError):
    """A file that is no handover, or none that can be used; the message says what to do."""


class TruncatedHandoverError(HandoverError):
    """A handover that is cut off."""


class WrongParentError(MisuseError):
    """A secret that cannot speak about what was asked for; the message says why. Nothing was changed."""


class ExportedError(PeerError):
    """A file that is no exported cluster, or none that can be used; the message says what to do."""
