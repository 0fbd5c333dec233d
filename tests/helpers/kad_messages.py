"""kad-dht messages field by field, written a second time: for vectors, and for what no encoder makes."""

from kontinuum.messages.kad import KadMessage, KadPeer


def uvarint(value: int) -> bytes:
    """A varint of protobuf."""
    out = b""
    while value >= 0x80:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def octets(field: int, content: bytes) -> bytes:
    """A field that has a length."""
    return uvarint(field << 3 | 2) + uvarint(len(content)) + content


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return uvarint(field << 3) + uvarint(value)


def shown(message: KadMessage) -> dict[str, object]:
    """The message as the Go program of ``tests/interop`` prints it: the extensions are unknown to it."""
    fields: dict[str, object] = {
        "type": message.type.name,
        "key": message.key.hex(),
        "closerPeers": [_shown_peer(peer) for peer in message.closer_peers],
        "providerPeers": [_shown_peer(peer) for peer in message.provider_peers],
        "clusterLevelRaw": message.cluster_level_raw,
        "unknown": _extensions(message.sender, message.refusal),
    }
    if message.record is not None:
        fields["record"] = {
            "key": message.record.key.hex(),
            "value": message.record.value.hex(),
            "timeReceived": message.record.time_received,
        }
    return fields


def _shown_peer(peer: KadPeer) -> dict[str, object]:
    return {
        "id": peer.peer_id.hex(),
        "addrs": [address.hex() for address in peer.addresses],
        "connection": peer.connection,
        "unknown": _extensions(peer.contact, peer.rtt_us),
    }


def _extensions(contact: bytes, value: int) -> str:
    return ((octets(1000, contact) if contact else b"") + (number(1001, value) if value else b"")).hex()
