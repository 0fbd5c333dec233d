"""What can be wrong with a backup that somebody brings. Every message says what to do about it.

These are the mistakes of the person at the keyboard, hence the family; nothing was changed or written.
"""

from __future__ import annotations

from dataclasses import dataclass

from kontinuum.base.errors import MisuseError


class BackupError(MisuseError):
    """A backup that does not give a root back; the leaf says why."""


class NotABackupError(BackupError):
    """Something else than a backup, or one of a newer form."""


class WordCountError(BackupError):
    """A number of words that no phrase and no share has: a word was left out, or written twice."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A word that is not in the list."""

    position: int
    """Which word, counted from 1."""

    word: str
    """What was typed, cut to a word's length."""

    suggestions: tuple[str, ...]
    """Words of the list that were probably meant, the likeliest first; empty if none is near."""

    def __str__(self) -> str:
        said = f"word {self.position}, {self.word!r}, is not in the list"
        if not self.suggestions:
            return said
        return f"{said}; did you mean {' or '.join(self.suggestions)}?"


class UnknownWordsError(BackupError):
    """Words that are not in the list.

    Args:
        mistakes: Each of them, with suggestions.
        what: What they stand in: ``the phrase``, ``share 2``.
    """

    def __init__(self, mistakes: tuple[Mistake, ...], what: str) -> None:
        super().__init__(f"{what}: {'; '.join(map(str, mistakes))}")
        self.mistakes = mistakes


class WordChecksumError(BackupError):
    """Every word is in the list, but together they are no phrase: one is wrong, or two changed places.

    Args:
        suspects: Positions, counted from 1, of which one is surely wrong; empty if nobody knows.
    """

    def __init__(self, message: str, suspects: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.suspects = suspects


class ShareError(BackupError):
    """Shares that do not give a root back.

    Args:
        message: What is wrong.
        shares: Which of the shares that were given it is about, counted from 1.
    """

    def __init__(self, message: str, shares: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.shares = shares


class WrongShareError(ShareError):
    """A share whose words do not fit together: it was written down or typed wrongly."""


class MixedSharesError(ShareError):
    """Shares of different backups, which never fit together."""


class RepeatedShareError(ShareError):
    """The same share twice; it counts once."""


class ForgedShareError(ShareError):
    """Shares of one backup by their first words, and yet one of them does not belong: made up, or altered."""


@dataclass(frozen=True, slots=True)
class GroupMissing:
    """How far one group of shares is."""

    group: int
    """Which group, counted from 1."""

    given: int
    """Different shares of it that were given."""

    needed: int
    """How many it takes; 0 if no share of the group was given, for only its shares say it."""


class TooFewSharesError(ShareError):
    """All shares are right, and there are not enough of them yet.

    Args:
        groups: The groups that shares were given of.
        groups_needed: How many groups must be complete.
        groups_complete: How many are.
    """

    def __init__(self, groups: tuple[GroupMissing, ...], groups_needed: int, groups_complete: int) -> None:
        missing = [
            f"group {each.group} has {each.given} of {each.needed}"
            for each in groups
            if each.given < each.needed
        ]
        beyond = groups_needed - len(groups)
        if beyond > 0:
            missing.append(f"{beyond} more group{'s' * (beyond != 1)} needed, of which there is no share yet")
        words = f"too few shares: {'; '.join(missing)}"
        if groups_needed > 1:
            words += f" ({groups_complete} of {groups_needed} groups complete)"
        super().__init__(f"{words}; those given are right, bring more of the same backup")
        self.groups = groups
        self.groups_needed = groups_needed


class WrongBackupError(BackupError):
    """A backup that is whole, of another root than the one expected.

    Args:
        expected: The root's public key, 32 bytes.
        found: The public key of the root that the backup gives.
    """

    def __init__(self, expected: bytes, found: bytes) -> None:
        super().__init__(
            f"this backup is whole, but of another root: {found[:4].hex()}…, not {expected[:4].hex()}…"
        )
        self.expected = expected
        self.found = found
