"""Public keys that statements name, checked, and commitments to keys that nobody has seen yet.

Source:   RFC 8032 (Ed25519), RFC 7748 (X25519); commitments: our own, docs/protocols/key-chain.md.
Trust:    bytes are hostile. An object of these types is a usable key: right length, one spelling, no small
          order.
Pure:     no I/O, clock or randomness.
"""

import hashlib
from typing import NewType, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kontinuum.identity import BadIdentityError, PeerId, verify

Commitment = NewType("Commitment", bytes)
"""32 bytes that fix a public key without showing it; :func:`commit` makes them."""

ENCRYPTION_KEY_BYTES = 32
"""Bytes of an X25519 public key. RFC 7748, section 5. Any other length: refused."""

_FIELD_PRIME = 2**255 - 19

_PROBE = X25519PrivateKey.from_private_bytes(bytes([64] * ENCRYPTION_KEY_BYTES))
"""Any private key: whether a public key has small order does not depend on it, for all are multiples of
eight.
"""


class BranchPublicKey(bytes):
    """The Ed25519 key that checks a branch's statements. No identity on the wire, hence no :class:`PeerId`.

    Args:
        data: 32 bytes, untrusted.

    Raises:
        BadIdentityError: It is no usable public key.
    """

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Check ``data`` and keep it."""
        return super().__new__(cls, PeerId(data))

    def verify(self, purpose: str, data: bytes, signature: bytes) -> None:
        """Check that this key signed ``data`` for ``purpose``.

        Raises:
            BadSignatureError: It did not.
        """
        verify(PeerId(self), purpose, data, signature)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"BranchPublicKey({self[:4].hex()}…)"


class EncryptionPublicKey(bytes):
    """An X25519 public key to encrypt to.

    Args:
        data: 32 bytes, untrusted.

    Raises:
        BadIdentityError: It is no key, a second spelling of one, or one with which everybody shares the
            same secret.
    """

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Check ``data`` and keep it."""
        if len(data) != ENCRYPTION_KEY_BYTES or int.from_bytes(data, "little") >= _FIELD_PRIME:
            raise BadIdentityError(f"an encryption key has {ENCRYPTION_KEY_BYTES} bytes and one spelling")
        try:
            _PROBE.exchange(X25519PublicKey.from_public_bytes(bytes(data)))
        except ValueError:
            raise BadIdentityError("an encryption key of small order") from None
        return super().__new__(cls, data)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"EncryptionPublicKey({self[:4].hex()}…)"


def commit(key: bytes) -> Commitment:
    """The commitment to a branch's or root's public key: it lets the key be checked, and not be guessed."""
    return Commitment(hashlib.sha256(b"kontinuum/key-commitment/v1\0" + key).digest())
