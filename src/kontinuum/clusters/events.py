"""What goes into the machine of clusters, and what comes out.

Connections are numbers that whoever runs the machine gives; none is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from kontinuum.base.errors import KontinuumError
    from kontinuum.clusters.members import Member
    from kontinuum.clusters.trust import TrustEntry
    from kontinuum.identity import KeyPair, PeerId
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.orders import Order
    from kontinuum.keys.paths import Place
    from kontinuum.keys.statements import Statement

# --- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The machine begins: orders that were not obeyed yet are given again, topics are named."""


@dataclass(frozen=True, slots=True)
class Opened:
    """There is a connection, and its peer has proven its key."""

    connection: int
    """Its number."""

    peer: PeerId
    """The key that the peer has shown."""

    local: PeerId
    """The key that we have shown; an earlier one if the handshake began before we moved on."""

    outbound: bool
    """We dialled; then we open the stream."""

    exporter: bytes
    """32 bytes that only the two ends of this connection know: TLS exporter, ``tags.EXPORTER_LABEL``."""


@dataclass(frozen=True, slots=True)
class StreamReady:
    """The stream of this protocol is open on a connection, ours or the peer's."""

    connection: int


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """That stream is over, or was refused, or could not be opened; the connection stays."""

    connection: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over."""

    connection: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message came on the stream."""

    connection: int
    data: bytes
    """The message, untrusted."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message came on the topic of a cluster."""

    topic: str
    """Which; see ``tags.topic_of``."""

    data: bytes
    """The message, untrusted."""


@dataclass(frozen=True, slots=True)
class Said:
    """Our own user made statements, or was handed some; nothing has merged them yet."""

    cluster: ClusterId
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SaidAgain:
    """What is known and kept shall be published once more, for whoever listens by now."""

    cluster: ClusterId
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class TrustSaid:
    """Our own user trusts a cluster, or trusts it no longer; nothing has merged the entries yet."""

    entries: tuple[TrustEntry, ...]


@dataclass(frozen=True, slots=True)
class OrderGiven:
    """Our own user gives a descendant an order."""

    order: Order


@dataclass(frozen=True, slots=True)
class ParcelSent:
    """Something sealed shall go to a node of our cluster, if there is a session with it."""

    place: Place
    data: bytes


@dataclass(frozen=True, slots=True)
class Moved:
    """This node has another key from now on: tell everybody, and prove it on every session."""

    statements: tuple[Statement, ...]
    """What declares the new key; merged here if it is new."""

    signer: KeyPair
    """The new key."""

    old: PeerId
    """The key until now."""


Event: TypeAlias = (
    Started
    | Opened
    | StreamReady
    | StreamEnded
    | Closed
    | Received
    | Heard
    | Said
    | SaidAgain
    | TrustSaid
    | OrderGiven
    | ParcelSent
    | Moved
)

# --- effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open the stream on a connection. :class:`StreamReady` or :class:`StreamEnded` follows."""

    connection: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on the stream."""

    connection: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """End the stream, both halves, at once; the connection stays. No :class:`StreamEnded` follows."""

    connection: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection. :class:`Closed` need not follow."""

    connection: int
    code: int
    """A ``CloseCode``: REVOKED if the peer's key is out of use, NONE for one that cheats."""
    why: str
    """For the peer and for people."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """The peer of a connection proved that it has another key now."""

    connection: int
    old: PeerId
    new: PeerId


@dataclass(frozen=True, slots=True)
class Recognised:
    """The peer of a connection speaks for a node of our cluster, or of one that we trust."""

    connection: int
    member: Member


@dataclass(frozen=True, slots=True)
class Lost:
    """It does so no longer: its key is out of use, its cluster is trusted no longer, or the session ended."""

    connection: int
    member: Member


@dataclass(frozen=True, slots=True)
class Save:
    """Keep new statements on the disk before the effects that follow are performed."""

    cluster: ClusterId
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SaveTrust:
    """Keep the list of trust (``Book.trust``) on the disk. Other clusters may be in the book than before."""


@dataclass(frozen=True, slots=True)
class SaveOrders:
    """Keep on the disk which orders were taken, before any is obeyed."""

    latest: tuple[tuple[StatementId, int], ...]
    """``Obedience.latest``."""
    pending: tuple[Order, ...]
    """Orders, to anybody, that were not obeyed yet."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish a message on the topic of a cluster."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Follow:
    """These are the topics to listen to from now on, and no others."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chained:
    """A chain grew, whoever said it: nodes may have other keys now."""

    cluster: ClusterId
    added: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """An ancestor orders this node to leave its epoch: rekey."""

    order: Order


@dataclass(frozen=True, slots=True)
class Handed:
    """A node of our cluster handed us something sealed."""

    data: bytes
    sender: Member


@dataclass(frozen=True, slots=True)
class OwnKeyOut:
    """The key of this node speaks for its place no longer; see ``kontinuum.keys.way_back``."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSaid:
    """Something that our own user said was refused; why. What was said besides has its effects."""

    error: KontinuumError


Effect: TypeAlias = (
    OpenStream
    | Send
    | Refuse
    | Cut
    | Renamed
    | Recognised
    | Lost
    | Save
    | SaveTrust
    | SaveOrders
    | Announce
    | Follow
    | Chained
    | Ordered
    | Handed
    | OwnKeyOut
    | NotSaid
)
