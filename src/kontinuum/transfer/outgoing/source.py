"""A file that is being sent: opened late, read in blocks, and watched for changes.

Bounds:   one block of at most CHUNK_BYTES_MAX bytes in memory per call.
Trust:    the file belongs to our user, but others may write to it at any time; what was offered and what was
          read must be the same file, else it is reported as changed.
Not pure: blocking file work; the shell calls it from a worker thread.
"""

import os
import stat
import unicodedata
from pathlib import Path

from kontinuum.transfer.digest import Hasher
from kontinuum.transfer.errors import BadFileNameError, SourceFileError
from kontinuum.transfer.messages import CHUNK_BYTES_MAX, FILE_BYTES_MAX, Code, FileOffer
from kontinuum.transfer.names import verify_file_name


class SourceChangedError(Exception):
    """The source is no longer what was offered. Internal; ``code`` is what the peer is told."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Source:
    """One file to send. :meth:`open` before reading; :meth:`close` afterwards, any number of times.

    Raises:
        SourceFileError: the path is missing, not a regular file, not readable, or its name cannot travel.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # The descriptor is opened and closed: a file that we may not read is found before the offer.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise SourceFileError(str(path), error.strerror or str(error)) from error
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise SourceFileError(str(path), f"it is {kind}; only files can be sent")
        if status.st_size > FILE_BYTES_MAX:
            raise SourceFileError(str(path), "it is too large")
        self._fingerprint = _fingerprint(status)
        self._descriptor: int | None = None
        try:
            name = verify_file_name(unicodedata.normalize("NFC", path.name))
        except BadFileNameError as error:
            raise SourceFileError(str(path), f"its name cannot be sent: {error.reason}") from error
        self.offer = FileOffer(name, status.st_size)

    def open(self) -> None:
        """Open the file for reading.

        Raises:
            SourceChangedError: it is gone, unreadable, or not the file that was offered.
        """
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                raise SourceChangedError(Code.SOURCE_UNREADABLE) from None
        self.verify_unchanged()

    def verify_unchanged(self) -> None:
        """Compare size, times and inode with those of the offer.

        Raises:
            SourceChangedError: they differ.
        """
        if _fingerprint(os.fstat(self._opened())) != self._fingerprint:
            raise SourceChangedError(Code.SOURCE_CHANGED)

    def read_block(self, offset: int, length: int, hasher: Hasher) -> bytes:
        """Return ``length`` bytes from ``offset``, at most CHUNK_BYTES_MAX, and feed them to ``hasher``.

        Raises:
            SourceChangedError: the file ended early or cannot be read.
        """
        parts: list[bytes] = []
        missing = min(length, CHUNK_BYTES_MAX)
        while missing:
            try:
                part = os.pread(self._opened(), missing, offset)
            except OSError:
                raise SourceChangedError(Code.SOURCE_UNREADABLE) from None
            if not part:
                raise SourceChangedError(Code.SOURCE_CHANGED)
            parts.append(part)
            offset += len(part)
            missing -= len(part)
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        hasher.update(block)
        return block

    def hash_prefix(self, length: int, hasher: Hasher) -> bytes:
        """Feed the first ``length`` bytes to ``hasher`` and return the digest so far.

        Raises:
            SourceChangedError: as in :meth:`open` and :meth:`read_block`.
        """
        self.open()
        offset = 0
        while offset < length:
            offset += len(self.read_block(offset, length - offset, hasher))
        return hasher.digest()

    def close(self) -> None:
        """Close the file if it is open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            raise AssertionError("the source is not open")
        return self._descriptor


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
