"""Which records are valid: one validator for each namespace, the first part of a key.

A key is ``/namespace/`` and what the namespace puts behind it. What a validator accepts is stored, counts as
an answer, and is compared with others of the same key by its rank. Other rooms register their own namespaces.

Source: libp2p specs, kad-dht/README.md, "Entry validation" (Validate and Select).
Differs:  Select is a rank, so that the order of answers cannot matter.
Bounds:   KAD_KEY_BYTES_MAX and KAD_VALUE_BYTES_MAX of ``kontinuum.wire.limits``; NAMESPACES_MAX validators.
Trust:    keys and values are hostile: any of them give a Valid or a RecordError.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from kontinuum.base.errors import MisuseError
from kontinuum.dht.records.errors import BadRecordKeyError, RecordTooLargeError, UnknownNamespaceError
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX

if TYPE_CHECKING:
    from kontinuum.identity import PeerId

NAMESPACES_MAX = 32
"""Namespaces of one node. Our choice: each is a piece of this program; more is a mistake."""

ALWAYS = datetime.min.replace(tzinfo=UTC)
"""``valid_from`` of what was always valid."""

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""``expires_at`` of what never becomes wrong."""

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Valid:
    """What a validator says of a value that it accepts."""

    rank: tuple[Any, ...]
    """Greater replaces smaller. Values of one key with equal ranks have equal bytes."""
    expires_at: datetime
    """When it becomes invalid, aware UTC. How long somebody stores it is another matter."""
    owner: PeerId | None
    """Who signed it; ``None`` for content, which is nobody's."""
    mutable: bool
    """There may be a newer one elsewhere, so that one answer is not enough."""
    valid_from: datetime = ALWAYS
    """Before this time it would have been from the future."""


class Validator(Protocol):
    """Decides about one namespace."""

    def __call__(self, name: bytes, value: bytes, at: datetime, /) -> Valid:
        """``name`` is what follows ``/namespace/`` in the key. Raises a RecordError if it refuses."""
        ...


class Validators:
    """The namespaces that a node knows. One object may serve many nodes: it keeps no state of theirs."""

    __slots__ = ("_by_namespace",)

    def __init__(self) -> None:
        self._by_namespace: dict[bytes, Validator] = {}

    def register(self, namespace: str, validator: Validator) -> None:
        """Let ``validator`` decide about keys that begin ``/namespace/``.

        Args:
            namespace: 1 to 32 of ``a-z 0-9 -``, not beginning with ``-``.
            validator: pure: the same input always gives the same answer.

        Raises:
            MisuseError: the namespace has one already, is no namespace, or there are too many.
        """
        if not _NAMESPACE.fullmatch(namespace):
            raise MisuseError(f"{namespace!r} is no namespace of records (1 to 32 of a-z 0-9 -)")
        if namespace.encode() in self._by_namespace:
            raise MisuseError(f"the namespace {namespace} has a validator already")
        if len(self._by_namespace) >= NAMESPACES_MAX:
            raise MisuseError(f"at most {NAMESPACES_MAX} namespaces of records")
        self._by_namespace[namespace.encode()] = validator

    def validate(self, key: bytes, value: bytes, at: datetime) -> Valid:
        """What is to be known of a record that is valid at ``at``, aware UTC.

        Raises:
            RecordError: it is not valid; the leaf says why.
        """
        if len(value) > KAD_VALUE_BYTES_MAX or len(key) > KAD_KEY_BYTES_MAX:
            raise RecordTooLargeError(f"a key of {len(key)} bytes and a value of {len(value)} are too long")
        end = key.find(b"/", 1)
        if end < 0 or key[:1] != b"/":
            raise BadRecordKeyError("a record's key begins with its namespace between two slashes")
        validator = self._by_namespace.get(key[1:end])
        if validator is None:
            raise UnknownNamespaceError(f"we know no records of the namespace {key[1:end][:32]!r}")
        return validator(key[end + 1 :], value, at)
