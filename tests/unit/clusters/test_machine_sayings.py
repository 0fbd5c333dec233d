"""What fellows tell each other besides chains: whom they trust, who is ordered what, parcels."""

from dataclasses import replace
from itertools import pairwise

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from helpers.keys import NOON
from kontinuum.base.errors import KontinuumError
from kontinuum.clusters import events as ev
from kontinuum.clusters.messages import Orders, Parcel, Trust
from kontinuum.clusters.orders_kept import ORDERS_MAX
from kontinuum.clusters.trust import How, TrustEntry
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.orders import Order
from kontinuum.wire.limits import CLUSTER_PARCEL_BYTES_MAX

STRANGER = KeyPair.from_seed(bytes([77]) * 32)


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


def order_to(node, *, sequence=1, by=None):
    """The root's order, or another branch's, to leave the newest epoch."""
    branch = node.home.root if by is None else by
    return Order.issue(node.book.own, branch, node.branch.path, sequence=sequence, at=NOON)


def entry_by(author, home, other, *, sequence=1, trusted=True):
    """An entry of the list of trust, by any key."""
    return TrustEntry.issue(
        author,
        home.id,
        other.chain.genesis,
        name="bob",
        trusted=trusted,
        how=How.MEET,
        sequence=sequence,
        at=NOON,
    )


# --- trust -------------------------------------------------------------------------------------------------


def test_whom_one_node_trusts_all_trust_and_they_get_the_chain(net):
    """
    Within a round trip of each; also who was away then.
    """
    one, other, away = net.add_all(Home.found(1, 3))
    net.run(1)
    net.partition([away])
    bob = Home.found(2, 2)
    one.trust(bob, "bob")
    net.run(0.1)
    assert other.book.chain(bob.id) == bob.chain
    assert len(other.of(ev.SaveTrust)) == 1
    assert away.book.chain(bob.id) is None
    net.heal()
    net.run(5)

    assert away.book.chain(bob.id) == bob.chain
    assert away.topics == other.topics == one.topics
    assert len(one.topics) == 2


def test_all_nodes_of_two_clusters_recognise_each_other_after_one_connection(net):
    """
    Two nodes met; everybody knows everybody, through rekeyings and for nodes that are born later.
    """
    one, other = Home.found(1, 4), Home.found(2, 4)
    mine, theirs = net.add_all(one), net.add_all(other)
    mine[0].trust(other, "bob")
    theirs[0].trust(one, "alice")
    link = net.connect(mine[0], theirs[0])
    net.run(5)
    theirs[3].rekey()
    net.run(1)
    assert all(a.recognises(b.peer_id) and b.recognises(a.peer_id) for a in mine for b in theirs)

    net.close(link, mine[0])
    theirs[2].rekey()
    net.run(1)
    net.connect(mine[3], theirs[1])
    net.run(5)
    assert all(node.recognises(theirs[2].peer_id) for node in mine)


def test_what_a_revoked_node_said_about_trust_counts_no_more(net):
    """
    The cluster that it brought in falls with it, on all nodes, and its peers become strangers.
    """
    *nodes, stolen = net.add_all(Home.found(1, 3))
    net.run(1)
    foe = Home.found(2, 1)
    theirs = net.add(foe, 0)
    theirs.trust(stolen.home, "victim")
    stolen.trust(foe, "friend")
    net.connect(theirs, nodes[0])
    net.run(3)
    assert nodes[0].recognises(theirs.peer_id)
    nodes[1].revoke(stolen, Scope.PLACE)
    net.run(1)

    assert not nodes[0].recognises(theirs.peer_id)
    assert nodes[0].book.chain(foe.id) is None
    assert not any(session.met for session in nodes[0].machine.sessions() if session.peer == theirs.peer_id)
    assert len(nodes[0].topics) == 1


def test_after_a_revocation_the_lists_of_trust_are_the_same_again(net):
    """
    Whether a node heard the entry or its author's revocation first: nothing is told over and over.
    """
    one, other, stolen = net.add_all(Home.found(1, 3))
    net.run(1)
    net.partition([other])
    stolen.trust(Home.found(2, 1), "friend")
    net.run(1)
    one.revoke(stolen, Scope.PLACE)
    net.run(1)
    net.heal()
    net.run(10)
    before = one.sent_bytes
    net.run(60)

    assert one.sent_bytes - before < 40 * 45
    assert one.book.clusters() == other.book.clusters()


@pytest.mark.parametrize("who", ["a stranger", "a revoked node", "a node of a trusted cluster"])
def test_entries_of_others_are_passed_over(net, who):
    """
    Also if a fellow brings them: only our own nodes say whom we trust.
    """
    home, other, foe = Home.found(1, 3), Home.found(2, 1), Home.found(3, 1)
    Author(home.chain, home.root).revoke(home.secrets[2][0].path, Scope.BRANCH, NOON)
    node = net.add(home, 0)
    node.trust(other, "bob")
    author = {
        "a stranger": STRANGER,
        "a revoked node": home.secrets[2][1].signing(),
        "a node of a trusted cluster": other.secrets[0][1].signing(),
    }[who]
    fellow = Scripted(net, home.secrets[1][1].signing())
    fellow.say(fellow.meet(node, home.id), Trust((entry_by(author, home, foe).encode(),)))

    assert node.book.chain(foe.id) is None
    assert len(node.of(ev.SaveTrust)) == 1
    assert node.machine.counts["trust_passed_over"] == 1


