"""People, a network and contacts that tests share; always the same, so that failures repeat."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kontinuum.identity import Contact, KeyPair, Mining, Multiaddr, PeerId, ProofOfWork, network_id

ALICE = KeyPair.from_seed(b"a" * 32)
BOB = KeyPair.from_seed(b"b" * 32)
NETWORK = network_id("test")
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/udp/4433/quic-v1")
POW_BITS = 8

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """The rows of one file of ``tests/vectors``."""
    rows: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())
    return rows


def proof_of(peer_id: PeerId, bits: int = POW_BITS, network: bytes = NETWORK) -> ProofOfWork:
    """A proof of work, mined now on one thread: the least nonce."""
    proof = Mining(network, peer_id, bits, threads=1).wait(60).proof
    assert proof is not None
    return proof


def contact_of(key_pair: KeyPair = ALICE, **fields: Any) -> Contact:
    """A valid contact, issued at noon; any field of ``Contact.issue`` can be given."""
    given: dict[str, Any] = {
        "addresses": [ADDRESS],
        "sequence": 1,
        "issued_at": NOON,
        "proof": ProofOfWork(NETWORK, key_pair.peer_id, 0),
        **fields,
    }
    return Contact.issue(key_pair, given.pop("addresses"), **given)
