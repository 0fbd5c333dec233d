"""Whatever somebody brings as a backup: words, shares, an age file or a key store, told apart by its content.

Bounds:   PIECE_BYTES_MAX for each piece; those of the forms.
Trust:    outside input; it is read once to see what it is, and again by the form that it looks like.
Secrets:  what is returned is a secret; errors show a mistyped word and nothing more.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kontinuum.identity import Secret
from kontinuum.keys.backup.errors import NotABackupError
from kontinuum.keys.backup.file import looks_like_age, open_backup
from kontinuum.keys.backup.roots import ShortSeed, WrittenRoot, verify_root
from kontinuum.keys.backup.shares import SHARE_WORDS, combine_shares
from kontinuum.keys.backup.spelling import words_in
from kontinuum.keys.backup.words import PHRASE_WORDS, read_phrase
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.keystore import decode_store, looks_like_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PIECE_BYTES_MAX = 64 * 1024
"""Bytes of one piece of a backup: a file, or what was typed. Our choice. Longer: refused."""

_BETWEEN = (max(PHRASE_WORDS) + max(SHARE_WORDS)) // 2
"""Words beyond which a miscounted text is taken for a share of 33, not for a phrase of 24."""


class BackupForm(StrEnum):
    """What a backup is made of."""

    WORDS = "words"
    SHARES = "shares"
    AGE = "age"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class ReadBackup:
    """A backup that gave a root back."""

    root: WrittenRoot
    """The root."""

    form: BackupForm
    """What it was made of."""

    pieces: int
    """Of how many pieces: shares, or one."""


def read_backup(
    pieces: Iterable[bytes],
    *,
    expected: bytes | None = None,
    passphrase: Callable[[], str],
) -> ReadBackup:
    """The root that a backup gives; with ``expected``, the rehearsal.

    Args:
        pieces: The contents of files, or what was typed; texts may hold several shares, a line or a paragraph
            each. Lines that begin with # are comments.
        expected: The public key of the root that it must give.
        passphrase: Called, once, if a form needs one.

    Raises:
        BackupError, KeyFileError: It gives no root; the leaf says why.
        WrongBackupError: It gives another root than expected.
    """
    whole = [Secret(piece) for piece in pieces]
    for piece in whole:
        if len(piece) > PIECE_BYTES_MAX:
            raise NotABackupError("this is far longer than a backup")
    read = _read(whole, expected, passphrase)
    if expected is not None:
        verify_root(read.root, expected)
    return read


def texts_in(piece: bytes) -> tuple[str, ...]:
    """The phrases and shares in a text.

    A line that is long enough to be one is one; otherwise paragraphs are, whose words may have a line each.

    Raises:
        NotABackupError: It is no text.
    """
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        raise NotABackupError("this is no backup: neither words, nor a file that we know") from None
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    counts = [len(words_in(line)) for line in lines]
    if all(count == 0 or count >= min(PHRASE_WORDS) for count in counts):
        return tuple(line for line, count in zip(lines, counts, strict=True) if count)
    paragraphs = "\n".join(lines).split("\n\n")
    return tuple(" ".join(part.split()) for part in paragraphs if words_in(part))


def is_share(text: str) -> bool:
    """Whether a text is rather a share than a phrase, by the number of its words."""
    count = len(words_in(text))
    return count in SHARE_WORDS or (count not in PHRASE_WORDS and count >= _BETWEEN)


def _read(pieces: Sequence[bytes], expected: bytes | None, passphrase: Callable[[], str]) -> ReadBackup:
    for form, looks in ((BackupForm.STORE, looks_like_store), (BackupForm.AGE, looks_like_age)):
        if any(map(looks, pieces)):
            if len(pieces) != 1:
                raise NotABackupError("a backup file stands alone: give it without anything else")
            return ReadBackup(_OPENERS[form](pieces[0], passphrase), form, 1)
    texts = [text for piece in pieces for text in texts_in(piece)]
    if not texts:
        raise NotABackupError("there is nothing in it: no words, and no file that we know")
    shares = [text for text in texts if is_share(text)]
    if shares and len(shares) == len(texts):
        return ReadBackup(combine_shares(shares), BackupForm.SHARES, len(shares))
    if len(texts) > 1:
        raise NotABackupError(
            "this is more than one phrase, or phrases and shares together; a phrase stands alone, and shares"
            " have 20 or 33 words each"
        )
    return ReadBackup(read_phrase(texts[0], expected=expected), BackupForm.WORDS, 1)


def _open_store(data: bytes, passphrase: Callable[[], str]) -> WrittenRoot:
    store = decode_store(data)
    secret = store.open(passphrase() if store.protected else None)
    if not isinstance(secret, RootSeed | ShortSeed):
        raise NotABackupError(
            f"this key store holds a key below the root ({store.kind.name.lower()}), and gives no root back"
        )
    return secret


_OPENERS: dict[BackupForm, Callable[[bytes, Callable[[], str]], WrittenRoot]] = {
    BackupForm.STORE: _open_store,
    BackupForm.AGE: lambda data, passphrase: open_backup(data, passphrase()),
}
