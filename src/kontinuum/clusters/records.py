r"""Files of checked records, one behind the other: what a crash or a damaged disk leaves is still read.

::

    magic (16 bytes) | version (2) | records
    record: "\xffKCr" | length (4) | checksum (8) | body

Every record begins with a mark and names its length and checksum, so that a reader finds the next one behind
a damaged one. A file that ends in the middle of a record was cut off by a crash: that record was never
promised to anybody.

Source:   our own format, docs/protocols/cluster-files.md.
Bounds:   RECORD_BYTES_MAX for a record; the caller names the most bytes of a file.
Trust:    any bytes give a list of records and what was found wrong.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kontinuum._native import blake3_256
from kontinuum.base.errors import MisuseError

RECORD_BYTES_MAX = 2 * 1024 * 1024
"""Bytes of a record's body. Our choice: twice a full bundle. A longer one is damage; of ours, MisuseError."""

RECORDS_VERSION = 1
"""Version of the form of files. A newer one is refused by name."""

_MAGIC_BYTES = 16
_MARK = b"\xffKCr"
_CHECKSUM_BYTES = 8
_HEAD_BYTES = len(_MARK) + 4 + _CHECKSUM_BYTES


@dataclass(slots=True)
class Records:
    """What a file holds."""

    bodies: list[bytes] = field(default_factory=list)
    """The intact records, in order."""

    good_bytes: int = 0
    """Up to where the file is intact: there the next record belongs, if nothing is damaged."""

    torn: bool = False
    """It ends in the middle of a record, or of its beginning."""

    damaged: bool = False
    """Something before its end cannot be read."""

    newer: bool = False
    """It is of a version that we do not know; nothing of it was read."""


def magic_of(name: str) -> bytes:
    """How files of one kind begin: a name that people can read, padded to 16 bytes."""
    magic = f"kontinuum {name}\n".encode().ljust(_MAGIC_BYTES)
    if len(magic) != _MAGIC_BYTES:
        raise MisuseError("the name of a kind of file has at most 5 letters")
    return magic


def encode_head(magic: bytes) -> bytes:
    """The beginning of a new file."""
    return magic + RECORDS_VERSION.to_bytes(2, "big")


def encode_record(body: bytes) -> bytes:
    """One record.

    Raises:
        MisuseError: It is longer than RECORD_BYTES_MAX.
    """
    if len(body) > RECORD_BYTES_MAX:
        raise MisuseError(f"a record has at most {RECORD_BYTES_MAX} bytes")
    return _MARK + len(body).to_bytes(4, "big") + _checksum(body) + body


def parse_records(data: bytes, magic: bytes) -> Records:
    """The records of a file."""
    head = encode_head(magic)
    found = Records()
    if len(data) < len(head) and head.startswith(data):
        found.torn = bool(data)
        return found
    at = len(head)
    if not data.startswith(head):
        if data.startswith(magic) and int.from_bytes(data[_MAGIC_BYTES:at], "big") > RECORDS_VERSION:
            found.newer = True
            return found
        found.damaged, at = True, 0
    found.good_bytes = at
    while at < len(data):
        body = _body_at(data, at)
        if body is not None:
            found.bodies.append(body)
            at += _HEAD_BYTES + len(body)
            if not found.damaged:
                found.good_bytes = at
            continue
        following = _next_intact(data, at + 1)
        if following is None:
            # Only damage to the length of the last record looks the same; either way it is not here.
            found.torn = True
            return found
        found.damaged, at = True, following
    return found


def _body_at(data: bytes, at: int) -> bytes | None:
    if not data.startswith(_MARK, at):
        return None
    start = at + _HEAD_BYTES
    length = int.from_bytes(data[at + len(_MARK) : at + len(_MARK) + 4], "big")
    body = data[start : start + length]
    if length > RECORD_BYTES_MAX or len(body) != length:
        return None
    return body if data[start - _CHECKSUM_BYTES : start] == _checksum(body) else None


def _next_intact(data: bytes, at: int) -> int | None:
    """Where the next intact record begins. Each mark is looked at once at most."""
    while (at := data.find(_MARK, at)) >= 0:
        if _body_at(data, at) is not None:
            return at
        at += 1
    return None


def _checksum(body: bytes) -> bytes:
    return blake3_256(b"kontinuum/record\0" + body)[:_CHECKSUM_BYTES]
