"""Floods: what a stranger, and a member gone bad, can make us read, verify, hold and answer."""

from dataclasses import replace

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from helpers.keys import NOON
from kontinuum.clusters import events as ev
from kontinuum.clusters.catching_up import ANSWER_WORK_STATEMENTS, ASK_S, MERGE_SLICE, SUMMARY_WORK
from kontinuum.clusters.machine import PARCEL_WORK
from kontinuum.clusters.messages import Heads, Hello, Parcel, Statements, Summary, encode
from kontinuum.clusters.news import HEARD_BYTES_MAX, NEWS_BYTES_MAX
from kontinuum.clusters.sessions import (
    MEMBER_BYTES_MAX,
    MEMBER_BYTES_PER_S,
    MEMBER_WORK_MAX,
    MEMBER_WORK_PER_S,
    STRANGER_BYTES_MAX,
    STRANGER_WORK_MAX,
)
from kontinuum.clusters.tags import seal_news, topic_of
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import encode_bundle
from kontinuum.keys.statements import Statement
from kontinuum.wire import cbor
from kontinuum.wire.limits import CHAIN_HEADS_MAX

STRANGER = KeyPair.from_seed(bytes([77]) * 32)

UNKNOWN_KIND = 99


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


@pytest.fixture
def verified(monkeypatch):
    """Every statement whose signatures are verified, from now on."""
    seen = []
    verify = Statement.verify

    def counting(statement, key):
        seen.append(statement)
        verify(statement, key)

    monkeypatch.setattr(Statement, "verify", counting)
    return seen


def visit(net, key, home):
    """A node, and somebody who has met it with the cluster's right tag."""
    node = net.add(home, 0)
    peer = Scripted(net, key)
    return node, peer, peer.meet(node, home.id)


def filler(length):
    """A message of a kind that we do not know, of exactly so many bytes."""
    for overhead in (6, 7, 8, 9, 10, 11):
        data = cbor.encode({0: UNKNOWN_KIND, 1: bytes(max(0, length - overhead))})
        if len(data) == length:
            return data
    raise AssertionError(length)


def bad_signatures(chain, secret, count):
    """Statements that fit but for their signatures."""
    author = Author(chain, secret)
    return [replace(author.checkpoint(NOON), signature=bytes(64)) for _ in range(count)]


