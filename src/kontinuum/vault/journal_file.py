"""The journal on disk and the index that it makes: read once, then only what others appended.

Source:   docs/protocols/envelope.md, "The vault"; the rules of ``journal``.
Bounds:   JOURNAL_BYTES_MAX. It is written anew when it has COMPACT_RATIO times the changes that count.
Trust:    see ``journal``. A damaged one is kept aside for a person to look at, and written anew from what
          could be read and what lies on the shelf.
Not pure: blocking file work. Several processes use one vault: whoever changes it holds the lock alone.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import write_atomically
from kontinuum.vault.index import Index
from kontinuum.vault.journal import (
    JOURNAL_BYTES_MAX,
    MAGIC,
    Change,
    Journal,
    encode_record,
    parse_journal,
    parse_records,
)
from kontinuum.vault.shelf import make_directory

COMPACT_RATIO = 2
"""Changes per change that counts from which on the journal is written anew. Our choice."""

COMPACT_CHANGES_MIN = 1000
"""Changes below which it is not worth it. Our choice."""

_RECORD_CHANGES = 500
"""Changes in one record when the journal is written anew."""

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class JournalFile:
    """The journal of one vault. Not thread-safe: hold :meth:`locked` around everything else.

    Args:
        directory: The vault; it need not exist before something is appended.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "journal"
        self._index = Index()
        self._changes = 0
        self._good_bytes = 0
        self._damaged = False
        """Whether there is more in the file than what could be read and a record that a crash cut off."""

        self._file: tuple[int, int] | None = None
        """Which file the index was made from: device and inode."""

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """Keep other processes from changing the vault, or (``alone``) from reading its journal as well.

        A medium that cannot be written needs no lock.

        Raises:
            FileUnavailableError: The vault cannot be locked.
        """
        path = self._directory / "lock"
        if alone:
            make_directory(self._directory)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if alone or error.errno not in (*_READ_ONLY, errno.ENOENT):
                raise FileUnavailableError(path, "lock", error.strerror or str(error)) from error
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> Index:
        """The index as of now. What is unreadable at the end of the journal is passed over.

        Raises:
            FileUnavailableError: The journal cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._begin(None)
            return self._index
        except OSError as error:
            raise FileUnavailableError(self.path, "read", error.strerror or str(error)) from error
        try:
            status = os.fstat(descriptor)
            file = status.st_dev, status.st_ino
            if file != self._file or status.st_size < self._good_bytes:
                self._begin(file)
            self._read_on(descriptor, min(status.st_size, JOURNAL_BYTES_MAX))
        except OSError as error:
            raise FileUnavailableError(self.path, "read", error.strerror or str(error)) from error
        finally:
            os.close(descriptor)
        return self._index

    def append(self, changes: Sequence[Change]) -> None:
        """Make changes durable, all or none, and take them into the index. Hold the lock alone.

        Raises:
            FileUnavailableError: The disk is full, read-only or failing. Nothing changed.
        """
        self.load()
        record = encode_record(changes)
        if self._file is None or self._damaged or self._is_long(len(changes)):
            for change in changes:
                self._index.apply(change)
            self._write_anew()
            return
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise FileUnavailableError(self.path, "write", error.strerror or str(error)) from error
        try:
            self._append(descriptor, record)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, self._good_bytes)
            raise FileUnavailableError(self.path, "write", error.strerror or str(error)) from error
        finally:
            os.close(descriptor)
        self._good_bytes += len(record)
        self._changes += len(changes)
        for change in changes:
            self._index.apply(change)

    def _append(self, descriptor: int, record: bytes) -> None:
        """Write behind the last good record: what a crash left there is overwritten."""
        os.ftruncate(descriptor, self._good_bytes)
        at, view = self._good_bytes, memoryview(record)
        while view:
            written = os.pwrite(descriptor, view, at)
            at, view = at + written, view[written:]
        os.fsync(descriptor)

    def _begin(self, file: tuple[int, int] | None) -> None:
        self._index, self._changes, self._good_bytes = Index(), 0, 0
        self._damaged, self._file = False, file

    def _read_on(self, descriptor: int, size: int) -> None:
        data = b""
        while len(data) < size - self._good_bytes:
            part = os.pread(descriptor, size - self._good_bytes - len(data), self._good_bytes + len(data))
            if not part:
                break
            data += part
        journal = parse_records(data) if self._good_bytes else parse_journal(data)
        self._take(journal)

    def _take(self, journal: Journal) -> None:
        for change in journal.changes:
            self._index.apply(change)
        self._changes += len(journal.changes)
        self._good_bytes += journal.good_bytes
        self._damaged = bool(journal.problem) and not journal.cut_off

    def _is_long(self, more: int) -> bool:
        changes = self._changes + more
        live = len(self._index.objects) + len(self._index.deleted)
        return changes > COMPACT_CHANGES_MIN and changes > COMPACT_RATIO * (live + more)

    def _write_anew(self) -> None:
        """Replace the journal by the shortest one; a damaged one is kept beside it."""
        changes = self._index.changes()
        records = [
            encode_record(changes[at : at + _RECORD_CHANGES])
            for at in range(0, len(changes), _RECORD_CHANGES)
        ]
        try:
            if self._damaged:
                self._keep_aside()
            write_atomically(self.path, b"".join([MAGIC, *records]))
        except OSError as error:
            raise FileUnavailableError(self.path, "write", error.strerror or str(error)) from error
        finally:
            self._begin(None)  # Whatever happened, the file says what is so.
        self.load()

    def _keep_aside(self) -> None:
        """Give a damaged journal a second name, which it keeps when it is replaced."""
        aside = self.path.with_name("journal.damaged")
        aside.unlink(missing_ok=True)
        with suppress(OSError):  # A file system without links: better no copy than no journal.
            os.link(self.path, aside)
