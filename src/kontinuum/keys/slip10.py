"""SLIP-0010 for Ed25519: a tree of secrets, each made from the one above by a hardened step.

Source:   SLIP-0010, "Master key generation" and "Child key derivation (CKD) functions", curve ed25519.
Differs:  only hardened steps exist, as for Ed25519 they must; the keys of the tree never sign or decrypt
          anything (see ``kontinuum.keys.derivation`` for what does).
Secrets:  what goes in and comes out is secret; callers keep it in types that do not show it.
Pure:     no I/O, clock or randomness.
"""

import hmac
from typing import NamedTuple

from kontinuum.base.errors import MisuseError
from kontinuum.identity import Secret
from kontinuum.keys.paths import HARDENED

SEED_BYTES_MIN, SEED_BYTES_MAX = 16, 64
"""Bytes of a seed: 128 to 512 bits. SLIP-0010, "Master key generation"."""

_CURVE = b"ed25519 seed"


class ExtendedKey(NamedTuple):
    """A node of the tree."""

    key: Secret
    """32 bytes; Ed25519's private key in SLIP-0010, for us only what further secrets are made from."""

    chain_code: Secret
    """32 bytes, secret as well: hardened children need both."""


def master(seed: bytes) -> ExtendedKey:
    """The top of the tree that grows from ``seed``.

    Raises:
        MisuseError: The seed is shorter than 128 or longer than 512 bits.
    """
    if not SEED_BYTES_MIN <= len(seed) <= SEED_BYTES_MAX:
        raise MisuseError(f"a seed has {SEED_BYTES_MIN} to {SEED_BYTES_MAX} bytes, not {len(seed)}")
    return _split(hmac.digest(_CURVE, seed, "sha512"))


def child(parent: ExtendedKey, number: int) -> ExtendedKey:
    """The node below ``parent`` with ``number``, which is hardened: 2^31 to 2^32 - 1.

    Raises:
        MisuseError: The number is not hardened, and Ed25519 knows no other children.
    """
    if not HARDENED <= number < 2 * HARDENED:
        raise MisuseError(f"{number} is no hardened number")
    data = b"\0" + parent.key + number.to_bytes(4, "big")
    return _split(hmac.digest(parent.chain_code, data, "sha512"))


def _split(digest: bytes) -> ExtendedKey:
    return ExtendedKey(Secret(digest[:32]), Secret(digest[32:]))
