"""``kontinuum up``: a whole network of processes on this machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import JsonOption


def up(  # noqa: PLR0917 -- typer passes by name
    nodes: Annotated[int, typer.Option("--nodes", "-n", min=2, max=50, help="How many nodes.")] = 5,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file that travels. Default: 8 MiB of random bytes.")
    ] = None,
    message: Annotated[str, typer.Option("--message", help="A message that travels.")] = "Hello, Kontinuum",
    check: Annotated[bool, typer.Option("--check", help="Run once, write a summary, end.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep the nodes' directories here. Default: temporary ones.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=5, max=3600, help="Seconds for the whole run.")
    ] = 60.0,
    _json: JsonOption = False,
) -> None:
    """Start a private network of several node processes, and watch it work.

    From one address all nodes find each other; each calls every other one; a message and a file travel
    and are verified by BLAKE3. On a terminal it stays until Ctrl-C; otherwise, or with --check, it ends
    with a summary and an exit code.
    """
    from kontinuum.cli.session import run
    from kontinuum.cli.up.service import run_network
    from kontinuum.cli.up.summary import Plan, text
    from kontinuum.transfer.outgoing.source import Source

    output = state.output
    if file is not None:
        Source(file.absolute())  # A missing file is told before anything is started.
    stay = sys.stdout.isatty() and sys.stderr.isatty() and not check and not output.json
    plan = Plan(
        nodes=nodes,
        file=None if file is None else file.absolute(),
        message=message.encode("utf-8", "surrogateescape"),
        directory=None if directory is None else directory.absolute(),
        stay=stay,
        timeout_s=timeout,
    )
    summary = run(run_network(plan, output))
    output.result(summary.to_json(), text(summary))
    if summary.interrupted and not stay:
        raise typer.Exit(Exit.INTERRUPTED)
    if not summary.ok:
        raise typer.Exit(Exit.FAILURE)
