"""The published test vectors of the age format: each opens, or fails as it must, and releases what it may."""

import base64
import hashlib
import json
import zlib
from pathlib import Path

import pytest

from kontinuum.keys.envelope import (
    ArmorError,
    EnvelopeError,
    HeaderError,
    HeaderMacError,
    NoMatchingKeyError,
    Passphrase,
    PayloadError,
    decode_armor,
    encode_armor,
    open_age,
    parse_key,
)
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.header import encode_head, encode_header, parse_header
from kontinuum.keys.envelope.stream import Stream

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "age_testkit.json").read_text())
ERRORS = {
    "no match": NoMatchingKeyError,
    "HMAC failure": HeaderMacError,
    "header failure": HeaderError,
    "payload failure": PayloadError,
    "armor failure": ArmorError,
}


def content(row):
    """The file of a vector."""
    data = base64.b64decode(row["file"])
    return zlib.decompress(data) if row["zlib"] else data


def keys(row):
    """The keys of a vector."""
    return [*map(parse_key, row["identities"]), *map(Passphrase, row["passphrases"])]


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["name"])
@pytest.mark.parametrize("piece", [1 << 30, 1000])
def test_a_vector_opens_or_fails_as_it_must(row, piece):
    """
    Success and each kind of failure are told apart, and what was released before a failure is what may be.
    """
    released, outcome = hashlib.sha256(), "success"
    try:
        data = decode_armor(content(row)) if row["armored"] else content(row)
        for part in open_age(keys(row), [data[at : at + piece] for at in range(0, len(data), piece)]):
            released.update(part)
    except EnvelopeError as error:
        outcome = next(name for name, kind in ERRORS.items() if isinstance(error, kind))

    assert outcome == row["expect"], row.get("comment")
    assert row["payload_sha256"] in (None, released.hexdigest())


@pytest.mark.parametrize(
    "row",
    [row for row in VECTORS if row["expect"] not in ("header failure", "armor failure")],
    ids=lambda row: row["name"],
)
def test_a_header_that_can_be_read_is_written_again_byte_for_byte(row):
    """
    A stanza has one form; the authenticator is made again from the data key, where it is the right one.
    """
    data = decode_armor(content(row)) if row["armored"] else content(row)
    header, payload = parse_header(data)

    head = encode_head(header.stanzas)
    assert data == header.raw + payload
    assert header.authenticated == head + b"---"
    if row["expect"] != "HMAC failure" and row["file_key"]:
        assert encode_header(head, FileKey(bytes.fromhex(row["file_key"]))) == header.raw


@pytest.mark.parametrize(
    "row",
    [row for row in VECTORS if row["expect"] == "success" and row["name"].startswith("stream")],
    ids=lambda row: row["name"],
)
def test_a_payload_is_sealed_again_byte_for_byte(row):
    """
    The same data key, nonce and content give the vector's payload.
    """
    data = content(row)
    _, payload = parse_header(data)
    plaintext = b"".join(open_age(keys(row), [data]))
    stream = Stream(FileKey(bytes.fromhex(row["file_key"])).payload_key(payload[:16]))

    assert b"".join(stream.seal_run(memoryview(plaintext), final=True)) == payload[16:]


@pytest.mark.parametrize(
    "row",
    [row for row in VECTORS if row["armored"] and row["expect"] == "success"],
    ids=lambda row: row["name"],
)
def test_armor_is_written_again_up_to_white_space(row):
    """
    The text form has one spelling but for line ends and what surrounds it.
    """
    text = content(row)

    assert encode_armor(decode_armor(text)) == text.replace(b"\r\n", b"\n").strip() + b"\n"


def test_all_vectors_are_there():
    """
    None of the published vectors is left out, and every kind of failure is among them.
    """
    assert len(VECTORS) == 147
    assert {row["expect"] for row in VECTORS} == {"success", *ERRORS}
