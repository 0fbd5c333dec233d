"""The messages between nodes of clusters, as plain values, and their strict codec.

Source:   our own format, docs/protocols/cluster.md and .cddl.
Bounds:   CLUSTER_* and CHAIN_* in ``kontinuum.wire.limits``. Statements, entries and orders stay bytes here:
          whoever takes them out looks first whether the sender may still cost us that.
Trust:    input is hostile: any bytes give a message or a PeerError. Nothing is verified here.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

from kontinuum.base.errors import MisuseError
from kontinuum.clusters.tags import TAG_BYTES
from kontinuum.identity import PeerId
from kontinuum.keys.bodies import StatementId
from kontinuum.keys.fields import Fields
from kontinuum.keys.genesis import cluster_id
from kontinuum.keys.paths import Place
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    CHAIN_BUNDLE_BYTES_MAX,
    CHAIN_HEADS_MAX,
    CLUSTER_KIND_MAX,
    CLUSTER_MESSAGE_BYTES_MAX,
    CLUSTER_PARCEL_BYTES_MAX,
    CLUSTER_TRUST_ENTRIES_MAX,
    CLUSTER_TRUST_ENTRY_BYTES_MAX,
    KEY_DEPTH_MAX,
    KEY_ORDER_BYTES_MAX,
    PEER_ID_BYTES,
    SIGNATURE_BYTES,
    STATEMENT_HASH_BYTES,
)

if TYPE_CHECKING:
    from kontinuum.keys.genesis import ClusterId

VERSION = 1
"""Version of the protocol. A Hello of another one is read for its version alone."""

DIGEST_BYTES = 16
"""Bytes of a digest: half of SHA-256. Who makes two sets with one digest gains that they are compared at the
next news."""

MESSAGE_STATEMENTS_MAX = 256
"""Statements of one message that are looked at, and that we put into one. Our choice: 60 ms, for as long as
which nothing else happens here. Of more the first ones; the sender is asked for the rest."""

_KIND = 0
"""Key of a message's kind in its map; the others are those of ``cluster.cddl``."""


class Kind(IntEnum):
    """What a message is."""

    HELLO = 1
    HEADS = 2
    STATEMENTS = 3
    TRUST = 4
    ORDERS = 5
    PARCEL = 6
    REAUTH = 7
    SUMMARY = 8


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of each side: which cluster it is of, to whoever knows that cluster."""

    kind: ClassVar[int] = Kind.HELLO

    version: int
    """VERSION; with another one nothing else is known of it."""

    tag: bytes
    """``tags.hello_tag``; empty if the version is another one."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        version = fields.integer(1, CLUSTER_KIND_MAX)
        return cls(version, fields.octets(2, TAG_BYTES) if version == VERSION else b"")

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.version, self.tag)


@dataclass(frozen=True, slots=True)
class Heads:
    """What the sender has of a chain: the receiver sends what is missing there."""

    kind: ClassVar[int] = Kind.HEADS

    cluster: ClusterId
    heads: tuple[StatementId, ...]
    """As :meth:`Chain.heads` gives them."""

    is_answer: bool
    """It answers Heads whose statements the sender lacks, and is answered by Statements only."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        heads = fields.hashes(2, CHAIN_HEADS_MAX, STATEMENT_HASH_BYTES)
        is_answer = fields.value(3)
        if not isinstance(is_answer, bool):
            raise MalformedError("heads are an answer or not")
        return cls(_cluster(fields), tuple(map(StatementId, heads)), is_answer)

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.cluster, self.heads, self.is_answer)


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements of a chain: an answer, or news."""

    kind: ClassVar[int] = Kind.STATEMENTS

    cluster: ClusterId
    bundle: bytes
    """``keys.bundles``."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        return cls(_cluster(fields), _octets(fields, 2, CHAIN_BUNDLE_BYTES_MAX))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.cluster, self.bundle)


@dataclass(frozen=True, slots=True)
class Trust:
    """Entries of the list of trust; only between nodes of one cluster."""

    kind: ClassVar[int] = Kind.TRUST

    entries: tuple[bytes, ...]
    """``clusters.trust``."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        value = fields.value(1)
        if not isinstance(value, list) or len(value) > CLUSTER_TRUST_ENTRIES_MAX:
            raise MalformedError(f"trust is a list of at most {CLUSTER_TRUST_ENTRIES_MAX} entries")
        entries: list[bytes] = []
        for entry in value:
            if not isinstance(entry, bytes) or len(entry) > CLUSTER_TRUST_ENTRY_BYTES_MAX:
                raise MalformedError(f"an entry of trust has at most {CLUSTER_TRUST_ENTRY_BYTES_MAX} bytes")
            entries.append(entry)
        return cls(tuple(entries))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.entries,)


