"""Every fuzz target keeps its invariant on seeds, their mutations and random bytes, without atheris."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

TARGETS = sorted(Path(__file__).parent.glob("fuzz_*.py"))
ROUNDS = 300


@pytest.fixture(params=TARGETS, ids=lambda path: path.stem.removeprefix("fuzz_"))
def target(request, monkeypatch):
    """The module of one target; whatever it patches in our code is undone."""
    from kontinuum.identity import key_file  # noqa: PLC0415

    monkeypatch.setattr(key_file, "stretch_passphrase", key_file.stretch_passphrase)
    spec = importlib.util.spec_from_file_location(f"corpus_{request.param.stem}", request.param)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def mutations(seed: bytes, rng: random.Random):
    """The seed itself, cut at every place, and with bytes changed, dropped, doubled."""
    yield seed
    yield from (seed[:length] for length in range(min(len(seed), 100)))
    for _ in range(ROUNDS):
        changed = bytearray(seed)
        for _ in range(rng.randint(1, 3)):
            position = rng.randrange(len(changed) + 1)
            match rng.randrange(3):
                case 0:
                    changed[position : position + 1] = bytes([rng.randrange(256)])
                case 1:
                    del changed[position : position + rng.randint(1, 4)]
                case _:
                    changed[position:position] = changed[position : position + 8] or b"\xff"
        yield bytes(changed)


def test_the_invariant_holds_on_a_small_corpus(target):
    """
    The same inputs every time, so that a failure repeats; the long runs are `make fuzz`.
    """
    rng = random.Random(1)  # noqa: S311  the same inputs every time
    for seed in getattr(target, "SEEDS", [b""]):
        for data in mutations(seed, rng):
            target.fuzz(data)
    for length in range(ROUNDS):
        target.fuzz(rng.randbytes(length))
