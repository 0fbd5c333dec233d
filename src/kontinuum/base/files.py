"""Put bytes on the disk so that a crash leaves the old file or the new one, and read secret files warily.

Source:   the rename and fsync rules of POSIX; "All File Systems Are Not Created Equal", OSDI 2014, section 4.
Bounds:   a reader names the most bytes it takes; nothing beyond that is read.
Trust:    file content is outside input. Mode and kind are checked on the open descriptor, not on the path, so
          that nobody can swap the file between the check and the read. Symbolic links are followed: mounted
          secrets are links, and what counts is who can read the file that was opened.
Not pure: this is one of the rooms' few doors to the world; it uses no clock and no asyncio.
"""

import errno
import os
import stat
from itertools import count
from pathlib import Path

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
        _sync_directory(path.parent)
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
        _sync_directory(path.parent)
    except FileExistsError:
        raise AlreadyExistsError(path) from None
    except OSError as error:
        raise FileUnavailableError(path, "create", error.strerror or str(error)) from error


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
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
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


def _sync_directory(directory: Path) -> None:
    """Make a new name in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
