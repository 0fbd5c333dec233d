"""What a node keeps of clusters: read back as it was, whatever a crash or a damaged disk left."""

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, later, path
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import NotPrivateError
from kontinuum.clusters import home as home_room
from kontinuum.clusters import store as room
from kontinuum.clusters.errors import (
    AlreadyInClusterError,
    DamagedStoreError,
    NewerStoreError,
    NoClusterError,
    NoKeyError,
)
from kontinuum.clusters.home import Home
from kontinuum.clusters.store import ClusterStore, Keys
from kontinuum.identity.errors import PassphraseNeededError, WrongPassphraseError
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost
from kontinuum.keys.keystore import ByPassphrase, Unprotected
from kontinuum.keys.orders import Order
from kontinuum.keys.way_back import Way
from kontinuum.wire import cbor

ENTROPY = SystemEntropy()
PLAIN = Unprotected()
SEALED = ByPassphrase("open sesame", Argon2Cost(ARGON2_MEMORY_KIB_MIN, 1, 1))


@pytest.fixture
def ours():
    """Our family; the server is our own node."""
    return Family()


@pytest.fixture
def store(tmp_path, ours):
    """The files of our server."""
    return begun(tmp_path / "cluster", ours, ours.server)


def begun(directory, family, node, epoch=PLAIN, branch=PLAIN):
    """A store of one node of a family."""
    store = ClusterStore(directory)
    store.begin(
        family.copy(), node.branch.path, Keys(node.epoch, epoch, node.branch, branch), entropy=ENTROPY
    )
    return store


def again(store):
    """The same files, for another process."""
    return ClusterStore(store.directory)


def test_a_new_node_is_read_back(store, ours):
    """
    Chain, place and keys are there after a restart; everything is for its owner only.
    """
    book = again(store).load_book()

    assert (book.own, book.path) == (ours.chain, path("/1.0"))
    assert again(store).current_epoch(book) == ours.server.epoch
    assert again(store).keys.branch() == ours.server.branch
    assert again(store).way(book).way is Way.NONE
    for each in (store.directory, *store.directory.rglob("*")):
        assert each.stat().st_mode & 0o777 == (0o700 if each.is_dir() else 0o600), each


def test_a_directory_without_a_cluster_says_how_to_come_to_one(tmp_path):
    """
    Nothing there: an empty book, and a message that helps.
    """
    store = ClusterStore(tmp_path / "cluster")

    assert not store.exists()
    assert store.load_book().own is None
    with pytest.raises(NoClusterError, match="cluster init"):
        store.home()


def test_statements_are_kept(store, ours):
    """
    What was appended is there after a restart, also about clusters that we trust.
    """
    bobs = Family(OTHER_SEED)
    book = store.load_book()
    said = ours.author(ours.laptop.branch).rekey(later(1)).statement
    store.append(ours.chain.cluster, [said])
    entry = book.trust_entry(bobs.chain.genesis, "bob", "meet", ours.server.epoch.signing(), NOON)
    book.merge_trust([entry])
    store.save_trust(book.trust)
    store.append(bobs.chain.cluster, bobs.chain)

    after = again(store).load_book()

    assert after.own == ours.chain
    assert after.chain(bobs.chain.cluster) == bobs.chain
    assert [each.name for each in after.trusted()] == ["bob"]


def test_the_newest_epoch_that_the_chain_declares_is_current(store, ours):
    """
    A rekeying writes the secret first: a crash before the statement leaves the old epoch, after it the new.
    """
    rekeyed = ours.author(ours.server.branch).rekey(later(1))
    store.keys.write(rekeyed.secret, PLAIN, entropy=ENTROPY)
    before = again(store)
    assert before.current_epoch(before.load_book()).epoch == 0
    store.append(ours.chain.cluster, [rekeyed.statement])
    after = again(store)
    book = after.load_book()

    assert after.current_epoch(book) == rekeyed.secret
    assert [each.epoch for each in after.epochs(book)] == [1, 0]
    store.keys.write(rekeyed.secret, PLAIN, entropy=ENTROPY)  # Once more, as after a crash.


def test_an_epoch_that_was_made_elsewhere_is_noticed(store, ours):
    """
    The chain names a newer epoch of ours than this disk has.
    """
    store.append(ours.chain.cluster, [ours.author(ours.server.branch).rekey(later(1)).statement])

    assert store.way(again(store).load_book()).way is Way.MOVE_ON


