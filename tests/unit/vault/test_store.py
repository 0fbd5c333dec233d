"""The vault: what was put is got, by whom it should be, and what is wrong with an object is said."""

import errno
import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from helpers.envelopes import ALICE, BOB, CAROL, ENTROPY, MALLORY, PARENT, READERS
from helpers.vaults import AT, LATER, OWNER, files, get, new_store, put
from kontinuum._native import blake3_256
from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError, NotAFileError
from kontinuum.keys.envelope import (
    Context,
    EnvelopeError,
    NoMatchingKeyError,
    NotSignedError,
    Role,
    WrongContextError,
    WrongSenderError,
    open_age,
    seal_age,
    seal_bytes,
)
from kontinuum.keys.envelope.files import RUN_BYTES, even_runs
from kontinuum.vault import (
    VAULT_CONTEXT,
    AmbiguousObjectError,
    BadObjectNameError,
    DamagedObjectError,
    Keyring,
    Metadata,
    NoSuchObjectError,
    ObjectId,
    ObjectTooLargeError,
    VaultFullError,
    VaultStore,
)
from kontinuum.vault import (
    store as store_module,
)
from kontinuum.vault.metadata import NAME_BYTES_MAX


@pytest.fixture
def store(tmp_path):
    """An empty vault."""
    return VaultStore(tmp_path / "vault")


def file_of(store, object_id):
    """The path of an object's file."""
    return store.directory / "objects" / object_id.hex()[:2] / f"{object_id.hex()}.age"


@pytest.mark.parametrize("size", [0, 1, 65_536, RUN_BYTES, 3 * RUN_BYTES + 1])
def test_what_was_put_is_got(store, size):
    """
    Content, name, time, sender and readers; by this program and by another one.
    """
    object_id = put(store, b"x" * size, "letter.txt")

    for vault in (store, new_store(store.directory)):
        assert get(vault, object_id) == b"x" * size
        described = vault.describe(object_id, OWNER)
        assert described.metadata == Metadata("letter.txt", AT)
        assert described.content_bytes == size
        assert described.sender == ALICE.peer_id
        assert [reader.role for reader in described.readers] == [Role.SELF, Role.ANCESTOR]


def test_a_file_is_put_and_got(store, tmp_path):
    """
    Streaming both ways; the copy appears when it is whole, and nothing is overwritten.
    """
    (tmp_path / "a").write_bytes(bytes(range(256)) * 10_000)
    told = []
    stored = store.put_file(
        tmp_path / "a", OWNER, Metadata("a", AT), entropy=ENTROPY, on_progress=told.append
    )
    with store.open(stored.object_id, OWNER) as reader:
        reader.copy_to(tmp_path / "b")
        with pytest.raises(AlreadyExistsError):
            reader.copy_to(tmp_path / "a")
        assert b"".join(map(bytes, reader.runs())) == (tmp_path / "a").read_bytes()

    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert told[-1] == 2_560_000
    with pytest.raises(NotAFileError):
        store.put_file(tmp_path, OWNER, Metadata("", AT), entropy=ENTROPY)


def test_an_object_is_an_age_file_whose_hash_is_its_name(store):
    """
    The owner's key, exported, opens it anywhere; anybody can check a copy.
    """
    object_id = put(store, b"content")
    sealed = file_of(store, object_id).read_bytes()

    assert blake3_256(sealed) == object_id
    for key in (BOB, PARENT):
        assert b"".join(open_age([key], [sealed])) == b"content"


def test_the_same_content_twice_is_two_objects(store):
    """
    Nobody can tell from an id that two contents are the same.
    """
    assert put(store, b"content") != put(store, b"content")


def test_listing_needs_no_key_and_shows_no_name(store):
    """
    Ids, lengths and times are in the clear, in the order of putting; names and contents are in no file.
    """
    ids = [put(store, b"the content", f"name {number}") for number in range(5)]
    objects = store.objects()

    assert [stored.object_id for stored in objects] == ids
    assert all(stored.present and stored.stored_at == int(AT.timestamp()) for stored in objects)
    assert [stored.size_bytes for stored in objects] == [
        file_of(store, object_id).stat().st_size for object_id in ids
    ]
    for path in store.directory.rglob("*"):
        if path.is_file():
            assert b"name" not in path.read_bytes()
            assert b"content" not in path.read_bytes()


def test_an_empty_vault_leaves_no_trace(store):
    """
    Looking at what is not there makes nothing.
    """
    assert store.objects() == []
    assert store.check() == []
    assert store.tidy() == 0
    with pytest.raises(NoSuchObjectError):
        store.find("something", OWNER)
    assert not store.directory.exists()


