"""Examine this machine for a node: what is fine, what deserves a look, what will fail, and how to repair it.

Each check is a small function that returns one :class:`Check` and raises nothing; :func:`examine` runs them
all. Nothing is changed, except that a UDP port is taken for an instant.

Source:   socket(7), udp(7), adjtimex(2), getrlimit(2); the sizes wanted are those of the engine.
Trust:    reads local files only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import importlib.metadata
import ipaddress
import os
import platform
import resource
import shutil
import socket
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kontinuum.base.errors import KontinuumError
from kontinuum.identity.errors import PassphraseNeededError
from kontinuum.identity.key_file import load_key_file
from kontinuum.node.data_dir import DataDir

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.node.config import NodeConfig

UDP_BUFFER_BYTES = 4 * 1024 * 1024
"""Bytes of socket buffer that the engine asks for in each direction: 4 ms at 1 GB/s."""

DISK_FREE_BYTES = 64 * 1024 * 1024
"""Free bytes below which a warning is given: room for logs and received files. Our choice."""

FILES_MIN = 256
"""File descriptors that a node needs: one UDP socket, control clients, files in transfer. Our choice."""

CLOCK_YEAR_MIN = 2025
"""A clock before this year is certainly wrong: this program did not exist."""

PYTHON_MIN = (3, 11)
"""The oldest Python that is supported."""

UDP_SEGMENT = 103
"""Socket option of udp(7): the kernel cuts one large write into packets (GSO). Linux 4.18."""

UDP_GRO = 104
"""Socket option of udp(7): the kernel joins packets for one read (GRO). Linux 5.0."""

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    """What was looked at; short and stable."""

    status: Literal["ok", "warn", "fail"]
    """``fail``: a node will not run, or not safely. ``warn``: it runs, but slower or with less certainty."""

    found: str
    """What is the case, in one line."""

    fix: str = ""
    """What to do about it; empty when nothing needs doing."""


def examine(config: NodeConfig) -> list[Check]:
    """Run every check for a node with these settings.

    Args:
        config: ``data_dir`` may be ``None``; then its checks are left out.
    """
    checks: list[Callable[[], Check]] = [
        check_python,
        check_native,
        lambda: check_udp_port(config),
        lambda: check_udp_buffer("receive", Path("/proc/sys/net/core/rmem_max")),
        lambda: check_udp_buffer("send", Path("/proc/sys/net/core/wmem_max")),
        check_segmentation,
        check_ipv6,
        check_clock,
        check_files,
    ]
    if config.data_dir is not None:
        path = config.data_dir
        checks += [lambda: check_data_dir(path), lambda: check_key(path), lambda: check_disk(path)]
    return [check() for check in checks]


def check_python() -> Check:
    """The interpreter's version."""
    version = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        return Check("python", "fail", f"Python {version}", "install Python 3.11 or newer")
    return Check("python", "ok", f"Python {version} on {platform.system()} {platform.release()}")


def check_native() -> Check:
    """The native engine: whether it loads."""
    try:
        importlib.import_module("kontinuum._native")  # A broken engine must not break the doctor.
    except ImportError as error:
        return Check("native engine", "fail", f"cannot be loaded: {error}", "run: make setup")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return Check("native engine", "ok", f"loaded, kontinuum {importlib.metadata.version('kontinuum')}")
    return Check("native engine", "ok", "loaded")


def check_udp_port(config: NodeConfig) -> Check:
    """Whether the UDP address of the settings can be taken."""
    host, port = config.listen_address
    problem = _bind_problem(host, port, v6_only=config.ip_mode == "v6")
    if problem is None:
        return Check("UDP port", "ok", f"{config.listen} is free")
    number, text = problem
    if number == errno.EADDRINUSE:
        node = _holder(config.data_dir)
        if node is not None:
            return Check("UDP port", "ok", f"{config.listen} is in use; the node runs (process {node})")
        fix = 'stop the other program, or set another listen address, such as listen = "[::]:4434"'
    elif number in (errno.EACCES, errno.EPERM):
        fix = "choose a port of 1024 or more"
    else:
        fix = "set listen to an address of this machine, or to 0.0.0.0:4433"
    return Check("UDP port", "fail", f"{config.listen} cannot be taken: {text}", fix)


def check_udp_buffer(direction: str, limit: Path) -> Check:
    """Whether the kernel lets a socket have the buffer that the engine asks for."""
    name = f"UDP {direction} buffer"
    try:
        size = int(limit.read_text())
    except (OSError, ValueError):
        return Check(name, "warn", "its limit cannot be read on this system")
    if size >= UDP_BUFFER_BYTES:
        return Check(name, "ok", f"up to {_size(size)}")
    return Check(
        name,
        "warn",
        f"at most {_size(size)}, {_size(UDP_BUFFER_BYTES)} wanted: bulk transfers may lose packets",
        f"sudo sysctl -w net.core.{limit.name}={UDP_BUFFER_BYTES}",
    )


def check_segmentation() -> Check:
    """Whether the kernel cuts and joins UDP packets (GSO, GRO), which makes bulk several times faster."""
    missing = [name for name, option in (("GSO", UDP_SEGMENT), ("GRO", UDP_GRO)) if not _has_option(option)]
    if missing:
        found = f"without {' and '.join(missing)}: bulk transfers are slower"
        return Check("UDP offload", "warn", found, "use Linux 5.0 or newer")
    return Check("UDP offload", "ok", "GSO and GRO")


