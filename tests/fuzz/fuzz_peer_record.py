"""Any bytes are a record that its peer signed, or a PeerError; what is signed is never another peer's."""

from kontinuum._native import ed25519_sign
from kontinuum.base import PeerError
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.libp2p.fields import octets
from kontinuum.libp2p.peer_record import (
    is_record_of,
    open_peer_record,
    seal_peer_record,
    signed_bytes,
)
from kontinuum.libp2p.public_key import encode_public_key

ALICE = KeyPair.from_seed(b"a" * 32)
HERE = Multiaddr.parse("/ip4/192.0.2.1/udp/4001/quic-v1")


def sign(data: bytes) -> bytes:
    """Alice's signature."""
    return ed25519_sign(ALICE.seed, data)


SEALED = seal_peer_record(ALICE.peer_id, 7, [HERE], sign)
PAYLOAD_AT = SEALED.index(b"\x0a\x26")
SEEDS = [SEALED, SEALED[PAYLOAD_AT : PAYLOAD_AT + 60], SEALED[44:]]


def check(data: bytes) -> None:
    """One envelope."""
    try:
        record = open_peer_record(data)
    except PeerError:
        return
    assert is_record_of(record.peer_id, data)
    assert len(record.addresses) <= 2 * len(record.listed)


def fuzz(data: bytes) -> None:
    """One input as an envelope, and as what Alice signs."""
    check(data)
    check(
        octets(1, encode_public_key(ALICE.peer_id))
        + octets(2, b"\x03\x01")
        + octets(3, data)
        + octets(5, sign(signed_bytes(data)))
    )
