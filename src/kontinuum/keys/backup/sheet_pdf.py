"""A sheet as a PDF file, for printers and viewers that take no SVG.

The letters are those of two of the fonts that every viewer has, so that nothing is embedded. The file has no
metadata, no id and nothing compressed: what is in it can be read with a text editor.

Source:   ISO 32000-1, written with ``pydyf``; widths of digits from Adobe's font metrics.
Bounds:   those of the sheet. Characters outside of WinAnsi (only a title could have them) become ``?``.
Secrets:  what is returned holds the words. Nothing is written to a temporary file.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kontinuum.keys.backup.sheet import HEIGHT_MM, WIDTH_MM, Code, Rule, Sheet, Text

if TYPE_CHECKING:
    import pydyf  # type: ignore[import-untyped]

_POINTS_PER_MM = 72 / 25.4
_DIGIT_EM = 0.556
"""Width of a digit in Helvetica, in sizes of the font; only numbers end at a place."""

_GREY, _LIGHT, _BLACK = 0.4, 0.73, 0.0
_RULE_MM = 0.2
_FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}


def pdf_page(sheet: Sheet) -> bytes:
    """The page, a whole file."""
    import pydyf

    document, stream = pydyf.PDF(), pydyf.Stream()
    for part in sheet.parts():
        match part:
            case Text():
                _draw_text(stream, part)
            case Rule():
                _draw_rule(stream, part)
            case Code():
                _draw_code(stream, part)
    document.add_object(stream)
    fonts = pydyf.Dictionary({name: _font(font) for name, font in _FONTS.items()})
    size = [0, 0, round(WIDTH_MM * _POINTS_PER_MM, 3), round(HEIGHT_MM * _POINTS_PER_MM, 3)]
    document.add_page(
        pydyf.Dictionary(
            {
                "Type": "/Page",
                "Parent": document.pages.reference,
                "MediaBox": pydyf.Array(size),
                "Contents": stream.reference,
                "Resources": pydyf.Dictionary({"Font": fonts}),
            }
        )
    )
    file = io.BytesIO()
    document.write(file)
    return file.getvalue()


def _font(name: str) -> pydyf.Dictionary:
    import pydyf

    return pydyf.Dictionary(
        {
            "Type": "/Font",
            "Subtype": "/Type1",
            "BaseFont": f"/{name}",
            "Encoding": "/WinAnsiEncoding",
        }
    )


def _draw_text(stream: pydyf.Stream, part: Text) -> None:
    left = part.x - (_DIGIT_EM * part.size * len(part.text) if part.to_the_left else 0)
    font = "F3" if part.mono else "F2" if part.bold else "F1"
    stream.begin_text()
    stream.set_color_rgb(*[_GREY if part.grey else _BLACK] * 3)
    stream.set_font_size(font, _points(part.size))
    stream.set_text_matrix(1, 0, 0, 1, _points(left), _up(part.y))
    stream.show_text_string(part.text.encode("cp1252", "replace"))
    stream.end_text()


def _draw_rule(stream: pydyf.Stream, part: Rule) -> None:
    stream.set_color_rgb(*[_LIGHT] * 3, stroke=True)
    stream.set_line_width(_points(_RULE_MM))
    stream.move_to(_points(part.x), _up(part.y))
    stream.line_to(_points(part.x + part.width), _up(part.y))
    stream.stroke()


def _draw_code(stream: pydyf.Stream, part: Code) -> None:
    """One path of all dark modules, so that no seams are seen between them."""
    stream.set_color_rgb(*[_BLACK] * 3)
    for row, line in enumerate(part.rows):
        for column, dark in enumerate(line):
            if dark:
                x, y = part.x + column * part.step, part.y + (row + 1) * part.step
                stream.rectangle(_points(x), _up(y), _points(part.step), _points(part.step))
    stream.fill()


def _points(length_mm: float) -> float:
    return round(length_mm * _POINTS_PER_MM, 4)


def _up(y_mm: float) -> float:
    """A height in PDF's coordinates, which begin at the lower edge."""
    return _points(HEIGHT_MM - y_mm)
