"""Who recognises whom: tags, keys, streams, and what strangers learn."""

import pytest

from helpers.cluster_net import ClusterNet, Home, Scripted
from kontinuum.clusters import events as ev
from kontinuum.clusters.machine import HELLO_DEADLINE_S
from kontinuum.clusters.messages import Heads, Hello, Statements, Summary
from kontinuum.clusters.recognition import REAUTH_DEADLINE_S
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import decode_bundle, encode_bundle
from kontinuum.transport.errors import CloseCode

STRANGER = KeyPair.from_seed(bytes([77]) * 32)


@pytest.fixture
def net():
    """An empty network."""
    return ClusterNet()


@pytest.fixture
def home():
    """A cluster of three."""
    return Home.found(1, 3)


def test_nodes_of_one_cluster_recognise_each_other_on_both_sides(net, home):
    """
    By the chain alone; and each hears a summary, no more, if both have the same.
    """
    one, other, _ = net.add_all(home)
    net.run(1)

    assert [effect.member.text for effect in one.of(ev.Recognised)] == ["/1", "/2"]
    assert [effect.member.text for effect in other.of(ev.Recognised)] == ["/0", "/2"]
    assert all(session.met for session in one.machine.sessions())
    assert one.sent_bytes < 4000


def test_a_node_that_the_other_has_not_heard_of_introduces_itself(net, home):
    """
    A new child shows the statements behind its key, and is a member one round trip later.
    """
    old = net.add(home, 0)
    born = Author(home.chain, home.root).delegate(net.at(), label="new")
    home.secrets.append((born.branch, born.epoch))
    new = net.add(home, 3)
    net.connect(new, old)
    net.run(1)

    assert old.recognises(new.peer_id)
    assert len(old.saved[home.id]) == 2
    assert [effect.member.label for effect in old.of(ev.Recognised)] == ["new"]


def test_two_nodes_that_have_not_heard_of_each_other_introduce_themselves(net, home):
    """
    Nobody waits for the other to begin.
    """
    copies = [home.copy(), home.copy()]
    births = []
    for chain in copies:
        born = Author(chain, home.root).delegate(net.at(), label="new", child=100 + len(births))
        births.append((born.branch, born.epoch))
    home.secrets += births
    one, other = (net.add(home, 3 + index, chain=chain) for index, chain in enumerate(copies))
    net.connect(one, other)
    net.run(1)

    assert one.recognises(other.peer_id)
    assert other.recognises(one.peer_id)
    assert one.book.own == other.book.own


def test_a_stranger_learns_nothing_from_a_tag(net, home):
    """
    Who does not know the cluster's id sees 32 bytes that differ on every connection, and is refused without
    an answer.
    """
    node = net.add(home, 0)
    stranger = Scripted(net, STRANGER)
    first, second = net.connect(node, stranger), net.connect(node, stranger)
    net.run(1)
    tags = [message.tag for message in stranger.heard(Hello)]

    assert len(set(tags)) == 2
    assert all(home.id not in tag for tag in tags)
    assert first.exporter != second.exporter

    caller = Scripted(net, STRANGER)
    caller.meet(node, bytes(32))
    assert caller.heard() == []
    assert caller.was(ev.StreamEnded) == 1
    assert caller.was(ev.Closed) == 0


def test_who_knows_the_id_alone_sees_our_own_line_and_nothing_else(net, home):
    """
    A stranger with the right tag is no member: he gets no heads, no summary, and no answer, and his stream is
    refused in the end.
    """
    Author(home.chain, home.secrets[2][0]).rekey(net.at())
    node = net.add(home, 0)
    nosy = Scripted(net, STRANGER)
    link = nosy.meet(node, home.id)
    nosy.say(link, Heads(home.id, (), is_answer=False), Summary(bytes(16), bytes(16)))

    shown = [each for message in nosy.heard(Statements) for each in decode_bundle(message.bundle)]
    own_line = node.book.own.foundation(
        use.statement.id for use in node.book.own.registers.uses(node.peer_id)
    )
    assert shown == list(own_line)
    assert len(shown) < len(node.book.own)
    assert nosy.heard(Heads) == nosy.heard(Summary) == []

    net.run(HELLO_DEADLINE_S)
    assert nosy.was(ev.StreamEnded) == 1
    assert nosy.was(ev.Closed) == 0


def test_a_tag_of_another_session_is_not_recognised(net, home):
    """
    Whoever records or relays a tag cannot use it on a connection of his own.
    """
    node = net.add(home, 0)
    honest = Scripted(net, home.secrets[1][1].signing())
    tag = honest.tag(honest.dial(node), home.id)
    thief = Scripted(net, STRANGER)
    thief.say(thief.dial(node), Hello(1, tag))

    assert thief.heard() == []
    assert thief.was(ev.StreamEnded) == 1


def test_a_tag_that_is_sent_back_is_not_recognised(net, home):
    """
    The two sides of one session make different tags.
    """
    node = net.add(home, 0)
    mirror = Scripted(net, STRANGER)
    link = net.connect(node, mirror)
    net.run(1)
    mirror.say(link, mirror.heard(Hello)[0])

    assert node.machine.counts["refused_unrecognised"] == 1


