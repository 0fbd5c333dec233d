"""A root in shares: each person holds one, and enough of them together give it back.

A backup has groups (family, friends, a bank), each with a threshold of its own, and a number of groups that
must be complete. The simplest is one group: 2 of 3.

Source:   SLIP-39, with its authors' package ``shamir-mnemonic``.
Differs:  more shares than needed are welcome, and each of them is checked; the standard's reference refuses
          them. A group of one share for everybody ("1 of 3") is refused, as there.
Bounds:   SHARES_MAX; those of ``spelling`` for each.
Trust:    shares come from other people: one may be mistyped, of another backup, or made up.
Secrets:  what is returned is a secret. The package computes with tables and is **not hardened against side
          channels**, as its authors say: use it on a machine that you trust (docs/protocols/backup.md).
Not pure: the package draws the random parts of the shares itself, from the operating system, and takes no
          other source (ADR 0052). The identifier is from our Entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.identity import Secret
from kontinuum.keys.backup.errors import (
    ForgedShareError,
    GroupMissing,
    MixedSharesError,
    RepeatedShareError,
    ShareError,
    TooFewSharesError,
    WordCountError,
    WrongShareError,
)
from kontinuum.keys.backup.roots import WrittenRoot, root_of
from kontinuum.keys.backup.spelling import verify_words, words_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shamir_mnemonic import Share  # type: ignore[import-untyped]

    from kontinuum.base.entropy import Entropy

SHARES_MAX = 256
"""Shares that one backup can have: 16 groups of 16. SLIP-39, "Format of the share mnemonic"."""

COUNT_MAX = 16
"""Groups of a backup, and shares of a group. SLIP-39."""

SHARE_WORDS = (20, 33)
"""Words of a share of 16 and of 32 bytes. SLIP-39."""

_IDENTIFIER_BITS = 15
_PUBLIC_WORDS = 4
"""Words at a share's beginning that hold no secret: identifier, group, thresholds, and the share's number."""


@dataclass(frozen=True, slots=True)
class Group:
    """Who holds shares: how many people, and how many of them it takes.

    Raises:
        MisuseError: No such group is possible.
    """

    threshold: int
    """Shares that complete the group."""

    count: int
    """Shares that there are."""

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= self.count <= COUNT_MAX:
            raise MisuseError(f"a group is 1 to {COUNT_MAX} shares, of which at most all are needed")
        if self.threshold == 1 < self.count:
            raise MisuseError(
                f"1 of {self.count}: each would be the whole; write one share, and copy it for everybody"
            )

    def __str__(self) -> str:
        return f"{self.threshold} of {self.count}"


@dataclass(frozen=True, slots=True)
class ShareFace:
    """What the first words of a share say; no secret."""

    backup: int
    """A number that all shares of one backup have, and another one very likely not: 0 to 32767."""

    group: int
    """Which group, from 1."""

    share: int
    """Which share of the group, from 1."""

    needed: int
    """How many shares of the group it takes."""

    groups: int
    """How many groups there are."""

    groups_needed: int
    """How many of them must be complete."""


def split_root(
    root: WrittenRoot, groups: Sequence[Group], groups_needed: int = 1, *, entropy: Entropy
) -> tuple[tuple[str, ...], ...]:
    """The shares of a root: for each group, the words of each share.

    Args:
        root: What is split.
        groups: Who holds shares.
        groups_needed: How many groups must be complete.
        entropy: For the number that the backup is known by.

    Raises:
        MisuseError: The groups and their number do not fit.
    """
    from shamir_mnemonic import EncryptedMasterSecret, split_ems

    if not 1 <= groups_needed <= len(groups) <= COUNT_MAX:
        raise MisuseError(f"{groups_needed} of {len(groups)} groups cannot be: 1 to {COUNT_MAX}, at most all")
    if groups_needed == 1 < len(groups) and any(group.threshold == 1 for group in groups):
        raise MisuseError("one share of a group of 1 would be the whole; ask for two groups or more")
    identifier = int.from_bytes(entropy.token(2), "big") >> (16 - _IDENTIFIER_BITS)
    encrypted = EncryptedMasterSecret.from_master_secret(
        root.expose(), b"", identifier, extendable=True, iteration_exponent=0
    )
    made = split_ems(groups_needed, [(group.threshold, group.count) for group in groups], encrypted)
    return tuple(tuple(share.mnemonic() for share in group) for group in made)


def share_face(text: str, what: str = "the share") -> ShareFace:
    """What one share says about itself, after its words and their checksum were checked.

    Raises:
        WordCountError, UnknownWordsError, WrongShareError: It is no share; the error says why.
    """
    return _face(_parse(text, what, ()))


def combine_shares(texts: Iterable[str]) -> WrittenRoot:
    """The root that these shares give.

    Raises:
        TooFewSharesError: All are right, and there are not enough.
        BackupError: One is wrong; the leaf and the message say which.
    """
    return root_of(combine_secret(texts))


def combine_secret(texts: Iterable[str], passphrase: bytes = b"") -> Secret:
    """The bytes that shares give, of whatever length SLIP-39 allows.

    Args:
        texts: The words of each share.
        passphrase: SLIP-39's own. Ours have none; any other one gives other bytes, and no error.

    Raises:
        BackupError: As :func:`combine_shares`.
    """
    from shamir_mnemonic import MnemonicError, combine_mnemonics

    shares = _different(texts)
    groups = _complete_groups(shares)
    needed = shares[0].group_threshold
    chosen = [share for group in groups[:needed] for share in group[: group[0].member_threshold]]
    sets = [chosen, *_with_each_other(chosen, groups, needed)]
    try:
        tried = [combine_mnemonics([share.mnemonic() for share in picked], passphrase) for picked in sets]
    except MnemonicError:
        raise _forged() from None
    if any(left != right for left, right in pairwise(tried)):
        raise _forged()
    return Secret(tried[0])


def share_wordlist() -> tuple[str, ...]:
    """All 1024 words; another list than that of phrases."""
    from shamir_mnemonic.wordlist import WORDLIST  # type: ignore[import-untyped]

    return tuple(WORDLIST)


def _forged() -> ForgedShareError:
    return ForgedShareError(
        "these shares are of one backup by their first words, and yet do not belong together:"
        " one was altered or made up; try with others of the backup to find which"
    )


def _parse(text: str, what: str, number: tuple[int, ...]) -> Share:
    """One share whose words and checksum are right."""
    from shamir_mnemonic import MnemonicError, Share

    words = words_in(text)
    if len(words) not in SHARE_WORDS:
        raise WordCountError(f"{what}: {len(words)} words, and a share has 20 or 33; count them again")
    verify_words(words, share_wordlist(), what)
    try:
        return Share.from_mnemonic(" ".join(words))
    except MnemonicError:
        raise WrongShareError(
            f"{what}: every word is in the list, but they do not fit together: one is the wrong one, or two"
            " changed places; compare each with the paper",
            number,
        ) from None


def _face(share: Share) -> ShareFace:
    return ShareFace(
        share.identifier,
        share.group_index + 1,
        share.index + 1,
        share.member_threshold,
        share.group_count,
        share.group_threshold,
    )


def _different(texts: Iterable[str]) -> list[Share]:
    """All shares, of one backup and each another one."""
    shares: list[Share] = []
    places: dict[tuple[int, int], int] = {}
    for number, text in enumerate(texts, start=1):
        if number > SHARES_MAX:
            raise ShareError(f"a backup has at most {SHARES_MAX} shares")
        share = _parse(text, f"share {number}", (number,))
        if shares:
            _verify_same_backup(shares, share, number)
        place = (share.group_index, share.index)
        if place in places:
            first = places[place]
            if shares[first - 1].value == share.value:
                raise RepeatedShareError(
                    f"share {number} is share {first} again, and counts once; bring another one",
                    (first, number),
                )
            raise ForgedShareError(
                f"shares {first} and {number} both say that they are share {share.index + 1} of group"
                f" {share.group_index + 1}, and differ: one of them was altered or made up",
                (first, number),
            )
        places[place] = number
        shares.append(share)
    if not shares:
        raise ShareError("no share was given")
    return shares


def _verify_same_backup(shares: Sequence[Share], share: Share, number: int) -> None:
    if share.common_parameters() != shares[0].common_parameters() or len(share.value) != len(shares[0].value):
        raise MixedSharesError(
            f"share {number} is of another backup than share 1: shares of one backup begin with the same two"
            " words; look for the others of the same set",
            (1, number),
        )
    for first, other in enumerate(shares, start=1):
        if other.group_index == share.group_index and other.member_threshold != share.member_threshold:
            raise MixedSharesError(
                f"shares {first} and {number} say different numbers of shares for the same group: they are of"
                " two backups",
                (first, number),
            )


def _complete_groups(shares: Sequence[Share]) -> list[list[Share]]:
    """The groups that are complete, enough of them."""
    groups: dict[int, list[Share]] = {}
    for share in shares:
        groups.setdefault(share.group_index, []).append(share)
    complete = [group for group in groups.values() if len(group) >= group[0].member_threshold]
    needed = shares[0].group_threshold
    if len(complete) < needed:
        standing = tuple(
            GroupMissing(index + 1, len(group), group[0].member_threshold)
            for index, group in sorted(groups.items())
        )
        raise TooFewSharesError(standing, needed, len(complete))
    return complete


def _with_each_other(chosen: list[Share], groups: list[list[Share]], needed: int) -> list[list[Share]]:
    """For each share beyond the needed ones, a set that it is in: all of them must give the same."""
    others: list[list[Share]] = []
    for position, group in enumerate(groups):
        threshold = group[0].member_threshold
        base = [share for share in chosen if share.group_index != group[0].group_index]
        if position >= needed:  # A whole group more: it takes the place of the first.
            base = [share for share in chosen if share.group_index != groups[0][0].group_index]
            others.append(base + group[:threshold])
        others.extend(base + group[1:threshold] + [extra] for extra in group[threshold:])
    return others
