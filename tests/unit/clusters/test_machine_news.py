"""News: how fast a revocation works, what a partition keeps back, what a trusting cluster hears."""

from itertools import pairwise

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from kontinuum.clusters import events as ev
from kontinuum.clusters.messages import Heads, Statements, Summary, decode
from kontinuum.clusters.news import NEWS_DELAY_S
from kontinuum.clusters.tags import open_news, topic_of
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import decode_bundle, encode_bundle
from kontinuum.transport.errors import CloseCode

ONLINE_S = 2.0
"""Within which online nodes know of a revocation. Issue 6."""

HEALED_S = 5.0
"""The same after a partition has healed. Issue 6."""


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


def friends(net, one, other):
    """Two clusters that trust each other, and sessions between their first nodes."""
    mine, theirs = net.add_all(one), net.add_all(other)
    net.run(1)
    mine[0].trust(other, "bob")
    theirs[0].trust(one, "alice")
    net.connect(mine[0], theirs[0])
    net.run(3)
    return mine, theirs


def told(victim, nodes):
    """Whether nobody recognises or keeps a session with the victim any more."""
    net = victim.net
    return not any(node.recognises(victim.peer_id) or net.linked(node, victim) for node in nodes)


def test_what_is_said_again_is_published_and_nothing_else(net):
    """
    It is on the disk already: each time the same message to the topic, no further record.
    """
    home = Home.found(1, 2)
    node, _ = net.add_all(home)
    net.run(1)
    statements = tuple(node.book.own)
    before = len(node.of(ev.Save))

    effects = [node.machine.handle(ev.SaidAgain(home.id, statements), net.now) for _ in range(2)]

    for (announced,) in effects:
        assert announced.topic == topic_of(home.id)
        assert decode_bundle(open_news(home.id, announced.data)) == statements
    assert len(node.of(ev.Save)) == before


def test_a_revocation_reaches_all_nodes_and_cuts_all_sessions_at_once(net):
    """
    With sessions between all of them after half a round trip; said on one node, by the root.
    """
    *nodes, victim = net.add_all(Home.found(1, 5))
    net.run(2)
    nodes[0].revoke(victim, Scope.PLACE)
    took_s = net.run_until(lambda: told(victim, nodes), ONLINE_S)

    assert took_s < 2 * net.rtt_s
    for node in nodes:
        assert [cut.code for cut in node.of(ev.Cut)] == [CloseCode.REVOKED]
        assert [lost.member.place for lost in node.of(ev.Lost)] == [victim.branch.path.place]


def test_a_revocation_travels_along_a_line_of_sessions(net):
    """
    Where each node has a session with the next one only, it takes half a round trip for each of them.
    """
    home = Home.found(1, 9)
    *nodes, victim = (net.add(home, index) for index in range(9))
    for one, other in pairwise(nodes):
        net.connect(one, other)
    net.connect(victim, nodes[-1])
    net.run(2)
    nodes[0].revoke(victim, Scope.BRANCH)

    assert net.run_until(lambda: told(victim, nodes), ONLINE_S) < len(nodes) * net.rtt_s


def test_a_revocation_crosses_to_a_cluster_that_trusts_this_one(net):
    """
    Through one session between the two: all of their nodes know it within the time.
    """
    mine, theirs = friends(net, Home.found(1, 4), Home.found(2, 4))
    victim = mine[3]
    net.connect(theirs[3], victim)
    net.run(1)
    assert theirs[3].recognises(victim.peer_id)
    mine[1].revoke(victim, Scope.PLACE)

    assert net.run_until(lambda: told(victim, mine[:3] + theirs), ONLINE_S) < 4 * net.rtt_s


@pytest.mark.parametrize("broken", [False, True], ids=["sessions survive", "sessions broke"])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_partition_a_revocation_works_within_its_time(seed, broken):
    """
    Whether sessions survive, or nodes connect anew.
    """
    net = ClusterNet(seed)
    mine, theirs = friends(net, Home.found(1, 5), Home.found(2, 3))
    victim = mine[4]
    net.mesh([victim, *theirs])
    net.run(2)
    net.partition([mine[0], mine[1]])
    mine[0].revoke(victim, Scope.PLACE)
    net.run(60)
    assert mine[2].recognises(victim.peer_id)
    assert theirs[2].recognises(victim.peer_id)
    net.heal(broken=broken)

    net.run_until(lambda: told(victim, mine[:4] + theirs), HEALED_S)