def test_an_entry_is_not_sent_back_to_who_brought_it(net):
    """
    It goes on to the others.
    """
    home, foe = Home.found(1, 3), Home.found(3, 1)
    node, other = net.add(home, 0), net.add(home, 2)
    net.connect(node, other)
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(node, home.id)
    fellow.say(link, Trust((entry_by(fellow.key, home, foe).encode(),)))

    assert other.book.chain(foe.id) is not None
    assert fellow.heard(Trust) == []


def test_entries_from_a_trusted_cluster_are_not_listened_to(net):
    """
    Not even if one of our own nodes signed them: they come from fellows.
    """
    home, other, foe = Home.found(1, 2), Home.found(2, 1), Home.found(3, 1)
    node = net.add(home, 0)
    node.trust(other, "bob")
    friend = Scripted(net, other.secrets[0][1].signing())
    entry = entry_by(home.secrets[1][1].signing(), home, foe)
    friend.say(friend.meet(node, other.id), Trust((entry.encode(),)))

    assert node.book.chain(foe.id) is None


def test_an_entry_that_its_author_did_not_sign_costs_the_connection(net):
    """
    No honest node passes such a thing on.
    """
    home, foe = Home.found(1, 2), Home.found(3, 1)
    node = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    data = bytearray(entry_by(fellow.key, home, foe).encode())
    data[-1] ^= 1
    fellow.say(fellow.meet(node, home.id), Trust((bytes(data),)))

    assert len(node.of(ev.Cut)) == 1


@pytest.mark.parametrize("kind", ["malformed", "foreign"])
def test_junk_among_entries_costs_the_stream(net, kind):
    """
    The connection stays.
    """
    home, foe = Home.found(1, 2), Home.found(3, 1)
    node = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    data = b"junk" if kind == "malformed" else entry_by(STRANGER, foe, home).encode()
    fellow.say(fellow.meet(node, home.id), Trust((data,)))

    assert node.machine.counts[f"refused_{kind}"] == 1
    assert node.of(ev.Cut) == []


# --- orders ------------------------------------------------------------------------------------------------


def test_an_order_reaches_its_node_over_others_and_is_obeyed_once(net):
    """
    Flooded; given to the node once, saved before; forgotten by all when it was obeyed.
    """
    home = Home.found(1, 4)
    nodes = [net.add(home, index) for index in range(4)]
    for one, other in pairwise(nodes):
        net.connect(one, other)
    net.run(1)
    order = order_to(nodes[3])
    nodes[0].feed(ev.OrderGiven(order))
    net.run(0.5)

    assert [effect.order for effect in nodes[3].of(ev.Ordered)] == [order]
    kinds = [type(effect) for effect in nodes[3].effects]
    assert kinds.index(ev.SaveOrders) < kinds.index(ev.Ordered)
    assert nodes[1].of(ev.SaveOrders)[-1].pending == (order,)
    assert nodes[1].of(ev.Ordered) == []

    nodes[3].rekey()
    net.run(1)
    assert [node.of(ev.SaveOrders)[-1].pending for node in nodes] == [()] * 4
    nodes[0].feed(ev.OrderGiven(order))
    assert isinstance(nodes[0].of(ev.NotSaid)[0].error, KontinuumError)
    net.run(5)
    assert len(nodes[3].of(ev.Ordered)) == 1


def test_an_order_waits_for_a_node_that_is_away(net):
    """
    Whoever has it tells it when the node is there again.
    """
    one, other, away = net.add_all(Home.found(1, 3))
    net.run(1)
    net.partition([away])
    one.feed(ev.OrderGiven(order_to(away)))
    net.run(60)
    net.heal(broken=True)
    net.run(5)

    assert len(away.of(ev.Ordered)) == 1
    assert len(other.of(ev.SaveOrders)) == 1


