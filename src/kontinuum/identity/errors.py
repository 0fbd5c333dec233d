"""What can be wrong with an identity, a contact, a proof or a key file."""

from datetime import datetime

from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.wire.errors import MalformedError


class BadIdentityError(PeerError):
    """Bytes or text that are no identity; the message says why and what would be one."""


class BadSignatureError(PeerError):
    """A signature does not belong to these bytes, this purpose and this identity."""


class BadAddressError(MalformedError):
    """An address outside the strict subset; the message says what an address looks like."""


class ContactExpiredError(PeerError):
    """A contact is older than allowed; its owner may have a newer one."""

    def __init__(self, issued_at: datetime, age_max_s: float) -> None:
        super().__init__(f"the contact of {issued_at:%Y-%m-%d %H:%M:%S} UTC is older than {age_max_s:.0f} s")
        self.issued_at = issued_at
        self.age_max_s = age_max_s


class ContactFromFutureError(PeerError):
    """A contact was issued later than our clock allows: its owner's clock or ours is wrong."""

    def __init__(self, issued_at: datetime, ahead_s: float) -> None:
        super().__init__(f"the contact is dated {ahead_s:.0f} s in the future; check both clocks")
        self.issued_at = issued_at
        self.ahead_s = ahead_s


class WrongNetworkError(PeerError):
    """A contact or proof was made for another network."""

    def __init__(self, network_id: bytes) -> None:
        super().__init__(f"made for another network ({network_id[:4].hex()}…)")
        self.network_id = network_id


class WeakProofError(PeerError):
    """A proof of work has fewer leading zero bits than the network demands."""

    def __init__(self, difficulty: int) -> None:
        super().__init__(f"the proof of work has less than {difficulty} bits")
        self.difficulty = difficulty


class KeyFileError(MisuseError):
    """A key file cannot be used; every leaf's message says what to do."""


class EmptyKeyFileError(KeyFileError):
    """The file has no content, as after a full disk or an interrupted copy."""


class TruncatedKeyFileError(KeyFileError):
    """The file ends before its key does."""


class DamagedKeyFileError(KeyFileError):
    """The file looks like a key file, but its content was altered."""


class NotAKeyFileError(KeyFileError):
    """The file is something else than a key file."""


class WrongKeyTypeError(KeyFileError):
    """The file holds a key, but not an Ed25519 private key.

    Args:
        found: What it holds, in words.
        fix: What to do about it.
    """

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(f"this is {found}, but a node needs an Ed25519 private key; {fix}")
        self.found = found


class PassphraseNeededError(KeyFileError):
    """The file is protected by a passphrase and none was given."""


class WrongPassphraseError(KeyFileError):
    """The passphrase does not open this file, which is otherwise intact."""


class TooCostlyKeyFileError(KeyFileError):
    """The file demands more memory or time to open than we are willing to spend on a file."""
