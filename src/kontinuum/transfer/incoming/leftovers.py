"""Partial files of peers that never came back: found by their journals, removed when nobody went on for long.

Source:   our own rules, ``docs/protocols/file.md``.
Bounds:   PART_AGE_MAX_S is what a partial file may wait for its sender.
Trust:    what lies in the directory may have been put there by anybody, and what is not surely ours stays: a
          partial file goes only with a journal of ours beside it, and only when it is a regular file of our
          user. A lock keeps away from whoever still writes it, in this process or in another.
Not pure: blocking file work; the shell calls it from a worker thread.
"""

import fcntl
import math
import os
import re
import stat
from contextlib import suppress
from datetime import datetime

from kontinuum.transfer.errors import BadFileNameError
from kontinuum.transfer.incoming.journal import (
    JOURNAL_FILE_BYTES_MAX,
    JOURNAL_SUFFIX,
    TEMPORARY_SUFFIX,
    Journal,
    journal_name,
)
from kontinuum.transfer.names import verify_file_name
from kontinuum.wire.errors import MalformedError

PART_AGE_MAX_S = 7 * 24 * 3600.0
"""Seconds since its last byte or offer that a partial file waits for its sender. Our choice (ADR 0012): a
weekend or a repair is shorter. Then it is removed, and the sender has to begin anew."""

_EVIDENCE = re.compile(
    r"(?P<part>\.(?P<name>.+)\.(?P<owner>[0-9a-f]{8})\.part)"
    + re.escape(JOURNAL_SUFFIX)
    + f"(?P<unfinished>{re.escape(TEMPORARY_SUFFIX)})?"
)
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LOCK_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def remove_leftovers(directory: int, at: datetime) -> int:
    """Remove the partial files that nobody continued since PART_AGE_MAX_S, with all that belongs to them.

    What cannot be looked at or removed stays, until the next time.

    Args:
        directory: descriptor of the open directory.
        at: now; the files' own times are compared with it.

    Returns:
        How many partial files went.
    """
    newest_s = at.timestamp() - PART_AGE_MAX_S
    removed = 0
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if (match := _EVIDENCE.fullmatch(entry.name)) is not None:
                journal = match["part"] + JOURNAL_SUFFIX
                pieces = [match["part"], journal, journal + TEMPORARY_SUFFIX]
                with suppress(OSError):
                    if _last_change_s(directory, pieces) <= newest_s and _is_journal(directory, match):
                        removed += _remove(directory, pieces, newest_s)
    return removed


def _last_change_s(directory: int, pieces: list[str]) -> float:
    """Unix seconds when any of the files was written last; endless when one of them is nothing of ours."""
    last = -math.inf
    for piece in pieces:
        with suppress(FileNotFoundError):
            status = os.stat(piece, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return math.inf
            last = max(last, status.st_mtime)
    return last


def _is_journal(directory: int, match: re.Match[str]) -> bool:
    """Whether the file is the journal of the partial file that its name says.

    One that was still being written counts only when there is no other.
    """
    if match["unfinished"] and _exists(directory, match["part"] + JOURNAL_SUFFIX):
        return False
    descriptor = os.open(match[0], _READ_FLAGS, dir_fd=directory)
    try:
        content = os.read(descriptor, JOURNAL_FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    try:
        name = verify_file_name(match["name"])
        if not content.strip(b"\0"):
            return (
                len(content) <= JOURNAL_FILE_BYTES_MAX
            )  # What a power cut may leave: a length, or not even that.
        return journal_name(Journal.decode(content).sender, name) == match["part"] + JOURNAL_SUFFIX
    except (BadFileNameError, MalformedError):
        return False


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove(directory: int, pieces: list[str], newest_s: float) -> bool:
    """Remove the files unless somebody is at work on them."""
    part = pieces[0]
    try:
        descriptor = os.open(part, _LOCK_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        # Only the journal is left: the file was finished, and the machine stopped before all was tidied up.
        _unlink(directory, pieces)
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have gone on, or have finished the file and begun another.
        named = os.stat(part, dir_fd=directory, follow_symlinks=False)
        if not os.path.samestat(named, os.fstat(descriptor)) or _last_change_s(directory, pieces) > newest_s:
            return False
        _unlink(directory, pieces)
    finally:
        os.close(descriptor)
    return True


def _unlink(directory: int, pieces: list[str]) -> None:
    # The part first: what is left of its journal, if we are stopped here, still says what it was.
    for piece in pieces:
        with suppress(FileNotFoundError):
            os.unlink(piece, dir_fd=directory)