def test_an_order_that_was_not_obeyed_before_a_restart_is_given_again(net):
    """
    It was on the disk.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    order = order_to(node)
    node.feed(ev.OrderGiven(order))
    saved = node.of(ev.SaveOrders)[-1]
    again = net.add(home, 0, obedience=dict(saved.latest), orders=saved.pending)

    assert [effect.order for effect in again.of(ev.Ordered)] == [order]


@pytest.mark.parametrize(
    "kind", ["replayed", "older", "by a descendant", "to a dead branch", "unknown epoch"]
)
def test_orders_that_do_not_count_are_passed_over(net, kind):
    """
    They may come from honest nodes: their bearer keeps his session.
    """
    home = Home.found(1, 3)
    born = Author(home.chain, home.secrets[2][0]).delegate(NOON, label="below")
    node = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(node, home.id)
    order = order_to(node, sequence=5)
    chain = home.copy()
    if kind in ("replayed", "older"):
        fellow.say(link, Orders(order.encode()))
        assert len(node.of(ev.Ordered)) == 1
    if kind == "older":
        order = order_to(node, sequence=4)
    if kind == "by a descendant":
        order = replace(
            Order.issue(chain, home.root, home.secrets[2][0].path, sequence=1, at=NOON),
            issuer=chain.registers.births_at(born.branch.path)[0].id,
        )
        order = Order.decode(order.signed_by(born.branch))
    if kind == "to a dead branch":
        order = Order.issue(chain, home.root, home.secrets[2][0].path, sequence=1, at=NOON)
        node.say(lambda author: author.revoke(home.secrets[2][0].path, Scope.BRANCH, NOON))
    if kind == "unknown epoch":
        Author(chain, home.secrets[0][0]).rekey(NOON)
        order = Order.issue(chain, home.root, home.secrets[0][0].path, sequence=6, at=NOON)
    before = len(node.of(ev.SaveOrders))
    fellow.say(link, Orders(order.encode()))

    assert len(node.of(ev.SaveOrders)) == before
    assert len(node.of(ev.Ordered)) == (1 if kind in ("replayed", "older") else 0)
    assert node.machine.sessions()[0].met


def test_an_order_that_nobody_gave_costs_the_connection(net):
    """
    Its signature is wrong.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    forged = replace(order_to(node), signature=bytes(64))
    fellow.say(fellow.meet(node, home.id), Orders(forged.encode()))

    assert len(node.of(ev.Cut)) == 1
    assert node.of(ev.Ordered) == []


def test_orders_of_a_trusted_cluster_are_not_listened_to(net):
    """
    They are no business of ours, and ours none of theirs.
    """
    home, other = Home.found(1, 2), Home.found(2, 2)
    node = net.add(home, 0)
    node.trust(other, "bob")
    friend = Scripted(net, other.secrets[0][1].signing())
    link = friend.meet(node, other.id)
    friend.say(link, Orders(order_to(node).encode()))
    assert node.of(ev.Ordered) == []
    node.feed(ev.OrderGiven(order_to(node)))

    assert len(node.of(ev.Ordered)) == 1
    assert friend.heard(Orders) == []


def test_a_node_keeps_so_many_orders_and_those_of_the_highest(net):
    """
    A stolen steward fills the room with orders to its own children; the root's order still fits.
    """
    home = Home.found(1, 2)
    steward = home.secrets[1][0]
    author = Author(home.chain, steward)
    children = [author.delegate(NOON, label=f"{index}") for index in range(ORDERS_MAX)]
    node = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(node, home.id)
    for child in children:
        order = Order.issue(home.chain, steward, child.branch.path, sequence=1, at=NOON)
        fellow.say(link, Orders(order.encode()))
    extra = Order.issue(home.chain, home.root, steward.path, sequence=1, at=NOON)
    assert len(node.of(ev.SaveOrders)[-1].pending) == ORDERS_MAX
    fellow.say(link, Orders(extra.encode()))

    pending = node.of(ev.SaveOrders)[-1].pending
    assert len(pending) == ORDERS_MAX
    assert extra in pending


# --- parcels -----------------------------------------------------------------------------------------------


def test_a_parcel_for_somebody_else_is_ignored(net):
    """
    Only the place that it names takes it, and only from a fellow.
    """
    home, other = Home.found(1, 3), Home.found(2, 1)
    node = net.add(home, 0)
    node.trust(other, "bob")
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(node, home.id)
    fellow.say(link, Parcel(home.secrets[2][0].path.place, b"for the other"))
    friend = Scripted(net, other.secrets[0][1].signing())
    friend.say(friend.meet(node, other.id), Parcel(node.branch.path.place, b"from a friend"))
    assert node.of(ev.Handed) == []

    fellow.say(link, Parcel(node.branch.path.place, b"for us"))
    assert [(effect.data, effect.sender.place) for effect in node.of(ev.Handed)] == [
        (b"for us", home.secrets[1][0].path.place)
    ]


def test_a_parcel_goes_to_a_connected_fellow_only(net):
    """
    And is not kept for others; a longer one than allowed is refused.
    """
    one, other, away = net.add_all(Home.found(1, 3))
    net.run(1)
    for link in list(net.links.values()):
        if away in link.ends:
            net.close(link, away)
    net.run(1)
    place = other.branch.path.place
    assert one.machine.handle(ev.ParcelSent(away.branch.path.place, b"x"), net.now) == []
    one.feed(ev.ParcelSent(place, bytes(CLUSTER_PARCEL_BYTES_MAX)))
    one.feed(ev.ParcelSent(place, bytes(CLUSTER_PARCEL_BYTES_MAX + 1)))
    net.run(1)

    assert [len(effect.data) for effect in other.of(ev.Handed)] == [CLUSTER_PARCEL_BYTES_MAX]
    assert len(one.of(ev.NotSaid)) == 1
