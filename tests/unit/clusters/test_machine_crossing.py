"""Two nodes of a cluster move to new keys at the same time."""

from helpers.cluster_net import ClusterNet, Home
from kontinuum.clusters import events as ev


def test_two_fellows_that_rekey_at_once_keep_their_session():
    """
    One heard of the other's new key another way, before the other's own word came, and moves on just then.
    """
    net = ClusterNet(1)
    one, other = net.add_all(Home.found(1, 2))
    net.run(3)
    (link,) = dict.fromkeys(net.links.values())

    moved = other.rekey()
    one.feed(ev.Said(one.home.id, (moved.statement,)))
    one.rekey()
    net.run(3)

    assert link.open
    assert other.machine.counts["refused_reauth"] == 0
    assert (one.recognises(other.peer_id), other.recognises(one.peer_id)) == (True, True)
    assert one.book.own == other.book.own
    assert {session.peer for node in (one, other) for session in node.machine.sessions()} == {
        one.peer_id,
        other.peer_id,
    }
