"""The directory that receives files, where several processes may use it at once."""

from pathlib import Path

import pytest

from helpers.byte_pipe import new_hasher
from helpers.transfers import ALICE
from kontinuum.transfer.incoming import target as module
from kontinuum.transfer.incoming.target import OPEN_TRIES, PartError, Target, part_name
from kontinuum.transfer.messages import Code, FileOffer

FILE = FileOffer("letter", 5)


def digest(content):
    """The digest of a content."""
    hasher = new_hasher()
    hasher.update(content)
    return hasher.digest()


@pytest.fixture
def target(tmp_path):
    """A directory."""
    with Target(tmp_path, new_hasher) as target:
        yield target


def meanwhile(monkeypatch, *acts):
    """Let others act between the opening of a partial file and its lock, each time anew."""
    left, flock = list(acts), module.fcntl.flock

    def late(descriptor, how):
        if left:
            left.pop(0)()
        flock(descriptor, how)

    monkeypatch.setattr(module.fcntl, "flock", late)


def test_a_file_that_another_process_finishes_while_we_open_it_is_not_cut(target, tmp_path, monkeypatch):
    """It was renamed into place before we had the lock: its content stays, and we begin a part of our own."""
    part = tmp_path / part_name(ALICE, "letter")
    part.write_bytes(b"hello")
    meanwhile(monkeypatch, lambda: part.rename(tmp_path / "letter"))
    ours = target.open_part(ALICE, FILE, 0, None)

    assert (tmp_path / "letter").read_bytes() == b"hello"
    ours.append([b"world"])
    assert ours.finalise(digest(b"world"), overwrite=True) is Code.STORED
    assert (tmp_path / "letter").read_bytes() == b"world"


def test_a_part_that_was_replaced_while_we_open_it_is_left_alone(target, tmp_path, monkeypatch):
    """What we hold must be what has the name when we have the lock."""
    part = tmp_path / part_name(ALICE, "letter")
    part.write_bytes(b"first")

    def replace():
        part.rename(tmp_path / "letter")
        part.write_bytes(b"other")

    meanwhile(monkeypatch, replace)
    ours = target.open_part(ALICE, FILE, 0, None)

    assert (tmp_path / "letter").read_bytes() == b"first"
    assert part.read_bytes() == b""
    ours.close()


def test_a_part_that_always_moves_away_is_busy(target, tmp_path, monkeypatch):
    """The number of attempts is bounded, and no descriptor stays open."""
    part = tmp_path / part_name(ALICE, "letter")
    meanwhile(monkeypatch, *[lambda n=n: part.rename(tmp_path / f"letter{n}") for n in range(OPEN_TRIES)])
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(PartError) as refused:
        target.open_part(ALICE, FILE, 0, None)
    assert refused.value.code is Code.BUSY
    assert len(list(Path("/proc/self/fd").iterdir())) == before

    target.open_part(ALICE, FILE, 0, None).close()
