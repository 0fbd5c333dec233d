"""Print the third-party requirements that ``pyproject.toml`` names, one per line, for ``pip install -r``.

``python tools/requirements.py cli dev`` prints the library's dependencies and those of the extras named.
It exists because pip before 25.1 installs a project's requirements only together with the project, which
would compile the native module a second time in an isolated environment.
Uses the standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """Return the requirement strings of the library and of ``extras``, in the file's order.

    Raises:
        KeyError: an extra that the file does not name.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


if __name__ == "__main__":
    print("\n".join(requirements(PYPROJECT, sys.argv[1:])))
