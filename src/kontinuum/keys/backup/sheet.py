"""A page to print, A4: the words by number, a QR code of them, and which root it is.

The page is one SVG file without fonts, scripts or links, so that any browser prints it without a network.
The code holds the same words as text.

Source:   our own layout; the code is QR by ``segno`` with error correction M, which survives a fold.
Bounds:   SHEET_WORDS_MAX.
Secrets:  the page *is* the secret. Nothing here writes it anywhere.
Pure:     no I/O, clock or randomness; the date is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from kontinuum.base.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

SHEET_WORDS_MAX = 36
"""Words on a page: three columns of twelve. The longest share has 33. More: MisuseError."""

TITLE_CHARS_MAX = 64
"""Characters of a title. Our choice: more do not fit the line. Longer: MisuseError."""

_ROWS = 12
_WIDTH_MM, _HEIGHT_MM = 210, 297
_MARGIN_MM = 18
_CODE_MM = 62
_QUIET_MODULES = 4
"""White modules around a code. ISO/IEC 18004."""


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

    def svg(self) -> str:
        """The page."""
        size = f'width="{_WIDTH_MM}mm" height="{_HEIGHT_MM}mm" viewBox="0 0 {_WIDTH_MM} {_HEIGHT_MM}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f'<rect width="{_WIDTH_MM}" height="{_HEIGHT_MM}" fill="#fff"/>',
            *self._head(),
            *self._grid(),
            *self._code(),
            *self._notes(),
            "</svg>",
            "",
        ]
        return "\n".join(lines)

    def _head(self) -> Iterable[str]:
        yield _text(_MARGIN_MM, 28, 9, self.title, bold=True)
        root = bytes(self.root).hex()
        short = " ".join(root[at : at + 4] for at in range(0, 16, 4))
        yield _text(_MARGIN_MM, 37, 4.2, f"root key {short} …    printed {self.made.isoformat()}")

    def _grid(self) -> Iterable[str]:
        width = (_WIDTH_MM - 2 * _MARGIN_MM) / 3
        for number, word in enumerate(self.words):
            column, row = divmod(number, _ROWS)
            x, y = _MARGIN_MM + column * width, 54 + row * 10
            yield _text(x + 8, y, 4, f"{number + 1}", anchor="end", colour="#666")
            yield _text(x + 11, y, 6, word, mono=True)
            yield f'<path d="M{x + 11:g} {y + 2.2:g}h{width - 16:g}" stroke="#bbb" stroke-width=".2"/>'

    def _code(self) -> Iterable[str]:
        import segno

        matrix = segno.make_qr(self.code, error="m").matrix
        step = _CODE_MM / (len(matrix) + 2 * _QUIET_MODULES)
        squares = "".join(
            f"M{column} {row}h1v1h-1z"
            for row, line in enumerate(matrix)
            for column, dark in enumerate(line)
            if dark
        )
        place = f"translate({_MARGIN_MM + step * _QUIET_MODULES:g} {182 + step * _QUIET_MODULES:g})"
        yield f'<path transform="{place} scale({step:g})" d="{squares}" shape-rendering="crispEdges"/>'

    def _notes(self) -> Iterable[str]:
        for row, note in enumerate(self.notes):
            yield _text(_MARGIN_MM + _CODE_MM + 6, 190 + row * 6.5, 3.8, note)


def _text(
    x: float,
    y: float,
    size: float,
    text: str,
    *,
    bold: bool = False,
    mono: bool = False,
    anchor: str = "start",
    colour: str = "#000",
) -> str:
    family = "monospace" if mono else "sans-serif"
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-family="{family}" text-anchor="{anchor}"'
        f' fill="{colour}"{weight}>{escape(text)}</text>'
    )
