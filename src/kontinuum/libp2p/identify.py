"""What a peer says of itself on ``/ipfs/id/1.0.0``, and again on ``/ipfs/id/push/1.0.0`` when it changes.

Source:   libp2p specs, identify/README.md; go-libp2p 0.51, p2p/protocol/identify (how messages are split, and
          what a push may leave out).
Differs:  what may be there once is refused when one message has it twice; of several messages the last one
          counts.
Bounds:   the IDENTIFY_* limits; ours has at most SENT_BYTES_MAX.
Trust:    all of it is a claim, but for the key, which must be that of the connection. A signed record in it
          is checked by its own module.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from kontinuum.identity import Multiaddr, PeerId
from kontinuum.libp2p.addresses import encode_address, usable_addresses
from kontinuum.libp2p.errors import IdentifyError
from kontinuum.libp2p.fields import Octets, Schema, octets
from kontinuum.libp2p.frames import FrameReader, frame
from kontinuum.libp2p.public_key import PUBLIC_KEY_BYTES_MAX, decode_public_key, encode_public_key
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    IDENTIFY_ADDRESSES_MAX,
    IDENTIFY_BYTES_MAX,
    IDENTIFY_MESSAGES_MAX,
    IDENTIFY_PROTOCOLS_MAX,
    IDENTIFY_TEXT_BYTES_MAX,
    LIBP2P_ADDRESS_BYTES_MAX,
    LIBP2P_PROTOCOL_BYTES_MAX,
    PEER_RECORD_BYTES_MAX,
)

SENT_BYTES_MAX = 4096
"""Bytes of our own message. rust-libp2p reads no more. Addresses are left out until it fits."""

_SCHEMA = Schema(
    "an identify message",
    {
        1: Octets(PUBLIC_KEY_BYTES_MAX),
        2: Octets(LIBP2P_ADDRESS_BYTES_MAX, IDENTIFY_ADDRESSES_MAX),
        3: Octets(LIBP2P_PROTOCOL_BYTES_MAX, IDENTIFY_PROTOCOLS_MAX),
        4: Octets(LIBP2P_ADDRESS_BYTES_MAX),
        5: Octets(IDENTIFY_TEXT_BYTES_MAX),
        6: Octets(IDENTIFY_TEXT_BYTES_MAX),
        8: Octets(PEER_RECORD_BYTES_MAX),
    },
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a peer says of itself."""

    public_key: bytes | None = None
    """Protobuf; ``None`` if it was left out."""
    listed: tuple[bytes, ...] = ()
    """Its addresses of any kind, binary."""
    protocols: tuple[str, ...] = ()
    """What it speaks when it is asked."""
    observed: bytes | None = None
    """Where it sees us, binary."""
    protocol_version: str = ""
    agent_version: str = ""
    signed_record: bytes = b""
    """Its peer record in its envelope, unchecked; empty if there was none."""

    def verify(self, peer_id: PeerId) -> Self:
        """Check that the key, if it is there, is that of the connection; return the same again.

        Raises:
            IdentifyError: It is another one.
            ForeignKeyError, BadIdentityError: It is none that we can have.
        """
        if self.public_key is not None and decode_public_key(self.public_key) != peer_id:
            raise IdentifyError(f"{peer_id.short} names another key than it has proven")
        return self

    def addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """The peer's addresses that we could dial."""
        return usable_addresses(self.listed, peer_id)

    def updated_by(self, push: Self) -> Self:
        """This with what a push brought. What the push leaves out stays. identify/README.md, "push"."""
        return replace(
            self,
            public_key=self.public_key if push.public_key is None else push.public_key,
            listed=push.listed or self.listed,
            protocols=push.protocols or self.protocols,
            observed=self.observed if push.observed is None else push.observed,
            protocol_version=push.protocol_version or self.protocol_version,
            agent_version=push.agent_version or self.agent_version,
            signed_record=push.signed_record or self.signed_record,
        )


def encode_identity(
    peer_id: PeerId,
    *,
    addresses: Sequence[Multiaddr],
    protocols: Iterable[str],
    observed: Multiaddr | None,
    protocol_version: str,
    agent_version: str,
    signed_record: bytes,
) -> bytes:
    """Our own message, its length in front: all that goes onto the stream."""
    fixed = octets(1, encode_public_key(peer_id))
    others = b"".join(octets(3, protocol.encode()) for protocol in protocols)
    if observed is not None:
        others += octets(4, encode_address(observed))
    others += octets(5, protocol_version.encode()) + octets(6, agent_version.encode())
    others += octets(8, signed_record)
    room = SENT_BYTES_MAX - len(fixed) - len(others)
    listed = bytearray()
    for address in addresses:
        entry = octets(2, encode_address(address))
        if len(listed) + len(entry) > room:
            break
        listed += entry
    return frame(fixed + listed + others)


class IdentityReader:
    """Reads the messages of one stream: :meth:`receive` each piece, then :meth:`finish`."""

    __slots__ = ("_bytes", "_frames", "_messages")

    def __init__(self) -> None:
        self._frames = FrameReader(IDENTIFY_BYTES_MAX)
        self._bytes = 0
        self._messages: list[Identity] = []

    def receive(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            MalformedError: It is no identify, or beyond a bound.
        """
        self._bytes += len(data)
        if self._bytes > IDENTIFY_BYTES_MAX:
            raise MalformedError(f"more than {IDENTIFY_BYTES_MAX} bytes of identify")
        self._frames.push(data)
        while (content := self._frames.pop()) is not None:
            if len(self._messages) == IDENTIFY_MESSAGES_MAX:
                raise MalformedError(f"more than {IDENTIFY_MESSAGES_MAX} messages of identify")
            self._messages.append(_decode(content))

    def finish(self) -> Identity:
        """The stream has ended: what all messages say together.

        Raises:
            MalformedError: There was none, or the last one is cut off.
        """
        if not self._messages or not self._frames.is_empty:
            raise MalformedError("identify is cut off")
        merged = self._messages[0]
        for message in self._messages[1:]:
            # As protobuf merges: what is there once is replaced, lists grow.
            merged = replace(
                merged.updated_by(message),
                listed=merged.listed + message.listed,
                protocols=merged.protocols + message.protocols,
            )
        return merged


def _decode(data: bytes) -> Identity:
    found = _SCHEMA.read(data)
    return Identity(
        public_key=found.one(1),
        listed=found.many(2),
        protocols=tuple(_text(content) for content in found.many(3)),
        observed=found.one(4),
        protocol_version=_text(found.one(5) or b""),
        agent_version=_text(found.one(6) or b""),
        signed_record=found.one(8) or b"",
    )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MalformedError("a text of identify is not UTF-8") from None
