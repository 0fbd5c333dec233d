"""A signed stream: content of unknown length, whose every piece is the sender's before it is released.

Source:   docs/protocols/envelope.md. An age file behind a line of ours, with a signature after every segment
          of four chunks; without the line and the signatures it is an age file (:func:`to_age`).
          As saltpack signs packets, so that fellow recipients, who know the data key, cannot forge any.
Bounds:   one segment and one chunk in memory.
Trust:    streams are hostile. Nothing of a segment is released before its signature was verified.
Pure:     no I/O and no clock; keys and nonces take an Entropy.

Each signature covers the claim, everything encrypted so far, and whether it is the last: so segments cannot
be moved, left out, repeated, taken from another stream, or be missing at the end.
"""

from collections.abc import Iterable, Iterator, Sequence

from kontinuum._native import Blake3
from kontinuum.base.entropy import Entropy
from kontinuum.identity.errors import BadSignatureError
from kontinuum.identity.keys import verify
from kontinuum.keys.envelope.claim import Claim, Form, SignedClaim, Signer
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import (
    ForgedError,
    NotAnEnvelopeError,
    TruncatedHeaderError,
    TruncatedPayloadError,
)
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES, FileKey
from kontinuum.keys.envelope.header import HeaderReader
from kontinuum.keys.envelope.opening import Senders, verify_header
from kontinuum.keys.envelope.readers import DecryptionKey, Reader
from kontinuum.keys.envelope.sealing import ClaimSealer
from kontinuum.keys.envelope.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES, Stream
from kontinuum.wire.limits import SIGNATURE_BYTES

MAGIC = b"kontinuum/signed-stream/1\n"
"""The first line of a signed stream; the number is the version."""

SEGMENT_CHUNKS = 4
"""Chunks under one signature. Our choice: 256 KiB, so that signatures cost a tenth of the encryption."""

SEGMENT_PURPOSE = "envelope-segment"
"""The purpose of a segment's signature."""

_PLAIN_BYTES = SEGMENT_CHUNKS * CHUNK_BYTES
_SEALED_BYTES = SEGMENT_CHUNKS * SEALED_CHUNK_BYTES
_SIGNED_BYTES = _SEALED_BYTES + SIGNATURE_BYTES


class _Signatures:
    """What the next segment's signature covers."""

    def __init__(self, signed: SignedClaim, file_key: FileKey, nonce: bytes) -> None:
        self._begin = signed.digest() + file_key.segments_key()
        self._hasher = Blake3()
        self._hasher.update(nonce)

    def after(self, segment: Iterable[bytes], *, final: bool) -> bytes:
        """The bytes to sign when ``segment`` has been added."""
        for part in segment:
            self._hasher.update(part)
        return self._begin + (b"\1" if final else b"\0") + self._hasher.digest()


