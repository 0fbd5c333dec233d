"""What a person does to a cluster: any ancestor may, nobody else, and nothing is done by halves."""

import pytest

from helpers.keys import NOON, OTHER_SEED, SEED, later, path, place
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import MisuseError
from kontinuum.clusters import acts
from kontinuum.clusters.book import Book
from kontinuum.clusters.errors import (
    AmbiguousNameError,
    BadNameError,
    HandoverError,
    UnknownNameError,
    WrongParentError,
)
from kontinuum.clusters.handover import Handover, seal_handover, take_over
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.new_root import FORMER_NAME, follow_root, replace_root
from kontinuum.clusters.store import ClusterStore, Keys
from kontinuum.identity import KeyPair
from kontinuum.identity.errors import PassphraseNeededError
from kontinuum.keys.author import Author
from kontinuum.keys.backup.roots import ShortSeed
from kontinuum.keys.bodies import Reason, Scope
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.envelope import X25519Recipient
from kontinuum.keys.errors import LastKeyError, WrongClusterError, WrongRootError
from kontinuum.keys.keystore import Unprotected
from kontinuum.keys.orders import Obedience
from kontinuum.keys.standing import Standing

ENTROPY = SystemEntropy()
NEW_SEED = RootSeed(bytes([5] * 32))


class Cluster:
    """A cluster made by acts: home with a steward's place below which is a lamp, and a laptop."""

    def __init__(self, root=SEED):
        self.home = acts.begin_cluster(root, NOON, label="home", depth=1).handover
        self.chain = self.home.chain
        self.root, self.checked = acts.root_branch(self.chain.genesis, root)
        self.laptop = acts.add_node(self.chain, self.root, NOON, label="laptop").handover
        self.lamp = acts.add_node(self.chain, self.home.branch, NOON, label="lamp").handover


@pytest.fixture
def cluster():
    """A fresh one."""
    return Cluster()


def key(handover):
    """What a node speaks with."""
    return handover.epoch.signing().peer_id


def stored(directory, handover):
    """The files of one node."""
    store = ClusterStore(directory)
    store.begin(
        handover.chain.copy(),
        handover.branch.path,
        Keys(handover.epoch, Unprotected(), handover.branch, Unprotected()),
        entropy=ENTROPY,
    )
    return store


@pytest.mark.parametrize("root", [SEED, ShortSeed(bytes(16))])
def test_a_cluster_begins_with_one_node(root):
    """
    Roots of 24 and 12 words make a cluster whose first node speaks for /0.
    """
    made = acts.begin_cluster(root, NOON, label="home")
    chain = made.handover.chain

    assert tuple(chain) == made.statements
    assert Standing(chain).verify_speaker(key(made.handover)) == place("/0")
    assert acts.root_branch(chain.genesis, root)[1].number == 0


def test_one_root_has_several_clusters():
    """
    Another number gives another cluster; the root is found for each.
    """
    chain = acts.begin_cluster(SEED, NOON, number=3).handover.chain

    assert chain.cluster != acts.begin_cluster(SEED, NOON).handover.chain.cluster
    assert acts.branch_of(chain, SEED)[1].number == 3


def test_secrets_that_cannot_speak_are_told(cluster):
    """
    Another root, another cluster's branch, or an epoch's secret say nothing here.
    """
    with pytest.raises(WrongParentError, match="not the root"):
        acts.branch_of(cluster.chain, OTHER_SEED)
    with pytest.raises(WrongParentError, match="another cluster"):
        acts.branch_of(cluster.chain, Cluster(OTHER_SEED).home.branch)
    with pytest.raises(WrongParentError, match="epoch"):
        acts.branch_of(cluster.chain, cluster.home.epoch)
    assert acts.branch_of(cluster.chain, cluster.home.branch) == (cluster.home.branch, None)


def test_people_name_nodes_by_place_label_or_key(cluster):
    """
    All three lead to the place; an old key as well.
    """
    acts.Author(cluster.chain, cluster.laptop.branch).rekey(later(1))
    for who in ("/1", "laptop", "home:laptop", str(key(cluster.laptop)), key(cluster.laptop).libp2p):
        assert acts.place_of(cluster.chain, who) == place("/1"), who
    assert acts.path_of(cluster.chain, "lamp") == path("/0.0/0.0")
    for who in ("/7", "tv", "/", str(KeyPair.from_seed(bytes([9] * 32)).peer_id)):
        with pytest.raises(UnknownNameError):
            acts.place_of(cluster.chain, who)
    Author(cluster.chain, cluster.root).delegate(NOON, label="laptop")  # As another machine may, at once.
    with pytest.raises(AmbiguousNameError):
        acts.place_of(cluster.chain, "laptop")


