"""What statements say: six kinds, and a seventh for what a newer program says and we only pass on.

Source:   our own format, docs/protocols/key-chain.md and .cddl.
Bounds:   KEY_* and STATEMENT_* in ``kontinuum.wire.limits``.
Trust:    fields are hostile. A body that exists obeys every bound; whether its issuer may say it, the chain
          knows.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, NewType, Self, TypeAlias

from kontinuum.identity import PeerId
from kontinuum.keys.fields import Fields
from kontinuum.keys.genesis import ClusterId, cluster_id
from kontinuum.keys.paths import Path
from kontinuum.keys.public_keys import BranchPublicKey, Commitment, EncryptionPublicKey
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    CHECKPOINT_HEADS_MAX,
    KEY_BRANCHES_MAX,
    KEY_CHILDREN_MAX,
    KEY_DEPTH_MAX,
    KEY_EPOCHS_MAX,
    KEY_LABEL_BYTES_MAX,
    STATEMENT_HASH_BYTES,
)

if TYPE_CHECKING:
    CborMap: TypeAlias = dict[cbor.CborKey, cbor.CborValue]

StatementId = NewType("StatementId", bytes)
"""32 bytes: the hash of everything in a statement but its signatures."""

REASON_MAX = 255
"""Largest number of a reason; those without a name are kept for newer programs. Larger: refused."""

_UNPRINTABLE = frozenset(
    map(
        chr,
        [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)],
    )
)
"""What a label must not hold: controls, line ends and marks that turn the direction of writing. A fixed
list, for all programs must refuse the same labels, whatever version of Unicode they know."""


class Scope(IntEnum):
    """How much a revocation takes away; each takes everything that the ones before it take."""

    EPOCHS = 0
    """Keys of the branch up to an epoch: its owner goes on with a later one, alone."""

    BRANCH = 1
    """The branch with everything below it: the parent goes on with the next branch."""

    PLACE = 2
    """Every branch of the place: nobody stands there any more until the parent itself has a new branch."""


class Reason(IntEnum):
    """Why; for people only."""

    UNSPECIFIED = 0
    RETIRED = 1
    LOST = 2
    STOLEN = 3


@dataclass(frozen=True, slots=True)
class Delegate:
    """A parent gives a child its first branch. Proven by the branch's key."""

    KIND: ClassVar[int] = 1

    child: int
    """Which child, 0 to KEY_CHILDREN_MAX - 1."""

    key: BranchPublicKey
    """The key of its branch 0."""

    next: Commitment
    """The key of its branch 1, which only ancestors can make."""

    depth: int
    """Levels of places that the child may have below it; 0: none. Less than its parent may."""

    label: str
    """What people call the place; may be empty."""

    def __post_init__(self) -> None:
        if not _UNPRINTABLE.isdisjoint(self.label):
            raise MalformedError("a label holds no control characters")
        # What is signed must be readable again: a chain cannot lose a statement.
        if len(self.label.encode("utf-8", "surrogatepass")) > KEY_LABEL_BYTES_MAX:
            raise MalformedError(f"a label has at most {KEY_LABEL_BYTES_MAX} bytes")

    @property
    def introduces(self) -> bytes:
        """The key that proves that its owner agrees."""
        return self.key

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        fields.only(0, 1, 2, 3, 4)
        return cls(
            child=fields.integer(0, KEY_CHILDREN_MAX - 1),
            key=BranchPublicKey(fields.octets(1, STATEMENT_HASH_BYTES)),
            next=Commitment(fields.octets(2, STATEMENT_HASH_BYTES)),
            depth=fields.integer(3, KEY_DEPTH_MAX - 1),
            label=fields.text(4, KEY_LABEL_BYTES_MAX),
        )

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        return {0: self.child, 1: self.key, 2: self.next, 3: self.depth, 4: self.label}


@dataclass(frozen=True, slots=True)
class Recover:
    """A parent answers a theft or a loss: the child's next branch, whose key was committed to before.

    Proven by the new branch's key. All earlier branches of the place, and what is below them, are out of use.
    """

    KIND: ClassVar[int] = 2

    after: StatementId
    """The statement that made the branch before."""

    key: BranchPublicKey
    """The key of the new branch; fits the commitment in ``after``."""

    next: Commitment
    """The key of the branch that may follow."""

    depth: int
    """As in :class:`Delegate`."""

    @property
    def introduces(self) -> bytes:
        """The key that proves that its owner agrees."""
        return self.key

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        fields.only(0, 1, 2, 3)
        return cls(
            after=StatementId(fields.octets(0, STATEMENT_HASH_BYTES)),
            key=BranchPublicKey(fields.octets(1, STATEMENT_HASH_BYTES)),
            next=Commitment(fields.octets(2, STATEMENT_HASH_BYTES)),
            depth=fields.integer(3, KEY_DEPTH_MAX - 1),
        )

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        return {0: self.after, 1: self.key, 2: self.next, 3: self.depth}


