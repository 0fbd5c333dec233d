"""``kontinuum contact``."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.options import DirOption, JsonOption

app = typer.Typer(
    help="This node's contact line, and those of others.", no_args_is_help=True, rich_markup_mode=None
)


def _ask(directory: Path | None, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask(method, params)

    return run(work())


@app.command("show")
def show(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Write the running node's contact line: give it to whoever shall reach this node."""
    result = _ask(directory, "contact.show")
    state.output.result(result, result["contact"])


@app.command("qr")
def qr(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Draw the contact line as a QR code."""
    result = _ask(directory, "contact.show")
    if state.output.json:
        state.output.result(result, "")
        return
    import segno

    code = segno.make(result["contact"], error="l", micro=False)
    if sys.stdout.isatty():
        code.terminal(out=sys.stdout, compact=True)
    else:
        code.terminal(out=sys.stdout, compact=True, border=2)
    state.output.note(result["contact"])


@app.command("add")
def add(
    contact: Annotated[
        str, typer.Argument(metavar="CONTACT", help="A contact line kontinuum:...; - reads it.")
    ],
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Let the running node remember somebody's contact line."""
    from kontinuum.identity.contact import Contact

    text = sys.stdin.readline().strip() if contact == "-" else contact.strip()
    Contact.from_text(text)  # A wrong line is told before a node is asked.
    result = _ask(directory, "contact.add", {"contact": text})
    state.output.result(result, f"added {result['peer_id']}")
