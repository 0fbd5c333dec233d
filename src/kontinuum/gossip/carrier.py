"""What the router's shell needs of a stream to a peer, whatever kind of connection carries it.

``streams`` fills it with the message streams of our own connections, the libp2p room with streams of its
kind: to the machine both look alike.
"""

from typing import Protocol

from kontinuum.gossip.events import Protocol as PubSubProtocol


class Carrier(Protocol):
    """Our stream to one peer. Nothing here waits or raises; who waits for nobody can be harmed by nobody."""

    @property
    def protocol(self) -> PubSubProtocol:
        """What the peer speaks on it."""

    @property
    def outbound(self) -> bool:
        """We dialled the connection."""

    @property
    def address(self) -> str | None:
        """The peer's IP address as text, or ``None`` if it says nothing about who else is there."""

    @property
    def is_open(self) -> bool:
        """Something can be sent. If not now, the service's ``writable`` tells when."""

    @property
    def room_bytes(self) -> int:
        """Bytes that it takes before it counts as full."""

    def send(self, rpc: bytes) -> int:
        """Queue one RPC, protobuf bytes. Returns how many bytes wait on the stream now.

        After the stream's end nothing happens: its owner learns of it from the stream, and tells the service.
        """

    def call_when_low(self) -> bool:
        """Call the service's ``writable`` once, when at most half of ``room_bytes`` waits.

        Returns whether the call will come; false if that little waits already.
        """

    def close(self) -> None:
        """End the stream after what was queued."""
