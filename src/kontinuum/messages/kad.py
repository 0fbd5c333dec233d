"""The kad-dht message of libp2p as frozen dataclasses, and its strict protobuf codec.

Source:   libp2p specs, kad-dht/README.md, "RPC messages"; field numbers of go-libp2p-kad-dht, pb/dht.proto.
          Our page: docs/protocols/kad.md.
Differs:  our extensions are fields from EXTENSION_FIELD_MIN on, which others skip. A field that may be there
          once is refused when it is there twice, where protobuf takes the last one.
Bounds:   the KAD_* and PROTOBUF_* limits of ``kontinuum.wire.limits``.
Trust:    input is hostile: any bytes give a message or a MalformedError. Contacts, keys, values and addresses
          are bytes here; who uses them checks them.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TypeVar

from kontinuum.base.errors import MisuseError
from kontinuum.wire import protobuf
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import (
    CONTACT_BYTES_MAX,
    KAD_ADDRESS_BYTES_MAX,
    KAD_ADDRESSES_MAX,
    KAD_KEY_BYTES_MAX,
    KAD_MESSAGE_BYTES_MAX,
    KAD_NUMBER_MAX,
    KAD_PEER_ID_BYTES_MAX,
    KAD_PEERS_MAX,
    KAD_TIME_BYTES_MAX,
    KAD_UNKNOWN_FIELDS_MAX,
    KAD_VALUE_BYTES_MAX,
)
from kontinuum.wire.protobuf import OCTETS, VARINT, tag, write_number, write_octets
from kontinuum.wire.varint import decode_uvarint, encode_uvarint

EXTENSION_FIELD_MIN = 1000
"""Our own fields begin here in every message. Our choice: far from those of the specification, and with a tag
of two bytes. Others skip them."""


class MessageType(IntEnum):
    """What a message asks for, or answers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class Connection(IntEnum):
    """What the sender of a ``KadPeer`` says of its connection to that peer. Nothing is decided by it."""

    NOT_CONNECTED = 0
    CONNECTED = 1
    CAN_CONNECT = 2
    CANNOT_CONNECT = 3


@dataclass(frozen=True, slots=True)
class KadPeer:
    """A peer that a message names."""

    peer_id: bytes
    """Multihash bytes; ours have 38."""
    addresses: tuple[bytes, ...] = ()
    """Multiaddrs, binary."""
    connection: int = 0
    """A ``Connection``."""
    contact: bytes = b""
    """Extension: the peer's own signed contact (docs/protocols/contact.md), with its proof of work."""
    rtt_us: int = 0
    """Extension: microseconds of round trip that the sender measured to it; 0 if it has not."""


@dataclass(frozen=True, slots=True)
class KadRecord:
    """A stored value."""

    key: bytes
    value: bytes
    time_received: str = ""
    """When the sender got it, RFC 3339. Nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class KadMessage:
    """A request or its reply."""

    type: MessageType
    key: bytes = b""
    record: KadRecord | None = None
    closer_peers: tuple[KadPeer, ...] = ()
    provider_peers: tuple[KadPeer, ...] = ()
    cluster_level_raw: int = 0
    """Not used any more; go-libp2p still sends 1."""
    sender: bytes = b""
    """Extension: the sender's own signed contact."""
    refusal: int = 0
    """Extension, in a reply to PUT_VALUE and ADD_PROVIDER: why it was not kept
    (``kontinuum.dht.events.Refusal``); 0 if it was."""


PEERS_REMEMBERED_MAX = 4096
"""Peers whose bytes are remembered in each direction, for the whole process, since replies name the same ones
again and again: a third of a lookup otherwise. Our choice: some 4 MB; beyond it others are forgotten."""

REMEMBERED_BYTES_MAX = 1024
"""Bytes of a peer up to which it is remembered. Our choice: ours have some 300; larger ones are worked out
each time, so that hostile ones cannot fill our memory."""

# --- the fields and their tags ------------------------------------------------------------------------------

_TYPE, _KEY, _RECORD = tag(1, VARINT), tag(2, OCTETS), tag(3, OCTETS)
_CLOSER, _PROVIDER, _LEVEL = tag(8, OCTETS), tag(9, OCTETS), tag(10, VARINT)
_SENDER, _REFUSAL = tag(EXTENSION_FIELD_MIN, OCTETS), tag(EXTENSION_FIELD_MIN + 1, VARINT)
_MESSAGE_TAGS = (_TYPE, _KEY, _RECORD, _CLOSER, _PROVIDER, _LEVEL, _SENDER, _REFUSAL)

_ID, _ADDRESS, _CONNECTION = tag(1, OCTETS), tag(2, OCTETS), tag(3, VARINT)
_CONTACT, _RTT = tag(EXTENSION_FIELD_MIN, OCTETS), tag(EXTENSION_FIELD_MIN + 1, VARINT)
_CLOSER_TAG, _PROVIDER_TAG = bytes([_CLOSER]), bytes([_PROVIDER])
_PEER_TAGS = (_ID, _ADDRESS, _CONNECTION, _CONTACT, _RTT)

