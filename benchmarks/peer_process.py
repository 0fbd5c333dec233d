"""Start the peers of a benchmark as processes, talk to them, and see that none is left behind."""

import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
RUST_PEER = HERE / "rust_peer"
RUST_BINARY = RUST_PEER / "target" / "release" / "rust-peer"

READY_TIMEOUT_S = 20.0
"""Seconds a peer may take to announce itself: start-up takes 0.5 s, a loaded machine some more."""

CLOSE_TIMEOUT_S = 2.0
"""Seconds a peer may take to end by itself before it is killed."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PeerFailedError(Exception):
    """A peer ended, fell silent or said something that is no JSON; its own words are on standard error."""


def commands() -> dict[str, list[str]]:
    """Give the command line of every contestant, and of the engine that is none, without its role."""
    return {
        "kontinuum": [sys.executable, str(HERE / "kontinuum_peer.py")],
        "aioquic": [sys.executable, str(HERE / "aioquic_peer.py")],
        "rust": [str(RUST_BINARY)],
        "engine": [sys.executable, str(HERE / "engine_peer.py")],
    }


def build_rust_peer() -> None:
    """Compile the Rust peer unless a binary newer than its sources is there; says so on standard error."""
    sources = [RUST_PEER / "Cargo.toml", RUST_PEER / "Cargo.lock", *(RUST_PEER / "src").glob("*.rs")]
    newest = max(source.stat().st_mtime for source in sources)
    if RUST_BINARY.exists() and RUST_BINARY.stat().st_mtime >= newest:
        return
    if shutil.which("cargo") is None:
        raise PeerFailedError(
            "the Rust peer needs cargo (https://rustup.rs); or leave it out: --without rust"
        )
    print("compiling benchmarks/rust_peer once; this takes a minute or two ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet"], cwd=RUST_PEER, check=True, stdout=sys.stderr
    )
    RUST_BINARY.touch()  # Cargo leaves an up-to-date binary as old as it was.
    print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


class Peer:
    """One running peer. Use as a context manager: leaving it ends the process, whatever happened."""

    def __init__(self, command: list[str], *arguments: str, core: int | None) -> None:
        """Start ``command`` on processor ``core``, or on any, and wait until it is ready."""
        ours = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {core})  # A child inherits it from its first instruction on.
        began = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        finally:
            os.sched_setaffinity(0, ours)
        self._name = Path(command[-1]).stem + " " + arguments[0]
        self._unread = b""
        try:
            self.ready = self.answer(READY_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        self.start_s = time.perf_counter() - began
        """Seconds from the start of the process to its READY line, interpreter and imports included."""

    def ask(self, command: str, timeout_s: float) -> dict:
        """Send one command and wait for its answer."""
        self.begin(command)
        return self.answer(timeout_s, command)

    def begin(self, command: str) -> None:
        """Send one command; others may be asked before its answer is taken."""
        try:
            self._process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError as error:
            raise PeerFailedError(f"{self._name} ended before {command!r}") from error

    def resident_bytes(self) -> int:
        """Give the memory the process holds at this moment."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def processor_s(self) -> float:
        """Give the processor time that all its threads have used, from the scheduler's own account."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def close(self) -> None:
        """End the process: by the end of its input, or else by force."""
        process = self._process
        try:
            process.stdin.close()
            process.wait(CLOSE_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        finally:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, timeout_s: float, command: str = "its start") -> dict:
        """Wait for the answer to the command that was begun."""
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise PeerFailedError(f"{self._name}: no answer to {command!r} within {timeout_s:.0f} s")
                received = os.read(self._process.stdout.fileno(), 65536)
                if not received:
                    raise PeerFailedError(f"{self._name} ended during {command!r}")
                self._unread += received
        line, self._unread = self._unread.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise PeerFailedError(f"{self._name} said {line[:200]!r}") from error


def cores() -> tuple[int | None, int | None]:
    """Choose a processor for each of the two sides; none where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def machine() -> dict[str, object]:
    """Describe where this runs, as far as it matters to the figures."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES,
        "system": " ".join(os.uname()[i] for i in (0, 2, 4)),
        "python": sys.version.split()[0],
        "load_average": os.getloadavg()[0],
    }
