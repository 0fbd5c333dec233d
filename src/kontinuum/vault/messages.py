"""What two vaults say to each other: which objects there are, and the bytes of one.

Source:   our own, docs/protocols/envelope.md, "Copies on other nodes".
Bounds:   PAGE_OBJECTS, PIECE_BYTES, COPY_BYTES_MAX; MESSAGE_BYTES_MAX of a message that is not a piece.
Trust:    every byte is hostile; decoding gives a message or a SyncProtocolError.
Pure:     no I/O, clock or randomness.
"""

from dataclasses import dataclass
from typing import TypeAlias

from kontinuum.vault.errors import BadObjectIdError, SyncProtocolError, SyncRefusedError
from kontinuum.vault.object_id import ObjectId
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError

PROTOCOL = "kontinuum/vault/1"
"""Name of a stream on which the opener asks and the other side answers."""

PUSH_PROTOCOL = "kontinuum/vault-push/1"
"""Name of a stream on which the opener answers: the other side shall take what it lacks."""

PAGE_OBJECTS = 2000
"""Objects in one page of a list. Our choice: 90 kB. More: refused."""

PIECE_BYTES = 256 * 1024
"""Bytes of an object in one message; only the last one is shorter. Our choice. Another length: refused."""

COPY_BYTES_MAX = 1 << 40
"""Largest object that is copied, in bytes. Our choice: 1 TiB. A larger one is passed over."""

MESSAGE_BYTES_MAX = 128 * 1024
"""Bytes of a message that is not a piece: a full page has 92,000. Our choice. Longer: refused."""

_ITEMS_MAX = 3 * PAGE_OBJECTS + 16
_LIST, _FETCH, _PAGE, _OBJECT, _GONE, _REFUSED = range(6)


@dataclass(frozen=True, slots=True)
class List:
    """Which objects do you have, behind this id in the order of ids?"""

    after: ObjectId | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send me this object."""

    object_id: ObjectId


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects with the lengths of their files, in the order of ids."""

    objects: tuple[tuple[ObjectId, int], ...]

    more: bool
    """Whether others follow."""


@dataclass(frozen=True, slots=True)
class Object:
    """The object's file follows: so many bytes, in pieces of PIECE_BYTES and a shorter last one."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is not here any more, or damaged."""


@dataclass(frozen=True, slots=True)
class Refused:
    """You get nothing here."""


Request: TypeAlias = List | Fetch
Answer: TypeAlias = Page | Object | Gone | Refused


def encode(message: Request | Answer) -> bytes:
    """Deterministic CBOR: an array, the kind first."""
    match message:
        case List():
            return cbor.encode([_LIST, message.after])
        case Fetch():
            return cbor.encode([_FETCH, message.object_id])
        case Page():
            objects: list[cbor.CborValue] = [[object_id, size] for object_id, size in message.objects]
            return cbor.encode([_PAGE, objects, message.more])
        case Object():
            return cbor.encode([_OBJECT, message.size_bytes])
        case Gone():
            return cbor.encode([_GONE])
        case Refused():
            return cbor.encode([_REFUSED])


def decode_request(data: bytes) -> Request:
    """Read what a vault asks.

    Raises:
        SyncRefusedError: It is no request, but says that the other side wants nothing.
        SyncProtocolError: It is neither.
    """
    try:
        match cbor.decode(data, bytes_max=MESSAGE_BYTES_MAX):
            case [0, None | bytes() as after]:
                return List(None if after is None else ObjectId(after))
            case [1, bytes() as object_id]:
                return Fetch(ObjectId(object_id))
            case [5]:
                raise SyncRefusedError("the peer takes no copies from this node")
    except (MalformedError, BadObjectIdError) as error:
        raise SyncProtocolError(f"a request that cannot be read: {error}") from None
    raise SyncProtocolError("a request of a kind that we do not know")


def decode_answer(data: bytes) -> Answer:
    """Read what a vault answers.

    Raises:
        SyncProtocolError: It is no answer.
    """
    try:
        match cbor.decode(data, bytes_max=MESSAGE_BYTES_MAX, items_max=_ITEMS_MAX):
            case [2, list() as objects, bool() as more] if len(objects) <= PAGE_OBJECTS:
                return Page(tuple(_entry(entry) for entry in objects), more)
            case [3, int() as size] if 0 < size <= COPY_BYTES_MAX and not isinstance(size, bool):
                return Object(size)
            case [4]:
                return Gone()
            case [5]:
                return Refused()
    except (MalformedError, BadObjectIdError) as error:
        raise SyncProtocolError(f"an answer that cannot be read: {error}") from None
    raise SyncProtocolError("an answer of a kind that we do not know")


def _entry(value: cbor.CborValue) -> tuple[ObjectId, int]:
    match value:
        case [bytes() as object_id, int() as size] if size >= 0 and not isinstance(size, bool):
            return ObjectId(object_id), size
    raise MalformedError("an object without id or length")
