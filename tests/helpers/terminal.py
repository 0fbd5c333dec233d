"""A program in a pseudo-terminal, and the screen that a person would see."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from pathlib import Path
from typing import Self

import pyte


class Terminal:
    """``async with Terminal(command) as terminal``: the program is killed at the end."""

    def __init__(self, *command: str, columns: int = 100, lines: int = 30, cwd: Path | None = None) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._command = command
        self._cwd = cwd
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._main, side = pty.openpty()
        size = struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0)
        fcntl.ioctl(side, termios.TIOCSWINSZ, size)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("NO_COLOR", None)
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=side,
            stdout=side,
            stderr=side,
            env=environment,
            cwd=self._cwd,
            start_new_session=True,
        )
        os.close(side)
        os.set_blocking(self._main, False)
        asyncio.get_running_loop().add_reader(self._main, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._main)
        os.close(self._main)

    def _read(self) -> None:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # The program has closed its side.
            data = b""
        if data:
            self._stream.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self._main)
        self._changed.set()

    @property
    def text(self) -> str:
        """All that stands on the screen."""
        return "\n".join(self.screen.display)

    def type(self, keys: str) -> None:
        """Press keys; a carriage return is Enter."""
        os.write(self._main, keys.encode())

    def paste(self, text: str) -> None:
        """Paste as a terminal does: in brackets, so that the program knows."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    async def see(self, text: str, timeout: float = 40.0) -> None:
        """Wait until ``text`` stands on the screen, line ends and doubled spaces aside."""
        wanted = _squeezed(text)
        try:
            async with asyncio.timeout(timeout):
                while wanted not in _squeezed(self.text):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.text}") from None


def _squeezed(text: str) -> str:
    return " ".join(text.split())
