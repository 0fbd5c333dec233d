"""Linters, types, floors, formats and the Rust tests run here too, so that `make test` is the one gate."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
CARGO_FEATURES = ["--no-default-features", "--features", "python,pyo3/extension-module"]
"""As the Makefile builds the module: clippy then shares what is compiled instead of compiling it anew."""


def assert_passes(repository: Path, *command: str, timeout_s: float = 300) -> None:
    """Run ``command`` at the root of the repository; its output is the failure's message."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    result = subprocess.run(
        command,
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"


def test_ruff_finds_nothing(repository):
    """
    All of ruff's rules hold, but for the exceptions that pyproject.toml gives a reason for.
    """
    assert_passes(repository, "ruff", "check", ".")


def test_python_is_formatted(repository):
    """
    The formatter would change nothing.
    """
    assert_passes(repository, "ruff", "format", "--check", ".")


def test_mypy_finds_nothing(repository):
    """
    The library is fully typed under mypy's strict mode.
    """
    assert_passes(repository, "mypy")


def test_rooms_depend_downwards_only(repository):
    """
    Every room has its floor, imports only floors below, and the pure rooms cannot reach a network.
    """
    assert_passes(repository, "lint-imports")


def test_news_fragments_are_well_formed(repository):
    """
    The change log can be built from newsfragments/.
    """
    assert_passes(repository, "towncrier", "build", "--draft", "--version", "next")


def test_rust_is_formatted(repository):
    """
    Formatting the Rust code would change nothing, in the crate and in its fuzz targets.
    """
    needs("cargo", "rustfmt")
    assert_passes(repository, "cargo", "fmt", "--manifest-path", "native/Cargo.toml", "--check")
    assert_passes(repository, "cargo", "fmt", "--manifest-path", "native/fuzz/Cargo.toml", "--check")


def test_clippy_finds_nothing(repository):
    """
    The native crate has no warnings.
    """
    needs("cargo", "cargo-clippy")
    assert_passes(
        repository,
        *("cargo", "clippy", "--manifest-path", "native/Cargo.toml", "--release", "--locked"),
        *(*CARGO_FEATURES, "--all-targets", "--", "-D", "warnings"),
        timeout_s=900,
    )


def test_the_native_crate_passes_its_own_tests(repository):
    """
    The tests inside the Rust sources, which need no Python: framing, credit, admission, keys, proof of work.
    """
    needs("cargo")
    assert_passes(
        repository,
        *("cargo", "test", "--manifest-path", "native/Cargo.toml", "--release", "--locked"),
        *("--no-default-features", "--quiet"),
        timeout_s=900,
    )


def needs(*commands: str) -> None:
    """Skip where Rust's optional components are not installed; `make setup` needs only the compiler."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed (rustup component add rustfmt clippy)")
