"""Records on disk survive the death of the process, at any moment of its life."""

import random
import signal
import subprocess
import sys
import time

import pytest

from kontinuum.dht.records.sqlite import SqliteRecords

pytestmark = pytest.mark.slow

BATCH = 7
WRITER = """
import sys
from pathlib import Path
from kontinuum.dht.events import Drop, Keep
from kontinuum.dht.records.sqlite import SqliteRecords
from kontinuum.identity import KeyPair

path, batch, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
me = KeyPair.from_seed(b"a" * 32).peer_id
records = SqliteRecords.open(path)
while True:
    keys = [b"/x/%d/%d" % (number, each) for each in range(batch)]
    records.apply([Keep(key, bytes(number % 5000), None, me, 2e9) for key in keys])
    print(number, flush=True)  # From here on the batch must not be lost.
    number += 1
"""


def batches_on_disk(path) -> dict[int, int]:
    """How many records of each batch are there."""
    records = SqliteRecords.open(path)
    try:
        count: dict[int, int] = {}
        for keep in records.load():
            number = int(keep.key.split(b"/")[2])
            count[number] = count.get(number, 0) + 1
        assert records.set_aside is None
        return count
    finally:
        records.close()


def test_kill_9_loses_no_batch_that_was_written_and_keeps_no_half(tmp_path):
    """
    A writer is killed again and again in the middle of its work: what it called written is there, whole.
    """
    path = tmp_path / "dht.sqlite"
    rng = random.Random(1)  # noqa: S311  only when to kill
    told: list[int] = []
    for _ in range(8):
        first = told[-1] + 2 if told else 0  # The batch after the last one told may be there, too.
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(BATCH), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            told.append(int(writer.stdout.readline()))
            time.sleep(rng.uniform(0, 0.2))
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        assert writer.returncode == -signal.SIGKILL

        found = batches_on_disk(path)
        assert set(told) <= set(found)
        assert set(found.values()) == {BATCH}
    assert len(told) > 50
