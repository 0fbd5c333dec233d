"""A long file gets its name when it is whole, and what dead processes left behind can be told apart."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError
from kontinuum.base.files import NewFile, remove_leftovers


def names(directory):
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_has_its_name_only_when_it_is_whole(tmp_path):
    """
    Until commit nothing has the name; then the content, private whatever the umask, and nothing else.
    """
    before = os.umask(0o000)
    try:
        with NewFile(tmp_path) as new:
            os.write(new.descriptor, b"first, ")
            os.write(new.descriptor, b"second")
            assert not (tmp_path / "f").exists()
            new.commit(tmp_path / "f")
    finally:
        os.umask(before)

    assert (tmp_path / "f").read_bytes() == b"first, second"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert names(tmp_path) == ["f"]


def test_a_new_file_that_is_not_committed_is_gone(tmp_path):
    """
    Nothing stays of a file that was given up half way.
    """
    with NewFile(tmp_path) as new:
        os.write(new.descriptor, b"half")

    assert names(tmp_path) == []


def test_a_new_file_replaces_nothing(tmp_path):
    """
    A name that is taken stays with whoever has it.
    """
    (tmp_path / "f").write_bytes(b"old")

    with NewFile(tmp_path) as new, pytest.raises(AlreadyExistsError):
        new.commit(tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_disk_that_fails_at_the_end_leaves_no_file(tmp_path, monkeypatch, step):
    """
    Neither the name nor the unfinished file is there afterwards, and the error names what was wanted.
    """

    def fail(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with NewFile(tmp_path) as new:
        monkeypatch.setattr(os, step, fail)
        with pytest.raises(FileUnavailableError, match=r"/f: No space left"):
            new.commit(tmp_path / "f")
        monkeypatch.undo()

    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["flock", "fchmod"])
def test_a_file_that_cannot_be_prepared_is_not_left(tmp_path, monkeypatch, step):
    """
    An error before the first byte leaves nothing, and no descriptor.
    """

    def fail(*_args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl if step == "flock" else os, step, fail)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileUnavailableError, match="No locks"):
        NewFile(tmp_path)

    assert names(tmp_path) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_directory_that_is_missing_is_named(tmp_path):
    """
    The error says which directory, not which temporary name.
    """
    with pytest.raises(FileUnavailableError, match=f"cannot write in {tmp_path}/none"):
        NewFile(tmp_path / "none")


def test_only_what_nobody_writes_any_more_is_tidied(tmp_path):
    """
    The unfinished file of a killed process goes; that of a living one, and any other file, stays.
    """
    script = (
        "import os, signal, sys, pathlib; from kontinuum.base.files import NewFile;"
        "new = NewFile(pathlib.Path(sys.argv[1])); os.write(new.descriptor, b'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    (tmp_path / "other").write_bytes(b"")
    assert len(names(tmp_path)) == 2

    with NewFile(tmp_path) as new:
        assert remove_leftovers(tmp_path) == 1
        assert names(tmp_path) == sorted([new.path.name, "other"])
        new.commit(tmp_path / "f")

    assert names(tmp_path) == ["f", "other"]


def test_a_file_that_was_tidied_before_its_lock_is_made_again(tmp_path, monkeypatch):
    """
    Between the making and the lock somebody may tidy: the writer notices and starts over.
    """
    lock = fcntl.flock
    tidied = []

    def tidy_first(descriptor, how):
        if not tidied:
            monkeypatch.setattr(fcntl, "flock", lock)
            tidied.append(remove_leftovers(tmp_path))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", tidy_first)
    with NewFile(tmp_path) as new:
        os.write(new.descriptor, b"content")
        new.commit(tmp_path / "f")

    assert tidied == [1]
    assert (tmp_path / "f").read_bytes() == b"content"
