"""Which libp2p connection with a peer is used."""

from dataclasses import dataclass

from helpers.identities import ALICE, BOB
from kontinuum.libp2p.connections import PER_PEER_MAX, Connections


@dataclass(eq=False)
class Link:
    """A connection."""

    peer_id: bytes = ALICE.peer_id


def test_of_two_the_older_is_used_until_it_ends():
    """
    Both stay, whoever dialled: others have no rule which one goes.
    """
    connections, (older, newer) = Connections(), (Link(), Link())
    assert connections.add(older)
    assert connections.add(newer)
    assert connections.current(ALICE.peer_id) is older
    assert connections.of(ALICE.peer_id) == [older, newer]
    assert not connections.remove(older)
    assert connections.current(ALICE.peer_id) is newer
    assert connections.remove(newer)
    assert connections.current(ALICE.peer_id) is None
    assert len(connections) == 0


def test_a_peer_has_so_many_connections():
    """
    One more is refused, and its end is nobody's end; another peer's are others.
    """
    connections = Connections()
    for _ in range(PER_PEER_MAX):
        assert connections.add(Link())
    refused = Link()
    assert not connections.add(refused)
    assert not connections.remove(refused)
    assert connections.add(Link(BOB.peer_id))
    assert connections.peers() == [ALICE.peer_id, BOB.peer_id]
    assert len(connections.of(ALICE.peer_id)) == PER_PEER_MAX
    assert connections.of(bytes(32)) == []
