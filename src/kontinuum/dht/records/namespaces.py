"""The namespaces of records that every node knows.

Pure: no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.records.contact_record import CONTACT_NAMESPACE, contact_validator
from kontinuum.dht.records.content_record import (
    BLAKE3_NAMESPACE,
    SHA256_NAMESPACE,
    validate_blake3,
    validate_sha256,
)
from kontinuum.dht.records.signed_record import SIGNED_NAMESPACE, signed_validator
from kontinuum.dht.records.validators import Validators

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kontinuum.dht.peer import Peer


def default_validators(network_id: bytes, check: Callable[[bytes, datetime], Peer]) -> Validators:
    """Validators of contacts, content by BLAKE3 and SHA-256, and signed records; more can be registered.

    Args:
        network_id: the network of signed records, 32 bytes: they are valid in one only.
        check: ``Admission.check``. It remembers contacts, so that what was verified as a peer is not verified
            again as a record, and one object of each may serve all nodes of a simulation.
    """
    validators = Validators()
    validators.register(CONTACT_NAMESPACE, contact_validator(check))
    validators.register(BLAKE3_NAMESPACE, validate_blake3)
    validators.register(SHA256_NAMESPACE, validate_sha256)
    validators.register(SIGNED_NAMESPACE, signed_validator(network_id))
    return validators
