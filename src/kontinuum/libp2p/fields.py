"""Reading the small protobuf messages of libp2p by a table of their fields.

Source:   https://protobuf.dev/programming-guides/encoding.
Differs:  a field that may be there once is refused when it is there twice, where protobuf takes the last one.
Bounds:   each field's own; IDENTIFY_UNKNOWN_FIELDS_MAX fields that the table does not have.
Trust:    input is hostile: any bytes give the fields or a MalformedError.
Pure:     no I/O, clock or randomness.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from kontinuum.wire import protobuf
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import IDENTIFY_UNKNOWN_FIELDS_MAX
from kontinuum.wire.protobuf import OCTETS, VARINT, tag, write_number, write_octets

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Octets:
    """A field of bytes."""

    bytes_max: int
    """Bytes of one."""
    times_max: int = 1
    """How often it may be there."""


@dataclass(frozen=True, slots=True)
class Found:
    """The fields of one message, by their numbers, in the order in which they stood."""

    octets: dict[int, list[bytes]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    def one(self, number: int) -> bytes | None:
        """A field that may be there once."""
        found = self.octets.get(number)
        return found[0] if found else None

    def many(self, number: int) -> tuple[bytes, ...]:
        """A repeated field."""
        return tuple(self.octets.get(number, ()))


@dataclass(frozen=True, slots=True)
class Schema:
    """Which fields a message has.

    Args:
        what: The message's name, for errors.
        octets: Its fields of bytes, by number.
        numbers: Its fields that are numbers; each may be there once.
    """

    what: str
    octets: dict[int, Octets]
    numbers: tuple[int, ...] = ()

    def read(self, data: bytes) -> Found:
        """The fields of one message, the whole of ``data``.

        Raises:
            MalformedError: It is no message, or beyond a bound.
        """
        found, unknown = Found(), 0
        for known_as, content, value in protobuf.fields(data):
            number, wire_type = known_as >> 3, known_as & 7
            if number in self.octets:
                self._keep_octets(found, number, self._of_type(wire_type, OCTETS, content))
            elif number in self.numbers:
                self._keep_number(found, number, self._of_type(wire_type, VARINT, value))
            elif (unknown := unknown + 1) > IDENTIFY_UNKNOWN_FIELDS_MAX:
                raise MalformedError(f"{self.what} with more than {unknown - 1} unknown fields")
        return found

    def _of_type(self, wire_type: int, wanted: int, value: _Value) -> _Value:
        if wire_type != wanted:
            raise MalformedError(f"{self.what} has a field of another wire type than it should")
        return value

    def _keep_octets(self, found: Found, number: int, content: bytes) -> None:
        bound, known = self.octets[number], found.octets.setdefault(number, [])
        if len(content) > bound.bytes_max:
            raise MalformedError(f"{self.what} has {len(content)} bytes where {bound.bytes_max} are the most")
        if len(known) == bound.times_max:
            raise MalformedError(f"{self.what} has a field more than {bound.times_max} times")
        known.append(content)

    def _keep_number(self, found: Found, number: int, value: int) -> None:
        if number in found.numbers:
            raise MalformedError(f"{self.what} has a field twice that may be there once")
        found.numbers[number] = value


def octets(number: int, content: bytes) -> bytes:
    """A field of bytes as it stands on the wire."""
    out = bytearray()
    write_octets(out, tag(number, OCTETS), content)
    return bytes(out)


def whole_number(field_number: int, value: int) -> bytes:
    """A field of a number as it stands on the wire."""
    out = bytearray()
    write_number(out, tag(field_number, VARINT), value)
    return bytes(out)
