"""Where the nodes of ``kontinuum up`` live, and that nothing of it stays behind.

Bounds:   GENERATED_BYTES for the file that travels when the user names none.
Trust:    temporary directories are made by ``mkdtemp``, 0700. One that a killed run left behind is recognised
          by its lock, which the kernel gave back, and removed by the next run of the same user.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

GENERATED_BYTES = 8 * 1024 * 1024
"""Bytes of the generated file. Our choice: long enough to be a transfer, short enough for a check."""

_PREFIX = "kontinuum-up-"
_LOCK = "lock"


@contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """Make the directory of a run: ``kept`` itself, or a temporary one that is removed afterwards.

    Raises:
        CliError: it cannot be made, or another run uses it.
    """
    try:
        if kept is None:
            _remove_left_behind()
            path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        else:
            path = kept
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(path)
    except OSError as error:
        raise CliError(
            f"{error.filename or kept}: {error.strerror}",
            family=Exit.UNAVAILABLE,
            code="unavailable",
            hint="choose another directory with --dir",
        ) from error
    try:
        yield path
    finally:
        if kept is None:
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _lock(path: Path) -> int:
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CliError(
            f"{path} is in use by another kontinuum up",
            family=Exit.UNAVAILABLE,
            code="busy",
            hint="choose another directory with --dir",
        ) from None
    return descriptor


def _remove_left_behind() -> None:
    """Remove the directories of runs that were killed: nobody holds their lock."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, CliError):
            status = path.lstat()
            # One without a lock file may be in the making.
            if status.st_uid != os.geteuid() or not (path / _LOCK).exists():
                continue
            lock = _lock(path)
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def generate_file(path: Path) -> Path:
    """Write a file of random bytes and return its path."""
    with path.open("wb") as file:
        for _ in range(8):
            file.write(os.urandom(GENERATED_BYTES // 8))
    return path


def digest_of(path: Path) -> str:
    """Return the BLAKE3 digest of a file, in hex; empty when it cannot be read."""
    from kontinuum.transfer.digest import new_blake3  # Loads the engine.

    hasher = new_blake3()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
    except OSError:
        return ""
    return hasher.digest().hex()