def check_ipv6() -> Check:
    """Whether this machine has IPv6, and an address that others can reach."""
    if _bind_problem("::1", 0) is not None:
        return Check("IPv6", "warn", "not available: peers with only IPv6 cannot be reached")
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect(("2001:db8::1", 9))  # Sends nothing; the kernel only looks for a way.
        address = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
        if address.is_global:
            return Check("IPv6", "ok", f"with a global address ({address})")
    return Check("IPv6", "ok", "on this machine and its local network only")


def check_clock() -> Check:
    """Whether the time of day is plausible and kept right: contacts are valid for a day, and 120 s ahead."""
    if time.gmtime().tm_year < CLOCK_YEAR_MIN:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        return Check("clock", "fail", f"it says {today}", "set the clock: others will refuse our contact")
    started, ticked = time.time(), time.monotonic()
    time.sleep(0.05)
    drift = (time.time() - started) - (time.monotonic() - ticked)
    if abs(drift) > 0.025:
        return Check(
            "clock", "warn", f"it jumped by {drift:+.3f} s just now", "look for programs that set it"
        )
    synchronised = _clock_synchronised()
    if synchronised is None:
        return Check("clock", "ok", "plausible; whether it is kept right cannot be seen here")
    if not synchronised:
        fix = "sudo timedatectl set-ntp true"
        return Check("clock", "warn", "plausible, but nothing keeps it right (NTP)", fix)
    return Check("clock", "ok", "kept right by NTP")


def check_files() -> Check:
    """How many files the process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        return Check("file descriptors", "warn", f"{soft} allowed, {FILES_MIN} wanted", f"ulimit -n {hard}")
    return Check(
        "file descriptors", "ok", "no limit" if soft == resource.RLIM_INFINITY else f"{soft} allowed"
    )


def check_data_dir(path: Path) -> Check:
    """Whether the data directory is there, private, and writable."""
    try:
        directory = DataDir.inspect(path)
    except KontinuumError as error:
        fix = getattr(error, "fix", "")
        return Check("data directory", "fail", getattr(error, "problem", str(error)), fix)
    if not os.access(path, os.W_OK | os.X_OK):
        return Check("data directory", "fail", f"{path} cannot be written", "mount it writable")
    for entry in (directory.config, directory.peers, directory.control):
        with contextlib.suppress(OSError):
            if (mode := stat.S_IMODE(entry.lstat().st_mode)) & 0o022:
                return Check(
                    "data directory",
                    "fail",
                    f"{entry} can be changed by others (mode {mode:04o})",
                    f"chmod 600 {entry}",
                )
    holder = directory.holder()
    return Check("data directory", "ok", f"{path}, {'in use' if holder is not None else 'not in use'}")


def check_key(path: Path) -> Check:
    """Whether the key is there, private and readable. Nobody is asked for a passphrase."""
    directory = DataDir(path, None)
    key = directory.key
    if directory.in_cluster:
        return _check_cluster(directory)
    if not os.path.lexists(key):
        return Check("key", "fail", f"there is none in {path}", f"kontinuum node init --dir {path}")
    try:
        peer_id = load_key_file(key).peer_id
    except PassphraseNeededError:
        return Check("key", "ok", "private, protected by a passphrase")
    except KontinuumError as error:
        found, _, fix = str(error).partition("; ")
        return Check("key", "fail", found, fix.removeprefix("run: "))
    return Check("key", "ok", f"private, without a passphrase, of {peer_id.short}")


def _check_cluster(directory: DataDir) -> Check:
    """Whether the secret that a node of a cluster runs with is there. Nobody is asked for a passphrase."""
    from kontinuum.clusters.store import ClusterStore
    from kontinuum.keys.way_back import Way

    store = ClusterStore(directory.cluster)
    try:
        book = store.load_book()
        way = store.way(book)
        name = f"{book.path} of a cluster of {len(book.members())} nodes"
        if way.way is not Way.NONE:
            return Check("key", "fail", f"{name}: {way.way}", "kontinuum cluster show")
        if not store.keys.epochs():
            return Check("key", "fail", f"{name}: no secret is here", "kontinuum cluster rekey")
    except KontinuumError as error:
        found, _, fix = str(error).partition("; ")
        return Check("key", "fail", found, fix)
    return Check("key", "ok", name)


def check_disk(path: Path) -> Check:
    """Whether there is room on the disk of the data directory."""
    existing = next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check("disk space", "warn", f"cannot be told: {error.strerror}")
    if free < DISK_FREE_BYTES:
        status: Literal["warn", "fail"] = "fail" if free < 1024 * 1024 else "warn"
        return Check(
            "disk space", status, f"{_size(free)} free", "make room on the disk of the data directory"
        )
    return Check("disk space", "ok", f"{_size(free)} free")


def _bind_problem(host: str, port: int, *, v6_only: bool = False) -> tuple[int, str] | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
            probe.bind((host, port))
    except OSError as error:
        return error.errno or 0, error.strerror or str(error)
    return None


def _holder(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        return DataDir.inspect(path).holder()
    except KontinuumError:
        return None


def _has_option(option: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.getsockopt(socket.IPPROTO_UDP, option)
        return sys.platform == "linux"
    return False


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), as far as ``status``, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _clock_synchronised() -> bool | None:
    """Ask the kernel whether something keeps its clock right; ``None`` where it cannot be asked."""
    if sys.platform != "linux":
        return None
    try:
        now = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(now))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    return state != _TIME_ERROR and not now.status & _STA_UNSYNC


def _size(size: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.0f} TiB"