def test_another_version_is_refused_without_reproach(net, home):
    """
    A Hello of a newer version ends the stream; the connection, and later streams, are welcome.
    """
    node = net.add(home, 0)
    newer = Scripted(net, home.secrets[1][1].signing())
    link = newer.dial(node)
    newer.say(link, bytes.fromhex("a3000101020241ff"))
    assert newer.was(ev.StreamEnded) == 1
    assert node.machine.counts["refused_version"] == 1

    newer.open(link)
    newer.say(link, Hello(1, newer.tag(link, home.id)))
    assert newer.heard(Summary)


def test_messages_of_kinds_that_we_do_not_know_are_passed_over(net, home):
    """
    A newer program's messages harm nobody.
    """
    node = net.add(home, 0)
    newer = Scripted(net, home.secrets[1][1].signing())
    link = newer.meet(node, home.id)
    newer.say(link, bytes.fromhex("a2001863016548656c6c6f"))

    assert node.machine.sessions()[0].met


@pytest.mark.parametrize(
    "data",
    [b"", b"\xa0", b"\xff" * 100, bytes.fromhex("a10001"), bytes.fromhex("a1001863")],
    ids=["empty", "no kind", "no cbor", "half a hello", "no hello"],
)
def test_who_does_not_begin_with_a_hello_gets_no_stream_any_more(net, home, data):
    """
    The connection stays: it may be of use for other things.
    """
    node = net.add(home, 0)
    stranger = Scripted(net, STRANGER)
    link = stranger.dial(node)
    stranger.say(link, data)
    assert stranger.was(ev.StreamEnded) == 1

    stranger.open(link)
    stranger.say(link, Hello(1, stranger.tag(link, home.id)))
    assert stranger.was(ev.StreamEnded) == 2
    assert stranger.heard() == []
    assert stranger.was(ev.Closed) == 0


def test_a_second_hello_ends_the_stream_for_good(net, home):
    """
    Even a member's.
    """
    node = net.add(home, 0)
    member = Scripted(net, home.secrets[1][1].signing())
    link = member.meet(node, home.id)
    member.say(link, Hello(1, member.tag(link, home.id)))

    assert member.was(ev.StreamEnded) == 1
    assert node.machine.sessions()[0].barred


def test_a_silent_stream_is_refused_after_a_while(net, home):
    """
    Nobody holds a stream open for nothing.
    """
    node = net.add(home, 0)
    silent = Scripted(net, STRANGER)
    silent.dial(node)
    net.run(HELLO_DEADLINE_S - 1)
    assert silent.was(ev.StreamEnded) == 0
    net.run(2)
    assert silent.was(ev.StreamEnded) == 1


def test_a_key_out_of_use_is_cut_before_anything_else(net, home):
    """
    A new connection of a revoked key is closed with REVOKED; nothing was said to it.
    """
    Author(home.chain, home.root).revoke(home.secrets[1][0].path, Scope.BRANCH, net.at())
    node = net.add(home, 0)
    thief = Scripted(net, home.secrets[1][1].signing())
    net.connect(thief, node)
    net.run(1)

    assert [effect.code for effect in node.of(ev.Cut)] == [CloseCode.REVOKED]
    assert thief.was(ev.Closed) == 1
    assert node.sent_bytes == 0
    assert node.machine.sessions() == []


def test_a_replaced_key_is_shown_what_replaced_it_and_cut_in_the_end(net, home):
    """
    A copy of a node, or one that slept, learns that it has a newer key; without proof of it, it is cut.
    """
    old = home.secrets[1][1].signing()
    moved = Author(home.chain, home.secrets[1][0]).rekey(net.at())
    node = net.add(home, 0)
    copy = Scripted(net, old)
    copy.meet(node, home.id)

    shown = [each for message in copy.heard(Statements) for each in decode_bundle(message.bundle)]
    assert moved.statement in shown
    assert copy.heard(Summary) == []
    assert node.of(ev.Recognised) == []

    net.run(REAUTH_DEADLINE_S)
    assert [effect.code for effect in node.of(ev.Cut)] == [CloseCode.REVOKED]


def test_a_node_without_a_cluster_refuses_streams_and_opens_none(net, home):
    """
    It has nothing to say.
    """
    alone = net.add(home, 0)
    alone.book.own = alone.book.path = None
    caller = Scripted(net, home.secrets[1][1].signing())
    link = caller.dial(alone)
    caller.say(link, Hello(1, caller.tag(link, home.id)))
    net.connect(alone, caller)
    net.run(1)

    assert caller.heard() == []
    assert alone.of(ev.OpenStream) == []


def test_a_stream_that_breaks_between_members_is_opened_again(net, home):
    """
    By whoever dialled, a little later each time.
    """
    one, other, _ = net.add_all(home)
    net.run(1)
    link = next(link for link in net.links.values() if set(link.ends) == {one, other})
    net.end_stream(link, link.ends[1])
    net.run(0.5)
    assert not link.stream
    net.run(3)
    assert link.stream
    assert one.machine.fellow_at(other.branch.path.place) is not None


def test_a_node_learns_that_its_own_key_is_out_of_use(net, home):
    """
    Once, from whoever can still reach it.
    """
    one, other, _ = net.add_all(home)
    net.run(1)
    two = Scripted(net, home.secrets[2][1].signing())
    link = two.meet(other, home.id)
    Author(home.chain, home.root).revoke(other.branch.path, Scope.BRANCH, net.at())
    two.say(link, Statements(home.id, encode_bundle(list(home.chain)[-1:])))
    net.run(5)

    other.say(lambda author: author.checkpoint(net.at()))
    assert len(other.of(ev.OwnKeyOut)) == 1
    assert not one.recognises(other.peer_id)
