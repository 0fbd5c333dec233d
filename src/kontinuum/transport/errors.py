"""What can go wrong between two endpoints, by who must act."""

from dataclasses import dataclass
from enum import IntEnum

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError


class CloseKind(IntEnum):
    """How a connection ended; the numbers are those of the native engine."""

    LOCAL = 0
    """We closed it."""
    APPLICATION = 1
    """The peer closed it, with a code and a reason of its own."""
    PEER_TRANSPORT = 2
    """The peer's transport ended it."""
    OUR_TRANSPORT = 3
    """Our transport ended it: the peer broke the protocol, or the handshake failed."""
    TIMED_OUT = 4
    """Nothing was heard for too long."""
    RESET = 5
    """The peer forgot the connection, most likely by a restart."""
    FAILED = 6
    """It could not even begin."""


class CloseCode(IntEnum):
    """Codes with which a node closes a connection. docs/protocols/handshake.md."""

    NONE = 0
    """Nothing to say: the node is done."""
    SHUTDOWN = 1
    """The node stops."""
    DUPLICATE = 2
    """Another connection of the same pair is kept."""
    EVICTED = 3
    """The node has too many connections and this one was idle."""
    FULL = 4
    """The node has too many connections and none of them was idle."""
    REVOKED = 5
    """The key that the peer has shown was taken out of use in its cluster."""


@dataclass(frozen=True, slots=True)
class CloseReason:
    """Why a connection is over.

    Args:
        kind: Who ended it, and on which floor.
        code: The peer's or our code; a TLS alert is 0x100 plus its number (RFC 9001, section 4.8).
        text: The words that came with it; a peer's words are untrusted.
    """

    kind: CloseKind
    code: int
    text: str

    def __str__(self) -> str:
        words = {
            CloseKind.LOCAL: "we closed it",
            CloseKind.APPLICATION: "the peer closed it",
            CloseKind.PEER_TRANSPORT: "the peer's transport ended it",
            CloseKind.OUR_TRANSPORT: "our transport ended it",
            CloseKind.TIMED_OUT: "the peer fell silent",
            CloseKind.RESET: "the peer restarted",
            CloseKind.FAILED: "it could not begin",
        }[self.kind]
        return f"{words}: {self.text!r} (code {self.code:#x})" if self.text or self.code else words


class ConnectionLostError(UnavailableError):
    """The connection ended before the answer came. What the peer did with the request is unknown."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(f"the connection is lost: {reason}")
        self.reason = reason


class ConnectError(UnavailableError):
    """No connection could be made."""


class DialTimeoutError(ConnectError):
    """Nobody answered in time."""


class PeerRefusedError(ConnectError):
    """The peer has no room for us now."""


class HandshakeError(PeerError):
    """The handshake failed; a retry will fail in the same way."""


class WrongPeerError(HandshakeError):
    """At that address somebody answers who does not hold the expected key."""


class NoKeyError(HandshakeError):
    """A peer without a key of its own is not served."""


class NoCommonProtocolError(HandshakeError):
    """The peer speaks none of the protocols that we offer."""


class UnfitKeyError(HandshakeError):
    """The peer's key is no identity: of small order, or not in canonical form."""


class UnsupportedIdentityError(HandshakeError):
    """The peer's libp2p identity is not an Ed25519 key, and ours all are."""


class ExpiredCertificateError(HandshakeError):
    """The peer's certificate is not valid now; perhaps a clock is wrong."""


class BadCertificateError(HandshakeError):
    """The peer did not show exactly one certificate in the form of libp2p; the words say what was wrong."""


class UnprovenIdentityError(HandshakeError):
    """The peer's certificate names no libp2p identity, or one that did not sign it."""


_ALERTS: dict[int, tuple[type[HandshakeError], str]] = {
    42: (WrongPeerError, "another key than the expected one"),
    43: (UnsupportedIdentityError, "an identity that is not an Ed25519 key"),
    45: (ExpiredCertificateError, "the certificate is not valid now"),
    46: (BadCertificateError, "not exactly one certificate in the form of libp2p"),
    48: (UnprovenIdentityError, "no identity has signed the certificate"),
    49: (UnfitKeyError, "the key is no identity"),
    116: (NoKeyError, "no key was presented"),
    120: (NoCommonProtocolError, "no common protocol"),
}
"""TLS alerts (RFC 8446, section 6) that mean something of our own, on both sides."""

_CONNECTION_REFUSED = 0x02
"""QUIC transport error CONNECTION_REFUSED, RFC 9000, section 20.1."""


def connect_error(reason: CloseReason) -> ConnectError | HandshakeError:
    """The error that a dialler gets when the handshake ended for ``reason``."""
    match reason.kind:
        case CloseKind.TIMED_OUT:
            return DialTimeoutError("nobody answered")
        case CloseKind.OUR_TRANSPORT | CloseKind.PEER_TRANSPORT:
            if reason.code == _CONNECTION_REFUSED:
                return PeerRefusedError("the peer takes no connection now")
            error, words = _ALERTS.get(reason.code - 0x100, (HandshakeError, reason.text or "it broke off"))
            return error(f"the handshake failed: {words} ({reason})")
        case _:
            return ConnectError(f"no connection: {reason}")


class StreamResetError(PeerError):
    """The peer gave up its half of a stream.

    Args:
        code: Its code, chosen by the application or from docs/protocols/rpc.md.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the peer gave up the stream (code {code})")
        self.code = code


class StreamStoppedError(PeerError):
    """The peer refuses what we send on a stream."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the peer refuses the stream (code {code})")
        self.code = code


class StreamOverflowError(UnavailableError):
    """More came on a raw stream than was read in time; the rest was refused, what was unread is lost."""

    def __init__(self) -> None:
        super().__init__("more came on the stream than was read; the rest was refused")


class StreamEndedError(PeerError):
    """The stream ended before the bytes that were asked for."""

    def __init__(self, partial: bytes, wanted: int) -> None:
        super().__init__(f"the stream ended after {len(partial)} of {wanted} bytes")
        self.partial = partial


class StreamClosedError(MisuseError):
    """We finished or reset this stream ourselves; nothing more can be sent or received on it."""


class MessageTooLargeError(MisuseError):
    """A message, request or reply is longer than MESSAGE_BYTES_MAX; send it through a stream."""

    def __init__(self, length: int, length_max: int) -> None:
        super().__init__(f"{length} bytes are more than {length_max}; send them through a stream")


class AddressInUseError(UnavailableError):
    """Another program has the port."""


class TooManyStreamsError(UnavailableError):
    """Thousands of calls or streams wait for this peer already."""
