"""Any bytes and any text are an authentic contact with exactly that form, or a PeerError; nothing else."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.identity import Contact, KeyPair, network_id
from kontinuum.wire import decode_cbor, encode_cbor

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "contacts.json").read_text())
SEEDS = [bytes.fromhex(row["encoded"]) for row in GOLDEN] + [row["text"].encode() for row in GOLDEN]
KEY_PAIR = KeyPair.from_seed(b"a" * 32)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def fuzz(data: bytes) -> None:
    """One input, as bytes, as text, and signed again, so that the checks behind the signature are reached."""
    take(Contact.decode, data, Contact.encode)
    take(Contact.from_text, data.decode(errors="replace"), Contact.to_text)
    try:
        fields = decode_cbor(data)
    except PeerError:
        return
    if isinstance(fields, dict):
        fields = {**fields, 1: bytes(KEY_PAIR.peer_id)}
        fields.pop(8, None)
        fields[8] = KEY_PAIR.sign("contact", encode_cbor(fields))
        take(Contact.decode, encode_cbor(fields), Contact.encode)


def take(read, given, write) -> None:
    """Read, write back, and check what only the time and the network decide."""
    try:
        contact = read(given)
    except PeerError:
        return
    assert write(contact) == (given.strip() if isinstance(given, str) else given)
    try:
        contact.verify(NOON, network_id("main"), 20)
    except PeerError:
        return


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable, [sys.executable, str(Path(__file__).with_name("run.py")), "contact", *sys.argv[1:]]
    )
