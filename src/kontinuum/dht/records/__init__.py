"""Records: which are valid, what a node holds of them, and what it publishes itself.

:class:`Validators` decides by the namespace in a key (:func:`default_validators` knows contacts, content and
signed records), :class:`Records` holds them within shares, :class:`Publications` says what to publish again
and when. :mod:`kontinuum.dht.records.sqlite` keeps them on disk and is the only file here that is not pure.
"""

from kontinuum.dht.records.contact_record import contact_key
from kontinuum.dht.records.content_record import blake3_key, sha256_key
from kontinuum.dht.records.errors import (
    BadRecordError,
    BadRecordKeyError,
    RecordError,
    RecordExpiredError,
    RecordFromFutureError,
    RecordMismatchError,
    RecordTooLargeError,
    UnknownNamespaceError,
)
from kontinuum.dht.records.namespaces import default_validators
from kontinuum.dht.records.publications import Publication, Publications
from kontinuum.dht.records.signed_record import SignedRecord, signed_key
from kontinuum.dht.records.store import Records, RecordsFigures
from kontinuum.dht.records.validators import Valid, Validator, Validators

__all__ = [
    "BadRecordError",
    "BadRecordKeyError",
    "Publication",
    "Publications",
    "RecordError",
    "RecordExpiredError",
    "RecordFromFutureError",
    "RecordMismatchError",
    "RecordTooLargeError",
    "Records",
    "RecordsFigures",
    "SignedRecord",
    "UnknownNamespaceError",
    "Valid",
    "Validator",
    "Validators",
    "blake3_key",
    "contact_key",
    "default_validators",
    "sha256_key",
    "signed_key",
]
