"""Ed25519 key pairs, and signatures that are bound to a purpose.

Source:   RFC 8032, section 5.1. Verification is strict (s < L) and without the cofactor, as aws-lc does it.
Trust:    messages and signatures are hostile; a public key was checked when its PeerId was made.
Secrets:  the seed is a :class:`Secret`; no text form, pickle or copy of a key pair shows it.
Pure:     no I/O, clock or randomness; fresh keys take an Entropy.
"""

import re
from typing import NoReturn, Self, SupportsIndex

from kontinuum._native import ed25519_public_key, ed25519_sign, ed25519_verify
from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity.errors import BadSignatureError
from kontinuum.identity.peer_id import PeerId
from kontinuum.identity.secret import Secret

SEED_BYTES = 32
"""Bytes of a private key's seed, RFC 8032, section 5.1.5."""

_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


def signed_bytes(purpose: str, data: bytes) -> bytes:
    """What a signature of ours covers: the purpose, so that no signature can be used for another one.

    Args:
        purpose: 1 to 32 of ``a-z 0-9 -``, beginning with a letter; a constant of the format, never input.
        data: What is signed.
    """
    if not _PURPOSE.fullmatch(purpose):
        raise MisuseError(f"{purpose!r} is no purpose of a signature (1 to 32 of a-z 0-9 -)")
    return b"kontinuum/" + purpose.encode() + b"/v1\0" + data


def verify(peer_id: PeerId, purpose: str, data: bytes, signature: bytes) -> None:
    """Check that ``peer_id`` signed ``data`` for ``purpose``.

    Raises:
        BadSignatureError: It did not, or somebody changed a bit on the way.
    """
    try:
        ed25519_verify(peer_id, signed_bytes(purpose, data), signature)
    except ValueError:
        raise BadSignatureError(f"{peer_id.short} did not sign this as a {purpose}") from None


class KeyPair:
    """A private key and the identity that it makes. Make one by :meth:`generate` or :meth:`from_seed`."""

    __slots__ = ("_seed", "peer_id")

    peer_id: PeerId
    """The identity: the public key."""

    def __init__(self, seed: Secret) -> None:
        if len(seed) != SEED_BYTES:
            raise MisuseError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed = seed
        self.peer_id = PeerId(ed25519_public_key(seed))

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """A fresh key pair."""
        return cls(Secret(entropy.token(SEED_BYTES)))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key pair of a 32-byte seed, RFC 8032's private key."""
        return cls(Secret(seed))

    @property
    def seed(self) -> Secret:
        """The private key, for the native engine and the key file only."""
        return self._seed

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The 64-byte signature of ``data`` for ``purpose``; see :func:`signed_bytes`."""
        return ed25519_sign(self._seed, signed_bytes(purpose, data))

    def __repr__(self) -> str:
        return f"KeyPair({self.peer_id.short}…)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a key pair is not pickled or copied; write it with save_key_file")
