"""A sheet as an SVG file without fonts, scripts or links, which any browser prints without a network.

Source:   W3C SVG 1.1.
Bounds:   those of the sheet.
Secrets:  what is returned holds the words.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from kontinuum.keys.backup.sheet import HEIGHT_MM, WIDTH_MM, Code, Rule, Sheet, Text


def svg_page(sheet: Sheet) -> str:
    """The page."""
    size = f'width="{WIDTH_MM}mm" height="{HEIGHT_MM}mm" viewBox="0 0 {WIDTH_MM} {HEIGHT_MM}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{WIDTH_MM}" height="{HEIGHT_MM}" fill="#fff"/>',
        *map(_element, sheet.parts()),
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _element(part: Text | Rule | Code) -> str:
    match part:
        case Text():
            return _text(part)
        case Rule(x, y, width):
            return f'<path d="M{x:g} {y:g}h{width:g}" stroke="#bbb" stroke-width=".2"/>'
        case Code(x, y, step, rows):
            squares = "".join(
                f"M{column} {row}h1v1h-1z"
                for row, line in enumerate(rows)
                for column, dark in enumerate(line)
                if dark
            )
            place = f"translate({x:g} {y:g}) scale({step:g})"
            return f'<path transform="{place}" d="{squares}" shape-rendering="crispEdges"/>'


def _text(part: Text) -> str:
    family = "monospace" if part.mono else "sans-serif"
    weight = ' font-weight="bold"' if part.bold else ""
    anchor, colour = "end" if part.to_the_left else "start", "#666" if part.grey else "#000"
    return (
        f'<text x="{part.x:g}" y="{part.y:g}" font-size="{part.size:g}" font-family="{family}"'
        f' text-anchor="{anchor}" fill="{colour}"{weight}>{escape(part.text)}</text>'
    )
