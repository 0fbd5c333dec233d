"""The code of a meeting as a picture: in the terminal, as PNG or SVG, or on a page for a screen.

Files are created for this one meeting, readable by their owner only, and taken away when the code is worth
nothing any more.

Source:   QR codes by ``segno``, alphanumeric mode, error correction M; L in the terminal, where space is
          short and nothing is folded or dirty.
Secrets:  the picture is one, until the code is used.
"""

from __future__ import annotations

import contextlib
import io
import sys
from html import escape
from typing import TYPE_CHECKING

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from segno import QRCode

PNG_SCALE = 8
"""Pixels of a module in a PNG. Our choice: the fullest code has some 580 pixels."""

QUIET_MODULES = 4
"""Light modules around a code. ISO/IEC 18004."""

_GROUP = 5

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Kontinuum: meet</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1f24; --paper: #f6f7f9; --card: #fff; --soft: #59636e;
  --line: #d5dae0 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8ebef; --paper: #14171b; --card: #1e2329; --soft: #9aa4af; --line: #343b44 }}
}}
* {{ box-sizing: border-box }}
body {{ margin: 0; padding: 1.25rem; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.5 system-ui, sans-serif }}
main {{ max-width: 34rem; margin: 0 auto }}
h1 {{ font-size: 1.4rem; margin: .25rem 0 .5rem; text-wrap: balance }}
p {{ margin: .5rem 0 }}
.code {{ background: #fff; border: 1px solid var(--line); border-radius: .75rem; padding: 2%;
  margin: 1rem 0 }}
.code svg {{ display: block; width: 100%; height: auto }}
.text {{ background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .75rem 1rem;
  font: .95rem/1.6 ui-monospace, monospace; overflow-wrap: anywhere; user-select: all }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 1rem 0;
  font-size: .95rem }}
dt {{ color: var(--soft) }}
dd {{ margin: 0; overflow-wrap: anywhere }}
.soft {{ color: var(--soft); font-size: .95rem }}
</style>
</head>
<body>
<main>
<h1>Scan this to meet</h1>
<p>On the other machine: <code>kontinuum meet join</code> with its camera, or with the text below.</p>
<div class="code" role="img" aria-label="QR code of the text below">{svg}</div>
<p class="text">{text}</p>
<dl>
<dt>Cluster</dt><dd>{cluster}</dd>
<dt>Good until</dt><dd>{until}, and once</dd>
</dl>
<p class="soft">Afterwards both machines show four words. Read them to each other: if they are the same,
nobody stands between you.</p>
</main>
</body>
</html>
"""


def fingerprint(text: str) -> str:
    """The beginning of a hexadecimal id, in groups that can be read aloud: 64 bits."""
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def draw(code: str) -> None:
    """Draw the code in the terminal, on standard output, and say if it does not fit there."""
    picture = _qr(code, "l")
    width = picture.symbol_size(border=QUIET_MODULES // 2)[0]
    columns = _columns()
    if columns is not None and columns < width:
        state.output.note(
            f"the code needs {width} columns, and the terminal has {columns}: make it wider, or use --page"
        )
        return
    picture.terminal(out=sys.stdout, compact=True, border=QUIET_MODULES // 2)
    sys.stdout.flush()


@contextlib.contextmanager
def pictures() -> Iterator[Pictures]:
    """Files with a code, which are there as long as the block runs."""
    made = Pictures()
    try:
        yield made
    finally:
        made.remove()


class Pictures:
    """The files of one meeting."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def write(self, code: Mapping[str, object], files: Mapping[str, Path]) -> None:
        """Write the files that are wanted: ``png``, ``svg``, ``page``.

        Raises:
            AlreadyExistsError: One is there; nothing is overwritten.
        """
        from kontinuum.base.files import create_atomically

        makers: dict[str, Callable[[str], bytes]] = {
            "png": png,
            "svg": lambda text: svg(text).encode(),
            "page": lambda _: page(code).encode(),
        }
        for kind, path in files.items():
            create_atomically(path.absolute(), makers[kind](str(code["code"])))
            self._paths.append(path.absolute())

    def remove(self) -> None:
        """Take them away: their code is worth nothing."""
        while self._paths:
            self._paths.pop().unlink(missing_ok=True)


def verify_free(files: Mapping[str, Path]) -> None:
    """Check early that no file is in the way.

    Raises:
        CliError: One is.
    """
    for kind, path in files.items():
        if path.exists() or path.is_symlink():
            raise CliError(
                f"{path} already exists and is not overwritten",
                family=Exit.MISUSE,
                code="already_exists",
                hint=f"choose another --{kind} file, or move it away",
            )


def png(code: str) -> bytes:
    """The code as PNG."""
    out = io.BytesIO()
    _qr(code, "m").save(out, kind="png", scale=PNG_SCALE, border=QUIET_MODULES)
    return out.getvalue()


def svg(code: str) -> str:
    """The code as an SVG file, dark on white whatever is around it."""
    out = io.BytesIO()
    _qr(code, "m").save(out, kind="svg", border=QUIET_MODULES, light="#fff", omitsize=True)
    return out.getvalue().decode()


def page(code: Mapping[str, object]) -> str:
    """A page without scripts, links or anything from elsewhere."""
    picture = _qr(str(code["code"]), "m")
    drawn = picture.svg_inline(border=QUIET_MODULES, light="#fff", omitsize=True)
    return _PAGE.format(
        svg=drawn,
        text=escape(grouped(str(code["code"]))),
        cluster=escape(fingerprint(str(code["cluster"]))),
        until=escape(str(code["expires_at"]).replace("T", " ").replace("Z", " UTC")),
    )


def grouped(code: str) -> str:
    """The code in groups, for whoever types it: blanks do not matter."""
    head, colon, body = code.partition(":")
    return " ".join([head + colon, *(body[at : at + _GROUP] for at in range(0, len(body), _GROUP))])


def _qr(code: str, error: str) -> QRCode:
    import segno

    return segno.make_qr(code, error=error)


def _columns() -> int | None:
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