def test_everything_is_private(store):
    """
    Directories 0700, files 0600, whatever the umask.
    """
    before = os.umask(0o000)
    try:
        put(store, b"content")
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.directory.rglob("*") if path.is_dir()}
    assert modes == {0o700}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.directory.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_objects_are_found_by_id_beginning_or_name(store):
    """
    What several have in common names none of them.
    """
    first, second, third = put(store, b"1", "one"), put(store, b"2", "two"), put(store, b"3", "two")

    assert store.find(str(first), None) == first
    assert store.find(second.short, None) == second
    assert store.find("one", OWNER) == first
    with pytest.raises(AmbiguousObjectError, match=f"2 objects are called 'two'.*{third.short}"):
        store.find("two", OWNER)
    for nothing in ("three", "one", "0" * 64, first.hex()[:5]):
        with pytest.raises(NoSuchObjectError):
            store.find(nothing, None if nothing == "one" else LATER)


def test_a_deleted_object_is_gone_and_remembered(store):
    """
    Its file goes, its id stays known as deleted, and a copy does not bring it back.
    """
    object_id, other = put(store, b"content"), put(store, b"other")
    sealed = file_of(store, object_id).read_bytes()
    store.delete(object_id, at=AT)

    for vault in (store, new_store(store.directory)):
        assert [stored.object_id for stored in vault.objects()] == [other]
        assert not vault.add_sealed(object_id, iter([sealed]), at=AT)
        with pytest.raises(NoSuchObjectError, match="it was deleted"):
            vault.delete(object_id, at=AT)
        with pytest.raises(NoSuchObjectError, match="it was deleted"):
            get(vault, object_id)
        with pytest.raises(NoSuchObjectError, match="it was deleted"):
            vault.find(object_id.short, OWNER)
    assert not file_of(store, object_id).exists()


# --- who may, and what for ---


def test_other_keys_do_not_open_it(store):
    """
    An object of earlier keys is no damage, and is said to need those.
    """
    object_id = put(store, b"content")

    with pytest.raises(NoMatchingKeyError, match="other keys"):
        get(store, object_id, LATER)
    assert get(store, object_id, Keyring(ALICE, LATER.readers, (CAROL, BOB))) == b"content"


def test_what_others_sealed_is_not_taken_for_ours(store):
    """
    Somebody who knows our public key, and can write into the directory, puts nothing into our mouth.
    """
    forged = seal_bytes(
        READERS,
        b"content",
        signer=MALLORY,
        context=VAULT_CONTEXT,
        metadata=Metadata("x", AT).encode(),
        entropy=ENTROPY,
    )
    elsewhere = seal_bytes(READERS, b"content", signer=ALICE, context=Context("mail"), entropy=ENTROPY)
    plain = b"".join(seal_age([BOB.recipient], [b"content"], entropy=ENTROPY))
    for sealed, error in (
        (forged, WrongSenderError),
        (elsewhere, WrongContextError),
        (plain, NotSignedError),
        (b"something", EnvelopeError),
    ):
        object_id = ObjectId(blake3_256(sealed))
        assert store.add_sealed(object_id, iter([sealed]), at=AT)
        with pytest.raises(error):
            get(store, object_id)
        with pytest.raises(error):
            store.describe(object_id, OWNER)

    trusting = Keyring(ALICE, OWNER.readers, (BOB,), senders=[MALLORY.peer_id])
    assert get(store, ObjectId(blake3_256(forged)), trusting) == b"content"
    assert store.check() == []


def test_one_object_is_not_taken_for_another(store):
    """
    Two right files whose names were swapped are both damaged.
    """
    first, second = put(store, b"content"), put(store, b"CONTENT")
    one, two = file_of(store, first), file_of(store, second)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)

    for object_id in (first, second):
        with pytest.raises(DamagedObjectError, match="no longer has its hash"):
            get(store, object_id)
    assert len(store.check()) == 2


# --- damage ---


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "its file is gone"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "cut off: "),
        (lambda path: os.truncate(path, 0), "cut off: 0 of"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "longer than it was"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "no longer has its hash"),
        (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "no longer has its hash"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), None),
        (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "no regular file"),
    ],
    ids=["gone", "cut", "empty", "longer", "end", "begin", "link", "directory", "pipe"],
)
def test_a_damaged_object_says_what_is_wrong_and_what_to_do(store, damage, words):
    """
    Whichever way it is read; and it can be given up.
    """
    object_id, other = put(store, b"content" * 1000), put(store, b"other")
    damage(file_of(store, object_id))

    error = DamagedObjectError if words else FileUnavailableError
    for read in (get, lambda vault, what: vault.describe(what, OWNER)):
        if read is get or words is None or "hash" not in words:
            with pytest.raises(error, match=words or "symbolic links") as caught:
                read(store, object_id)
            assert not words or "copy it from another node or a backup" in str(caught.value)
    assert get(store, other) == b"other"
    if words and "regular" not in words:
        assert [lost.object_id for lost in store.check()] == [object_id]
        store.delete(object_id, at=AT)
        assert [stored.object_id for stored in store.objects()] == [other]


