"""What can be wrong with keys, with statements about them, and with what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError
from kontinuum.wire.errors import MalformedError

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.keys.paths import Path


class BadPathError(MalformedError):
    """A text or list of numbers that names no place, branch or key; the message says what would."""


class StatementError(PeerError):
    """A well-formed statement that does not belong into this chain; the chain is unchanged."""


class WrongClusterError(StatementError):
    """A statement, order or secret of another cluster."""


class BrokenLinkError(StatementError):
    """A statement does not follow the ones that it claims to follow."""


class OutrankedError(StatementError):
    """A statement about a place that is not below its issuer, or beyond what its issuer may do."""


class BadCommitmentError(StatementError):
    """A new branch whose key is not the one that was committed to when the branch before it was made."""


class MissingStatementsError(UnavailableError):
    """A statement builds on others that are not here; with them, the same call succeeds.

    Args:
        missing: Their ids, 32 bytes each; the first that were found missing, not all.
    """

    def __init__(self, missing: tuple[bytes, ...]) -> None:
        super().__init__(f"builds on {len(missing)} statements that are not here")
        self.missing = missing


class ChainFullError(UnavailableError):
    """A chain has no room for a statement. What takes power away always finds room (ADR 0050)."""


class UnknownKeyError(PeerError):
    """A key that no statement of the chain names."""


class DeadKeyError(PeerError):
    """A key that may not speak any more. Its leaves say why, which is how sessions of it are treated."""


class SupersededKeyError(DeadKeyError):
    """The owner of the key moved on to a newer one: a live session may prove that key within its deadline.

    Args:
        key: The key that was shown.
        current: The key that counts now.
    """

    def __init__(self, key: PeerId, current: PeerId) -> None:
        super().__init__(f"{key.short} was replaced by {current.short}")
        self.current = current


class RevokedKeyError(DeadKeyError):
    """The key was taken out of use: a live session of it is cut.

    Args:
        key: The key that was shown.
        path: The branch because of which it is out of use: its own, or an ancestor's.
        reason: In words.
    """

    def __init__(self, key: PeerId, path: Path, reason: str) -> None:
        super().__init__(f"{key.short} is out of use: {path} {reason}")
        self.path = path
        self.reason = reason


class ForkedSuccessionError(PeerError):
    """The root named two successors: it is in two hands, and only meeting in person decides."""


class StaleOrderError(PeerError):
    """An order that was obeyed before, or is older than one that was."""


class NotLivingError(MisuseError):
    """A branch that is out of use cannot make statements; its parent gives it a new one."""


class SpentError(MisuseError):
    """A place has no further epoch, branch or child; the message says who can go on, and how."""


class LastKeyError(MisuseError):
    """The removal would leave the cluster without a key in use, and nobody showed that the root is at hand.

    Show it with :class:`kontinuum.keys.recovery.CheckedRecovery`.
    """


class WrongRootError(MisuseError):
    """A seed that does not make this cluster's root key; nothing was changed."""


class KeyKindError(MisuseError):
    """A transient key where a derived one belongs, or the other way round."""
