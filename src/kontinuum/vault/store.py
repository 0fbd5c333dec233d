"""The vault: sealed objects in a directory, where several processes put, get, list and delete.

Source:   docs/protocols/envelope.md, "The vault".
Bounds:   VAULT_OBJECTS_MAX, TOMBSTONES_MAX; some runs of a file in memory, whatever its length.
Trust:    the directory belongs to the user, its content is checked nevertheless: a file is an object only if
          its hash is its name, and its content is believed only if an accepted sender signed it for a vault.
Crash:    an object is there when ``put`` returned; before, it is there whole or not at all. A deleted object
          stays deleted. What a crash leaves between file and journal is put right by the next
          :meth:`VaultStore.objects`.
Not pure: blocking file work, thread-safe. No clock: the time comes as ``at``.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kontinuum.base.entropy import Entropy
from kontinuum.base.errors import FileUnavailableError, UnavailableError
from kontinuum.base.files import NewFile
from kontinuum.keys.envelope import EnvelopeError
from kontinuum.keys.envelope.files import Progress, file_runs, opened, seal_runs
from kontinuum.keys.envelope.sealing import ObjectSealer
from kontinuum.vault.copying import IncomingCopy
from kontinuum.vault.errors import (
    AmbiguousObjectError,
    DamagedObjectError,
    NoSuchObjectError,
    VaultFullError,
)
from kontinuum.vault.index import VAULT_OBJECTS_MAX, Index
from kontinuum.vault.journal import Change, Delete, Put
from kontinuum.vault.journal_file import JournalFile
from kontinuum.vault.keyring import Keyring
from kontinuum.vault.metadata import VAULT_CONTEXT, Metadata
from kontinuum.vault.object_id import ObjectId, is_prefix
from kontinuum.vault.reading import Description, ObjectReader, describe
from kontinuum.vault.shelf import Shelf, hash_of

_CHANGES_AT_ONCE = 500
"""Changes in one record of the journal."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object, as much as can be known without a key."""

    object_id: ObjectId
    """Its id."""

    size_bytes: int
    """Length of its file, as it is encrypted."""

    stored_at: int
    """Since when it is here, in Unix seconds."""

    present: bool = True
    """Whether its file is there; not looked at otherwise (:meth:`VaultStore.check` does)."""


