"""Arguments and options that several commands share, and the default data directory."""

import os
from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="The result as JSON.")]
"""Declared by every command, so that it may stand anywhere; ``main`` has read it already."""

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="KONTINUUM_DATA_DIR",
        show_envvar=False,
        help="Data directory of the node. Default: KONTINUUM_DATA_DIR, else ~/.local/share/kontinuum.",
    ),
]

PeerArgument = Annotated[
    str,
    typer.Argument(
        metavar="PEER",
        help="64 hex digits, 12D3KooW..., or a contact line kontinuum:...",
    ),
]

TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds to wait.")]


def default_dir() -> Path:
    """Return the data directory of a person who named none (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "kontinuum"


def data_dir(given: Path | None) -> Path:
    """Return the data directory to use."""
    return (given or default_dir()).expanduser().absolute()
