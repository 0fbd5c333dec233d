"""Deterministic CBOR: one value has exactly one encoding, and every other one is refused.

Source:   RFC 8949, sections 3 (encoding), 4.2.1 (core deterministic encoding), 4.2.2 (floats) and 5.6.
Subset:   integers of 64 bits, byte strings, text, arrays, maps (keys: integers, byte strings, text), false,
          true, null; floats only where a format asks for them. No tags, no undefined, no other simple values.
Why ours: cbor2 sorts keys by the older rule of RFC 7049, executes tags, and accepts second spellings;
          checking around it costs more than decoding strictly at once (docs/adr/0020-own-cbor.md). The tests
          compare the two.
Bounds:   ``bytes_max`` (default CBOR_BYTES_MAX), ``items_max`` (CBOR_ITEMS_MAX), CBOR_DEPTH_MAX. A claimed
          length is compared with the bytes that are there before anything is allocated.
Trust:    input is hostile. Any bytes give a value or a MalformedError, in time linear in their length.
Pure:     no I/O, clock or randomness.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

from kontinuum.base.errors import MisuseError
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import CBOR_BYTES_MAX, CBOR_DEPTH_MAX, CBOR_ITEMS_MAX

CborKey: TypeAlias = int | bytes | str
CborValue: TypeAlias = (
    int | bytes | str | bool | float | Sequence["CborValue"] | Mapping[CborKey, "CborValue"] | None
)

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
"""Major types, RFC 8949, section 3.1."""

_FALSE, _TRUE, _NULL = 20, 21, 22
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
"""Additional information of half, single and double floats, and how ``struct`` writes them."""

_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of the argument that follow the first one, by additional information."""

_ARGUMENT_MIN = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
"""Below these numbers a shorter form exists."""

_CANONICAL_NAN = bytes.fromhex("f97e00")


def encode(value: CborValue, *, floats: bool = False) -> bytes:
    """The only encoding of ``value``.

    Raises:
        MisuseError: It holds a type or number outside the subset, or is nested too deeply.
    """
    out = bytearray()
    _write(out, value, floats=floats, depth=0)
    return bytes(out)


def decode(
    data: bytes, *, bytes_max: int = CBOR_BYTES_MAX, items_max: int = CBOR_ITEMS_MAX, floats: bool = False
) -> CborValue:
    """Read exactly one value, the whole of ``data``. Arrays become lists and maps become dicts.

    Raises:
        MalformedError: Anything else than the deterministic encoding of one value within the bounds.
    """
    if len(data) > bytes_max:
        raise MalformedError(f"CBOR of {len(data)} bytes, where {bytes_max} are the most")
    reader = _Reader(bytes(data), items_max=items_max, floats=floats)
    value = reader.read(0)
    if reader.offset != len(data):
        raise MalformedError("CBOR with something behind its end")
    return value


