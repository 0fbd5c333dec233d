"""The journal: what was written is read up to where a crash or a disk spoiled it, and then put right."""

import os

import pytest

from helpers.envelopes import ALICE, ENTROPY
from helpers.vaults import AT, OWNER, get, new_store, put
from kontinuum._native import blake3_256
from kontinuum.base.errors import FileUnavailableError
from kontinuum.keys.envelope import seal_bytes
from kontinuum.vault import VAULT_CONTEXT, BadObjectIdError, Metadata, ObjectId, VaultStore, journal_file
from kontinuum.vault.journal import (
    JOURNAL_RECORD_BYTES_MAX,
    MAGIC,
    SIZE_MAX,
    TIME_MAX,
    Delete,
    Put,
    encode_record,
    parse_journal,
)
from kontinuum.vault.journal_file import JournalFile
from kontinuum.wire import cbor


def number(count):
    """An id."""
    return ObjectId(count.to_bytes(32))


CHANGES = [
    Put(number(1), 100, 5),
    Delete(number(1), 6),
    Put(number(2), SIZE_MAX, TIME_MAX),
    Delete(number(2), 0, number(3)),
]
JOURNAL = MAGIC + b"".join(encode_record([change]) for change in CHANGES)


def test_what_was_written_is_read():
    """
    Changes one by one, or several in a record.
    """
    assert parse_journal(JOURNAL).changes == tuple(CHANGES)
    assert parse_journal(MAGIC + encode_record(CHANGES)).changes == tuple(CHANGES)
    assert parse_journal(JOURNAL).good_bytes == len(JOURNAL)
    assert parse_journal(JOURNAL).problem == ""


@pytest.mark.parametrize("end", range(len(JOURNAL)))
def test_wherever_it_is_cut_off_a_beginning_is_read(end):
    """
    Whole records count, and a cut is known as one.
    """
    journal = parse_journal(JOURNAL[:end])

    assert journal.changes == tuple(CHANGES[: len(journal.changes)])
    assert journal.good_bytes <= end
    assert parse_journal(JOURNAL[: journal.good_bytes]).problem in ("", "it is empty")
    if end > len(MAGIC) + 4:
        assert journal.cut_off == (journal.good_bytes != end)


@pytest.mark.parametrize("position", range(len(MAGIC), len(JOURNAL), 3))
def test_a_changed_bit_ends_the_reading_before_it(position):
    """
    Nothing that was not written is read.
    """
    changed = bytearray(JOURNAL)
    changed[position] ^= 4
    journal = parse_journal(bytes(changed))

    assert journal.problem
    assert journal.good_bytes <= position
    assert journal.changes == tuple(CHANGES[: len(journal.changes)])


@pytest.mark.parametrize(
    "value",
    [
        {},
        1,
        [1],
        [[]],
        [[0, b"x" * 31, 1, 1]],
        [[0, b"x" * 32, -1, 1]],
        [[0, b"x" * 32, SIZE_MAX + 1, 1]],
        [[0, b"x" * 32, 1, TIME_MAX + 1]],
        [[0, b"x" * 32, 1]],
        [[1, b"x" * 32, b"y", 1]],
        [[1, b"x" * 32, None, -1]],
        [[2, b"x" * 32, None, 1]],
    ],
)
def test_records_of_another_kind_are_not_read(value):
    """
    With the right checksum, but not what we write.
    """
    body = cbor.encode(value)
    record = len(body).to_bytes(4) + body + blake3_256(body)[:8]

    assert parse_journal(MAGIC + record).problem
    assert parse_journal(MAGIC + record).changes == ()


def test_a_record_is_bounded():
    """
    An impossible length is damage, not a record that is still to come.
    """
    data = MAGIC + (JOURNAL_RECORD_BYTES_MAX + 1).to_bytes(4)

    assert not parse_journal(data).cut_off
    assert parse_journal(MAGIC + JOURNAL_RECORD_BYTES_MAX.to_bytes(4)).cut_off


@pytest.mark.parametrize(
    "text", ["", "x" * 64, "0" * 63, "0" * 65, "A" * 64, "0x" + "0" * 62, "0" * 64 + "\n"]
)
def test_an_object_id_is_64_small_hexadecimal_digits(text):
    """
    One spelling.
    """
    with pytest.raises(BadObjectIdError):
        ObjectId.parse(text)
    assert ObjectId.parse("0" * 63 + "1") == number(1)
    assert "…" in repr(number(1))
    with pytest.raises(BadObjectIdError):
        ObjectId(b"x" * 31)


# --- on disk ---


def path_of(store):
    """The journal's path."""
    return store.directory / "journal"


def present(store):
    """The objects whose files are there; with half a journal a deleted one may be missed."""
    return {stored.object_id for stored in store.objects() if stored.present}


@pytest.fixture
def store(tmp_path):
    """A vault with three objects and a deleted one."""
    store = VaultStore(tmp_path / "vault")
    ids = [put(store, b"%d" % count) for count in range(4)]
    store.delete(ids[1], at=AT)
    return store