def test_a_secret_of_another_name_is_not_replaced(store):
    """
    A file that holds another key than the one to write stays.
    """
    other = Family(OTHER_SEED).server.branch.epoch(0)
    before = store.keys.epoch_file(0).read_bytes()

    with pytest.raises(DamagedStoreError, match="another key"):
        store.keys.write(other, PLAIN, entropy=ENTROPY)
    assert store.keys.epoch_file(0).read_bytes() == before


def test_passphrases_open_and_wrong_ones_change_nothing(tmp_path, ours):
    """
    The epoch and the branch each open by their own passphrase.
    """
    store = begun(tmp_path / "cluster", ours, ours.server, SEALED, SEALED)
    book = store.load_book()
    asked = []

    with pytest.raises(PassphraseNeededError):
        store.current_epoch(book)
    with pytest.raises(WrongPassphraseError):
        store.current_epoch(book, lambda: "wrong")
    assert store.current_epoch(book, lambda: asked.append(1) or "open sesame") == ours.server.epoch
    assert store.keys.branch(lambda: "open sesame") == ours.server.branch
    assert asked == [1]


def test_a_branch_that_is_kept_elsewhere_is_asked_for(tmp_path, ours):
    """
    Without the branch's secret here, the message says what to do.
    """
    store = ClusterStore(tmp_path / "cluster")
    keys = Keys(ours.server.epoch, PLAIN, None, PLAIN)
    store.begin(ours.copy(), ours.server.branch.path, keys, entropy=ENTROPY)

    assert not store.keys.has_branch()
    with pytest.raises(NoKeyError, match="--parent"):
        store.keys.branch()
    with pytest.raises(NoKeyError, match="rekey"):
        store.keys.epoch(5)


def test_key_files_of_a_wrong_name_are_told(store):
    """
    Somebody renamed files: they are not taken for what their names say.
    """
    store.keys.epoch_file(0).rename(store.keys.epoch_file(3))
    with pytest.raises(DamagedStoreError, match="another key"):
        store.keys.epoch(3)
    store.keys.branch_file().unlink()
    store.keys.epoch_file(3).rename(store.keys.branch_file())
    with pytest.raises(DamagedStoreError, match="another key"):
        store.keys.branch()


def test_a_file_that_others_can_read_is_refused(store):
    """
    A secret that others can read is not used; the message says the fix.
    """
    store.keys.epoch_file(0).chmod(0o644)

    with pytest.raises(NotPrivateError, match="chmod 600"):
        store.current_epoch(store.load_book())


def test_orders_are_kept(store, ours):
    """
    What was taken and what is pending is there after a restart.
    """
    order = Order.issue(ours.chain, ours.root, path("/1.0"), sequence=7, at=NOON)
    store.save_orders({order.issuer: 7}, [order])

    assert again(store).orders() == (order,)
    assert again(store).obedience().latest == {order.issuer: 7}


def test_a_new_branch_of_the_same_place_takes_over_and_the_old_keys_stay(store, ours):
    """
    After a recovery the node runs with the new branch; the old secrets open what was sealed before.
    """
    new = ours.author(ours.root).recover(1, later(1))
    store.begin(ours.copy(), new.branch.path, Keys(new.epoch, PLAIN, new.branch, PLAIN), entropy=ENTROPY)
    after = again(store)
    book = after.load_book()

    assert after.epochs(book) == [new.epoch, ours.server.epoch]
    assert (after.home().keys, after.home().former) == ("keys-2", (("keys", path("/1.0")),))
    assert after.forget_former_keys() == 1
    assert again(store).epochs(book) == [new.epoch]
    assert not (store.directory / "keys").exists()


def test_the_same_branch_is_not_begun_twice(store, ours):
    """
    Joining again with the same handover changes nothing.
    """
    before = {each: each.read_bytes() for each in store.directory.rglob("*") if each.is_file()}
    with pytest.raises(AlreadyInClusterError):
        store.begin(
            ours.copy(),
            path("/1.0"),
            Keys(ours.server.epoch, PLAIN, ours.server.branch, PLAIN),
            entropy=ENTROPY,
        )

    assert {each: each.read_bytes() for each in store.directory.rglob("*") if each.is_file()} == before


