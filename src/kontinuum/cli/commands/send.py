"""``kontinuum send``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption, PeerArgument


def send(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="One file or several.")],
    peer: PeerArgument,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Send files to a peer that is receiving. After an interruption the same command continues."""
    from kontinuum.cli.output import printable, size_text
    from kontinuum.cli.progress import TransferBars
    from kontinuum.cli.session import any_node, run
    from kontinuum.transfer.outgoing.source import Source

    output = state.output
    paths = [path.absolute() for path in files]
    for path in paths:
        Source(path)  # A missing file is told before a node is started.

    with TransferBars(output) as bars:

        def show(event: Mapping[str, Any]) -> None:
            if event["type"] == "progress":
                bars.update(event)

        async def work() -> dict[str, Any]:
            async with any_node(directory) as session:
                params = {"peer": peer, "paths": [str(path) for path in paths]}
                return await session.ask("send", params, show)

        result = run(work())

    lines = []
    for file in result["files"]:
        resumed = f", continued at {size_text(file['resumed_from'])}" if file["resumed_from"] else ""
        status = (
            f"sent {size_text(file['size'])}{resumed}, verified" if file["code"] == "stored" else file["code"]
        )
        lines.append(f"{printable(file['name'])}: {status}")
    rate = result["bytes"] / max(result["elapsed_s"], 1e-3)
    lines.append(f"{size_text(result['bytes'])} in {result['elapsed_s']:.2f} s ({size_text(int(rate))}/s)")
    output.result(result, "\n".join(lines))
    refused = [file for file in result["files"] if file["code"] != "stored"]
    if refused:
        if not output.json:
            output.error(refusal(refused[0]["code"], len(refused)))
        raise typer.Exit(refusal(refused[0]["code"], len(refused)).family)


_HINTS = {
    "not_receiving": "on the other side, run: kontinuum receive --to DIR",
    "exists": "the file is there already; the receiver may use --overwrite",
    "too_large": "the receiver may raise --max-size",
    "source_changed": "something writes to the file; send it again when that is over",
    "bad_name": "rename the file",
    "busy": "try again in a moment",
}
_OURS = frozenset(["source_changed", "source_unreadable"])


def refusal(code: str, count: int) -> CliError:
    """Return the error for files that did not arrive; ``code`` is that of the first."""
    text = f"{count} file{'s were' if count > 1 else ' was'} not sent: {code}"
    family = Exit.FAILURE if code in _OURS else Exit.PEER
    return CliError(text, family=family, code=code, hint=_HINTS.get(code, ""))