def test_a_stranger_may_send_so_many_bytes_and_not_one_more(net):
    """
    At the limit he is listened to; beyond it the stream is refused for good, the connection stays.
    """
    home = Home.found(1, 1)
    node, peer, link = visit(net, STRANGER, home)
    hello = len(encode(Hello(1, bytes(32))))
    left = STRANGER_BYTES_MAX - hello
    budget = node.machine.sessions()[0].budget
    budget._refill_per_s = 0
    budget._left = left
    peer.say(link, filler(left // 2), filler(left - left // 2))
    assert node.machine.sessions()[0].met
    peer.say(link, filler(20))

    assert node.machine.sessions()[0].barred
    assert peer.was(ev.StreamEnded) == 1
    assert peer.was(ev.Closed) == 0
    peer.open(link)
    assert peer.was(ev.StreamEnded) == 2


def test_heads_of_random_ids_from_a_stranger_cost_him_the_stream_and_us_nothing(net):
    """
    None of them is answered.
    """
    home = Home.found(1, 2)
    node, peer, link = visit(net, STRANGER, home)
    sent = node.sent_bytes
    ids = tuple(index.to_bytes(32, "big") for index in range(CHAIN_HEADS_MAX))
    for _ in range(8):
        peer.say(link, Heads(home.id, ids, is_answer=False))

    assert node.sent_bytes == sent
    assert node.machine.sessions()[0].barred


def test_statements_with_wrong_signatures_cost_the_connection_and_a_few_verifications(net, verified):
    """
    Whether a stranger or a member brings them: nothing is verified after the slice with the first one.
    """
    home = Home.found(1, 2)
    bad = bad_signatures(home.copy(), home.root, 1)[0]
    for key in (STRANGER, home.secrets[1][1].signing()):
        node, peer, link = visit(net, key, home)
        verified.clear()
        strands = [
            replace(bad, issued_at=NOON.replace(minute=minute % 60, second=minute // 60))
            for minute in range(400)
        ]
        peer.say(link, Statements(home.id, encode_bundle(strands)))

        assert len(verified) == MERGE_SLICE
        assert peer.was(ev.Closed) == 1
        assert len(node.book.own) == len(home.chain)


def test_what_comes_before_a_bad_statement_is_taken(net):
    """
    A liar's message may hold a true revocation.
    """
    home = Home.found(1, 2)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    chain = home.copy()
    true = Author(chain, home.root).checkpoint(NOON)
    bad = bad_signatures(chain, home.root, 1)
    peer.say(link, Statements(home.id, encode_bundle([true, *bad])))

    assert true.id in node.saved[home.id]
    assert peer.was(ev.Closed) == 1


def test_statements_that_build_on_nothing_are_never_verified(net, verified):
    """
    They cost their bytes.
    """
    home = Home.found(1, 2)
    chain = home.copy()
    author = Author(chain, home.root)
    loose = [author.checkpoint(NOON) for _ in range(300)][1:]
    node, peer, link = visit(net, STRANGER, home)
    verified.clear()
    for _ in range(10):
        peer.say(link, Statements(home.id, encode_bundle(loose)))

    assert verified == []
    assert node.machine.sessions()[0].barred


def test_true_statements_again_and_again_are_never_verified_again(net, verified):
    """
    A flood of what we know ends with the budget.
    """
    home = Home.found(1, 30)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    verified.clear()
    bundle = Statements(home.id, encode_bundle(home.chain))
    for _ in range(MEMBER_BYTES_MAX // len(bundle.bundle) + 2):
        net.send_raw(link, peer, encode(bundle))
    net.run(0.5)

    assert verified == []
    assert node.machine.sessions()[0].barred
    assert node.machine.counts["received_bytes"] < MEMBER_BYTES_MAX + MEMBER_BYTES_PER_S + len(bundle.bundle)


def test_new_statements_do_not_count_against_a_member(net):
    """
    Whoever brings us up to date may bring as much as the chain holds.
    """
    home = Home.found(1, 2)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    session = node.machine.sessions()[0]
    chain = home.copy()
    author = Author(chain, home.root)
    news = [author.checkpoint(NOON) for _ in range(50)]
    before = session.budget._left
    peer.say(link, Statements(home.id, encode_bundle(news)))

    assert len(node.book.own) == len(chain)
    assert before - session.budget._left < 500


def test_a_member_that_asks_over_and_over_is_answered_within_its_budget(net):
    """
    A question of forty bytes brings an answer of any length: it costs its sender by what is sent.
    """
    home = Home.found(1, ANSWER_WORK_STATEMENTS)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    heard = len(peer.heard(Statements))
    for _ in range(1000):
        net.send_raw(link, peer, encode(Heads(home.id, (), is_answer=True)))
    net.run(0.2)

    answered = len(peer.heard(Statements)) - heard
    assert 0 < answered <= (MEMBER_WORK_MAX + MEMBER_WORK_PER_S) / 3
    assert answered + node.machine.counts["heads_unanswered"] == 1000
    assert node.machine.sessions()[0].met


def test_a_member_with_ever_other_summaries_is_passed_over_in_the_end(net):
    """
    Each one that differs makes us name all heads, within the budget.
    """
    home = Home.found(1, 3)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    for number in range(1000):
        net.send_raw(link, peer, encode(Summary(number.to_bytes(16, "big"), bytes(16))))
    net.run(0.2)

    assert len(peer.heard(Heads)) <= (MEMBER_WORK_MAX + MEMBER_WORK_PER_S) / SUMMARY_WORK
    assert node.machine.counts["summaries_passed_over"] > 800


def test_the_same_summary_again_is_answered_once(net):
    """
    Two chains that differ for good do not talk for ever.
    """
    home = Home.found(1, 3)
    _, peer, link = visit(net, home.secrets[1][1].signing(), home)
    for _ in range(10):
        peer.say(link, Summary(bytes(16), bytes(16)))

    assert len(peer.heard(Heads)) == 1


def test_two_sides_that_lack_what_the_other_cannot_give_do_not_ask_for_ever(net):
    """
    Heads that answer heads are not answered by heads.
    """
    home = Home.found(1, 2)
    _, peer, link = visit(net, home.secrets[1][1].signing(), home)
    odd = Heads(home.id, (bytes(32),), is_answer=False)
    peer.say(link, odd)
    assert [heads.is_answer for heads in peer.heard(Heads)] == [True]
    net.run(2 * ASK_S)
    peer.say(link, replace(odd, is_answer=True))
    assert len(peer.heard(Heads)) == 1


def test_parcels_are_handed_over_within_the_budget(net):
    """
    Many small ones cost more than their bytes.
    """
    home = Home.found(1, 2)
    node, peer, link = visit(net, home.secrets[1][1].signing(), home)
    for _ in range(200):
        net.send_raw(link, peer, encode(Parcel(node.branch.path.place, b"x")))
    net.run(0.2)

    assert len(node.of(ev.Handed)) == MEMBER_WORK_MAX // PARCEL_WORK
    assert node.machine.sessions()[0].barred


def test_streams_one_after_the_other_end_with_the_budget(net):
    """
    A peer whose tag nobody knows may try again, and not without end.
    """
    home = Home.found(1, 1)
    node = net.add(home, 0)
    peer = Scripted(net, STRANGER)
    link = peer.dial(node)
    for _ in range(100):
        peer.say(link, Hello(1, bytes(32)))
        peer.open(link)

    assert node.machine.counts["refused_unrecognised"] <= STRANGER_WORK_MAX + 10
    assert node.machine.sessions()[0].barred
    assert peer.was(ev.Closed) == 0


def test_a_flood_on_the_topic_is_passed_over_and_does_not_touch_sessions(net):
    """
    Whoever knows the id may write there.
    """
    home = Home.found(1, 3)
    node, other, victim = net.add_all(home)
    net.run(1)
    topic = topic_of(home.id)
    junk = seal_news(home.id, bytes(NEWS_BYTES_MAX))
    for _ in range(HEARD_BYTES_MAX // len(junk) + 10):
        node.feed(ev.Heard(topic, junk))
    assert node.machine.counts["news_passed_over"] == 10
    other.revoke(victim, Scope.PLACE)
    net.run(0.2)
    assert not node.recognises(victim.peer_id)


def test_messages_behind_the_end_of_a_stream_are_not_looked_at(net):
    """
    What was on its way when the stream was refused has no effect.
    """
    home = Home.found(1, 2)
    node, _, link = visit(net, STRANGER, home)
    session = node.machine.sessions()[0]
    node.machine._parts.bar(session, "test")
    node.machine._effects()
    received = node.machine.counts["received_bytes"]
    node.feed(ev.Received(session.connection, filler(1000)))
    node.feed(ev.Received(10_000, filler(1000)))

    assert node.machine.counts["received_bytes"] == received
    assert link.open


def test_what_a_session_holds_is_bounded(net):
    """
    After many connections of all kinds have come and gone, nothing is left of them.
    """
    home = Home.found(1, 2)
    node = net.add(home, 0)
    for index in range(50):
        peer = Scripted(net, KeyPair.from_seed(bytes([index, 1]) * 16))
        link = peer.meet(node, home.id)
        net.close(link, peer)
    net.run(1)

    assert node.machine.sessions() == []
    assert len(node.machine._parts.deadlines._at) <= 1
    assert len(node.machine._parts.deadlines._heap) <= 2 * 1 + 17