def test_a_label_is_a_name_and_nobody_elses(cluster):
    """
    What nobody could read, would mean something else, or is a living node's, is refused; nothing is said.
    """
    before = len(cluster.chain)
    for label in (
        "a" * 65,
        "\u00e4" * 33,
        "/1",
        "bob:x",
        " tv",
        "tv ",
        "t\x1bv",
        "t\udcffv",
        "laptop",
        str(key(cluster.laptop)),
    ):
        with pytest.raises(BadNameError):
            acts.add_node(cluster.chain, cluster.root, NOON, label=label)
    assert len(cluster.chain) == before

    acts.revoke_node(cluster.chain, cluster.root, path("/1.0"), Scope.PLACE, NOON)
    for label in ("laptop", "l" * 64, "Gr\u00f6\u00dfe 2", ""):
        acts.add_node(cluster.chain, cluster.root, NOON, label=label)


def test_the_root_recovers_a_grandchild_whose_parent_is_in_use(cluster):
    """
    The root makes the parent's secret, and with it the grandchild's next branch.
    """
    made = acts.recover_node(cluster.chain, cluster.root, path("/0.0/0.0"), later(1))

    assert made.handover.branch.path == path("/0.0/0.1")
    assert Standing(cluster.chain).of_place(place("/0/0")).signing == key(made.handover)


def test_nobody_speaks_about_those_who_are_not_below(cluster):
    """
    A sibling, or a child about its parent, is refused, and nothing is said.
    """
    before = len(cluster.chain)
    for ancestor, target in ((cluster.laptop, "/0.0/0.0"), (cluster.lamp, "/0.0"), (cluster.home, "/1.0")):
        for act in (
            lambda a, t: acts.revoke_node(cluster.chain, a, t, Scope.BRANCH, later(1)),
            lambda a, t: acts.recover_node(cluster.chain, a, t, later(1)),
            lambda a, t: acts.order_rekey(cluster.chain, a, t, later(1)),
        ):
            with pytest.raises(WrongParentError):
                act(ancestor.branch, path(target))
    with pytest.raises(MisuseError, match="new-root"):
        acts.recover_node(cluster.chain, cluster.root, path("/"), later(1))
    assert len(cluster.chain) == before


def test_the_last_key_stays_unless_the_root_is_at_hand():
    """
    A node alone cannot take itself out of use; with the root shown, it can be done.
    """
    home = acts.begin_cluster(SEED, NOON).handover
    root, checked = acts.root_branch(home.chain.genesis, SEED)
    with pytest.raises(LastKeyError):
        acts.revoke_node(home.chain, home.branch, path("/0.0"), Scope.BRANCH, later(1))

    acts.revoke_node(
        home.chain, root, path("/0.0"), Scope.BRANCH, later(1), reason=Reason.LOST, recovery=checked
    )
    assert not Standing(home.chain).speakers()


def test_a_revocation_of_epochs_takes_those_until_now(cluster):
    """
    The node itself makes the next one.
    """
    acts.revoke_node(cluster.chain, cluster.root, path("/1.0"), Scope.EPOCHS, later(1))
    assert not Standing(cluster.chain).of_place(place("/1")).verdict.living
    acts.Author(cluster.chain, cluster.laptop.branch).rekey(later(2))

    assert Standing(cluster.chain).of_place(place("/1")).epoch == 1


def test_an_order_is_obeyed_once(cluster):
    """
    The order names the newest epoch, and a later one has a higher number.
    """
    first = acts.order_rekey(cluster.chain, cluster.root, path("/1.0"), later(1))
    second = acts.order_rekey(cluster.chain, cluster.root, path("/1.0"), later(2))

    assert Obedience(path("/1.0")).verify(first, cluster.chain) == 0
    assert second.sequence > first.sequence


def test_a_new_root_gives_every_living_node_its_place(cluster):
    """
    Places, labels and depths are as before, keys are new, and each handover proves that the old root left.
    """
    acts.revoke_node(cluster.chain, cluster.root, path("/1.0"), Scope.BRANCH, later(1))
    copy = cluster.chain.copy()
    made = replace_root(cluster.chain, SEED, NEW_SEED, later(2))
    standing = Standing(made.chain)

    assert [str(each) for each in made.handovers] == ["/0", "/0/0"]
    assert [(str(each.place), each.label) for each in standing.speakers()] == [
        ("/0", "home"),
        ("/0/0", "lamp"),
    ]
    for at, handover in made.handovers.items():
        assert standing.verify_speaker(key(handover)) == at
    copy.merge(follow_root(copy, made.handovers[place("/0")].succession, made.chain))
    assert not Standing(copy).speakers()
    assert acts.add_node(made.chain, made.handovers[place("/0")].branch, later(3)).handover


def test_a_node_between_that_does_not_speak_keeps_its_children(cluster):
    """
    The steward's keys are out of use, its branch is not: what is below it goes along, it does not.
    """
    acts.revoke_node(cluster.chain, cluster.root, path("/0.0"), Scope.EPOCHS, later(1))
    made = replace_root(cluster.chain, SEED, NEW_SEED, later(2))

    assert [str(each) for each in made.handovers] == ["/0/0", "/1"]


