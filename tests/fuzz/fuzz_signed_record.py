"""Any bytes are an envelope of exactly these bytes or a PeerError, and a valid record or a RecordError."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.dht.records import RecordError, SignedRecord, signed_key
from kontinuum.dht.records.signed_record import signed_validator
from kontinuum.identity import KeyPair, network_id
from kontinuum.wire import decode_cbor, encode_cbor

ROWS = json.loads((Path(__file__).parents[1] / "vectors" / "signed_records.json").read_text())
SEEDS = [bytes.fromhex(row["encoded"]) for row in ROWS if row["encoded"]]
KEY_PAIR = KeyPair.from_seed(b"a" * 32)
NETWORK = network_id("main")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VALIDATE = signed_validator(NETWORK)


def fuzz(data: bytes) -> None:
    """One input as an envelope, as a key, and signed again, to reach what is behind the signature."""
    take(data)
    validated(data, SEEDS[0])
    try:
        fields = decode_cbor(data)
    except PeerError:
        return
    if isinstance(fields, dict):
        fields = {key: value for key, value in fields.items() if key not in (1, 2, 6)}
        signed = encode_cbor({**fields, 1: NETWORK, 2: b"n"})
        take(encode_cbor({**fields, 6: KEY_PAIR.sign("record", signed)}))


def take(data: bytes) -> None:
    """Decode, write back, and judge."""
    validated(signed_key(KEY_PAIR.peer_id, b"n").removeprefix(b"/signed/"), data)
    try:
        record = SignedRecord.decode(data)
    except PeerError:
        return
    assert record.encode() == data


def validated(name: bytes, data: bytes) -> None:
    """Judge one value under one name."""
    try:
        valid = VALIDATE(name, data, NOON)
    except RecordError:
        return
    assert valid.valid_from <= NOON < valid.expires_at


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable,
        [sys.executable, str(Path(__file__).with_name("run.py")), "signed_record", *sys.argv[1:]],
    )
