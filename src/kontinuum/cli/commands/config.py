"""``kontinuum config``."""

import sys

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import DirOption, JsonOption, data_dir

app = typer.Typer(help="The settings in node.toml.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Say everything that is wrong or doubtful in flags, environment and node.toml."""
    from kontinuum.node.config import NodeConfig

    given = data_dir(directory)
    findings = NodeConfig.check(data_dir=given if directory is not None or given.exists() else None)
    wrong = [finding for finding in findings if finding.level == "error"]
    data = {
        "ok": not wrong,
        "findings": [
            {
                "level": finding.level,
                "key": finding.key,
                "message": finding.message,
                "source": finding.source,
            }
            for finding in findings
        ],
    }
    lines = [f"{finding.level}: {finding}" for finding in findings]
    state.output.result(data, "\n".join(lines) or "the configuration is fine")
    if wrong:
        raise typer.Exit(Exit.FAILURE)


@app.command("example")
def example(_json: JsonOption = False) -> None:
    """Write a node.toml in which every setting is explained and at its default."""
    from kontinuum.node.config import NodeConfig

    text = NodeConfig.example_toml()
    if state.output.json:
        state.output.result({"toml": text}, "")
    else:
        sys.stdout.write(text)
