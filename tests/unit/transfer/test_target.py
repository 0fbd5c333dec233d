"""The directory that receives files, where several processes may use it at once."""

from pathlib import Path

import pytest

from helpers.byte_pipe import new_hasher
from helpers.transfers import ALICE
from kontinuum.transfer.incoming import target as module
from kontinuum.transfer.incoming.journal import JOURNAL_FILE_BYTES_MAX, journal_name, part_name
from kontinuum.transfer.incoming.target import OPEN_TRIES, PartError, Target
from kontinuum.transfer.messages import Answer, Code, FileOffer
from kontinuum.wire import cbor

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


def begun(target, file, content):
    """An earlier session of Alice stored so much of a file."""
    part = target.open_part(ALICE, file, 0, None)
    part.append([content])
    part.close()
    return target.path / part_name(ALICE, file.name), target.path / journal_name(ALICE, file.name)


def full(entry):
    """A journal of exactly as many bytes as a journal may have."""
    missing = JOURNAL_FILE_BYTES_MAX - len(cbor.encode({**entry, 4: "x" * 256}))
    return cbor.encode({**entry, 4: "x" * (256 + missing)})


def test_what_an_earlier_session_stored_is_held(target):
    """The answer names how much there is, and its digest."""
    begun(target, FILE, b"hel")
    answer, held = target.inspect(ALICE, FILE, overwrite=False)

    assert (answer.code, answer.offset, answer.prefix_digest) == (Code.STORED, 3, digest(b"hel"))
    assert held.offset == 3


@pytest.mark.parametrize(
    ("change", "file"),
    [
        pytest.param(
            lambda entry: cbor.encode({**entry, 2: True}), FileOffer("letter", 1), id="size is true"
        ),
        pytest.param(lambda entry: cbor.encode({**entry, 0: True}), FILE, id="version is true"),
        pytest.param(lambda entry: cbor.encode({**entry, 0: 2}), FILE, id="another version"),
        pytest.param(lambda entry: cbor.encode({**entry, 1: b"M" * 32}), FILE, id="another sender"),
        pytest.param(lambda entry: cbor.encode({**entry, 2: 6}), FILE, id="another size"),
        pytest.param(lambda entry: cbor.encode({**entry, 3: -1}), FILE, id="less than nothing synced"),
        pytest.param(lambda entry: cbor.encode({**entry, 3: 6}), FILE, id="more than all synced"),
        pytest.param(lambda entry: cbor.encode({**entry, 5: 0}), FILE, id="one field more"),
        pytest.param(lambda entry: cbor.encode(entry)[:-1], FILE, id="cut off"),
        pytest.param(lambda entry: full(entry) + b"more", FILE, id="more than is read"),
        pytest.param(lambda _: b"", FILE, id="empty"),
        pytest.param(lambda _: b"\xff" * 1000, FILE, id="nonsense"),
    ],
)
def test_a_journal_that_is_not_ours_counts_for_nothing(target, change, file):
    """Forged, torn, of another file or too long: the file is sent from the start, whatever lies there."""
    _, journal = begun(target, FILE, b"hel")
    journal.write_bytes(change(cbor.decode(journal.read_bytes())))

    assert target.inspect(ALICE, file, overwrite=False) == (Answer(Code.STORED), None)


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
