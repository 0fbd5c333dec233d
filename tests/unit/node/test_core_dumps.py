"""Core dumps are forbidden and allowed, each in a process of its own, whose limit it is."""

import subprocess
import sys

import pytest

from kontinuum.node.core_dumps import CORE_DUMPS_VARIABLE, core_dumps_wanted

ASK = (
    "import ctypes, resource; from kontinuum.node.core_dumps import set_core_dumps; "
    "set_core_dumps(allowed={}); set_core_dumps(allowed={}); "
    "print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
)


def state_after(first, then):
    """Soft and hard limit for core files, and PR_GET_DUMPABLE, after two calls."""
    done = subprocess.run([sys.executable, "-c", ASK.format(first, then)], capture_output=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_last_word_counts():
    """
    Forbidden is a soft limit of 0 and not dumpable; what was forbidden can be allowed again.
    """
    soft, hard, dumpable = state_after("True", "False")
    assert (soft, dumpable) == (0, 0)
    assert state_after("False", "True") == [hard, hard, 1]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("true", True), ("1", True), ("YES", True), ("false", False), ("", False), ("x", False)],
)
def test_the_environment_must_say_yes(monkeypatch, text, wanted):
    """
    Everything else is no.
    """
    monkeypatch.setenv(CORE_DUMPS_VARIABLE, text)
    assert core_dumps_wanted() is wanted
    monkeypatch.delenv(CORE_DUMPS_VARIABLE)
    assert not core_dumps_wanted()
