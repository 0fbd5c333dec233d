"""What thieves, and friends gone bad, try with lists of trust, keys of others, parcels and long messages."""

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from helpers.keys import NOON, later
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import FileUnavailableError, MisuseError
from kontinuum.clusters import events as ev
from kontinuum.clusters.handover import Handover, open_handover, seal_handover, take_over
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import MESSAGE_STATEMENTS_MAX, Reauth, Statements, encode
from kontinuum.clusters.record_file import FILE_BYTES_MAX, RecordFile
from kontinuum.clusters.records import magic_of
from kontinuum.clusters.sessions import STRANGER_WORK_MAX
from kontinuum.clusters.store import ClusterStore, Keys
from kontinuum.clusters.tags import REAUTH_PURPOSE, reauth_bytes
from kontinuum.clusters.trust import TRUST_SEQUENCE_MAX, How, TrustEntry
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Rekey, Scope
from kontinuum.keys.bundles import encode_bundle
from kontinuum.keys.envelope import X25519Recipient
from kontinuum.keys.errors import WrongClusterError
from kontinuum.keys.keystore import Unprotected
from kontinuum.keys.room import CHAIN_POOL_STATEMENTS, CHAIN_ROOT_STATEMENTS, CHAIN_SHARE_STATEMENTS
from kontinuum.keys.standing import Standing
from kontinuum.keys.statements import Statement
from kontinuum.keys.verdicts import Status
from kontinuum.wire.limits import KEY_CHILDREN_MAX, STATEMENT_BYTES_MAX


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


def entry(signer, home, genesis, *, sequence=1, trusted=True, name="friend"):
    """A word about a cluster, as anybody with the signer's key would write it."""
    return TrustEntry.issue(
        signer, home.id, genesis, name=name, trusted=trusted, how=How.GIVEN, sequence=sequence, at=NOON
    )


def test_the_last_number_of_a_thief_does_not_outlive_his_key(net):
    """
    He trusts his cluster with the highest number there is; after his revocation we can speak about it again.
    """
    *nodes, stolen = net.add_all(Home.found(1, 3))
    net.run(1)
    foe = Home.found(2, 1)
    last = entry(stolen.key, stolen.home, foe.chain.genesis, sequence=TRUST_SEQUENCE_MAX)
    stolen.feed(ev.TrustSaid((last,)))
    net.run(1)
    with pytest.raises(MisuseError, match="revoke that node"):
        nodes[0].book.distrust_entry("friend", nodes[0].key, NOON)
    nodes[1].revoke(stolen, Scope.PLACE)
    net.run(1)

    said = nodes[0].book.trust_entry(foe.chain.genesis, "friend", How.GIVEN, nodes[0].key, NOON)
    nodes[0].feed(ev.TrustSaid((said,)))
    net.run(1)
    assert [each.by for each in nodes[1].book.trusted()] == [nodes[0].branch.path.place]
    nodes[1].feed(ev.TrustSaid((nodes[1].book.distrust_entry("friend", nodes[1].key, NOON),)))
    net.run(1)
    assert not nodes[0].book.trusted()


