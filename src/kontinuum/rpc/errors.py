"""What a caller can be told, and how it travels. docs/protocols/rpc.md."""

from enum import IntEnum

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError, UnavailableError

CALL_ERROR_CODE_MIN = 100
"""Smallest code that a handler may choose; those below belong to the protocol."""

CALL_ERROR_CODE_MAX = 999
"""Largest code that a handler may choose."""

ERROR_TEXT_BYTES_MAX = 256
"""Bytes of the text that travels with an error; a longer one is cut. Our choice: it is for people."""


class Status(IntEnum):
    """The first number of a reply."""

    OK = 0
    """The rest is the handler's answer."""
    UNKNOWN_PROTOCOL = 1
    """No handler has that name."""
    FAILED = 2
    """The handler failed; why stays with its node."""
    BUSY = 3
    """Too many handlers are at work."""
    TIMED_OUT = 4
    """The handler did not finish before the caller's deadline."""


class StreamCode(IntEnum):
    """Codes with which the stream of a call is ended without a reply. native/src/engine/event.rs."""

    CANCELLED = 1
    """The caller no longer wants the answer."""
    BUSY = 2
    """Too much is buffered or running."""
    UNKNOWN_KIND = 5
    """Nobody serves this."""


class CallTimeoutError(UnavailableError):
    """No answer came in time. What the peer did with the request is unknown."""


class InvalidTimeoutError(MisuseError):
    """A time-out is a number of seconds above 0."""


class CallCancelledError(UnavailableError):
    """The peer ended the call without an answer, as it does when it stops."""


class BusyError(UnavailableError):
    """The peer works on as many calls as it allows; try later."""


class CallTooLargeError(MisuseError):
    """The request is longer than a call may be; use a stream."""


class UnknownProtocolError(PeerError):
    """The peer has no handler for the protocol."""


class RemoteError(PeerError):
    """The peer's handler failed, or refused with a code of its own.

    Args:
        code: 2 when the handler failed, or the code from 100 to 999 that it chose.
        text: The peer's words, untrusted.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the peer answered with error {code}" + (f": {text}" if text else ""))
        self.code = code
        self.text = text


class CallError(KontinuumError):
    """Raised by a handler to tell its caller something: it gets ``RemoteError(code, text)``.

    Args:
        code: CALL_ERROR_CODE_MIN to CALL_ERROR_CODE_MAX, chosen by the protocol's author.
        text: Words for people; the caller sees them, so no internals.
    """

    def __init__(self, code: int, text: str = "") -> None:
        if type(code) is not int or not CALL_ERROR_CODE_MIN <= code <= CALL_ERROR_CODE_MAX:
            raise MisuseError(
                f"a handler's error code is {CALL_ERROR_CODE_MIN} to {CALL_ERROR_CODE_MAX}, not {code}"
            )
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def encoded_text(self) -> bytes:
        """What travels of the text: UTF-8, at most ERROR_TEXT_BYTES_MAX bytes, no character cut in two."""
        cut = str(self.text).encode(errors="replace")[:ERROR_TEXT_BYTES_MAX]
        return cut.decode(errors="ignore").encode()


def error_of(status: int, body: bytes, protocol: str = "") -> KontinuumError:
    """The error that a reply with ``status`` means to its caller. ``body`` is untrusted."""
    text = body[:ERROR_TEXT_BYTES_MAX].decode(errors="replace")
    match status:
        case Status.UNKNOWN_PROTOCOL:
            return UnknownProtocolError(f"the peer does not know the protocol {protocol or text!r}")
        case Status.BUSY:
            return BusyError("the peer is busy")
        case Status.TIMED_OUT:
            return CallTimeoutError("the peer's handler did not finish in time")
        case _:
            return RemoteError(status, text)
