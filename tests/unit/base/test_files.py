import errno
import os
import stat
import threading
from itertools import count
from pathlib import Path

import pytest

from kontinuum.base import (
    AlreadyExistsError,
    FileTooLargeError,
    FileUnavailableError,
    MisuseError,
    NotPrivateError,
    create_atomically,
    files,
    read_private,
    write_atomically,
)
from kontinuum.base.errors import NotAFileError


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("write", [write_atomically, create_atomically])
def test_a_written_file_is_private_whatever_the_umask(tmp_path, write):
    """
    The mode is what was asked for, from the first moment on, and nothing else stays in the directory.
    """
    before = os.umask(0o000)
    try:
        write(tmp_path / "f", b"content")
    finally:
        os.umask(before)

    assert (tmp_path / "f").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert names(tmp_path) == ["f"]


def test_writing_replaces_the_whole_file(tmp_path):
    """
    The new content replaces the old one, mode included.
    """
    path = tmp_path / "f"
    path.write_bytes(b"a long old content")
    path.chmod(0o644)

    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("step", ["write", "fsync", "fchmod"])
@pytest.mark.parametrize("write", [write_atomically, create_atomically])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch, step, write):
    """
    An error on the way is ours, names the file, and leaves neither a half file nor a temporary one.
    """
    path = tmp_path / "f"
    if write is write_atomically:
        path.write_bytes(b"old")
    before = names(tmp_path)

    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(FileUnavailableError, match="No space left") as caught:
        write(path, b"new")
    monkeypatch.undo()

    assert caught.value.path == path
    assert names(tmp_path) == before
    assert not before or path.read_bytes() == b"old"


def test_short_writes_are_continued(tmp_path, monkeypatch):
    """
    The operating system may take a part of the bytes; all of them arrive.
    """
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, bytes(data[:3])))

    write_atomically(tmp_path / "f", b"0123456789")

    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_creating_never_replaces(tmp_path, make):
    """
    A file, a directory and even a broken link keep their name.
    """
    make(tmp_path / "f")

    with pytest.raises(AlreadyExistsError, match="not overwritten") as caught:
        create_atomically(tmp_path / "f", b"new")

    assert isinstance(caught.value, MisuseError)
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("links", [True, False])
def test_of_many_creators_one_wins_whole(tmp_path, monkeypatch, links):
    """
    However many create the same file at once, one succeeds, with or without hard links.
    """
    if not links:

        def no_links(*_args):
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", no_links)
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def create(content: bytes) -> None:
        start.wait()
        try:
            create_atomically(tmp_path / "f", content)
            outcomes.append("created")
        except AlreadyExistsError:
            outcomes.append("exists")

    threads = [threading.Thread(target=create, args=(bytes([n]) * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["created"] + ["exists"] * 7
    assert len(set((tmp_path / "f").read_bytes())) == 1
    assert (tmp_path / "f").stat().st_size == 1000
    assert names(tmp_path) == ["f"]


def test_a_missing_directory_is_an_error_of_ours(tmp_path):
    """
    Neither creating nor reading lets an OSError through.
    """
    for act in (write_atomically, create_atomically):
        with pytest.raises(FileUnavailableError):
            act(tmp_path / "no" / "f", b"")
    with pytest.raises(FileUnavailableError, match="cannot read"):
        read_private(tmp_path / "no" / "f", 10)


def test_a_read_only_directory_is_an_error_of_ours(tmp_path, monkeypatch):
    """
    Where nothing can be created, the message says so.
    """

    def refuse(*_arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileUnavailableError, match="Read-only"):
        create_atomically(tmp_path / "f", b"")


def test_files_left_by_a_crash_are_in_nobodys_way(tmp_path, monkeypatch):
    """
    Temporary names that a killed process left are skipped; if there are too many, that is an error of ours.
    """
    for number in range(3):
        for name in "fg":
            (tmp_path / f".{name}.{os.getpid()}.{number}.tmp").touch()
    monkeypatch.setattr(files, "_counter", count())
    write_atomically(tmp_path / "f", b"content")
    assert (tmp_path / "f").read_bytes() == b"content"

    monkeypatch.setattr(files, "_counter", count())
    monkeypatch.setattr(files, "_TEMPORARY_NAMES_MAX", 3)
    for act in (write_atomically, create_atomically):
        monkeypatch.setattr(files, "_counter", count())
        with pytest.raises(FileUnavailableError, match="too many"):
            act(tmp_path / "g", b"")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_secret_that_others_can_reach_is_refused_with_the_fix(tmp_path, mode):
    """
    Any permission of group or others is refused, and the message is the command that repairs it.
    """
    path = tmp_path / "f"
    path.write_bytes(b"sesame")
    path.chmod(mode)

    with pytest.raises(NotPrivateError, match=f"chmod 600 {path}") as caught:
        read_private(path, 100)

    assert caught.value.mode == mode
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_file_is_read(tmp_path, mode):
    """
    What only its owner can reach is read, through a link as well: the opened file counts.
    """
    path = tmp_path / "f"
    path.write_bytes(b"secret")
    path.chmod(mode)
    (tmp_path / "link").symlink_to("f")

    assert read_private(path, 6) == b"secret"
    assert read_private(tmp_path / "link", 6) == b"secret"


def test_a_link_to_a_public_file_is_refused(tmp_path):
    """
    A link does not make a public file private.
    """
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "f").chmod(0o644)
    (tmp_path / "link").symlink_to("f")

    with pytest.raises(NotPrivateError):
        read_private(tmp_path / "link", 6)


def test_a_file_at_the_limit_is_read_and_beyond_it_refused(tmp_path):
    """
    The reader never holds more than one byte beyond the limit.
    """
    write_atomically(tmp_path / "f", b"x" * 100)

    assert read_private(tmp_path / "f", 100) == b"x" * 100
    with pytest.raises(FileTooLargeError):
        read_private(tmp_path / "f", 99)


def test_what_is_no_file_is_refused_by_its_kind(tmp_path):
    """
    A directory, a pipe that nobody writes and a device are named and never waited for.
    """
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(NotAFileError, match="a directory"):
        read_private(tmp_path, 10)
    with pytest.raises(NotAFileError, match="a pipe"):
        read_private(tmp_path / "pipe", 10)
    with pytest.raises(NotAFileError, match="a device"):
        read_private(Path("/dev/zero"), 10)