def test_a_word_for_which_a_thief_left_no_room_is_not_taken_for_said(net, monkeypatch):
    """
    The list is full of his entries: our user is told that nothing happened; after his revocation it works.
    """
    monkeypatch.setattr("kontinuum.clusters.trust.TRUST_ENTRIES_MAX", 6)
    home = Home.found(1, 2)
    node, stolen = net.add_all(home)
    friend, foes = Home.found(2, 1), [Home.found(number, 1) for number in range(3, 9)]
    net.run(1)
    words = [entry(stolen.key, home, foe.chain.genesis) for foe in (friend, *foes)]
    stolen.feed(ev.TrustSaid(tuple(words[:6])))
    net.run(1)
    assert len(node.book.trust) == 6

    node.feed(ev.TrustSaid((node.book.distrust_entry("friend", node.key, NOON),)))
    assert isinstance(node.of(ev.NotSaid)[-1].error, MisuseError)
    node.revoke(stolen, Scope.PLACE)
    word = node.book.trust_entry(friend.chain.genesis, "friend", How.GIVEN, node.key, NOON)
    before = len(node.of(ev.NotSaid))
    node.feed(ev.TrustSaid((word,)))
    assert len(node.of(ev.NotSaid)) == before
    assert [each.cluster for each in node.book.trusted()] == [friend.id]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_friend_who_stole_a_key_leads_nobody_who_asks_for_it_to_himself(net, replaced):
    """
    The root of a trusted cluster declares another friend's stolen key as its own node's, and moves on.
    """
    node = net.add(Home.found(1, 1), 0)
    for number in (2, 3):  # Whichever of the two has the lesser id.
        alice, evil = Home.found(number, 1), Home.found(5 - number, 1)
        (branch, stolen), (theirs, _) = alice.secrets[0], evil.secrets[0]
        body = Rekey(1, stolen.signing().peer_id, stolen.encryption().public)
        if replaced:
            Author(alice.chain, branch).rekey(later(1))
        evil_pen = Author(evil.chain, theirs)
        evil_pen._issue(body, later(1), stolen.signing())
        evil_pen.rekey(later(2))
        node = net.add(Home.found(1, 1), 0)
        node.trust(alice, "alice")
        node.trust(evil, "evil")

        judged = node.book.judge(stolen.signing().peer_id)
        assert (judged.judgement, judged.current) == (Judgement.OUT_OF_USE, None)


def test_a_parcel_brings_nothing_into_the_chain_that_is_not_looked_at(tmp_path):
    """
    A thief hands a node the revocation of his own key, so that it is no news any more when it comes.
    """
    home, own_root = Home.found(1, 2), Home.found(9, 2)
    (branch, epoch), (stolen, _) = home.secrets
    store = ClusterStore(tmp_path / "cluster")
    store.begin(
        home.copy(), branch.path, Keys(epoch, Unprotected(), None, Unprotected()), entropy=SystemEntropy()
    )
    book = store.load_book()
    revocation = Author(home.chain, home.root).revoke(stolen.path, Scope.PLACE, NOON)
    parcel = seal_handover(
        Handover(own_root.chain, *own_root.secrets[0], succession=(revocation,)),
        X25519Recipient(epoch.encryption().public),
        entropy=SystemEntropy(),
    )

    with pytest.raises(WrongClusterError):
        take_over(store, book, store.epochs(book), parcel)
    assert book.own is not None
    assert revocation.id not in book.own
    assert book.merge(home.id, [revocation]).added == [revocation]


def test_no_message_holds_a_node_up_for_longer_than_its_part(net, monkeypatch):
    """
    A long bundle of a friend gone bad: a part is looked at, the rest asked for, and all of it comes.
    """
    home = Home.found(1, 2)
    node, friend = net.add(home, 0), Scripted(net, home.secrets[1][1].signing())
    link = friend.meet(node, home.id)
    known = len(home.chain)
    branch, _ = home.secrets[1]
    pen = Author(home.chain, branch)
    while len(home.chain) < known + 1000:
        pen.rekey(NOON)
    statements = list(home.chain)[known:]
    verified = []
    verify = Statement.verify
    monkeypatch.setattr(Statement, "verify", lambda each, key: (verified.append(each), verify(each, key)))
    friend.say(link, Statements(home.id, encode_bundle(statements)))

    assert len(verified) == MESSAGE_STATEMENTS_MAX
    assert len(node.book.chain(home.id)) == known + MESSAGE_STATEMENTS_MAX
    third = net.add(home, 0, chain=home.copy())
    net.connect(third, node)
    net.run(10)
    assert node.book.own == home.chain


def test_a_thief_of_old_keys_changes_between_them_so_often_and_no_more(net):
    """
    Both are replaced, so neither speaks; each change costs him, and in the end his stream.
    """
    home = Home.found(1, 2)
    branch, stolen = home.secrets[1]
    node = net.add(home, 0)
    pen = Author(home.chain, branch)
    keys = [stolen.signing(), pen.rekey(NOON).secret.signing()]
    pen.rekey(NOON)
    node.feed(ev.Said(home.id, tuple(home.chain)))
    thief = Scripted(net, keys[0])
    link = thief.meet(node, home.id)
    for turn in range(4 * STRANGER_WORK_MAX):
        new = keys[(turn + 1) % 2]
        signed = reauth_bytes(link.exporter, keys[0].peer_id, new.peer_id)
        reauth = Reauth(keys[0].peer_id, new.peer_id, new.sign(REAUTH_PURPOSE, signed))
        net.send_raw(link, thief, encode(reauth))
    net.run(1)

    assert 0 < len(node.of(ev.Renamed)) <= STRANGER_WORK_MAX
    assert node.machine.counts["refused_flood"] == 1


