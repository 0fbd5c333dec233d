"""``tools/preflight`` says what a machine lacks before anything is built: one message per problem."""

import subprocess
import sys
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).parents[3] / "tools" / "preflight"

GOOD = {
    "python3": f'exec "{sys.executable}" "$@"',
    "rustc": 'echo "rustc 1.88.0 (6b00bc388 2025-06-23)"',
    "cargo": 'echo "cargo 1.88.0 (873a06493 2025-05-10)"',
    "cc": "exit 0",
}
"""A machine that has everything: command name to the body of a shell script."""


def preflight(
    tmp_path: Path, commands: dict[str, str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script on a machine that has only ``commands``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(PREFLIGHT)],
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_complete_machine_passes_and_the_python_to_use_is_printed(tmp_path):
    """
    Nothing is wrong: no message, and standard output is exactly the Python that the Makefile will call.
    """
    result = preflight(tmp_path, GOOD)

    assert (result.returncode, result.stdout, result.stderr) == (0, "python3\n", "")


CASES = {
    "no python": ({"python3": None}, "there is no Python 3 on the PATH", "python3-venv"),
    "python too old": ({"python3": "echo 10 yes"}, "python3 is Python 3.10, too old", "make PYTHON="),
    "a shim without its python": (
        {"python3": "exit 127"},
        "there is no Python 3 on the PATH",
        "python3-venv",
    ),
    "no venv module": ({"python3": "echo 11 no-venv"}, "python3 has no venv module", "python3-venv"),
    "free-threaded": (
        {"python3": "echo 13 free-threaded"},
        "python3 is a free-threaded build",
        "ordinary build",
    ),
    "no rustc": ({"rustc": None}, "there is no Rust compiler", "https://rustup.rs"),
    "rustc too old": (
        {"rustc": 'echo "rustc 1.87.0 (x)"'},
        "rustc is 1.87.0, too old",
        "rustup update stable",
    ),
    "rustc of a distribution": ({"rustc": 'echo "rustc 1.63.0"'}, "rustc is 1.63.0, too old", "1.88"),
    "rustc without a toolchain": (
        {"rustc": "exit 1"},
        "rustc is on the PATH but does not run",
        "rustup default",
    ),
    "no cargo": ({"cargo": None}, "there is no cargo on the PATH", "https://rustup.rs"),
    "cargo without a toolchain": (
        {"cargo": "exit 1"},
        "cargo is on the PATH but does not run",
        "rustup default",
    ),
    "no c compiler": ({"cc": None}, "there is no C compiler (cc)", "build-essential"),
    "no c headers": ({"cc": "exit 1"}, "does not find the headers of the C library", "build-essential"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_missing_thing_has_one_message_that_says_what_to_install(tmp_path, name):
    """
    Exactly one problem is reported, in words, with its remedy; nothing is printed that a Makefile would run.
    """
    changes, message, remedy = CASES[name]
    commands = {**GOOD, "apt-get": "exit 0", **changes}

    result = preflight(tmp_path, {key: body for key, body in commands.items() if body is not None})

    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert remedy in result.stderr
    # The problem, its remedy, and the closing line.
    assert len(result.stderr.splitlines()) == 3


@pytest.mark.parametrize("version", ["1.88.0", "1.95.0-nightly", "1.100.0", "1.123.4-beta.2"])
def test_rust_versions_are_compared_as_numbers(tmp_path, version):
    """
    1.100 is newer than 1.88, and a nightly or beta of a new enough version is new enough.
    """
    result = preflight(tmp_path, {**GOOD, "rustc": f'echo "rustc {version} (abc 2026-01-01)"'})

    assert result.returncode == 0, result.stderr


def test_all_problems_are_said_at_once(tmp_path):
    """
    An empty machine hears of Python, rustc, cargo and the C compiler in one run, not one per attempt.
    """
    result = preflight(tmp_path, {})

    assert result.returncode == 1
    for word in ("Python 3", "rustc", "cargo", "C compiler"):
        assert word in result.stderr
    assert result.stderr.endswith("run make again when this is in place\n")


def test_an_old_python3_is_passed_over_for_a_newer_one_beside_it(tmp_path):
    """
    Where python3 is 3.10 and python3.12 exists, python3.12 is used.
    """
    result = preflight(tmp_path, {**GOOD, "python3": "echo 10 yes", "python3.12": "echo 12 yes"})

    assert (result.returncode, result.stdout) == (0, "python3.12\n")


def test_rust_that_is_installed_but_not_on_the_path_is_recognised(tmp_path):
    """
    Right after rustup the shell does not know it yet: the one line that helps is said.
    """
    rustc = tmp_path / "home" / ".cargo" / "bin" / "rustc"
    rustc.parent.mkdir(parents=True)
    rustc.write_text("#!/bin/sh\n", encoding="utf-8")
    rustc.chmod(0o755)
    commands = {name: body for name, body in GOOD.items() if name not in {"rustc", "cargo"}}

    result = preflight(tmp_path, commands, HOME=str(tmp_path / "home"))

    assert result.returncode == 1
    assert "which is not on the PATH" in result.stderr
    assert '. "$HOME/.cargo/env"' in result.stderr
    assert len(result.stderr.splitlines()) == 3


def test_python_and_compiler_can_be_chosen_by_hand(tmp_path):
    """
    PYTHON and CC name what to use; a wrong PYTHON is refused instead of silently replaced.
    """
    commands = {**GOOD, "mine": "echo 12 yes", "ccache": "exit 0", "broken": "exit 3"}
    del commands["cc"]

    result = preflight(tmp_path, commands, PYTHON="mine", CC="ccache cc")
    assert (result.returncode, result.stdout) == (0, "mine\n")

    (tmp_path / "again").mkdir()
    result = preflight(tmp_path / "again", commands, PYTHON="broken", CC="ccache cc")
    assert result.returncode == 1
    assert "PYTHON=broken is not a CPython 3 that runs" in result.stderr
