"""Golden envelopes: made again byte for byte, and read by a second program that shares no code with ours."""

import hashlib
import json
from pathlib import Path

import pytest

from helpers import envelope_reader
from helpers.envelopes import CountedEntropy
from kontinuum.identity import KeyPair
from kontinuum.keys.envelope import (
    Context,
    Reader,
    Role,
    open_bytes,
    open_stream,
    parse_key,
    parse_recipient,
    seal_bytes,
    seal_stream,
)

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "envelopes.json").read_text())
ROLES = {"self": 0, "peer": 1, "ancestor": 2}


def plaintext(row):
    """The content: some bytes, repeated and cut."""
    part, size = row["plaintext_repeat"]
    return (bytes.fromhex(part) * (size // 8 + 1))[:size]


def seal(row):
    """The envelope, made again: its chance is counted."""
    readers = [Reader(parse_recipient(text), Role[role.upper()]) for text, role in row["readers"]]
    arguments = {
        "signer": KeyPair.from_seed(bytes.fromhex(row["sender_seed"])),
        "context": Context(*row["context"]),
        "metadata": bytes.fromhex(row["metadata"]),
        "entropy": CountedEntropy(row["name"]),
    }
    if row["form"] == "object":
        return seal_bytes(readers, plaintext(row), **arguments)
    return b"".join(seal_stream(readers, [plaintext(row)], **arguments))


@pytest.fixture(params=VECTORS, ids=lambda row: row["name"])
def row(request):
    """One golden envelope."""
    return request.param


def test_a_golden_envelope_is_made_again(row):
    """
    Keys, chance and content give the same bytes as when the format was written down.
    """
    sealed = seal(row)

    assert len(sealed) == row["sealed_bytes"]
    assert hashlib.sha256(sealed).hexdigest() == row["sealed_sha256"]
    assert row["sealed"] in (None, sealed.hex())


def test_a_golden_envelope_is_opened(row):
    """
    By each reader.
    """
    sealed, context = seal(row), Context(*row["context"])
    for key in map(parse_key, row["keys"]):
        if row["form"] == "object":
            opened = open_bytes([key], sealed, context=context).plaintext
        else:
            opened = b"".join(open_stream([key], [sealed], context=context))
        assert opened == plaintext(row)


def test_a_second_program_reads_a_golden_envelope(row):
    """
    Written from the page about the format; it finds the same claim, verifies it, and finds the same content.
    """
    sender = KeyPair.from_seed(bytes.fromhex(row["sender_seed"])).peer_id
    for key in row["keys"]:
        claim, content = envelope_reader.read(seal(row), envelope_reader.secret_of(key))

        assert content == plaintext(row)
        assert claim[0] == (0 if row["form"] == "object" else 1)
        assert claim[1] == sender
        assert claim[2] == [
            [0, parse_recipient(text).public_key, ROLES[role]] for text, role in row["readers"]
        ]
        assert claim[3] == row["context"]
        assert claim[4] == bytes.fromhex(row["metadata"])
