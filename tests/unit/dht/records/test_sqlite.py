"""Records on disk: whole batches, private files, and whatever is wrong with the disk or the file."""

import errno
import os
import resource
import shutil
import sqlite3
import stat
import threading
from contextlib import contextmanager

import pytest

from helpers.dht_peers import peer
from kontinuum.base import FileUnavailableError
from kontinuum.dht.events import Drop, Keep
from kontinuum.dht.records import sqlite
from kontinuum.dht.records.sqlite import PEERS_MAX, SqliteRecords
from kontinuum.wire.limits import KAD_VALUE_BYTES_MAX

ALICE, BOB = peer(1).peer_id, peer(2).peer_id


def keep(number: int, value: bytes = b"value", **fields) -> Keep:
    """A record of that number."""
    given = {"provider": None, "sender": ALICE, "expires_at_s": 2e9 + number, "ip": "20.1.1.1", **fields}
    return Keep(b"/blake3/" + number.to_bytes(32), value, **given)


@pytest.fixture
def path(tmp_path):
    """A place for a database."""
    return tmp_path / "dht.sqlite"


@contextmanager
def opened(path):
    """The database, closed afterwards."""
    records = SqliteRecords.open(path)
    try:
        yield records
    finally:
        records.close()


@contextmanager
def full_disk():
    """No file can grow (EFBIG instead of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(path, count: int = 3) -> list[Keep]:
    """Make a database with some records in it."""
    keeps = [keep(number) for number in range(count)]
    with opened(path) as records:
        records.apply(keeps)
    return keeps


def test_what_was_written_is_read_back(path):
    """
    Records and providers, in the order in which they changed last, over a restart.
    """
    provider = keep(1, b"contact", provider=BOB, sender=BOB, ip="")
    with opened(path) as records:
        records.apply([keep(1), keep(2), provider])
        records.apply([keep(1, b"newer", sender=BOB, expires_at_s=1.5)])
        before = list(records.load())
    with opened(path) as records:
        assert (
            list(records.load())
            == before
            == [
                keep(2),
                provider,
                keep(1, b"newer", sender=BOB, expires_at_s=1.5),
            ]
        )


def test_what_was_dropped_is_gone(path):
    """
    A record and a provider of the same key are two things; dropping what is not there does nothing.
    """
    with opened(path) as records:
        records.apply([keep(1), keep(1, provider=ALICE), keep(1, provider=BOB)])
        records.apply([Drop(keep(1).key, ALICE), Drop(b"unknown", None)])
        assert [each.provider for each in records.load()] == [None, BOB]
        records.apply([keep(2), Drop(keep(2).key, None), Drop(keep(1).key, None), keep(3)])
        assert [each.key for each in records.load()] == [keep(1).key, keep(3).key]


def test_the_largest_records_fit(path):
    """
    More of them than are read at once.
    """
    keeps = [keep(number, bytes(KAD_VALUE_BYTES_MAX)) for number in range(2 * sqlite.ROWS_AT_ONCE + 1)]
    with opened(path) as records:
        records.apply(keeps)
        assert list(records.load()) == keeps


def test_the_files_are_private_whatever_the_umask(path):
    """
    The database and its log, from the beginning, and also if others could read it before.
    """
    path.touch(mode=0o644)
    before = os.umask(0)
    try:
        with opened(path) as records:
            records.apply([keep(1)])
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes == {"dht.sqlite": 0o600, "dht.sqlite-wal": 0o600}


def test_a_link_is_not_followed(path, tmp_path):
    """
    Nobody can make us write where he cannot write himself.
    """
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileUnavailableError):
        SqliteRecords.open(path)
    assert not (tmp_path / "elsewhere").exists()


def test_the_table_is_replaced_as_a_whole(path):
    """
    In the order in which it was saved, and never more than a table can hold.
    """
    with opened(path) as records:
        assert records.load_table() == []
        records.save_table([b"c", b"a", b"b"])
    with opened(path) as records:
        assert records.load_table() == [b"c", b"a", b"b"]
        records.save_table(str(number).encode() for number in range(PEERS_MAX + 10))
        assert len(records.load_table()) == PEERS_MAX
        records.save_table([])
        assert records.load_table() == []


# --- the disk refuses ---


def test_a_full_disk_is_an_error_and_nothing_of_the_batch_is_there(path):
    """
    The node goes on: what was on disk is still there, and the same call succeeds when there is room again.
    """
    keeps = written(path)
    batch = [keep(number, bytes(10_000)) for number in range(100, 120)]
    with opened(path) as records:
        with full_disk(), pytest.raises(FileUnavailableError, match=r"cannot write .*dht\.sqlite"):
            records.apply([Drop(keeps[0].key, None), *batch])
        with full_disk(), pytest.raises(FileUnavailableError, match="cannot write"):
            records.save_table([bytes(5000)] * 100)
        assert list(records.load()) == keeps
        records.apply(batch)
        assert list(records.load()) == keeps + batch
        assert records.load_table() == []
        assert records.set_aside is None


def test_a_full_disk_at_the_start_is_an_error(path):
    """
    Where no database can be made, the message says so; with room again, it can.
    """
    with full_disk(), pytest.raises(FileUnavailableError, match="cannot open"):
        SqliteRecords.open(path)
    with opened(path) as records:
        assert list(records.load()) == []


def test_a_database_that_outgrows_its_space_is_an_error(path):
    """
    SQLite's own word for a full disk comes out as ours, and the batch is not there.
    """
    written(path)
    with opened(path) as records:
        pages = records._connected().execute("PRAGMA page_count").fetchone()[0]
        records._connected().execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(FileUnavailableError, match="full"):
            records.apply([keep(number, bytes(60_000)) for number in range(10, 20)])
        assert len(list(records.load())) == 3


@pytest.mark.parametrize("path_text", ["/sys/kernel/dht.sqlite", "/no/such/directory/dht.sqlite"])
def test_a_directory_in_which_nothing_can_be_made_is_an_error(path_text, tmp_path):
    """
    Read-only or missing: the message names the file and the operating system's reason.
    """
    with pytest.raises(FileUnavailableError, match=r"cannot open .*dht\.sqlite: "):
        SqliteRecords.open(tmp_path.__class__(path_text))


def test_a_read_only_file_system_is_an_error(path, monkeypatch):
    """
    As the operating system says it.
    """

    def refuse(*_arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileUnavailableError, match="Read-only file system"):
        SqliteRecords.open(path)


def test_a_database_that_becomes_read_only_is_an_error_and_stays(path, monkeypatch):
    """
    Nothing is set aside, since nothing is wrong with the file.
    """
    written(path)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite.sqlite3, "connect", lambda name, **rest: connect(f"file:{name}?mode=ro", uri=True, **rest)
    )
    records = SqliteRecords(path)
    with pytest.raises(FileUnavailableError, match="cannot write"):
        records.apply([keep(9)])
    records.close()
    monkeypatch.undo()

    with opened(path) as records:
        assert len(list(records.load())) == 3
    assert [each.name for each in path.parent.iterdir()] == ["dht.sqlite"]


def test_two_nodes_do_not_share_a_database(path, monkeypatch):
    """
    The second one is told, and the first one's records are untouched.
    """
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    with opened(path) as records:
        records.apply([keep(1)])
        with pytest.raises(FileUnavailableError, match="locked"):
            SqliteRecords.open(path)
        records.apply([keep(2)])
        assert len(list(records.load())) == 2


def test_closing_twice_does_nothing(path):
    """
    Whoever closes last has nothing to do; the log is gone by then.
    """
    records = SqliteRecords.open(path)
    records.apply([keep(1)])
    records.close()
    records.close()

    assert [each.name for each in path.parent.iterdir()] == ["dht.sqlite"]


def test_threads_take_turns(path):
    """
    Worker threads that write records and the table at once neither fail nor lose anything.
    """
    with opened(path) as records:

        def work(number: int) -> None:
            for step in range(20):
                records.apply([keep(1000 * number + step)])
                records.save_table([bytes([number]), bytes([number])])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(list(records.load())) == 80
        first, second = records.load_table()
        assert first == second


# --- the file is broken, or none of ours ---


def garbage(path):
    """No database at all."""
    path.write_bytes(os.urandom(10_000))


def cut_off(path):
    """The end is missing, as after a full disk below the file system."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwritten(path):
    """A page in the middle is something else."""
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)


