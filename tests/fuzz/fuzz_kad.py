"""Any bytes are a kad message within its bounds that survives its own bytes, or a PeerError; nothing else."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.dht.admission import Admission
from kontinuum.identity import network_id
from kontinuum.messages.kad import decode, decode_prefixed, encode, encode_prefixed

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "kad_messages.json").read_text())
SEEDS = [bytes.fromhex(row["encoded"]) for row in GOLDEN]
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def fuzz(data: bytes) -> None:
    """One input as a message with and without its length; what it names goes on to the gate for contacts."""
    with contextlib.suppress(PeerError):
        message = decode_prefixed(data)
        assert decode_prefixed(encode_prefixed(message)) == message
    try:
        message = decode(data)
    except PeerError:
        return
    again = encode(message)
    assert len(again) <= len(data)
    assert decode(again) == message
    assert encode(decode(again)) == again
    gate = Admission(network_id("test"), 0)
    valid, refused = gate.check_all(message.closer_peers, NOON, count_max=20)
    assert len(valid) + refused == len(message.closer_peers)
    with contextlib.suppress(PeerError):
        gate.check(message.sender, NOON)
