"""A node's private key on disk: plain PKCS#8 in PEM, or protected by a passphrase.

Source:   RFC 7468 (PEM), RFC 8410 (Ed25519 in PKCS#8), RFC 9106 (Argon2id), RFC 8439 (ChaCha20-Poly1305).
Forms:    ``PRIVATE KEY`` is what OpenSSL writes and reads. ``KONTINUUM ENCRYPTED KEY`` is ours, a
          deterministic CBOR map: version, Argon2id's memory, iterations and lanes, salt, nonce, identity,
          ciphertext, checksum. All but the last two are the associated data. The checksum is no secret and
          no protection: it tells a damaged file from a wrong passphrase.
Bounds:   KEY_FILE_BYTES_MAX; ARGON2_MEMORY_KIB_MAX and ARGON2_WORK_KIB_MAX bound what opening may cost.
Trust:    the content is outside input: any bytes give a key pair or a KeyFileError.
Secrets:  a plain key must be readable by its owner only. No error, text form or log shows key or passphrase.
"""

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from kontinuum._native import blake3_256
from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import MisuseError
from kontinuum.base.files import create_atomically, read_private
from kontinuum.identity.errors import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    KeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TooCostlyKeyFileError,
    TruncatedKeyFileError,
    WrongKeyTypeError,
    WrongPassphraseError,
)
from kontinuum.identity.keys import SEED_BYTES, KeyPair
from kontinuum.identity.secret import Secret
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import KEY_FILE_BYTES_MAX

ARGON2_MEMORY_KIB = 64 * 1024
"""KiB that opening a key takes. RFC 9106, section 4, second recommended option."""

ARGON2_MEMORY_KIB_MIN = 8 * 1024
"""KiB below which a file is refused: it would protect nothing. Our choice."""

ARGON2_MEMORY_KIB_MAX = 1024 * 1024
"""KiB beyond which a file is refused: a hostile file must not take the machine's memory. Our choice."""

ARGON2_ITERATIONS = 3
"""Passes over the memory. RFC 9106, section 4, second recommended option."""

ARGON2_LANES = 4
"""Parallel lanes. RFC 9106, section 4, second recommended option."""

ARGON2_LANES_MAX = 16
"""Lanes beyond which a file is refused. Our choice."""

ARGON2_WORK_KIB_MAX = 4 * 1024 * 1024
"""Iterations times KiB beyond which a file is refused: some ten seconds of one core. Our choice."""

PASSPHRASE_BYTES_MAX = 1024
"""UTF-8 bytes of a passphrase. Our choice. Longer: MisuseError."""

_PLAIN_LABEL = "PRIVATE KEY"
_PROTECTED_LABEL = "KONTINUUM ENCRYPTED KEY"

_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the seed in the 48 bytes of RFC 8410, section 7."""

_PKCS8_HEAD = re.compile(
    rb"\x30(?:[\0-\x7f]|\x81.|\x82..)\x02\x01([\0\1])\x30(?:[\0-\x7f]|\x81.)\x06(.)", re.DOTALL
)
"""How PKCS#8 begins (RFC 5958, section 2): version, then the length of the algorithm's identifier."""

_ED25519_OID = bytes.fromhex("2b6570")
_ALGORITHMS = {
    bytes.fromhex("2a864886f70d010101"): "an RSA key",
    bytes.fromhex("2a8648ce3d0201"): "an elliptic-curve key of another curve",
    bytes.fromhex("2b656e"): "an X25519 key, which cannot sign",
    bytes.fromhex("2b656f"): "an X448 key, which cannot sign",
    bytes.fromhex("2b6571"): "an Ed448 key",
}
"""Algorithms by their identifier: RFC 3279, section 2.3, and RFC 8410, section 3."""

_VERSION, _MEMORY, _ITERATIONS, _LANES, _SALT, _NONCE, _PEER_ID, _CIPHERTEXT, _CHECKSUM = range(9)
"""Keys of the protected form's map."""

