"""Everything sealed anew for other keys: whatever happens meanwhile, it can be run again and ends alike."""

import os

import pytest

from helpers.envelopes import ALICE, BOB, CAROL, ENTROPY
from helpers.vaults import AT, LATER, OWNER, files, get, new_store, put
from kontinuum.base.errors import FileUnavailableError
from kontinuum.identity import Secret
from kontinuum.keys.envelope import NoMatchingKeyError, Reader, Role, X25519Key
from kontinuum.vault import Keyring, VaultStore, reseal_all
from kontinuum.vault.journal_file import JournalFile
from kontinuum.vault.shelf import Shelf


@pytest.fixture
def store(tmp_path):
    """A vault of five objects."""
    store = VaultStore(tmp_path / "vault")
    for count in range(5):
        put(store, b"%d" % count * 1000, f"name {count}")
    return store


def reseal(store, **options):
    """To the later keys."""
    return reseal_all(store, OWNER, LATER, at=AT, entropy=ENTROPY, **options)


def contents(store, keyring=LATER):
    """Names and contents of everything, as these keys open it."""
    found = []
    for stored in store.objects():
        described = store.describe(stored.object_id, keyring)
        assert described.metadata.created_at == AT
        found.append((described.metadata.name, get(store, stored.object_id, keyring)))
    return sorted(found)


EXPECTED = [(f"name {count}", b"%d" % count * 1000) for count in range(5)]


def test_everything_is_sealed_to_the_new_keys(store):
    """
    Names, times and contents stay; the old keys open nothing any more, and no old file is left.
    """
    old, told = [stored.object_id for stored in store.objects()], []
    done = reseal(store, on_progress=lambda done, total: told.append((done, total)))

    assert done.sealed == tuple(old)
    assert (done.current, done.left) == (0, ())
    assert contents(new_store(store.directory)) == EXPECTED
    for stored in store.objects():
        with pytest.raises(NoMatchingKeyError):
            get(store, stored.object_id, OWNER)
    assert len(files(store.directory / "objects")) == 5
    assert [gone.replaced_by is not None for gone in store.index().deleted.values()] == [True] * 5
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]


def test_doing_it_again_does_nothing(store):
    """
    What is sealed to the new keys stays as it is.
    """
    reseal(store)
    objects = store.objects()

    assert reseal(store) == type(reseal(store))((), 5, ())
    assert store.objects() == objects


def test_what_cannot_be_opened_is_left_and_named(store):
    """
    An object of other keys, and a damaged one, stay as they are.
    """
    stranger = Keyring(ALICE, LATER.readers, LATER.keys)
    other = put(store, b"other", "later", keyring=stranger)
    damaged = store.objects()[0].object_id
    path = store.directory / "objects" / damaged.hex()[:2] / f"{damaged.hex()}.age"
    os.truncate(path, 10)

    done = reseal(store)
    assert [object_id for object_id, _ in done.left] == [damaged]
    assert "cut off" in done.left[0][1]
    assert done.current == 1
    assert get(store, other, LATER) == b"other"


@pytest.mark.parametrize("at", range(5))
def test_it_is_interrupted_between_objects_and_goes_on(store, at):
    """
    The caller ends it; the next run does the rest.
    """

    def stop(done, total):
        if done * 5 >= total * (at + 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal(store, on_progress=stop)
    done = reseal(new_store(store.directory))

    assert done.current == at + 1
    assert len(done.sealed) == 4 - at
    assert contents(store) == EXPECTED


@pytest.mark.parametrize("step", ["append", "remove"])
def test_a_crash_between_file_and_journal_leaves_both_and_the_next_run_one(store, monkeypatch, step):
    """
    The new object is there and not written down, or the old one is written off and still there.
    """
    with monkeypatch.context() as patched:
        patched.setattr(JournalFile if step == "append" else Shelf, step, _die)
        if step == "append":
            # Undoing is what a dead process does not do.
            patched.setattr(Shelf, "remove", lambda *_: None)
        with pytest.raises(SystemExit):
            reseal(store)

    again = new_store(store.directory)
    assert len(again.objects()) == (6 if step == "append" else 5)
    reseal(again)
    assert contents(new_store(store.directory)) == EXPECTED
    assert len(files(store.directory / "objects")) == 5


def test_what_a_crash_left_twice_is_there_once_after_the_rekeying_after_that(store, monkeypatch):
    """
    The old object and its successor, neither of them sealed to the keys of now: one is left.
    """
    with monkeypatch.context() as patched:
        patched.setattr(JournalFile, "append", _die)
        patched.setattr(Shelf, "remove", lambda *_: None)
        with pytest.raises(SystemExit):
            reseal(store)
    again = new_store(store.directory)
    assert len(again.objects()) == 6
    newest = X25519Key(Secret(b"n" * 32))
    last = Keyring(ALICE, (Reader(newest.recipient, Role.SELF),), (newest, CAROL, BOB))
    before = Keyring(ALICE, LATER.readers, (CAROL, BOB))

    done = reseal_all(again, before, last, at=AT, entropy=ENTROPY)

    assert not done.left
    assert contents(new_store(store.directory), last) == EXPECTED
    assert len(files(store.directory / "objects")) == 5


def _die(*_, **__):
    raise SystemExit


def test_a_full_disk_ends_it_and_nothing_is_lost(store, monkeypatch):
    """
    With room again it goes on.
    """
    write, calls = os.pwritev, []

    def full(*arguments):
        calls.append(1)
        if len(calls) > 7:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(FileUnavailableError):
        reseal(store)
    monkeypatch.undo()

    reseal(store)
    assert contents(store) == EXPECTED
