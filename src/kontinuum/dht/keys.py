"""The key space: 256-bit numbers, the XOR between them, and what they are made of.

Source: Maymounkov and Mazières, "Kademlia", IPTPS 2002, section 2; libp2p specs, kad-dht/README.md,
        "Distance": SHA-256 of a peer id's multihash bytes, or of the bytes of a record's key.
Pure:   no I/O, clock or randomness.
"""

from hashlib import sha256

from kontinuum.identity import PeerId

KEY_BITS = 256
"""Bits of a key: SHA-256, and so the buckets of a routing table. libp2p specs, kad-dht/README.md."""

KadKey = int
"""A place in the key space: 0 to 2^256 - 1. As a number, since XOR and order are all that is done with it."""


def key_of(data: bytes) -> KadKey:
    """The place of a record's key or of any other bytes."""
    return int.from_bytes(sha256(data).digest())


def key_of_peer(peer_id: PeerId) -> KadKey:
    """The place of a peer."""
    return key_of(peer_id.multihash)


def bucket_index(distance: int) -> int:
    """The bucket for peers at that XOR distance, 0 (next to us) to 255 (the other half of the key space).

    ``distance`` is not 0: nobody keeps itself in its table.
    """
    return distance.bit_length() - 1