def foreign(path):
    """A good database of another program."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE records (a)")
    connection.close()


def newer(path):
    """Made by a newer version of this program."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()


def trapped(path):
    """A trigger of somebody else does more than we ask for."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("breaking", [garbage, cut_off, overwritten, foreign, newer, trapped])
def test_a_broken_file_is_set_aside_and_the_node_starts(path, breaking):
    """
    It is kept for a person to look at, an empty one takes its place, and everything works.
    """
    written(path, 100)
    breaking(path)
    content = path.read_bytes()
    with opened(path) as records:
        assert list(records.load()) == []
        records.apply([keep(7)])
        assert list(records.load()) == [keep(7)]
        aside = records.set_aside

    assert aside == path.with_name("dht.sqlite.corrupt")
    assert aside.read_bytes() == content
    with opened(path) as records:
        assert list(records.load()) == [keep(7)]
        assert records.set_aside is None


def test_a_file_that_breaks_while_it_is_open_is_set_aside(path):
    """
    What is read before the broken place counts; then an empty one takes its place, and changes go on.
    """
    keeps = [keep(number, bytes(3000)) for number in range(500)]
    with opened(path) as records:
        records.apply(keeps)
    with opened(path) as records:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"\xff" * (path.stat().st_size // 4))
        found = list(records.load())
        records.apply([keep(1000)])

        assert found == keeps[: len(found)]
        assert len(found) < len(keeps)
        assert records.set_aside is not None
        assert list(records.load()) == [keep(1000)]


def test_rows_that_are_no_records_are_left_out(path):
    """
    A forged file of the right form gives records or nothing, and never an error.
    """
    good = written(path, 1)
    connection = sqlite3.connect(path)
    for row in (
        (b"k1", b"", b"v", b"no identity", "", 2e9),
        (b"k2", b"no identity", b"v", bytes(ALICE), "", 2e9),
        (b"k3", b"", b"v", bytes(32), "", 2e9),
        (b"k4", b"", b"v", bytes(ALICE), "no address", 2e9),
        (b"k5", b"", b"v", bytes(ALICE), "1" * 1000, 2e9),
        (b"k6", b"", bytes(KAD_VALUE_BYTES_MAX + 1), bytes(ALICE), "", 2e9),
        (bytes(1000), b"", b"v", bytes(ALICE), "", 2e9),
    ):
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "INSERT INTO records VALUES (x'6b', x'', x'76', ?, CAST(x'fffe' AS TEXT), 2e9)", (bytes(ALICE),)
    )
    connection.execute("INSERT INTO peers (contact) VALUES (zeroblob(100000))")
    connection.commit()
    connection.close()

    with opened(path) as records:
        assert list(records.load()) == good
        assert records.load_table() == []
        assert records.set_aside is None


def test_wherever_the_log_is_cut_off_whole_batches_are_there(path, tmp_path):
    """
    A power cut leaves any part of the log: what is read then are the first batches, each of them whole.
    """
    batches, size = 12, 5
    with opened(path) as records:
        for number in range(batches):
            records.apply([keep(number * size + each, bytes(2000)) for each in range(size)])
        log = path.with_name("dht.sqlite-wal")
        length = log.stat().st_size
        seen = set()
        for cut in [*range(0, length, length // 40), length]:
            copy = tmp_path / "copy.sqlite"
            shutil.copy(path, copy)
            with log.open("rb") as file:
                copy.with_name("copy.sqlite-wal").write_bytes(file.read(cut))
            with opened(copy) as half:
                found = len(list(half.load()))
                assert half.set_aside is None or cut < length // 10
            assert found % size == 0
            seen.add(found // size)

    assert seen == set(range(batches + 1))
