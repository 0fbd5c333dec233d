"""``kontinuum cluster story``: watch what keys that outlive machines mean."""

from pathlib import Path
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import JsonOption


def story(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="Play in this new directory, and leave it. Default: none stays."
        ),
    ] = None,
    pause: Annotated[
        float | None,
        typer.Option(
            "--pause", min=0, max=60, help="Seconds after each act. Default: 2 on a terminal, else 0."
        ),
    ] = None,
    _json: JsonOption = False,
) -> None:
    """Watch a cluster live: a root, three machines, a friend, a theft, a fire, and the way back.

    Real nodes on this machine, in a network of their own, run by the commands that are shown. It takes half a
    minute. Its keys have no passphrase and are worth nothing.
    """
    from kontinuum.cli.story.telling import tell

    if directory is not None and directory.exists():
        raise CliError(
            f"{directory} is there already; the story needs a new directory", family=Exit.MISUSE, code="usage"
        )
    if pause is None:
        pause = 2.0 if state.output.decorated else 0.0
    acts = tell(directory, pause)
    state.output.result(
        {"ok": True, "acts": acts},
        "\nThe commands above are all that it took. docs/keys.md explains them.",
    )
