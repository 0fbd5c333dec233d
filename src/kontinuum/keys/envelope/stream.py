"""The payload of an age file: STREAM, chunks of 64 KiB under ChaCha20-Poly1305.

Source:   C2SP age.md, "Payload"; Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption",
          CRYPTO 2015, section 7 (STREAM). The nonce is the chunk's number and whether it is the last: so no
          chunk can be moved, repeated, left out or taken from another payload, and none can be missing at
          the end.
Bounds:   a run of whole chunks at a time; the payload's length has no bound below 2^88 chunks.
Trust:    chunks are hostile. What was decrypted before an error is right, and not all.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kontinuum.identity.secret import Secret
from kontinuum.keys.envelope.errors import DamagedPayloadError, PayloadError, TruncatedPayloadError
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES, TAG_BYTES

CHUNK_BYTES = 64 * 1024
"""Plaintext bytes of every chunk but the last. age.md, "Payload"."""

SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
"""The same, encrypted."""

_COUNTER_BYTES = 11
_MORE, _FINAL = b"\0", b"\1"
_CUT_OFF = "the file is cut off: its last part is missing"


def payload_bytes(plaintext_bytes: int) -> int:
    """How long the payload of a plaintext is, its nonce included."""
    chunks = max(1, -(-plaintext_bytes // CHUNK_BYTES))
    return PAYLOAD_NONCE_BYTES + plaintext_bytes + chunks * TAG_BYTES


class Stream:
    """One payload, sealed or opened from its first chunk to its last. Of no further use after an error.

    Args:
        key: The payload's key, 32 bytes, for this payload only.
    """

    __slots__ = ("_aead", "_counter", "_done")

    def __init__(self, key: Secret) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._counter = 0
        self._done = False

    def seal(self, data: bytes | memoryview, *, final: bool) -> bytes:
        """Encrypt the next chunk: CHUNK_BYTES, or fewer if it is the ``final`` one."""
        if self._done or len(data) > CHUNK_BYTES or (not final and len(data) != CHUNK_BYTES):
            raise AssertionError("only the last chunk is short")
        return self._aead.encrypt(self._advance(final=final), data, None)

    def seal_run(self, data: memoryview, *, final: bool) -> list[bytes]:
        """Encrypt whole chunks, and what remains if they are the ``final`` ones."""
        chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        if final and not chunks and not self._counter:
            chunks = [data]
        last = len(chunks) - 1
        return [self.seal(chunk, final=final and index == last) for index, chunk in enumerate(chunks)]

    def open_into(self, data: memoryview, out: memoryview, *, final: bool) -> int:
        """Decrypt the next chunk into the beginning of ``out``; return its length.

        Raises:
            PayloadError: It was changed, is not the next one, or the payload ends elsewhere.
        """
        first = self._counter == 0
        if self._done:
            raise AssertionError("nothing comes after the last chunk")
        # Only an empty payload has an empty chunk, so that each payload has one form.
        if len(data) < TAG_BYTES or (len(data) == TAG_BYTES and not first):
            raise TruncatedPayloadError(_CUT_OFF)
        nonce = self._advance(final=final)
        size = len(data) - TAG_BYTES
        try:
            self._aead.decrypt_into(nonce, data, None, out[:size])
        except InvalidTag:
            raise self._reason(data, out[:size], final=final) from None
        return size

    def open_run(self, data: memoryview, out: memoryview, *, final: bool) -> int:
        """Decrypt whole chunks, and what remains if they are the ``final`` ones; return the length."""
        if final and not data:
            raise TruncatedPayloadError(_CUT_OFF)
        done = 0
        for at in range(0, len(data), SEALED_CHUNK_BYTES):
            chunk = data[at : at + SEALED_CHUNK_BYTES]
            done += self.open_into(chunk, out[done:], final=final and at + len(chunk) == len(data))
        return done

    def _advance(self, *, final: bool) -> bytes:
        nonce = self._counter.to_bytes(_COUNTER_BYTES) + (_FINAL if final else _MORE)
        self._counter += 1
        self._done = final
        return nonce

    def _reason(self, data: memoryview, out: memoryview, *, final: bool) -> PayloadError:
        """Tell a payload that ends too early, or too late, from a damaged one."""
        other = (self._counter - 1).to_bytes(_COUNTER_BYTES) + (_MORE if final else _FINAL)
        self._done = True
        try:
            self._aead.decrypt_into(other, data, None, out)
        except InvalidTag:
            where = "its last part is damaged, or cut off" if final else "a part of it is damaged"
            return DamagedPayloadError(f"the file is no longer what was sealed: {where}")
        if final:
            recovered = len(out) if len(out) == CHUNK_BYTES else 0  # A short one is right nowhere else.
            return TruncatedPayloadError(_CUT_OFF, recovered_bytes=recovered)
        return DamagedPayloadError(
            "something was appended to the file, behind its end", recovered_bytes=len(out)
        )


class ChunkOpener:
    """Opens a payload that comes in pieces of any length. Holds two chunks at most."""

    __slots__ = ("_buffer", "_out", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._out = memoryview(bytearray(CHUNK_BYTES))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; yield each chunk's plaintext as soon as it is known not to be the last.

        Raises:
            PayloadError: See :meth:`Stream.open_into`.
        """
        for at in range(0, len(data), SEALED_CHUNK_BYTES):
            self._buffer += data[at : at + SEALED_CHUNK_BYTES]
            if len(self._buffer) > SEALED_CHUNK_BYTES:
                yield from self._open(bytes(self._buffer[:SEALED_CHUNK_BYTES]), final=False)
                del self._buffer[:SEALED_CHUNK_BYTES]

    def finish(self) -> Iterator[bytes]:
        """Say that no more bytes come; yield the last chunk's plaintext.

        Raises:
            PayloadError: The payload is not whole.
        """
        yield from self._open(bytes(self._buffer), final=True)

    def _open(self, chunk: bytes, *, final: bool) -> Iterator[bytes]:
        try:
            size = self._stream.open_into(memoryview(chunk), self._out, final=final)
        except PayloadError as error:
            # A right chunk in a wrong place: as much of the file as can be had, then the error.
            if error.recovered_bytes:
                yield bytes(self._out[: error.recovered_bytes])
            raise
        yield bytes(self._out[:size])
