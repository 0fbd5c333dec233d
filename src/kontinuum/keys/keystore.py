r"""The key store: one file for one secret of the hierarchy, a root, a branch or an epoch.

::

    "kontinuum key store\n" | version (2 bytes) | length (4) | checksum (8) | body
    body: the CBOR map {0: kind, 1: public key, 2: protection, 3: content}

The head has this form in every version, so a file that is cut off, damaged, or made by a newer program is
told apart before anything is asked for. What the public key says is checked against the secret when the
content opens. The checksum is no secret and no protection: it tells damage from a wrong passphrase.

Source:   our own format, docs/protocols/backup.md; RFC 9106 (Argon2id) in an age file.
Bounds:   KEY_STORE_BYTES_MAX; what opening may cost: Argon2Cost.
Trust:    the content is outside input: any bytes give a KeyStore or a KeyFileError.
Secrets:  a file is readable by its owner only. Without protection only by :class:`Unprotected`, which nothing
          chooses by default. A replaced file is kept beside the new one (:func:`previous_of`).
Not pure: reads and writes its files through ``base.files``; no clock, no randomness but an Entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from kontinuum._native import blake3_256
from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.base.files import create_atomically, read_private, write_atomically
from kontinuum.identity import Secret
from kontinuum.identity.errors import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    KeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TruncatedKeyFileError,
    WrongPassphraseError,
)
from kontinuum.identity.key_file import Argon2Cost
from kontinuum.keys.backup.errors import BackupError
from kontinuum.keys.backup.roots import ShortSeed, WrittenRoot, public_of, root_of
from kontinuum.keys.derivation import BranchSecret, EpochSecret, RootSeed
from kontinuum.keys.fields import Fields
from kontinuum.keys.secret_forms import (
    decode_branch_secret,
    decode_epoch_secret,
    encode_branch_secret,
    encode_epoch_secret,
)
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kontinuum.base.entropy import Entropy

KEY_STORE_BYTES_MAX = 16 * 1024
"""Bytes of a file. Our choice: the fullest has below 600. Longer: FileTooLargeError."""

KEY_STORE_VERSION = 1
"""Version that is written. Every older one is read; a newer one is refused by name."""

MAGIC = b"kontinuum key store\n"
"""How every version begins; a person who looks into the file can read it."""

PUBLIC_KEY_BYTES = 32
"""Bytes of the public key that a file names."""

PREVIOUS_SUFFIX = ".previous"
"""What the name of the replaced file ends with. There is one; the next change replaces it."""

_CHECKSUM_BYTES = 8
_HEAD_BYTES = len(MAGIC) + 2 + 4 + _CHECKSUM_BYTES
_DOMAIN = b"kontinuum/key-store\0"
_RESTORE = "restore it from a backup"

_KIND, _PUBLIC, _PROTECTION, _CONTENT = range(4)
"""Keys of the body's map in version 1."""

_PLAIN, _ARGON2ID = range(2)
"""Kinds of protection in version 1."""


class StoredKind(IntEnum):
    """What a key store holds."""

    ROOT = 0
    """A root, as it is written down: 32 bytes, or 16 of twelve words."""

    BRANCH = 1
    """The secret of a branch: makes its epochs and every branch below."""

    EPOCH = 2
    """The secret of an epoch: all that a running node holds."""


StoredSecret: TypeAlias = WrittenRoot | BranchSecret | EpochSecret
"""What can be kept."""


@dataclass(frozen=True, slots=True)
class ByPassphrase:
    """Protection by a passphrase."""

    passphrase: str = field(repr=False)
    """Its text, not empty."""

    cost: Argon2Cost = field(default_factory=Argon2Cost)
    """What opening costs its owner and everybody who guesses; the default follows RFC 9106."""


@dataclass(frozen=True, slots=True)
class Unprotected:
    """No protection but the file's mode: whoever reads the disk, or a backup of it, has the key."""


Protection: TypeAlias = ByPassphrase | Unprotected
"""How a store is protected; there is no default."""


