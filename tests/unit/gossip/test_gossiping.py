"""IHAVE, IWANT, IDONTWANT: what is asked, answered, left out, and what a flood of it costs."""

import pytest

from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import START_NS, peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip.gossiping import IWANT_USELESS_MAX
from kontinuum.gossip.params import GossipParams
from kontinuum.messages.pubsub_fields import control_field, idontwant_part, ihave_part, iwant_part

LARGE = bytes(1024)


def ids(count, author=99, first=0):
    """Ids of messages that nobody has."""
    multihash = peer_id(author).multihash
    return [multihash + (START_NS + 10**6 + first + number).to_bytes(8) for number in range(count)]


def offences(bench, number):
    """P7's counter."""
    snapshots = {snapshot.peer: snapshot for snapshot in bench.router._parts.scores.inspect()}
    return snapshots[peer_id(number)].behaviour_penalty


# --- announcing ---


def test_a_heartbeat_announces_to_those_outside_of_the_mesh():
    """
    What came in the last mcache_gossip heartbeats, to D_lazy of them.
    """
    bench = Bench()
    for number in range(1, 5):
        bench.connect(number, mesh=True)
    for number in range(5, 25):
        bench.connect(number)
    bench.say(1, bench.message(data=b"one"), bench.message(data=b"two"))
    bench.hush()
    for _ in range(3):
        bench.run(1)
        told = [number for number in range(5, 25) if bench.heard(number).ihave]
        assert len(told) == 6
        assert not any(bench.heard(number).ihave for number in range(1, 5))
        bench.hush()
    bench.run(1)
    assert not any(bench.heard(number).ihave for number in range(1, 25))


def test_what_is_announced():
    """
    Ids of the topic, no others.
    """
    bench = Bench(topics=(TOPIC, "hall"), params=GossipParams(D_low=1, D=1, D_out=0))
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=False)
    bench.say(1, bench.message(), bench.message(topic="hall"))
    message_id = bench.all(ev.Deliver)[0].message.message_id
    bench.hush()
    bench.run(1)

    assert bench.heard(2).ihave == ((TOPIC, (message_id,)),)


def test_gossip_goes_to_a_share_of_many():
    """
    gossip_factor of those outside of the mesh, if that is more than D_lazy.
    """
    bench = Bench()
    for number in range(1, 85):
        bench.connect(number)
    bench.say(1, bench.message())
    bench.hush()
    bench.run(1)

    told = [number for number in range(1, 85) if bench.heard(number).ihave]
    assert len(told) == 80 // 4


@pytest.mark.parametrize("flood_publish", [True, False])
def test_who_only_publishes_announces_unless_he_has_sent_it_to_all(flood_publish):
    """
    v1.1, "Flood Publishing"; and nothing of a topic that we have left.
    """
    bench = Bench(params=GossipParams(flood_publish=flood_publish))
    for number in range(1, 13):
        bench.connect(number, topics=(TOPIC, "hall"))
    bench.give(ev.Publish("hall", b"x", 1))
    bench.say(1, bench.message())
    bench.give(ev.Unsubscribe(TOPIC))
    bench.hush()
    bench.run(1)

    told = [topic for number in range(1, 13) for topic, _ in bench.heard(number).ihave]
    assert told == ([] if flood_publish else ["hall"] * 6)


def test_nobody_gossips_with_a_peer_below_the_threshold():
    """
    In neither direction.
    """
    bench = Bench()
    for number in range(1, 5):
        bench.connect(number, mesh=True)
    bench.connect(9)
    bench.give(ev.SetApplicationScore(peer_id(9), -600.0))
    bench.say(1, bench.message())
    message_id = bench.all(ev.Deliver)[0].message.message_id
    bench.hush()
    bench.run(1)
    bench.tell(9, ihave_part(TOPIC, ids(1)), iwant_part([message_id]))

    heard = bench.heard(9)
    assert (heard.ihave, heard.iwant, heard.messages) == ((), (), ())


