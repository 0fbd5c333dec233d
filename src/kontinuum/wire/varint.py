"""Unsigned varints of multiformats: seven bits per byte, lowest first.

Source:   https://github.com/multiformats/unsigned-varint (nine bytes at most, minimal form only).
Bounds:   VARINT_BYTES_MAX bytes are looked at.
Trust:    input is hostile; longer and non-minimal forms are refused, so that one number has one encoding.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.base.errors import MisuseError
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import VARINT_BYTES_MAX, VARINT_MAX


def encode_uvarint(value: int) -> bytes:
    """The minimal encoding of ``value``, from 0 to VARINT_MAX."""
    if not 0 <= value <= VARINT_MAX:
        raise MisuseError(f"a varint holds 0 to 2^63-1, not {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_uvarint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Read one varint at ``offset``; return its value and the offset behind it.

    Raises:
        MalformedError: It is cut off, longer than nine bytes, or not minimal.
    """
    value = 0
    for index, byte in enumerate(data[offset : offset + VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise MalformedError("a varint is not in its shortest form")
            return value, offset + index + 1
    if len(data) - offset >= VARINT_BYTES_MAX:
        raise MalformedError("a varint is longer than nine bytes")
    raise MalformedError("a varint is cut off")
