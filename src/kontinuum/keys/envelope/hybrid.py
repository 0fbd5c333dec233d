"""Post-quantum hybrid recipients and keys: ML-KEM-768 with X25519.

Source:   C2SP age.md, "The MLKEM768-X25519 hybrid post-quantum recipient type"; HPKE, RFC 9180, section 6.1,
          with the KEM of draft-ietf-hpke-pq-03 (X-Wing). Both ML-KEM and HPKE are those of ``cryptography``.
Trust:    stanzas and text are hostile; lengths are checked before any decryption (partitioning oracles).
Secrets:  the seed is a Secret; only :meth:`HybridKey.to_text` shows it, for the person who exports it.
Pure:     no I/O and no clock. Fresh keys take an Entropy; encapsulation takes the library's own randomness,
          which it lets nobody replace.
"""

from hashlib import shake_256
from typing import NoReturn, Self, SupportsIndex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from kontinuum._native import blake3_256
from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.bech32 import decode_bech32, encode_bech32
from kontinuum.keys.envelope.errors import BadKeyTextError, HeaderError
from kontinuum.keys.envelope.file_key import WRAPPED_BYTES, FileKey
from kontinuum.keys.envelope.readers import Kind, ReaderId
from kontinuum.keys.envelope.stanza import Stanza, decode_base64, encode_base64
from kontinuum.keys.envelope.x25519 import X25519_BYTES

HYBRID_SEED_BYTES = 32
"""Bytes of a private key. age.md."""

HYBRID_PUBLIC_BYTES = 1184 + X25519_BYTES
"""Bytes of a public key: ML-KEM-768's (FIPS 203, table 3), then X25519's."""

_ENCAPSULATED_BYTES = 1088 + X25519_BYTES
_MLKEM_SEED_BYTES = 64

RECIPIENT_PREFIX = "age1pq"
KEY_PREFIX = "age-secret-key-pq-"
_STANZA = "mlkem768x25519"
_INFO = b"age-encryption.org/mlkem768x25519"
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class HybridRecipient:
    """A public key.

    Args:
        public_key: 1216 bytes, untrusted.

    Raises:
        BadKeyTextError: It is no public key.
    """

    __slots__ = ("_key", "public_key")

    post_quantum = True

    def __init__(self, public_key: bytes) -> None:
        if len(public_key) != HYBRID_PUBLIC_BYTES:
            raise BadKeyTextError(f"a post-quantum recipient has {HYBRID_PUBLIC_BYTES} bytes")
        self.public_key = bytes(public_key)
        try:
            self._key = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(self.public_key[:-X25519_BYTES]),
                X25519PublicKey.from_public_bytes(self.public_key[-X25519_BYTES:]),
            )
        except ValueError:
            raise BadKeyTextError("a post-quantum recipient with numbers out of range") from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``age1pq1...``.

        Raises:
            BadKeyTextError: It is none.
        """
        prefix, data = decode_bech32(text)
        if prefix != RECIPIENT_PREFIX:
            raise BadKeyTextError("this is no post-quantum recipient: that begins with age1pq1")
        return cls(bytes(data))

    @property
    def reader_id(self) -> ReaderId:
        """Its name in a claim: its hash."""
        return ReaderId(Kind.HYBRID, blake3_256(self.public_key))

    def wrap(self, file_key: FileKey, entropy: Entropy) -> Stanza:  # noqa: ARG002 -- see "Pure" above
        """The stanza that gives this recipient ``file_key``.

        Raises:
            BadKeyTextError: The X25519 half is of small order.
        """
        try:
            sealed = file_key.sealed(lambda key: _SUITE.encrypt(key, self._key, _INFO))
        except ValueError:
            raise BadKeyTextError("a post-quantum recipient with a half of small order") from None
        encapsulated, body = sealed[:_ENCAPSULATED_BYTES], sealed[_ENCAPSULATED_BYTES:]
        return Stanza(_STANZA, (encode_base64(encapsulated).decode(),), body)

    def to_text(self) -> str:
        """The form ``age1pq1...``, 1,959 characters."""
        return encode_bech32(RECIPIENT_PREFIX, self.public_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HybridRecipient) and other.public_key == self.public_key

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __repr__(self) -> str:
        return f"HybridRecipient({self.reader_id.id[:4].hex()}…)"


class HybridKey:
    """A private key. Make one by :meth:`generate`, or from 32 secret bytes derived for this use only.

    Args:
        seed: 32 bytes; never the seed of another key.
    """

    __slots__ = ("_key", "_seed", "_x25519", "recipient")

    recipient: HybridRecipient
    """The public half."""

    def __init__(self, seed: Secret) -> None:
        if len(seed) != HYBRID_SEED_BYTES:
            raise MisuseError(f"the seed of a post-quantum key has {HYBRID_SEED_BYTES} bytes")
        self._seed = seed
        expanded = Secret(shake_256(seed).digest(_MLKEM_SEED_BYTES + X25519_BYTES))
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._key = MLKEM768X25519PrivateKey(mlkem, self._x25519)
        self.recipient = HybridRecipient(
            mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh key."""
        return cls(Secret(entropy.token(HYBRID_SEED_BYTES)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``AGE-SECRET-KEY-PQ-1...``.

        Raises:
            BadKeyTextError: It is none.
        """
        prefix, data = decode_bech32(text)
        if prefix != KEY_PREFIX or len(data) != HYBRID_SEED_BYTES or not text.isupper():
            raise BadKeyTextError(
                "this is no post-quantum key: that begins with AGE-SECRET-KEY-PQ-1, in capitals"
            )
        return cls(data)

    def unwrap(self, stanza: Stanza) -> FileKey | None:
        """The data key, if ``stanza`` is for this key."""
        if stanza.kind != _STANZA:
            return None
        if len(stanza.arguments) != 1:
            raise HeaderError("a post-quantum stanza with more or less than its one argument")
        encapsulated = decode_base64(stanza.arguments[0].encode())
        if len(encapsulated) != _ENCAPSULATED_BYTES or len(stanza.body) != WRAPPED_BYTES:
            raise HeaderError("a post-quantum stanza of a wrong length")
        try:
            return FileKey(_SUITE.decrypt(encapsulated + stanza.body, self._key, _INFO))
        except InvalidTag:
            self._verify_share(encapsulated[-X25519_BYTES:])
            return None

    def _verify_share(self, share: bytes) -> None:
        """Tell a share of small order from a stanza for somebody else: to the library both are no match."""
        try:
            self._x25519.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise HeaderError("a post-quantum stanza with a share of small order") from None

    def to_text(self) -> Secret:
        """The form ``AGE-SECRET-KEY-PQ-1...``, in ASCII: for a secret file, and nothing else."""
        return Secret(encode_bech32(KEY_PREFIX, self._seed).upper().encode())

    def __repr__(self) -> str:
        return f"HybridKey({self.recipient.reader_id.id[:4].hex()}…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a key is not pickled or copied")
