"""What goes into the gossip router and what comes out of it.

Events tell what happened or what our own program wants; effects are performed in order by the shell
(``service.py``, ``kontinuum.sim``). Plain values: a run can be logged and replayed.
"""

from dataclasses import dataclass
from enum import Enum

from kontinuum.identity import PeerId

SEND_ROOM_BYTES = 256 * 1024
"""Bytes that a fresh stream takes unless the shell says otherwise. Our choice: some 600 small messages."""


class Protocol(Enum):
    """What a peer speaks, by the protocol id of its stream. The value is that id."""

    FLOODSUB = "/floodsub/1.0.0"
    MESHSUB_1_0 = "/meshsub/1.0.0"
    MESHSUB_1_1 = "/meshsub/1.1.0"
    MESHSUB_1_2 = "/meshsub/1.2.0"

    @property
    def has_mesh(self) -> bool:
        """Whether the peer can be in a mesh and takes gossip."""
        return self is not Protocol.FLOODSUB

    @property
    def has_backoff(self) -> bool:
        """Whether its PRUNE may carry a backoff and peers (v1.1)."""
        return self in (Protocol.MESHSUB_1_1, Protocol.MESHSUB_1_2)

    @property
    def has_idontwant(self) -> bool:
        """Whether it knows IDONTWANT (v1.2)."""
        return self is Protocol.MESHSUB_1_2


class Verdict(Enum):
    """What a validator says of a message. gossipsub v1.1, "Extended Validators"."""

    ACCEPT = "accept"
    """Deliver and forward it."""
    IGNORE = "ignore"
    """Neither, but nobody is to blame."""
    REJECT = "reject"
    """Neither, and whoever sent it to us pays (P4)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose signature was verified."""

    topic: str
    data: bytes
    author: PeerId
    """Who signed it."""
    seqno: int
    """64 bits; a Kontinuum node puts the Unix time in nanoseconds here."""
    message_id: bytes
    """The author's multihash and the eight bytes of ``seqno``; worked out here, never taken from a peer."""
    received_from: PeerId
    """The peer that brought it first; ourselves for messages of our own."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer that somebody named, and perhaps how it can be reached."""

    peer: PeerId
    record: bytes = b""
    """Its signed peer record (libp2p RFC 0003), checked; empty if nobody gave one."""


class DisconnectReason(Enum):
    """Why the router has no use for a connection."""

    STALLED = "the peer has read nothing for too long"
    GRAYLISTED = "the peer's score is below the graylist threshold"
    TOO_MANY_PEERS = "as many peers are connected as can be scored"


# --- events: what happened ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """RPCs can be exchanged with a peer from now on. Comes before its first :class:`RpcReceived`.

    For a peer that is connected already it means that its stream was opened anew: the peer is told our
    subscriptions again, and meshes are made anew.
    """

    peer: PeerId
    protocol: Protocol
    outbound: bool
    """We dialled."""
    address: str | None = None
    """Its IP address as text, for the colocation factor (P6); ``None`` if that means nothing (relayed)."""
    room_bytes: int = SEND_ROOM_BYTES
    """What its stream takes now; see :class:`Writable`. 0 if our stream to it is not open yet."""


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """No RPC can be exchanged with a peer any more."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerRenamed:
    """A peer goes by another name, under which nobody is connected; its stream goes on."""

    peer: PeerId
    name: PeerId


@dataclass(frozen=True, slots=True)
class PeerInherits:
    """Two names are the same peer's: what counts against ``other`` counts against ``peer`` too."""

    peer: PeerId
    other: PeerId


@dataclass(frozen=True, slots=True)
class RpcReceived:
    """One RPC of a peer, protobuf bytes without a length in front."""

    peer: PeerId
    data: bytes


@dataclass(frozen=True, slots=True)
class Writable:
    """The stream to a peer takes so many bytes from now on, replacing what was left.

    Each :class:`Send` takes its size off; at 0 or below nothing more is sent to the peer until the next
    Writable. The last Send may go beyond 0 by one RPC. The shell says it when there is room again, and at
    least each time when half of the room is used up, so that a fast peer is never waited for.
    """

    peer: PeerId
    room_bytes: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Peers that a rendezvous found for a topic, in answer to :class:`FindPeers` or by chance."""

    topic: str
    peers: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Validated:
    """The application's verdict on a message, in answer to :class:`Validate`."""

    message_id: bytes
    verdict: Verdict


# --- events: what our own program wants --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Join a topic. For a topic that we are in it only sets ``validate``."""

    topic: str
    validate: bool = False
    """Ask by :class:`Validate` before a message is delivered and forwarded."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Leave a topic."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Sign and send a message. Ends in one :class:`Published` or :class:`NotPublished` with that token."""

    topic: str
    data: bytes
    token: int


@dataclass(frozen=True, slots=True)
class PublishBatch:
    """Several messages at once: each peer gets them in another order, so that they spread sooner.

    Ends in one Published or NotPublished for each of them, in their order, all with that token.
    """

    messages: tuple[tuple[str, bytes], ...]
    """Topic and data."""
    token: int


@dataclass(frozen=True, slots=True)
class AddDirectPeer:
    """Keep a connection to a peer and exchange every message with it, whatever its score (v1.1)."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class RemoveDirectPeer:
    """Treat a peer like any other again."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SetApplicationScore:
    """What the application thinks of a peer: P5."""

    peer: PeerId
    value: float


# --- effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Write one RPC to a peer's stream now."""

    peer: PeerId
    data: bytes
    """Protobuf bytes without a length in front."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand a message to the local subscribers of its topic; our own messages too."""

    message: Message


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask the application about a message; answered by one :class:`Validated`."""

    message: Message


@dataclass(frozen=True, slots=True)
class Published:
    """A message of ours is on its way."""

    token: int
    message_id: bytes
    peers: int
    """To how many it was queued at once. If 0, it goes to the first peers of the topic that turn up soon."""


@dataclass(frozen=True, slots=True)
class NotPublished:
    """A message of ours cannot be sent; nothing happened."""

    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to some of these peers, of which none is connected."""

    topic: str | None
    """For which topic; ``None`` for direct peers."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class FindPeers:
    """Ask the rendezvous for peers of a topic: there are too few. Comes again, ever more rarely."""

    topic: str


@dataclass(frozen=True, slots=True)
class Advertise:
    """Tell the rendezvous that we are in a topic, and go on telling it."""

    topic: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Stop telling it."""

    topic: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The router has no use for this peer; other rooms may have."""

    peer: PeerId
    reason: DisconnectReason


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A connected peer has subscribed to a topic that we are in."""

    topic: str
    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """It has left it, or is gone."""

    topic: str
    peer: PeerId


Event = (
    PeerConnected
    | PeerDisconnected
    | PeerRenamed
    | PeerInherits
    | RpcReceived
    | Writable
    | Candidates
    | Validated
    | Subscribe
    | Unsubscribe
    | Publish
    | PublishBatch
    | AddDirectPeer
    | RemoveDirectPeer
    | SetApplicationScore
)

Effect = (
    Send
    | Deliver
    | Validate
    | Published
    | NotPublished
    | Connect
    | FindPeers
    | Advertise
    | Withdraw
    | Disconnect
    | PeerJoined
    | PeerLeft
)
