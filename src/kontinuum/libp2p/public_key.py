"""A peer's public key in the protobuf form of libp2p.

Source:   libp2p specs, peer-ids/peer-ids.md, "Keys": field 1 is the type, field 2 the key.
Differs:  Ed25519 only, and only in the form that everybody writes: a peer id is a hash of these bytes, so a
          second spelling would be a second identity of one key.
Bounds:   36 bytes.
Trust:    input is hostile; a key that is read is a checked PeerId.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.identity import PeerId
from kontinuum.libp2p.errors import ForeignKeyError
from kontinuum.wire.limits import PEER_ID_BYTES

_PREFIX = bytes.fromhex("08011220")
"""Type 1, Ed25519; then the key's field and its length."""

_TYPES = {b"\x08\x00": "RSA", b"\x08\x02": "secp256k1", b"\x08\x03": "ECDSA"}

PUBLIC_KEY_BYTES_MAX = 1024
"""Bytes of a key of any type that are looked at, to say which it is. Our choice: an RSA key of 4,096 bits has
some 550. Longer: refused."""


def encode_public_key(peer_id: PeerId) -> bytes:
    """The 36 bytes of a key."""
    return _PREFIX + peer_id


def decode_public_key(data: bytes) -> PeerId:
    """Read a key.

    Raises:
        ForeignKeyError: It is of a type that Kontinuum does not use.
        BadIdentityError: It is no usable key.
    """
    if len(data) != len(_PREFIX) + PEER_ID_BYTES or not data.startswith(_PREFIX):
        kind = _TYPES.get(data[:2], "no Ed25519")
        raise ForeignKeyError(f"the peer's key is {kind}; Kontinuum uses Ed25519 keys alone")
    return PeerId(data[len(_PREFIX) :])