def test_what_was_lost_is_found_by_the_next_summary(net):
    """
    A stream that broke while news were on their way: the digests differ, and the rest follows.
    """
    home = Home.found(1, 3)
    one, other, victim = net.add_all(home)
    net.run(2)
    net.send_raw = lambda *_: None
    one.revoke(victim, Scope.PLACE)
    del net.send_raw
    assert other.recognises(victim.peer_id)

    net.run_until(lambda: not other.recognises(victim.peer_id), HEALED_S)


def test_all_chains_are_the_same_in_the_end(net):
    """
    Whatever was said on which side of a partition.
    """
    mine, theirs = friends(net, Home.found(1, 4), Home.found(2, 3))
    net.partition(mine[:2], theirs[:1])
    mine[0].say(lambda author: author.delegate(net.at(), label="here", child=50))
    mine[3].say(lambda author: author.delegate(net.at(), label="there", child=51))
    mine[1].rekey()
    theirs[0].rekey()
    theirs[2].rekey()
    net.run(20)
    net.heal()
    net.run(HEALED_S)

    for cluster in (mine[0].home.id, theirs[0].home.id):
        chains = [node.book.chain(cluster) for node in mine + theirs]
        assert all(chain == chains[0] for chain in chains)
    assert all(one.recognises(other.peer_id) for one in mine + theirs for other in mine + theirs)


def test_a_chain_longer_than_a_bundle_is_caught_up_in_a_few_round_trips(net):
    """
    Whoever gets a full bundle asks on, and does not wait for a summary.
    """
    home = Home.found(1, 2)
    chain = home.copy()
    author = Author(chain, home.root)
    for _ in range(4500):
        author.checkpoint(net.at())
    full, new = net.add(home, 0, chain=chain), net.add(home, 1)
    net.connect(new, full)

    assert net.run_until(lambda: len(new.book.own) == len(chain), 2) < 1
    assert new.machine.counts["statements"] < 1.1 * len(chain)


def test_nodes_that_have_the_same_say_next_to_nothing(net):
    """
    A summary of some forty bytes, to eight sessions every two seconds.
    """
    nodes = net.add_all(Home.found(1, 4))
    net.run(3)
    before = sum(node.sent_bytes for node in nodes)
    net.run(20)

    assert sum(node.sent_bytes for node in nodes) - before < 4 * 3 * 11 * 45


def test_statements_are_saved_before_anybody_hears_of_them(net):
    """
    In the order of the effects.
    """
    home = Home.found(1, 3)
    one, *_ = net.add_all(home)
    net.run(1)
    chain = home.copy()
    Author(chain, home.root).checkpoint(net.at())
    effects = one.machine.handle(ev.Said(home.id, tuple(chain)), net.now)
    kinds = [type(effect) for effect in effects]

    assert kinds.count(ev.Send) == 2
    assert kinds.index(ev.Save) < kinds.index(ev.Send)


def test_news_are_not_sent_back_to_where_they_came_from(net):
    """
    Each passes them on, away from their source.
    """
    home = Home.found(1, 2)
    one = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(one, home.id)
    chain = home.copy()
    statement = Author(chain, home.root).checkpoint(net.at())
    heard = len(fellow.heard(Statements))
    fellow.say(link, Statements(home.id, encode_bundle([statement])))

    assert statement.id in one.book.own
    assert len(fellow.heard(Statements)) == heard


def test_what_a_statement_builds_on_is_asked_for(net):
    """
    News of somebody who knows more: the gap is asked for at once.
    """
    home = Home.found(1, 2)
    one = net.add(home, 0)
    fellow = Scripted(net, home.secrets[1][1].signing())
    link = fellow.meet(one, home.id)
    chain = home.copy()
    author = Author(chain, home.root)
    author.checkpoint(net.at())
    last = author.checkpoint(net.at())
    fellow.say(link, Statements(home.id, encode_bundle([last])))

    assert fellow.heard(Heads) == [Heads(home.id, one.book.own.heads(), is_answer=False)]


