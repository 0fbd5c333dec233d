"""The fields of protobuf messages."""

import pytest

from helpers.kad_messages import number, octets, uvarint
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import PROTOBUF_FIELD_MAX, PROTOBUF_FIELDS_MAX
from kontinuum.wire.protobuf import fields, tag, write_number, write_octets


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**32, 2**63, 2**64 - 1])
def test_numbers(value):
    """
    What is written is read, at every length of a varint.
    """
    out = bytearray()
    write_number(out, tag(1, 0), value)

    assert bytes(out) == number(1, value)
    assert list(fields(bytes(out))) == [(8, b"", value)]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 2**14 - 1, 2**14])
@pytest.mark.parametrize("field", [1, 15, 16, 2047, 2048, PROTOBUF_FIELD_MAX])
def test_octets(size, field):
    """
    Likewise for every length of a field and of its tag.
    """
    out = bytearray()
    write_octets(out, tag(field, 2), b"x" * size)

    assert bytes(out) == octets(field, b"x" * size)
    assert list(fields(bytes(out))) == [(tag(field, 2), b"x" * size, 0)]


def test_the_examples_of_the_specification():
    """
    protobuf.dev, "Encoding": 150 as field 1, and "testing" as field 2.
    """
    assert list(fields(bytes.fromhex("089601"))) == [(tag(1, 0), b"", 150)]
    assert list(fields(bytes.fromhex("120774657374696e67"))) == [(tag(2, 2), b"testing", 0)]


def test_a_message_has_so_many_fields():
    """
    One more is refused when it is reached, whatever it and those behind it are.
    """
    full = number(1, 0) * PROTOBUF_FIELDS_MAX
    assert len(list(fields(full))) == PROTOBUF_FIELDS_MAX

    reading = fields(full + b"\xff")
    for _ in range(PROTOBUF_FIELDS_MAX):
        next(reading)
    with pytest.raises(MalformedError, match="more than 512 fields"):
        next(reading)


def test_fields_of_fixed_size_are_read_past():
    """
    Only their tag is told.
    """
    data = uvarint(tag(3, 1)) + b"12345678" + uvarint(tag(4, 5)) + b"1234" + number(5, 6)

    assert list(fields(data)) == [(tag(3, 1), b"", 0), (tag(4, 5), b"", 0), (tag(5, 0), b"", 6)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("08", id="a number is missing"),
        pytest.param("0880", id="a number is cut off"),
        pytest.param("88", id="a tag is cut off"),
        pytest.param("12", id="a length is missing"),
        pytest.param("1280", id="a length is cut off"),
        pytest.param("120561", id="content is cut off"),
        pytest.param("12ffffffffffffffffff01", id="a length of 2^64-1"),
        pytest.param("0931323334353637", id="64 bits are cut off"),
        pytest.param("0d313233", id="32 bits are cut off"),
        pytest.param("088000", id="a number in two bytes that fits into one"),
        pytest.param("08ff8000", id="a number in three bytes that fits into one"),
        pytest.param("880001", id="a tag in two bytes that fits into one"),
        pytest.param("12810061", id="a length in two bytes that fits into one"),
        pytest.param("08ffffffffffffffffff02", id="a number of 65 bits"),
        pytest.param("08ffffffffffffffffffff01", id="a number of eleven bytes"),
        pytest.param("0001", id="field 0"),
        pytest.param("0200", id="field 0 with octets"),
        pytest.param("808080801001", id="a field number of 30 bits"),
        pytest.param("0b0c", id="a group"),
        pytest.param("0c", id="the end of a group"),
        pytest.param("0e01", id="wire type 6"),
        pytest.param("0f01", id="wire type 7"),
    ],
)
def test_what_is_no_message_is_refused(data):
    """
    Cut off, in a second spelling, too large, of a kind that is out of use or does not exist.
    """
    with pytest.raises(MalformedError):
        list(fields(bytes.fromhex(data)))
