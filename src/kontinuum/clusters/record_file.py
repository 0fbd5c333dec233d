"""One file of checked records on the disk: appended to, read as a whole, never losing what is intact.

What a crash left at the end, and a damaged file before it is written anew, are kept beside it
(``NAME.torn``, ``NAME.damaged``) for a person to look at.

Bounds:   FILE_BYTES_MAX.
Trust:    see ``records``.
Not pure: blocking file work, through ``base.files`` where files are replaced. One process at a time: whoever
          uses it holds the data directory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import read_private, sync_directory, write_atomically
from kontinuum.clusters.errors import NewerStoreError
from kontinuum.clusters.records import Records, encode_head, encode_record, parse_records

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_BYTES_MAX = 512 * 1024 * 1024
"""Bytes of a file. Our choice: the fullest chain of the longest statements that a thief could write; an
honest one that is full has some 13 MB, and is written anew when twice as long. Beyond it nothing is added
(FileUnavailableError), so that the file can always be read. Longer: FileTooLargeError."""

DIRECTORY_MODE = 0o700
"""Permission bits of the directories: their owner, nobody else."""


class RecordFile:
    """A file of records.

    Args:
        path: Where; its directory is made if something is written.
        magic: How its kind begins.
        read_only: Somebody else writes it: nothing is kept beside it.
    """

    def __init__(self, path: Path, magic: bytes, *, read_only: bool = False) -> None:
        self.path = path
        self._magic = magic
        self._read_only = read_only
        self._end: int | None = None
        """Where the next record belongs; None: look first."""

        self.problems: list[str] = []
        """What was found wrong, for people."""

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

    def read(self) -> list[bytes]:
        """The intact records. What is wrong besides goes into :attr:`problems`, and beside the file.

        Raises:
            NewerStoreError: A newer program wrote it.
            NotPrivateError, FileUnavailableError, FileTooLargeError, NotAFileError: It cannot be read.
        """
        if not self.exists():
            self._end = None
            return []
        data = read_private(self.path, FILE_BYTES_MAX)
        found = parse_records(data, self._magic)
        if found.newer:
            raise NewerStoreError(self.path)
        self._note(found, data)
        return found.bodies

    def append(self, bodies: Iterable[bytes]) -> None:
        """Add records, durable when this returns: all of them, or after a crash the first few.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. Nothing was added.
        """
        added = b"".join(map(encode_record, bodies))
        if self._end is None:
            intact = self.read()
            if self._end is None:
                write_anew = b"".join([encode_head(self._magic), *map(encode_record, intact), added])
                self._replace(write_anew)
                return
        end = self._end
        if end is None:
            raise AssertionError("a file that was read has an end")
        if end + len(added) > FILE_BYTES_MAX:
            raise FileUnavailableError(
                self.path, "write", f"it has {FILE_BYTES_MAX} bytes, and may have no more"
            )
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise FileUnavailableError(self.path, "write", error.strerror or str(error)) from error
        try:
            self._append(descriptor, end, added)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise FileUnavailableError(self.path, "write", error.strerror or str(error)) from error
        finally:
            os.close(descriptor)
        self._end = end + len(added)

    def replace(self, bodies: Iterable[bytes]) -> None:
        """Write the file anew: after a crash it is the old one or the new one.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. The old file is untouched.
        """
        self._replace(b"".join([encode_head(self._magic), *map(encode_record, bodies)]))

    def _append(self, descriptor: int, end: int, added: bytes) -> None:
        os.ftruncate(descriptor, end)
        view = memoryview(added)
        at = end
        while view:
            written = os.pwrite(descriptor, view, at)
            at, view = at + written, view[written:]
        os.fsync(descriptor)

    def _replace(self, data: bytes) -> None:
        make_directory(self.path.parent)
        write_atomically(self.path, data)
        self._end = len(data)

    def _note(self, found: Records, data: bytes) -> None:
        """Keep beside the file what will be overwritten, and say so."""
        self._end = found.good_bytes or None
        if found.damaged:
            self._end = None  # The next change writes it anew.
            self._keep("damaged", data)
        elif found.torn:
            self._keep("torn", data[found.good_bytes :])
        elif not found.good_bytes:
            self._end = None

    def _keep(self, what: str, data: bytes) -> None:
        if self._read_only:
            return  # Whoever writes it is in the middle of a record, perhaps, and finds real damage itself.
        aside = self.path.with_name(f"{self.path.name}.{what}")
        said = {"damaged": "is damaged", "torn": "was cut off by a crash or a full disk"}[what]
        self.problems.append(f"{self.path} {said}; what was intact is used, the rest is kept in {aside.name}")
        with suppress(FileUnavailableError):  # A full or read-only disk must not keep us from reading.
            write_atomically(aside, data)


def make_directory(path: Path) -> None:
    """A directory for its owner only, and those above it that are missing.

    Raises:
        FileUnavailableError: It cannot be made.
    """
    if path.is_dir():
        return
    try:
        if not path.parent.is_dir():
            make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise FileUnavailableError(path, "create", error.strerror or str(error)) from error
