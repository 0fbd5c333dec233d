"""Any reply that names contacts gives authentic contacts, at most 32, or a PeerError."""

import json
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.node.introductions import CONTACTS_PER_REPLY_MAX, decode_contacts, encode_contacts
from kontinuum.wire import encode_cbor

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "contacts.json").read_text())
CONTACTS = [bytes.fromhex(row["encoded"]) for row in GOLDEN]
SEEDS = [encode_cbor(CONTACTS), encode_cbor([]), encode_cbor(CONTACTS[:1] * 33)]


def fuzz(data: bytes) -> None:
    """One input as it is, and as the one contact of a reply."""
    for reply in (data, encode_cbor([data])):
        try:
            contacts = decode_contacts(reply)
        except PeerError:
            continue
        assert len(contacts) <= CONTACTS_PER_REPLY_MAX
        assert decode_contacts(encode_contacts(contacts)) == contacts
