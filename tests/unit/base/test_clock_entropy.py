import os
import subprocess
import sys
from datetime import timedelta

from kontinuum.base import Rng, SystemClock, SystemEntropy


def test_the_clock_is_aware_and_does_not_go_backwards():
    """
    Validity time is aware UTC; protocol time never goes backwards.
    """
    clock = SystemClock()

    assert clock.utc().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_entropy_does_not_repeat():
    """
    Two tokens differ and have the length that was asked for.
    """
    entropy = SystemEntropy()

    assert len(entropy.token(32)) == 32
    assert entropy.token(32) != entropy.token(32)


def test_one_seed_gives_one_run_under_any_hash_seed():
    """
    The choices of a seeded Rng do not depend on PYTHONHASHSEED, so a run can be replayed.
    """
    program = (
        "from kontinuum.base import Rng; r = Rng(7);"
        "print(r.below(1000), r.choice('abc'), r.sample(range(99), 3), r.uniform(0, 1))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(runs) == 1


def test_a_sample_is_never_larger_than_what_there_is():
    """
    Asking for more than there is gives all of it.
    """
    assert sorted(Rng(1).sample([1, 2, 3], 10)) == [1, 2, 3]
