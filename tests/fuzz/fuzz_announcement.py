"""Any TXT record is nothing, an authentic contact, or a PeerError; however its text is cut into strings."""

import json
from pathlib import Path

from zeroconf import ServiceInfo

from kontinuum.base import PeerError
from kontinuum.identity import Contact, network_id
from kontinuum.node.discovery import (
    CHUNK_CHARS,
    CHUNKS_MAX,
    NETWORK_CHARS,
    SERVICE_TYPE,
    decode_txt,
    encode_txt,
)

NETWORK = network_id("main")
OURS = NETWORK.hex()[:NETWORK_CHARS]
GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "contacts.json").read_text())


def strings(record: dict[str, str]) -> bytes:
    """The bytes of a TXT record. RFC 1035, section 3.3.14; RFC 6763, section 6.1."""
    entries = [f"{key}={value}".encode() for key, value in record.items()]
    return b"".join(bytes([len(entry)]) + entry for entry in entries)


TEXTS = [row["text"] for row in GOLDEN if len(row["text"]) <= CHUNKS_MAX * CHUNK_CHARS]
SEEDS = [strings({**encode_txt(Contact.from_text(text)), "n": OURS}) for text in TEXTS]
SEEDS += [text.encode() for text in TEXTS]


def fuzz(data: bytes) -> None:
    """One input: as the record that came with a packet, and as the contact's text in chunks of any length."""
    contact = take(ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", properties=data).properties)
    if contact is not None and len(contact.to_text()) <= CHUNKS_MAX * CHUNK_CHARS:
        again = {key.encode(): value.encode() for key, value in encode_txt(contact).items()}
        assert decode_txt({**again, b"n": OURS.encode()}, NETWORK) == contact

    if 0 < len(data) <= CHUNKS_MAX * CHUNK_CHARS:
        whole, halves = cut(data, CHUNK_CHARS), cut(data, -(-len(data) // CHUNKS_MAX))
        assert take(whole) == take(halves) == from_text(data)


def take(record: dict[bytes, bytes | None]) -> Contact | None:
    """Read one record."""
    try:
        return decode_txt(record, NETWORK)
    except PeerError:
        return None


def cut(text: bytes, length: int) -> dict[bytes, bytes]:
    """A record of our network with this text in it, in pieces of one length."""
    pieces = [text[start : start + length] for start in range(0, len(text), length)]
    return {
        b"n": OURS.encode(),
        **{f"c{number}".encode(): each for number, each in enumerate(pieces)},
    }


def from_text(text: bytes) -> Contact | None:
    """What the text is when nobody cuts it."""
    try:
        return Contact.from_text(text.decode("ascii"))
    except (PeerError, UnicodeDecodeError):
        return None
