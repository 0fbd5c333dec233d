"""Other implementations that tests talk to: programs for Node.js in ``tests/interop``."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.go_programs import BUILD, ROOT

INSTALL_S = 300
"""Seconds for the packages to arrive."""


def node_program(name: str) -> list[str]:
    """The command of the folder ``tests/interop/NAME``; the test is skipped if it cannot be installed here.

    It is installed again when it changed. ``npm ci`` is not used: it wants the packages of all platforms, of
    which a registry may lack those that nobody has asked it for. What is installed has the versions and
    hashes of ``package-lock.json`` all the same.
    """
    folder = ROOT / "tests" / "interop" / name
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    installed = BUILD / f"{name}-{digest.hexdigest()[:16]}"
    if not installed.exists():
        _install(folder, installed)
    return ["node", "--import", str(installed / "polyfill.mjs"), str(installed / "peer.mjs")]


def _install(folder: Path, installed: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm, which run the other implementation, are not installed")
    unfinished = installed.with_suffix(f".{os.getpid()}")
    shutil.copytree(folder, unfinished)
    command = [
        "npm",
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]
    try:
        result = subprocess.run(
            command, cwd=unfinished, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        shutil.rmtree(unfinished)
        pytest.skip(f"`npm install` took more than {INSTALL_S} s")
    if result.returncode != 0:
        shutil.rmtree(unfinished)
        pytest.skip(f"the other implementation's packages are not available: {result.stderr[-500:]}")
    unfinished.rename(installed)
