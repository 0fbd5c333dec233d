"""The data key of one envelope, and every key that is derived from it.

Source:   C2SP age.md, "File key", "Header MAC" and "Payload"; RFC 5869 (HKDF), RFC 8439.
Differs:  three more labels of our own, for the claim, for its commitment and for the segments of a stream
          (docs/protocols/envelope.md). No label is used for two things, and none of age's is reused.
Secrets:  the key is never shown; a wrong authenticator is compared in constant time.
Pure:     no I/O, clock or randomness; a fresh key takes an Entropy.
"""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kontinuum.base.entropy import Entropy
from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.errors import HeaderError, HeaderMacError

FILE_KEY_BYTES = 16
"""Bytes of a data key. age.md, "File key"."""

MAC_BYTES = 32
"""Bytes of a header's authenticator: HMAC-SHA-256."""

PAYLOAD_NONCE_BYTES = 16
"""Bytes in front of the first chunk that make its key. age.md, "Payload"."""

TAG_BYTES = 16
"""Bytes that ChaCha20-Poly1305 adds. RFC 8439, section 2.8."""

WRAPPED_BYTES = FILE_KEY_BYTES + TAG_BYTES
"""Bytes of a stanza's body: a data key, encrypted."""

_NONCE_OF_ONE_USE = bytes(12)
"""For keys that encrypt one message. age.md, "X25519 recipient stanza"."""


class FileKey:
    """The key of one envelope: 16 bytes that its recipients, and nobody else, come to know."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != FILE_KEY_BYTES:
            raise HeaderError(f"a data key has {FILE_KEY_BYTES} bytes")
        self._key = Secret(key)

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh key. Each envelope has its own."""
        return cls(entropy.token(FILE_KEY_BYTES))

    def header_mac(self, authenticated: bytes) -> bytes:
        """The authenticator of a header's bytes."""
        return hmac.digest(derive(self._key, b"", b"header"), authenticated, sha256)

    def verify_header(self, authenticated: bytes, mac: bytes) -> None:
        """Check a header's authenticator.

        Raises:
            HeaderMacError: The header was changed.
        """
        if not hmac.compare_digest(self.header_mac(authenticated), mac):
            raise HeaderMacError("the header was changed after it was sealed, or damaged")

    def payload_key(self, nonce: bytes) -> Secret:
        """The key of the payload that begins with ``nonce`` (16 bytes)."""
        return derive(self._key, nonce, b"payload")

    def claim_key(self) -> Secret:
        """The key under which the sender's claim is encrypted, once."""
        return derive(self._key, b"", b"kontinuum/envelope/1 claim")

    def commitment(self) -> bytes:
        """What the sender signs to say that it is this very key; 32 bytes, shown to recipients only."""
        return derive(self._key, b"", b"kontinuum/envelope/1 commitment")

    def segments_key(self) -> Secret:
        """What a stream's signatures cover, so that only recipients can tell whose they are."""
        return derive(self._key, b"", b"kontinuum/envelope/1 segments")

    def wrapped(self, wrap_key: bytes) -> bytes:
        """This key, encrypted under a key that is used for nothing else."""
        return encrypt_once(wrap_key, self._key)

    def sealed(self, seal: Callable[[bytes], bytes]) -> bytes:
        """This key, encrypted by a library's own construction (HPKE)."""
        return seal(self._key)

    @classmethod
    def unwrap(cls, wrap_key: bytes, body: bytes) -> Self | None:
        """The key in a stanza's ``body`` of WRAPPED_BYTES; ``None`` if it is encrypted under another one."""
        plaintext = decrypt_once(wrap_key, body)
        return None if plaintext is None else cls(plaintext)

    def __repr__(self) -> str:
        return "FileKey(…)"


def derive(key: bytes, salt: bytes, info: bytes) -> Secret:
    """HKDF-SHA-256, 32 bytes."""
    return Secret(HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=info).derive(key))


def encrypt_once(key: bytes, plaintext: bytes) -> bytes:
    """ChaCha20-Poly1305 with the zero nonce, under a key that encrypts nothing else."""
    return ChaCha20Poly1305(key).encrypt(_NONCE_OF_ONE_USE, plaintext, None)


def decrypt_once(key: bytes, ciphertext: bytes) -> Secret | None:
    """The reverse; ``None`` if ``key`` is the wrong one or the bytes were changed."""
    try:
        return Secret(ChaCha20Poly1305(key).decrypt(_NONCE_OF_ONE_USE, ciphertext, None))
    except InvalidTag:
        return None