def test_a_missing_file_is_shown_in_the_list(store):
    """
    It is not forgotten silently.
    """
    object_id = put(store, b"content")
    file_of(store, object_id).unlink()

    assert [(stored.object_id, stored.present) for stored in store.objects()] == [(object_id, False)]


def test_checking_tells_each_object(store):
    """
    In order, with what is wrong.
    """
    ids = [put(store, b"%d" % number) for number in range(3)]
    os.truncate(file_of(store, ids[1]), 10)
    told = []
    store.check(lambda stored, problem: told.append((stored.object_id, bool(problem))))

    assert told == [(ids[0], False), (ids[1], True), (ids[2], False)]


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_is_said_and_leaves_nothing(store, monkeypatch, after):
    """
    Whether it fills while sealing or at the very end.
    """
    put(store, b"content")
    before, write, calls = files(store.directory), os.pwritev, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(FileUnavailableError, match="No space left"):
        put(store, b"more")
    monkeypatch.undo()
    assert files(store.directory) == before
    assert len(store.objects()) == 1


def test_a_disk_that_is_full_for_the_journal_undoes_the_putting(store, monkeypatch):
    """
    An object that could not be written down is not left behind as one that nobody asked for.
    """
    put(store, b"content")
    before = files(store.directory)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(FileUnavailableError, match="journal: No space left"):
        put(store, b"more")
    monkeypatch.undo()

    assert files(store.directory) == before
    assert len(new_store(store.directory).objects()) == 1


def test_a_full_disk_does_not_keep_an_object_from_being_deleted(store, monkeypatch):
    """
    Deleting makes the room that it needs to be written down.
    """
    object_id, other = put(store, b"content"), put(store, b"other")
    path, write = file_of(store, object_id), os.pwrite

    def full_while_it_is_there(*arguments):
        if path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", full_while_it_is_there)
    store.delete(object_id, at=AT)
    monkeypatch.undo()

    again = new_store(store.directory)
    assert [stored.object_id for stored in again.objects()] == [other]
    assert object_id in again.index().deleted


def test_a_read_only_vault_can_be_read(store, monkeypatch):
    """
    A medium without write access: everything but changes works, an object unknown to the journal included.
    """
    object_id = put(store, b"content", "name")
    sealed = seal_bytes(
        OWNER.readers,
        b"x",
        signer=ALICE,
        context=VAULT_CONTEXT,
        metadata=Metadata("x", AT).encode(),
        entropy=ENTROPY,
    )
    stray = ObjectId(blake3_256(sealed))
    file_of(store, stray).parent.mkdir(exist_ok=True)
    file_of(store, stray).write_bytes(sealed)
    (store.directory / "lock").unlink()
    real = os.open

    def read_only(path, flags, *arguments, **options):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", read_only)
    reader = new_store(store.directory)
    assert {stored.object_id for stored in reader.objects()} == {object_id, stray}
    assert get(reader, object_id) == b"content"
    assert reader.find("name", OWNER) == object_id
    for change in (lambda: put(reader, b"more"), lambda: reader.delete(object_id, at=AT)):
        with pytest.raises(FileUnavailableError, match="Read-only"):
            change()
    monkeypatch.undo()
    assert {stored.object_id for stored in reader.objects()} == {object_id, stray}


# --- bounds ---


def test_objects_are_bounded(store, monkeypatch):
    """
    One more than the limit is refused, and leaves nothing; replacing one is no new one.
    """
    monkeypatch.setattr(store_module, "VAULT_OBJECTS_MAX", 2)
    ids = [put(store, b"1"), put(store, b"2")]
    before = files(store.directory)

    with pytest.raises(VaultFullError):
        put(store, b"3")
    assert files(store.directory) == before
    assert store.replace(ids[0], OWNER, LATER, at=AT, entropy=ENTROPY)
    store.delete(ids[1], at=AT)
    put(store, b"3")


def test_only_small_objects_are_read_into_memory(store):
    """
    At the limit it is read, beyond it the caller is told of other ways.
    """
    object_id = put(store, bytes(1000))
    with store.open(object_id, OWNER) as reader:
        assert reader.read(1000) == bytes(1000)
        with pytest.raises(ObjectTooLargeError, match="stream"):
            reader.read(999)


@pytest.mark.parametrize("name", ["n" * (NAME_BYTES_MAX + 1), "\u00e9" * 128, "\ud800"])
def test_names_are_bounded(name):
    """
    Bytes count, not characters.
    """
    with pytest.raises(BadObjectNameError):
        Metadata(name, AT)


# --- copies ---