_RECORD_KEY, _VALUE, _TIME = tag(1, OCTETS), tag(2, OCTETS), tag(5, OCTETS)
_RECORD_TAGS = (_RECORD_KEY, _VALUE, _TIME)

_TYPES = tuple(MessageType)


# --- writing ------------------------------------------------------------------------------------------------


def encode(message: KadMessage) -> bytes:
    """The protobuf of ``message``: fields in the order of their numbers, those with their default left out.

    Raises:
        MisuseError: It is beyond a limit, so that nobody would read it.
    """
    try:
        return bytes(_limited(_encode_message(message), KAD_MESSAGE_BYTES_MAX, "message"))
    except MalformedError as error:
        raise MisuseError(str(error)) from None


def encode_prefixed(message: KadMessage) -> bytes:
    """:func:`encode` with its length in front: the body of a call, and what libp2p's streams carry."""
    data = encode(message)
    return encode_uvarint(len(data)) + data


def _encode_message(message: KadMessage) -> bytearray:
    out = bytearray()
    if message.type:
        write_number(out, _TYPE, message.type)
    if message.key:
        write_octets(out, _KEY, _limited(message.key, KAD_KEY_BYTES_MAX, "key"))
    if message.record is not None:
        write_octets(out, _RECORD, _encode_record(message.record))
    for peer in _few(message.closer_peers, KAD_PEERS_MAX, "closer peers"):
        out += _CLOSER_TAG
        out += _encode_peer_once(peer)
    for peer in _few(message.provider_peers, KAD_PEERS_MAX, "provider peers"):
        out += _PROVIDER_TAG
        out += _encode_peer_once(peer)
    if message.cluster_level_raw:
        write_number(out, _LEVEL, _number(message.cluster_level_raw))
    if message.sender:
        write_octets(out, _SENDER, _limited(message.sender, CONTACT_BYTES_MAX, "contact"))
    if message.refusal:
        write_number(out, _REFUSAL, _number(message.refusal))
    return out


def _encode_peer(peer: KadPeer) -> bytes:
    out = bytearray()
    if peer.peer_id:
        write_octets(out, _ID, _limited(peer.peer_id, KAD_PEER_ID_BYTES_MAX, "peer id"))
    for address in _few(peer.addresses, KAD_ADDRESSES_MAX, "addresses"):
        write_octets(out, _ADDRESS, _limited(address, KAD_ADDRESS_BYTES_MAX, "address"))
    if peer.connection:
        write_number(out, _CONNECTION, _number(peer.connection))
    if peer.contact:
        write_octets(out, _CONTACT, _limited(peer.contact, CONTACT_BYTES_MAX, "contact"))
    if peer.rtt_us:
        write_number(out, _RTT, _number(peer.rtt_us))
    return bytes(out)


_encoded: dict[int, tuple[KadPeer, bytes]] = {}
"""By the number of an object, which is cheaper than its hash, and safe as long as the object is held here."""


def _encode_peer_once(peer: KadPeer) -> bytes:
    """The field of a peer behind its tag: its length, and itself."""
    known = _encoded.get(id(peer))
    if known is not None and known[0] is peer:
        return known[1]
    data = _encode_peer(peer)
    field = encode_uvarint(len(data)) + data
    if len(data) <= REMEMBERED_BYTES_MAX:
        if len(_encoded) >= PEERS_REMEMBERED_MAX:
            _encoded.clear()
        _encoded[id(peer)] = peer, field
    return field


def _encode_record(record: KadRecord) -> bytearray:
    out = bytearray()
    if record.key:
        write_octets(out, _RECORD_KEY, _limited(record.key, KAD_KEY_BYTES_MAX, "key"))
    if record.value:
        write_octets(out, _VALUE, _limited(record.value, KAD_VALUE_BYTES_MAX, "value"))
    if record.time_received:
        time = record.time_received.encode()
        write_octets(out, _TIME, _limited(time, KAD_TIME_BYTES_MAX, "time"))
    return out


# --- reading ------------------------------------------------------------------------------------------------


def decode(data: bytes) -> KadMessage:  # noqa: C901  one branch for each field of the schema
    """Read one message, the whole of ``data``.

    Raises:
        WrongVersionError: Its type is one that we do not know.
        MalformedError: It is no message, or beyond a limit.
    """
    unknown = 0
    kind: int | None = None
    level: int | None = None
    refusal: int | None = None
    key: bytes | None = None
    sender: bytes | None = None
    record: KadRecord | None = None
    closer: list[KadPeer] = []
    providers: list[KadPeer] = []
    for field, octets, number in protobuf.fields(_limited(data, KAD_MESSAGE_BYTES_MAX, "message")):
        if field == _CLOSER:
            closer.append(_decode_peer_once(octets))
            _few(closer, KAD_PEERS_MAX, "closer peers")
        elif field == _PROVIDER:
            providers.append(_decode_peer_once(octets))
            _few(providers, KAD_PEERS_MAX, "provider peers")
        elif field == _TYPE:
            kind = _once(kind, number)
        elif field == _KEY:
            key = _once(key, _limited(octets, KAD_KEY_BYTES_MAX, "key"))
        elif field == _RECORD:
            record = _once(record, _decode_record(octets))
        elif field == _LEVEL:
            level = _once(level, _number(number))
        elif field == _SENDER:
            sender = _once(sender, _limited(octets, CONTACT_BYTES_MAX, "contact"))
        elif field == _REFUSAL:
            refusal = _once(refusal, _number(number))
        else:
            unknown = _skipped(field, _MESSAGE_TAGS, unknown)
    kind = kind or 0
    if kind >= len(_TYPES):
        raise WrongVersionError(f"a kad message of type {kind}, which we do not know")
    return KadMessage(
        _TYPES[kind],
        key or b"",
        record,
        tuple(closer),
        tuple(providers),
        level or 0,
        sender or b"",
        refusal or 0,
    )