class StreamSealer:
    """Seals a stream as its content comes; see ``sealing.ClaimSealer`` for the arguments and errors."""

    def __init__(
        self,
        readers: Sequence[Reader],
        *,
        signer: Signer,
        context: Context,
        metadata: bytes = b"",
        entropy: Entropy,
    ) -> None:
        sealer = ClaimSealer(
            readers, Form.STREAM, signer=signer, context=context, metadata=metadata, entropy=entropy
        )
        header, signed = sealer.seal(sealer.claim)
        nonce = entropy.token(PAYLOAD_NONCE_BYTES)
        self._signer = signer
        self._signatures = _Signatures(signed, sealer.file_key, nonce)
        self._stream = Stream(sealer.file_key.payload_key(nonce))
        self._held = bytearray()
        self._head = MAGIC + header + nonce

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more content; yield what can be sent, if anything: a segment is sent when it is full."""
        yield from self._take_head()
        for at in range(0, len(data), _PLAIN_BYTES):
            self._held += data[at : at + _PLAIN_BYTES]
            # The last segment may be a full one, so one full segment is held back.
            if len(self._held) > _PLAIN_BYTES:
                yield from self._seal(bytes(self._held[:_PLAIN_BYTES]), final=False)
                del self._held[:_PLAIN_BYTES]

    def finish(self) -> Iterator[bytes]:
        """Say that no more content comes; yield the last segment."""
        yield from self._take_head()
        yield from self._seal(bytes(self._held), final=True)
        self._held.clear()

    def _take_head(self) -> Iterator[bytes]:
        head, self._head = self._head, b""
        if head:
            yield head

    def _seal(self, segment: bytes, *, final: bool) -> Iterator[bytes]:
        sealed = self._stream.seal_run(memoryview(segment), final=final)
        yield from sealed
        yield self._signer.sign(SEGMENT_PURPOSE, self._signatures.after(sealed, final=final))


class StreamOpener:
    """Opens a stream as it comes. Everything released is the sender's; all of it only after :meth:`finish`.

    Args:
        keys: Ours.
        context: What the stream must be for.
        senders: From whom it may be; ``None`` accepts anybody, and the caller looks at ``claim.sender``.

    Attributes:
        claim: What the sender says, once the header was read.
    """

    def __init__(self, keys: Sequence[DecryptionKey], *, context: Context, senders: Senders = None) -> None:
        self._keys, self._context, self._senders = keys, context, senders
        self._magic = bytearray()
        self._reader = HeaderReader()
        self._buffer = bytearray()
        self._out = memoryview(bytearray(_PLAIN_BYTES))
        self._body: tuple[Stream, _Signatures] | None = None
        self._header: tuple[SignedClaim, FileKey] | None = None
        self.claim: Claim | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; yield the content of each segment that is complete and not the last.

        Raises:
            EnvelopeError: The leaf says what is wrong. Of no further use then.
        """
        data = self._take_begin(data)
        for at in range(0, len(data), _SIGNED_BYTES):
            self._buffer += data[at : at + _SIGNED_BYTES]
            self._take_nonce()
            if len(self._buffer) > _SIGNED_BYTES:
                yield self._open(bytes(self._buffer[:_SIGNED_BYTES]), final=False)
                del self._buffer[:_SIGNED_BYTES]

    def finish(self) -> Iterator[bytes]:
        """Say that no more bytes come; yield the last segment's content, if there is any.

        Raises:
            EnvelopeError: The stream is not whole.
        """
        if len(self._magic) < len(MAGIC):
            raise TruncatedHeaderError("the stream is empty or cut off at its beginning")
        self._reader.finish()
        if self._body is None:
            raise TruncatedHeaderError("the stream is cut off right behind its header")
        yield self._open(bytes(self._buffer), final=True)
        self._buffer.clear()

    def _take_begin(self, data: bytes) -> bytes:
        """Read first line and header; return what is behind them."""
        room = len(MAGIC) - len(self._magic)
        self._magic += data[:room]
        if not MAGIC.startswith(self._magic):
            raise NotAnEnvelopeError("this is no signed stream: it does not begin as one")
        data = data[room:]
        if self._reader.header is not None or not data:
            return data
        behind = self._reader.feed(data)
        if self._reader.header is None or behind is None:
            return b""
        self._header = verify_header(
            self._reader.header, self._keys, Form.STREAM, context=self._context, senders=self._senders
        )
        self.claim = self._header[0].claim
        return behind

    def _take_nonce(self) -> None:
        if self._body is None and self._header is not None and len(self._buffer) >= PAYLOAD_NONCE_BYTES:
            nonce = bytes(self._buffer[:PAYLOAD_NONCE_BYTES])
            del self._buffer[:PAYLOAD_NONCE_BYTES]
            signed, file_key = self._header
            self._body = Stream(file_key.payload_key(nonce)), _Signatures(signed, file_key, nonce)

    def _open(self, segment: bytes, *, final: bool) -> bytes:
        if self._body is None or self.claim is None:
            raise AssertionError("the header comes first")
        sealed, signature = segment[:-SIGNATURE_BYTES], segment[-SIGNATURE_BYTES:]
        if len(segment) <= SIGNATURE_BYTES:
            raise TruncatedPayloadError("the stream is cut off: its last part is missing")
        stream, signatures = self._body
        statement = signatures.after([sealed], final=final)
        # A damaged segment fails here, with its reason: that its signature is wrong too would say less.
        size = stream.open_run(memoryview(sealed), self._out, final=final)
        try:
            verify(self.claim.sender, SEGMENT_PURPOSE, statement, signature)
        except BadSignatureError:
            raise ForgedError(
                f"a part of the stream was not sent by {self.claim.sender.short}, but by another reader",
                self.claim.sender,
            ) from None
        return bytes(self._out[:size])


def seal_stream(
    readers: Sequence[Reader],
    chunks: Iterable[bytes],
    *,
    signer: Signer,
    context: Context,
    metadata: bytes = b"",
    entropy: Entropy,
) -> Iterator[bytes]:
    """Seal what ``chunks`` give, in pieces of any length; see ``sealing.ClaimSealer``."""
    sealer = StreamSealer(readers, signer=signer, context=context, metadata=metadata, entropy=entropy)
    for chunk in chunks:
        yield from sealer.feed(chunk)
    yield from sealer.finish()


def open_stream(
    keys: Sequence[DecryptionKey], chunks: Iterable[bytes], *, context: Context, senders: Senders = None
) -> Iterator[bytes]:
    """The content of a signed stream, whole only if the iterator ends; see :class:`StreamOpener`."""
    opener = StreamOpener(keys, context=context, senders=senders)
    for chunk in chunks:
        yield from opener.feed(chunk)
    yield from opener.finish()


def to_age(stream: bytes) -> bytes:
    """The age file within a signed stream: for age's programs, which do not know the signatures.

    Raises:
        EnvelopeError: It does not begin as a signed stream.
    """
    if not stream.startswith(MAGIC):
        raise NotAnEnvelopeError("this is no signed stream: it does not begin as one")
    reader = HeaderReader()
    payload = reader.feed(stream[len(MAGIC) :])
    reader.finish()
    if reader.header is None or payload is None:
        raise AssertionError("finish() raises for an incomplete header")
    segments = range(PAYLOAD_NONCE_BYTES, len(payload), _SIGNED_BYTES)
    chunks = [payload[at : at + _SIGNED_BYTES][:-SIGNATURE_BYTES] for at in segments]
    return b"".join([reader.header.raw, payload[:PAYLOAD_NONCE_BYTES], *chunks])
