"""The messages of ``kontinuum/file/1`` and their bytes.

Source:  our own protocol, ``docs/protocols/file.md`` (schema in CDDL there).
Bounds:  MESSAGE_BYTES_MAX per message, FILES_MAX files per offer, CHUNK_BYTES_MAX of content per chunk.
Trust:   every decoded byte is hostile; decoding gives a message or a :class:`TransferProtocolError`.
Pure:    no I/O, clock or randomness.

A frame is the message's length (4 bytes, big-endian) and the message in canonical CBOR: a map with integer
keys, key 0 the kind. A ``Chunk`` is followed by as many raw bytes of content as it says: content never passes
through CBOR, whose strict decoder would copy it twice. Unknown keys are ignored and an unknown kind
decodes to :class:`Unknown`, so that a newer peer does not break an older one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from kontinuum.base.errors import PeerError
from kontinuum.transfer.errors import TransferProtocolError
from kontinuum.transfer.names import NAME_BYTES_MAX
from kontinuum.wire import cbor
from kontinuum.wire.cbor import CborKey, CborValue

PROTOCOL = "kontinuum/file/1"
"""Name by which the stream is opened."""

FILES_MAX = 256
"""Files in one offer. Our choice (ADR 0012); a longer offer ends the session."""

FILE_BYTES_MAX = 1 << 53
"""Largest size an offer may claim, in bytes: what every JSON reader still counts exactly. A larger claim ends
the session. What a receiver is willing to store is a matter of its own policy and usually far less."""

CHUNK_BYTES_MAX = 1 << 20
"""Content bytes that may follow one ``Chunk``. Our choice (ADR 0012); a larger chunk ends the session."""

MESSAGE_BYTES_MAX = 64 * 1024
"""Bytes of one encoded message, content not counted. A full offer of FILES_MAX names of NAME_BYTES_MAX bytes
fits; a longer message ends the session before it is read."""

DIGEST_BYTES = 32
"""Bytes of a BLAKE3 digest."""

LENGTH_BYTES = 4
"""Bytes of the length in front of each message, big-endian."""


class Code(IntEnum):
    """Why a file is not (or is) where it should be. Travels as a number; see ``docs/protocols/file.md``."""

    STORED = 0
    """The file is complete, verified and in place."""
    NOT_RECEIVING = 1
    """The receiver is not waiting for files now."""
    REFUSED = 2
    """The receiver's policy does not want this file."""
    BAD_NAME = 3
    """The name must not become a file."""
    EXISTS = 4
    """A file of this name is there already and is not overwritten."""
    TOO_LARGE = 5
    """The file is above the receiver's limit."""
    NO_SPACE = 6
    """The receiver's disk has not enough space."""
    BUSY = 7
    """The receiver has too many sessions, or another one writes this very file."""
    SOURCE_CHANGED = 8
    """The sender's file changed while it was read."""
    SOURCE_UNREADABLE = 9
    """The sender can no longer read the file."""
    DIGEST_MISMATCH = 10
    """What arrived is not what was sent."""
    WRITE_FAILED = 11
    """The receiver could not write."""
    CANCELLED = 12
    """The session ended before this file was complete."""