def test_what_a_thief_brought_in_is_given_up_when_his_key_falls(net, tmp_path):
    """
    Of his clusters nothing is held or read at a start; what he spoke against comes back whole.
    """
    home = Home.found(1, 2)
    node, stolen = net.add_all(home)
    friend, foe = Home.found(2, 2), Home.found(3, 2)
    node.trust(friend, "friend")
    net.run(1)
    stolen.trust(foe, "foe")
    stolen.feed(ev.TrustSaid((stolen.book.distrust_entry("friend", stolen.key, NOON),)))
    net.run(1)
    assert [each.cluster for each in node.book.trusted()] == [foe.id]
    assert set(node.book._known) == {friend.id, foe.id}
    node.revoke(stolen, Scope.PLACE)

    assert [each.cluster for each in node.book.trusted()] == [friend.id]
    assert set(node.book._known) == {friend.id}
    assert node.book.chain(friend.id) == friend.chain
    branch, epoch = home.secrets[0]
    store = ClusterStore(tmp_path / "cluster")
    keys = Keys(epoch, Unprotected(), None, Unprotected())
    store.begin(node.book.own, branch.path, keys, node.book.trust, entropy=SystemEntropy())
    store.append(foe.id, foe.chain)
    store.append(friend.id, friend.chain)
    assert set(ClusterStore(store.directory).load_book()._known) == {friend.id}


def test_no_chain_is_too_long_to_be_read_at_the_next_start():
    """
    The fullest chain of the longest statements, as a thief would fill it, fits its file.
    """
    statements = CHAIN_POOL_STATEMENTS + KEY_CHILDREN_MAX * CHAIN_SHARE_STATEMENTS + CHAIN_ROOT_STATEMENTS
    assert statements * (STATEMENT_BYTES_MAX + 8) < FILE_BYTES_MAX


def test_a_file_that_would_become_too_long_to_be_read_is_not_written(tmp_path, monkeypatch):
    """
    Chains are dropped from and filled again, their file only grows: at its bound it stays as it is.
    """
    monkeypatch.setattr("kontinuum.clusters.record_file.FILE_BYTES_MAX", 1000)
    path = tmp_path / "x.chain"
    file = RecordFile(path, magic_of("chain"))
    file.append([b"a" * 400])
    with pytest.raises(FileUnavailableError, match="no more"):
        file.append([b"b" * 600])
    file.append([b"c" * 100])
    assert RecordFile(path, magic_of("chain")).read() == [b"a" * 400, b"c" * 100]


def test_a_thief_who_filled_the_chain_does_not_keep_his_parent_from_giving_keys(monkeypatch):
    """
    What he wrote is longer than a handover may be; once he is revoked it is left out, and nothing else is.
    """
    monkeypatch.setattr("kontinuum.clusters.handover.HANDOVER_BYTES_MAX", 60_000)
    home = Home.found(1, 2)
    (branch, epoch), (stolen, last) = home.secrets
    thief = Author(home.chain, stolen)
    for _ in range(200):
        last = thief.rekey(NOON).secret
    with pytest.raises(MisuseError, match="too large"):
        seal_handover(Handover(home.chain, branch, epoch), Unprotected(), entropy=SystemEntropy())
    Author(home.chain, home.root).revoke(stolen.path, Scope.PLACE, later(1))

    sealed = seal_handover(Handover(home.chain, branch, epoch), Unprotected(), entropy=SystemEntropy())
    given = open_handover(sealed).chain
    assert len(given) < 10
    assert Standing(given).speakers() == Standing(home.chain).speakers()
    assert not given.merge(home.chain).refused
    assert Standing(given).of_key(last.signing().peer_id).verdict.status is Status.REMOVED
