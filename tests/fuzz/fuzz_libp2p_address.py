"""Any bytes or text are an address of a peer that survives its own bytes and text, or an error of ours."""

import contextlib

from kontinuum.base import KontinuumError, PeerError
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.libp2p.addresses import (
    PeerAddress,
    address_text,
    decode_address,
    encode_address,
    usable_addresses,
)

PEER = KeyPair.from_seed(b"a" * 32).peer_id
ADDRESSES = [
    Multiaddr.parse("/ip4/192.0.2.1/udp/4001/quic-v1"),
    Multiaddr.parse("/ip6/2001:db8::1/udp/4001/quic-v1"),
    Multiaddr.parse("/dns4/example.org/udp/4001/quic-v1"),
]
SEEDS = [encode_address(address, PEER) for address in ADDRESSES]
SEEDS += [address_text(address, PEER).encode() for address in ADDRESSES]
SEEDS += [b"/dns/example.org/udp/1/quic-v1/p2p/" + PEER.libp2p.encode()]


def fuzz(data: bytes) -> None:
    """One input as bytes and as text."""
    with contextlib.suppress(PeerError):
        addresses, peer_id = decode_address(data)
        assert all(decode_address(encode_address(address, peer_id))[1] == peer_id for address in addresses)
        if len(addresses) == 1:
            assert encode_address(addresses[0], peer_id) == data
    usable_addresses([data, data], PEER)
    with contextlib.suppress(KontinuumError):
        parsed = PeerAddress.parse(data.decode(errors="replace"))
        for address in parsed.addresses:
            assert PeerAddress.parse(address_text(address, parsed.peer_id)).addresses == (address,)
