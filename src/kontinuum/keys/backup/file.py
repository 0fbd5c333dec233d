"""A root in a file that a passphrase opens: an age file, so that ``age`` opens it too, in any year.

Inside is text: a line that says what it is, the root's public key, and the words. Who has the file and its
passphrase, and no Kontinuum any more, reads the words with ``age --decrypt``.

Source:   C2SP age.md; the text is our own (docs/protocols/backup.md).
Differs:  age stretches passphrases with scrypt, and so does this file. A copy of the key store is the form
          that Argon2id protects (``kontinuum.keys.keystore``; ADR 0052).
Bounds:   BACKUP_FILE_BYTES_MAX.
Trust:    the file is outside input. Scrypt's work is bounded before it is done.
Secrets:  no error shows content.
Pure:     no I/O, clock or randomness; what is sealed takes an Entropy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kontinuum.identity.errors import DamagedKeyFileError, TruncatedKeyFileError, WrongPassphraseError
from kontinuum.keys.backup.errors import BackupError, NotABackupError
from kontinuum.keys.backup.roots import WrittenRoot, public_of, verify_root
from kontinuum.keys.backup.words import phrase_of, read_phrase

if TYPE_CHECKING:
    from kontinuum.base.entropy import Entropy

BACKUP_FILE_BYTES_MAX = 16 * 1024
"""Bytes of a backup file. Our choice: ours have below 1,000. Longer: refused."""

_ROOT_LINE = re.compile(r"# root ([0-9a-f]{64})")

_HEAD = "# Kontinuum: the words of a root. Whoever reads them owns everything below it."
_FOOT = "# Give it back with: kontinuum keys restore"
_AGE_INTRO = b"age-encryption.org/"


def looks_like_age(data: bytes) -> bool:
    """Whether it begins as an age file does, in either form."""
    from kontinuum.keys.envelope.armor import is_armored

    return is_armored(data) or data.startswith(_AGE_INTRO)


def seal_backup(root: WrittenRoot, passphrase: str, *, entropy: Entropy, work: int | None = None) -> bytes:
    """The content of a backup file.

    Args:
        root: What is written down.
        passphrase: What opens it.
        entropy: For salt and keys.
        work: Logarithm of scrypt's work; by default as ``age`` has it, which takes a second.

    Raises:
        MisuseError: An empty or too long passphrase.
    """
    from kontinuum.keys.envelope import Passphrase, encode_armor, seal_age
    from kontinuum.keys.envelope.passphrase import SCRYPT_WORK

    lines = (_HEAD, f"# root {public_of(root).hex()}", phrase_of(root), _FOOT, "")
    recipient = Passphrase(passphrase, work=SCRYPT_WORK if work is None else work)
    return encode_armor(b"".join(seal_age([recipient], ["\n".join(lines).encode()], entropy=entropy)))


def open_backup(data: bytes, passphrase: str) -> WrittenRoot:
    """The root in a backup file.

    Raises:
        WrongPassphraseError: The passphrase does not open it.
        TruncatedKeyFileError: It is cut off.
        DamagedKeyFileError: It was altered; or cut off, where age's binary form cannot tell.
        NotABackupError: It is another file, or was sealed to a key instead of a passphrase.
    """
    from kontinuum.keys.envelope import Passphrase, open_age
    from kontinuum.keys.envelope.errors import (
        EnvelopeError,
        NoMatchingKeyError,
        NotAnEnvelopeError,
        TruncatedHeaderError,
        TruncatedPayloadError,
    )

    if len(data) > BACKUP_FILE_BYTES_MAX or not looks_like_age(data):
        raise NotABackupError("this is no backup file of a root")
    try:
        content = b"".join(open_age([Passphrase(passphrase)], [_binary(data)]))
    except NoMatchingKeyError:
        raise WrongPassphraseError(
            "the passphrase does not open this backup; try again, or take another copy: its first lines may"
            " be damaged"
        ) from None
    except (TruncatedHeaderError, TruncatedPayloadError):
        raise TruncatedKeyFileError("the backup file is cut off; take another copy") from None
    except NotAnEnvelopeError:
        raise NotABackupError("this is no backup file of a root") from None
    except EnvelopeError:
        raise DamagedKeyFileError("the backup file is damaged or cut off; take another copy") from None
    return _read(content)


def _binary(data: bytes) -> bytes:
    """The age file itself, out of its text form."""
    from kontinuum.keys.envelope import ArmorError, decode_armor, is_armored

    if not is_armored(data):
        return data
    if b"-----END" not in data:
        raise TruncatedKeyFileError("the backup file is cut off; take another copy")
    try:
        return decode_armor(data)
    except ArmorError:
        raise DamagedKeyFileError("the backup file is damaged; take another copy") from None


def _read(content: bytes) -> WrittenRoot:
    """The root in the text; the public key in it must be its own."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise NotABackupError("the file opens, but holds no backup of a root") from None
    said = [match[1] for line in lines if (match := _ROOT_LINE.fullmatch(line))]
    words = " ".join(line for line in lines if not line.startswith("#"))
    try:
        root = read_phrase(words)
        return root if not said else verify_root(root, bytes.fromhex(said[0]))
    except BackupError:
        raise NotABackupError("the file opens, but holds no backup of a root") from None
