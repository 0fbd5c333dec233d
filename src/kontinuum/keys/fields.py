"""Reading the fields of a CBOR map that a stranger wrote: each of one type and within its bounds.

Trust:    the map is hostile. What is returned obeys the bounds that were asked for.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    STATEMENT_EXTENSION_BYTES_MAX,
    STATEMENT_EXTENSIONS_MAX,
    STATEMENT_ISSUED_AT_MAX,
)

if TYPE_CHECKING:
    from kontinuum.wire.cbor import CborValue

EXTENSION_KEY_MIN = 32
"""Smallest key of a field that a newer program may add and an older one keeps. Unknown below: refused by
name.
"""

EXTENSION_KEY_MAX = 255
"""Largest key of such a field. Larger: refused by name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Fields:
    """The fields of one map; every method raises MalformedError unless the field is what it is asked for.

    Args:
        value: What the decoder gave, untrusted.
        what: What the map is, for error messages: ``a statement``.
    """

    def __init__(self, value: CborValue, what: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{what} is a CBOR map")
        fields: dict[int, CborValue] = {}
        for key, content in value.items():
            if not isinstance(key, int):
                raise MalformedError(f"the fields of {what} have numbers, not names")
            fields[key] = content
        self._fields = fields
        self._what = what

    def __contains__(self, key: int) -> bool:
        return key in self._fields

    def value(self, key: int) -> CborValue:
        """The field as the decoder gave it."""
        try:
            return self._fields[key]
        except KeyError:
            raise MalformedError(f"{self._what} lacks field {key}") from None

    def integer(self, key: int, maximum: int) -> int:
        """A number from 0 to ``maximum``."""
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise MalformedError(f"field {key} of {self._what} is no number from 0 to {maximum}")
        return value

    def octets(self, key: int, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        return self._octets(key, self.value(key), length)

    def text(self, key: int, bytes_max: int) -> str:
        """Text of at most ``bytes_max`` bytes in UTF-8."""
        value = self.value(key)
        if not isinstance(value, str) or len(value.encode()) > bytes_max:
            raise MalformedError(f"field {key} of {self._what} is no text of at most {bytes_max} bytes")
        return value

    def hashes(self, key: int, items_max: int, length: int) -> tuple[bytes, ...]:
        """At most ``items_max`` different byte strings of ``length`` bytes, in rising order."""
        value = self.value(key)
        if not isinstance(value, list) or len(value) > items_max:
            raise MalformedError(f"field {key} of {self._what} is no list of at most {items_max}")
        items = tuple(self._octets(key, item, length) for item in value)
        if list(items) != sorted(set(items)):
            raise MalformedError(f"field {key} of {self._what} is not sorted, or names something twice")
        return items

    def moment(self, key: int) -> datetime:
        """A time in whole Unix seconds."""
        return datetime.fromtimestamp(self.integer(key, STATEMENT_ISSUED_AT_MAX), UTC)

    def only(self, *keys: int) -> None:
        """Refuse any other field, by number."""
        for key in self._fields:
            if key not in keys:
                raise MalformedError(f"{self._what} has no field {key}")

    def extensions(self, *keys: int) -> tuple[tuple[int, bytes], ...]:
        """The fields besides ``keys``: a few byte strings of newer programs, kept as they are."""
        extensions: list[tuple[int, bytes]] = []
        for key, content in self._fields.items():
            if key in keys:
                continue
            if not EXTENSION_KEY_MIN <= key <= EXTENSION_KEY_MAX:
                raise MalformedError(f"{self._what} has no field {key}")
            if not isinstance(content, bytes) or len(content) > STATEMENT_EXTENSION_BYTES_MAX:
                raise MalformedError(f"extension {key} of {self._what} is no short byte string")
            extensions.append((key, content))
        if len(extensions) > STATEMENT_EXTENSIONS_MAX:
            raise MalformedError(f"{self._what} has at most {STATEMENT_EXTENSIONS_MAX} extensions")
        return tuple(extensions)

    def _octets(self, key: int, value: CborValue, length: int) -> bytes:
        if not isinstance(value, bytes) or len(value) != length:
            raise MalformedError(f"field {key} of {self._what} has {length} bytes")
        return value


def unix_seconds(moment: datetime) -> int:
    """The whole seconds of ``moment``, which is aware, since 1970."""
    return (moment - _EPOCH) // timedelta(seconds=1)
