"""Take from another vault what ours lacks: list, compare, fetch one by one.

Source:   docs/protocols/envelope.md, "Copies on other nodes".
Bounds:   VAULT_OBJECTS_MAX listed objects; one request and one object on the way.
Trust:    the other vault is a peer that may lie: pages that do not rise, an object that is longer or shorter
          than it said, answers that nobody asked for. An object counts only when its hash is its id.
Pure:     no I/O, clock or randomness. Driven by ``kontinuum.vault.service``.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from kontinuum.vault.errors import SyncProtocolError, SyncRefusedError
from kontinuum.vault.index import VAULT_OBJECTS_MAX, Index
from kontinuum.vault.messages import (
    COPY_BYTES_MAX,
    PIECE_BYTES,
    Answer,
    Fetch,
    Gone,
    List,
    Object,
    Page,
    Refused,
    Request,
    decode_answer,
)
from kontinuum.vault.object_id import ObjectId


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this request."""

    request: Request


@dataclass(frozen=True, slots=True)
class Begin:
    """An object is coming; open a file for it."""

    object_id: ObjectId
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write this piece of it."""

    piece: bytes


@dataclass(frozen=True, slots=True)
class Complete:
    """It is all there: check it and give it its name."""

    object_id: ObjectId


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to ask."""

    missed: tuple[ObjectId, ...]
    """Objects that the other vault listed and did not have any more."""


Effect: TypeAlias = Ask | Begin | Write | Complete | Done


class Pull:
    """One pull. Call :meth:`start`, then :meth:`handle` for each message; perform effects in order.

    Args:
        index: What our vault has and deleted.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._listed: dict[ObjectId, int] = {}
        self._wanted: deque[ObjectId] = deque()
        self._missed: list[ObjectId] = []
        self._fetching: ObjectId | None = None
        self._left_bytes = 0
        self.total_bytes = 0
        """Bytes of all objects that will be fetched, once the list is complete."""

    def start(self) -> list[Effect]:
        """Ask for the first page."""
        return [Ask(List(None))]

    def handle(self, message: bytes) -> list[Effect]:
        """Take the next message of the other vault.

        Raises:
            SyncRefusedError: It gives us nothing.
            SyncProtocolError: It broke the protocol. Of no further use then.
        """
        if self._left_bytes:
            return self._take_piece(message)
        answer = decode_answer(message)
        if isinstance(answer, Refused):
            raise SyncRefusedError("the peer shares no vault with this node")
        return self._take_page(answer) if self._fetching is None else self._take_object(answer)

    def _take_page(self, answer: Answer) -> list[Effect]:
        if not isinstance(answer, Page):
            raise SyncProtocolError("a page was asked for, and something else came")
        last = next(reversed(self._listed), None)
        for object_id, size in answer.objects:
            if last is not None and object_id <= last:
                raise SyncProtocolError("a list that does not rise")
            self._listed[object_id] = size
            last = object_id
        if len(self._listed) > VAULT_OBJECTS_MAX:
            raise SyncProtocolError(f"a list of more than {VAULT_OBJECTS_MAX} objects")
        if answer.more:
            if not answer.objects:
                raise SyncProtocolError("an empty page that others follow")
            return [Ask(List(last))]
        lack = self._index.missing(self._listed.keys(), ())
        self._wanted.extend(
            object_id for object_id in lack.objects if 0 < self._listed[object_id] <= COPY_BYTES_MAX
        )
        self.total_bytes = sum(self._listed[object_id] for object_id in self._wanted)
        return self._next()

    def _take_object(self, answer: Answer) -> list[Effect]:
        object_id = self._fetching
        match answer:
            case Gone() if object_id is not None:
                self._missed.append(object_id)
                return self._next()
            case Object(size_bytes=size) if object_id is not None and size == self._listed[object_id]:
                self._left_bytes = size
                return [Begin(object_id, size)]
        raise SyncProtocolError("an object was asked for, and something else came")

    def _take_piece(self, piece: bytes) -> list[Effect]:
        if self._fetching is None or len(piece) != min(PIECE_BYTES, self._left_bytes):
            raise SyncProtocolError("a piece of an object that has a wrong length")
        self._left_bytes -= len(piece)
        if self._left_bytes:
            return [Write(piece)]
        return [Write(piece), Complete(self._fetching), *self._next()]

    def _next(self) -> list[Effect]:
        if not self._wanted:
            self._fetching = None
            return [Done(tuple(self._missed))]
        self._fetching = self._wanted.popleft()
        return [Ask(Fetch(self._fetching))]


def page_of(index: Index, after: ObjectId | None, page_objects: int) -> Page:
    """The next objects of a list, in the order of ids."""
    ids = sorted(object_id for object_id in index.objects if after is None or object_id > after)
    return Page(
        tuple((object_id, index.objects[object_id].size_bytes) for object_id in ids[:page_objects]),
        len(ids) > page_objects,
    )
