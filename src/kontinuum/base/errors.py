"""The three families of errors, by who must act, and this room's leaves.

``MisuseError``: our caller must change the call. ``PeerError``: a remote peer sent something wrong, or
somebody handed us bytes that no honest peer would have made. ``UnavailableError``: the network, the disk or
time; the same call may succeed later. A broken invariant of our own is an ``AssertionError``, never caught.

Each room defines leaves of these in its own ``errors.py``; a caller who wants to catch everything of ours
catches ``KontinuumError``.
"""

from pathlib import Path
from shlex import quote


class KontinuumError(Exception):
    """Anything that Kontinuum raises on purpose."""


class MisuseError(KontinuumError):
    """The caller asked for something that cannot be done; repeating the call will not help."""


class PeerError(KontinuumError):
    """A remote peer, or bytes from outside, broke a rule.

    Raised before any state changed, unless the leaf says otherwise.

    Args:
        message: What was wrong, for people.
        culprits: Identities (32 bytes each) that are proven to be at fault; empty when nobody is.
        penalty: How much of a peer's score this should cost, from 0 (nothing) to 1 (all of it).
    """

    def __init__(self, message: str = "", *, culprits: tuple[bytes, ...] = (), penalty: float = 0.0) -> None:
        super().__init__(message)
        self.culprits = culprits
        self.penalty = penalty


class UnavailableError(KontinuumError):
    """The network, the disk or time stood in the way; a retry may help."""


class FileUnavailableError(UnavailableError):
    """The operating system refused to read or write a file (missing, full disk, read-only, not permitted).

    Args:
        path: The file or directory.
        action: What we tried, as a verb: ``read``, ``write``, ``create``.
        reason: The operating system's words.
    """

    def __init__(self, path: Path, action: str, reason: str) -> None:
        super().__init__(f"cannot {action} {path}: {reason}")
        self.path = path
        self.action = action
        self.reason = reason


class AlreadyExistsError(MisuseError):
    """A file that must not be overwritten is already there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} already exists and is not overwritten; move it away first")
        self.path = path


class NotPrivateError(MisuseError):
    """A secret file can be read by others than its owner; the message says the command that repairs it."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(f"{path} is readable by others (mode {mode:04o}); run: chmod 600 {quote(str(path))}")
        self.path = path
        self.mode = mode


class NotAFileError(MisuseError):
    """A path that should name a regular file names a directory, a device, a pipe or a socket."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(f"{path} is {kind}, not a file")
        self.path = path
        self.kind = kind


class FileTooLargeError(MisuseError):
    """A file is longer than the reader allows; nothing was kept of it."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        super().__init__(f"{path} is longer than {bytes_max} bytes, so it is not the file we expect")
        self.path = path
        self.bytes_max = bytes_max
