"""The examples in the README and in docs/api.md are real: they are taken out of the pages and run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLE_LINES_MAX = 10
"""What the README promises, blank lines aside."""


def examples(page: str) -> list[str]:
    """The Python blocks of a page."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def keeps_its_promise(code: str, folder: Path) -> None:
    """Run a program in an empty folder and compare its output with its comments."""
    promised = re.findall(r"#\s*prints:\s*(.*)", code)
    assert promised

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == promised
    assert run.stderr == ""


def test_the_example_runs_as_it_stands(tmp_path):
    """
    The first Python block of README.md, unchanged, prints what the comment at its end promises.
    """
    (code,) = examples("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= EXAMPLE_LINES_MAX

    keeps_its_promise(code, tmp_path)


@pytest.mark.parametrize("code", examples("docs/api.md"), ids=lambda code: f"{len(code)} characters")
def test_the_examples_of_the_api_run_as_they_stand(code, tmp_path):
    """
    Each Python block of docs/api.md is a program that prints what its comments promise.
    """
    keeps_its_promise(code, tmp_path)


def test_the_two_commands_are_what_the_makefile_has(repository):
    """
    The commands that the README tells are targets of the Makefile.
    """
    readme = (repository / "README.md").read_text(encoding="utf-8")
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"\bmake ([a-z]+)", readme))

    assert {"run", "test"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
