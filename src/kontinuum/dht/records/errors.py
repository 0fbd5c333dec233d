"""Why a record is not valid. All are PeerErrors: whoever made or sent it is wrong; nothing was changed."""

from kontinuum.base.errors import PeerError


class RecordError(PeerError):
    """A record that must not be stored, and does not count when it is read."""


class UnknownNamespaceError(RecordError):
    """A key of a namespace that nobody registered here; a newer program may know it."""


class BadRecordKeyError(RecordError):
    """A key that its namespace does not have."""


class RecordTooLargeError(RecordError):
    """A key or value is longer than records may be."""


class BadRecordError(RecordError):
    """A value that is no record of its namespace, or was not signed by the identity in its key."""


class RecordMismatchError(RecordError):
    """A value that belongs to another key."""


class RecordExpiredError(RecordError):
    """A record that is over; its owner may have a newer one."""


class RecordFromFutureError(RecordError):
    """A record that cannot have been made yet: its owner's clock or ours is wrong."""
