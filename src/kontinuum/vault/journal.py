"""The vault's journal: one record after another of what was put and deleted, each with a checksum.

Bounds:   JOURNAL_RECORD_BYTES_MAX of one record, JOURNAL_BYTES_MAX of all.
Trust:    the file may be cut off by a crash or damaged by a disk. What is read is a beginning of what was
          written; where it stops being that is told, never guessed. It is no protection against whoever can
          write there: objects protect themselves.
Pure:     no I/O, clock or randomness.

Layout: MAGIC, then records: length (4 bytes, big-endian), deterministic CBOR of that length, the first 8
bytes of its BLAKE3 hash. A record is an array of changes that count together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from kontinuum._native import blake3_256
from kontinuum.vault.errors import BadObjectIdError
from kontinuum.vault.object_id import ObjectId
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError

MAGIC = b"kontinuum-vault/1\n"
"""How a journal begins; the number is the version."""

JOURNAL_RECORD_BYTES_MAX = 64 * 1024
"""Bytes of one record's CBOR. Our choice: ours have below 200. Longer: damaged."""

JOURNAL_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of a journal. The fullest vault's has 13 MB when it was written anew, and is written anew at twice
that. Longer: not read; the vault is listed from its files."""

TIME_MAX = 2**63 - 1
"""Largest time of a change, in Unix seconds. Larger: damaged."""

SIZE_MAX = 2**63 - 1
"""Largest length of an object's file, in bytes. Larger: damaged."""

_CHECKSUM_BYTES = 8
_LENGTH_BYTES = 4
_PUT, _DELETE = range(2)


@dataclass(frozen=True, slots=True)
class Put:
    """An object is there."""

    object_id: ObjectId
    """Which."""

    size_bytes: int
    """Length of its file, as it is encrypted."""

    at: int
    """Since when, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Delete:
    """An object is there no more, and shall not come back from another node."""

    object_id: ObjectId
    """Which."""

    at: int
    """Since when, in Unix seconds."""

    replaced_by: ObjectId | None = None
    """The object that holds the same content under other keys, if that is why."""


Change: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal's bytes hold."""

    changes: tuple[Change, ...]
    """Whatever could be read, in order."""

    good_bytes: int
    """Up to where it could be read."""

    problem: str = ""
    """Why not further; empty if everything was read."""

    cut_off: bool = False
    """Whether that is just a last record which is not complete, as a crash leaves it."""


def encode_record(changes: Sequence[Change]) -> bytes:
    """One record of changes that count together."""
    body = cbor.encode([_encoded(change) for change in changes])
    return len(body).to_bytes(_LENGTH_BYTES) + body + blake3_256(body)[:_CHECKSUM_BYTES]


def parse_records(data: bytes) -> Journal:
    """Records, from the beginning of ``data`` to its end or to the first that is not whole. Never raises."""
    changes: list[Change] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + _LENGTH_BYTES])
        end = at + _LENGTH_BYTES + length + _CHECKSUM_BYTES
        body = data[at + _LENGTH_BYTES : end - _CHECKSUM_BYTES]
        if length > JOURNAL_RECORD_BYTES_MAX:
            return Journal(tuple(changes), at, "a record has an impossible length")
        if end > len(data):
            return Journal(tuple(changes), at, "the last record is cut off", cut_off=True)
        if blake3_256(body)[:_CHECKSUM_BYTES] != data[end - _CHECKSUM_BYTES : end]:
            return Journal(tuple(changes), at, "a record's checksum differs")
        try:
            changes += _decoded(body)
        except (MalformedError, BadObjectIdError) as error:
            return Journal(tuple(changes), at, f"a record cannot be read: {error}")
        at = end
    return Journal(tuple(changes), at)


def parse_journal(data: bytes) -> Journal:
    """A whole journal; see :func:`parse_records`."""
    if not data.startswith(MAGIC):
        return Journal((), 0, "it does not begin as a journal does" if data else "it is empty")
    journal = parse_records(data[len(MAGIC) :])
    return replace(journal, good_bytes=journal.good_bytes + len(MAGIC))


def _encoded(change: Change) -> cbor.CborValue:
    match change:
        case Put():
            return [_PUT, change.object_id, change.size_bytes, change.at]
        case Delete():
            return [_DELETE, change.object_id, change.replaced_by, change.at]


def _decoded(body: bytes) -> list[Change]:
    value = cbor.decode(body, bytes_max=JOURNAL_RECORD_BYTES_MAX)
    if not isinstance(value, list):
        raise MalformedError("it is no array")
    return [_change(item) for item in value]


def _change(item: cbor.CborValue) -> Change:
    match item:
        case [0, bytes() as object_id, int() as size, int() as at] if _in_range(size, at):
            return Put(ObjectId(object_id), size, at)
        case [1, bytes() as object_id, None | bytes() as other, int() as at] if _in_range(0, at):
            return Delete(ObjectId(object_id), at, None if other is None else ObjectId(other))
    raise MalformedError("a change of a kind that we do not know")


def _in_range(size: int, at: int) -> bool:
    return 0 <= size <= SIZE_MAX and 0 <= at <= TIME_MAX
