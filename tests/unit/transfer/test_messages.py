"""The bytes of ``kontinuum/file/1``."""

import pytest

from kontinuum.transfer.errors import TransferProtocolError
from kontinuum.transfer.messages import (
    CHUNK_BYTES_MAX,
    FILE_BYTES_MAX,
    FILES_MAX,
    MESSAGE_BYTES_MAX,
    Abort,
    Answer,
    Answers,
    Begin,
    Chunk,
    Code,
    End,
    FileOffer,
    Offer,
    Unknown,
    Verdict,
    decode,
    encode,
    parse_length,
)
from kontinuum.transfer.names import NAME_BYTES_MAX
from kontinuum.wire import cbor

MESSAGES = [
    Offer((FileOffer("a", 0), FileOffer("ü.txt", FILE_BYTES_MAX))),
    Answers((Answer(Code.STORED), Answer(Code.STORED, 7, b"x" * 32), Answer(Code.EXISTS))),
    Begin(255, FILE_BYTES_MAX),
    Chunk(CHUNK_BYTES_MAX),
    End(b"d" * 32),
    Abort(0, Code.SOURCE_CHANGED),
    Verdict(255, Code.STORED),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_its_bytes(message):
    """
    Decoding what was encoded gives the same message, and the length in front is right.
    """
    frame = encode(message)
    assert parse_length(frame[:4]) == len(frame) - 4
    assert decode(frame[4:]) == message


def test_golden_bytes():
    """
    The wire does not change by accident.
    """
    assert encode(Offer((FileOffer("a", 300),))).hex() == "0000000b" + "a200010181826161" + "19012c"
    assert encode(Chunk(65536)).hex() == "00000009" + "a20004011a00010000"


def test_a_full_offer_fits_into_one_message():
    """
    The largest offer with the longest names and sizes is within the message limit.
    """
    offer = Offer(tuple(FileOffer("n" * NAME_BYTES_MAX, FILE_BYTES_MAX) for _ in range(FILES_MAX)))
    frame = encode(offer)
    assert len(frame) - 4 <= MESSAGE_BYTES_MAX
    assert decode(frame[4:]) == offer


@pytest.mark.parametrize("length", [0, MESSAGE_BYTES_MAX + 1, 2**32 - 1])
def test_a_message_of_impossible_length_is_refused_before_it_is_read(length):
    """
    A length of nothing or beyond the limit ends the session at once.
    """
    with pytest.raises(TransferProtocolError):
        parse_length(length.to_bytes(4, "big"))


def test_unknown_kinds_are_named_and_unknown_keys_ignored():
    """
    A newer peer's message does not break us.
    """
    assert decode(cbor.encode({0: 99, 7: "x"})) == Unknown(99)
    assert decode(cbor.encode({0: 4, 1: 5, 9: [1, 2]})) == Chunk(5)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {0: "1"},
        {0: -1},
        {0: 2**16 + 1},
        {0: True},
        {0: 1},
        {0: 1, 1: []},
        {0: 1, 1: [["a"]]},
        {0: 1, 1: [[b"a", 1]]},
        {0: 1, 1: [["a", -1]]},
        {0: 1, 1: [["a", FILE_BYTES_MAX + 1]]},
        {0: 1, 1: [["a" * 4 * (NAME_BYTES_MAX + 1), 1]]},
        {0: 1, 1: [["a", True]]},
        {0: 1, 1: [["a", 1]] * 257},
        {0: 2, 1: [[0, 5, b""]]},
        {0: 2, 1: [[0, 5, b"x" * 31]]},
        {0: 2, 1: [[0, 0, None]]},
        {0: 2, 1: [[0, 0]]},
        {0: 3, 1: 256, 2: 0},
        {0: 3, 1: 0, 2: FILE_BYTES_MAX + 1},
        {0: 3, 1: 0},
        {0: 4, 1: 0},
        {0: 4},
        {0: 4, 1: CHUNK_BYTES_MAX + 1},
        {0: 5, 1: b"x" * 33},
        {0: 6, 1: 0},
        {0: 7, 1: 0, 2: 65536},
    ],
)
def test_wrong_fields_are_refused(value):
    """
    A field that is missing, of the wrong type, too long or out of range is an error of the peer.
    """
    with pytest.raises(TransferProtocolError):
        decode(cbor.encode(value))


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xbf\xff", b"\xa2\x00\x01\x00\x01", b"\x81" * 10**5, b"\xa1\x00\x18\x01"]
)
def test_bytes_that_are_not_canonical_are_refused(data):
    """
    Neither broken CBOR nor a second spelling of a message is taken.
    """
    with pytest.raises(TransferProtocolError):
        decode(data)
