"""Sessions that go over to new keys, and thieves who try the same."""

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from helpers.keys import NOON
from kontinuum.base.errors import MisuseError
from kontinuum.clusters import events as ev
from kontinuum.clusters.messages import Reauth, Statements
from kontinuum.clusters.recognition import REAUTH_DEADLINE_S
from kontinuum.clusters.tags import REAUTH_PURPOSE, reauth_bytes
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import encode_bundle
from kontinuum.transport.errors import CloseCode

THIEF = KeyPair.from_seed(bytes([66]) * 32)


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


def reauth(link, old, signer, *, new=None, exporter=None):
    """A proof, or what a thief would make of one."""
    new = signer.peer_id if new is None else new
    exporter = link.exporter if exporter is None else exporter
    return Reauth(old, new, signer.sign(REAUTH_PURPOSE, reauth_bytes(exporter, old, new)))


def moved_by(home, index):
    """A node's next epoch, said in its owner's chain: the statement, and the key pair."""
    moved = Author(home.chain, home.secrets[index][0]).rekey(NOON)
    return moved.statement, moved.secret.signing()


def test_all_sessions_of_a_node_that_rekeys_go_over_to_its_new_key(net):
    """
    None is dropped; each peer is told once, and the member stays the same.
    """
    one, other, third = net.add_all(Home.found(1, 3))
    net.run(1)
    old = one.peer_id
    one.rekey()
    net.run(1)

    for node in (other, third):
        assert [(effect.old, effect.new) for effect in node.of(ev.Renamed)] == [(old, one.peer_id)]
        assert len(node.of(ev.Recognised)) == 2
        assert node.of(ev.Lost) == []
        assert node.machine.fellow_at(one.branch.path.place).peer == one.peer_id
    net.run(2 * REAUTH_DEADLINE_S)
    assert not any(node.of(ev.Cut) for node in net.nodes)


def test_several_rekeyings_at_once_end_at_the_last_key(net):
    """
    Also while some peers are behind a partition.
    """
    one, other, third = net.add_all(Home.found(1, 3))
    net.run(1)
    net.partition([third])
    for _ in range(3):
        one.rekey()
    net.run(5)
    net.heal()
    net.run(2 * REAUTH_DEADLINE_S)

    for node in (other, third):
        assert node.machine.fellow_at(one.branch.path.place).peer == one.peer_id
        assert node.of(ev.Cut) == []


def test_a_peer_of_a_trusted_cluster_follows_as_well(net):
    """
    Across clusters the same holds.
    """
    one, other = Home.found(1, 2), Home.found(2, 2)
    mine, theirs = net.add_all(one), net.add_all(other)
    mine[0].trust(other, "bob")
    theirs[0].trust(one, "alice")
    net.connect(mine[0], theirs[0])
    net.connect(mine[0], theirs[1])
    net.run(5)
    mine[0].rekey()
    net.run(2 * REAUTH_DEADLINE_S)

    assert [len(node.of(ev.Renamed)) for node in theirs] == [1, 1]
    assert not any(node.of(ev.Cut) for node in net.nodes)


def test_a_connection_that_began_under_the_old_key_goes_over(net):
    """
    The node moved on during the handshake.
    """
    one, other, _ = net.add_all(Home.found(1, 3))
    net.run(1)
    net.connect(one, other)
    one.rekey()
    net.run(2)

    assert len(other.of(ev.Renamed)) == 2
    assert [each.peer for each in other.machine.sessions()].count(one.peer_id) == 2


def test_a_proof_that_was_lost_with_its_stream_is_given_again(net):
    """
    On the next stream: the session is not cut for what the peer never got.
    """
    one, other, _ = net.add_all(Home.found(1, 3))
    net.run(1)
    link = next(link for link in net.links.values() if set(link.ends) == {one, other})
    net.end_stream(link, other)
    other.feed(ev.StreamEnded(link.numbers[link.side(other)]))
    one.rekey()
    net.run(2 * REAUTH_DEADLINE_S)

    assert len(other.of(ev.Renamed)) == 1
    assert other.of(ev.Cut) == []


