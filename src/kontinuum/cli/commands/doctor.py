"""``kontinuum doctor``."""

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import DirOption, JsonOption, data_dir


def doctor(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Check what a node needs of this machine: port, clock, file modes, UDP buffers, GSO."""
    from kontinuum.cli.output import columns  # noqa: PLC0415
    from kontinuum.node.doctor import examine  # noqa: PLC0415 -- slow to import

    findings = examine(data_dir(directory))
    data = {"ok": True, "checks": findings}
    state.output.result(data, columns([], ["CHECK"]))
    raise typer.Exit(Exit.FAILURE)
