"""``kontinuum completion``."""

from enum import StrEnum
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.options import JsonOption


class Shell(StrEnum):
    """Shells that completion is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell.")],
    _json: JsonOption = False,
) -> None:
    """Write the completion script of a shell: eval "$(kontinuum completion bash)"."""
    from typer.completion import (  # type: ignore[attr-defined]
        get_completion_script,
    )

    script = get_completion_script(
        prog_name="kontinuum", complete_var="_KONTINUUM_COMPLETE", shell=shell.value
    )
    state.output.result({"shell": shell.value, "script": script}, script)