def test_a_record_that_a_crash_cut_off_is_written_over(store):
    """
    What came before counts, and the next change stands where the torn one stood.
    """
    objects = store.objects()
    good = path_of(store).read_bytes()
    torn = encode_record([Delete(objects[0].object_id, 1)] + [Put(number(count), 1, 1) for count in range(9)])
    path_of(store).write_bytes(good + torn[:-3])

    again = new_store(store.directory)
    assert again.objects() == objects
    object_id = put(again, b"more")
    assert path_of(store).read_bytes().startswith(good)
    assert parse_journal(path_of(store).read_bytes()).problem == ""
    assert [stored.object_id for stored in store.objects()][-1] == object_id


@pytest.mark.parametrize("damage", ["middle", "begin", "zeros", "empty"])
def test_a_damaged_journal_is_made_anew_from_the_shelf(store, damage):
    """
    No object is lost; the damaged file is kept aside for a person to look at.
    """
    objects = {stored.object_id for stored in store.objects()}
    good = path_of(store).read_bytes()
    middle = len(good) // 2
    bad = {
        "middle": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "begin": b"x" + good[1:],
        "zeros": good + bytes(4096),
        "empty": b"",
    }[damage]
    path_of(store).write_bytes(bad)

    again = new_store(store.directory)
    assert present(again) == objects
    object_id = put(again, b"more")
    assert present(store) == {*objects, object_id}
    assert parse_journal(path_of(store).read_bytes()).problem == ""
    assert path_of(store).with_name("journal.damaged").read_bytes() == bad


def test_a_lost_journal_loses_no_object(store):
    """
    The shelf has them all; only what was deleted is forgotten.
    """
    objects = {stored.object_id for stored in store.objects()}
    path_of(store).unlink()

    for vault in (store, new_store(store.directory)):
        assert {stored.object_id for stored in vault.objects()} == objects
    assert all(get(store, object_id) for object_id in objects)


def test_an_object_that_a_crash_left_before_it_was_written_down_is_taken_in(store):
    """
    It is whole: that is what having its name means.
    """
    sealed = seal_bytes(
        OWNER.readers,
        b"left",
        signer=ALICE,
        context=VAULT_CONTEXT,
        metadata=Metadata("left", AT).encode(),
        entropy=ENTROPY,
    )
    object_id = ObjectId(blake3_256(sealed))
    path = store.directory / "objects" / object_id.hex()[:2] / f"{object_id.hex()}.age"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(sealed)
    for noise in ("x.age", f"{object_id.hex()}.old", "f" * 64):
        path.with_name(noise).write_bytes(b"")
    (path.parent.parent / "notes").write_bytes(b"")

    assert store.objects()[-1].object_id == object_id
    assert get(new_store(store.directory), object_id) == b"left"
    assert len(store.objects()) == 4


def test_an_object_whose_deletion_a_crash_cut_short_is_removed(store):
    """
    That it was deleted is on disk first.
    """
    kept = store.objects()[0].object_id
    gone = store.objects()[1].object_id
    path = store.directory / "objects" / gone.hex()[:2] / f"{gone.hex()}.age"
    sealed = path.read_bytes()
    store.delete(gone, at=AT)
    path.write_bytes(sealed)

    assert gone not in {stored.object_id for stored in new_store(store.directory).objects()}
    assert not path.exists()
    assert kept in {stored.object_id for stored in store.objects()}


def test_a_long_journal_is_written_anew(tmp_path, monkeypatch):
    """
    When most of it no longer counts; what counts stays, for whoever had it open as well.
    """
    monkeypatch.setattr(journal_file, "COMPACT_CHANGES_MIN", 20)
    journal, other = JournalFile(tmp_path), JournalFile(tmp_path)
    for count in range(200):
        journal.append([Put(number(count % 5), 1, count)])
        index = other.load()
        assert list(index.objects) == list(range_of_ids(min(count + 1, 5)))

    assert journal.path.stat().st_size < 30 * 60
    assert list(JournalFile(tmp_path).load().objects) == list(range_of_ids(5))


def range_of_ids(count):
    """The first so many ids."""
    return map(number, range(count))


def test_a_journal_that_cannot_be_written_anew_is_as_it_was(tmp_path, monkeypatch):
    """
    The change that wanted it is refused, and the old one still counts.
    """
    monkeypatch.setattr(journal_file, "COMPACT_CHANGES_MIN", 3)
    journal = JournalFile(tmp_path)
    for count in range(3):
        journal.append([Put(number(0), 1, count)])

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileUnavailableError, match="No space left"):
        journal.append([Put(number(1), 1, 1)])
    monkeypatch.undo()

    for view in (journal, JournalFile(tmp_path)):
        assert list(view.load().objects) == [number(0)]


def test_half_a_record_is_taken_back(tmp_path, monkeypatch):
    """
    When the disk fills in the middle of it.
    """
    journal = JournalFile(tmp_path)
    journal.append([Put(number(0), 1, 1)])
    good, write = journal.path.read_bytes(), os.pwrite

    def full(descriptor, data, offset):
        if offset == len(good):
            return write(descriptor, data[:7], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FileUnavailableError, match="No space left"):
        journal.append([Put(number(1), 1, 1)])
    monkeypatch.undo()

    assert journal.path.read_bytes() == good
    assert list(journal.load().objects) == [number(0)]
