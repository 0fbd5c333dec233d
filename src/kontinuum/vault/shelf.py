"""Where a vault's sealed files lie: one file per object, named by its hash, under 256 directories.

Source:   "All File Systems Are Not Created Equal", OSDI 2014, section 4 (write, sync, rename, sync
          directory).
Bounds:   one run of a file in memory.
Trust:    what lies in the directory may have been changed by anybody: a file is believed to be an object only
          when its hash says so. Links are not followed.
Not pure: blocking file work.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kontinuum._native import Blake3
from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import NewFile, remove_leftovers, sync_directory
from kontinuum.vault.errors import BadObjectIdError, DamagedObjectError
from kontinuum.vault.object_id import ObjectId

DIRECTORY_MODE = 0o700
"""Permission bits of a vault's directories: their owner, nobody else."""

READ_BYTES = 1024 * 1024
"""Bytes that are hashed at once. Our choice."""

_SUFFIX = ".age"


class Shelf:
    """The files of a vault.

    Args:
        directory: The vault; it need not exist before something is put.
    """

    def __init__(self, directory: Path) -> None:
        self._objects = directory / "objects"
        self._incoming = directory / "incoming"

    def new_file(self) -> NewFile:
        """An unfinished file for an object to come.

        Raises:
            FileUnavailableError: The disk is full, read-only or not ours.
        """
        make_directory(self._incoming)
        return NewFile(self._incoming)

    def place(self, new: NewFile, object_id: ObjectId) -> bool:
        """Give a finished file its name, durably; return whether it was new.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. There is no such object.
        """
        path = self._path(object_id)
        if path.exists():
            return False
        make_directory(path.parent)
        new.commit(path)
        return True

    def remove(self, object_id: ObjectId) -> None:
        """Remove an object's file, durably; nothing happens if there is none.

        Raises:
            FileUnavailableError: The disk is read-only or failing.
        """
        path = self._path(object_id)
        try:
            path.unlink()
            sync_directory(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FileUnavailableError(path, "delete", error.strerror or str(error)) from error

    def scan(self) -> dict[ObjectId, os.stat_result]:
        """Every file with an object's name, by its id.

        Raises:
            FileUnavailableError: A directory cannot be read.
        """
        found: dict[ObjectId, os.stat_result] = {}
        try:
            with suppress(FileNotFoundError):
                for directory in sorted(self._objects.iterdir()):
                    if directory.is_dir() and not directory.is_symlink():
                        found |= self._scan(directory)
        except OSError as error:
            raise FileUnavailableError(self._objects, "read", error.strerror or str(error)) from error
        return found

    def tidy(self) -> int:
        """Remove what dead processes left unfinished; return how many files there were.

        Raises:
            FileUnavailableError: The directory cannot be read.
        """
        return remove_leftovers(self._incoming)

    def path(self, object_id: ObjectId) -> Path:
        """What an object's file is called."""
        return self._path(object_id)

    @contextmanager
    def opened(self, object_id: ObjectId) -> Iterator[int]:
        """An object's file for reading; what is in it has not been looked at.

        Raises:
            DamagedObjectError: There is none, or something else has its name.
            FileUnavailableError: It cannot be read.
        """
        path = self._path(object_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise DamagedObjectError(object_id, "its file is gone") from None
        except OSError as error:
            raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamagedObjectError(object_id, "its file is no regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def verify(
        self, object_id: ObjectId, descriptor: int, size_bytes: int, *, length_only: bool = False
    ) -> None:
        """Check that an open file is the object of this id, whole.

        Args:
            object_id: Which.
            descriptor: From :meth:`opened`.
            size_bytes: How long it was.
            length_only: Do not read it.

        Raises:
            DamagedObjectError: It is not; cut off and changed are told apart.
            FileUnavailableError: It cannot be read.
        """
        found = os.fstat(descriptor).st_size
        if found != size_bytes:
            problem = "cut off" if found < size_bytes else "longer than it was"
            raise DamagedObjectError(object_id, f"its file is {problem}: {found} of {size_bytes} bytes")
        if not length_only and hash_of(descriptor, self._path(object_id)) != object_id:
            raise DamagedObjectError(object_id, "its file was changed: the content no longer has its hash")

    def _path(self, object_id: ObjectId) -> Path:
        name = object_id.hex()
        return self._objects / name[:2] / f"{name}{_SUFFIX}"

    def _scan(self, directory: Path) -> dict[ObjectId, os.stat_result]:
        found = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(BadObjectIdError, FileNotFoundError):
                    object_id = ObjectId.parse(entry.name.removesuffix(_SUFFIX))
                    if entry.name == self._path(object_id).name and object_id.hex()[:2] == directory.name:
                        found[object_id] = entry.stat(follow_symlinks=False)
        return {object_id: found[object_id] for object_id in sorted(found)}


def hash_of(descriptor: int, path: Path) -> ObjectId:
    """The id that an open file has by its content.

    Raises:
        FileUnavailableError: It cannot be read.
    """
    hasher, at = Blake3(), 0
    try:
        while part := os.pread(descriptor, READ_BYTES, at):
            hasher.update(part)
            at += len(part)
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
    return ObjectId(hasher.digest())


def make_directory(path: Path) -> None:
    """Make a private directory, durably, and those above it that are missing.

    Raises:
        FileUnavailableError: The disk is full, read-only or not ours.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    try:
        path.mkdir(DIRECTORY_MODE)
        sync_directory(path.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise FileUnavailableError(path, "create", error.strerror or str(error)) from error
