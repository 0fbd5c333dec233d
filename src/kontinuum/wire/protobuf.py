"""Reading and writing the fields of protobuf messages; what a field means, its schema's module knows.

Source:   https://protobuf.dev/programming-guides/encoding (wire types, varints, the order of fields).
Differs:  a varint has one encoding, the shortest. Groups, which nobody has used since version 2, are refused.
Bounds:   PROTOBUF_VARINT_BYTES_MAX, PROTOBUF_FIELD_MAX; PROTOBUF_FIELDS_MAX fields in a message, unless its
          schema says another number.
Trust:    input is hostile; whatever is no message is a MalformedError.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterator

from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import PROTOBUF_FIELD_MAX, PROTOBUF_FIELDS_MAX, PROTOBUF_VARINT_BYTES_MAX

VARINT, FIXED64, OCTETS, FIXED32 = 0, 1, 2, 5
"""Wire types: how long a field is. 3 and 4 were groups, and there are no others."""

_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

_TAG_MIN, _TAG_MAX = 1 << 3, PROTOBUF_FIELD_MAX << 3 | 7


def tag(field: int, wire_type: int) -> int:
    """The number that stands in front of a field."""
    return field << 3 | wire_type


def fields(  # noqa: C901, PLR0912  calls would double its time
    data: bytes, fields_max: int = PROTOBUF_FIELDS_MAX
) -> Iterator[tuple[int, bytes, int]]:
    """Each field of a message in turn: its tag; what it holds if it is OCTETS; its number if it is a VARINT.

    Of fixed-size fields, which no message of ours has, only the tag is told.

    Args:
        data: The message.
        fields_max: Fields that it may have.

    Raises:
        MalformedError: In the middle of the iteration: it is cut off, or against the rules above.
    """
    position, end = 0, len(data)
    try:
        for _ in range(fields_max):
            if position == end:
                return
            field = data[position]
            position += 1
            if field >= 0x80:
                field, position = _read_long_varint(data, position)
            if not _TAG_MIN <= field <= _TAG_MAX:
                raise MalformedError("a protobuf field without a number, or with one that is too large")
            wire_type = field & 7
            if wire_type == OCTETS:
                size = data[position]
                position += 1
                if size >= 0x80:
                    size, position = _read_long_varint(data, position)
                start, position = position, position + size
                if position > end:
                    raise MalformedError("a protobuf field is cut off")
                yield field, data[start:position], 0
            elif wire_type == VARINT:
                number = data[position]
                position += 1
                if number >= 0x80:
                    number, position = _read_long_varint(data, position)
                yield field, b"", number
            else:
                position += _fixed_bytes(wire_type)
                if position > end:
                    raise MalformedError("a protobuf field is cut off")
                yield field, b"", 0
        if position < end:
            raise MalformedError(f"a protobuf message of more than {fields_max} fields")
    except IndexError:
        raise MalformedError("a protobuf field is cut off") from None


def _read_long_varint(data: bytes, second: int) -> tuple[int, int]:
    """The number whose second byte stands at ``second``, and where the next thing stands.

    Raises:
        IndexError: ``data`` ends within it.
    """
    value, byte = data[second - 1] & 0x7F, data[second]
    if 0 < byte < 0x80:  # Most of them, since most lengths are below 16 KiB.
        return value | byte << 7, second + 1
    for index in range(1, PROTOBUF_VARINT_BYTES_MAX):
        byte = data[second - 1 + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            break
    else:
        raise MalformedError(f"a protobuf number of more than {PROTOBUF_VARINT_BYTES_MAX} bytes")
    if byte == 0:
        raise MalformedError("a protobuf number is not in its shortest form")
    if value >> 64:
        raise MalformedError("a protobuf number of more than 64 bits")
    return value, second + index


def _fixed_bytes(wire_type: int) -> int:
    try:
        return _FIXED_BYTES[wire_type]
    except KeyError:
        raise MalformedError(f"a protobuf field of wire type {wire_type}") from None


def write_number(out: bytearray, field: int, number: int) -> None:
    """Append a field of wire type VARINT: its tag and 0 to 2^64-1."""
    _write_varint(out, field)
    _write_varint(out, number)


def write_octets(out: bytearray, field: int, content: bytes | bytearray) -> None:
    """Append a field of wire type OCTETS: its tag, the content's length, the content."""
    _write_varint(out, field)
    _write_varint(out, len(content))
    out += content


def _write_varint(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
