"""The sender's claim: who sealed an envelope, to whom, for what, and which content; signed, and encrypted.

Source:   our own (docs/protocols/envelope.md). It is the last stanza of an age header; age's programs skip
          it. Against surreptitious forwarding (Davis, "Defective Sign & Encrypt", USENIX 2001) the signature
          covers every recipient; against fellow recipients, who know the data key, it covers the content.
Bounds:   ENVELOPE_CLAIM_BYTES_MAX, ENVELOPE_RECIPIENTS_MAX, ENVELOPE_METADATA_BYTES_MAX.
Trust:    a claim is read with the data key, so its author is somebody who knows that; only the signature
          says who.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from kontinuum._native import blake3_256
from kontinuum.identity.errors import BadIdentityError, BadSignatureError
from kontinuum.identity.keys import verify
from kontinuum.identity.peer_id import PeerId
from kontinuum.keys.envelope.context import Context
from kontinuum.keys.envelope.errors import ClaimError, ClaimTooLargeError, ForgedError, NotSignedError
from kontinuum.keys.envelope.file_key import TAG_BYTES, FileKey, decrypt_once, encrypt_once
from kontinuum.keys.envelope.header import Header
from kontinuum.keys.envelope.readers import READER_ID_BYTES, Kind, ListedReader, ReaderId, Role
from kontinuum.keys.envelope.stanza import Stanza
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    ENVELOPE_CLAIM_BYTES_MAX,
    ENVELOPE_METADATA_BYTES_MAX,
    ENVELOPE_RECIPIENTS_MAX,
    SIGNATURE_BYTES,
)

CLAIM_STANZA = "kontinuum/envelope/1"
"""The first argument of the stanza that holds a claim; the number is the version."""

CLAIM_PURPOSE = "envelope"
"""The purpose of the signature on a claim."""

CLAIM_BLOCK_BYTES = 256
"""A claim is padded to a multiple of so many bytes, so that its length tells little of names in it. Our
choice."""

DIGEST_BYTES = 32
"""Bytes of BLAKE3-256."""

SIZE_BYTES = 8
"""Bytes of the content's length: of fixed size, so that the header's length is known before the content."""

_LENGTH_BYTES = 2
_FORM, _SENDER, _READERS, _CONTEXT, _METADATA, _SIZE, _DIGEST = range(7)
"""Keys of the claim's map; the last two only in objects."""


class Form(IntEnum):
    """How the content is bound to the claim."""

    OBJECT = 0
    """The claim has the length of the content and the hash of its ciphertext."""

    STREAM = 1
    """The content is signed piece by piece, as it comes (``segments``)."""


class Signer(Protocol):
    """Who signs: a key pair, or a device that holds one."""

    @property
    def peer_id(self) -> PeerId:
        """The identity."""
        ...

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The signature of ``data`` for ``purpose``, as ``KeyPair.sign``."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sender says, once its signature was verified."""

    form: Form
    """How the content is bound to it."""

    sender: PeerId
    """Who sealed it."""

    readers: tuple[ListedReader, ...]
    """Everybody who can open it, in the order of the stanzas."""

    context: Context
    """What it is for."""

    metadata: bytes = field(default=b"", repr=False)
    """What travels beside the content, seen by readers only."""

    size_bytes: int = 0
    """Length of the content; 0 in a stream, where nobody knows it at first."""

    digest: bytes = bytes(DIGEST_BYTES)
    """BLAKE3-256 of the whole payload as it is encrypted; zeros in a stream."""

    def __post_init__(self) -> None:
        if len(self.metadata) > ENVELOPE_METADATA_BYTES_MAX:
            raise ClaimTooLargeError(f"metadata has at most {ENVELOPE_METADATA_BYTES_MAX} bytes")

    def encode(self) -> bytes:
        """The canonical bytes that are signed."""
        fields: dict[cbor.CborKey, cbor.CborValue] = {
            _FORM: self.form,
            _SENDER: self.sender,
            _READERS: [[reader.reader_id.kind, reader.reader_id.id, reader.role] for reader in self.readers],
            _CONTEXT: self.context.to_cbor(),
            _METADATA: self.metadata,
        }
        if self.form is Form.OBJECT:
            fields |= {_SIZE: self.size_bytes.to_bytes(SIZE_BYTES), _DIGEST: self.digest}
        return cbor.encode(fields)


@dataclass(frozen=True, slots=True)
class SignedClaim:
    """A claim as it stands in an envelope."""

    claim: Claim
    """What is said."""

    encoded: bytes
    """The bytes that were signed."""

    signature: bytes
    """Of the sender."""

    def digest(self) -> bytes:
        """What names this very claim; a stream's signatures cover it."""
        return blake3_256(self.encoded + self.signature)


def sign_claim(claim: Claim, head: bytes, file_key: FileKey, signer: Signer) -> SignedClaim:
    """Sign ``claim`` for the header that begins with ``head``."""
    encoded = claim.encode()
    return SignedClaim(claim, encoded, signer.sign(CLAIM_PURPOSE, _signed(head, file_key, encoded)))


