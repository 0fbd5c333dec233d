"""One node process of ``kontinuum up``: started, watched, asked, and ended.

Bounds:   LOG_BYTES_KEPT of its last words; the end takes END_TIMEOUT_S, then SIGKILL.
Trust:    the child is our own program.

A child must not outlive its parent, however that ends: it holds the read end of a pipe and leaves in order
when the pipe closes; on Linux the kernel kills it besides (``PR_SET_PDEATHSIG``). It runs in a session of
its own, so that Ctrl-C reaches the parent alone, which then ends all children in order.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError, Exit, from_control
from kontinuum.node.control_client import ControlClient
from kontinuum.node.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kontinuum.cli.session import OnEvent

END_TIMEOUT_S = 4.0
"""Seconds that a node may take to end after SIGTERM. Our choice; then it is killed."""

LOG_BYTES_KEPT = 4096
"""Bytes of a child's last words that are kept, to say why it died. Its whole log is in its directory."""

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Run in the child before it becomes the node: die when the parent does (prctl(2))."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One node process in its own directory.

    Args:
        index: which node, from 0.
        directory: its data directory; made if it is missing.
    """

    def __init__(self, index: int, directory: Path) -> None:
        self.index = index
        self.directory = directory
        self.ready: dict[str, Any] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._client: ControlClient | None = None
        self._last_words = b""
        self._listening: asyncio.Task[None] | None = None
        self.ending = False

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return 0 if self._process is None else self._process.pid

    async def start(self, options: Sequence[str], timeout_s: float) -> None:
        """Start the process and wait until it answers.

        Raises:
            CliError: it died or did not answer in time; the message has its last words.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KONTINUUM_")}
        command = [sys.executable, "-m", "kontinuum.cli.main", "node", "run", "--dir", str(self.directory)]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            "--json",
            "--demo",
            "--stop-with-stdin",
            *options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            env=environment,
        )
        self._listening = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._output().readline()
        except TimeoutError:
            raise self._error(f"node {self.index + 1} did not start within {timeout_s:g} s") from None
        if not line:
            await self._process.wait()
            await self._listening
            raise self._error(f"node {self.index + 1} did not start: {self.death()}")
        try:
            self.ready = json.loads(line)
        except ValueError:
            raise self._error(f"node {self.index + 1} said {line[:200]!r}") from None
        if "error" in self.ready:
            raise self._error(f"node {self.index + 1} did not start: {self.ready['error']['message']}")
        self._client = ControlClient(self.directory / "control.sock")
        try:
            await self._client.connect()
        except (ControlError, OSError) as error:
            raise self._error(f"node {self.index + 1} does not answer: {error}") from error

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        """Ask the node; see ``kontinuum.cli.session``.

        Raises:
            CliError: it refused, could not, or is gone.
        """
        if self._client is None:
            raise self._error(f"node {self.index + 1} is not running")
        result: dict[str, Any] = {}
        try:
            async for answer in self._client.stream(method, params):
                if on_event is not None and "event" in answer:
                    on_event(answer["event"])
                result = answer.get("result", result)
        except ControlError as error:
            raise from_control(error.code, error.message) from error
        return result

    async def wait(self) -> str:
        """Wait for the end of the process; return how it ended, in words."""
        if self._process is None:
            raise AssertionError("the process was never started")
        await self._process.wait()
        return self.death()

    def death(self) -> str:
        """Say how the process ended, and its last words."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "running"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        words = self._last_words.decode("utf-8", "replace").strip().splitlines()
        return f"ended with code {code}" + (f": {words[-1][:300]}" if words and code else "")

    def ask_to_end(self) -> None:
        """Send SIGTERM, and close the pipe that the child watches. A second call does nothing."""
        if self.ending:
            return
        self.ending = True
        self._signal(signal.SIGTERM)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """Wait for the end that was asked for; kill the process if it does not come."""
        self.ask_to_end()
        if self._client is not None:
            await self._client.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        # Not by way of the process object: it polls first, and so takes the exit code away from its watcher.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _listen(self) -> None:
        """Keep the log in the directory, and the last words in memory."""
        if self._process is None or self._process.stderr is None:
            raise AssertionError("the process was started with pipes")
        path = self.directory.with_suffix(".log")
        with path.open("ab", buffering=0) as log:
            while block := await self._process.stderr.read(65536):
                self._last_words = (self._last_words + block)[-LOG_BYTES_KEPT:]
                with suppress(OSError):
                    log.write(block)

    def _output(self) -> asyncio.StreamReader:
        if self._process is None or self._process.stdout is None:
            raise AssertionError("the process was started with pipes")
        return self._process.stdout

    def _error(self, message: str) -> CliError:
        return CliError(
            message, family=Exit.FAILURE, code="node_failed", hint=f"its log: {self.directory}.log"
        )
