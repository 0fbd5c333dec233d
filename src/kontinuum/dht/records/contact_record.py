"""Records ``/contact/`` + identity: where a peer is, in its own signed words.

Source:   the value is a contact (docs/protocols/contact.md); it is valid as long as the contact is fresh.
Trust:    the value is hostile. Whether a contact may be used at all says ``check``, which remembers what it
          has verified, so that the same bytes are not verified twice.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht.records.errors import (
    BadRecordError,
    BadRecordKeyError,
    RecordExpiredError,
    RecordFromFutureError,
    RecordMismatchError,
)
from kontinuum.dht.records.validators import Valid, Validator
from kontinuum.identity import (
    CONTACT_AGE_MAX_S,
    CONTACT_AHEAD_MAX_S,
    ContactExpiredError,
    ContactFromFutureError,
    PeerId,
)
from kontinuum.wire.limits import PEER_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.dht.peer import Peer

CONTACT_NAMESPACE = "contact"

_AGE_MAX = timedelta(seconds=CONTACT_AGE_MAX_S)
_AHEAD_MAX = timedelta(seconds=CONTACT_AHEAD_MAX_S)


def contact_key(peer_id: PeerId) -> bytes:
    """The key of a peer's contact: 41 bytes."""
    return b"/contact/" + peer_id


def contact_validator(check: Callable[[bytes, datetime], Peer]) -> Validator:
    """The validator of the namespace.

    Args:
        check: ``Admission.check``: decodes and verifies a contact; raises a PeerError if it may not be used.
    """

    def validate(name: bytes, value: bytes, at: datetime) -> Valid:
        if len(name) != PEER_ID_BYTES:
            raise BadRecordKeyError("the key of a contact ends with an identity of 32 bytes")
        try:
            contact = check(value, at).contact
        except ContactExpiredError as error:
            raise RecordExpiredError(str(error)) from error
        except ContactFromFutureError as error:
            raise RecordFromFutureError(str(error)) from error
        except PeerError as error:
            raise BadRecordError(str(error)) from error
        if contact.peer_id != name:
            raise RecordMismatchError(f"the contact is that of {contact.peer_id.short}")
        return Valid(
            rank=(contact.sequence, contact.issued_at, contact.signature),
            expires_at=contact.issued_at + _AGE_MAX,
            owner=contact.peer_id,
            mutable=True,
            valid_from=contact.issued_at - _AHEAD_MAX,
        )

    return validate