_FORMAT_VERSION = 1
_SALT_BYTES = 16
_NONCE_BYTES = 12
_CIPHERTEXT_BYTES = SEED_BYTES + 16
_CHECKSUM_BYTES = 8
_DOMAIN = b"kontinuum/key-file/v1\0"

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")

_FOREIGN_LABELS = {
    "ENCRYPTED PRIVATE KEY": (
        "a key that OpenSSL encrypted",
        "decrypt it with `openssl pkey -in OLD -out NEW`, then import NEW",
    ),
    "OPENSSH PRIVATE KEY": ("an OpenSSH key", "make a new one with `kontinuum node init`"),
    "RSA PRIVATE KEY": ("an RSA key", "make a new one with `kontinuum node init`"),
    "EC PRIVATE KEY": ("an elliptic-curve key of another curve", "make a new one with `kontinuum node init`"),
    "PUBLIC KEY": ("a public key", "use the private one of the pair"),
    "CERTIFICATE": ("a certificate", "use the private key that belongs to it"),
}
_NEW_KEY = "make a new one with `kontinuum node init`"
_RESTORE = "restore it from a backup"


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What opening a protected key costs its owner and everybody who guesses."""

    memory_kib: int = ARGON2_MEMORY_KIB
    """KiB of memory."""

    iterations: int = ARGON2_ITERATIONS
    """Passes over it."""

    lanes: int = ARGON2_LANES
    """Parallel lanes."""

    def __post_init__(self) -> None:
        if not (
            ARGON2_MEMORY_KIB_MIN <= self.memory_kib <= ARGON2_MEMORY_KIB_MAX
            and 1 <= self.lanes <= ARGON2_LANES_MAX
            and self.iterations >= 1
            and self.iterations * self.memory_kib <= ARGON2_WORK_KIB_MAX
        ):
            raise TooCostlyKeyFileError(
                f"opening this key would take {self.memory_kib} KiB and {self.iterations} passes in"
                f" {self.lanes} lanes, which is outside our bounds; {_RESTORE}"
            )


def save_key_file(
    path: Path,
    key_pair: KeyPair,
    *,
    passphrase: str | None = None,
    entropy: Entropy | None = None,
    cost: Argon2Cost | None = None,
) -> None:
    """Write the private key to a new file, mode 0600, whole or not at all.

    Args:
        path: A name that is free; its directory exists.
        key_pair: Whose key.
        passphrase: Protect it; needs ``entropy``.
        entropy: For salt and nonce.
        cost: What opening shall cost; the default follows RFC 9106.

    Raises:
        AlreadyExistsError: Something has that name. It is untouched.
        FileUnavailableError: The disk is full, read-only or not ours. Nothing was created.
        MisuseError: An empty or too long passphrase, or no entropy.
    """
    if passphrase is None:
        content = encode_plain(key_pair)
    elif entropy is None:
        raise MisuseError("a passphrase needs entropy for its salt")
    else:
        content = encode_protected(key_pair, passphrase, entropy, cost or Argon2Cost())
    create_atomically(path, content)


def load_key_file(path: Path, *, passphrase: str | None = None) -> KeyPair:
    """Read a key file; a passphrase is ignored if the file has none.

    Raises:
        NotPrivateError: Others than the owner can read it; the message says the fix.
        KeyFileError: Its content is not usable; the leaf says why.
        FileUnavailableError: It is missing or cannot be read.
        NotAFileError, FileTooLargeError: It is something else.
    """
    content = Secret(read_private(path, KEY_FILE_BYTES_MAX))
    try:
        return decode_key(content, passphrase)
    except KeyFileError as error:
        error.add_note(f"key file: {path}")
        raise


def encode_plain(key_pair: KeyPair) -> bytes:
    """The PEM form that OpenSSL reads, without protection."""
    return _to_pem(_PLAIN_LABEL, Secret(_PKCS8_ED25519 + key_pair.seed))


def encode_protected(key_pair: KeyPair, passphrase: str, entropy: Entropy, cost: Argon2Cost) -> bytes:
    """The PEM form that only the passphrase opens."""
    header: dict[cbor.CborKey, cbor.CborValue] = {
        _VERSION: _FORMAT_VERSION,
        _MEMORY: cost.memory_kib,
        _ITERATIONS: cost.iterations,
        _LANES: cost.lanes,
        _SALT: entropy.token(_SALT_BYTES),
        _NONCE: entropy.token(_NONCE_BYTES),
        _PEER_ID: key_pair.peer_id,
    }
    key = stretch_passphrase(passphrase, _octets(header, _SALT, _SALT_BYTES), cost)
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    ciphertext = ChaCha20Poly1305(key).encrypt(
        _octets(header, _NONCE, _NONCE_BYTES), key_pair.seed, _associated_data(header)
    )
    fields = {**header, _CIPHERTEXT: ciphertext}
    return _to_pem(_PROTECTED_LABEL, cbor.encode({**fields, _CHECKSUM: _checksum(fields)}))


def decode_key(content: bytes, passphrase: str | None = None) -> KeyPair:
    """Read either form from a file's content.

    Raises:
        KeyFileError: It is no usable key file; the leaf says why and the message what to do.
    """
    content = Secret(content)  # Tracebacks that show local variables shall not show this one.
    if not content.strip():
        raise EmptyKeyFileError(f"the key file is empty; {_RESTORE}, or delete it and {_NEW_KEY}")
    label, body = _from_pem(content)
    if label == _PLAIN_LABEL:
        return _decode_pkcs8(body)
    if label == _PROTECTED_LABEL:
        return _decode_protected(body, passphrase)
    if label in _FOREIGN_LABELS:
        raise WrongKeyTypeError(*_FOREIGN_LABELS[label])
    raise NotAKeyFileError(f"a PEM file of type {label} is no key file; {_NEW_KEY}")


def _decode_pkcs8(body: Secret) -> KeyPair:
    if len(body) == len(_PKCS8_ED25519) + SEED_BYTES and body.startswith(_PKCS8_ED25519):
        return KeyPair(Secret(body[len(_PKCS8_ED25519) :]))
    # Only to name what it is. No general parser of keys sees these bytes: fuzzing met one that fails in ways
    # which it does not document.
    head = _PKCS8_HEAD.match(body)
    if head is None:
        raise DamagedKeyFileError(f"the key file is damaged; {_RESTORE}")
    version, length = head[1][0], head[2][0]
    algorithm = bytes(body[head.end() : head.end() + length])
    if algorithm != _ED25519_OID:
        raise WrongKeyTypeError(_ALGORITHMS.get(algorithm, "a key of another type"), _NEW_KEY)
    if version == 1:
        raise WrongKeyTypeError(
            "a key in PKCS#8 version 2, with the public key inside", "convert it to version 1"
        )
    raise DamagedKeyFileError(f"the key file is damaged; {_RESTORE}")


def _decode_protected(body: bytes, passphrase: str | None) -> KeyPair:
    try:
        fields = _protected_fields(body)
        cost = Argon2Cost(_integer(fields, _MEMORY), _integer(fields, _ITERATIONS), _integer(fields, _LANES))
        salt = _octets(fields, _SALT, _SALT_BYTES)
        nonce = _octets(fields, _NONCE, _NONCE_BYTES)
        ciphertext = _octets(fields, _CIPHERTEXT, _CIPHERTEXT_BYTES)
    except MalformedError as error:
        raise DamagedKeyFileError(f"the key file is damaged ({error}); {_RESTORE}") from None
    if passphrase is None:
        raise PassphraseNeededError("the key is protected by a passphrase; give it, or name its source")
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key = stretch_passphrase(passphrase, salt, cost)
    del fields[_CIPHERTEXT]
    try:
        seed = Secret(ChaCha20Poly1305(key).decrypt(nonce, ciphertext, _associated_data(fields)))
    except InvalidTag:
        raise WrongPassphraseError("the passphrase does not open this key; try again") from None
    key_pair = KeyPair(seed)
    if key_pair.peer_id != fields[_PEER_ID]:
        raise DamagedKeyFileError(f"the key file names another identity than its key makes; {_RESTORE}")
    return key_pair


def _protected_fields(body: bytes) -> dict[cbor.CborKey, cbor.CborValue]:
    """The map of the protected form, complete and as it was written, without its checksum."""
    fields = cbor.decode(body, bytes_max=KEY_FILE_BYTES_MAX)
    if not isinstance(fields, dict):
        raise MalformedError("it holds no map")
    version = fields.get(_VERSION)
    if version != _FORMAT_VERSION:
        raise NotAKeyFileError("a protected key of a version that we do not know; use a newer Kontinuum")
    if list(fields) != list(range(9)):
        raise MalformedError("fields are missing or unknown")
    checksum = _octets(fields, _CHECKSUM, _CHECKSUM_BYTES)
    del fields[_CHECKSUM]
    if checksum != _checksum(fields):
        raise MalformedError("the checksum differs")
    return fields


def stretch_passphrase(passphrase: str, salt: bytes, cost: Argon2Cost) -> Secret:
    """The key that a passphrase makes (Argon2id, RFC 9106)."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        # One spelling, whatever keyboard and system composed the characters.
        secret = Secret(unicodedata.normalize("NFC", passphrase).encode())
    except UnicodeEncodeError:
        raise MisuseError("the passphrase is no valid Unicode") from None
    if not 1 <= len(secret) <= PASSPHRASE_BYTES_MAX:
        raise MisuseError(f"a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes")
    argon2 = Argon2id(
        salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    try:
        return Secret(argon2.derive(secret))
    except MemoryError:
        raise TooCostlyKeyFileError(
            f"this machine has no {cost.memory_kib} KiB free to open the key"
        ) from None


def _associated_data(header: dict[cbor.CborKey, cbor.CborValue]) -> bytes:
    return _DOMAIN + cbor.encode(header)


def _checksum(fields: dict[cbor.CborKey, cbor.CborValue]) -> bytes:
    return blake3_256(_DOMAIN + cbor.encode(fields))[:_CHECKSUM_BYTES]


def _octets(fields: dict[cbor.CborKey, cbor.CborValue], key: int, length: int) -> bytes:
    value = fields[key]
    if not isinstance(value, bytes) or len(value) != length:
        raise MalformedError(f"field {key} has not {length} bytes")
    return value


def _integer(fields: dict[cbor.CborKey, cbor.CborValue], key: int) -> int:
    value = fields[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedError(f"field {key} is no number")
    return value


def _to_pem(label: str, body: bytes) -> bytes:
    """RFC 7468, section 2, strict form: lines of 64 characters."""
    text = base64.b64encode(body)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""])


def _from_pem(content: Secret) -> tuple[str, Secret]:
    """Label and bytes of the file's only PEM block; white space around lines is ignored."""
    lines: list[bytes] = [Secret(line.strip()) for line in content.strip().splitlines()]
    begin = _BEGIN.fullmatch(lines[0])
    if begin is None:
        raise NotAKeyFileError(f"this is no PEM file, so no key file; {_NEW_KEY}")
    label = begin[1].decode("ascii")
    end = b"-----END " + begin[1] + b"-----"
    if end not in lines:
        raise TruncatedKeyFileError(f"the key file is cut off; {_RESTORE}")
    if lines.index(end) != len(lines) - 1:
        raise NotAKeyFileError("the file holds more than one key; keep one per file")
    try:
        return label, Secret(base64.b64decode(b"".join(lines[1:-1]), validate=True))
    except binascii.Error:
        raise DamagedKeyFileError(f"the key file is damaged; {_RESTORE}") from None
