"""What can be wrong with an envelope. A wrong key, a damaged file and one that is cut off are three errors.

``EnvelopeError`` and its leaves judge bytes from outside. ``RecipientsError`` and its leaves are our
caller's.
"""

from kontinuum.base.errors import MisuseError, PeerError


class EnvelopeError(PeerError):
    """An envelope that cannot be opened, or not believed. Nothing of it was released as authentic."""


class NotAnEnvelopeError(EnvelopeError):
    """The bytes do not begin as an age file does."""


class HeaderError(EnvelopeError):
    """The header, or a stanza addressed to our kind of key, breaks the format."""


class UnknownVersionError(HeaderError):
    """An age file of a version that we do not know; a newer program made it."""


class HeaderTooLargeError(HeaderError):
    """The header is beyond a bound: its bytes, its stanzas or one line. Nothing beyond the bound was kept."""


class TruncatedHeaderError(HeaderError):
    """The bytes end within the header, or right behind it."""


class NoMatchingKeyError(EnvelopeError):
    """The envelope is well formed, and sealed to other keys than the ones tried."""


class HeaderMacError(EnvelopeError):
    """The header was changed after it was sealed: its key opens, its authenticator does not."""


class PayloadError(EnvelopeError):
    """The payload cannot be decrypted to its end.

    Args:
        message: What is wrong, for people.
        recovered_bytes: How many bytes of the chunk in question are right nevertheless, because only its
        place in
            the payload is wrong.
    """

    def __init__(self, message: str, *, recovered_bytes: int = 0) -> None:
        super().__init__(message)
        self.recovered_bytes = recovered_bytes


class DamagedPayloadError(PayloadError):
    """A chunk was changed, moved, repeated, or taken from another file."""


class TruncatedPayloadError(PayloadError):
    """The payload ends before its last chunk."""


class ArmorError(EnvelopeError):
    """The text form (PEM) is not exactly what it must be."""


class ClaimError(EnvelopeError):
    """The envelope opens, but who sealed it, for whom and for what cannot be believed."""


class NotSignedError(ClaimError):
    """A plain age file: it says nothing about its sender. It opens only where that was asked for."""


class ForgedError(ClaimError):
    """The sender's signature does not belong to this envelope: these recipients, this content, this purpose.

    Args:
        message: What does not fit.
        sender: Who is said to have sealed it, and did not.
    """

    def __init__(self, message: str, sender: bytes = b"") -> None:
        super().__init__(message)
        self.sender = sender


class WrongSenderError(ClaimError):
    """Sealed, and rightly signed, by somebody else than expected.

    Args:
        sender: Who sealed it, 32 bytes.
    """

    def __init__(self, sender: bytes) -> None:
        super().__init__(f"sealed by {sender[:4].hex()}, from whom nothing of this kind was expected")
        self.sender = sender


class WrongContextError(ClaimError):
    """Sealed for another purpose, topic, direction or epoch than the one it was presented for."""


class BadKeyTextError(PeerError):
    """Text that is no recipient or key of a kind that we know. The message never shows the text."""


class RecipientsError(MisuseError):
    """The recipients of an envelope cannot be used together."""


class NoRecipientsError(RecipientsError):
    """An envelope for nobody: nobody could open it, its sender included."""

    def __init__(self) -> None:
        super().__init__("an envelope needs at least one recipient")


class TooManyRecipientsError(RecipientsError):
    """More recipients than an envelope may have."""

    def __init__(self, count: int, count_max: int) -> None:
        super().__init__(f"{count} recipients, where {count_max} are the most; seal it once for each group")
        self.count = count


class MixedRecipientsError(RecipientsError):
    """Recipients that would weaken each other in one envelope."""


class ClaimTooLargeError(MisuseError):
    """Metadata or context beyond their bound."""
