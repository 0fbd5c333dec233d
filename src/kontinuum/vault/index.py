"""What a vault holds and what it held: the sum of its journal, and what two vaults lack of each other.

Bounds:   VAULT_OBJECTS_MAX, TOMBSTONES_MAX.
Trust:    changes come from our own journal, and ids from other nodes are only compared.
Pure:     no I/O, clock or randomness.

A deleted object leaves a tombstone: a copy that another node still has does not bring it back. An id is the
hash of a file, so no two objects have the same, and vaults are compared by their ids alone.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kontinuum.vault.journal import Change, Delete, Put
from kontinuum.vault.object_id import ObjectId

VAULT_OBJECTS_MAX = 100_000
"""Objects in a vault. Our choice: a list of them takes 30 MB and a fifth of a second. More:
VaultFullError."""

TOMBSTONES_MAX = 65_536
"""Deleted objects that are remembered. Our choice. More: the oldest are forgotten, and could come back from
a node that slept since."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What one vault lacks of another one."""

    objects: tuple[ObjectId, ...]
    """To be copied."""

    deleted: tuple[ObjectId, ...]
    """To be deleted here, because they were deleted there."""


class Index:
    """The objects of one vault, in the order in which they came, and the deleted ones."""

    __slots__ = ("deleted", "objects")

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.objects: dict[ObjectId, Put] = {}
        self.deleted: dict[ObjectId, Delete] = {}
        for change in changes:
            self.apply(change)

    def apply(self, change: Change) -> None:
        """Take one change into account. The same one again changes nothing."""
        match change:
            case Put():
                self.deleted.pop(change.object_id, None)
                self.objects.setdefault(change.object_id, change)
            case Delete():
                self.objects.pop(change.object_id, None)
                self.deleted.setdefault(change.object_id, change)
                while len(self.deleted) > TOMBSTONES_MAX:
                    del self.deleted[next(iter(self.deleted))]

    def changes(self) -> list[Change]:
        """The shortest list that makes the same index."""
        return [*self.deleted.values(), *self.objects.values()]

    def beginning_with(self, prefix: str) -> list[ObjectId]:
        """The ids whose hexadecimal form begins so."""
        return [object_id for object_id in self.objects if object_id.hex().startswith(prefix)]

    def missing(self, objects: Collection[ObjectId], deleted: Collection[ObjectId]) -> Missing:
        """What we lack of a vault that has these objects and deleted those."""
        gone = set(deleted)
        return Missing(
            tuple(
                object_id
                for object_id in dict.fromkeys(objects)
                if object_id not in self.objects and object_id not in self.deleted and object_id not in gone
            ),
            tuple(object_id for object_id in self.objects if object_id in gone),
        )
