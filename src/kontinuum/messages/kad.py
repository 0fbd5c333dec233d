"""The kad-dht message of libp2p as frozen dataclasses, and its strict protobuf codec.

Source:   libp2p specs, kad-dht/README.md, "RPC messages"; field numbers of go-libp2p-kad-dht, pb/dht.proto.
Differs:  our extensions are fields from EXTENSION_FIELD_MIN on, which others skip.
Trust:    input is hostile: any bytes give a message or a PeerError.
Pure:     no I/O, clock or randomness.
"""

from dataclasses import dataclass
from enum import IntEnum


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
    (``kontinuum.dht.events.Refusal``);
    0 if it was."""
