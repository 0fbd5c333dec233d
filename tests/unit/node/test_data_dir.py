"""The data directory: private, held by one node, and clear about everything that is wrong with it."""

import contextlib
import io
import os
import resource
import stat

import pytest

from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError, NotPrivateError
from kontinuum.identity.errors import EmptyKeyFileError, KeyFileError, WrongPassphraseError
from kontinuum.node import passphrase
from kontinuum.node.data_dir import LOCK_BYTES, DataDir
from kontinuum.node.errors import DataDirError, DataDirLockedError, PassphraseError
from kontinuum.node.passphrase import PASSPHRASE_BYTES_MAX, PASSPHRASE_VARIABLE, read_passphrase


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """The tests' own terminal and environment take no part."""
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def path(tmp_path):
    """A place for a directory that does not exist yet."""
    return tmp_path / "deep" / "node"


@contextlib.contextmanager
def full_disk():
    """Every write fails, as on a full disk (EFBIG instead of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_new_directory_is_private_whatever_the_umask(path, umask):
    """Directory 0700 and lock 0600, for every umask."""
    path.parent.mkdir()
    before = os.umask(umask)
    try:
        with DataDir.open(path, create=True) as directory:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert stat.S_IMODE(directory.lock.stat().st_mode) & 0o177 == 0
    finally:
        os.umask(before)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o770, 0o701, 0o710, 0o777])
def test_a_directory_open_to_others_is_refused_with_the_fix(path, mode):
    """Any permission for group or others is refused, and the message is a command that repairs it."""
    path.mkdir(parents=True)
    path.chmod(mode)

    with pytest.raises(DataDirError, match=f"run: chmod 700 {path}"):
        DataDir.open(path, create=True)

    assert list(path.iterdir()) == []


def test_a_missing_directory_is_not_made_unasked(path):
    """Only ``node init`` makes a directory; a typing error in --dir must not."""
    with pytest.raises(DataDirError, match="kontinuum node init --dir"):
        DataDir.open(path)

    assert not path.exists()


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_the_way_is_named(tmp_path, inside):
    """A file where the directory should be is a clear error, also further up."""
    (tmp_path / "file").write_text("precious")
    path = tmp_path / "file" / "node" if inside else tmp_path / "file"

    with pytest.raises(DataDirError if not inside else (DataDirError, FileUnavailableError)):
        DataDir.open(path, create=inside)

    assert (tmp_path / "file").read_text() == "precious"


def test_somebody_elses_directory_is_refused(path, monkeypatch):
    """A node does not write into a directory of another user, not even as root."""
    path.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)

    with pytest.raises(DataDirError, match="belongs to user"):
        DataDir.open(path)


def test_a_second_node_is_told_who_holds_the_directory(path):
    """The error names the process; after closing the directory is free."""
    with DataDir.open(path, create=True) as first:
        with pytest.raises(DataDirLockedError, match=f"process {os.getpid()}") as refused:
            DataDir.open(path)
        assert refused.value.pid == os.getpid()
        assert first.holder() == os.getpid()
        assert DataDir.inspect(path).holder() == os.getpid()

    assert DataDir.inspect(path).holder() is None
    DataDir.open(path).close()


def test_looking_at_the_lock_does_not_stop_a_node_from_starting(path):
    """A command that asks who holds the directory at the very moment a node starts does no harm."""
    with DataDir.open(path, create=True):
        pass
    directory = DataDir.inspect(path)
    for _ in range(200):
        assert directory.holder() is None
        DataDir.open(path).close()


def test_a_lock_file_of_nonsense_is_no_obstacle(path):
    """What the lock file says is only for people; the kernel's lock counts."""
    path.mkdir(parents=True, mode=0o700)
    (path / "lock").write_bytes(b"not a process id, and far too long " * 10)

    with DataDir.open(path) as directory:
        assert directory.holder() == os.getpid() or directory.holder() == 0
        with pytest.raises(DataDirLockedError):
            DataDir.open(path)


def test_a_lock_that_is_a_link_is_refused(path, tmp_path):
    """Nobody's link makes us write elsewhere."""
    path.mkdir(parents=True, mode=0o700)
    (tmp_path / "victim").write_text("precious")
    (path / "lock").symlink_to(tmp_path / "victim")

    with pytest.raises(FileUnavailableError):
        DataDir.open(path)

    assert (tmp_path / "victim").read_text() == "precious"


def test_a_full_disk_does_not_stop_a_node_that_has_its_directory(path):
    """The lock holds even if its process id cannot be written."""
    with DataDir.open(path, create=True) as directory:
        directory.create_key()

    with full_disk(), DataDir.open(path) as directory:
        directory.load_key()
        with pytest.raises(DataDirLockedError):
            DataDir.open(path)


