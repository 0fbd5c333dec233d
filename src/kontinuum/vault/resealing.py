"""Seal everything in a vault anew, for other keys: after a rekeying, or when the root itself was replaced.

Bounds:   one object at a time; it needs room for the largest one twice.
Crash:    it can be run again at any time and does what is left. Objects that are sealed to the new keys are
          recognised by opening with those alone; one that was sealed anew, and whose old form a crash left
          there, says which it replaces.
Not pure: blocking file work.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from kontinuum.base.entropy import Entropy
from kontinuum.keys.envelope import EnvelopeError, Kind
from kontinuum.vault.errors import DamagedObjectError, NoSuchObjectError
from kontinuum.vault.keyring import Keyring
from kontinuum.vault.object_id import ObjectId
from kontinuum.vault.store import StoredObject, VaultStore

Done = Callable[[int, int], None]
"""Called with the bytes of files that are done and that there are; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Resealed:
    """What became of a vault's objects."""

    sealed: tuple[ObjectId, ...]
    """Objects that were sealed anew, by their old ids."""

    current: int
    """How many were sealed to the new keys already."""

    left: tuple[tuple[ObjectId, str], ...]
    """Objects that could not be opened, and why: they are as they were."""


def reseal_all(
    store: VaultStore,
    old: Keyring,
    new: Keyring,
    *,
    at: datetime,
    entropy: Entropy,
    on_progress: Done | None = None,
) -> Resealed:
    """Seal every object to ``new`` that is not yet.

    Args:
        store: The vault.
        old: What opens its objects; keep it until nothing is left.
        new: What they are sealed to.
        at: Now.
        entropy: For data keys.
        on_progress: See :data:`Done`.

    Raises:
        FileUnavailableError: The disk is full, read-only or failing. Run it again when it is not.
    """
    objects = [stored for stored in store.objects() if stored.present]
    current = _current(store, objects, new)
    replaced = _replaced(store, objects, old, new)
    total, done = sum(stored.size_bytes for stored in objects), 0
    sealed, left = [], []
    for stored in objects:
        object_id = stored.object_id
        if object_id in current:
            pass
        elif object_id in replaced:
            store.delete(object_id, at=at, replaced_by=replaced[object_id])
            sealed.append(object_id)
        else:
            try:
                store.replace(object_id, old, _alike(store, object_id, old, new), at=at, entropy=entropy)
                sealed.append(object_id)
            except NoSuchObjectError:
                pass  # Somebody deleted it meanwhile.
            except (EnvelopeError, DamagedObjectError) as error:
                left.append((object_id, str(error)))
        done += stored.size_bytes
        if on_progress is not None:
            on_progress(done, total)
    return Resealed(tuple(sealed), len(current), tuple(left))


def _alike(store: VaultStore, object_id: ObjectId, old: Keyring, new: Keyring) -> Keyring:
    """The new keyring, sealing to a post-quantum key what was sealed to one: a rekeying weakens nothing."""
    readers = store.describe(object_id, old).readers
    if new.hybrid_readers and any(reader.reader_id.kind is Kind.HYBRID for reader in readers):
        return replace(new, readers=new.hybrid_readers)
    return new


def _current(store: VaultStore, objects: list[StoredObject], new: Keyring) -> set[ObjectId]:
    """The objects that are sealed to the new keys already."""
    alone = replace(new, keys=new.keys[: new.current_keys])
    found: set[ObjectId] = set()
    for stored in objects:
        with suppress(EnvelopeError, DamagedObjectError, NoSuchObjectError):
            store.describe(stored.object_id, alone)
            found.add(stored.object_id)
    return found


def _replaced(
    store: VaultStore, objects: list[StoredObject], old: Keyring, new: Keyring
) -> dict[ObjectId, ObjectId]:
    """What objects that are here replace: also those of a rekeying before, which a crash ended."""
    found: dict[ObjectId, ObjectId] = {}
    for stored in objects:
        for keyring in (new, old):
            with suppress(EnvelopeError, DamagedObjectError, NoSuchObjectError):
                before = store.describe(stored.object_id, keyring).metadata.replaces
                if before is not None:
                    found[before] = stored.object_id
                break
    return found
