"""The wheel: one file for every CPython from 3.11 on, which installs and runs where there is no compiler."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BUILD_TIMEOUT_S = 900
"""A cold build of the native engine on two slow cores."""

RUN_TIMEOUT_S = 180
"""`kontinuum up --check` with five processes on a busy machine."""


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make wheel` builds it; cargo takes what `make setup` has compiled."""
    if shutil.which("cargo") is None:
        pytest.skip("building the wheel needs cargo")
    out = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).parent / "maturin"
    build = subprocess.run(
        [maturin, "build", "--release", "--locked", "--out", out],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    (wheel,) = out.iterdir()
    return wheel


def test_there_is_one_wheel_for_every_python(wheel):
    """
    The stable ABI: one file serves CPython 3.11 and all later ones of a platform.
    """
    assert wheel.name.startswith("kontinuum-")
    assert "-cp311-abi3-" in wheel.name


def test_it_brings_up_a_network_without_a_compiler(wheel, repository, tmp_path):
    """
    Installed from the wheel into an empty environment, with no compiler on the PATH and no checkout near, the
    main job runs: five nodes, all pairs connected, a file verified.
    """
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    folder = environment / "bin"
    # Only the environment's own commands: no cc, no cargo, no rustc.
    stripped = {
        **{
            key: value
            for key, value in os.environ.items()
            if key.startswith("PIP_") or key.endswith("_proxy")
        },
        "PATH": str(folder),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }
    for compiler in ("cc", "gcc", "clang", "rustc", "cargo"):
        assert shutil.which(compiler, path=stripped["PATH"]) is None

    install = subprocess.run(
        [
            *(folder / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"),
            *("--constraint", repository / "constraints.txt", f"{wheel}[cli]"),
        ],
        env=stripped,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert install.returncode == 0, install.stderr

    run = subprocess.run(
        [folder / "kontinuum", "up", "--nodes", "5", "--check", "--json"],
        env=stripped,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert (summary["nodes"], summary["pairs_connected"]) == (5, summary["pairs"])
    assert summary["calls_failed"] == 0
    assert summary["file_verified"] is True
