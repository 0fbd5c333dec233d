"""Who is who: keys and names of our cluster, and of those that we trust."""

import pytest

from helpers.keys import NOON, OTHER_SEED, SEED, Family, later, path, place
from kontinuum.clusters import book as room
from kontinuum.clusters.book import Book
from kontinuum.clusters.errors import (
    AmbiguousNameError,
    BadNameError,
    NoClusterError,
    TooManyTrustedError,
    UnknownClusterError,
    UnknownNameError,
)
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.names import is_name
from kontinuum.clusters.trust import TrustList
from kontinuum.identity import KeyPair
from kontinuum.keys.bodies import Rekey, Scope
from kontinuum.keys.chain import Chain
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.errors import WrongClusterError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.recovery import CheckedRecovery

STRANGER = KeyPair.from_seed(bytes([9] * 32)).peer_id


@pytest.fixture
def ours():
    """Our family; the server is our own node."""
    return Family(SEED)


@pytest.fixture
def bobs():
    """Another family."""
    return Family(OTHER_SEED)


@pytest.fixture
def book(ours, bobs):
    """What our server knows, which trusts Bob's cluster."""
    book = Book(ours.chain, path("/1.0"))
    trust(book, ours, bobs, "bob")
    return book


def key(handover):
    """The key that a node speaks with."""
    return handover.epoch.signing().peer_id


def trust(book, ours, other, name, by=None):
    """Trust another family, by the word of the server or of somebody else."""
    signer = (by or ours.server).epoch.signing()
    entry = book.trust_entry(other.chain.genesis, name, "given", signer, NOON)
    assert [entry] == book.merge_trust([entry])
    book.merge(other.chain.cluster, other.chain)
    return entry


def test_keys_are_known_by_the_chain_that_names_them(book, ours, bobs):
    """
    A key of our cluster, of one that we trust, and of a stranger.
    """
    own, other = book.judge(key(ours.laptop)), book.judge(key(bobs.phone))

    assert (own.judgement, own.member.text, own.member.own) == (Judgement.MEMBER, "/0/0", True)
    assert (other.judgement, other.member.text, other.member.own) == (Judgement.MEMBER, "bob:/0/1", False)
    assert other.member.label == "phone"
    assert (book.judge(STRANGER).judgement, book.judge(STRANGER).member) == (Judgement.STRANGER, None)


def test_an_old_key_leads_to_the_new_one(book, bobs):
    """
    After a rekeying the old key is superseded, and names and old key lead to the new one.
    """
    old = key(bobs.server)
    assert Judgement.MEMBER is book.judge(old).judgement
    new = bobs.author(bobs.server.branch).rekey(later(1))
    book.merge(bobs.chain.cluster, [new.statement])
    current = new.secret.signing().peer_id

    assert (Judgement.SUPERSEDED, current) == (book.judge(old).judgement, book.judge(old).current)
    assert current == book.current(old) == book.resolve("bob:server") == book.resolve("bob:/1")
    assert book.current(STRANGER) == STRANGER


def test_a_revoked_key_is_out_of_use_and_its_successor_is_found(book, ours):
    """
    A stolen node's key is out of use; when its place has a new branch, the old key leads there.
    """
    stolen = key(ours.laptop)
    ours.author(ours.steward.branch).revoke(ours.laptop.branch.path, Scope.BRANCH, later(1))
    before = book.judge(stolen)
    new = ours.author(ours.steward.branch).recover(0, later(2))

    assert (before.judgement, before.current) == (Judgement.OUT_OF_USE, None)
    assert (Judgement.OUT_OF_USE, key(new)) == (book.judge(stolen).judgement, book.judge(stolen).current)
    assert key(new) == book.resolve("home:laptop")


