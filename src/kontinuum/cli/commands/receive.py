"""``kontinuum receive``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption
from kontinuum.cli.output import printable, size_text
from kontinuum.cli.progress import TransferBars

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def receive(  # noqa: PLR0917 -- typer passes by name
    to: Annotated[Path, typer.Option("--to", help="Directory to store files in.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    sources: Annotated[
        list[str] | None, typer.Option("--from", metavar="PEER", help="Only from this peer.")
    ] = None,
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="Largest file: 500M, 2G.")
    ] = "64G",
    once: Annotated[bool, typer.Option("--once", help="End after the first session.")] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Wait for files and store them, until Ctrl-C. Nothing is overwritten unless asked."""
    from kontinuum.cli.session import any_node, run
    from kontinuum.transfer.digest import new_blake3
    from kontinuum.transfer.incoming.target import Target

    output = state.output
    params: dict[str, Any] = {
        "to": str(to.absolute()),
        "overwrite": overwrite,
        "bytes_max": parse_size(max_size),
    }
    if sources:
        params["from"] = sources
    if once:
        params["sessions"] = 1
    Target(to.absolute(), new_blake3).close()  # A wrong directory is told before a node is started.

    with TransferBars(output) as bars:
        shown = _Shown(bars)

        async def work() -> dict[str, Any]:
            async with any_node(directory) as session:
                shown.daemon = session.daemon
                return await session.ask("receive", params, shown.take)

        result = run(work())
    output.result({"type": "end", **result}, "")
    if shown.interrupted:
        raise typer.Exit(Exit.UNAVAILABLE)


class _Shown:
    """Shows what happens while files are awaited."""

    def __init__(self, bars: TransferBars) -> None:
        self._bars = bars
        self.daemon = False
        self.interrupted = False
        """Whether the newest session ended early."""

    def take(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "progress":
            self._bars.update(event)
            return
        if event["type"] == "session":
            self._bars.clear()
            self.interrupted = bool(event["error"])
        if state.output.json:
            state.output.event(event)
        else:
            self._tell(event)

    def _tell(self, event: Mapping[str, Any]) -> None:
        output = state.output
        match event["type"]:
            case "ready":
                output.note(f"receiving into {printable(event['to'])}; the sender needs:")
                output.note(f"  kontinuum send FILE {event['contact']}")
                if not self.daemon:
                    output.note("this address lasts as long as this command")
            case "offer":
                total = size_text(sum(file["size"] for file in event["files"]))
                output.note(f"{event['peer_id'][:8]} offers {len(event['files'])} file(s), {total}")
            case "session":
                for file in event["files"]:
                    output.event({}, f"{printable(file['name'])}: {file['code']}, {size_text(file['size'])}")
                if event["error"]:
                    output.note(f"  {printable(event['error'])}; sent again, it continues")


def parse_size(text: str) -> int:
    """Return a size in bytes: ``500M``, ``2g``, ``4096``."""
    digits = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = digits[-1:] if digits[-1:].isalpha() else ""
    number = digits.removesuffix(unit)
    if unit in _UNITS and number.isascii() and number.isdigit() and len(number) < 16:
        return min(int(number) * _UNITS[unit], 1 << 53)
    raise CliError(
        f"{text!r} is not a size", family=Exit.MISUSE, code="usage", hint="write it as 4096, 500M or 2G"
    )
