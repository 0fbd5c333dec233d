"""A page to print, A4: the words by number, a QR code of them, and which root it is.

What stands where is told here once; ``sheet_svg`` and ``sheet_pdf`` draw it. The code holds the same words as
text.

Source:   our own layout; the code is QR by ``segno`` with error correction M, which survives a fold.
Bounds:   SHEET_WORDS_MAX, TITLE_CHARS_MAX.
Secrets:  the page *is* the secret. Nothing here writes it anywhere.
Pure:     no I/O, clock or randomness; the date is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

SHEET_WORDS_MAX = 36
"""Words on a page: three columns of twelve. The longest share has 33. More: MisuseError."""

TITLE_CHARS_MAX = 64
"""Characters of a title. Our choice: more do not fit the line. Longer: MisuseError."""

WIDTH_MM, HEIGHT_MM = 210, 297
"""The page, A4. ISO 216. All places on it are millimetres from its upper left corner."""

CODE_MM = 62
"""Side of the QR code with its white border."""

QUIET_MODULES = 4
"""White modules around a code. ISO/IEC 18004."""

_ROWS = 12
_MARGIN_MM = 18


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text."""

    x: float
    """Where it begins, or with ``to_the_left`` where it ends."""

    y: float
    """Its base line."""

    size: float
    text: str
    bold: bool = False
    mono: bool = False
    grey: bool = False
    to_the_left: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin grey line to the right."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code."""

    x: float
    y: float
    step: float
    """Side of a module."""

    rows: tuple[tuple[bool, ...], ...]
    """Its modules, dark ones true, without the white border."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands on one page.

    Raises:
        MisuseError: It does not fit.
    """

    title: str
    """What it is: ``Root``, or ``Share 2 of 3``."""

    words: tuple[str, ...]
    """The words, in order."""

    root: bytes
    """The root's public key; its beginning tells one root's pages from another's."""

    made: date
    """When it was printed."""

    notes: tuple[str, ...] = ()
    """Lines for whoever holds it."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.words) <= SHEET_WORDS_MAX:
            raise MisuseError(f"a page holds 1 to {SHEET_WORDS_MAX} words")
        if len(self.title) > TITLE_CHARS_MAX:
            raise MisuseError(f"a title has at most {TITLE_CHARS_MAX} characters")

    @property
    def code(self) -> str:
        """What the QR code says."""
        return " ".join(self.words)

    def parts(self) -> Iterable[Text | Rule | Code]:
        """What is drawn, in order."""
        yield Text(_MARGIN_MM, 28, 9, self.title, bold=True)
        root = bytes(self.root).hex()
        short = " ".join(root[at : at + 4] for at in range(0, 16, 4))
        yield Text(_MARGIN_MM, 37, 4.2, f"root key {short} …    printed {self.made.isoformat()}")
        yield from self._grid()
        yield self._code()
        for row, note in enumerate(self.notes):
            yield Text(_MARGIN_MM + CODE_MM + 6, 190 + row * 6.5, 3.8, note)

    def _grid(self) -> Iterable[Text | Rule]:
        width = (WIDTH_MM - 2 * _MARGIN_MM) / 3
        for number, word in enumerate(self.words):
            column, row = divmod(number, _ROWS)
            x, y = _MARGIN_MM + column * width, 54 + row * 10
            yield Text(x + 8, y, 4, f"{number + 1}", grey=True, to_the_left=True)
            yield Text(x + 11, y, 6, word, mono=True)
            yield Rule(x + 11, y + 2.2, width - 16)

    def _code(self) -> Code:
        import segno

        rows = tuple(tuple(map(bool, row)) for row in segno.make_qr(self.code, error="m").matrix)
        step = CODE_MM / (len(rows) + 2 * QUIET_MODULES)
        return Code(_MARGIN_MM + step * QUIET_MODULES, 182 + step * QUIET_MODULES, step, rows)
