"""Other implementations that tests talk to: Go programs in ``tests/interop``, built when they changed."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "interop"
DOWNLOAD_S = 300
"""Seconds for the modules to arrive."""
COMPILE_S = 900
"""Seconds for the first build; later ones take what the compiler keeps."""


def go_program(name: str) -> Path:
    """The program of the folder ``tests/interop/NAME``; the test is skipped if it cannot be built here."""
    folder = ROOT / "tests" / "interop" / name
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    program = BUILD / f"{name}-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    if shutil.which("go") is None:
        pytest.skip("the Go compiler, which builds the other implementation, is not installed")
    modules = _go(folder, DOWNLOAD_S, "list", "-deps", ".")
    if modules.returncode != 0:
        pytest.skip(f"the other implementation's Go modules are not available: {modules.stderr[-500:]}")
    BUILD.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}")
    build = _go(folder, COMPILE_S, "build", "-trimpath", "-buildvcs=false", "-o", str(unfinished), ".")
    assert build.returncode == 0, build.stderr
    unfinished.replace(program)
    return program


def _go(folder: Path, timeout_s: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["go", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"`go {arguments[0]}` took more than {timeout_s} s")
