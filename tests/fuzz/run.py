"""Fuzz one Python decoder with atheris: ``python tests/fuzz/run.py TARGET [libFuzzer options]``.

TARGET is a file ``fuzz_TARGET.py`` beside this one. It has a function ``fuzz(data: bytes) -> None`` that
raises when the invariant on its first line does not hold, and may have ``SEEDS``, valid inputs to start from.
What the run learns stays in ``build/fuzz/TARGET``; a crash is written to ``build/fuzz/TARGET-crash-*`` and
becomes a unit test. `make fuzz SECONDS=600` runs all targets.
"""

import hashlib
import importlib.util
import logging
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "fuzz"


def main(target: str, options: list[str]) -> None:
    """Run ``target`` until libFuzzer's options end it; atheris then leaves the process by itself."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{target}", HERE / f"fuzz_{target}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with atheris.instrument_imports(include=["kontinuum"]):
        spec.loader.exec_module(module)

    logging.disable()  # What a decoder says of bad input would bury what the fuzzer says.
    corpus = BUILD / target
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in getattr(module, "SEEDS", []):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    arguments = [sys.argv[0], str(corpus), f"-artifact_prefix={BUILD / target}-", *options]
    atheris.Setup(arguments, module.fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
