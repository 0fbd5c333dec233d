"""A node's directory: the key, ``node.toml``, the saved peers, the control socket, and one lock on all of it.

Bounds:   LOCK_BYTES in the lock file.
Trust:    the directory holds a secret key, so it belongs to the user of the process and to nobody else: 0700.
          The lock is the kernel's (``flock``): it goes with the process, however that ends, so that no stale
          file ever needs a person to remove it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, Self

from kontinuum.base.entropy import Entropy, SystemEntropy
from kontinuum.base.errors import FileUnavailableError
from kontinuum.identity.errors import PassphraseNeededError
from kontinuum.identity.key_file import load_key_file, save_key_file
from kontinuum.identity.keys import KeyPair
from kontinuum.node.errors import DataDirError, DataDirLockedError
from kontinuum.node.passphrase import read_passphrase

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

DIRECTORY_MODE = 0o700
"""Permission bits of the directory: its owner, nobody else."""

LOCK_BYTES = 16
"""Bytes of the lock file: a process id, padded. One size, so that a full disk cannot refuse a new one."""

LOCK_TRIES = 5
"""Attempts to take the lock, LOCK_PAUSE_S apart: a command that asks who holds it takes it briefly."""

LOCK_PAUSE_S = 0.02
"""Seconds between two attempts. Our choice: all take 0.1 s, and only when a second node is refused."""

_OTHERS = 0o077
"""The permission bits that the directory must not have."""


class DataDir:
    """A data directory that this process holds alone, from :meth:`open` to :meth:`close`.

    Use it as a context manager. :meth:`inspect` looks at a directory without holding it.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock

    @property
    def key(self) -> Path:
        """The identity: a PEM file, 0600."""
        return self.path / "identity.key"

    @property
    def config(self) -> Path:
        """The settings, TOML."""
        return self.path / "node.toml"

    @property
    def peers(self) -> Path:
        """The saved peers, CBOR."""
        return self.path / "peers.cbor"

    @property
    def dht(self) -> Path:
        """The records that the node holds for others, and its routing table, SQLite."""
        return self.path / "dht.sqlite"

    @property
    def seqno(self) -> Path:
        """The highest sequence number of our messages in topics, CBOR."""
        return self.path / "seqno.cbor"

    @property
    def cluster(self) -> Path:
        """What the node knows of its cluster, and its keys there; a directory."""
        return self.path / "cluster"

    @property
    def in_cluster(self) -> bool:
        """Whether it is that of a node of a cluster.

        A crash while a cluster was begun leaves a directory without this file: nothing has happened then.
        """
        return (self.cluster / "cluster.cbor").exists()

    @property
    def control(self) -> Path:
        """The socket through which the command line talks to the running node."""
        return self.path / "control.sock"

    @property
    def lock(self) -> Path:
        """The lock file; it holds the process id of the last holder."""
        return self.path / "lock"

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Check the directory and lock it.

        Args:
            path: the directory.
            create: make it, and the directories above it, if it is missing.

        Raises:
            DataDirError: it is missing, no directory, not ours, or open to others; it says the fix.
            DataDirLockedError: another node holds it.
            FileUnavailableError: the disk is full or read-only, or we may not write there.
        """
        path = path.expanduser().absolute()
        if create:
            _create(path)
        _check(path)
        directory = cls(path, None)
        directory._lock = _take_lock(directory.lock)
        return directory

    @classmethod
    def inspect(cls, path: Path) -> Self:
        """Check the directory but do not lock it: for commands that only look, or talk to its node.

        Raises:
            DataDirError: as :meth:`open`.
        """
        path = path.expanduser().absolute()
        _check(path)
        return cls(path, None)

    def holder(self) -> int | None:
        """Return the process id of the node that holds this directory, or ``None`` if nobody does.

        Returns 0 if somebody holds it who has not written his id yet.
        """
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _pid_in(descriptor) or 0
        finally:
            os.close(descriptor)
        return None

    def load_key(self, passphrase_source: str = "auto") -> KeyPair:  # noqa: S107 -- a source
        """Read the identity. Somebody is asked for a passphrase only if the key has one.

        Args:
            passphrase_source: as in the settings; see ``passphrase``.

        Raises:
            DataDirError: there is no key yet; the message says how to make one.
            PassphraseError: a passphrase is needed and none can be had.
            KeyFileError, NotPrivateError: the file cannot be used; the leaf says why.
        """
        if not os.path.lexists(self.key):
            raise DataDirError(
                self.path, "there is no key here", f"run: kontinuum node init --dir {self.path}"
            )
        try:
            return load_key_file(self.key)
        except PassphraseNeededError:
            return load_key_file(self.key, passphrase=read_passphrase(passphrase_source))

    def create_key(self, *, passphrase: str | None = None, entropy: Entropy | None = None) -> KeyPair:
        """Make the identity and write it down; an existing key is never replaced.

        Raises:
            AlreadyExistsError: there is a key already; it is untouched.
            FileUnavailableError: the disk is full or read-only; no file was left behind.
        """
        entropy = entropy or SystemEntropy()
        key_pair = KeyPair.generate(entropy)
        save_key_file(self.key, key_pair, passphrase=passphrase, entropy=entropy)
        return key_pair

    def close(self) -> None:
        """Give the lock back. A second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=DIRECTORY_MODE)
        path.chmod(DIRECTORY_MODE)  # mkdir obeys the umask, which may take even the owner's bits.
    except FileExistsError:
        return
    except OSError as error:
        raise FileUnavailableError(path, "create", error.strerror or str(error)) from error


def _check(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataDirError(
            path, "there is no such directory", f"make one with: kontinuum node init --dir {path}"
        ) from None
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise DataDirError(path, "is not a directory", "choose another one with --dir")
    if status.st_uid != os.geteuid():
        raise DataDirError(
            path,
            f"belongs to user {status.st_uid}, but this process runs as user {os.geteuid()}",
            "run it as that user, or give the directory over with chown -R",
        )
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise DataDirError(path, f"is open to other users (mode {mode:04o})", f"run: chmod 700 {path}")


def _take_lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FileUnavailableError(path, "write", error.strerror or str(error)) from error
    try:
        if not _lock_alone(descriptor):
            raise DataDirLockedError(path.parent, _pid_in(descriptor))  # noqa: TRY301 -- closes below
        _write_pid(descriptor)
    except OSError as error:
        os.close(descriptor)
        raise FileUnavailableError(path, "lock", error.strerror or str(error)) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock_alone(descriptor: int) -> bool:
    for attempt in range(LOCK_TRIES):
        if attempt:
            time.sleep(LOCK_PAUSE_S)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _write_pid(descriptor: int) -> None:
    try:
        os.pwrite(descriptor, str(os.getpid()).encode().ljust(LOCK_BYTES - 1) + b"\n", 0)
    except OSError as error:
        # The lock is held whether or not the id could be written: a full disk must not stop a node.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, LOCK_BYTES, 0).strip()
    return int(text) if text.isdigit() else None
