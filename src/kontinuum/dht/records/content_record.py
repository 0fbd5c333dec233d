"""Records ``/blake3/`` and ``/sha256/`` + hash: any bytes, under the hash of them.

Source:   BLAKE3-256; FIPS 180-4, SHA-256.
Trust:    the value is hostile; a wrong one cannot have the right hash.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from kontinuum._native import blake3_256
from kontinuum.dht.records.errors import BadRecordKeyError, RecordMismatchError
from kontinuum.dht.records.validators import FOREVER, Valid, Validator

BLAKE3_NAMESPACE = "blake3"

SHA256_NAMESPACE = "sha256"

HASH_BYTES = 32
"""Bytes of the hash in a key of content: BLAKE3-256 and SHA-256. Any other length: refused."""

_CONTENT = Valid(rank=(), expires_at=FOREVER, owner=None, mutable=False)


def blake3_key(value: bytes) -> bytes:
    """The key of ``value`` by BLAKE3-256: 40 bytes."""
    return b"/blake3/" + blake3_256(value)


def sha256_key(value: bytes) -> bytes:
    """The key of ``value`` by SHA-256: 40 bytes."""
    return b"/sha256/" + sha256(value).digest()


def content_validator(digest: Callable[[bytes], bytes]) -> Validator:
    """The validator of a namespace whose keys end with ``digest(value)``."""

    def validate(name: bytes, value: bytes, _at: datetime) -> Valid:
        if len(name) != HASH_BYTES:
            raise BadRecordKeyError(f"the key of content ends with a hash of {HASH_BYTES} bytes")
        if digest(value) != name:
            raise RecordMismatchError("the content does not have the hash in its key")
        return _CONTENT

    return validate


validate_blake3 = content_validator(blake3_256)
validate_sha256 = content_validator(lambda value: sha256(value).digest())
