"""Scenario files by path or by name, results to read, and reports to write.

Bounds:  RESULT_BYTES_MAX of a result file are read.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import write_atomically
from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FOLDER = "scenarios"
"""Where scenario files lie: in the current directory, else in the source tree that this program is from."""

RESULT_BYTES_MAX = 64 * 2**20
"""Bytes of a result file. Our choice: hundreds of times the largest that a run writes."""

REPORT_MODE = 0o644
"""Permission bits of a report: nothing in it is secret."""


def known() -> dict[str, Path]:
    """Return the scenarios at hand by name, in order."""
    found: dict[str, Path] = {}
    for folder in (_in_source_tree(), Path(FOLDER)):  # The nearer one wins.
        found.update({path.stem: path for path in folder.glob("*.toml")})
    return dict(sorted(found.items()))


def complete(incomplete: str) -> list[str]:
    """Return the names that a shell offers for what was typed so far."""
    return [name for name in known() if name.startswith(incomplete)]


def scenario_path(given: str) -> Path:
    """Return the file of a scenario: a path, or the name of one of :func:`known`.

    Raises:
        CliError: There is no such file and no such name.
    """
    path, names = Path(given), known()
    if path.is_file():
        return path
    if given in names:
        return names[given]
    raise CliError(
        f"no scenario {given}",
        family=Exit.MISUSE,
        code="unknown_scenario",
        hint=f"known here: {', '.join(names)}" if names else "give the path of a TOML file",
    )


def shown(path: Path) -> str:
    """Return a path as people would type it here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_result(path: Path) -> Mapping[str, Any]:
    """Read a result that ``kontinuum sim run`` wrote.

    Raises:
        CliError: There is no such file.
        FileUnavailableError: It cannot be read.
        NoResultError: It is something else.
    """
    from kontinuum.sim.compare import NoResultError, checked

    try:
        with path.open("rb") as file:
            data = file.read(RESULT_BYTES_MAX + 1)
    except FileNotFoundError:
        raise CliError(f"no file {path}", family=Exit.MISUSE, code="no_such_file") from None
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from None
    if len(data) > RESULT_BYTES_MAX:
        raise NoResultError(str(path), "too large")
    try:
        return checked(json.loads(data), str(path))
    except (ValueError, RecursionError):
        raise NoResultError(str(path), "not JSON") from None


def writable(path: Path | None) -> None:
    """Make sure, before a long run, that a report can be written there.

    Raises:
        FileUnavailableError: It cannot.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise FileUnavailableError(path, "write", "is a directory")
    if not folder.is_dir():
        raise FileUnavailableError(path, "write", f"no directory {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise FileUnavailableError(path, "write", "not permitted")


def write(path: Path, text: str) -> None:
    """Write a report, for everybody to read.

    Raises:
        FileUnavailableError: It cannot be written.
    """
    write_atomically(path, text.encode("utf-8"), mode=REPORT_MODE)


@contextmanager
def open_events(path: Path) -> Iterator[Callable[[str], object]]:
    """Give a function that writes one line of the event log.

    Raises:
        FileUnavailableError: It cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
            yield lambda line: file.write(line + "\n")
    except OSError as error:
        raise FileUnavailableError(path, "write", error.strerror or str(error)) from None


def _in_source_tree() -> Path:
    return Path(__file__).resolve().parents[4] / FOLDER
