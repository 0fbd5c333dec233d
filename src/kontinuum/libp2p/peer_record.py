"""A peer's own signed word about its addresses, as identify and peer exchange carry it.

Source:   libp2p RFC 0002 (signed envelopes) and RFC 0003 (routing records).
Differs:  from the text of RFC 0003, as every implementation does: the domain is ``libp2p-peer-record`` and
          the payload's type ``03 01`` (go-libp2p core/peer/record.go; js-libp2p @libp2p/peer-record).
Bounds:   PEER_RECORD_BYTES_MAX, IDENTIFY_ADDRESSES_MAX, LIBP2P_ADDRESS_BYTES_MAX.
Trust:    input is hostile. A record that exists was signed by the peer that it names; what it says of its
          addresses may still be wrong.
Pure:     no I/O, clock or randomness; the signature is made by who holds the key.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kontinuum._native import ed25519_verify
from kontinuum.base.errors import PeerError
from kontinuum.identity import Multiaddr, PeerId
from kontinuum.libp2p.addresses import encode_address, usable_addresses
from kontinuum.libp2p.errors import BadPeerRecordError
from kontinuum.libp2p.fields import Octets, Schema, octets, whole_number
from kontinuum.libp2p.frames import frame
from kontinuum.libp2p.public_key import PUBLIC_KEY_BYTES_MAX, decode_public_key, encode_public_key
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    IDENTIFY_ADDRESSES_MAX,
    LIBP2P_ADDRESS_BYTES_MAX,
    PEER_RECORD_BYTES_MAX,
    SIGNATURE_BYTES,
)

Sign = Callable[[bytes], bytes]
"""The 64-byte Ed25519 signature by our key over exactly these bytes."""

_DOMAIN = b"libp2p-peer-record"
_TYPE = bytes.fromhex("0301")

_ENVELOPE = Schema(
    "an envelope",
    {
        1: Octets(PUBLIC_KEY_BYTES_MAX),
        2: Octets(64),
        3: Octets(PEER_RECORD_BYTES_MAX),
        5: Octets(SIGNATURE_BYTES),
    },
)
_RECORD = Schema(
    "a peer record",
    {1: Octets(64), 3: Octets(LIBP2P_ADDRESS_BYTES_MAX + 8, IDENTIFY_ADDRESSES_MAX)},
    (2,),
)
_ADDRESS = Schema("an address of a peer record", {1: Octets(LIBP2P_ADDRESS_BYTES_MAX)})


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What a peer says of its addresses."""

    peer_id: PeerId
    sequence: int
    """Of two records of a peer the one with the greater number is newer."""
    listed: tuple[bytes, ...]
    """Its addresses of any kind, binary."""

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Those that we could dial."""
        return usable_addresses(self.listed, self.peer_id)


def signed_bytes(payload: bytes) -> bytes:
    """What the signature of an envelope covers. RFC 0002, "Signature Production / Verification"."""
    return frame(_DOMAIN) + frame(_TYPE) + frame(payload)


def seal_peer_record(peer_id: PeerId, sequence: int, addresses: Iterable[Multiaddr], sign: Sign) -> bytes:
    """Our own record in its envelope."""
    payload = octets(1, peer_id.multihash) + whole_number(2, sequence)
    payload += b"".join(octets(3, octets(1, encode_address(address))) for address in addresses)
    return (
        octets(1, encode_public_key(peer_id))
        + octets(2, _TYPE)
        + octets(3, payload)
        + octets(5, sign(signed_bytes(payload)))
    )


def open_peer_record(data: bytes) -> PeerRecord:
    """Check an envelope and read the record in it.

    Raises:
        BadPeerRecordError: The signature is wrong, it is of another peer, or it is no peer record.
        ForeignKeyError, BadIdentityError: The peer is none that we can have.
        MalformedError: It is no envelope, or beyond a bound.
    """
    if len(data) > PEER_RECORD_BYTES_MAX:
        raise MalformedError(
            f"a peer record of {len(data)} bytes, where {PEER_RECORD_BYTES_MAX} are the most"
        )
    envelope = _ENVELOPE.read(data)
    payload, signature = envelope.one(3) or b"", envelope.one(5) or b""
    if envelope.one(2) != _TYPE:
        raise BadPeerRecordError("an envelope with something else in it than a peer record")
    peer_id = decode_public_key(envelope.one(1) or b"")
    try:
        ed25519_verify(peer_id, signed_bytes(payload), signature)
    except ValueError:
        raise BadPeerRecordError(f"{peer_id.short} did not sign this peer record") from None
    record = _RECORD.read(payload)
    if record.one(1) != peer_id.multihash:
        raise BadPeerRecordError(f"{peer_id.short} signed a peer record of another peer")
    listed = tuple(_ADDRESS.read(entry).one(1) or b"" for entry in record.many(3))
    return PeerRecord(peer_id, record.numbers.get(2, 0), listed)


def is_record_of(peer_id: PeerId, data: bytes) -> bool:
    """Whether ``data`` is a signed record of ``peer_id``, as peer exchange of gossipsub asks."""
    try:
        return open_peer_record(data).peer_id == peer_id
    except PeerError:
        return False