def test_too_many_ids_are_announced_in_part_and_to_each_another_part():
    """
    max_ihave_length of them to each peer.
    """
    bench = Bench(params=GossipParams(max_ihave_length=10))
    for number in range(1, 5):
        bench.connect(number, mesh=True)
    for number in range(5, 8):
        bench.connect(number)
    bench.say(1, *(bench.message() for _ in range(30)))
    bench.hush()
    bench.run(1)

    told = [bench.heard(number).ihave[0].message_ids for number in range(5, 8)]
    assert [len(each) for each in told] == [10, 10, 10]
    assert len(set(told)) == 3


def test_what_a_full_queue_dropped_is_announced_to_that_peer():
    """
    In the mesh or not: it can be asked for.
    """
    bench = Bench(params=GossipParams(queue_bytes_max=70 * 1024))
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True, room_bytes=0)
    for _ in range(5):
        bench.say(1, bench.message(data=bytes(30_000)))
    sent = [effect.message.message_id for effect in bench.all(ev.Deliver)]
    bench.give(ev.Writable(peer_id(2), 10_000_000))
    got = {message.message_id for message in bench.heard(2).messages}
    assert len(got) < 5

    bench.run(1)
    ((topic, announced),) = bench.heard(2).ihave
    assert topic == TOPIC
    assert set(announced) == set(sent) - got
    bench.tell(2, iwant_part(announced))
    got |= {message.message_id for message in bench.heard(2).messages}
    bench.run(1)  # The answer was too much for the queue, too: the rest of it is announced again.
    bench.tell(2, iwant_part(bench.heard(2).ihave[0].message_ids))
    assert got | {message.message_id for message in bench.heard(2).messages} == set(sent)


# --- asking ---


def test_what_is_lacking_is_asked_for_once_by_each_who_has_it():
    """
    Known messages and our own are not.
    """
    bench = Bench()
    bench.connect(1)
    bench.say(1, bench.message())
    known = bench.all(ev.Deliver)[0].message.message_id
    bench.hush()
    new = ids(3)
    bench.tell(1, ihave_part(TOPIC, [*new, known, *ids(1, LOCAL), new[0]]))

    assert sorted(bench.heard(1).iwant) == sorted(new)


def test_topics_that_we_are_not_in_are_not_asked_for():
    """
    Whatever is announced of them.
    """
    bench = Bench()
    bench.connect(1)
    bench.hush()
    bench.tell(1, ihave_part("hall", ids(3)))

    assert bench.heard(1).iwant == ()


def test_of_a_flood_of_announcements_little_is_asked_for():
    """
    max_ihave_messages RPCs and max_ihave_length ids in a heartbeat; the next one begins anew.
    """
    bench = Bench(params=GossipParams(max_ihave_messages=3, max_ihave_length=10))
    bench.connect(1)
    bench.hush()
    for batch in range(5):
        bench.tell(1, ihave_part(TOPIC, ids(2, first=10 * batch)))
    assert len(bench.heard(1).iwant) == 6
    bench.run(1)
    bench.tell(1, ihave_part(TOPIC, ids(200, first=100)))
    assert len(bench.heard(1).iwant) == 10
    bench.tell(1, ihave_part(TOPIC, ids(2, first=400)))
    assert bench.heard(1).iwant == ()
    assert bench.count("flooded") == 4 + 190 + 2


def test_announcements_of_several_topics_are_one_to_the_cap():
    """
    max_ihave_length for all of them together.
    """
    bench = Bench(topics=(TOPIC, "hall"), params=GossipParams(max_ihave_length=10))
    bench.connect(1, topics=(TOPIC, "hall"))
    bench.hush()
    bench.tell(1, ihave_part(TOPIC, ids(8)), ihave_part("hall", ids(8, first=100)))

    assert len(bench.heard(1).iwant) == 10


