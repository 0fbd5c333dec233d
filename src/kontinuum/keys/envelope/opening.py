"""Open an object: nothing is released before its sender, recipients, purpose and whole content are verified.

Source:   docs/protocols/envelope.md.
Bounds:   those of the header; one run of chunks for :class:`ObjectOpener`.
Trust:    envelopes are hostile, and so are fellow recipients: they know the data key, but cannot sign.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kontinuum._native import Blake3
from kontinuum.identity.peer_id import PeerId
from kontinuum.keys.envelope.claim import Claim, Form, SignedClaim, open_claim, recipient_stanzas
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import (
    ClaimError,
    DamagedPayloadError,
    ForgedError,
    TruncatedPayloadError,
    WrongContextError,
    WrongSenderError,
)
from kontinuum.keys.envelope.file_key import PAYLOAD_NONCE_BYTES, FileKey
from kontinuum.keys.envelope.header import Header, parse_header
from kontinuum.keys.envelope.readers import DecryptionKey, unwrap_file_key
from kontinuum.keys.envelope.stream import Stream, payload_bytes

Senders = Collection[PeerId] | Callable[[PeerId], bool] | None
"""From whom an envelope is accepted: these, those that a function accepts, or (``None``) anybody: then the
caller looks at the claim's sender."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened object: authentic, whole, and meant for this purpose."""

    plaintext: bytes
    """The content."""

    claim: Claim
    """Who sealed it, to whom, and what travelled beside it."""


def verify_header(
    header: Header, keys: Sequence[DecryptionKey], form: Form, *, context: Context, senders: Senders
) -> tuple[SignedClaim, FileKey]:
    """Unwrap the data key and verify everything that a header says.

    Args:
        header: As read.
        keys: Ours.
        form: What is expected to follow the header.
        context: What the envelope must be for.
        senders: From whom it may be.

    Raises:
        EnvelopeError: The leaf says what does not fit.
    """
    file_key, key, stanza = unwrap_file_key(recipient_stanzas(header), keys)
    file_key.verify_header(header.authenticated, header.mac)
    signed = open_claim(header, file_key)
    claim = signed.claim
    # The reader list says truly that we are a reader, at the place where we are one.
    if claim.readers[recipient_stanzas(header).index(stanza)].reader_id != key.recipient.reader_id:
        raise ClaimError("the sender's claim does not list the key that opened the envelope")
    if claim.form is not form:
        raise ClaimError(f"this is sealed as {claim.form.name.lower()}, not as {form.name.lower()}")
    if claim.context != context:
        raise WrongContextError(f"sealed for {claim.context}, but presented for {context}")
    if not _is_accepted(claim.sender, senders):
        raise WrongSenderError(claim.sender)
    return signed, file_key


def _is_accepted(sender: PeerId, senders: Senders) -> bool:
    if senders is None:
        return True
    return senders(sender) if callable(senders) else sender in senders


class ObjectOpener:
    """Opens one object, run by run. What :meth:`open` gives is believed only after :meth:`finish`.

    Args:
        header: The header; the payload's nonce follows it.
        keys: Ours.
        context: What the envelope must be for.
        senders: From whom it may be.
        nonce: The first PAYLOAD_NONCE_BYTES of the payload.

    Raises:
        EnvelopeError: The header cannot be opened or believed.

    Attributes:
        claim: What the sender says; verified but for the content.
        payload_bytes: How long the payload is, nonce included.
    """

    def __init__(
        self,
        header: Header,
        nonce: bytes,
        keys: Sequence[DecryptionKey],
        *,
        context: Context,
        senders: Senders,
    ) -> None:
        signed, file_key = verify_header(header, keys, Form.OBJECT, context=context, senders=senders)
        self.claim = signed.claim
        self.payload_bytes = payload_bytes(self.claim.size_bytes)
        self._hasher = Blake3()
        self._hasher.update(nonce)
        self._stream = Stream(file_key.payload_key(nonce))

    def verify_length(self, found_bytes: int) -> None:
        """Compare the payload's length with what was sealed, before anything is decrypted.

        Raises:
            TruncatedPayloadError: It is shorter.
            DamagedPayloadError: It is longer.
        """
        if found_bytes < self.payload_bytes:
            raise TruncatedPayloadError(
                f"the file is cut off: {found_bytes} of {self.payload_bytes} bytes of its payload are there"
            )
        if found_bytes > self.payload_bytes:
            raise DamagedPayloadError("something was appended to the file, behind its end")

    def open(self, run: bytes, out: memoryview, *, final: bool) -> int:
        """Decrypt the next run of whole chunks into ``out``; return the length.

        Raises:
            PayloadError: It is not what was sealed.
        """
        self._hasher.update(run)
        return self._stream.open_run(memoryview(run), out, final=final)

    def finish(self) -> None:
        """Verify that the content is the sender's, once the final run was opened.

        Raises:
            ForgedError: A fellow recipient, who knows the data key, put another content in.
        """
        if self._hasher.digest() != self.claim.digest:
            raise ForgedError(
                f"the content was replaced after {self.claim.sender.short} sealed it, by another reader",
                self.claim.sender,
            )


def open_bytes(
    keys: Sequence[DecryptionKey], sealed: bytes, *, context: Context, senders: Senders = None
) -> Opened:
    """Open an object that is in memory.

    Args:
        keys: Ours; all are tried.
        sealed: The envelope, hostile.
        context: What it must be for.
        senders: From whom it may be; ``None`` accepts anybody, and the caller looks at ``claim.sender``.

    Raises:
        EnvelopeError: The leaf says what is wrong; nothing was released.
    """
    header, payload = parse_header(sealed)
    if len(payload) < PAYLOAD_NONCE_BYTES:
        raise TruncatedPayloadError("the file is cut off right behind its header")
    nonce, chunks = payload[:PAYLOAD_NONCE_BYTES], payload[PAYLOAD_NONCE_BYTES:]
    opener = ObjectOpener(header, nonce, keys, context=context, senders=senders)
    opener.verify_length(len(payload))
    plaintext = bytearray(opener.claim.size_bytes)
    opener.open(chunks, memoryview(plaintext), final=True)
    opener.finish()
    return Opened(bytes(plaintext), opener.claim)
