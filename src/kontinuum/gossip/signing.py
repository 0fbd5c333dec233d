"""StrictSign: every message names its author, carries a sequence number, and is signed.

What is signed is the canonical form of fields 1 to 4 behind ``libp2p-pubsub:``; a receiver makes it anew from
what it read, so nothing that the bearer wrote around it counts.

Source:   libp2p specs, pubsub/README.md, "Message Signing", "StrictSign". Keys: RFC 8032 (Ed25519).
Differs:  ``key`` is never sent, since an Ed25519 key stands in ``from``.
Trust:    signatures are hostile input; the native verifier refuses keys that belong to nobody.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kontinuum._native import ed25519_sign, ed25519_verify_many
from kontinuum.messages.pubsub_fields import SIGNING_PREFIX, signed_body, unsigned_body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.identity import KeyPair, PeerId

SignedBytes: TypeAlias = tuple[bytes, bytes, bytes]
"""Public key (32 bytes), the bytes that were signed, signature (64 bytes)."""

VERIFY_MAX = 4096
"""Signatures in one native call; a longer list takes several. native/src/bindings/identity.rs."""


class Author:
    """Makes our own messages.

    Args:
        local: Who we are.
        sign: The signature of these bytes by our key.
        unix_ns: The Unix time in nanoseconds at a monotonic time.
    """

    def __init__(
        self, local: PeerId, sign: Callable[[bytes], bytes], unix_ns: Callable[[float], int]
    ) -> None:
        self._multihash = local.multihash
        self._sign = sign
        self._unix_ns = unix_ns
        self._seqno = 0

    def adopt(self, local: PeerId, sign: Callable[[bytes], bytes]) -> None:
        """Sign by another key from now on. Sequence numbers go on."""
        self._multihash, self._sign = local.multihash, sign

    def write(self, topic: str, data: bytes, now: float) -> tuple[int, bytes]:
        """A signed message: its sequence number and its canonical bytes.

        The number is the time, so that a node is heard at once after a restart; of two messages at the same
        time, or after a step back of the clock, the later one has the next number.
        """
        self._seqno = max(self._seqno + 1, self._unix_ns(now))
        unsigned = unsigned_body(self._multihash, self._seqno.to_bytes(8), topic, data)
        return self._seqno, signed_body(unsigned, self._sign(SIGNING_PREFIX + unsigned))


def signer(key: KeyPair) -> Callable[[bytes], bytes]:
    """What signs messages with ``key``: libp2p's signatures have a prefix of their own, not our purposes."""
    return lambda data: ed25519_sign(key.seed, data)


def verify(signed: Sequence[SignedBytes]) -> list[bool]:
    """For each whether the signature is valid. Natively, without the interpreter lock."""
    if len(signed) <= VERIFY_MAX:
        return ed25519_verify_many(signed)
    return [
        valid
        for at in range(0, len(signed), VERIFY_MAX)
        for valid in ed25519_verify_many(signed[at : at + VERIFY_MAX])
    ]
