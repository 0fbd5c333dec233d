"""Any bytes are what a peer says of itself within its bounds, in any pieces, or a PeerError; nothing else."""

import contextlib
import json
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.libp2p.frames import frame
from kontinuum.libp2p.identify import Identity, IdentityReader, encode_identity
from kontinuum.wire.limits import IDENTIFY_BYTES_MAX

CAPTURED = json.loads((Path(__file__).parents[1] / "vectors" / "libp2p_identify.json").read_text())
PEER = KeyPair.from_seed(b"a" * 32).peer_id
OURS = encode_identity(
    PEER,
    addresses=[Multiaddr.parse("/ip4/192.0.2.1/udp/4001/quic-v1")],
    protocols=["/ipfs/ping/1.0.0"],
    observed=Multiaddr.parse("/ip6/2001:db8::1/udp/4001/quic-v1"),
    protocol_version="v",
    agent_version="a",
    signed_record=b"r",
)
SEEDS = [OURS, OURS + frame(b""), OURS[1:], *(bytes.fromhex(row["stream"]) for row in CAPTURED)]


def read(pieces: list[bytes]) -> Identity | None:
    """What a stream says, if it says anything."""
    reader = IdentityReader()
    try:
        for piece in pieces:
            reader.receive(piece)
        return reader.finish()
    except PeerError:
        return None


def fuzz(data: bytes) -> None:
    """One input as a stream, whole and in pieces, and as the one message of a stream."""
    cut = len(data) // 2
    whole = read([data])
    assert read([data[:cut], data[cut:]]) == whole
    for identity in (whole, read([frame(data)])):
        if identity is None:
            continue
        assert len(data) <= IDENTIFY_BYTES_MAX
        assert identity.updated_by(identity) == identity
        assert len(identity.addresses(PEER)) <= 2 * len(identity.listed)
        with contextlib.suppress(PeerError):
            identity.verify(PEER)