@dataclass(frozen=True, slots=True)
class KeyStore:
    """What a file says before it is opened. Made by :func:`decode_store`."""

    version: int
    """Version of the file."""

    kind: StoredKind
    """What it holds."""

    public: bytes
    """The public key: of the root's cluster 0, of the branch, or the epoch's signing key. Opening
    checks it.
    """

    protected: bool
    """Whether a passphrase opens it."""

    content: bytes = field(repr=False)
    """The secret, or the age file with it."""

    def open(self, passphrase: str | None = None) -> StoredSecret:
        """The secret.

        Args:
            passphrase: Ignored if the file has none.

        Raises:
            PassphraseNeededError: It is protected and none was given.
            WrongPassphraseError: It does not open the file, which is intact.
            DamagedKeyFileError: The content is not what the file says.
            MisuseError: An empty or too long passphrase.
        """
        content = Secret(self.content)
        if self.protected:
            if passphrase is None:
                raise PassphraseNeededError(
                    "the key store is protected by a passphrase; give it, or name its source"
                )
            content = _unsealed(content, passphrase)
        try:
            secret = _SECRETS[self.kind](content)
        except (BackupError, PeerError) as error:
            raise DamagedKeyFileError(f"the key store is damaged ({error}); {_RESTORE}") from None
        if public_key(secret) != self.public:
            raise DamagedKeyFileError(f"the key store names another key than its secret makes; {_RESTORE}")
        return secret


_SECRETS: Mapping[StoredKind, Callable[[bytes], StoredSecret]] = {
    StoredKind.ROOT: root_of,
    StoredKind.BRANCH: decode_branch_secret,
    StoredKind.EPOCH: decode_epoch_secret,
}


def kind_of(secret: StoredSecret) -> StoredKind:
    """Which kind a secret is."""
    match secret:
        case RootSeed() | ShortSeed():
            return StoredKind.ROOT
        case BranchSecret():
            return StoredKind.BRANCH
    return StoredKind.EPOCH


def public_key(secret: StoredSecret) -> bytes:
    """The public key by which a secret is known; 32 bytes."""
    match secret:
        case RootSeed() | ShortSeed():
            return bytes(public_of(secret))
        case BranchSecret():
            return bytes(secret.public)
    return bytes(secret.signing().peer_id)


def encode_store(secret: StoredSecret, protection: Protection, *, entropy: Entropy) -> bytes:
    """The content of a file, in the newest version.

    Raises:
        MisuseError: An empty or too long passphrase.
    """
    content: bytes = _bytes_of(secret)
    if isinstance(protection, ByPassphrase):
        from kontinuum.keys.argon2_passphrase import Argon2Passphrase
        from kontinuum.keys.envelope import seal_age

        recipient = Argon2Passphrase(protection.passphrase, protection.cost)
        content = b"".join(seal_age([recipient], [content], entropy=entropy))
    body = cbor.encode(
        {
            _KIND: kind_of(secret).value,
            _PUBLIC: public_key(secret),
            _PROTECTION: _ARGON2ID if isinstance(protection, ByPassphrase) else _PLAIN,
            _CONTENT: content,
        }
    )
    return _framed(KEY_STORE_VERSION, body)


def looks_like_store(data: bytes) -> bool:
    """Whether ``data`` begins as a key store does."""
    return data.startswith(MAGIC)


def decode_store(data: bytes) -> KeyStore:
    """Read a file's content, of any version up to ours.

    Raises:
        EmptyKeyFileError, NotAKeyFileError, TruncatedKeyFileError, DamagedKeyFileError: It is none, cut off,
            or damaged; each message says what to do. A newer version is a NotAKeyFileError too.
    """
    if not data:
        raise EmptyKeyFileError(f"the key store is empty; {_RESTORE}")
    if not looks_like_store(data):
        if MAGIC.startswith(data):
            raise TruncatedKeyFileError(f"the key store is cut off; {_RESTORE}")
        raise NotAKeyFileError("this is no key store; make one with `kontinuum keys new-root`")
    if len(data) < _HEAD_BYTES:
        raise TruncatedKeyFileError(f"the key store is cut off; {_RESTORE}")
    at = len(MAGIC)
    version, length = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 6], "big")
    checksum, body = data[at + 6 : _HEAD_BYTES], data[_HEAD_BYTES:]
    if len(body) < length:
        raise TruncatedKeyFileError(
            f"the key store is cut off: {len(body)} of {length} bytes are there; {_RESTORE}"
        )
    if len(body) > length or checksum != _checksum(version, body):
        raise DamagedKeyFileError(f"the key store is damaged (its checksum differs); {_RESTORE}")
    reader = _READERS.get(version)
    if reader is None:
        raise NotAKeyFileError(
            f"a key store of version {version}, which we do not know; use a newer Kontinuum"
        )
    try:
        return reader(body)
    except MalformedError as error:
        raise DamagedKeyFileError(f"the key store is damaged ({error}); {_RESTORE}") from None


def create_store(path: Path, secret: StoredSecret, protection: Protection, *, entropy: Entropy) -> KeyStore:
    """Write a new file, 0600, whole or not at all; nothing is ever replaced.

    Raises:
        AlreadyExistsError: Something has that name. It is untouched.
        FileUnavailableError: The disk is full, read-only or not ours. Nothing was created.
        MisuseError: An empty or too long passphrase.
    """
    content = encode_store(secret, protection, entropy=entropy)
    create_atomically(path, content)
    return decode_store(content)


