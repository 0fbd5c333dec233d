"""What can be wrong with bytes from outside."""

from kontinuum.base.errors import PeerError


class MalformedError(PeerError):
    """Bytes from outside are not what they claim to be; nothing of them was used."""


class WrongVersionError(MalformedError):
    """Well-formed bytes of a format version that this program does not know; a newer peer made them."""
