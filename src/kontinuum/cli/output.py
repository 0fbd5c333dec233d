"""How a command speaks: its result on standard output, everything else on standard error.

Trust:   texts may come from peers; control characters, which could drive a terminal, are shown escaped.
Source:  no-color.org for ``NO_COLOR``; the exit codes are our own (``docs/cli.md``).
"""

from __future__ import annotations

import json
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError, Exit, family_of, hint_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

_ESCAPED_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])

_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol by their category that nobody sees: Hangul fillers (Unicode,
Default_Ignorable_Code_Point) and the empty Braille pattern."""


def printable(text: str) -> str:
    """Return ``text`` with every control and invisible character written as an escape."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _ESCAPED_CATEGORIES or character in _BLANK_LETTERS
        else character
        for character in text
    )


@dataclass(slots=True)
class Output:
    """Where one run of the program writes to.

    Args:
        json: results as JSON: one object, or one per line where a command follows events.
        debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False

    @property
    def decorated(self) -> bool:
        """Whether progress bars and live tables may be drawn: a person at a terminal, and no JSON wanted."""
        return sys.stderr.isatty() and not self.json

    def result(self, data: Mapping[str, Any], text: str) -> None:
        """Write a command's result: ``data`` with ``--json``, else ``text``."""
        if self.json:
            sys.stdout.write(json.dumps(data) + "\n")
        elif text:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def event(self, data: Mapping[str, Any], text: str = "") -> None:
        """Write one event of a command that follows events, like :meth:`result`."""
        self.result(data, text)

    def note(self, text: str) -> None:
        """Say something to a person; nothing with ``--json``."""
        if not self.json:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def error(self, error: BaseException) -> Exit:
        """Write an error as one clear line and a hint, and return the exit code."""
        family = family_of(error)
        message, hint = printable_lines(str(error)), hint_of(error)
        if self.json:
            code = error.code if isinstance(error, CliError) else code_of(error)
            problem = {"code": code, "family": family.name.lower(), "message": message, "hint": hint}
            sys.stdout.write(json.dumps({"error": problem}) + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"kontinuum: {message}\n" + (f"  hint: {hint}\n" if hint else ""))
        return family

    def console(self) -> Console:
        """Return a console on standard error, for progress bars and live tables."""
        from rich.console import Console

        return Console(stderr=True)


def printable_lines(text: str) -> str:
    """Like :func:`printable`, but keep line ends: an error may list several findings."""
    return "\n".join(printable(line) for line in text.split("\n"))


def code_of(error: BaseException) -> str:
    """Return the stable code of an error, as in the control protocol."""
    from kontinuum.base.errors import KontinuumError
    from kontinuum.node.control import error_code

    if isinstance(error, KontinuumError):
        return error_code(error)
    return "unavailable" if isinstance(error, OSError) else "internal"


def columns(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Return ``rows`` under ``header`` in aligned columns, for people and for ``awk``."""
    table = [list(header), *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(line.rstrip() for line in lines)


def fields(pairs: Mapping[str, object]) -> str:
    """Return names and values, one per line, aligned."""
    width = max(map(len, pairs), default=0)
    return "\n".join(f"{name.ljust(width)}  {printable(str(value))}" for name, value in pairs.items())


def milliseconds(seconds: float | None) -> str:
    """Return a time for people."""
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