@dataclass(frozen=True, slots=True)
class FileOffer:
    """One file of an offer. The name is unchecked text of the peer until ``verify_file_name`` saw it."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Sender to receiver, first: these files, in this order."""

    files: tuple[FileOffer, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's word on one file of the offer."""

    code: int
    """``Code.STORED`` (0) accepts; every other code refuses."""
    offset: int = 0
    """Bytes that the receiver already holds."""
    prefix_digest: bytes = b""
    """BLAKE3 of those bytes; empty when ``offset`` is 0."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Receiver to sender, once: one answer for each file of the offer, in its order."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """Sender to receiver: the content of file ``index`` follows, from byte ``offset`` on."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sender to receiver: ``length`` raw bytes of content follow this message."""

    length: int


@dataclass(frozen=True, slots=True)
class End:
    """Sender to receiver: the file is complete; ``digest`` is BLAKE3 of all of it, old bytes included."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """Sender to receiver: file ``index`` will not be completed in this session."""

    index: int
    code: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Receiver to sender: what became of file ``index``. Early when the receiver gives it up."""

    index: int
    code: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A kind that this version does not know; skipped by both machines, a bounded number of times."""

    kind: int


Message = Offer | Answers | Begin | Chunk | End | Abort | Verdict
"""What this version sends."""

_KIND, _A, _B = 0, 1, 2


def encode(message: Message) -> bytes:
    """Return one frame: the length and the message in canonical CBOR."""
    body = cbor.encode(_to_map(message))
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def _to_map(message: Message) -> dict[CborKey, CborValue]:  # noqa: PLR0911 -- one return per kind
    match message:
        case Offer(files):
            return {_KIND: 1, _A: [[file.name, file.size] for file in files]}
        case Answers(answers):
            return {_KIND: 2, _A: [[a.code, a.offset, a.prefix_digest] for a in answers]}
        case Begin(index, offset):
            return {_KIND: 3, _A: index, _B: offset}
        case Chunk(length):
            return {_KIND: 4, _A: length}
        case End(digest):
            return {_KIND: 5, _A: digest}
        case Abort(index, code):
            return {_KIND: 6, _A: index, _B: code}
        case Verdict(index, code):
            return {_KIND: 7, _A: index, _B: code}


def parse_length(data: bytes) -> int:
    """Return the length of the message that follows these ``LENGTH_BYTES`` bytes.

    Raises:
        TransferProtocolError: zero, or more than MESSAGE_BYTES_MAX.
    """
    length = int.from_bytes(data, "big")
    if not 0 < length <= MESSAGE_BYTES_MAX:
        raise TransferProtocolError(f"a message of {length} bytes")
    return length


def decode(body: bytes) -> Message | Unknown:
    """Return the message in ``body``, the bytes after the length.

    Raises:
        TransferProtocolError: not canonical CBOR, not a known form, or a field out of range.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise TransferProtocolError(f"a message of {len(body)} bytes")
    try:
        value = cbor.decode(body, bytes_max=MESSAGE_BYTES_MAX)
    except PeerError as error:
        raise TransferProtocolError("a message is not canonical CBOR") from error
    fields = _typed(value, dict)
    kind = _number(fields.get(_KIND), 1 << 16)
    decoder = _DECODERS.get(kind)
    return Unknown(kind) if decoder is None else decoder(fields)


_Fields = dict[object, object]
_T = TypeVar("_T")


def _typed(value: object, kind: type[_T]) -> _T:
    # Exact types: a bool is an int to isinstance, and on the wire it is something else.
    if type(value) is not kind:
        raise TransferProtocolError(f"a field is not a {kind.__name__}")
    return value


def _number(value: object, ceiling: int) -> int:
    number = _typed(value, int)
    if not 0 <= number <= ceiling:
        raise TransferProtocolError("a number is out of range")
    return number


def _digest(value: object) -> bytes:
    digest = _typed(value, bytes)
    if len(digest) != DIGEST_BYTES:
        raise TransferProtocolError(f"a digest of {len(digest)} bytes")
    return digest


def _rows(value: object, columns: int) -> list[list[object]]:
    rows = [_typed(row, list) for row in _typed(value, list)]
    if not 0 < len(rows) <= FILES_MAX:
        raise TransferProtocolError(f"a list of {len(rows)} files")
    if any(len(row) < columns for row in rows):
        raise TransferProtocolError("a row of a list is too short")
    return rows


def _decode_offer(fields: _Fields) -> Offer:
    files = []
    for row in _rows(fields.get(_A), 2):
        name = _typed(row[0], str)
        # Whether the name is acceptable is answered per file; its length is a matter of memory and ends here.
        if len(name) > 4 * NAME_BYTES_MAX:
            raise TransferProtocolError("a file name is far too long")
        files.append(FileOffer(name, _number(row[1], FILE_BYTES_MAX)))
    return Offer(tuple(files))


def _decode_answers(fields: _Fields) -> Answers:
    answers = []
    for row in _rows(fields.get(_A), 3):
        offset = _number(row[1], FILE_BYTES_MAX)
        digest = _digest(row[2]) if offset else _typed(row[2], bytes)
        answers.append(Answer(_number(row[0], 0xFFFF), offset, digest if offset else b""))
    return Answers(tuple(answers))


def _decode_chunk(fields: _Fields) -> Chunk:
    length = _number(fields.get(_A), CHUNK_BYTES_MAX)
    if length == 0:
        raise TransferProtocolError("an empty chunk")
    return Chunk(length)


def _index(fields: _Fields) -> int:
    return _number(fields.get(_A), FILES_MAX - 1)


_DECODERS: dict[int, Callable[[_Fields], Message]] = {
    1: _decode_offer,
    2: _decode_answers,
    3: lambda fields: Begin(_index(fields), _number(fields.get(_B), FILE_BYTES_MAX)),
    4: _decode_chunk,
    5: lambda fields: End(_digest(fields.get(_A))),
    6: lambda fields: Abort(_index(fields), _number(fields.get(_B), 0xFFFF)),
    7: lambda fields: Verdict(_index(fields), _number(fields.get(_B), 0xFFFF)),
}