@dataclass(frozen=True, slots=True)
class Orders:
    """An ancestor's order to somebody; only between nodes of one cluster."""

    kind: ClassVar[int] = Kind.ORDERS

    order: bytes
    """``keys.orders``."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        return cls(_octets(fields, 1, KEY_ORDER_BYTES_MAX))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.order,)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Something for the receiver alone; only between nodes of one cluster."""

    kind: ClassVar[int] = Kind.PARCEL

    place: Place
    """For whom."""

    sealed: bytes
    """What."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        value = fields.value(1)
        if not isinstance(value, list) or len(value) > KEY_DEPTH_MAX:
            raise MalformedError(f"a place has at most {KEY_DEPTH_MAX} numbers")
        indexes: list[int] = []
        for index in value:
            if not isinstance(index, int) or isinstance(index, bool):
                raise MalformedError("a place consists of numbers")
            indexes.append(index)
        return cls(Place(tuple(indexes)), _octets(fields, 2, CLUSTER_PARCEL_BYTES_MAX))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.place.indexes, self.sealed)


@dataclass(frozen=True, slots=True)
class Reauth:
    """The sender has another key than it showed to TLS. What declares it was sent before."""

    kind: ClassVar[int] = Kind.REAUTH

    old: PeerId
    """The key that it showed."""

    new: PeerId
    """The key that it has."""

    signature: bytes
    """By the new key, over ``tags.reauth_bytes``."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        old, new = (PeerId(fields.octets(key, PEER_ID_BYTES)) for key in (1, 2))
        return cls(old, new, fields.octets(3, SIGNATURE_BYTES))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.old, self.new, self.signature)


@dataclass(frozen=True, slots=True)
class Summary:
    """Whether both have the same."""

    kind: ClassVar[int] = Kind.SUMMARY

    chains: bytes
    """Digest of the chains that both share."""

    sayings: bytes
    """Digest of the list of trust and the orders; of nothing between different clusters."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """From a map's fields."""
        return cls(fields.octets(1, DIGEST_BYTES), fields.octets(2, DIGEST_BYTES))

    def values(self) -> tuple[cbor.CborValue, ...]:
        """What stands in the map behind the kind."""
        return (self.chains, self.sayings)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a newer program, to be passed over."""

    kind: int


Known: TypeAlias = Hello | Heads | Statements | Trust | Orders | Parcel | Reauth | Summary
Message: TypeAlias = Known | Unknown

_KNOWN: dict[int, type[Known]] = {
    each.kind: each for each in (Hello, Heads, Statements, Trust, Orders, Parcel, Reauth, Summary)
}


def encode(message: Known) -> bytes:
    """The bytes of a message.

    Raises:
        MisuseError: It is longer than allowed.
    """
    fields: dict[cbor.CborKey, cbor.CborValue] = {_KIND: int(message.kind)}
    fields |= dict(enumerate(message.values(), 1))
    data = cbor.encode(fields)
    if len(data) > CLUSTER_MESSAGE_BYTES_MAX:
        raise MisuseError(f"a message of {len(data)} bytes; {CLUSTER_MESSAGE_BYTES_MAX} are the most")
    return data


def decode(data: bytes) -> Message:
    """The message in these bytes. Fields of a known kind that we do not know are passed over.

    Raises:
        PeerError: They are none.
    """
    fields = Fields(cbor.decode(data, bytes_max=CLUSTER_MESSAGE_BYTES_MAX), "a cluster's message")
    kind = fields.integer(_KIND, CLUSTER_KIND_MAX)
    known = _KNOWN.get(kind)
    return Unknown(kind) if known is None else known.read(fields)


def _cluster(fields: Fields) -> ClusterId:
    return cluster_id(fields.octets(1, STATEMENT_HASH_BYTES))


def _octets(fields: Fields, key: int, bytes_max: int) -> bytes:
    value = fields.value(key)
    if not isinstance(value, bytes) or len(value) > bytes_max:
        raise MalformedError(f"field {key} of a cluster's message is no byte string of at most {bytes_max}")
    return value
