"""Files of checked records: what is intact is read, whatever happened to the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kontinuum.base.errors import MisuseError
from kontinuum.clusters import records as room
from kontinuum.clusters.errors import NewerStoreError
from kontinuum.clusters.record_file import RecordFile
from kontinuum.clusters.records import encode_head, encode_record, magic_of, parse_records

MAGIC = magic_of("chain")
BODIES = [b"one", b"", b"three" * 100, b"\xffKCr four"]
FILE = encode_head(MAGIC) + b"".join(map(encode_record, BODIES))


def test_records_are_read_in_order():
    """
    An intact file gives its records and says that nothing is wrong.
    """
    found = parse_records(FILE, MAGIC)

    assert found.bodies == BODIES
    assert (found.good_bytes, found.torn, found.damaged) == (len(FILE), False, False)


@pytest.mark.parametrize("cut", range(len(FILE)))
def test_a_file_that_was_cut_off_anywhere_gives_the_records_before(cut):
    """
    A crash while appending costs the record that was being written, and no other.
    """
    found = parse_records(FILE[:cut], MAGIC)

    assert found.bodies == BODIES[: len(found.bodies)]
    assert found.good_bytes <= cut
    assert not found.damaged
    assert found.torn == (cut not in {0, found.good_bytes})


@pytest.mark.parametrize("at", range(0, len(FILE), 3))
def test_damage_anywhere_costs_one_record_at_most(at):
    """
    A changed byte costs the record that it is in; the ones behind it are found again.
    """
    damaged = bytearray(FILE)
    damaged[at] ^= 0x55

    found = parse_records(bytes(damaged), MAGIC)

    assert len(found.bodies) >= len(BODIES) - 1
    assert all(body in BODIES for body in found.bodies)
    assert found.damaged or found.torn


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read(data):
    """
    Whatever a file holds, reading it ends without an error.
    """
    for content in (data, FILE + data, encode_head(MAGIC) + data):
        assert parse_records(content, MAGIC).good_bytes <= len(content)


def test_a_newer_file_is_left_alone(tmp_path):
    """
    A file of a newer version is neither read nor changed.
    """
    path = tmp_path / "file"
    path.write_bytes(MAGIC + b"\x00\x02" + b"something new")
    path.chmod(0o600)

    with pytest.raises(NewerStoreError):
        RecordFile(path, MAGIC).read()
    with pytest.raises(NewerStoreError):
        RecordFile(path, MAGIC).append([b"x"])
    assert path.read_bytes().endswith(b"something new")


def test_a_record_that_is_too_long_is_refused(monkeypatch):
    """
    We write no record that we would not read.
    """
    monkeypatch.setattr(room, "RECORD_BYTES_MAX", 10)
    assert parse_records(encode_head(MAGIC) + encode_record(bytes(10)), MAGIC).bodies == [bytes(10)]
    with pytest.raises(MisuseError):
        encode_record(bytes(11))
    with pytest.raises(MisuseError):
        magic_of("too long")


def test_what_a_crash_left_is_kept_beside_and_written_over(tmp_path):
    """
    The torn end of a file is kept for a person to look at; the next record takes its place.
    """
    path = tmp_path / "new" / "file"
    file = RecordFile(path, MAGIC)
    file.append([b"one"])
    file.append([b"two"])
    path.write_bytes(path.read_bytes()[:-1])

    again = RecordFile(path, MAGIC)
    assert again.read() == [b"one"]
    again.append([b"three"])

    assert RecordFile(path, MAGIC).read() == [b"one", b"three"]
    assert "cut off" in again.problems[0]
    assert (path.parent / "file.torn").read_bytes().endswith(b"tw")


def test_a_damaged_file_is_kept_and_written_anew(tmp_path):
    """
    Intact records behind a damaged one survive the next change.
    """
    path = tmp_path / "file"
    file = RecordFile(path, MAGIC)
    file.append([b"one", b"two", b"three"])
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"two", b"tvo"))

    again = RecordFile(path, MAGIC)
    again.append([b"four"])

    assert RecordFile(path, MAGIC).read() == [b"one", b"three", b"four"]
    assert b"tvo" in (tmp_path / "file.damaged").read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_only_looks_changes_nothing(tmp_path):
    """
    A reader of a file that somebody else is writing leaves nothing beside it.
    """
    path = tmp_path / "file"
    RecordFile(path, MAGIC).append([b"one", b"two"])
    path.write_bytes(path.read_bytes()[:-1])

    looking = RecordFile(path, MAGIC, read_only=True)

    assert looking.read() == [b"one"]
    assert [path] == list(tmp_path.iterdir())
    assert not looking.problems