def test_the_lock_file_never_grows(path):
    """One size, so that replacing its content needs no space."""
    for _ in range(3):
        with DataDir.open(path, create=True) as directory:
            assert directory.lock.stat().st_size == LOCK_BYTES


def test_a_key_is_made_once_and_read_back(path):
    """The key survives a restart, is private, and is never replaced."""
    with DataDir.open(path, create=True) as directory:
        made = directory.create_key()
        assert stat.S_IMODE(directory.key.stat().st_mode) == 0o600
        with pytest.raises(AlreadyExistsError):
            directory.create_key()

    with DataDir.open(path) as directory:
        assert directory.load_key().peer_id == made.peer_id


def test_no_key_yet_says_how_to_make_one(path):
    """An empty directory is no puzzle."""
    with (
        DataDir.open(path, create=True) as directory,
        pytest.raises(DataDirError, match="kontinuum node init"),
    ):
        directory.load_key()


def test_a_full_disk_leaves_no_half_key(path):
    """Making a key on a full disk fails clearly and leaves nothing behind; later it works."""
    with DataDir.open(path, create=True) as directory:
        with full_disk(), pytest.raises(FileUnavailableError, match="identity"):
            directory.create_key()
        assert [entry.name for entry in path.iterdir()] == ["lock"]

        directory.create_key()


def test_a_readable_key_and_a_damaged_one_are_different_errors(path):
    """Each trouble with the key file keeps its own clear error."""
    with DataDir.open(path, create=True) as directory:
        directory.create_key()
        content = directory.key.read_bytes()
        directory.key.chmod(0o644)
        with pytest.raises(NotPrivateError, match="chmod 600"):
            directory.load_key()
        directory.key.chmod(0o600)
        directory.key.write_bytes(content[: len(content) // 2])
        with pytest.raises(KeyFileError):
            directory.load_key()
        directory.key.write_bytes(b"")
        with pytest.raises(EmptyKeyFileError):
            directory.load_key()


def test_a_protected_key_takes_its_passphrase_from_the_environment_once(path, monkeypatch):
    """The variable opens the key and is gone afterwards, so that no child process inherits it."""
    with DataDir.open(path, create=True) as directory:
        made = directory.create_key(passphrase="correct horse")
        monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")

        assert directory.load_key().peer_id == made.peer_id
        assert PASSPHRASE_VARIABLE not in os.environ

        monkeypatch.setenv("OTHER", "wrong horse")
        with pytest.raises(WrongPassphraseError) as wrong:
            directory.load_key("env:OTHER")
        assert "horse" not in str(wrong.value)
        with pytest.raises(PassphraseError, match=f"no terminal.*{PASSPHRASE_VARIABLE}"):
            directory.load_key()


def from_pipe(content):
    """What read_passphrase makes of a file descriptor with this content."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return read_passphrase(f"fd:{reading}")


@pytest.mark.parametrize("content", [b"horse", b"horse\n", b"horse\r\n", b"horse\nmore lines\n"])
def test_a_file_descriptor_gives_its_first_line(content):
    """With or without a line end."""
    assert from_pipe(content) == "horse"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\nx", "empty"), (b"\xff", "UTF-8"), (b"x" * (PASSPHRASE_BYTES_MAX + 1), "longer")],
)
def test_a_passphrase_that_cannot_be_one_is_refused_without_showing_it(content, words):
    """Empty, too long or no text; a passphrase of the largest size passes."""
    with pytest.raises(PassphraseError, match=words):
        from_pipe(content)
    assert len(from_pipe(b"x" * PASSPHRASE_BYTES_MAX)) == PASSPHRASE_BYTES_MAX


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("env:NOT_SET", "NOT_SET is not set"),
        ("fd:987", "descriptor 987"),
        ("file:x", "none of"),
        ("prompt", "terminal"),
    ],
)
def test_a_source_without_a_passphrase_says_so(source, words):
    """Each source names itself in its error; nobody waits for a terminal that is not there."""
    with pytest.raises(PassphraseError, match=words):
        read_passphrase(source)


def test_a_person_is_asked_twice_for_a_new_passphrase(monkeypatch):
    """Two different answers are refused; two equal ones are the passphrase."""
    answers = iter(["a", "b", "c", "c"])
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr(passphrase.getpass, "getpass", lambda _: next(answers))

    with pytest.raises(PassphraseError, match="differ"):
        read_passphrase(confirm=True)
    assert read_passphrase(confirm=True) == "c"
