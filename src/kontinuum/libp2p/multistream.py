"""Which protocol a stream speaks: multistream-select 1.0, for who opens it and for who is asked.

Source:   libp2p specs, connections/README.md, "multistream-select"; go-multistream 0.6.1 for what it leaves
          open (a proposal may follow the header unasked, and its protocol's first bytes the proposal).
Differs:  ``ls`` is answered ``na``, as go-libp2p does.
Bounds:   MULTISTREAM_LINE_BYTES_MAX a line; OFFERS_MAX proposals on a stream.
Trust:    the other side is hostile; what it sends after the agreement is handed on untouched.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Container, Sequence

from kontinuum.libp2p.errors import NegotiationError, UnsupportedProtocolError
from kontinuum.libp2p.frames import FrameReader, frame
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import MULTISTREAM_LINE_BYTES_MAX

OFFERS_MAX = 16
"""Proposals that a peer may make on one stream. Our choice: go makes five for pubsub. One more: the stream is
reset."""

_HEADER = "/multistream/1.0.0"
_REFUSAL = "na"


def line(text: str) -> bytes:
    """``text`` as it stands on the wire."""
    return frame(text.encode() + b"\n")


HEADER_LINE = line(_HEADER)
REFUSAL_LINE = line(_REFUSAL)


class _Lines:
    """What both sides have in common: the header first, then lines, then the protocol's own bytes."""

    __slots__ = ("_frames", "_greeted", "protocol")

    def __init__(self) -> None:
        self._frames = FrameReader(MULTISTREAM_LINE_BYTES_MAX)
        self._greeted = False
        self.protocol: str | None = None
        """What both have agreed on; ``None`` so far."""

    def rest(self) -> bytes:
        """What came behind the agreement: the first bytes of the protocol. Ask once, when there is one."""
        return self._frames.rest()

    def _next_line(self) -> str | None:
        """The next line behind the header, if it is whole."""
        while True:
            try:
                content = self._frames.pop()
            except MalformedError as error:
                raise NegotiationError(f"no line of multistream-select: {error}") from None
            if content is None:
                return None
            if not content.endswith(b"\n"):
                raise NegotiationError("a line of multistream-select without its line feed")
            try:
                text = content[:-1].decode()
            except UnicodeDecodeError:
                raise NegotiationError("a line of multistream-select that is no text") from None
            if self._greeted:
                return text
            if text != _HEADER:
                raise NegotiationError("the peer does not speak multistream-select 1.0")
            self._greeted = True


class Listener(_Lines):
    """The side that is asked. Feed it until there is a ``protocol``; an error is for good.

    Args:
        protocols: What we speak.
    """

    __slots__ = ("_offers", "_protocols", "_said_header")

    def __init__(self, protocols: Container[str]) -> None:
        super().__init__()
        self._protocols = protocols
        self._said_header = False
        self._offers = 0

    def receive(self, data: bytes) -> bytes:
        """Take what came; return what is to be sent. Not to be called again once there is a ``protocol``.

        Raises:
            NegotiationError: It is no multistream-select, or there were too many proposals.
        """
        self._frames.push(data)
        answers = bytearray()
        while self.protocol is None and (offer := self._next_line()) is not None:
            self._offers += 1
            if self._offers > OFFERS_MAX:
                raise NegotiationError(f"more than {OFFERS_MAX} proposals on one stream")
            if offer in self._protocols:
                self.protocol = offer
                answers += line(offer)
            else:
                answers += REFUSAL_LINE
        # Together with the answer, so that both share a packet; alone for who waits for it first.
        if self._greeted and not self._said_header:
            self._said_header = True
            return HEADER_LINE + answers
        return bytes(answers)


class Dialler(_Lines):
    """The side that asks. Send what :meth:`start` returns, then feed it until there is a ``protocol``.

    A single offer is optimistic: ``payload``, and whatever the caller writes after it, follows at once, and
    is lost if the peer refuses. With several of them ``payload`` waits for the agreement: a peer would take
    it for the next line.

    Args:
        offers: What we want to speak, the best first.
        payload: The protocol's first bytes.
    """

    __slots__ = ("_offers", "_payload", "_tried")

    def __init__(self, offers: Sequence[str], payload: bytes = b"") -> None:
        super().__init__()
        self._offers = tuple(offers)
        self._payload = payload
        self._tried = 0

    @property
    def is_optimistic(self) -> bool:
        """Our own bytes may be written before the peer has answered."""
        return len(self._offers) == 1

    def start(self) -> bytes:
        """What is to be sent first, in one write."""
        first = HEADER_LINE + line(self._offers[0])
        return first + self._payload if self.is_optimistic else first

    def receive(self, data: bytes) -> bytes:
        """Take what came; return what is to be sent. Not to be called again once there is a ``protocol``.

        Raises:
            UnsupportedProtocolError: All offers were refused.
            NegotiationError: It is no multistream-select, or an answer to something else.
        """
        self._frames.push(data)
        out = b""
        while self.protocol is None and (answer := self._next_line()) is not None:
            offer = self._offers[self._tried]
            if answer == offer:
                self.protocol = offer
                return out if self.is_optimistic else out + self._payload
            if answer != _REFUSAL:
                raise NegotiationError("an answer to what was not proposed")
            self._tried += 1
            if self._tried == len(self._offers):
                raise UnsupportedProtocolError(self._offers)
            out += line(self._offers[self._tried])
        return out