def decode_prefixed(data: bytes) -> KadMessage:
    """Read one message with its length in front, the whole of ``data``.

    Raises:
        WrongVersionError: Its type is one that we do not know.
        MalformedError: The length is wrong, or what follows is no message.
    """
    size, start = decode_uvarint(data)
    if size != len(data) - start:
        raise MalformedError(f"a kad message of {len(data) - start} bytes that claims to have {size}")
    return decode(data[start:])


def _decode_peer(data: bytes) -> KadPeer:
    unknown = 0
    peer_id: bytes | None = None
    contact: bytes | None = None
    connection: int | None = None
    rtt_us: int | None = None
    addresses: list[bytes] = []
    for field, octets, number in protobuf.fields(data):
        if field == _ADDRESS:
            addresses.append(_limited(octets, KAD_ADDRESS_BYTES_MAX, "address"))
            _few(addresses, KAD_ADDRESSES_MAX, "addresses")
        elif field == _ID:
            peer_id = _once(peer_id, _limited(octets, KAD_PEER_ID_BYTES_MAX, "peer id"))
        elif field == _CONTACT:
            contact = _once(contact, _limited(octets, CONTACT_BYTES_MAX, "contact"))
        elif field == _CONNECTION:
            connection = _once(connection, _number(number))
        elif field == _RTT:
            rtt_us = _once(rtt_us, _number(number))
        else:
            unknown = _skipped(field, _PEER_TAGS, unknown)
    return KadPeer(peer_id or b"", tuple(addresses), connection or 0, contact or b"", rtt_us or 0)


_decode_remembered = lru_cache(PEERS_REMEMBERED_MAX)(_decode_peer)


def _decode_peer_once(data: bytes) -> KadPeer:
    return _decode_remembered(data) if len(data) <= REMEMBERED_BYTES_MAX else _decode_peer(data)


def _decode_record(data: bytes) -> KadRecord:
    unknown = 0
    key: bytes | None = None
    value: bytes | None = None
    time: bytes | None = None
    for field, octets, _ in protobuf.fields(data):
        if field == _RECORD_KEY:
            key = _once(key, _limited(octets, KAD_KEY_BYTES_MAX, "key"))
        elif field == _VALUE:
            value = _once(value, _limited(octets, KAD_VALUE_BYTES_MAX, "value"))
        elif field == _TIME:
            time = _once(time, _limited(octets, KAD_TIME_BYTES_MAX, "time"))
        else:
            unknown = _skipped(field, _RECORD_TAGS, unknown)
    try:
        return KadRecord(key or b"", value or b"", (time or b"").decode())
    except UnicodeDecodeError:
        raise MalformedError("the time in a kad record is not UTF-8") from None


# --- what both check ----------------------------------------------------------------------------------------

_Octets = TypeVar("_Octets", bytes, bytearray)
_Value = TypeVar("_Value")


def _limited(octets: _Octets, bytes_max: int, what: str) -> _Octets:
    if len(octets) > bytes_max:
        raise MalformedError(f"a kad {what} of {len(octets)} bytes, where {bytes_max} are the most")
    return octets


def _few(entries: Sequence[_Value], count_max: int, what: str) -> Sequence[_Value]:
    if len(entries) > count_max:
        raise MalformedError(f"a kad message with more than {count_max} {what} in one list")
    return entries


def _number(number: int) -> int:
    if not 0 <= number <= KAD_NUMBER_MAX:
        raise MalformedError(f"a kad message with a number above {KAD_NUMBER_MAX}")
    return number


def _once(before: _Value | None, value: _Value) -> _Value:
    """``value``, unless the field was there already, be it with its default."""
    if before is not None:
        raise MalformedError("a kad message with a field twice that may be there once")
    return value


def _skipped(field: int, known: tuple[int, ...], unknown: int) -> int:
    """One more field than ``unknown`` that we do not know; it is read past, and not kept."""
    if field >> 3 in {tag >> 3 for tag in known}:
        raise MalformedError(f"field {field >> 3} of a kad message has another wire type than {field & 7}")
    if unknown == KAD_UNKNOWN_FIELDS_MAX:
        raise MalformedError(f"a kad message with more than {unknown} unknown fields")
    return unknown + 1