def claim_stanza(signed: SignedClaim, file_key: FileKey) -> Stanza:
    """The stanza that holds a claim, encrypted for the readers. Once for each data key."""
    plaintext = len(signed.encoded).to_bytes(_LENGTH_BYTES) + signed.encoded + signed.signature
    plaintext = plaintext.ljust(_padded_bytes(len(signed.encoded)), b"\0")
    return Stanza(CLAIM_STANZA, (), encrypt_once(file_key.claim_key(), plaintext))


def blank_stanza(claim: Claim) -> Stanza:
    """A stanza as long as the one that will hold ``claim``, whose content is not known yet."""
    return Stanza(CLAIM_STANZA, (), bytes(_padded_bytes(len(claim.encode())) + TAG_BYTES))


def _padded_bytes(encoded_bytes: int) -> int:
    length = _LENGTH_BYTES + encoded_bytes + SIGNATURE_BYTES
    return length + -length % CLAIM_BLOCK_BYTES


def recipient_stanzas(header: Header) -> Sequence[Stanza]:
    """The stanzas of a header that wrap a key: all but a claim."""
    return [stanza for stanza in header.stanzas if stanza.kind != CLAIM_STANZA]


def open_claim(header: Header, file_key: FileKey) -> SignedClaim:
    """Read the claim of a header and verify its signature.

    Args:
        header: Its authenticator was verified with ``file_key``.
        file_key: The data key.

    Raises:
        NotSignedError: There is no claim.
        ForgedError: It was not signed by whom it names, or for other recipients or another key.
        ClaimError: It is malformed.
    """
    kinds = [stanza.kind for stanza in header.stanzas]
    if CLAIM_STANZA not in kinds:
        raise NotSignedError("a plain age file: nothing in it says who made it")
    stanza = header.stanzas[-1]
    if kinds.index(CLAIM_STANZA) != len(kinds) - 1 or stanza.arguments:
        raise ClaimError("the sender's claim is not where it must be")
    plaintext = decrypt_once(file_key.claim_key(), stanza.body) if len(stanza.body) >= TAG_BYTES else None
    if plaintext is None:
        raise ClaimError("the sender's claim was made with another key than the envelope")
    try:
        signed = _parse(plaintext)
    except (MalformedError, BadIdentityError) as error:
        raise ClaimError(f"the sender's claim cannot be read: {error}") from None
    if len(signed.claim.readers) != len(kinds) - 1:
        raise ClaimError("the sender's claim does not list as many recipients as there are")
    data = _signed(header.raw[: header.last_stanza_at], file_key, signed.encoded)
    try:
        verify(signed.claim.sender, CLAIM_PURPOSE, data, signed.signature)
    except BadSignatureError:
        raise ForgedError(
            f"not sealed by {signed.claim.sender.short}, whom it names, in this form for these recipients",
            signed.claim.sender,
        ) from None
    return signed


def _signed(head: bytes, file_key: FileKey, encoded: bytes) -> bytes:
    """What the signature covers: every recipient's stanza, the data key, and the claim."""
    return blake3_256(head) + file_key.commitment() + encoded


def _parse(plaintext: bytes) -> SignedClaim:
    """Undo the padding and read the map; only the one encoding of a claim is read."""
    length = int.from_bytes(plaintext[:_LENGTH_BYTES])
    end = _LENGTH_BYTES + length + SIGNATURE_BYTES
    if length > ENVELOPE_CLAIM_BYTES_MAX or len(plaintext) != _padded_bytes(length) or any(plaintext[end:]):
        raise MalformedError("its length is wrong")
    encoded = bytes(plaintext[_LENGTH_BYTES : _LENGTH_BYTES + length])
    signature = bytes(plaintext[_LENGTH_BYTES + length : end])
    claim = _claim(cbor.decode(encoded, bytes_max=ENVELOPE_CLAIM_BYTES_MAX))
    if claim.encode() != encoded:
        raise MalformedError("it has fields that it should not have, or is written in a second way")
    return SignedClaim(claim, encoded, signature)


def _claim(fields: cbor.CborValue) -> Claim:
    match fields:
        case {
            0: int() as form,
            1: bytes() as sender,
            2: list() as readers,
            3: context,
            4: bytes() as metadata,
            **rest,
        } if form in (Form.OBJECT, Form.STREAM):
            pass
        case _:
            raise MalformedError("a field is missing, has a wrong type, or is of a form that we do not know")
    match rest:
        case {5: bytes() as size, 6: bytes() as digest}:
            if len(size) != SIZE_BYTES or len(digest) != DIGEST_BYTES:
                raise MalformedError("the length or hash of the content has a wrong length")
        case _:
            size, digest = b"", bytes(DIGEST_BYTES)
    if not 1 <= len(readers) <= ENVELOPE_RECIPIENTS_MAX or len(metadata) > ENVELOPE_METADATA_BYTES_MAX:
        raise MalformedError("it has too many recipients, none, or too much metadata")
    return Claim(
        Form(form),
        PeerId(sender),
        tuple(_reader(reader) for reader in readers),
        Context.from_cbor(context),
        metadata,
        int.from_bytes(size),
        digest,
    )


def _reader(value: cbor.CborValue) -> ListedReader:
    match value:
        case [int() as kind, bytes() as reader_id, int() as role] if len(reader_id) == READER_ID_BYTES:
            try:
                return ListedReader(ReaderId(Kind(kind), reader_id), Role(role))
            except ValueError:
                pass
    raise MalformedError("a recipient of a kind or role that we do not know")
