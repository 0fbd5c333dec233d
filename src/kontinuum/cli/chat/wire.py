"""What travels between chats: one small message of three fields.

Source:   docs/protocols/chat.md. Rooms are topics, direct messages are calls; author, time and order come
          from there and are not repeated.
Bounds:   TEXT_BYTES_MAX, NICK_BYTES_MAX, ROOM_BYTES_MAX.
Trust:    input is hostile; what is no message is a MalformedError, what a newer version says is None.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError

TOPIC_PREFIX = "kontinuum/chat/1/"
"""In front of a room's name: the topic of that room."""

DIRECT_PROTOCOL = "kontinuum/chat/direct/1"
"""Calls that carry a direct message; the empty reply says that it is on the screen."""

ROOM_BYTES_MAX = 32
"""Bytes of a room's name. Our choice: a column of a screen."""

TEXT_BYTES_MAX = 8192
"""Bytes of what is said at once, as UTF-8. Our choice: a pasted page; more is a file."""

NICK_BYTES_MAX = 96
"""Bytes of a nickname as UTF-8: NICK_CHARACTERS_MAX characters of any script."""

MESSAGE_BYTES_MAX = TEXT_BYTES_MAX + NICK_BYTES_MAX + 32
"""Bytes of a whole message."""

_KIND, _TEXT, _NICK = range(3)


class Kind(IntEnum):
    """What a message is. Others come from newer versions and are skipped."""

    SAY = 0
    ACT = 1
    """What the person does (``/me``)."""
    HERE = 2
    """I am here, and this is my name; the text is empty."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message. Author and time come from whatever carried it."""

    kind: Kind
    text: str
    nick: str
    """What the author wants to be called; proves nothing."""

    def encode(self) -> bytes:
        """Return deterministic CBOR."""
        return cbor.encode({_KIND: int(self.kind), _TEXT: self.text, _NICK: self.nick})


def decode(data: bytes) -> ChatMessage | None:
    """Return the message in ``data``, or ``None`` for a kind of a newer version.

    Raises:
        MalformedError: It is no message.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise MalformedError(f"a chat message of more than {MESSAGE_BYTES_MAX} bytes")
    value = cbor.decode(data)
    if not isinstance(value, dict):
        raise MalformedError("a chat message is a map")
    kind = value.get(_KIND)
    if isinstance(kind, bool) or not isinstance(kind, int):
        raise MalformedError("a chat message without a kind")
    if kind not in _KINDS:
        return None
    text, nick = value.get(_TEXT), value.get(_NICK)
    if not isinstance(text, str) or not isinstance(nick, str):
        raise MalformedError("a chat message says something, and who says it")
    if len(text.encode()) > TEXT_BYTES_MAX or len(nick.encode()) > NICK_BYTES_MAX:
        raise MalformedError("a chat message with too long a text or name")
    if (kind == Kind.HERE) == bool(text):
        raise MalformedError("a chat message that says nothing, or too much")
    return ChatMessage(Kind(kind), text, nick)


def topic_of(room: str) -> str:
    """Return the topic of a room."""
    return TOPIC_PREFIX + room


_KINDS = frozenset(map(int, Kind))
