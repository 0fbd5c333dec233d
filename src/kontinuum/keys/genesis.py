"""The first word of a chain: its root's public key, and perhaps a commitment to the root that comes after.

Its hash is the cluster's id, which every statement names. It holds no time and no name, so the root's owner
makes the same genesis from the same words at any time.

Source:   our own format, docs/protocols/key-chain.md.
Bounds:   a genesis has at most GENESIS_BYTES_MAX bytes.
Trust:    bytes are hostile. A Genesis that exists bears its root's signature; whose root that is, only
          meeting in person or somebody trusted can say.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType, Self

from kontinuum.keys.fields import Fields
from kontinuum.keys.public_keys import BranchPublicKey, Commitment
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError, WrongVersionError
from kontinuum.wire.limits import SIGNATURE_BYTES, STATEMENT_HASH_BYTES

if TYPE_CHECKING:
    from kontinuum.keys.derivation import BranchSecret

ClusterId = NewType("ClusterId", bytes)
"""32 bytes that name a cluster for good, and pin its root key."""

GENESIS_VERSION = 1
"""Version of the format. Another one is refused by name."""

GENESIS_BYTES_MAX = 256
"""Bytes of a genesis; the fullest has 139. Longer: refused before decoding."""

_PURPOSE = "key-genesis"

_VERSION, _ROOT, _SUCCESSOR, _SIGNATURE = range(4)
"""Keys of the map, in the order of ``key-chain.cddl``."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """Where a chain begins. Made by :meth:`issue` and :meth:`decode`.

    Raises:
        BadSignatureError: The root did not sign it.
    """

    root: BranchPublicKey
    """What the root's statements are checked with."""

    successor: Commitment | None
    """The next root's key, committed to before anybody could steal this one; None: any root may follow."""

    signature: bytes
    """64 bytes, by the root, over everything above."""

    cluster: ClusterId = field(init=False)
    """The cluster's id: a hash of everything but the signature."""

    def __post_init__(self) -> None:
        unsigned = _unsigned(self.root, self.successor)
        self.root.verify(_PURPOSE, unsigned, self.signature)
        digest = hashlib.sha256(b"kontinuum/cluster-id/v1\0" + unsigned).digest()
        object.__setattr__(self, "cluster", ClusterId(digest))

    @classmethod
    def issue(cls, root: BranchSecret, successor: Commitment | None = None) -> Self:
        """The genesis of a root.

        Args:
            root: What ``RootSeed.cluster`` makes.
            successor: A commitment to the root key of another seed, kept apart from this one. With it, a
                thief of this seed cannot name a successor of his own.
        """
        return cls(root.public, successor, root.key.sign(_PURPOSE, _unsigned(root.public, successor)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a genesis from bytes, the whole of them, and check its signature.

        Raises:
            PeerError: It is none.
        """
        fields = Fields(cbor.decode(data, bytes_max=GENESIS_BYTES_MAX), "a genesis")
        version = fields.integer(_VERSION, 2**32)
        if version != GENESIS_VERSION:
            raise WrongVersionError(f"a genesis of version {version}; we know version {GENESIS_VERSION}")
        fields.only(_VERSION, _ROOT, _SUCCESSOR, _SIGNATURE)
        successor = fields.octets(_SUCCESSOR, STATEMENT_HASH_BYTES) if _SUCCESSOR in fields else None
        return cls(
            root=BranchPublicKey(fields.octets(_ROOT, STATEMENT_HASH_BYTES)),
            successor=None if successor is None else Commitment(successor),
            signature=fields.octets(_SIGNATURE, SIGNATURE_BYTES),
        )

    def encode(self) -> bytes:
        """The bytes that :meth:`decode` reads."""
        return cbor.encode({**_fields(self.root, self.successor), _SIGNATURE: self.signature})


def cluster_id(data: bytes) -> ClusterId:
    """The id of a cluster from bytes, which a person or a file gave.

    Raises:
        MalformedError: It does not have 32 bytes.
    """
    if len(data) != STATEMENT_HASH_BYTES:
        raise MalformedError(f"a cluster's id has {STATEMENT_HASH_BYTES} bytes")
    return ClusterId(bytes(data))


def _fields(root: BranchPublicKey, successor: Commitment | None) -> dict[cbor.CborKey, cbor.CborValue]:
    fields: dict[cbor.CborKey, cbor.CborValue] = {_VERSION: GENESIS_VERSION, _ROOT: root}
    if successor is not None:
        fields[_SUCCESSOR] = successor
    return fields


def _unsigned(root: BranchPublicKey, successor: Commitment | None) -> bytes:
    return cbor.encode(_fields(root, successor))
