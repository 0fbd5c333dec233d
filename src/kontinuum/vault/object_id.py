"""The name of a sealed object: the BLAKE3-256 hash of its file, as it is encrypted.

So whoever holds a copy can check it without a key, the id tells nothing about the content, and it is the key
under which the DHT and file transfers know the same bytes. Two seals of one content are two objects.

Trust:    ids from outside are bytes of the right length; what they name is checked when it is read.
Pure:     no I/O, clock or randomness.
"""

import re
from typing import Self

from kontinuum.vault.errors import BadObjectIdError

OBJECT_ID_BYTES = 32
"""Bytes of an object's id: BLAKE3-256."""

PREFIX_CHARS_MIN = 6
"""Hexadecimal characters that name an object by the beginning of its id, at least. Our choice."""

_PREFIX = re.compile(rf"[0-9a-f]{{{PREFIX_CHARS_MIN},{2 * OBJECT_ID_BYTES}}}", re.ASCII)


class ObjectId(bytes):
    """A checked id; a ``bytes`` in every respect, its ``str()`` is the hexadecimal form.

    Args:
        data: 32 bytes.

    Raises:
        BadObjectIdError: They are not 32.
    """

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Check ``data`` and keep it."""
        if len(data) != OBJECT_ID_BYTES:
            raise BadObjectIdError(f"an object id has {OBJECT_ID_BYTES} bytes, not {len(data)}")
        return super().__new__(cls, data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the hexadecimal form.

        Raises:
            BadObjectIdError: It is none.
        """
        if len(text) != 2 * OBJECT_ID_BYTES or _PREFIX.fullmatch(text) is None:
            raise BadObjectIdError(f"an object id is {2 * OBJECT_ID_BYTES} characters of 0-9 a-f")
        return cls(bytes.fromhex(text))

    @property
    def short(self) -> str:
        """The first twelve characters, for tables; it names the object if no other id begins so."""
        return self[:6].hex()

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"ObjectId({self.short}…)"


def is_prefix(text: str) -> bool:
    """Whether ``text`` could be the beginning of an id, or all of it."""
    return _PREFIX.fullmatch(text) is not None
