"""The stage of the story: the real program as processes, in a directory of its own, on loopback.

Bounds:   COMMAND_S for a command, START_S for a node to begin.
Trust:    the processes are our own program. They see nothing of the settings of whoever watches.
Secrets:  the story's own roots, made for it; words pass through pipes, not through arguments.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

COMMAND_S = 60.0
"""Seconds that one command of the story may take. Our choice; then the story ends with an error."""

START_S = 20.0
"""Seconds in which a node must run. Our choice."""

LOOK_S = 0.05
"""Seconds between two looks at whether something has come about."""

NETWORK = "story"
"""Name of the story's own network: its nodes know no others."""


class StoryError(CliError):
    """Something that the story shows did not come about."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, family=Exit.FAILURE, code="story_failed", hint=hint)


class Stage:
    """Where the story plays.

    Args:
        directory: An empty directory.
        show: Told of each command line before it runs.
    """

    def __init__(self, directory: Path, show: Callable[[str], None]) -> None:
        self.directory = directory
        self._show = show
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("KONTINUUM_", "XDG_"))
        }
        self._environment |= {
            "HOME": str(directory),
            "KONTINUUM_NETWORK": NETWORK,
            "KONTINUUM_POW_BITS": "0",
            "KONTINUUM_LISTEN": "127.0.0.1:0",
        }

    # --- commands ---

    def run(self, *arguments: str, feed: bytes | None = None, show: bool = True) -> dict[str, Any]:
        """Run a command to its end; returns its result.

        Args:
            arguments: Without ``--json``.
            feed: What it reads.
            show: Tell whoever watches; what only looks is not told.

        Raises:
            StoryError: It failed; the message is its own.
        """
        code, result, errors = self._run(arguments, feed, show=show)
        if code:
            raise StoryError(f"kontinuum {' '.join(arguments[:3])}: {_message(result, errors)}")
        return result[-1] if result else {}

    def run_events(self, *arguments: str, feed: bytes | None = None) -> list[dict[str, Any]]:
        """Run a command that tells events; returns them all. Raises as :meth:`run`."""
        code, events, errors = self._run(arguments, feed, show=True)
        if code:
            raise StoryError(f"kontinuum {' '.join(arguments[:3])}: {_message(events, errors)}")
        return events

    def refused(self, *arguments: str) -> str:
        """Run a command that must fail; returns why it did.

        Raises:
            StoryError: It succeeded.
        """
        code, result, errors = self._run(arguments, None, show=True)
        if not code:
            raise StoryError(f"kontinuum {' '.join(arguments[:3])}: it should have been refused")
        return _message(result, errors)

    @contextlib.contextmanager
    def begun(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on while others run; killed if it is still there at the end."""
        self.tell(arguments)
        with self._spawn([*arguments, "--json"], stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def until(self, what: str, condition: Callable[[], Any], within_s: float = COMMAND_S) -> Any:
        """Wait until something is so; returns what the condition gave.

        Raises:
            StoryError: It did not come about in time.
        """
        end = time.monotonic() + within_s
        while True:
            with contextlib.suppress(StoryError):
                if found := condition():
                    return found
            if time.monotonic() > end:
                raise StoryError(f"{what}: not within {within_s:g} s", f"look into {self.directory}")
            time.sleep(LOOK_S)

    # --- nodes ---

    def start(self, name: str, *options: str) -> None:
        """Run the node of a directory until :meth:`stop` or :meth:`kill`.

        Raises:
            StoryError: It did not start.
        """
        log = (self.directory / f"{name.replace('/', '-')}.log").open("ab")
        self.tell(["node", "run", "--dir", name, *options])
        with log:
            process = self._spawn(
                ["node", "run", "--dir", name, "--stop-with-stdin", "--json", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.PIPE,
            )
        self._nodes[name] = process
        if process.stdout is None:
            raise AssertionError("the process was started with a pipe")
        line = process.stdout.readline()
        if not line or "error" in json.loads(line):
            raise StoryError(f"the node {name} did not start", f"its log: {log.name}")

    def stop(self, name: str) -> None:
        """End a node in order."""
        self._end(name, signal.SIGTERM)

    def kill(self, name: str) -> None:
        """End a node as a power cut does."""
        self._end(name, signal.SIGKILL)

    def burn(self, name: str) -> None:
        """Kill a node if it runs, and destroy its disk."""
        if name in self._nodes:
            self.kill(name)
        shutil.rmtree(self.directory / name)

    def close(self) -> None:
        """End all nodes that run."""
        for name in list(self._nodes):
            self.stop(name)

    # --- inside ---

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._nodes.pop(name)
        process.send_signal(number)
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _run(
        self, arguments: Sequence[str], feed: bytes | None, *, show: bool
    ) -> tuple[int, list[dict[str, Any]], bytes]:
        if show:
            self.tell(arguments)
        process = self._spawn(
            [*arguments, "--json"],
            stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, errors = process.communicate(feed, COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise StoryError(f"kontinuum {' '.join(arguments[:3])}: no end within {COMMAND_S:g} s") from None
        return process.returncode, [json.loads(line) for line in output.splitlines()], errors

    def _spawn(self, arguments: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
        streams.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen(  # noqa: S603 -- our own program, with arguments of our own
            [sys.executable, "-m", "kontinuum.cli.main", *arguments],
            cwd=self.directory,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is ours: we end them in order.
            **streams,
        )

    def tell(self, arguments: Sequence[str]) -> None:
        """Show a command line."""
        self._show("kontinuum " + " ".join(arguments))


def _message(told: list[dict[str, Any]], errors: bytes) -> str:
    error = told[-1].get("error") if told else None
    if isinstance(error, dict):
        return str(error.get("message", error))
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it failed without a word"
