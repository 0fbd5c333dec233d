"""The fields of an RPC of libp2p's pubsub, and functions that write them one by one.

An RPC is any sequence of its fields, so whoever sends joins what he has: a message is encoded once and shared
by everybody it goes to.

Source:   libp2p specs, pubsub/README.md and gossipsub v1.0 to v1.2; our page: docs/protocols/pubsub.md.
Trust:    what is written is our own; the caller keeps the limits.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterable

from kontinuum.wire.limits import PUBSUB_AUTHOR_BYTES, PUBSUB_SEQNO_BYTES, SIGNATURE_BYTES
from kontinuum.wire.protobuf import OCTETS, VARINT, tag, write_number, write_octets
from kontinuum.wire.varint import encode_uvarint

SIGNING_PREFIX = b"libp2p-pubsub:"
"""What stands before the signed bytes. libp2p specs, pubsub, "Message Signing"."""

AUTHOR_PREFIX = bytes.fromhex("002408011220")
"""An author whose key is Ed25519 begins so: identity multihash of 36 bytes, protobuf of a 32-byte key. libp2p
specs, peer-ids."""

# --- the fields and their tags ------------------------------------------------------------------------------

SUBSCRIPTION, MESSAGE, CONTROL = tag(1, OCTETS), tag(2, OCTETS), tag(3, OCTETS)
SUBSCRIBE, SUBSCRIBED_TOPIC = tag(1, VARINT), tag(2, OCTETS)
FROM, DATA, SEQNO, TOPIC = tag(1, OCTETS), tag(2, OCTETS), tag(3, OCTETS), tag(4, OCTETS)
SIGNATURE, KEY = tag(5, OCTETS), tag(6, OCTETS)
IHAVE, IWANT, GRAFT, PRUNE, IDONTWANT = (tag(number, OCTETS) for number in range(1, 6))
IHAVE_TOPIC, IHAVE_ID, ID = tag(1, OCTETS), tag(2, OCTETS), tag(1, OCTETS)
CONTROL_TOPIC, PRUNE_PEER, PRUNE_BACKOFF = tag(1, OCTETS), tag(2, OCTETS), tag(3, VARINT)
PX_ID, PX_RECORD = tag(1, OCTETS), tag(2, OCTETS)

AUTHOR_START = bytes([FROM, PUBSUB_AUTHOR_BYTES]) + AUTHOR_PREFIX
SEQNO_START = bytes([SEQNO, PUBSUB_SEQNO_BYTES])
SIGNATURE_START = bytes([SIGNATURE, SIGNATURE_BYTES])
SIGNATURE_FIELD_BYTES = len(SIGNATURE_START) + SIGNATURE_BYTES
DATA_AT = 2 + PUBSUB_AUTHOR_BYTES
"""Bytes in front of ``data`` in a message in canonical form: the field ``from``."""
MESSAGE_FIELDS = 6
"""What a message in canonical form counts for: itself, and what is in it."""


# --- writing: parts of an RPC. An RPC is any sequence of its fields, so they are just joined ----------------


def message_field(body: bytes) -> bytes:
    """A message as a field of an RPC."""
    return _field(MESSAGE, body)


def subscription_field(topic: str, *, subscribe: bool) -> bytes:
    """A subscription as a field of an RPC."""
    out = bytearray()
    write_number(out, SUBSCRIBE, subscribe)
    write_octets(out, SUBSCRIBED_TOPIC, topic.encode())
    return _field(SUBSCRIPTION, out)


def control_field(parts: Iterable[bytes]) -> bytes:
    """What the functions below make as a field of an RPC, which has one such field at most."""
    return _field(CONTROL, b"".join(parts))


def ihave_part(topic: str, message_ids: Iterable[bytes]) -> bytes:
    """An IHAVE as a part of a control field."""
    out = bytearray()
    write_octets(out, IHAVE_TOPIC, topic.encode())
    for message_id in message_ids:
        write_octets(out, IHAVE_ID, message_id)
    return _field(IHAVE, out)


def iwant_part(message_ids: Iterable[bytes]) -> bytes:
    """An IWANT as a part of a control field."""
    return _field(IWANT, _ids_field(message_ids))


def idontwant_part(message_ids: Iterable[bytes]) -> bytes:
    """An IDONTWANT as a part of a control field."""
    return _field(IDONTWANT, _ids_field(message_ids))


def graft_part(topic: str) -> bytes:
    """A GRAFT as a part of a control field."""
    return _field(GRAFT, _field(CONTROL_TOPIC, topic.encode()))


def prune_part(topic: str, peers: Iterable[tuple[bytes, bytes]] = (), backoff_s: int | None = None) -> bytes:
    """A PRUNE as a part of a control field. Peers are pairs of multihash and signed record, maybe empty."""
    out = bytearray()
    write_octets(out, CONTROL_TOPIC, topic.encode())
    for multihash, record in peers:
        peer = bytearray()
        write_octets(peer, PX_ID, multihash)
        if record:
            write_octets(peer, PX_RECORD, record)
        write_octets(out, PRUNE_PEER, peer)
    if backoff_s is not None:
        write_number(out, PRUNE_BACKOFF, backoff_s)
    return _field(PRUNE, out)


def unsigned_body(author: bytes, seqno: bytes, topic: str, data: bytes | None) -> bytes:
    """Fields 1 to 4 of a message: with SIGNING_PREFIX in front, what is signed.

    ``data`` may be absent, which is not the same as empty: the author signed one or the other.
    """
    out = bytearray()
    write_octets(out, FROM, author)
    if data is not None:
        write_octets(out, DATA, data)
    write_octets(out, SEQNO, seqno)
    write_octets(out, TOPIC, topic.encode())
    return bytes(out)


def signed_body(unsigned: bytes, signature: bytes) -> bytes:
    """A whole message."""
    return unsigned + SIGNATURE_START + signature


def _field(field: int, content: bytes | bytearray) -> bytes:
    return bytes([field]) + encode_uvarint(len(content)) + content  # All tags here fit into one byte.


def _ids_field(message_ids: Iterable[bytes]) -> bytearray:
    out = bytearray()
    for message_id in message_ids:
        write_octets(out, ID, message_id)
    return out
