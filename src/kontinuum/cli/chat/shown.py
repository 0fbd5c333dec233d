"""What a conversation shows: plain values that either face draws in its own way.

Trust:    texts were made safe to show; names stand beside the digits of their keys.
Pure:     data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kontinuum.cli.chat.people import Person


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody says or does something."""

    at: datetime
    """When it was written, by the author's clock."""
    room: str | None
    """``None``: a direct message."""
    author: Person
    lines: tuple[str, ...]
    act: bool = False
    to: Person | None = None
    """Whom a direct message of our own went to."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no one's words."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that should not be overlooked."""

    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The room that one speaks in, or its people, changed."""

    room: str | None
    here: int
    """People in it, ourselves included."""


Shown = Said | Notice | Warned | Moved

if TYPE_CHECKING:
    Show = Callable[[Shown], None]