def test_our_own_chain_decides_about_the_keys_that_it_knows(book, ours, bobs):
    """
    What another cluster says about one of our keys has no effect; of others, the worst counts.
    """
    eve = Family(RootSeed(bytes([7] * 32)))
    trust(book, ours, eve, "eve")
    for family in (eve, bobs):
        assert Judgement.MEMBER is book.judge(key(family.server)).judgement
    bobs.author(bobs.root).revoke(path("/1.0"), Scope.PLACE, later(3))
    book.merge(bobs.chain.cluster, bobs.chain)

    assert Judgement.OUT_OF_USE is book.judge(key(bobs.server)).judgement
    assert Judgement.MEMBER is book.judge(key(eve.server)).judgement


def test_fellows_are_the_living_nodes_but_ourselves(book, ours):
    """
    The other nodes of our cluster whose keys speak, in order.
    """
    assert [member.text for member in book.fellows()] == ["/0", "/0/0", "/0/1"]
    ours.author(ours.root).revoke(path("/0.0"), Scope.BRANCH, later(1))

    assert book.fellows() == ()
    assert Book().fellows() == ()


@pytest.mark.parametrize("text", ["/1", "/0/1", "bob:", "bob:/1", "bob:laptop", "home:laptop", "bob:Zoë's"])
def test_what_looks_like_a_name(text):
    """
    Places, and clusters with a place or label, are names.
    """
    assert is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "ab" * 32,
        "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf",
        "kontinuum:abc",
        "/ip4/127.0.0.1/udp/1/quic-v1",
        "laptop",
        "",
        "192.0.2.1:4433",
        "bob:" + "x" * 65,
    ],
)
def test_what_is_no_name(text):
    """
    Keys, contacts and addresses are never taken for names.
    """
    assert not Book.is_name(text)


def test_names_lead_to_the_keys_of_now(book, ours, bobs):
    """
    Places, labels, and a cluster's first living node.
    """
    assert key(ours.server) == book.resolve("/1") == book.resolve("home:server")
    assert key(bobs.steward) == book.resolve("bob:") == book.resolve("bob:/0")
    assert key(bobs.laptop) == book.resolve("bob:laptop")


@pytest.mark.parametrize("text", ["/7", "/", "/01", "//", "eve:", "bob:tv", "home:tv", "tv", "bob:/9"])
def test_names_that_lead_nowhere_are_told(book, text):
    """
    A name that is nobody's says so.
    """
    with pytest.raises(UnknownNameError):
        book.resolve(text)


def test_a_label_that_two_nodes_have_is_no_name(book, ours):
    """
    An ambiguous label names the candidates; if only one of them is in use, it is meant.
    """
    second = ours.author(ours.root).delegate(later(1), label="server")
    with pytest.raises(AmbiguousNameError, match="/1, /2"):
        book.resolve("home:server")
    ours.author(ours.root).revoke(path("/1.0"), Scope.PLACE, later(2))

    assert key(second) == book.resolve("home:server")
    with pytest.raises(UnknownNameError, match="no key speaks"):
        book.resolve("/1")


def test_a_name_that_is_taken_gets_a_number(book, ours):
    """
    The second cluster of a name is called otherwise, and the first keeps its name whoever comes.
    """
    eve = Family(RootSeed(bytes([7] * 32)))
    trust(book, ours, eve, "bob")

    assert [each.name for each in book.trusted()] == ["bob", "bob-2"]
    assert book.trusted_cluster(eve.chain.cluster).name == "bob-2"
    assert key(eve.server) == book.resolve("bob-2:server")


def test_two_nodes_that_gave_the_same_name_read_it_alike(ours, bobs):
    """
    Two of our nodes trust two clusters under one name at once: the one that was said earlier keeps it.
    """
    eve = Family(RootSeed(bytes([7] * 32)))
    first, second = Book(ours.chain, path("/1.0")), Book(ours.chain, path("/0.0/0.0"))
    one = first.trust_entry(bobs.chain.genesis, "bob", "meet", ours.server.epoch.signing(), later(5))
    two = second.trust_entry(eve.chain.genesis, "bob", "meet", ours.laptop.epoch.signing(), later(4))
    for book, order in ((first, [one, two]), (second, [two, one])):
        book.merge_trust(order)

    assert first.trusted() == second.trusted()
    assert (
        first.trusted_cluster(eve.chain.cluster).name,
        first.trusted_cluster(bobs.chain.cluster).name,
    ) == ("bob", "bob-2")


