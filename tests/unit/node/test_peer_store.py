"""Saved peers: checked again on every load, bounded, ordered by use, never lost to a damaged file."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kontinuum.base.errors import FileUnavailableError, PeerError
from kontinuum.identity.contact import Contact
from kontinuum.identity.errors import (
    ContactExpiredError,
    ContactFromFutureError,
    WeakProofError,
    WrongNetworkError,
)
from kontinuum.identity.keys import KeyPair
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.peer_store import FAILURES_MAX, SAVED_AGE_MAX_S, PeerStore
from kontinuum.wire import cbor

NETWORK = network_id("test")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/udp/4433/quic-v1")
SECOND = timedelta(seconds=1)


def contact(number, *, sequence=1, issued_at=AT, network=NETWORK):
    """A contact of peer ``number``."""
    key = KeyPair.from_seed(number.to_bytes(32, "big"))
    proof = ProofOfWork(network, key.peer_id, 0)
    return Contact.issue(key, [ADDRESS], sequence=sequence, issued_at=issued_at, proof=proof)


def store_at(path, **settings):
    """A store of the test network, which asks for no work."""
    return PeerStore(path, network_id=NETWORK, pow_bits=0, **settings)


@pytest.fixture
def path(tmp_path):
    """Where the peers are saved."""
    return tmp_path / "peers.cbor"


@pytest.fixture
def store(path):
    """An empty store."""
    return store_at(path)


def test_what_is_saved_is_loaded(path, store):
    """Contacts, counts and the good address survive a restart; the file is private."""
    store.add(contact(1), AT)
    store.add(contact(2), AT)
    store.succeeded(contact(1).peer_id, AT + SECOND, ADDRESS)
    store.failed(contact(2).peer_id)
    assert store.save()

    again = store_at(path)
    assert again.load(AT).kept == 2
    assert again.best(9) == store.best(9)
    assert again.get(contact(1).peer_id).address == ADDRESS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_best_peers_are_loaded_first_and_nothing_is_lost_meanwhile(path, store):
    """A node may dial and learn while the rest is still checked; a save in between does not cut the file."""
    for number in (1, 2, 3):
        store.add(contact(number), AT)
    store.succeeded(contact(3).peer_id, AT)
    store.save()

    again = store_at(path)
    loading = again.loading(AT)
    next(loading)
    assert [saved.contact for saved in again.best(9)] == [contact(3)]
    again.add(contact(1, sequence=2), AT + SECOND)
    again.succeeded(contact(1).peer_id, AT + SECOND)
    assert not again.save()

    assert list(loading)[-1].kept == 3
    assert again.get(contact(1).peer_id).contact.sequence == 2
    assert again.get(contact(1).peer_id).successes == 1
    assert again.save()
    assert store_at(path).load(AT).kept == 3


def test_nothing_new_is_not_written(path, store):
    """Saving twice writes once; a loaded store has nothing to write."""
    assert not store.save()
    assert not path.exists()
    store.add(contact(1), AT)
    assert store.save()
    assert not store.save()

    again = store_at(path)
    again.load(AT)
    assert not again.changed


def test_a_store_without_a_file_only_remembers():
    """An in-memory node writes nothing."""
    store = store_at(None)
    store.load(AT)
    store.add(contact(1), AT)

    assert not store.save()
    assert len(store) == 1


def test_the_newer_contact_wins_in_any_order(store):
    """A higher sequence replaces a lower one; a replay of the old one changes nothing."""
    old, new = contact(1, sequence=1), contact(1, sequence=2)

    assert store.add(new, AT)
    assert not store.add(old, AT)
    assert not store.add(new, AT)
    assert store.get(new.peer_id).contact == new


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (contact(1, network=network_id("other")), WrongNetworkError),
        (contact(1, issued_at=AT + timedelta(seconds=121)), ContactFromFutureError),
        (contact(1, issued_at=AT - timedelta(seconds=SAVED_AGE_MAX_S + 1)), ContactExpiredError),
    ],
)
def test_a_contact_that_does_not_stand_the_check_is_not_remembered(store, bad, error):
    """Another network, the future, the distant past: refused on the way in."""
    with pytest.raises(error):
        store.add(bad, AT)
    assert len(store) == 0


def test_work_is_checked_on_the_way_in_and_from_the_file(path, store):
    """A contact without the network's work is refused, also if it stands in our own file (attacks 3, 16)."""
    store.add(contact(1), AT)
    store.save()
    strict = PeerStore(path, network_id=NETWORK, pow_bits=40)

    with pytest.raises(WeakProofError):
        strict.add(contact(1), AT)
    loaded = strict.load(AT)
    assert (loaded.kept, loaded.dropped) == (0, 1)