def test_a_broken_promise_costs_score():
    """
    One for each request; who brings the message in time, or whom another one was quicker than, pays nothing.
    """
    bench = Bench()
    for number in (1, 2, 3):
        bench.connect(number, mesh=True)
    seqno = START_NS + 5_000
    promised = bench.message(seqno=seqno)
    message_id = peer_id(99).multihash + seqno.to_bytes(8)
    bench.tell(1, ihave_part(TOPIC, [message_id]))
    bench.tell(2, ihave_part(TOPIC, [message_id]))
    bench.tell(3, ihave_part(TOPIC, ids(1)))
    bench.run(2)
    bench.say(1, promised)
    bench.run(2.5)

    assert [round(offences(bench, number), 1) for number in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert bench.count("promises_broken") == 1


def test_a_question_that_has_not_left_breaks_no_promise():
    """
    If the peer's stream takes nothing, it is not its word that failed.
    """
    bench = Bench()
    bench.connect(1, room_bytes=0)
    bench.tell(1, ihave_part(TOPIC, ids(1)))
    bench.run(6)

    assert offences(bench, 1) == 0


def test_an_answer_that_comes_after_we_left_keeps_the_promise():
    """
    We asked while we were in the topic.
    """
    bench = Bench()
    bench.connect(1)
    promised = bench.message(seqno=START_NS + 5_000)
    bench.tell(1, ihave_part(TOPIC, [peer_id(99).multihash + (START_NS + 5_000).to_bytes(8)]))
    bench.give(ev.Unsubscribe(TOPIC))
    bench.say(1, promised)
    bench.run(6)

    assert bench.count("iwant_sent") == 1
    assert offences(bench, 1) == 0


# --- answering ---


def test_what_is_asked_for_is_sent_a_few_times():
    """
    gossip_retransmission times to each peer; what is unknown is not answered.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True)
    bench.say(1, bench.message(data=b"wanted"))
    message_id = bench.all(ev.Deliver)[0].message.message_id
    bench.hush()
    for _ in range(5):
        bench.tell(2, iwant_part([message_id, *ids(1)]))

    assert [message.data for message in bench.heard(2).messages] == [b"wanted"] * 3
    bench.tell(1, iwant_part([message_id]))
    assert len(bench.heard(1).messages) == 1


def test_a_message_can_be_asked_for_as_long_as_it_is_cached():
    """
    mcache_len heartbeats.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.say(1, bench.message())
    message_id = bench.all(ev.Deliver)[0].message.message_id
    bench.run(3.5)
    bench.tell(1, iwant_part([message_id]))
    assert len(bench.heard(1).messages) == 1
    bench.run(1)
    bench.hush()
    bench.tell(1, iwant_part([message_id]))
    assert bench.heard(1).messages == ()


# --- what others have ---


@pytest.mark.parametrize("size", [1023, 1024])
def test_the_mesh_is_told_of_large_messages_before_they_are_validated(size):
    """
    Those who know v1.2, but not the one that brought it; from 1 KiB of data on.
    """
    bench = Bench(validate=True)
    for number in (1, 2, 3):
        bench.connect(number, mesh=True)
    bench.connect(4, mesh=True, protocol=ev.Protocol.MESHSUB_1_1)
    bench.hush()
    bench.say(1, bench.message(data=bytes(size)))
    (validate,) = bench.all(ev.Validate)

    told = {
        number for number in range(1, 5) if bench.heard(number).idontwant == (validate.message.message_id,)
    }
    assert told == ({2, 3} if size == 1024 else set())


def test_a_forgery_tells_nobody_anything():
    """
    Otherwise the next message of an author could be silenced by anybody who guesses its number.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True)
    bench.hush()
    bench.say(1, bench.message(data=LARGE, sign=lambda _: bytes(64)))

    assert bench.heard(2).idontwant == ()


def test_what_a_peer_has_is_not_sent_to_it():
    """
    Neither forwarded, nor published, nor sent when it asks for it.
    """
    bench = Bench()
    for number in (1, 2, 3):
        bench.connect(number, mesh=True)
    message = bench.message(data=LARGE)
    message_id = peer_id(99).multihash + bench._seqno.to_bytes(8)
    bench.hush()
    bench.tell(2, idontwant_part([message_id]))
    bench.say(1, message)
    bench.run(0.9)
    bench.tell(2, iwant_part([message_id]))

    assert bench.heard(2).messages == ()
    assert len(bench.heard(3).messages) == 1


def test_that_holds_for_some_heartbeats():
    """
    idontwant_ttl of them.
    """
    bench = Bench()
    bench.connect(1, mesh=True)
    bench.connect(2, mesh=True)
    message = bench.message(data=LARGE)
    message_id = peer_id(99).multihash + bench._seqno.to_bytes(8)
    bench.tell(2, idontwant_part([message_id]))
    box = bench.router._parts.peers[peer_id(2)].outbox
    bench.run(1.5)
    assert message_id in box.dont_want
    bench.tell(2, idontwant_part(ids(1)))
    bench.run(1)
    assert list(box.dont_want) == ids(1)
    bench.say(1, message)
    bench.run(0.9)

    assert len(bench.heard(2).messages) == 1


def test_what_a_peer_does_not_want_is_bounded():
    """
    max_idontwant_messages in a heartbeat.
    """
    bench = Bench(params=GossipParams(max_idontwant_messages=50))
    bench.connect(1)
    box = bench.router._parts.peers[peer_id(1)].outbox
    for batch in range(4):
        bench.tell(1, idontwant_part(ids(20, first=100 * batch)))
    assert len(box.dont_want) == 50
    for _ in range(10):
        bench.run(1)
        bench.tell(1, idontwant_part(ids(100, first=int(bench.now * 1000))))
    assert len(box.dont_want) <= 50 * 3


# --- floods ---


@pytest.mark.parametrize(
    "flood",
    [
        lambda: [control_field([ihave_part(TOPIC, ids(1, first=n))]) for n in range(110)],
        lambda: [control_field([iwant_part(ids(IWANT_USELESS_MAX, first=1000 * n))]) for n in range(11)],
        lambda: [control_field([idontwant_part(ids(1000, first=1000 * n))]) for n in range(11)],
    ],
    ids=["ihave", "iwant", "idontwant"],
)
def test_a_flood_costs_score(flood):
    """
    And what is within the limits, or just above them, does not.
    """
    bench = Bench()
    bench.connect(1)
    bench.connect(2)
    for field in flood():
        bench.say(1, field)
    for field in flood()[:1]:
        bench.say(2, field)
    bench.run(1)

    assert offences(bench, 1) >= 8
    assert bench.score(1) < 0
    assert offences(bench, 2) == 0


def test_honest_heartbeats_do_not_meet_ours():
    """
    Twice what is allowed may fall into one heartbeat of ours.
    """
    bench = Bench()
    bench.connect(1)
    for number in range(20):
        bench.tell(1, ihave_part(TOPIC, ids(1, first=number)))
    bench.tell(1, iwant_part(ids(2 * IWANT_USELESS_MAX)))
    bench.tell(1, idontwant_part(ids(2000)))
    bench.run(1)

    assert offences(bench, 1) == 0


def test_what_we_could_not_take_breaks_no_promise():
    """
    A message that is too large for us, or a replay, was true when an honest peer announced it: a replay is
    not asked for, and who brings the other has kept its word.
    """
    bench = Bench(params=GossipParams(message_bytes_max=100))
    bench.connect(1)
    large = bench.message(data=bytes(101), seqno=START_NS + 5)
    bench.tell(1, ihave_part(TOPIC, ids(1, first=5 - 10**6)))
    assert bench.heard(1).iwant
    bench.say(1, large)
    bench.run(10)
    assert bench.count("too_large") == 1
    assert offences(bench, 1) == 0

    bench.say(1, bench.message(author=98, seqno=START_NS + 10**8))
    bench.run(150)
    bench.hush()
    bench.tell(1, ihave_part(TOPIC, [peer_id(98).multihash + (START_NS + 10**8).to_bytes(8)]))
    assert bench.heard(1).iwant == ()