def test_distrust_makes_strangers(book, ours, bobs):
    """
    Nodes of a cluster that is trusted no longer are strangers, and its chain takes nothing in.
    """
    entry = book.distrust_entry("bob", ours.server.epoch.signing(), later(1))
    book.merge_trust([entry])

    assert Judgement.STRANGER is book.judge(key(bobs.server)).judgement
    assert (ours.chain.cluster,) == book.clusters()
    assert book.chain(bobs.chain.cluster) is None
    with pytest.raises(UnknownClusterError):
        book.merge(bobs.chain.cluster, [])
    trust(book, ours, bobs, "bob")
    assert Judgement.MEMBER is book.judge(key(bobs.server)).judgement


def test_what_a_stolen_node_said_falls_with_its_revocation(ours, bobs):
    """
    A thief trusts a cluster of his own in our name; when the node is revoked, that is over.
    """
    book = Book(ours.chain, path("/1.0"))
    trust(book, ours, bobs, "bob", by=ours.laptop)
    assert Judgement.MEMBER is book.judge(key(bobs.server)).judgement
    ours.author(ours.steward.branch).revoke(ours.laptop.branch.path, Scope.BRANCH, later(1))

    assert book.trusted() == ()
    assert Judgement.STRANGER is book.judge(key(bobs.server)).judgement
    signed = book.trust.next_sequence(bobs.chain.cluster)
    with pytest.raises(Exception, match="does not speak"):
        book.trust_entry(bobs.chain.genesis, "bob", "given", ours.laptop.epoch.signing(), later(2))
    assert signed == 2


def test_the_word_of_a_node_that_rekeyed_still_counts(ours, bobs):
    """
    A superseded key's entries stay: its owner is still one of us.
    """
    book = Book(ours.chain, path("/1.0"))
    trust(book, ours, bobs, "bob", by=ours.laptop)
    ours.author(ours.laptop.branch).rekey(later(1))

    assert [each.name for each in book.trusted()] == ["bob"]
    assert place("/0/0") == book.trusted()[0].by


def test_entries_of_strangers_are_passed_over(book, ours, bobs):
    """
    Only our own nodes say whom we trust, and only about our own cluster's list.
    """
    theirs = Book(bobs.chain, path("/1.0"))
    entry = theirs.trust_entry(ours.chain.genesis, "alice", "given", bobs.server.epoch.signing(), NOON)
    with pytest.raises(WrongClusterError):
        book.merge_trust([entry])
    late = Book(Chain(ours.chain.genesis), path("/1.0"))
    ahead = book.trust_entry(bobs.chain.genesis, "bob", "given", ours.server.epoch.signing(), NOON)

    assert late.merge_trust([ahead]) == []
    late.merge(ours.chain.cluster, ours.chain)
    assert [ahead] == late.merge_trust([ahead])


def test_a_root_that_left_is_followed_by_name_and_key(book, ours, bobs):
    """
    Bob's root left for another: its keys are out of use, we see where it went, and after following, the name
    and the old keys lead to the new ones.
    """
    seed = RootSeed(bytes([5] * 32))
    new = Family(seed)
    bobs.author(bobs.root).leave(
        new.chain.genesis, new.root, later(1), recovery=CheckedRecovery(new.chain.genesis, seed)
    )
    book.merge(bobs.chain.cluster, bobs.chain)

    assert new.chain.cluster == book.trusted_named("bob").successor
    assert Judgement.OUT_OF_USE is book.judge(key(bobs.server)).judgement
    trust(book, ours, new, "bob")
    assert (Judgement.OUT_OF_USE, key(new.server)) == (
        book.judge(key(bobs.server)).judgement,
        book.judge(key(bobs.server)).current,
    )


