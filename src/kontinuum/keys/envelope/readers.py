"""Who can open an envelope: the faces of recipients and keys, and what an envelope says of each recipient.

Source:   C2SP age.md calls a public key a recipient and a private key an identity. An identity here is a
          peer's signing key, so a private key of this room is a *decryption key*.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from kontinuum.base.entropy import Entropy
from kontinuum.keys.envelope.errors import (
    HeaderError,
    MixedRecipientsError,
    NoMatchingKeyError,
    NoRecipientsError,
    TooManyRecipientsError,
)
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.stanza import Stanza
from kontinuum.wire.limits import ENVELOPE_RECIPIENTS_MAX

READER_ID_BYTES = 32
"""Bytes that name one recipient in a claim."""

SCRYPT = "scrypt"
"""The kind of stanza that stands alone or not at all. age.md, "scrypt recipient stanza"."""


class Role(IntEnum):
    """Why somebody is a recipient. The sender says so, and signs it."""

    SELF = 0
    """The sender's own key, to read it again."""

    PEER = 1
    """Whom it is for."""

    ANCESTOR = 2
    """A parent key of one of the others, which recovers what its child has lost."""


class Kind(IntEnum):
    """What a recipient's key is."""

    X25519 = 0
    """Its id is the public key itself."""

    HYBRID = 1
    """ML-KEM-768 with X25519; its id is the BLAKE3-256 hash of the public key."""


@dataclass(frozen=True, slots=True)
class ReaderId:
    """The name of one recipient's key."""

    kind: Kind
    """What the key is."""

    id: bytes
    """READER_ID_BYTES that name it."""


class Recipient(Protocol):
    """A public key that data keys are wrapped to."""

    @property
    def reader_id(self) -> ReaderId | None:
        """Its name in a claim; ``None`` for what has none, a passphrase."""
        ...

    @property
    def post_quantum(self) -> bool:
        """Whether a quantum computer of the future does not open what is sealed to it."""
        ...

    def wrap(self, file_key: FileKey, entropy: Entropy) -> Stanza:
        """The stanza that gives it ``file_key``."""
        ...


class DecryptionKey(Protocol):
    """A private key that opens envelopes."""

    @property
    def recipient(self) -> Recipient:
        """The public half."""
        ...

    def unwrap(self, stanza: Stanza) -> FileKey | None:
        """The data key, if ``stanza`` is for this key.

        Raises:
            HeaderError: It is a stanza of our kind, but malformed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reader:
    """One recipient of an envelope that is about to be sealed, and why it is one."""

    recipient: Recipient
    """The public key."""

    role: Role = Role.PEER
    """Why."""


@dataclass(frozen=True, slots=True)
class ListedReader:
    """One recipient as the claim of an envelope lists it."""

    reader_id: ReaderId
    """Which key."""

    role: Role
    """Why, in the sender's words."""


def verify_recipients(recipients: Sequence[Recipient]) -> None:
    """Check that these may share an envelope.

    Raises:
        RecipientsError: None, too many, a passphrase among others, or a post-quantum key beside a classical
            one, which would open the envelope to whom the first was chosen against.
    """
    if not recipients:
        raise NoRecipientsError
    if len(recipients) > ENVELOPE_RECIPIENTS_MAX:
        raise TooManyRecipientsError(len(recipients), ENVELOPE_RECIPIENTS_MAX)
    if len(recipients) > 1 and any(recipient.reader_id is None for recipient in recipients):
        raise MixedRecipientsError("a passphrase is the only way into an envelope, or none")
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise MixedRecipientsError(
            "recipients with and without post-quantum keys do not share an envelope: the weaker decides;"
            " seal it once for each kind"
        )


def unwrap_file_key(
    stanzas: Sequence[Stanza], keys: Sequence[DecryptionKey]
) -> tuple[FileKey, DecryptionKey, Stanza]:
    """The data key, the first of ``keys`` that opens it, and the stanza that it opened.

    Raises:
        NoMatchingKeyError: None of them does.
        HeaderError: A stanza is malformed, or a passphrase's stanza is not alone.
    """
    if len(stanzas) > 1 and any(stanza.kind == SCRYPT for stanza in stanzas):
        raise HeaderError("the header has a passphrase beside other recipients")
    for key in keys:
        for stanza in stanzas:
            file_key = key.unwrap(stanza)
            if file_key is not None:
                return file_key, key, stanza
    raise NoMatchingKeyError(
        "sealed to other keys than ours: open it with the key of one of its recipients, or of a parent of one"
    )
