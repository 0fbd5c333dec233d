"""What goes into the DHT machine and what comes out of it.

Events tell what happened or what our own program wants; effects are performed in order by the shell
(``service.py``, ``kontinuum.sim``). Plain values: a run can be logged and replayed.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from kontinuum.dht.keys import KadKey
from kontinuum.dht.peer import Peer
from kontinuum.identity import Contact, PeerId
from kontinuum.messages.kad import KadMessage


class Failure(Enum):
    """Why a request of ours got no answer."""

    UNREACHABLE = "no connection could be made"
    TIMEOUT = "no answer in time"
    MALFORMED = "the answer was none"
    REFUSED = "the peer refused"


class Refusal(IntEnum):
    """Why a record was not kept; the number is on the wire."""

    NONE = 0
    INVALID = 1
    """Its namespace's validator refused it."""
    OLDER = 2
    """We hold a newer one."""
    QUOTA = 3
    """The peer, its prefix or the owner has its share already."""
    FULL = 4
    """The store is full, and nothing in it may go for this."""
    BUSY = 5
    """Too many requests in too short a time."""
    NOT_SERVING = 6
    """We only ask, or hold no records."""


class State(Enum):
    """Where a node stands with the network."""

    STARTING = "starting"
    ALONE = "alone"
    """Nobody was named, and nobody has come: an empty network, not an error."""
    JOINED = "joined"
    """At least one peer answered."""
    UNREACHABLE = "unreachable"
    """Everybody who was named or saved is dead."""


# --- events: what happened ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The first event after :class:`SelfChanged`. Contacts are tried in order, seeds and saved ones alike."""

    seeds: tuple[Contact, ...] = ()
    """Named by our user: of any age, since the identity is pinned when dialling."""
    saved: tuple[Contact, ...] = ()
    """From the table of the last run, best first."""


@dataclass(frozen=True, slots=True)
class SelfChanged:
    """Our own contact is new: at the start, when it was renewed, and when our addresses changed."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class Adopted:
    """We have another identity from now on, and with it another place; this is its contact.

    The peers and records that we have stay as far as they fit. What we publish is published again, but for
    the former contact, which expires.
    """

    contact: Contact


@dataclass(frozen=True, slots=True)
class Met:
    """We are connected to a peer and know its contact, by whichever way. Not verified yet."""

    contact: Contact
    ip: str
    """The address that the connection comes from."""


@dataclass(frozen=True, slots=True)
class Request:
    """A peer asks; answered by exactly one :class:`Answer` with the same ticket, at once."""

    ticket: int
    sender: PeerId
    """Proven by the connection."""
    ip: str
    """The address that the connection comes from."""
    message: KadMessage


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to our :class:`Ask` with that number."""

    request: int
    message: KadMessage
    rtt_s: float
    """From the Ask to the answer, connecting not included."""
    ip: str = ""
    """The address that it came from; empty if not known."""


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no answer to our :class:`Ask`."""

    request: int
    reason: Failure


@dataclass(frozen=True, slots=True)
class Renounced:
    """A peer goes by another identity from now on: nobody is there any more under this one."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """Our machine is somewhere else in the network: look around anew."""


# --- events: what our own program wants. Each ends in exactly one Completed
# -----------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The base of commands."""

    operation: int
    """Chosen by the caller, unique."""
    timeout_s: float
    trace: bool = False
    """Give a :class:`Step` for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPeers(Command):
    """The k peers closest to ``target``. Result: ``Peers``."""

    target: KadKey
    count: int = 0
    """How many; 0 takes k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put(Command):
    """Store a record at the peers closest to its key, and keep it there while we run. Result: ``Stored``."""

    key: bytes
    value: bytes
    keep: bool = True
    """Publish it again until it expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Command):
    """The newest valid record of a key. Result: ``Found``."""

    key: bytes
    quorum: int = 0
    """Valid answers to wait for; 0 takes the setting; 1 for what cannot change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provide(Command):
    """Say that we have what ``key`` names, and go on saying it while we run. Result: ``Stored``."""

    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FindProviders(Command):
    """Peers that provide ``key``, ``count`` or as many as there are. Result: ``Peers``."""

    key: bytes
    count: int = 20


@dataclass(frozen=True, slots=True)
class Unprovide:
    """Stop publishing ``key``: a record of ours or what we provide. No Completed follows."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for that operation any more. No Completed follows."""

    operation: int


# --- effects
# ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Send ``message`` to ``peer``, connecting if need be; ends in one Reply or Failed with that number."""

    request: int
    peer: Peer
    message: KadMessage
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Send ``message`` as the reply to the request with that ticket; ``None`` refuses it without a word."""

    ticket: int
    message: KadMessage | None


@dataclass(frozen=True, slots=True)
class Completed:
    """An operation is over."""

    operation: int
    outcome: "Outcome"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a traced operation ended."""

    operation: int
    peer: Peer
    via: PeerId | None
    """Who named the peer; ``None`` for our own table."""
    path: int
    """Which of the disjoint paths."""
    hop: int
    """Requests from our table to this one, 1 for peers of our table."""
    started_s: float
    """Seconds since the operation began."""
    rtt_s: float | None
    """``None`` if it failed."""
    shared_bits: int
    """Bits that its key shares with the target's, 0 to 256."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Write a record to disk; it replaces one with the same key, and for providers the same provider."""

    key: bytes
    value: bytes
    provider: PeerId | None
    sender: PeerId
    """Whose quota it counts to."""
    expires_at_s: float
    """Unix seconds."""
    ip: str = ""
    """Where the sender was, for the shares of networks; empty if that means nothing."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a record from disk."""

    key: bytes
    provider: PeerId | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Where we stand with the network has changed."""

    state: State


# --- outcomes of operations
# ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peers:
    """Result of FindPeers (closest first, all of them answered) and FindProviders."""

    peers: tuple[Peer, ...]
    hops: int
    """Longest chain of peers from our table to one of those found."""
    requests: int
    complete: bool
    """The lookup came to its end; otherwise the time was over, and these are the best so far."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Result of Put and Provide."""

    holders: tuple[PeerId, ...]
    """Who keeps it."""
    refused: tuple[tuple[PeerId, Refusal], ...]
    hops: int
    requests: int


@dataclass(frozen=True, slots=True)
class Found:
    """Result of Get."""

    value: bytes | None
    """``None``: nobody who was asked has a valid one."""
    answers: int
    """Peers that gave a valid one."""
    rejected: int
    """Peers that gave an invalid one."""
    hops: int
    requests: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The command itself was wrong, or this record may not be put; nothing was sent."""

    reason: str


Outcome = Peers | Stored | Found | Refused

Event = (
    Start
    | SelfChanged
    | Adopted
    | Met
    | Request
    | Reply
    | Failed
    | Renounced
    | NetworkChanged
    | FindPeers
    | Put
    | Get
    | Provide
    | FindProviders
    | Unprovide
    | Cancel
)

Effect = Ask | Answer | Completed | Step | Keep | Drop | StateChanged
