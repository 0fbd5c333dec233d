"""``kontinuum doctor``."""

from dataclasses import asdict

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import DirOption, JsonOption, data_dir


def doctor(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Check what a node needs of this machine: port, clock, file modes, UDP buffers, GSO."""
    from kontinuum.cli.output import columns
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.doctor import examine

    given = data_dir(directory)
    known = directory is not None or given.exists()
    # A directory that is not there has no settings, yet doctor shall say so among all the rest.
    config = NodeConfig.load(data_dir=given if given.is_dir() else None)
    if known and not given.is_dir():
        config = config.model_copy(update={"data_dir": given})
    checks = examine(config)
    failed = any(check.status == "fail" for check in checks)
    rows = [[check.status, check.name, check.found] for check in checks]
    lines = columns(rows, ["STATUS", "CHECK", "FOUND"]).splitlines()
    text = [lines[0]]
    for check, line in zip(checks, lines[1:], strict=True):
        text += [line, f"        fix: {check.fix}"] if check.fix else [line]
    state.output.result({"ok": not failed, "checks": [asdict(check) for check in checks]}, "\n".join(text))
    if failed:
        raise typer.Exit(Exit.FAILURE)