def test_one_forged_entry_costs_only_itself(path, store):
    """A contact whose signature does not fit is dropped; its neighbours stay, and the next save cleans up."""
    for number in (1, 2, 3):
        store.add(contact(number), AT)
    store.save()
    top = cbor.decode(path.read_bytes(), bytes_max=10**6)
    top[1][1][0] = top[1][1][0][:-1] + bytes([top[1][1][0][-1] ^ 1])
    path.write_bytes(cbor.encode(top))

    again = store_at(path)
    loaded = again.load(AT)
    assert (loaded.kept, loaded.dropped, loaded.set_aside) == (2, 1, None)
    assert again.save()
    assert store_at(path).load(AT).dropped == 0


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        ["text"],
        [b"", 0, 0, 0, 0],
        [b"", 0, 0, 0, 0, None],
        [b"", 0, 0, 0, 0, b""],
        [b"", True, 0, 0, 0, None],
        [b"", -1, 0, 0, 0, None],
        [b"", 2**63, 0, 0, 0, None],
        [b"", 0, 0, 0, 2**64 - 1, None],
        [b"", 0, 0, 0, 0, None, None],
    ],
)
def test_entries_of_nonsense_are_dropped(path, entry):
    """A wrong entry never ends loading."""
    path.write_bytes(cbor.encode({0: 1, 1: [entry]}))
    loaded = store_at(path).load(AT)

    assert (loaded.kept, loaded.dropped) == (0, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"not CBOR at all",
        b"\xff" * 100,
        b"\x81" * 100_000,
        cbor.encode([]),
        cbor.encode({0: 2, 1: []}),
        cbor.encode({0: 1}),
        cbor.encode({0: 1, 1: {}}),
        cbor.encode({0: 1, 1: [], 2: 0}),
        b"\xa2\x00\x01\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_damaged_file_is_set_aside_with_a_warning(path, content, caplog):
    """The node starts without it, the file is kept for a person, and the next save works."""
    path.write_bytes(content)
    store = store_at(path)
    loaded = store.load(AT)

    assert loaded.set_aside == path.with_name("peers.cbor.corrupt")
    assert loaded.set_aside.read_bytes() == content
    assert "cannot be read" in caplog.text
    assert not path.exists()
    store.add(contact(1), AT)
    assert store.save()


def test_a_truncated_file_is_set_aside(path, store):
    """Every prefix of a real file is recognised as damaged."""
    store.add(contact(1), AT)
    store.save()
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert store_at(path).load(AT).set_aside


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_file_is_loaded_or_set_aside(path, content):
    """Whatever the file holds, loading neither raises nor keeps a peer."""
    path.write_bytes(content)

    assert store_at(path).load(AT).kept == 0


def test_a_file_larger_than_any_of_ours_is_set_aside_unread(path):
    """Memory stays bounded by peers_max, not by the file."""
    path.write_bytes(bytes(64 + 2 * 9000))
    store = store_at(path, peers_max=1)

    assert store.load(AT).set_aside


def test_a_file_that_cannot_be_read_or_set_aside_is_an_error(path):
    """A directory in the file's place is reported, not hidden."""
    path.mkdir()

    with pytest.raises(FileUnavailableError):
        store_at(path).load(AT)


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(5, "Input/output error")])
def test_a_file_that_could_not_be_read_is_not_replaced(path, store, error, monkeypatch):
    """A disk that fails for a moment does not cost us our peers; once they are read, saving works again."""
    store.add(contact(1), AT)
    store.save()
    before = path.read_bytes()
    again = store_at(path)
    with monkeypatch.context() as patch:

        def refuse(*_args, **_kwargs):
            raise error

        patch.setattr(Path, "open", refuse)
        with pytest.raises(FileUnavailableError):
            again.load(AT)
    again.add(contact(2), AT)
    assert not again.save()
    assert not again.loaded
    assert path.read_bytes() == before

    assert again.load(AT).kept == 1
    assert again.save()
    assert store_at(path).load(AT).kept == 2


def test_a_file_that_nobody_has_read_yet_is_not_replaced(path, store):
    """A node that ends before it began to load, or amid it, loses nothing."""
    for number in (1, 2, 3):
        store.add(contact(number), AT)
    store.save()
    before = path.read_bytes()
    early, amid = store_at(path), store_at(path)
    early.add(contact(4), AT)
    assert not early.save()
    loading = amid.loading(AT)
    next(loading)
    loading.close()
    amid.add(contact(4), AT)
    assert not amid.save()

    assert path.read_bytes() == before