def load_store(path: Path) -> KeyStore:
    """Read a file; :meth:`KeyStore.open` opens it.

    Raises:
        NotPrivateError: Others than the owner can read it; the message says the fix.
        KeyFileError: Its content is not usable; the leaf says why.
        FileUnavailableError: It is missing or cannot be read.
        NotAFileError, FileTooLargeError: It is something else.
    """
    try:
        return decode_store(read_private(path, KEY_STORE_BYTES_MAX))
    except (EmptyKeyFileError, TruncatedKeyFileError, DamagedKeyFileError, NotAKeyFileError) as error:
        raise type(error)(f"{path}: {error}") from None
    except KeyFileError as error:
        error.add_note(f"key store: {path}")
        raise


def replace_store(path: Path, secret: StoredSecret, protection: Protection, *, entropy: Entropy) -> KeyStore:
    """Change a file: a new passphrase, the next epoch, a newer version. The old one is kept as it was.

    A crash leaves the old file or the new one, and from the first moment a copy of the old one. What the old
    passphrase opened, it still opens there: :func:`forget_previous`, if that is why it was changed.

    Raises:
        MisuseError: The file holds a secret of another kind, or another root: that is a new file.
        KeyFileError, FileUnavailableError, NotPrivateError: The old file cannot be read, or the new one
            not be written; the old one is untouched.
    """
    old = load_store(path)
    if old.kind is not kind_of(secret) or (old.kind is StoredKind.ROOT and old.public != public_key(secret)):
        raise MisuseError(f"{path} holds another key, and is not replaced by this one; write a new file")
    content = encode_store(secret, protection, entropy=entropy)
    write_atomically(previous_of(path), read_private(path, KEY_STORE_BYTES_MAX))
    write_atomically(path, content)
    return decode_store(content)


def previous_of(path: Path) -> Path:
    """Where the file before the last change is."""
    return path.with_name(path.name + PREVIOUS_SUFFIX)


def forget_previous(path: Path) -> bool:
    """Remove the file before the last change; return whether there was one. Its blocks stay on the disk."""
    from kontinuum.base.files import sync_directory

    previous = previous_of(path)
    if not previous.exists():
        return False
    previous.unlink()
    sync_directory(path.parent)
    return True


def _bytes_of(secret: StoredSecret) -> Secret:
    match secret:
        case RootSeed() | ShortSeed():
            return secret.expose()
        case BranchSecret():
            return encode_branch_secret(secret)
    return encode_epoch_secret(secret)


def _unsealed(content: bytes, passphrase: str) -> Secret:
    """What the age file holds."""
    from kontinuum.keys.argon2_passphrase import Argon2Passphrase
    from kontinuum.keys.envelope import EnvelopeError, NoMatchingKeyError, open_age

    try:
        return Secret(b"".join(open_age([Argon2Passphrase(passphrase)], [content])))
    except NoMatchingKeyError:
        raise WrongPassphraseError("the passphrase does not open this key store; try again") from None
    except EnvelopeError as error:
        raise DamagedKeyFileError(f"the key store is damaged ({error}); {_RESTORE}") from None


def _framed(version: int, body: bytes) -> bytes:
    head = version.to_bytes(2, "big") + len(body).to_bytes(4, "big")
    return MAGIC + head + _checksum(version, body) + body


def _checksum(version: int, body: bytes) -> bytes:
    return blake3_256(_DOMAIN + version.to_bytes(2, "big") + body)[:_CHECKSUM_BYTES]


def _read_version_1(body: bytes) -> KeyStore:
    fields = Fields(cbor.decode(body, bytes_max=KEY_STORE_BYTES_MAX), "a key store")
    fields.only(_KIND, _PUBLIC, _PROTECTION, _CONTENT)
    content = fields.value(_CONTENT)
    if not isinstance(content, bytes):
        raise MalformedError("the content of a key store is bytes")
    return KeyStore(
        version=1,
        kind=StoredKind(fields.integer(_KIND, max(StoredKind))),
        public=fields.octets(_PUBLIC, PUBLIC_KEY_BYTES),
        protected=fields.integer(_PROTECTION, _ARGON2ID) == _ARGON2ID,
        content=Secret(content),
    )


_READERS: dict[int, Callable[[bytes], KeyStore]] = {1: _read_version_1}
"""How the body of each version is read. A new version gets a reader here, and the old ones stay: what is read
in an old form is written in the new one by the next :func:`replace_store`."""
