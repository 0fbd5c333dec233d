import pytest

from kontinuum.base import MisuseError
from kontinuum.wire import MalformedError, decode_uvarint, encode_uvarint
from kontinuum.wire.limits import VARINT_BYTES_MAX, VARINT_MAX


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16384, "808001"), (0, "00")],
)
def test_the_examples_of_the_specification(value, encoded):
    """
    The table in multiformats/unsigned-varint, README.
    """
    assert encode_uvarint(value).hex() == encoded
    assert decode_uvarint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


def test_the_largest_number_and_beyond():
    """
    Nine bytes hold 2^63-1; one more is refused in both directions.
    """
    assert len(encode_uvarint(VARINT_MAX)) == VARINT_BYTES_MAX
    assert decode_uvarint(encode_uvarint(VARINT_MAX)) == (VARINT_MAX, VARINT_BYTES_MAX)
    for value in (VARINT_MAX + 1, -1):
        with pytest.raises(MisuseError):
            encode_uvarint(value)
    with pytest.raises(MalformedError, match="longer than nine"):
        decode_uvarint(b"\x80" * 9 + b"\x01")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 8])
def test_a_varint_that_is_cut_off_is_refused(data):
    """
    The last byte must say that it is the last.
    """
    with pytest.raises(MalformedError, match="cut off"):
        decode_uvarint(data)


@pytest.mark.parametrize("data", [b"\x80\x00", b"\x81\x00", b"\xff\x80\x00"])
def test_a_longer_spelling_is_refused(data):
    """
    One number has one encoding.
    """
    with pytest.raises(MalformedError, match="shortest"):
        decode_uvarint(data)


def test_reading_begins_at_the_offset():
    """
    The rest is left alone.
    """
    assert decode_uvarint(b"\xff\x05\xff", 1) == (5, 2)
