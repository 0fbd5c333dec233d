"""Every decoder is fuzzed for a few seconds in each test run, and for as long as one likes by `make fuzz`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("FUZZ_SECONDS", "3"))
START_S = 120
"""Seconds a target may take besides its run: imports, instrumentation, the seeds."""

PYTHON_TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))
NATIVE_TARGETS = sorted(path.stem for path in (HERE.parents[1] / "native/fuzz/fuzz_targets").glob("*.rs"))

SANITIZER_COVERAGE = (
    "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    " -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    " -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
)
"""What cargo-fuzz passes to rustc, less the address sanitizer: so it works on a stable compiler."""


@pytest.mark.parametrize("target", PYTHON_TARGETS)
def test_a_python_decoder_keeps_its_invariant(target):
    """
    Any bytes give a value or a PeerError, in bounded time and memory: never another error.
    """
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python or machine")

    run([sys.executable, str(HERE / "run.py"), target, *limits()])


@pytest.fixture(scope="module")
def native_binaries(repository: Path) -> Path:
    """The folder with the compiled native targets."""
    if shutil.which("cargo") is None or shutil.which("c++") is None:
        pytest.skip("the native fuzz targets need cargo and a C++ compiler")
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))
    # Naming the target keeps the flags away from build scripts, which have no fuzzer to link with.
    build = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--target", host],
        cwd=repository / "native/fuzz",
        env={**os.environ, "RUSTFLAGS": SANITIZER_COVERAGE},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert build.returncode == 0, build.stderr
    return repository / "native/fuzz/target" / host / "release"


@pytest.mark.parametrize("target", NATIVE_TARGETS)
def test_a_native_decoder_keeps_its_invariant(native_binaries, repository, target):
    """
    Any bytes give a value or an error, in bounded time and memory: never a panic or an overflow.
    """
    build = repository / "build/fuzz"
    corpus = build / f"native-{target}"
    corpus.mkdir(parents=True, exist_ok=True)

    run([native_binaries / target, corpus, f"-artifact_prefix={build}/native-{target}-", *limits()])


def limits() -> list[str]:
    """Options of libFuzzer: how long to run; five seconds and 1 GiB are too much for any input."""
    return [f"-max_total_time={SECONDS}", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]


def run(command: list[object]) -> None:
    """Run a fuzzer; its last lines, which name the crashing input, are the failure's message."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=SECONDS + START_S,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-6000:]
    assert "stat::number_of_executed_units" in output, output[-6000:]