def test_a_proof_of_an_earlier_key_does_not_take_a_session_back(net):
    """
    While the newer key speaks, no other one of its place does.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    peer = Scripted(net, home.secrets[1][1].signing())
    link = peer.meet(node, home.id)
    moves = [moved_by(home, 1) for _ in range(2)]
    peer.say(link, Statements(home.id, encode_bundle([statement for statement, _ in moves])))
    peer.say(link, *(reauth(link, peer.peer_id, new) for _, new in reversed(moves)))

    assert [effect.new for effect in node.of(ev.Renamed)] == [moves[1][1].peer_id]
    assert node.machine.sessions()[0].peer == moves[1][1].peer_id


def test_a_move_to_a_key_that_the_chain_does_not_declare_is_refused(net):
    """
    Our own program's mistake: nothing is sent.
    """
    one, other, _ = net.add_all(Home.found(1, 3))
    net.run(1)
    one.feed(ev.Moved((), THIEF, one.peer_id))
    net.run(1)

    assert isinstance(one.of(ev.NotSaid)[0].error, MisuseError)
    assert one.machine.local == one.peer_id
    assert other.machine.fellow_at(one.branch.path.place) is not None


def test_without_proof_a_replaced_key_is_cut_at_the_deadline(net):
    """
    Its holder may be a thief: it can say nothing meanwhile, and hears no news.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    thief = Scripted(net, home.secrets[1][1].signing())
    link = thief.meet(node, home.id)
    statement, _ = moved_by(home, 1)
    node.feed(ev.Said(home.id, (statement,)))
    net.run(0.5)
    heard = len(thief.heard())
    node.say(lambda author: author.checkpoint(net.at()))
    thief.say(link, reauth(link, thief.peer_id, thief.key, new=thief.peer_id))

    assert len(thief.heard()) == heard
    net.run(REAUTH_DEADLINE_S)
    assert [cut.code for cut in node.of(ev.Cut)] == [CloseCode.REVOKED]
    assert node.of(ev.Renamed) == []


@pytest.mark.parametrize(
    "attack", ["own key", "other place", "wrong old key", "stranger's signature", "replayed"]
)
def test_a_thief_of_the_old_key_cannot_move_the_session(net, attack):
    """
    To a key of his own, to another node's, with a proof that another session made, or that he signed: it
    costs him the session.
    """
    home = Home.found(1, 3)
    node = net.add(home, 0)
    thief = Scripted(net, home.secrets[1][1].signing())
    link = thief.meet(node, home.id)
    statement, new = moved_by(home, 1)
    node.feed(ev.Said(home.id, (statement,)))
    net.run(0.5)
    message = {
        "own key": lambda: reauth(link, thief.peer_id, THIEF),
        "other place": lambda: reauth(link, thief.peer_id, home.secrets[2][1].signing()),
        "wrong old key": lambda: reauth(link, home.secrets[2][1].signing().peer_id, new),
        "stranger's signature": lambda: reauth(link, thief.peer_id, THIEF, new=new.peer_id),
        "replayed": lambda: reauth(link, thief.peer_id, new, exporter=bytes(32)),
    }[attack]()
    thief.say(link, message)

    assert node.of(ev.Renamed) == []
    assert thief.was(ev.StreamEnded) + thief.was(ev.Closed) == 1
    net.run(REAUTH_DEADLINE_S)
    assert thief.was(ev.Closed) == 1


def test_a_proof_for_a_key_that_is_out_of_use_ends_the_session(net):
    """
    The new key was stolen as well, and revoked.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    thief = Scripted(net, home.secrets[1][1].signing())
    link = thief.meet(node, home.id)
    statement, new = moved_by(home, 1)
    Author(home.chain, home.root).revoke(home.secrets[1][0].path, Scope.BRANCH, NOON)
    thief.say(link, Statements(home.id, encode_bundle([statement])), reauth(link, thief.peer_id, new))
    assert len(node.of(ev.Renamed)) == 1
    node.feed(ev.Said(home.id, tuple(home.chain)))
    net.run(1)

    assert [cut.code for cut in node.of(ev.Cut)] == [CloseCode.REVOKED]
    assert thief.was(ev.Closed) == 1


def test_the_same_proof_again_does_nothing(net):
    """
    A repeated proof on its own session is no offence.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    peer = Scripted(net, home.secrets[1][1].signing())
    link = peer.meet(node, home.id)
    statement, new = moved_by(home, 1)
    proof = reauth(link, peer.peer_id, new)
    peer.say(link, Statements(home.id, encode_bundle([statement])), proof, proof)

    assert len(node.of(ev.Renamed)) == 1
    assert node.machine.sessions()[0].met


def test_a_thief_of_the_branch_falls_with_the_branch(net):
    """
    He rekeys; the owner revokes the branch: none of his keys is let in again, nor a later rekeying.
    """
    home = Home.found(1, 3)
    nodes = [net.add(home, 0), net.add(home, 2)]
    net.mesh(nodes)
    stolen = home.copy()
    author = Author(stolen, home.secrets[1][0])
    moves = [author.rekey(NOON) for _ in range(3)]
    thief = Scripted(net, moves[0].secret.signing())
    link = thief.meet(nodes[0], home.id)
    thief.say(link, Statements(home.id, encode_bundle([moves[0].statement])))
    assert nodes[0].recognises(thief.peer_id)
    nodes[1].say(lambda author: author.revoke(home.secrets[1][0].path, Scope.BRANCH, net.at()))
    net.run(1)
    assert thief.was(ev.Closed) == 1
    for move in moves[1:]:
        again = Scripted(net, move.secret.signing())
        link = again.meet(nodes[0], home.id)
        again.say(link, Statements(home.id, encode_bundle([each.statement for each in moves])))
        assert not nodes[0].recognises(again.peer_id)
        assert again.was(ev.Closed) == 1
