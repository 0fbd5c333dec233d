"""Put bytes on the disk so that a crash leaves the old file or the new one, and read secret files warily.

Source:   the rename and fsync rules of POSIX; "All File Systems Are Not Created Equal", OSDI 2014, section 4.
Bounds:   a reader names the most bytes it takes; nothing beyond that is read.
Trust:    file content is outside input. Mode and kind are checked on the open descriptor, not on the path, so
          that nobody can swap the file between the check and the read. Symbolic links are followed: mounted
          secrets are links, and what counts is who can read the file that was opened.
Not pure: this is one of the rooms' few doors to the world; it uses no clock and no asyncio.
"""

import errno
import fcntl
import os
import stat
from itertools import count
from pathlib import Path
from typing import Self

from kontinuum.base.errors import (
    AlreadyExistsError,
    FileTooLargeError,
    FileUnavailableError,
    NotAFileError,
    NotPrivateError,
)

PRIVATE_MODE = 0o600
"""Permission bits of a secret file: its owner reads and writes, nobody else does anything."""

_OTHERS = 0o077
"""The permission bits that a secret file must not have."""

_TEMPORARY_NAMES_MAX = 1000
"""Names tried for a temporary file before giving up."""

_counter = count()

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links answer to ``link``."""


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE_MODE) -> None:
    """Replace ``path`` by ``data``, all or nothing, durable when this returns.

    Args:
        path: The file; its directory must exist.
        data: The whole new content.
        mode: Permission bits of the new file, whatever the umask and the old file's bits are.

    Raises:
        FileUnavailableError: The disk is full, read-only or not ours. The old file is untouched.
    """
    try:
        temporary = _write_temporary(path, data, mode)
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise FileUnavailableError(path, "write", error.strerror or str(error)) from error


def create_atomically(path: Path, data: bytes, mode: int = PRIVATE_MODE) -> None:
    """Like :func:`write_atomically`, but never replaces anything: of two creators one wins, whole.

    Raises:
        AlreadyExistsError: Something has that name, even a broken symbolic link. It is untouched.
        FileUnavailableError: The disk is full, read-only or not ours. Nothing was created.
    """
    if os.path.lexists(path):
        raise AlreadyExistsError(path)
    try:
        temporary = _write_temporary(path, data, mode)
        try:
            _claim_name(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError:
        raise AlreadyExistsError(path) from None
    except OSError as error:
        raise FileUnavailableError(path, "create", error.strerror or str(error)) from error


class NewFile:
    """A file too long for one piece: written beside its place, given its name when it is whole.

    Use it as a context manager: what was not committed is gone at the end. While it is written it is locked
    (``flock``), so that whoever tidies the directory can tell it from what a dead process has left behind.

    Args:
        directory: Where it will be; the directory exists.
        mode: Permission bits of the file, whatever the umask is.

    Raises:
        FileUnavailableError: The disk is full, read-only or not ours.
    """

    def __init__(self, directory: Path, mode: int = PRIVATE_MODE) -> None:
        self.descriptor = -1
        self.path = directory
        try:
            # Once more if somebody tidied between the making and the lock.
            while self.descriptor < 0 or not os.fstat(self.descriptor).st_nlink:
                self.close()
                self.descriptor, self.path = _open_temporary(directory / "new")
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            os.fchmod(self.descriptor, mode)
        except OSError as error:
            self.close()
            raise FileUnavailableError(directory, "write in", error.strerror or str(error)) from error

    def commit(self, path: Path) -> None:
        """Make it durable and give it the name ``path``, in the same file system; nothing is ever replaced.

        Raises:
            AlreadyExistsError: Something has that name. It is untouched.
            FileUnavailableError: The disk is full or failing. There is no such file.
        """
        try:
            os.fsync(self.descriptor)
            _claim_name(self.path, path)
            self.path.unlink(missing_ok=True)
            sync_directory(path.parent)
        except FileExistsError:
            raise AlreadyExistsError(path) from None
        except OSError as error:
            raise FileUnavailableError(path, "create", error.strerror or str(error)) from error

    def close(self) -> None:
        """Give up what was not committed. A second call does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_leftovers(directory: Path) -> int:
    """Remove the unfinished :class:`NewFile` of processes that died; return how many there were.

    Raises:
        FileUnavailableError: The directory cannot be read.
    """
    removed = 0
    try:
        for path in directory.glob(".new.*.tmp"):
            removed += _is_left_over(path)
    except OSError as error:
        raise FileUnavailableError(directory, "read", error.strerror or str(error)) from error
    return removed


def _is_left_over(path: Path) -> bool:
    """Remove one unfinished file unless somebody writes it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def read_private(path: Path, bytes_max: int) -> bytes:
    """Read a secret file of at most ``bytes_max`` bytes.

    Raises:
        NotPrivateError: Group or others have any permission on it; the message says the fix.
        NotAFileError: It is a directory, pipe, socket or device.
        FileTooLargeError: It is longer than ``bytes_max``.
        FileUnavailableError: It is missing or cannot be read.
    """
    try:
        # O_NONBLOCK, because opening a pipe that nobody writes would otherwise wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotAFileError(path, _kind(status.st_mode))
        mode = stat.S_IMODE(status.st_mode)
        if mode & _OTHERS:
            raise NotPrivateError(path, mode)
        return _read_at_most(descriptor, path, bytes_max)
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def _read_at_most(descriptor: int, path: Path, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    left = bytes_max + 1
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    if left == 0:
        raise FileTooLargeError(path, bytes_max)
    return b"".join(parts)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    """Write ``data`` to a fresh file beside ``path``, synced; remove it again if anything fails."""
    descriptor, temporary = _open_temporary(path)
    try:
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _open_temporary(path: Path) -> tuple[int, Path]:
    """Make a new file of ours beside ``path``; ``tempfile`` would do, but takes 10 ms to import."""
    for _ in range(_TEMPORARY_NAMES_MAX):
        temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.{next(_counter)}.tmp")
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(temporary, flags, PRIVATE_MODE), temporary
        except FileExistsError:
            continue  # Left by a process that had our number and was killed.
    raise OSError(errno.ENOSPC, "too many temporary files were left here", str(path.parent))


def _claim_name(temporary: Path, path: Path) -> None:
    """Give ``temporary``'s content the name ``path`` if the name is free; FileExistsError otherwise."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links: reserve the name with an empty file of ours, then rename over it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE_MODE))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def sync_directory(directory: Path) -> None:
    """Make what was named or removed in ``directory`` survive a power cut. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