def test_a_trusted_cluster_hears_of_us_and_of_itself_only(net):
    """
    No third cluster's id or chain is ever told, by whatever message.
    """
    mine, theirs = friends(net, Home.found(1, 2), Home.found(2, 2))
    third = Home.found(3, 2)
    sent = []
    send_raw = net.send_raw
    net.send_raw = lambda link, sender, data: (sent.append((link, data)), send_raw(link, sender, data))
    mine[0].trust(third, "carol")
    net.run(10)
    between = [
        data
        for link, data in sent
        if {node.home.id for node in link.ends} == {mine[0].home.id, theirs[0].home.id}
    ]

    assert mine[1].book.chain(third.id) is not None
    assert between
    assert not any(third.id in data for data in between)
    assert all(node.book.chain(third.id) is None for node in theirs)


def test_a_question_about_a_third_cluster_is_not_answered(net):
    """
    Even if its id is known to who asks.
    """
    mine, theirs = friends(net, Home.found(1, 1), Home.found(2, 2))
    third = Home.found(3, 2)
    mine[0].trust(third, "carol")
    asker = Scripted(net, theirs[1].key)
    link = asker.meet(mine[0], theirs[1].home.id)
    asker.say(link, Heads(third.id, (), is_answer=False))

    assert not [message for message in asker.heard((Heads, Statements)) if message.cluster == third.id]


def test_statements_about_a_third_cluster_are_not_listened_to(net):
    """
    A friend cannot find out whom else we trust: not by what we take, nor by what we ask then.
    """
    mine, theirs = friends(net, Home.found(1, 1), Home.found(2, 2))
    third = Home.found(3, 2)
    mine[0].trust(third, "carol")
    chain = third.copy()
    author = Author(chain, third.root)
    news = [author.checkpoint(net.at()) for _ in range(2)]
    friend = Scripted(net, theirs[1].key)
    link = friend.meet(mine[0], theirs[1].home.id)
    for each in reversed(news):
        friend.say(link, Statements(third.id, encode_bundle([each])))

    assert mine[0].book.chain(third.id) == third.chain
    assert not [message for message in friend.heard(Heads) if message.cluster == third.id]


def test_many_statements_at_once_are_not_pushed_but_asked_for(net):
    """
    More than PUSH_BYTES_MAX: peers hear a summary, and each asks for what it lacks.
    """
    one, other = net.add_all(Home.found(1, 2))
    net.run(1)
    sent = []
    send_raw = net.send_raw
    net.send_raw = lambda link, sender, data: (sent.append((sender, data)), send_raw(link, sender, data))
    one.say(lambda author: [author.checkpoint(net.at()) for _ in range(400)])
    net.run(1)

    assert isinstance(next(decode(data) for sender, data in sent if sender is one), Summary)
    assert isinstance(next(decode(data) for sender, data in sent if sender is other), Heads)
    assert one.book.own == other.book.own


def test_the_topics_are_named_when_they_change_and_not_else(net):
    """
    Whatever the chains say.
    """
    (one,) = net.add_all(Home.found(1, 1))
    for _ in range(3):
        one.say(lambda author: author.checkpoint(net.at()))
    assert len(one.of(ev.Follow)) == 1


def test_who_is_trusted_no_longer_is_a_stranger_again(net):
    """
    His stream is refused, his chain forgotten, and the node is told that it lost him.
    """
    mine, theirs = friends(net, Home.found(1, 2), Home.found(2, 2))
    mine[1].distrust("bob")
    net.run(1)

    assert not mine[0].recognises(theirs[0].peer_id)
    assert [lost.member.place for lost in mine[0].of(ev.Lost)] == [theirs[0].branch.path.place]
    assert mine[0].of(ev.Cut) == []
    assert mine[0].topics == (topic_of(mine[0].home.id),)


def test_a_stream_that_is_refused_is_tried_again_ever_later(net):
    """
    A cluster that trusts another one, which does not: a try each minute in the end.
    """
    one, other = Home.found(1, 1), Home.found(2, 1)
    mine, theirs = net.add(one, 0), net.add(other, 0)
    net.connect(mine, theirs)
    mine.trust(other, "bob")
    net.run(600)

    assert 12 <= len(mine.of(ev.OpenStream)) <= 18
    assert theirs.of(ev.Cut) == []


