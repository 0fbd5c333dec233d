"""The header of an age file: read line by line from bytes that come in pieces, and written.

Source:   C2SP age.md, "Header" and its ABNF.
Bounds:   ENVELOPE_HEADER_BYTES_MAX, ENVELOPE_LINE_BYTES_MAX, ENVELOPE_STANZAS_MAX. Reading stops at the first
          byte beyond a bound, whatever the header claims to become.
Trust:    any bytes give a header, a wish for more, or an EnvelopeError; whole and split input agree.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kontinuum.keys.envelope.errors import (
    HeaderError,
    HeaderTooLargeError,
    NotAnEnvelopeError,
    TruncatedHeaderError,
    UnknownVersionError,
)
from kontinuum.keys.envelope.file_key import MAC_BYTES, FileKey
from kontinuum.keys.envelope.stanza import COLUMNS, Stanza, decode_base64, encode_base64, parse_arguments
from kontinuum.wire.limits import ENVELOPE_HEADER_BYTES_MAX, ENVELOPE_LINE_BYTES_MAX, ENVELOPE_STANZAS_MAX

_ANY_VERSION = b"age-encryption.org/"
_VERSION = _ANY_VERSION + b"v1"
_END = b"---"
_END_CHARS = len(_END) + 1 + len(encode_base64(bytes(MAC_BYTES)))

HEADER_BYTES_MIN = len(_VERSION) + 1 + _END_CHARS + 1
"""Bytes of a header without any stanza."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it was read."""

    stanzas: tuple[Stanza, ...]
    """One at least, in their order."""

    mac: bytes
    """The authenticator, 32 bytes; checked by :meth:`FileKey.verify_header`."""

    raw: bytes
    """All bytes of it, up to and with the last line's end."""

    last_stanza_at: int
    """Where in ``raw`` the last stanza begins."""

    @property
    def authenticated(self) -> bytes:
        """What the authenticator covers: all but itself and the space before it."""
        return self.raw[: len(self.raw) - _END_CHARS - 1 + len(_END)]


def encode_head(stanzas: Iterable[Stanza]) -> bytes:
    """Version line and stanzas: what stands before the last line."""
    return b"".join([_VERSION, b"\n", *(stanza.encode() for stanza in stanzas)])


def encode_header(head: bytes, file_key: FileKey) -> bytes:
    """A whole header from :func:`encode_head`'s bytes."""
    return b"%b--- %b\n" % (head, encode_base64(file_key.header_mac(head + _END)))


class HeaderReader:
    """Reads one header. Give it bytes by :meth:`feed` until that returns what follows the header."""

    __slots__ = ("_body", "_buffer", "_lines_from", "_pending", "_stanza_at", "_stanzas", "header")

    def __init__(self) -> None:
        self.header: Header | None = None
        """The header, once it is complete."""

        self._buffer = bytearray()
        self._lines_from = 0
        """Where the first line begins that has not been read."""

        self._stanzas: list[Stanza] = []
        self._pending: tuple[str, ...] | None = None
        """The arguments of the stanza whose body is being read."""

        self._body: list[bytes] = []
        self._stanza_at = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take more bytes; return those behind the header when it is complete, else ``None``.

        Raises:
            EnvelopeError: These bytes begin no header of ours; the leaf says why. Of no further use then.
        """
        room = ENVELOPE_HEADER_BYTES_MAX + 1 - len(self._buffer)
        self._buffer += data[:room]
        while self.header is None:
            end = self._buffer.find(b"\n", self._lines_from, self._lines_from + ENVELOPE_LINE_BYTES_MAX + 1)
            if end < 0:
                self._check_unfinished()
                return None
            if end >= ENVELOPE_HEADER_BYTES_MAX:
                raise HeaderTooLargeError(f"the header has more than {ENVELOPE_HEADER_BYTES_MAX} bytes")
            self._take(bytes(self._buffer[self._lines_from : end]), end + 1)
        # Both parts that may follow: what the buffer holds beyond the header, and what did not fit into it.
        behind = bytes(self._buffer[len(self.header.raw) :]) + data[room:]
        self._buffer.clear()
        return behind

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            TruncatedHeaderError: The header is not complete.
        """
        if self.header is None:
            raise TruncatedHeaderError("the file is empty or cut off within its header")

    def _check_unfinished(self) -> None:
        """Refuse what no further byte can make right."""
        line = len(self._buffer) - self._lines_from
        if line > ENVELOPE_LINE_BYTES_MAX:
            # A file of another kind has no line ends where ours has them, but differs at once.
            self._check_begin()
            raise HeaderTooLargeError(f"the header has a line of more than {ENVELOPE_LINE_BYTES_MAX} bytes")
        if len(self._buffer) > ENVELOPE_HEADER_BYTES_MAX:
            raise HeaderTooLargeError(f"the header has more than {ENVELOPE_HEADER_BYTES_MAX} bytes")
        if self._lines_from == 0:
            self._check_begin()

    def _check_begin(self) -> None:
        begin = bytes(self._buffer[: len(_ANY_VERSION)])
        if not _ANY_VERSION.startswith(begin):
            raise NotAnEnvelopeError("this is no sealed file: it does not begin as an age file does")

    def _take(self, line: bytes, after: int) -> None:
        start, self._lines_from = self._lines_from, after
        if start == 0:
            self._take_version(line)
        elif self._pending is not None:
            self._take_body(line)
        elif line.startswith(_END):
            self._take_end(line)
        else:
            if len(self._stanzas) >= ENVELOPE_STANZAS_MAX:
                raise HeaderTooLargeError(f"the header has more than {ENVELOPE_STANZAS_MAX} stanzas")
            self._pending, self._stanza_at = parse_arguments(line), start

    def _take_version(self, line: bytes) -> None:
        if line == _VERSION:
            return
        if not line.startswith(_ANY_VERSION):
            raise NotAnEnvelopeError("this is no sealed file: it does not begin as an age file does")
        raise UnknownVersionError("sealed in a version of age's format that this program does not know")

    def _take_body(self, line: bytes) -> None:
        if len(line) > COLUMNS:
            raise HeaderError("a stanza of the header has a line that is too long")
        self._body.append(decode_base64(line))
        if len(line) < COLUMNS:
            kind, *arguments = self._pending or ("",)
            self._stanzas.append(Stanza(kind, tuple(arguments), b"".join(self._body)))
            self._pending = None
            self._body.clear()

    def _take_end(self, line: bytes) -> None:
        if len(line) != _END_CHARS or line[len(_END) : len(_END) + 1] != b" ":
            raise HeaderError("the last line of the header is not what it must be")
        mac = decode_base64(line[len(_END) + 1 :])
        if not self._stanzas:
            raise HeaderError("the header has no stanza")
        raw = bytes(self._buffer[: self._lines_from])
        self.header = Header(tuple(self._stanzas), mac, raw, self._stanza_at)


def parse_header(data: bytes) -> tuple[Header, bytes]:
    """The header that ``data`` begins with, and what follows it.

    Raises:
        EnvelopeError: There is none; the leaf says why.
    """
    reader = HeaderReader()
    behind = reader.feed(data)
    reader.finish()
    if reader.header is None or behind is None:
        raise AssertionError("finish() raises for an incomplete header")
    return reader.header, behind
