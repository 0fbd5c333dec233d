"""What a program is told about moving files.

Pure: data only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kontinuum.transfer.events import Outcome
from kontinuum.transfer.messages import Code


@dataclass(frozen=True, slots=True)
class Progress:
    """One file moved on."""

    index: int
    name: str
    done: int
    """Bytes that the receiver has, those of earlier sessions included."""
    size: int


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file of a session."""

    name: str
    size: int
    outcome: Outcome


def code_text(code: int) -> str:
    """Return the name of a code for people and JSON, also of one that this version does not know."""
    try:
        return Code(code).name.lower()
    except ValueError:
        return f"code_{code}"