def _head(major: int, argument: int) -> bytes:
    """First byte and argument in their shortest form, RFC 8949, section 3."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for information, size in _ARGUMENT_BYTES.items():
        if argument < 1 << (8 * size):
            return bytes((major << 5 | information,)) + argument.to_bytes(size, "big")
    raise MisuseError("CBOR integers have 64 bits")


def _write(out: bytearray, value: CborValue, *, floats: bool, depth: int) -> None:
    # bool before int, for every bool is an int; str before Sequence, for every str is one.
    if value is None or isinstance(value, bool):
        out += _head(_SIMPLE, _NULL if value is None else _TRUE if value else _FALSE)
    elif isinstance(value, int):
        out += _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        out += _head(_BYTES, len(value))
        out += value
    elif isinstance(value, str):
        text = _utf8(value)
        out += _head(_TEXT, len(text))
        out += text
    elif isinstance(value, float):
        if not floats:
            raise MisuseError("this format has no floats")
        out += _float(value)
    elif isinstance(value, Mapping | Sequence):
        _write_container(out, value, floats=floats, depth=depth)
    else:
        raise MisuseError(f"{type(value).__name__} has no place in CBOR")


def _write_container(
    out: bytearray, value: Sequence[CborValue] | Mapping[CborKey, CborValue], *, floats: bool, depth: int
) -> None:
    if depth >= CBOR_DEPTH_MAX:
        raise MisuseError(f"more than {CBOR_DEPTH_MAX} containers inside each other")
    if isinstance(value, Mapping):
        out += _head(_MAP, len(value))
        entries = ((_key(key), entry) for key, entry in value.items())
        for key, entry in sorted(entries, key=itemgetter(0)):
            out += key
            _write(out, entry, floats=floats, depth=depth + 1)
    else:
        out += _head(_ARRAY, len(value))
        for entry in value:
            _write(out, entry, floats=floats, depth=depth + 1)


def _key(key: CborKey) -> bytes:
    if isinstance(key, bool) or not isinstance(key, int | bytes | str):
        raise MisuseError(f"{type(key).__name__} is no key of a CBOR map")
    out = bytearray()
    _write(out, key, floats=False, depth=0)
    return bytes(out)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MisuseError("text with half a surrogate pair has no UTF-8 form") from None


def _float(value: float) -> bytes:
    """The shortest float that keeps the value, RFC 8949, section 4.2.2."""
    if math.isnan(value):
        return _CANONICAL_NAN
    for information, form in _FLOATS.items():
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return bytes((_SIMPLE << 5 | information,)) + packed
    raise AssertionError("a double holds every Python float")


class _Reader:
    """Reads values from ``data``, counting what it read."""

    __slots__ = ("_data", "_floats", "_items_left", "offset")

    def __init__(self, data: bytes, *, items_max: int, floats: bool) -> None:
        self._data = data
        self._floats = floats
        self._items_left = items_max
        self.offset = 0

    def read(self, depth: int) -> CborValue:
        """Read the value at ``offset`` and move behind it."""
        self._items_left -= 1
        if self._items_left < 0:
            raise MalformedError("CBOR with too many items")
        start = self.offset
        major, information, argument = self._read_head()
        if major in (_ARRAY, _MAP):
            return self._container(major, argument, depth)
        if major == _UNSIGNED:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major == _BYTES:
            return self._take(argument)
        if major == _TEXT:
            return self._text(argument)
        return self._simple(major, information, start)

    def _read_head(self) -> tuple[int, int, int]:
        """Major type, additional information and argument, which must be in its shortest form."""
        first = self._take(1)[0]
        major, information = first >> 5, first & 0x1F
        if information < 24:
            return major, information, information
        size = _ARGUMENT_BYTES.get(information)
        if size is None:
            raise MalformedError("CBOR of indefinite length, or with a reserved first byte")
        argument = int.from_bytes(self._take(size), "big")
        if major != _SIMPLE and argument < _ARGUMENT_MIN[information]:
            raise MalformedError("CBOR that is not in its shortest form")
        return major, information, argument

    def _take(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self._data):
            raise MalformedError("CBOR that is cut off")
        taken = self._data[self.offset : end]
        self.offset = end
        return taken

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise MalformedError("CBOR text that is not UTF-8") from None

    def _simple(self, major: int, information: int, start: int) -> CborValue:
        if major == _TAG:
            raise MalformedError("CBOR with a tag")
        if information == _NULL:
            return None
        if information in (_FALSE, _TRUE):
            return information == _TRUE
        form = _FLOATS.get(information)
        if form is None:
            raise MalformedError("CBOR with an unknown simple value")
        if not self._floats:
            raise MalformedError("CBOR with a float where none belongs")
        encoded = self._data[start : self.offset]
        value: float = struct.unpack(form, encoded[1:])[0]
        if _float(value) != encoded:
            raise MalformedError("a CBOR float that is not in its shortest form")
        return value

    def _container(self, major: int, count: int, depth: int) -> CborValue:
        if depth >= CBOR_DEPTH_MAX:
            raise MalformedError(f"CBOR with more than {CBOR_DEPTH_MAX} containers inside each other")
        # Each entry takes a byte at least: a huge claim is refused before anything is made for it.
        if count * (2 if major == _MAP else 1) > len(self._data) - self.offset:
            raise MalformedError("CBOR that is cut off")
        if major == _ARRAY:
            return [self.read(depth + 1) for _ in range(count)]
        return self._map(count, depth)

    def _map(self, count: int, depth: int) -> dict[CborKey, CborValue]:
        entries: dict[CborKey, CborValue] = {}
        last = b""
        for _ in range(count):
            start = self.offset
            key = self.read(depth + 1)
            if isinstance(key, bool) or not isinstance(key, int | bytes | str):
                raise MalformedError("a CBOR map with a key that is no integer, byte string or text")
            encoded = self._data[start : self.offset]
            # Strictly rising encodings: this refuses repeated keys as well as a second order.
            if encoded <= last:
                raise MalformedError("a CBOR map with a repeated or misplaced key")
            last = encoded
            entries[key] = self.read(depth + 1)
        return entries
