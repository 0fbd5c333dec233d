import subprocess
import sys
import time

IMPORT_S_MAX = 0.06
"""Seconds that importing the room may add to an empty interpreter."""

TRIES = 15


def seconds(program: str) -> float:
    """How long a fresh interpreter takes for ``program``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


def test_importing_the_room_is_cheap():
    """
    The best of a few tries, for a busy machine says nothing about us.
    """
    empty = min(seconds("pass") for _ in range(3))
    best = 1.0
    for _ in range(TRIES):
        best = min(best, seconds("import kontinuum.identity") - empty)
        if best < IMPORT_S_MAX:
            break

    assert best < IMPORT_S_MAX


def test_importing_the_pure_rooms_loads_nothing_that_reaches_the_world():
    """
    No network, no event loop, no slow library comes along with identities.
    """
    program = (
        "import sys, kontinuum.identity, kontinuum.wire;"
        "print(sorted({'asyncio', 'socket', 'ssl', 'cryptography', 'cbor2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.strip() == b"[]"
