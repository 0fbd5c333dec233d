"""The directory that receives files: what is there already, partial files, journals, and the move into place.

Source:   "All File Systems Are Not Created Equal", OSDI 2014, section 4 (write, sync, rename, sync
          directory).
Bounds:   nothing outside the directory is ever named: every call is relative to its open descriptor and takes
          one verified name. JOURNAL_BYTES may be written again after a power cut.
Trust:    names come verified (``kontinuum.transfer.names``). What lies in the directory may have been
          put there by anybody: links are not followed, and a partial file must be ours, regular and
          without other links.
Not pure: blocking file work; the shell calls it from a worker thread.

A partial file is ``.NAME.XXXXXXXX.part`` with the first eight hex digits of the sender's identity, so
that one peer can neither continue nor spoil what another one has begun; beside it lies its journal.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kontinuum.base.errors import PeerError
from kontinuum.transfer.digest import Hasher, HasherFactory
from kontinuum.transfer.errors import TargetDirectoryError
from kontinuum.transfer.incoming.journal import (
    JOURNAL_FILE_BYTES_MAX,
    TEMPORARY_SUFFIX,
    Journal,
    journal_name,
    part_name,
)
from kontinuum.transfer.messages import CHUNK_BYTES_MAX, Answer, Code, FileOffer

JOURNAL_BYTES = 64 * 1024 * 1024
"""Content bytes between two synced journal entries. Our choice (ADR 0012): at most so much is sent again
after a power cut; after a crash of the program alone nothing is."""

SPACE_RESERVE_BYTES = 64 * 1024 * 1024
"""Bytes that must stay free on the disk beyond what the files need. Our choice (ADR 0012); else
``NO_SPACE``."""

OPEN_TRIES = 3
"""Attempts to open a partial file that others move away meanwhile. Our choice; then it is ``BUSY``."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_PART_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class PartError(Exception):
    """A partial file cannot be used further. Internal; ``code`` is what the peer is told."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Held:
    """What we hold of a file from an earlier session, hashed."""

    offset: int
    hasher: Hasher
    fingerprint: tuple[int, ...]
    """Of the partial file when it was hashed; it must be the same when it is continued."""


class Target:
    """A directory, opened once; whatever happens to its path later, files go into this very directory.

    Raises:
        TargetDirectoryError: it is missing, no directory, or not writable.
    """

    def __init__(self, path: Path, new_hasher: HasherFactory) -> None:
        self.path = path
        self.new_hasher = new_hasher
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError:
            raise TargetDirectoryError(str(path), "it is not a directory") from None
        except OSError as error:
            raise TargetDirectoryError(str(path), error.strerror or str(error)) from error
        if not os.access(path, os.W_OK | os.X_OK):
            self.close()
            raise TargetDirectoryError(str(path), "it is not writable")

    def close(self) -> None:
        """Close the directory; open parts stay usable."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def bytes_free(self) -> int:
        """Bytes that we may still write here, the reserve taken off."""
        status = os.fstatvfs(self.descriptor)
        return status.f_bavail * status.f_frsize - SPACE_RESERVE_BYTES

    def inspect(self, peer: bytes, file: FileOffer, *, overwrite: bool) -> tuple[Answer, Held | None]:
        """Say whether ``file`` could be stored, and from where on it is missing.

        Args:
            peer: identity of the sender, 32 bytes.
            file: what is offered; its name is verified.
            overwrite: whether an existing regular file (or link) of that name may be replaced.
        """
        try:
            existing = os.stat(file.name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError:
            return Answer(Code.BAD_NAME), None
        else:
            replaceable = stat.S_ISREG(existing.st_mode) or stat.S_ISLNK(existing.st_mode)
            if not (overwrite and replaceable):
                return Answer(Code.EXISTS), None
        held = self._held(peer, file)
        if held is None:
            return Answer(Code.STORED), None
        return Answer(Code.STORED, held.offset, held.hasher.digest()), held

    def open_part(self, peer: bytes, file: FileOffer, offset: int, held: Held | None) -> "Part":
        """Open the partial file for writing from ``offset`` on and lock it.

        Args:
            peer: identity of the sender, 32 bytes.
            file: what is offered; its name is verified.
            offset: 0, or the offset of ``held``.
            held: what :meth:`inspect` found.

        Raises:
            PartError: another session writes it, it changed since, or the disk refuses.
        """
        part = Part(self, peer, file, self.new_hasher() if held is None or offset == 0 else held.hasher)
        part.open(offset, held.fingerprint if held is not None and offset else None)
        return part

    def _held(self, peer: bytes, file: FileOffer) -> Held | None:
        """Hash what an earlier session left; ``None`` when that is nothing that could be continued."""
        name = part_name(peer, file.name)
        offset = self._journal_offset(peer, file)
        if not offset:
            return None
        try:
            descriptor = os.open(name, _PART_FLAGS, dir_fd=self.descriptor)
        except OSError:
            return None
        try:
            self._claim(descriptor, peer, file)
            status = os.fstat(descriptor)
            if not _is_ours(status):
                return None
            fingerprint = _fingerprint(status)
            offset = min(offset, status.st_size, file.size)
            hasher = self.new_hasher()
            done = 0
            while done < offset:
                block = os.pread(descriptor, min(CHUNK_BYTES_MAX, offset - done), done)
                if not block:
                    return None
                hasher.update(block)
                done += len(block)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return Held(offset, hasher, fingerprint) if offset else None

    def _claim(self, descriptor: int, peer: bytes, file: FileOffer) -> None:
        """Make a partial file young again, so that nobody takes it for a leftover before it is continued.

        Raises OSError when it is being written or removed right now, or was.
        """
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.utime(journal_name(peer, file.name), dir_fd=self.descriptor, follow_symlinks=False)
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _journal_offset(self, peer: bytes, file: FileOffer) -> int:
        """Return up to where the partial file can be trusted; its length still limits that."""
        try:
            descriptor = os.open(
                journal_name(peer, file.name),
                os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK,
                dir_fd=self.descriptor,
            )
        except OSError:
            return 0
        try:
            journal = Journal.decode(os.read(descriptor, JOURNAL_FILE_BYTES_MAX + 1))
        except (OSError, PeerError):
            return 0
        finally:
            os.close(descriptor)
        if journal.sender != peer or journal.size != file.size:
            return 0
        return journal.bytes_safe(boot_id())


class Part:
    """The partial file of one transfer, open and locked. Not thread-safe: one worker uses it."""

    def __init__(self, target: Target, peer: bytes, file: FileOffer, hasher: Hasher) -> None:
        self._directory = os.dup(target.descriptor)
        self._peer = peer
        self._file = file
        self._hasher = hasher
        self._name = part_name(peer, file.name)
        self._journal = journal_name(peer, file.name)
        self._descriptor = -1
        self._length = 0
        self._synced = 0
        self._failed: Code | None = None

    def open(self, offset: int, fingerprint: tuple[int, ...] | None) -> None:
        """Open, lock and cut to ``offset``; see :meth:`Target.open_part`."""
        try:
            status = self._open_locked()
            # Whoever held the lock before may have linked the file into place, or gone on writing.
            if _is_ours(status) and fingerprint in (None, _fingerprint(status)):
                os.ftruncate(self._descriptor, offset)
                self._length = offset
                self._write_journal()
                return
        except BlockingIOError:
            self._release()
            raise PartError(Code.BUSY) from None
        except OSError as error:
            self._release()
            raise PartError(_code(error)) from error
        self._release()
        raise PartError(Code.BUSY)

    def append(self, blocks: Sequence[bytes]) -> None:
        """Write and hash ``blocks``.

        Raises:
            PartError: the disk is full or failing; so does every later call, for what it brings would
                       leave a gap.
        """
        if self._failed is not None:
            raise PartError(self._failed)
        try:
            for block in blocks:
                self._write(block)
                self._hasher.update(block)
                self._length += len(block)
            if self._length - self._synced >= JOURNAL_BYTES:
                self._sync()
        except OSError as error:
            self._failed = _code(error)
            raise PartError(self._failed) from error

    def finalise(self, digest: bytes, *, overwrite: bool) -> Code:
        """Verify, sync, and move into place; the part is closed afterwards whatever the result.

        Returns:
            ``STORED``, or why not. A part with a wrong digest is deleted, others stay for a later session.
        """
        try:
            if self._length != self._file.size or self._hasher.digest() != digest:
                self._unlink(self._name)
                self._unlink(self._journal)
                return Code.DIGEST_MISMATCH
            os.fsync(self._descriptor)
            if overwrite:
                os.rename(self._name, self._file.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            else:
                self._claim_name()
            self._unlink(self._journal)
            os.fsync(self._directory)
        except FileExistsError:
            return Code.EXISTS
        except OSError as error:
            return _code(error)
        finally:
            self._release()
        return Code.STORED

    def close(self) -> None:
        """Sync what is there, note it in the journal, and close; nothing happens the second time."""
        if self._descriptor >= 0:
            with suppress(OSError):
                if self._length:
                    self._sync()
                else:
                    self._unlink(self._name)
                    self._unlink(self._journal)
        self._release()

    def _open_locked(self) -> os.stat_result:
        """Open and lock the file that has our name now. Raises BlockingIOError if that cannot be had."""
        for _ in range(OPEN_TRIES):
            self._descriptor = self._open_file()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(self._descriptor)
            # Between our opening and the lock, another process may have finished this very file and renamed
            # it into place: what we hold is then the result, and cutting it would destroy it.
            with suppress(FileNotFoundError):
                named = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
                if os.path.samestat(named, status):
                    return status
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        raise BlockingIOError

    def _open_file(self) -> int:
        for _ in range(2):
            try:
                return os.open(
                    self._name, _PART_FLAGS | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._directory
                )
            except FileExistsError:
                pass
            status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
            if _is_ours(status):
                return os.open(self._name, _PART_FLAGS, dir_fd=self._directory)
            # A link that somebody put here, or the second name of a finished file: the name goes, not
            # the file.
            os.unlink(self._name, dir_fd=self._directory)
        raise BlockingIOError

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        offset = self._length
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view = view[written:]
            offset += written

    def _sync(self) -> None:
        os.fdatasync(self._descriptor)
        self._synced = self._length
        self._write_journal()

    def _write_journal(self) -> None:
        # Not synced: an old journal only makes us send more again, and an offset in it was synced before it.
        journal = Journal(bytes(self._peer), self._file.size, self._synced, boot_id())
        temporary = self._journal + TEMPORARY_SUFFIX
        self._unlink(temporary)
        descriptor = os.open(
            temporary,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
            dir_fd=self._directory,
        )
        try:
            os.write(descriptor, journal.encode())
        finally:
            os.close(descriptor)
        os.rename(temporary, self._journal, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def _claim_name(self) -> None:
        """Give the part its final name if nothing has it; FileExistsError otherwise."""
        try:
            os.link(
                self._name,
                self._file.name,
                src_dir_fd=self._directory,
                dst_dir_fd=self._directory,
                follow_symlinks=False,
            )
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # Without hard links: reserve the name with an empty file of ours, then rename over it.
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(self._file.name, flags, 0o600, dir_fd=self._directory))
            os.rename(self._name, self._file.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        else:
            os.unlink(self._name, dir_fd=self._directory)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)

    def _release(self) -> None:
        """Close both descriptors, which also gives the lock back."""
        descriptor, self._descriptor = self._descriptor, -1
        directory, self._directory = self._directory, -1
        for number in (descriptor, directory):
            if number >= 0:
                os.close(number)


def boot_id() -> str:
    """Return what names this run of the machine, or nothing where the system has no such name."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _code(error: OSError) -> Code:
    return Code.NO_SPACE if error.errno in _NO_SPACE else Code.WRITE_FAILED
