"""What the two machines are told, and what they ask for: small frozen dataclasses.

Pure: data only. The shell performs effects in order and feeds back the event that each one names.
"""

from dataclasses import dataclass

from kontinuum.transfer.messages import Answer, FileOffer, Message, Offer, Unknown

UNKNOWN_MESSAGES_MAX = 16
"""Messages of unknown kind that a session skips. Our choice (ADR 0012): a newer peer may have a few new ones;
one more ends the session."""

IDLE_TIMEOUT_S = 60.0
"""Seconds without any progress after which a session is given up. Our choice (ADR 0012): above the idle
time-out of a connection, so that a dead connection is reported as such."""

HASH_BYTES_PER_S_MIN = 50e6
"""Bytes per second that we expect the other side to hash or to sync at least; what it may have to hash before
its next message extends the idle time-out by this rate. Our choice (ADR 0012): a slow disk reads twice
that."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    code: int
    """``Code.STORED`` or the reason why not; a number beyond ``Code`` comes from a newer peer."""
    resumed_from: int = 0
    """Bytes that did not travel because an earlier session had left them there."""
    digest: bytes = b""
    """BLAKE3 of the file; empty unless stored."""


# --- events for both ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message came from the peer."""

    message: Message | Unknown


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer ended its half of the stream, or the stream is lost."""

    reason: str = ""
    """Empty for an orderly end."""


@dataclass(frozen=True, slots=True)
class Moved:
    """``count`` bytes of the current file's content went over the stream."""

    count: int


# --- events for the sender ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrefixHashed:
    """Answer to :class:`HashPrefix`. ``digest`` is ``None`` when the source changed or cannot be read."""

    index: int
    digest: bytes | None
    code: int = 0
    """Why there is no digest."""


@dataclass(frozen=True, slots=True)
class ContentEnded:
    """Answer to :class:`SendContent`: all bytes are written; ``digest`` is that of the whole file."""

    index: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ContentFailed:
    """Answer to :class:`SendContent`: stopped early, on demand (``CANCELLED``) or by the source."""

    index: int
    code: int


# --- events for the receiver ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decided:
    """Answer to :class:`Decide`."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class PartFailed:
    """The partial file cannot be opened or written any more."""

    index: int
    code: int


@dataclass(frozen=True, slots=True)
class Finalised:
    """Answer to :class:`Finalise`: verified and in place (``STORED``), or why not."""

    index: int
    code: int


SenderEvent = Received | StreamEnded | Moved | PrefixHashed | ContentEnded | ContentFailed
ReceiverEvent = Received | StreamEnded | Moved | Decided | PartFailed | Finalised

# --- effects of both ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Write this message to the stream."""

    message: Message


@dataclass(frozen=True, slots=True)
class Finished:
    """The session is complete; end our half of the stream."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The session is over before it was complete; what can be resumed later is kept."""

    reason: str


# --- effects of the sender ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HashPrefix:
    """Hash the first ``offset`` bytes of the source; tell :class:`PrefixHashed`."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class SendContent:
    """Write the source from ``offset`` on as chunks; tell ``Moved`` and one of the two ``Content...``."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class StopContent:
    """Stop the running :class:`SendContent` at the next chunk border."""

    index: int


# --- effects of the receiver ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the policy and the disk about the offer; tell :class:`Decided`.

    ``problems`` holds, for each file, ``0`` or the code with which it must be refused whatever they say.
    """

    offer: Offer
    problems: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenPart:
    """Open the partial file and cut it to ``offset``; tell :class:`PartFailed` if that fails."""

    index: int
    file: FileOffer
    offset: int


@dataclass(frozen=True, slots=True)
class TakeContent:
    """Read ``length`` bytes of content; append them to the open part, or throw them away."""

    length: int
    keep: bool


@dataclass(frozen=True, slots=True)
class Finalise:
    """Verify the open part against ``digest`` and move it into place; tell :class:`Finalised`."""

    index: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ClosePart:
    """Close the open part; what was written stays for a later session."""

    index: int


SenderEffect = Send | Finished | Interrupted | HashPrefix | SendContent | StopContent
ReceiverEffect = Send | Finished | Interrupted | Decide | OpenPart | TakeContent | Finalise | ClosePart