@dataclass(frozen=True, slots=True)
class Rekey:
    """A branch moves to an epoch: the key that speaks for it from now on. Proven by that key."""

    KIND: ClassVar[int] = 3

    epoch: int
    """Which epoch; a higher one replaces the lower ones."""

    signing: PeerId
    """The identity on the wire."""

    encryption: EncryptionPublicKey
    """What others encrypt to."""

    @property
    def introduces(self) -> bytes:
        """The key that proves that its owner agrees."""
        return self.signing

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        fields.only(0, 1, 2)
        return cls(
            epoch=fields.integer(0, KEY_EPOCHS_MAX - 1),
            signing=PeerId(fields.octets(1, STATEMENT_HASH_BYTES)),
            encryption=EncryptionPublicKey(fields.octets(2, STATEMENT_HASH_BYTES)),
        )

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        return {0: self.epoch, 1: self.signing, 2: self.encryption}


@dataclass(frozen=True, slots=True)
class Revoke:
    """A branch, or an ancestor of it, takes keys out of use, for good."""

    KIND: ClassVar[int] = 4

    target: Path
    """Which branch; never the root, which has no ancestor."""

    scope: Scope
    """How much."""

    epoch: int
    """With Scope.EPOCHS the last epoch that is taken away; otherwise 0."""

    reason: int
    """A :class:`Reason`, or a number that a newer program knows."""

    def __post_init__(self) -> None:
        if not self.target.steps:
            raise MalformedError("the root is not revoked; a transition leaves it")
        if self.epoch and self.scope is not Scope.EPOCHS:
            raise MalformedError("only a revocation of epochs names one")

    @property
    def introduces(self) -> None:
        """No key, so no proof."""
        return

    @property
    def through(self) -> tuple[int, int]:
        """The last branch and epoch of the place that is out of use; later ones are not touched."""
        match self.scope:
            case Scope.EPOCHS:
                return (self.target.branch, self.epoch)
            case Scope.BRANCH:
                return (self.target.branch, KEY_EPOCHS_MAX)
            case Scope.PLACE:
                return (KEY_BRANCHES_MAX, KEY_EPOCHS_MAX)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        scope = Scope(fields.integer(1, len(Scope) - 1))
        epoch = 0
        if scope is Scope.EPOCHS:
            epoch = fields.integer(2, KEY_EPOCHS_MAX - 1)
            fields.only(0, 1, 2, 3)
        else:
            fields.only(0, 1, 3)
        target = Path.decode(fields.value(0))
        return cls(target, scope, epoch, reason=fields.integer(3, REASON_MAX))

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        fields: CborMap = {0: self.target.encode(), 1: int(self.scope), 3: int(self.reason)}
        if self.scope is Scope.EPOCHS:
            fields[2] = self.epoch
        return fields


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What its issuer has seen: whoever lacks one of these knows that something is kept from him."""

    KIND: ClassVar[int] = 5

    heads: tuple[StatementId, ...]
    """The last statements that the issuer knows, sorted."""

    @property
    def introduces(self) -> None:
        """No key, so no proof."""
        return

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        fields.only(0)
        return cls(tuple(map(StatementId, fields.hashes(0, CHECKPOINT_HEADS_MAX, STATEMENT_HASH_BYTES))))

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        return {0: list(self.heads)}


@dataclass(frozen=True, slots=True)
class Transition:
    """The root leaves: its cluster goes on under another root. Proven by the new root's key.

    It closes this chain. Whoever knew the cluster decides for himself whether to follow.
    """

    KIND: ClassVar[int] = 6

    cluster: ClusterId
    """The new cluster's id."""

    root: BranchPublicKey
    """The new root's key; fits the commitment in the genesis, if that has one."""

    @property
    def introduces(self) -> bytes:
        """The key that proves that its owner agrees."""
        return self.root

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        """Read the body."""
        fields.only(0, 1)
        return cls(
            cluster=cluster_id(fields.octets(0, STATEMENT_HASH_BYTES)),
            root=BranchPublicKey(fields.octets(1, STATEMENT_HASH_BYTES)),
        )

    def encode(self) -> CborMap:
        """The map that :meth:`decode` reads."""
        return {0: self.cluster, 1: self.root}


@dataclass(frozen=True, slots=True)
class Unknown:
    """What a newer program says: kept and passed on, so that what follows it has something to follow."""

    kind: int
    """A number that is none of ours."""

    content: bytes
    """The body, encoded."""

    @property
    def introduces(self) -> None:
        """We cannot know."""
        return

    def encode(self) -> cbor.CborValue:
        """The value that was read."""
        return cbor.decode(self.content)


Body: TypeAlias = Delegate | Recover | Rekey | Revoke | Checkpoint | Transition | Unknown

KINDS: dict[int, type[Delegate | Recover | Rekey | Revoke | Checkpoint | Transition]] = {
    body.KIND: body for body in (Delegate, Recover, Rekey, Revoke, Checkpoint, Transition)
}
"""The bodies that we know, by kind."""


def kind_of(body: Body) -> int:
    """The number of the kind."""
    return body.kind if isinstance(body, Unknown) else body.KIND


def decode_body(kind: int, value: cbor.CborValue) -> Body:
    """Read a body of ``kind``.

    Raises:
        PeerError: It breaks the format of a kind that we know.
    """
    body = KINDS.get(kind)
    if body is None:
        return Unknown(kind, cbor.encode(value))
    return body.decode(Fields(value, f"a {body.__name__.lower()}"))
