"""Messages of libp2p field by field, written a second time: for what no encoder of ours makes."""

from helpers.kad_messages import number, octets, uvarint
from kontinuum._native import ed25519_sign
from kontinuum.identity import KeyPair

DOMAIN, PAYLOAD_TYPE = b"libp2p-peer-record", b"\x03\x01"


def sign_with(key_pair: KeyPair):
    """The function that signs exactly what it is given."""
    return lambda data: ed25519_sign(key_pair.seed, data)


def public_key(key_pair: KeyPair) -> bytes:
    """The key as libp2p writes it."""
    return number(1, 1) + octets(2, key_pair.peer_id)


def record_payload(key_pair: KeyPair, sequence: int, *addresses: bytes) -> bytes:
    """What a peer record says."""
    listed = b"".join(octets(3, octets(1, address)) for address in addresses)
    return octets(1, b"\x00\x24" + public_key(key_pair)) + number(2, sequence) + listed


def envelope(
    key_pair: KeyPair, payload: bytes, *, domain: bytes = DOMAIN, kind: bytes = PAYLOAD_TYPE
) -> bytes:
    """A payload in its signed envelope."""
    covered = b"".join(uvarint(len(part)) + part for part in (domain, kind, payload))
    signature = ed25519_sign(key_pair.seed, covered)
    return octets(1, public_key(key_pair)) + octets(2, kind) + octets(3, payload) + octets(5, signature)