def test_a_copy_is_taken_if_it_is_what_it_is_called(store, tmp_path):
    """
    Without a key; in pieces; once.
    """
    object_id = put(store, b"content" * 100_000, "name")
    other = VaultStore(tmp_path / "other")
    with store.opened(object_id) as (descriptor, size):
        pieces = [os.pread(descriptor, 10_000, at) for at in range(0, size, 10_000)]

    assert other.wants(object_id)
    assert other.add_sealed(object_id, iter(pieces), at=AT + timedelta(days=1))
    assert not other.add_sealed(object_id, iter(pieces), at=AT)
    assert not other.wants(object_id)
    assert get(other, object_id) == b"content" * 100_000
    assert other.objects()[0].stored_at == int(AT.timestamp()) + 86_400


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""])
def test_a_wrong_copy_is_refused(store, tmp_path, change):
    """
    And nothing of it is kept.
    """
    object_id = put(store, b"content")
    other = VaultStore(tmp_path / "other")
    with pytest.raises(DamagedObjectError, match="not this object"):
        other.add_sealed(object_id, iter([change(file_of(store, object_id).read_bytes())]), at=AT)

    assert files(other.directory) == []


def test_a_copy_of_what_is_deleted_meanwhile_is_not_taken(store, tmp_path):
    """
    Another program took the object and deleted it while we were at it.
    """
    object_id = put(store, b"content")
    sealed = file_of(store, object_id).read_bytes()
    other = VaultStore(tmp_path / "other")

    def pieces():
        yield sealed[:100]
        elsewhere = new_store(other.directory)
        assert elsewhere.add_sealed(object_id, iter([sealed]), at=AT)
        elsewhere.delete(object_id, at=AT)
        yield sealed[100:]

    assert not other.add_sealed(object_id, pieces(), at=AT)
    assert other.objects() == []


def test_what_is_acknowledged_is_on_the_disk(store, monkeypatch):
    """
    First the content and its name, then the journal; each synced before the next begins.
    """
    put(store, b"first")
    calls = []

    def recording(name, real):
        def call(what, *arguments, **options):
            path = Path(what) if isinstance(what, os.PathLike) else Path(f"/proc/self/fd/{what}").readlink()
            calls.append((name, "objects" if "objects" in path.parts else path.name))
            return real(what, *arguments, **options)

        return call

    for name in ("fsync", "link", "pwrite", "pwritev"):
        monkeypatch.setattr(os, name, recording(name, getattr(os, name)))
    object_id = put(store, b"second")
    monkeypatch.undo()
    steps = [(name, "new" if ".new." in path else path) for name, path in calls]

    linked = steps.index(("link", "new"))
    assert ("pwritev", "new") in steps[:linked]
    assert steps[linked - 1] == ("fsync", "new")
    assert ("fsync", "objects") in steps[linked:]
    assert steps[-2:] == [("pwrite", "journal"), ("fsync", "journal")]
    assert get(store, object_id) == b"second"


# --- several at once ---


def test_several_programs_use_one_vault(store):
    """
    Each sees what the others did, and none undoes it.
    """
    vaults = [store, new_store(store.directory), new_store(store.directory)]
    ids = [put(vault, b"content") for _ in range(4) for vault in vaults]

    for vault in vaults:
        assert [stored.object_id for stored in vault.objects()] == ids
    for number, object_id in enumerate(ids):
        vaults[number % 2].delete(object_id, at=AT)
        assert vaults[2].objects() == vaults[1].objects()
    assert store.objects() == []


def test_threads_use_one_vault(store):
    """
    Putting, deleting and listing at once; nothing is lost.
    """
    kept, errors = [], []

    def work(number):
        try:
            for _ in range(5):
                object_id = put(store, b"%d" % number)
                store.objects()
                if number % 2:
                    store.delete(object_id, at=AT)
                else:
                    kept.append(object_id)
        except Exception as error:  # noqa: BLE001 -- shown below
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert errors == []
    assert {stored.object_id for stored in new_store(store.directory).objects()} == set(kept)


def test_an_object_that_is_deleted_while_it_is_read_is_read_to_its_end(store):
    """
    Whoever has it open keeps it.
    """
    object_id = put(store, bytes(3 * RUN_BYTES))
    with store.open(object_id, OWNER) as reader:
        runs = reader.runs()
        got = len(next(runs))
        store.delete(object_id, at=AT)
        assert got + sum(map(len, runs)) == 3 * RUN_BYTES


def test_what_was_given_up_half_way_is_not_there(store):
    """
    A caller that raises, or content that fails, leaves nothing.
    """

    def stop(_):
        raise KeyboardInterrupt

    def failing():
        yield bytes(RUN_BYTES)
        raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt):
        store.put(even_runs([b"x"]), OWNER, Metadata("", AT), entropy=ENTROPY, on_progress=stop)
    with pytest.raises(ZeroDivisionError):
        store.put(failing(), OWNER, Metadata("", AT), entropy=ENTROPY)
    assert files(store.directory) == []