def test_a_cluster_that_was_left_gives_its_name_away(book, ours, bobs):
    """
    The successor is called as the cluster was; the old one gets a number.
    """
    seed = RootSeed(bytes([5] * 32))
    new = Family(seed)
    bobs.author(bobs.root).leave(
        new.chain.genesis, new.root, later(1), recovery=CheckedRecovery(new.chain.genesis, seed)
    )
    book.merge(bobs.chain.cluster, bobs.chain)
    entry = book.trust_entry(new.chain.genesis, "bob", "transition", ours.server.epoch.signing(), later(2))
    book.merge_trust([entry])
    book.merge(new.chain.cluster, new.chain)

    assert key(new.server) == book.resolve("bob:server")
    assert book.trusted_cluster(bobs.chain.cluster).name == "bob-2"


def test_a_root_in_two_hands_is_told(book, bobs):
    """
    Two successors: nobody can be followed.
    """
    for number in (5, 6):
        seed = RootSeed(bytes([number] * 32))
        genesis = Genesis.issue(seed.cluster())
        bobs.author(bobs.root).leave(
            genesis, seed.cluster(), later(1), recovery=CheckedRecovery(genesis, seed)
        )
    book.merge(bobs.chain.cluster, bobs.chain)

    assert (book.trusted_named("bob").successor, book.trusted_named("bob").disputed) == (None, True)


def test_too_many_trusted_clusters_are_refused(book, ours, monkeypatch):
    """
    A further cluster is refused by name; one that is trusted already can be said again.
    """
    monkeypatch.setattr(room, "TRUSTED_MAX", 1)
    eve = Family(RootSeed(bytes([7] * 32)))
    signer = ours.server.epoch.signing()

    with pytest.raises(TooManyTrustedError):
        book.trust_entry(eve.chain.genesis, "eve", "given", signer, NOON)
    assert book.trust_entry(Family(OTHER_SEED).chain.genesis, "bob", "given", signer, NOON)


def test_a_node_without_a_cluster_trusts_nobody(bobs):
    """
    Without a cluster there is nobody who could trust.
    """
    book = Book()
    with pytest.raises(NoClusterError):
        book.trust_entry(bobs.chain.genesis, "bob", "given", bobs.server.epoch.signing(), NOON)
    with pytest.raises(UnknownNameError):
        book.resolve("/1")
    assert (book.cluster, book.place, book.clusters()) == (None, None, ())


def test_long_and_reserved_names_are_refused(book, ours):
    """
    A name that would mean something else is refused before anything is signed.
    """
    eve = Family(RootSeed(bytes([7] * 32)))
    for name in ("home", "Kontinuum", "x" * 33):
        with pytest.raises(BadNameError):
            book.trust_entry(eve.chain.genesis, name, "given", ours.server.epoch.signing(), NOON)


def test_judgements_are_remembered_within_bounds(book, monkeypatch):
    """
    Strangers who come with ever new keys do not fill the memory.
    """
    monkeypatch.setattr(room, "JUDGED_MAX", 4)
    for number in range(20, 40):
        book.judge(KeyPair.from_seed(bytes([number] * 32)).peer_id)

    assert len(book._judged) <= 4
    assert isinstance(book.trust, TrustList)


def test_of_two_trusted_clusters_the_one_that_thinks_least_of_a_key_counts(book, ours, bobs):
    """
    A node whose own cluster revoked it does not come back through another cluster that we trust.
    """
    eve = Family(RootSeed(bytes([7] * 32)))
    stolen = bobs.server.epoch
    body = Rekey(1, stolen.signing().peer_id, stolen.encryption().public)
    eve.author(eve.server.branch)._issue(body, later(1), stolen.signing())
    trust(book, ours, eve, "eve")
    assert book.judge(key(bobs.server)).judgement is Judgement.MEMBER
    bobs.author(bobs.root).revoke(path("/1.0"), Scope.PLACE, later(3))
    book.merge(bobs.chain.cluster, bobs.chain)

    assert book.judge(key(bobs.server)).judgement is Judgement.OUT_OF_USE
