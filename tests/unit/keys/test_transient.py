"""Transient and derived keys cannot be mixed up, neither by the type checker nor when the program runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.keys import SEED
from kontinuum.base import SystemEntropy
from kontinuum.keys.errors import KeyKindError
from kontinuum.keys.transient import TransientKey, derived, transient

EPOCH = SEED.cluster().child(0).epoch(0)
DERIVED = [SEED, SEED.cluster(), EPOCH, EPOCH.encryption(), EPOCH.storage()]

MIXED_UP = """
from kontinuum.base import SystemEntropy
from kontinuum.keys.derivation import RootSeed, StorageKey
from kontinuum.keys.transient import TransientKey, derived, transient

def keep(key: StorageKey) -> None: ...
def cache(key: TransientKey) -> None: ...

epoch = RootSeed(bytes(32)).cluster().epoch(0)
fleeting = TransientKey(SystemEntropy())
keep(derived(epoch.storage()))
cache(transient(fleeting))
keep(fleeting)  # wrong
cache(epoch.storage())  # wrong
derived(fleeting)  # wrong
transient(epoch.storage())  # wrong
TransientKey(bytes(32))  # wrong
keep(epoch.encryption())  # wrong
"""


@pytest.mark.parametrize("key", DERIVED, ids=lambda key: type(key).__name__)
def test_a_derived_key_passes_where_it_belongs_only(key):
    """
    What is kept takes it; what is in flight refuses it.
    """
    assert derived(key) is key
    with pytest.raises(KeyKindError):
        transient(key)


def test_a_transient_key_passes_where_it_belongs_only():
    """
    Data that must outlive the machine is never sealed to a key that dies with it.
    """
    key = TransientKey(SystemEntropy())

    assert transient(key) is key
    with pytest.raises(KeyKindError):
        derived(key)


@pytest.mark.parametrize("key", [b"k" * 32, None, "key"])
def test_bytes_are_no_key_of_either_kind(key):
    """
    Where a key came from is part of what it is.
    """
    with pytest.raises(KeyKindError):
        derived(key)
    with pytest.raises(KeyKindError):
        transient(key)


def test_a_transient_key_is_made_of_chance_alone():
    """
    Nobody can give its bytes, so no parent can derive them; two differ, and none shows itself.
    """
    first, second = TransientKey(SystemEntropy()), TransientKey(SystemEntropy())

    assert first != second
    assert first.expose().hex() not in repr(first)
    with pytest.raises(AttributeError):
        TransientKey(EPOCH.expose())


@pytest.mark.slow
def test_the_type_checker_finds_every_mix_up(tmp_path, repository):
    """
    mypy refuses exactly the lines that mix the kinds up.
    """
    program = tmp_path / "mixed_up.py"
    program.write_text(MIXED_UP)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            f"--cache-dir={tmp_path}",
            str(program),
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(repository / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    wrong = {number for number, line in enumerate(MIXED_UP.splitlines(), 1) if line.endswith("# wrong")}
    found = {
        int(line.split(":")[1])
        for line in result.stdout.splitlines()
        if Path(line.split(":")[0]).name == program.name and "error" in line
    }
    assert found == wrong, result.stdout + result.stderr
