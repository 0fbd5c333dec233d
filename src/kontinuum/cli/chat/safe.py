"""Text of strangers, made fit for a terminal and for a line.

Bounds:   LINES_SHOWN_MAX lines of one message, NICK_CHARACTERS_MAX.
Trust:    every character comes from a peer. Controls, escapes, and characters that reorder or hide others are
          shown as escapes; a line end stays one only where the caller wants lines.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from kontinuum.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

NICK_CHARACTERS_MAX = 24
"""Characters of a nickname. Our choice: a column of a screen."""

LINES_SHOWN_MAX = 100
"""Lines of one message that are drawn; of a longer one the rest is counted. Our choice: a pasted page, and
few enough that nobody pushes a conversation out of the scroll-back with one message."""

MARKS_MAX = 2
"""Combining marks on one character; more of them paint over the lines above. Our choice."""


def safe_line(text: str) -> str:
    """Return ``text`` as one line that moves no cursor."""
    return printable(_few_marks(text.replace("\t", "    ")))


def safe_lines(text: str) -> list[str]:
    """Return the lines of ``text``, each as :func:`safe_line`."""
    return [safe_line(line) for line in text.replace("\r\n", "\n").split("\n")]


def few_lines(lines: Sequence[str]) -> list[str]:
    """Return the first LINES_SHOWN_MAX of ``lines``, and how many were left out."""
    left = len(lines) - LINES_SHOWN_MAX
    return [*lines[:LINES_SHOWN_MAX], *([f"[{left} more lines are not shown]"] if left > 0 else [])]


def safe_nick(nick: str) -> str:
    """Return a nickname as it is shown: one line without spaces at its ends; empty if nothing is left.

    The digits of a key stand behind a ``#``, so a name has none of its own.
    """
    plain = unicodedata.normalize("NFC", nick).translate(_NO_NAME).strip()
    shown = safe_line(plain)[:NICK_CHARACTERS_MAX]
    return "-".join(shown.split())


_NO_NAME = dict.fromkeys(map(ord, "#<>\u2713\u2714\u2705\u2260"), " ")
"""What a face draws around a name: the digits' sign, brackets, check marks, the mark of a twin."""


def skeleton(nick: str) -> str:
    """Return what a nickname looks like to a hasty reader: two of them that agree can be mistaken.

    Source: the idea of UTS 39, section 4, with the letters that are told apart worst.
    """
    folded = unicodedata.normalize("NFKD", nick).casefold().translate(_LOOKALIKES)
    return "".join(
        character
        for character in folded
        if not unicodedata.category(character).startswith(("M", "C", "Z", "P", "S"))
    )


def _few_marks(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks <= MARKS_MAX:
            kept.append(character)
    return "".join(kept)


_TWINS = {
    "a": "\u0430\u03b1@",
    "c": "\u0441\u03f2",
    "e": "\u0435\u03b5",
    "o": "\u043e\u03bf0",
    "p": "\u0440\u03c1",
    "x": "\u0445\u03c7",
    "y": "\u0443\u03b3",
    "i": "\u0456\u03b9\u01311l|!",
    "j": "\u0458",
    "s": "\u0455$5",
    "b": "\u044c\u03b28",
    "h": "\u043d\u04bb",
    "k": "\u043a\u03ba",
    "m": "\u043c",
    "n": "\u03b7\u0438",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u0446",
    "v": "\u03bd\u0475",
    "w": "\u03c9\u051d",
    "d": "\u0501",
    "g": "\u0261",
}
_LOOKALIKES = {ord(twin): latin for latin, twins in _TWINS.items() for twin in twins}
"""Letters and digits that look like a Latin letter, in Cyrillic, Greek and ASCII."""