class VaultStore:
    """A vault in a directory.

    Args:
        directory: Where; made when something is put.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._shelf = Shelf(directory)
        self._journal = JournalFile(directory)
        self._lock = threading.RLock()

    # --- putting ---

    def put_file(
        self,
        source: Path,
        keyring: Keyring,
        metadata: Metadata,
        *,
        entropy: Entropy,
        on_progress: Progress | None = None,
    ) -> StoredObject:
        """Seal a file, or what a pipe gives. See :meth:`put` for the rest.

        Raises:
            NotAFileError: ``source`` is a directory.
            FileUnavailableError: It cannot be read.
        """
        with opened(source, regular=False) as descriptor:
            runs = file_runs(descriptor, source)
            return self.put(runs, keyring, metadata, entropy=entropy, on_progress=on_progress)

    def put(
        self,
        runs: Iterator[bytes | memoryview],
        keyring: Keyring,
        metadata: Metadata,
        *,
        entropy: Entropy,
        on_progress: Progress | None = None,
    ) -> StoredObject:
        """Seal content; it is durable when this returns.

        Args:
            runs: The content, as ``envelope.files.seal_runs`` takes it (``even_runs`` makes such of others).
            keyring: Whose it is.
            metadata: Its name and the time.
            entropy: For its data key.
            on_progress: Called with the bytes sealed so far; what it raises ends the work without a trace.

        Raises:
            VaultFullError: There are as many objects as a vault may have.
            FileUnavailableError: The disk is full, read-only or failing. Nothing was put.
        """
        return self._put(runs, keyring, metadata, entropy, on_progress, replaces=None)

    def replace(
        self,
        object_id: ObjectId,
        old: Keyring,
        new: Keyring,
        *,
        at: datetime,
        entropy: Entropy,
        on_progress: Progress | None = None,
    ) -> StoredObject:
        """Seal an object anew, for other keys; the old one is deleted when the new one is durable.

        A crash leaves the old one, or the new one, or both; then the new one says which it replaces.

        Args:
            object_id: Which.
            old: What opens it.
            new: What it is sealed to.
            at: Now.
            entropy: For its data key.
            on_progress: As for :meth:`put`.

        Raises:
            NoSuchObjectError, DamagedObjectError, EnvelopeError: It cannot be opened.
            FileUnavailableError: The disk is full, read-only or failing. The old object is untouched.
        """
        with self.open(object_id, old) as reader:
            was = reader.description.metadata
            metadata = Metadata(was.name, was.created_at, object_id)
            runs = reader.runs()
            gone = Delete(object_id, int(at.timestamp()))
            return self._put(runs, new, metadata, entropy, on_progress, replaces=gone)

    def add_sealed(self, object_id: ObjectId, pieces: Iterator[bytes], *, at: datetime) -> bool:
        """Take a copy of an object from elsewhere; its id says whether it is right. No key is needed.

        Args:
            object_id: What it claims to be.
            pieces: Its file.
            at: Now.

        Returns:
            Whether it was news: what was deleted here, or is here, is not taken.

        Raises:
            DamagedObjectError: The bytes are another object's, or none. Nothing was kept.
            VaultFullError, FileUnavailableError: As :meth:`put`.
        """
        if not self.wants(object_id):
            return False
        with self.begin_copy(object_id) as copy:
            for piece in pieces:
                copy.write(piece)
            return self.finish_copy(copy, at=at)

    def begin_copy(self, object_id: ObjectId) -> IncomingCopy:
        """Begin to take a copy from elsewhere, piece by piece.

        Raises:
            FileUnavailableError: The disk is full, read-only or not ours.
        """
        return IncomingCopy(object_id, self._shelf.new_file())

    def finish_copy(self, copy: IncomingCopy, *, at: datetime) -> bool:
        """Take a complete copy; see :meth:`add_sealed`."""
        copy.verify()
        with self._changing() as index:
            if copy.object_id in index.deleted:
                return False
            put = Put(copy.object_id, copy.size_bytes, int(at.timestamp()))
            return self._commit(copy.new, put, None)

    def wants(self, object_id: ObjectId) -> bool:
        """Whether a copy of an object would be taken: it is neither here nor was it deleted here."""
        with self._reading() as index:
            return object_id not in index.objects and object_id not in index.deleted

    # --- getting ---

    @contextmanager
    def open(self, object_id: ObjectId, keyring: Keyring) -> Iterator[ObjectReader]:
        """An object for reading: its file was verified whole before this gives it out.

        Raises:
            NoSuchObjectError: There is none.
            DamagedObjectError: Its file is gone, cut off or was changed.
            EnvelopeError: No key of ours opens it, or its sender is not accepted; the leaf says which.
            FileUnavailableError: It cannot be read.
        """
        with self.opened(object_id) as (descriptor, _):
            yield ObjectReader(object_id, descriptor, self._shelf.path(object_id), keyring)

    @contextmanager
    def opened(self, object_id: ObjectId, *, verify: bool = True) -> Iterator[tuple[int, int]]:
        """The sealed file itself: its descriptor, and its length. No key is needed.

        Args:
            object_id: Which.
            verify: Read it first and compare it with its id; else only its length is looked at.

        Raises:
            NoSuchObjectError, DamagedObjectError, FileUnavailableError: As :meth:`open`.
        """
        size = self._size_of(object_id)
        with self._shelf.opened(object_id) as descriptor:
            self._shelf.verify(object_id, descriptor, size, length_only=not verify)
            yield descriptor, size

    def describe(self, object_id: ObjectId, keyring: Keyring) -> Description:
        """Name, time, sender and readers of an object, from its header alone.

        Raises:
            NoSuchObjectError, DamagedObjectError, EnvelopeError, FileUnavailableError: As :meth:`open`.
        """
        size = self._size_of(object_id)
        with self._shelf.opened(object_id) as descriptor:
            try:
                return describe(descriptor, self._shelf.path(object_id), keyring)
            except EnvelopeError:
                self._shelf.verify(object_id, descriptor, size)  # Damage explains it better than the format.
                raise

    def find(self, what: str, keyring: Keyring | None) -> ObjectId:
        """The object that a person means: by its id, the beginning of one, or its name.

        Args:
            what: Six characters of an id or more, or a name.
            keyring: Opens the names; without it only ids are looked at.

        Raises:
            NoSuchObjectError: There is none.
            AmbiguousObjectError: There are several.
        """
        with self._reading() as index:
            ids = index.beginning_with(what) if is_prefix(what) else []
            was_deleted = is_prefix(what) and any(gone.hex().startswith(what) for gone in index.deleted)
            known = list(index.objects)
        if not ids and keyring is not None:
            ids = [object_id for object_id in known if self._name_of(object_id, keyring) == what]
        if len(ids) > 1:
            raise AmbiguousObjectError(what, tuple(ids))
        if not ids:
            raise NoSuchObjectError(what, was_deleted=was_deleted)
        return ids[0]

    # --- looking after it ---

    def objects(self) -> list[StoredObject]:
        """Every object, in the order in which they came; no key is needed.

        Raises:
            FileUnavailableError: The directory cannot be read.
        """
        with self._reading() as index:
            found = self._shelf.scan()
            strange = found.keys() - index.objects.keys()
            if not strange:
                return _listed(index, found)
        try:
            with self._changing() as index:
                found = self._shelf.scan()
                self._put_right(index, found)
                return _listed(self._journal.load(), found)
        except FileUnavailableError:
            # A medium that cannot be written: shown as it is.
            with self._reading() as index:
                added = Index(index.changes())
                for change in _unknown(index, found):
                    added.apply(change)
                return _listed(added, found)

    def delete(self, object_id: ObjectId, *, at: datetime, replaced_by: ObjectId | None = None) -> None:
        """Delete an object, for good: a copy that another node has does not bring it back.

        Args:
            object_id: Which.
            at: Now.
            replaced_by: The object that holds its content under other keys, if that is why.

        Raises:
            NoSuchObjectError: There is none.
            FileUnavailableError: The disk is read-only or failing. It is still there.
        """
        with self._changing() as index:
            if object_id not in index.objects:
                raise NoSuchObjectError(str(object_id), was_deleted=object_id in index.deleted)
            gone = Delete(object_id, int(at.timestamp()), replaced_by)
            try:
                self._journal.append([gone])
            except FileUnavailableError:
                # On a full disk only the deleting makes room for saying so. If that fails as well, the list
                # shows an object whose file is gone, and deleting it again says the rest.
                self._shelf.remove(object_id)
                self._journal.append([gone])
            self._shelf.remove(object_id)

    def check(
        self, on_checked: Callable[[StoredObject, str], None] | None = None
    ) -> list[DamagedObjectError]:
        """Read every file and compare it with its id; no key is needed.

        Args:
            on_checked: Called after each object with what is wrong with it, or nothing.

        Raises:
            FileUnavailableError: The directory cannot be read.
        """
        damaged = []
        for stored in self.objects():
            problem = ""
            try:
                with self._shelf.opened(stored.object_id) as descriptor:
                    self._shelf.verify(stored.object_id, descriptor, stored.size_bytes)
            except DamagedObjectError as error:
                damaged.append(error)
                problem = error.problem
            if on_checked is not None:
                on_checked(stored, problem)
        return damaged

    def tidy(self) -> int:
        """Remove what dead processes left unfinished; return how many files that were."""
        return self._shelf.tidy()

    def index(self) -> Index:
        """A copy of what is here and what was, to compare with another node's."""
        with self._reading() as index:
            return Index(index.changes())

    # --- inside ---

    @contextmanager
    def _reading(self) -> Iterator[Index]:
        with self._lock, self._journal.locked(alone=False):
            yield self._journal.load()

    @contextmanager
    def _changing(self) -> Iterator[Index]:
        with self._lock, self._journal.locked(alone=True):
            yield self._journal.load()

    def _put(
        self,
        runs: Iterator[bytes | memoryview],
        keyring: Keyring,
        metadata: Metadata,
        entropy: Entropy,
        on_progress: Progress | None,
        *,
        replaces: Delete | None,
    ) -> StoredObject:
        sealer = ObjectSealer(
            keyring.readers,
            signer=keyring.signer,
            context=VAULT_CONTEXT,
            metadata=metadata.encode(),
            entropy=entropy,
        )
        with self._shelf.new_file() as new:
            seal_runs(sealer, runs, new, on_progress)
            object_id = hash_of(new.descriptor, new.path)
            size = new.path.stat().st_size
            at = int(metadata.created_at.timestamp()) if replaces is None else replaces.at
            with self._changing():
                self._commit(new, Put(object_id, size, at), replaces)
        return StoredObject(object_id, size, at)

    def _commit(self, new: NewFile, put: Put, replaces: Delete | None) -> bool:
        """Give a sealed file its name and write it down; undone if that fails. Hold the lock alone."""
        index = self._journal.load()
        if put.object_id in index.objects:
            return False
        if len(index.objects) - (replaces is not None) >= VAULT_OBJECTS_MAX:
            raise VaultFullError(VAULT_OBJECTS_MAX)
        changes: list[Change] = [put]
        if replaces is not None:
            changes.append(Delete(replaces.object_id, replaces.at, put.object_id))
        placed = self._shelf.place(new, put.object_id)
        try:
            self._journal.append(changes)
        except BaseException:
            if placed:
                with suppress(UnavailableError):
                    self._shelf.remove(put.object_id)
            raise
        if replaces is not None:
            self._shelf.remove(replaces.object_id)
        return True

    def _put_right(self, index: Index, found: Mapping[ObjectId, os.stat_result]) -> None:
        """Write down what a crash left on the shelf, and remove what was deleted. Hold the lock alone."""
        for object_id in index.deleted.keys() & found.keys():
            self._shelf.remove(object_id)
        unknown = _unknown(index, found)
        for at in range(0, len(unknown), _CHANGES_AT_ONCE):
            self._journal.append(unknown[at : at + _CHANGES_AT_ONCE])

    def _size_of(self, object_id: ObjectId) -> int:
        with self._reading() as index:
            put = index.objects.get(object_id)
            if put is None:
                raise NoSuchObjectError(str(object_id), was_deleted=object_id in index.deleted)
            return put.size_bytes

    def _name_of(self, object_id: ObjectId, keyring: Keyring) -> str | None:
        """The name of an object, if we can open and believe it."""
        try:
            return self.describe(object_id, keyring).metadata.name
        except (EnvelopeError, DamagedObjectError, NoSuchObjectError):
            return None


def _unknown(index: Index, found: Mapping[ObjectId, os.stat_result]) -> list[Put]:
    """Files that the journal says nothing about, the oldest first."""
    unknown = [
        Put(object_id, status.st_size, int(status.st_mtime))
        for object_id, status in found.items()
        if object_id not in index.objects and object_id not in index.deleted
    ]
    return sorted(unknown, key=lambda put: put.at)


def _listed(index: Index, found: Mapping[ObjectId, os.stat_result]) -> list[StoredObject]:
    return [
        StoredObject(put.object_id, put.size_bytes, put.at, present=put.object_id in found)
        for put in index.objects.values()
    ]