def test_an_interrupted_change_of_the_root_goes_on(cluster):
    """
    Begun again with what was kept, also after the old root said its last word, nothing is said twice.
    """
    first = replace_root(cluster.chain.copy(), SEED, NEW_SEED, later(1))
    second = replace_root(cluster.chain, SEED, NEW_SEED, later(2), begun=first.chain.copy())
    third = replace_root(cluster.chain, SEED, NEW_SEED, later(3), begun=first.chain.copy())

    assert first.chain == second.chain == third.chain
    assert len(cluster.chain.registers.transitions) == 1
    assert [key(each) for each in first.handovers.values()] == [
        key(each) for each in third.handovers.values()
    ]


def test_what_the_cluster_trusts_is_trusted_under_the_new_root(cluster):
    """
    Trusted clusters stay trusted, and old keys of our own lead to the new ones.
    """
    bob = Cluster(OTHER_SEED)
    book = Book(cluster.chain, path("/1.0"))
    entry = book.trust_entry(bob.chain.genesis, "bob", "meet", cluster.laptop.epoch.signing(), NOON)
    book.merge_trust([entry])
    made = replace_root(cluster.chain, SEED, NEW_SEED, later(1), book.trusted())
    after = Book(made.chain, path("/1.0"), chains=[cluster.chain])
    after.merge_trust(made.handovers[place("/1")].trust)

    assert {each.name for each in after.trusted()} == {"bob", FORMER_NAME}
    judged = after.judge(key(cluster.lamp))
    assert (judged.judgement, judged.current) == (
        Judgement.OUT_OF_USE,
        key(made.handovers[place("/0/0")]),
    )


def test_wrong_roots_are_refused(cluster):
    """
    Neither another cluster's root, nor the same one again, nor that of a cluster that we trust.
    """
    book = Book(cluster.chain, path("/1.0"))
    bob = Cluster(OTHER_SEED)
    signer = cluster.laptop.epoch.signing()
    book.merge_trust([book.trust_entry(bob.chain.genesis, "bob", "meet", signer, NOON)])
    with pytest.raises(WrongRootError):
        replace_root(cluster.chain, OTHER_SEED, NEW_SEED, later(1))
    with pytest.raises(MisuseError, match="is the old one"):
        replace_root(cluster.chain, SEED, SEED, later(1))
    with pytest.raises(MisuseError, match="we trust"):
        replace_root(cluster.chain, SEED, OTHER_SEED, later(1), book.trusted())
    with pytest.raises(WrongRootError):
        replace_root(cluster.chain, SEED, NEW_SEED, later(1), begun=bob.chain)
    assert Standing(cluster.chain).speakers()


def test_a_node_takes_over_what_was_sealed_to_it(cluster, tmp_path):
    """
    A parcel moves a node to its place under the new root; its old keys stay for what was sealed to them.
    """
    store = stored(tmp_path / "cluster", cluster.laptop)
    book = store.load_book()
    made = replace_root(cluster.chain.copy(), SEED, NEW_SEED, later(1))
    parcel = seal_handover(
        made.handovers[place("/1")],
        X25519Recipient(cluster.laptop.epoch.encryption().public),
        entropy=ENTROPY,
    )
    take_over(store, book, store.epochs(book), parcel, entropy=ENTROPY)
    after = ClusterStore(store.directory)
    now = after.load_book()

    assert now.own == made.chain
    assert after.epochs(now) == [made.handovers[place("/1")].epoch, cluster.laptop.epoch]
    assert now.trusted_named(FORMER_NAME).successor == made.chain.cluster


def test_a_parcel_of_anybody_else_changes_nothing(cluster, tmp_path):
    """
    Another root's, another place's, and one for another key are refused; the node stays what it is.
    """
    store = stored(tmp_path / "cluster", cluster.laptop)
    book = store.load_book()
    ours = X25519Recipient(cluster.laptop.epoch.encryption().public)
    made = replace_root(cluster.chain.copy(), SEED, NEW_SEED, later(1))
    thief = Cluster(OTHER_SEED)
    forged = replace_root(thief.chain, OTHER_SEED, RootSeed(bytes([6] * 32)), later(1))
    lamp = X25519Recipient(cluster.lamp.epoch.encryption().public)
    right = made.handovers[place("/1")]
    bare = Handover(right.chain, right.branch, right.epoch)
    for handover, recipient, error in (
        (forged.handovers[place("/1")], ours, WrongClusterError),
        (bare, ours, WrongClusterError),
        (made.handovers[place("/0")], ours, HandoverError),
        (right, lamp, PassphraseNeededError),
    ):
        parcel = seal_handover(handover, recipient, entropy=ENTROPY)
        with pytest.raises(error):
            take_over(store, store.load_book(), store.epochs(book), parcel, entropy=ENTROPY)
    with pytest.raises(HandoverError):
        take_over(store, Book(), store.epochs(book), b"", entropy=ENTROPY)

    after = ClusterStore(store.directory)
    assert after.load_book().own == cluster.laptop.chain
    assert after.current_epoch(after.load_book()) == cluster.laptop.epoch
