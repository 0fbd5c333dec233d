"""One message while the router deals with it: who brought it, how far it is, and the bytes that go on.

An entry is shared by the seen cache, the message cache and the queues, so a message is held and encoded once.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.gossip.events import Message
    from kontinuum.gossip.peers import Peer
    from kontinuum.identity import PeerId


class State(IntEnum):
    """How far a message is."""

    UNVERIFIED = 0
    """Its signature has not been checked; only within one batch."""
    PENDING = 1
    """The application has been asked."""
    VALID = 2
    IGNORED = 3
    INVALID = 4
    """The application rejected it."""


class Entry:
    """A message that is not too old to matter."""

    __slots__ = (
        "asked",
        "at",
        "author",
        "body",
        "field",
        "message",
        "message_id",
        "others",
        "source",
        "state",
        "topic",
    )

    def __init__(self, message_id: bytes, topic: str, body: bytes, source: Peer | None) -> None:
        self.message_id = message_id
        self.topic = topic
        self.body = body
        """As it was signed, in canonical form."""
        self.field = b""
        """The same as a field of an RPC; made when it is valid."""
        self.source = source
        """The peer that brought it first; ``None``: it is our own."""
        self.state = State.UNVERIFIED
        self.author: PeerId | None = None
        """Who signed it, once that is verified."""
        self.at = 0.0
        """When it became valid."""
        self.message: Message | None = None
        """What the application gets, while it is asked."""
        self.others: list[Peer] = []
        """Further peers that brought it."""
        self.asked: dict[Peer, int] = {}
        """How often each peer had it by IWANT."""
