"""The two messages of a meeting, as plain values, and their strict codec.

Each is an array of three: a version, a body in bytes, and a MAC over the body, which is checked before
anybody looks into it.

Source:   our own format, docs/protocols/meet.md.
Bounds:   MEET_MESSAGE_BYTES_MAX, MEET_NAME_BYTES_MAX.
Trust:    input is hostile: any bytes give a message or a PeerError. Statements stay bytes here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from kontinuum.clusters.meeting.words import MEET_MAC_BYTES, MEET_NONCE_BYTES
from kontinuum.keys.fields import Fields
from kontinuum.keys.genesis import GENESIS_BYTES_MAX
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import CHAIN_BUNDLE_BYTES_MAX, MEET_MESSAGE_BYTES_MAX, MEET_NAME_BYTES_MAX

PROTOCOL = "kontinuum/meet/1"
"""The stream of messages on which a guest sends a request and a host its answer."""

VERSION = 1
"""Version of the messages. Another one is refused by name."""

_GENESIS, _BUNDLE, _NONCE, _NAME = range(1, 5)
"""Keys of the map in a body."""

_REFUSAL_MAX = 255


class Refusal(IntEnum):
    """Why a host does not meet a guest. Only who knows the code's secret learns more than the first."""

    NO_INVITATION = 1
    """Nobody is waited for with this code."""

    OWN_CLUSTER = 2
    """Both are of one cluster."""

    UNPROVEN = 3
    """What the guest sent does not show that its key is a member in use of its cluster."""

    OTHER = 255
    """Something that a newer program says."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What each side says of itself."""

    genesis: bytes
    """The beginning of its cluster's chain."""

    bundle: bytes
    """Statements of it, enough to show whose the sender's key is."""

    nonce: bytes
    """MEET_NONCE_BYTES."""

    name: str
    """What it calls itself; untrusted words for people."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """From a message's body.

        Raises:
            MalformedError: It is none.
        """
        fields = Fields(cbor.decode(body, bytes_max=MEET_MESSAGE_BYTES_MAX), "an introduction")
        return cls(
            _octets(fields, _GENESIS, GENESIS_BYTES_MAX),
            _octets(fields, _BUNDLE, CHAIN_BUNDLE_BYTES_MAX),
            fields.octets(_NONCE, MEET_NONCE_BYTES),
            fields.text(_NAME, MEET_NAME_BYTES_MAX),
        )

    def encode(self) -> bytes:
        """The body."""
        return cbor.encode(
            {_GENESIS: self.genesis, _BUNDLE: self.bundle, _NONCE: self.nonce, _NAME: self.name}
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """A body and the MAC under it."""

    body: bytes
    """An :class:`Introduction`, not looked into yet."""

    mac: bytes
    """MEET_MAC_BYTES."""

    def encode(self) -> bytes:
        """The bytes of the message."""
        return cbor.encode([VERSION, self.body, self.mac])


def decode_request(data: bytes) -> Sealed:
    """The guest's message.

    Raises:
        MalformedError: It is none.
        WrongVersionError: It is of a version that we do not know.
    """
    message = _items(data)
    if len(message) != 3:
        raise MalformedError("a request to meet has a version, a body and a MAC")
    return _sealed(message)


def decode_answer(data: bytes) -> Sealed | Refusal:
    """The host's message.

    Raises:
        MalformedError: It is none.
        WrongVersionError: It is of a version that we do not know.
    """
    message = _items(data)
    if len(message) == 3:
        return _sealed(message)
    if len(message) != 2 or not isinstance(message[1], int) or not 1 <= message[1] <= _REFUSAL_MAX:
        raise MalformedError("an answer has a body and a MAC, or the number of a refusal")
    return Refusal(message[1]) if message[1] in set(Refusal) else Refusal.OTHER


def encode_refusal(refusal: Refusal) -> bytes:
    """The host's message when it does not meet the guest."""
    return cbor.encode([VERSION, int(refusal)])


def _items(data: bytes) -> list[cbor.CborValue]:
    message = cbor.decode(data, bytes_max=MEET_MESSAGE_BYTES_MAX)
    if not isinstance(message, list) or not message or type(message[0]) is not int:
        raise MalformedError("a message of a meeting is a list that begins with its version")
    if message[0] != VERSION:
        raise WrongVersionError("a message of another version of meetings; we know version 1")
    return message


def _sealed(message: list[cbor.CborValue]) -> Sealed:
    body, mac = message[1], message[2]
    if not isinstance(body, bytes) or not isinstance(mac, bytes) or len(mac) != MEET_MAC_BYTES:
        raise MalformedError(f"a body and a MAC are byte strings, the MAC of {MEET_MAC_BYTES}")
    return Sealed(body, mac)


def _octets(fields: Fields, key: int, bytes_max: int) -> bytes:
    value = fields.value(key)
    if not isinstance(value, bytes) or len(value) > bytes_max:
        raise MalformedError(f"field {key} of an introduction is no byte string of at most {bytes_max}")
    return value