def test_two_clusters_that_met_while_connected_find_each_other(net):
    """
    The stream that was refused before is tried again, also if one of the two hears later of it.
    """
    one, other = Home.found(1, 1), Home.found(2, 1)
    mine, theirs = net.add(one, 0), net.add(other, 0)
    net.connect(mine, theirs)
    net.run(5)
    mine.trust(other, "bob")
    net.run(20)
    theirs.trust(one, "alice")
    net.run(70)

    assert mine.machine.sessions()[0].met
    assert theirs.machine.sessions()[0].met


# --- topics ------------------------------------------------------------------------------------------------


def test_news_reach_nodes_without_a_session_by_the_topic():
    """
    A revocation is published, sealed; who only follows the topic takes it.
    """
    net = ClusterNet(gossip=True)
    home = Home.found(1, 3)
    nodes = [net.add(home, index) for index in range(3)]
    nodes[0].revoke(nodes[2], Scope.PLACE)
    (announced,) = nodes[0].of(ev.Announce)

    assert home.id not in announced.data
    assert announced.topic == topic_of(home.id)
    assert decode_bundle(open_news(home.id, announced.data))
    net.run_until(lambda: not nodes[1].recognises(nodes[2].peer_id), 1)


def test_news_on_the_topic_bring_what_they_build_on():
    """
    A node that missed the root's last words can take its next one, without a session.
    """
    net = ClusterNet()
    home = Home.found(1, 3)
    nodes = [net.add(home, index) for index in range(3)]
    nodes[0].say(lambda author: author.checkpoint(net.at()))
    nodes[0].revoke(nodes[2], Scope.PLACE)
    announced = nodes[0].of(ev.Announce)[-1]
    nodes[1].feed(ev.Heard(announced.topic, announced.data))

    assert not nodes[1].recognises(nodes[2].peer_id)


def test_news_from_the_topic_go_on_over_sessions():
    """
    So they cross to who does not follow it.
    """
    net = ClusterNet(gossip=True)
    home = Home.found(1, 4)
    nodes = [net.add(home, index) for index in range(4)]
    net.connect(nodes[1], nodes[2])
    net.run(1)
    nodes[2].topics = ()
    nodes[0].revoke(nodes[3], Scope.PLACE)

    net.run_until(lambda: not nodes[2].recognises(nodes[3].peer_id), 1)


def test_news_from_a_session_are_published_unless_somebody_did():
    """
    After a random pause; so of many nodes one or two publish.
    """
    for gossip in (True, False):
        net = ClusterNet(gossip=gossip)
        nodes = net.add_all(Home.found(1, 8))
        net.run(1)
        nodes[0].revoke(nodes[7], Scope.PLACE)
        net.run(2 * NEWS_DELAY_S)
        announced = sum(len(node.of(ev.Announce)) for node in nodes[:7])
        assert announced == (1 if gossip else 7)


def test_a_topic_says_nothing_about_other_clusters():
    """
    Of a trusted cluster's news those are published on its own topic, sealed for those who know it.
    """
    net = ClusterNet()
    mine, theirs = friends(net, Home.found(1, 1), Home.found(2, 2))
    theirs[1].rekey()
    net.run(3)
    own, other = topic_of(mine[0].home.id), topic_of(theirs[0].home.id)

    assert {announced.topic for node in theirs for announced in node.of(ev.Announce)} <= {own, other}
    for announced in mine[0].of(ev.Announce):
        cluster = mine[0].home.id if announced.topic == own else theirs[0].home.id
        statements = decode_bundle(open_news(cluster, announced.data))
        assert {statement.cluster for statement in statements} == {cluster}


@pytest.mark.parametrize("data", [b"", b"x" * 11, b"x" * 1000, b"x" * 200_000])
def test_junk_on_a_topic_is_passed_over(net, data):
    """
    Whoever writes it.
    """
    home = Home.found(1, 1)
    node = net.add(home, 0)
    node.feed(ev.Heard(topic_of(home.id), data))
    node.feed(ev.Heard("kontinuum/cluster/other", data))

    assert [type(effect) for effect in node.effects] == [ev.Follow]