def test_what_an_attempt_before_a_crash_left_hinders_nobody(tmp_path, ours):
    """
    Keys of another cluster from a beginning that was never finished stay where they are, unused.
    """
    directory = tmp_path / "cluster"
    begun(directory, Family(OTHER_SEED), Family(OTHER_SEED).steward)
    (directory / "cluster.cbor").unlink()

    store = begun(directory, ours, ours.steward)

    assert store.home().keys == "keys-2"
    assert again(store).current_epoch(again(store).load_book()) == ours.steward.epoch


def test_a_damaged_home_is_told(store):
    """
    Every changed byte of the file is noticed; the message says what to do.
    """
    file = store.directory / "cluster.cbor"
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises((DamagedStoreError, NewerStoreError)):
            again(store).home()
    file.write_bytes(whole[:-1])
    with pytest.raises(DamagedStoreError, match="recover"):
        again(store).home()


def test_a_newer_home_is_left_alone(store):
    """
    A newer program's file is refused by name.
    """
    file = store.directory / "cluster.cbor"
    file.write_bytes(cbor.encode({**cbor.decode(file.read_bytes()), 0: 2}))

    with pytest.raises(NewerStoreError, match="newer"):
        again(store).home()


def test_a_chain_that_lost_its_middle_says_so(store, ours):
    """
    Statements that others build on are gone: the rest is used where it can be, and the loss is told.
    """
    chain_file = next((store.directory / "chains").iterdir())
    for statement in ours.chain:
        again(store).append(ours.chain.cluster, [statement])
    whole = chain_file.read_bytes()
    first = whole.index(b"steward")
    chain_file.write_bytes(whole[:first] + b"stewart" + whole[first + 7 :])
    after = again(store)

    assert after.load_book().own == ours.chain
    assert any("damaged" in problem for problem in after.problems)


def test_a_bundle_that_is_none_is_passed_over(store, ours):
    """
    A record whose checksum fits and whose content is nothing: told, and passed over.
    """
    store._chain_file(ours.chain.cluster).append([b"nothing"])
    after = again(store)

    assert after.load_book().own == ours.chain
    assert len(after.problems) == 1


def test_a_long_file_is_written_anew(store, ours, monkeypatch):
    """
    A file that repeats itself becomes short at the next start, and says the same.
    """
    monkeypatch.setattr(room, "COMPACT_STATEMENTS_MIN", 10)
    for _ in range(3):
        store.append(ours.chain.cluster, ours.chain)
    file = next((store.directory / "chains").iterdir())
    before = file.stat().st_size

    assert ClusterStore(store.directory, read_only=True).load_book().own == ours.chain
    assert file.stat().st_size == before
    assert again(store).load_book().own == ours.chain
    assert file.stat().st_size < before
    assert again(store).load_book().own == ours.chain


def test_homes_keep_a_bounded_past(monkeypatch, ours):
    """
    Of very many earlier branches the oldest are not listed any more, and no directory is used twice.
    """
    monkeypatch.setattr(home_room, "FORMER_KEYS_MAX", 3)
    home = Home(ours.chain.genesis, path("/1.0"))
    for _ in range(5):
        home = Home(ours.chain.genesis, path("/1.0")).after(home)

    assert home.keys == "keys-6"
    assert [keys for keys, _ in home.former] == ["keys-3", "keys-4", "keys-5"]
    assert Home.decode(home.encode()) == home
    assert home.elsewhere().keys == "keys-7"


@pytest.mark.parametrize("field", range(1, 8))
@pytest.mark.parametrize("value", [None, 1, b"x", "../x", [[1]], {}])
def test_a_home_with_a_wrong_field_is_refused(ours, field, value):
    """
    Whatever stands in a field, any bytes give a home or an error of ours.
    """
    whole = Home(ours.chain.genesis, path("/1.0"), latest={}, former=(("keys", path("/1.0")),))
    fields = {**cbor.decode(whole.encode()), field: value}
    if field != 7:
        fields[7] = home_room._checksum({key: item for key, item in fields.items() if key != 7})

    with pytest.raises(home_room.MalformedError):
        Home.decode(cbor.encode(fields))