def test_an_older_state_is_never_written_over_a_newer_one(path, store):
    """Writers in threads may come late: what was taken first does not win by being slow."""
    store.add(contact(1), AT)
    older = store.saving()
    store.add(contact(2), AT)
    newer = store.saving()
    newer()
    older()

    assert store_at(path).load(AT).kept == 2
    assert store.saving() is None


def test_our_own_user_may_name_a_peer_by_an_old_contact(store):
    """Of any age, also from the future by our clock; network and work are checked all the same."""
    old, ahead = (contact(n, issued_at=AT + timedelta(days=days)) for n, days in ((1, -4000), (2, 400)))
    assert store.add(old, AT, pinned=True)
    assert store.add(ahead, AT, pinned=True)

    with pytest.raises(WrongNetworkError):
        store.add(contact(3, network=network_id("other")), AT, pinned=True)
    assert len(store) == 2


def test_a_wrong_clock_does_not_cost_us_our_peers(path, store):
    """A machine that wakes up in 1970 keeps its peers; expired ones go when the clock is right."""
    store.add(contact(1), AT)
    store.save()

    assert store_at(path).load(datetime(1970, 1, 1, tzinfo=UTC)).kept == 1
    assert store_at(path).load(AT + timedelta(seconds=SAVED_AGE_MAX_S)).kept == 1
    assert store_at(path).load(AT + timedelta(seconds=SAVED_AGE_MAX_S + 1)).kept == 0


def test_a_full_disk_keeps_the_old_file_and_the_change(path, store, monkeypatch):
    """A failed save changes nothing on disk and is tried again."""
    store.add(contact(1), AT)
    store.save()
    before = path.read_bytes()
    store.add(contact(2), AT)

    def refuse(path, _data):
        raise FileUnavailableError(path, "write", "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kontinuum.node.peer_store.write_atomically", refuse)
        with pytest.raises(FileUnavailableError):
            store.save()

    assert path.read_bytes() == before
    assert store.changed
    assert store.save()


def test_the_bound_holds_and_proven_peers_survive_a_flood(path):
    """Strangers' contacts never push out a peer that we reached; memory holds an eighth more at most."""
    store = store_at(path, peers_max=8)
    friends = [contact(number) for number in range(1, 5)]
    for friend in friends:
        store.add(friend, AT)
        store.succeeded(friend.peer_id, AT)
    for number in range(100, 200):
        store.add(contact(number), AT + timedelta(seconds=number))
        assert len(store) <= 9
    store.save()

    assert len(store) == 8
    assert all(store.get(friend.peer_id) for friend in friends)
    assert store_at(path, peers_max=8).load(AT).kept == 8


def test_peers_max_zero_remembers_nobody(path):
    """The smallest bound works."""
    store = store_at(path, peers_max=0)

    assert not store.add(contact(1), AT)
    assert len(store) == 0


def test_the_best_peers_come_first(store):
    """Reached lately, then reached long ago, then never tried, then failing; excluded ones are left out."""
    lately, long_ago, untried, failing, lost = (contact(number) for number in range(1, 6))
    for each in (lately, long_ago, untried, failing, lost):
        store.add(each, AT)
    store.succeeded(long_ago.peer_id, AT + SECOND)
    store.succeeded(lately.peer_id, AT + 2 * SECOND)
    store.failed(failing.peer_id)
    store.succeeded(lost.peer_id, AT + 3 * SECOND)
    for _ in range(FAILURES_MAX):
        store.failed(lost.peer_id)
    order = [saved.contact for saved in store.best(10)]

    assert order == [lately, long_ago, untried, failing, lost]
    assert [saved.contact for saved in store.best(1, exclude={lately.peer_id})] == [long_ago]


def test_what_is_said_about_strangers_is_ignored(store):
    """Results for a peer without a contact change nothing."""
    stranger = contact(1).peer_id
    store.succeeded(stranger, AT)
    store.failed(stranger)
    store.forget(stranger)

    assert (len(store), store.changed) == (0, False)


def test_a_forgotten_peer_is_gone(path, store):
    """Forgetting is saved like everything else."""
    store.add(contact(1), AT)
    store.save()
    store.forget(contact(1).peer_id)
    store.save()

    assert store_at(path).load(AT).kept == 0


def test_errors_of_contacts_are_peer_errors():
    """A caller that adds strangers' contacts catches one family."""
    assert issubclass(ContactExpiredError, PeerError)
