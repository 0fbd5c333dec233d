"""What can go wrong between us and a peer that speaks libp2p, by who must act."""

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError
from kontinuum.wire.errors import MalformedError


class NegotiationError(MalformedError):
    """The peer does not speak multistream-select on a stream; the stream is of no use."""


class UnsupportedProtocolError(PeerError):
    """The peer speaks none of the protocols that were offered on a stream.

    Args:
        protocols: What was offered.
    """

    def __init__(self, protocols: tuple[str, ...]) -> None:
        super().__init__(f"the peer does not speak {' or '.join(protocols)}")
        self.protocols = protocols


class ForeignKeyError(PeerError):
    """A peer's key is not Ed25519: Kontinuum cannot have it as an identity."""


class BadPeerRecordError(PeerError):
    """A signed peer record is not of the peer that it names, or for another use; nothing of it counts."""


class IdentifyError(PeerError):
    """What a peer says of itself contradicts what it has proven."""


class PingError(PeerError):
    """A peer answered a ping with other bytes than it was sent."""


class PeerSilentError(UnavailableError):
    """A peer did not answer on a stream in time; the connection may still be good."""


class NotConnectedError(UnavailableError):
    """There is no libp2p connection with this peer."""


class AddressMisuseError(MisuseError):
    """A libp2p address that our own user gave cannot be dialled; the message says why."""
