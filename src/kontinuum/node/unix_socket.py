"""Unix sockets that only their owner can use, at paths of any length, and who is at the other end.

Source:   unix(7): 108 bytes of path including the zero byte; SO_PEERCRED. On Linux a socket file takes the
          mode of the socket's inode at ``bind``: ``fchmod`` before it leaves no moment with a wider mode.
Trust:    whoever can connect is the owner or root; :func:`peer_uid` asks the kernel, should the mode change.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from kontinuum.node.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH_BYTES_MAX = 107
"""Bytes of a socket's path that the kernel takes: sun_path, less its zero byte. Longer ones go by way of the
directory's descriptor."""

SOCKET_MODE = 0o600
"""Permission bits of a socket file: its owner, nobody else."""

BACKLOG = 64
"""Connections the kernel holds until they are accepted. Our choice."""


def listen(path: Path) -> tuple[socket.socket, int]:
    """Bind and listen at ``path``, replacing a socket that a dead process left behind. Not blocking.

    Returns:
        The socket, and the inode of its file for :func:`remove`.

    Raises:
        ListenError: a living process listens there, something else has that name, or the directory refuses.
    """
    try:
        _remove_stale(path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(server.fileno(), SOCKET_MODE)
            with _short(path) as name:
                server.bind(name)
            path.chmod(SOCKET_MODE)  # Elsewhere than on Linux, the mode before bind is not taken over.
            inode = path.lstat().st_ino
            server.listen(BACKLOG)
            server.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        except BaseException:
            server.close()
            raise
    except OSError as error:
        raise ListenError(f"unix:{path}", error.strerror or str(error)) from error
    return server, inode


def connect(path: Path) -> socket.socket:
    """Connect to the socket at ``path``. Blocking, but a local connect does not wait for the other process.

    Raises:
        OSError: nobody listens there, or the socket is not ours.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            client.connect(name)
    except BaseException:
        client.close()
        raise
    return client


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process that made the connection, as the kernel saw it then."""
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def remove(path: Path, inode: int) -> None:
    """Remove the socket file at ``path`` if it is still the one with this ``inode``."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"unix:{path}", "something that is no socket has this name; move it away")
    try:
        connect(path).close()
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    else:
        raise ListenError(f"unix:{path}", "another process listens there")


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give ``path`` a name of at most PATH_BYTES_MAX bytes: its own, or one through the open directory."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
