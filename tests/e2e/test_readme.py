"""The README's example is real: it is taken out of the file and run."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

EXAMPLE_LINES_MAX = 12
"""The issue promises ten lines; imports and blank ones may add two."""


def test_the_example_runs_as_it_stands(repository, tmp_path):
    """
    The first Python block of README.md, unchanged, prints what the comment at its end promises.
    """
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    promised = re.findall(r"#\s*prints:\s*(.*)", code)
    assert promised
    assert len([line for line in code.splitlines() if line.strip()]) <= EXAMPLE_LINES_MAX

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == promised


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
