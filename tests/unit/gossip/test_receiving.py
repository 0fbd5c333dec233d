"""Messages that come in: what is delivered and forwarded, who is rewarded, and who pays."""

import pytest

from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import START_NS, cheap_verify, peer_id, unix_ns
from helpers.kad_messages import octets
from kontinuum.gossip import events as ev
from kontinuum.gossip import receiving
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.receiving import LEAVE_GRACE_S, VALIDATION_TIMEOUT_S
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import message_field, subscription_field

AUTHOR = octets(1, peer_id(9).multihash)


def forged(_):
    """No signature of anybody."""
    return bytes(64)


def meshed(count=3, **kwargs):
    """A bench with so many peers in the mesh, which have said all they say at first."""
    bench = Bench(**kwargs)
    for number in range(1, count + 1):
        bench.connect(number, mesh=True)
    bench.hush()
    return bench


def heard_data(bench, number):
    """The data of messages that a peer was sent."""
    return [message.data for message in bench.heard(number).messages]


def test_a_new_message_is_delivered_and_forwarded():
    """
    To the mesh, but neither to who brought it nor to its author; with who wrote it and who brought it.
    """
    bench = meshed()
    bench.say(1, bench.message(author=2, data=b"hello"))

    (effect,) = bench.all(ev.Deliver)
    message = effect.message
    assert (message.topic, message.data, message.author, message.received_from) == (
        TOPIC,
        b"hello",
        peer_id(2),
        peer_id(1),
    )
    assert message.message_id == peer_id(2).multihash + message.seqno.to_bytes(8)
    assert [heard_data(bench, number) for number in (1, 2, 3)] == [[], [], [b"hello"]]


def test_what_is_forwarded_is_canonical():
    """
    However it came: a key and another order are gone, and the signature is still right.
    """
    bench = meshed()
    (read,) = decode(bench.message(author=9)).messages
    signature, rest = read.body[-66:], read.body[:-66]
    bench.say(1, message_field(signature + octets(6, read.author[2:]) + rest))

    (message,) = bench.heard(2).messages
    assert message.body == read.body


def test_a_duplicate_is_recognized_before_it_is_verified():
    """
    In another RPC, in the same batch, and in the same RPC: one signature is checked for all.
    """
    checked = []

    def verify(signed):
        checked.append(len(signed))
        return cheap_verify(signed)

    bench = meshed(verify=verify)
    one, two = bench.message(), bench.message()
    bench.give(
        ev.RpcReceived(peer_id(1), one + one + two),
        ev.RpcReceived(peer_id(2), one),
    )
    bench.say(3, one)

    assert checked == [2]
    assert len(bench.delivered()) == 2
    assert bench.count("duplicates") == 3


def test_all_signatures_of_a_batch_are_checked_in_one_call():
    """
    Natively, without the interpreter's lock.
    """
    checked = []

    def verify(signed):
        checked.append(len(signed))
        return cheap_verify(signed)

    bench = meshed(verify=verify)
    bench.give(*(ev.RpcReceived(peer_id(1 + n % 3), bench.message() + bench.message()) for n in range(6)))

    assert checked == [12]


def test_a_forgery_costs_its_bearer_and_leaves_no_trace():
    """
    The true message of that number is taken afterwards, in the same batch or later.
    """
    for batched in (False, True):
        bench = meshed()
        seqno = START_NS + 77
        false = bench.message(data=b"false", seqno=seqno, sign=forged)
        true = bench.message(data=b"true", seqno=seqno)
        events = [
            ev.RpcReceived(peer_id(1), false),
            ev.RpcReceived(peer_id(2), true),
            ev.RpcReceived(peer_id(3), true),
        ]
        if batched:
            bench.give(*events)
        else:
            for event in events:
                bench.give(event)

        assert bench.delivered() == [b"true"]
        assert bench.all(ev.Deliver)[0].message.received_from == peer_id(2)
        assert bench.score(1) == -100
        assert bench.score(2) > 0
        assert bench.score(3) >= 0
        assert (bench.count("bad_signatures"), bench.count("duplicates")) == (1, 1)


def test_all_who_bring_the_same_forgery_pay():
    """
    In one batch it is verified once.
    """
    bench = meshed()
    false = bench.message(sign=forged)
    bench.give(*(ev.RpcReceived(peer_id(number), false) for number in (1, 2)))

    assert (bench.score(1), bench.score(2), bench.score(3)) == (-100, -100, 0)


def test_an_rpc_full_of_forgeries_is_not_verified_to_the_end(monkeypatch):
    """
    Once its bearer is graylisted, the rest of what it sent is dropped; what others sent is not.
    """
    monkeypatch.setattr(receiving, "VERIFY_MAX", 8)
    checked = []

    def verify(signed):
        checked.append(len(signed))
        return cheap_verify(signed)

    bench = meshed(verify=verify)
    good = bench.message()
    bench.give(
        ev.RpcReceived(peer_id(1), b"".join(bench.message(sign=forged) for _ in range(50))),
        ev.RpcReceived(peer_id(2), good),
    )

    assert checked == [8, 1]
    assert len(bench.delivered()) == 1
    assert bench.count("graylisted_unverified") == 42
    assert len(bench.router._parts.seen) == 1


def test_who_brought_the_same_as_a_forger_does_not_lose_it(monkeypatch):
    """
    An honest copy that came second is verified when the first bearer is dropped, and is its bearer's.
    """
    monkeypatch.setattr(receiving, "VERIFY_MAX", 8)
    bench = meshed(3)
    good = bench.message()
    forgeries = b"".join(bench.message(sign=forged) for _ in range(50))
    bench.give(
        ev.RpcReceived(peer_id(1), forgeries + good),
        ev.RpcReceived(peer_id(2), good),
        ev.RpcReceived(peer_id(3), good),
    )

    (delivery,) = bench.all(ev.Deliver)
    assert delivery.message.received_from == peer_id(2)
    assert bench.count("graylisted_unverified") == 42
    assert min(bench.score(2), bench.score(3)) >= 0


@pytest.mark.parametrize(
    ("field", "counter", "score"),
    [
        (lambda _: message_field(b""), "flawed_forgivably", 0),
        (lambda _: message_field(octets(4, b"room")), "flawed_forgivably", 0),
        (lambda _: message_field(AUTHOR + octets(3, bytes(8)) + octets(4, b"room")), "flawed", -100),
        (lambda _: message_field(octets(3, bytes(8)) + octets(4, b"room")), "flawed", -100),
        (
            lambda _: message_field(AUTHOR + octets(3, bytes(7)) + octets(4, b"room") + octets(5, bytes(64))),
            "flawed_forgivably",
            0,
        ),
        (lambda bench: bench.message(data=bytes(2001)), "too_large", 0),
        (lambda bench: bench.message(author=LOCAL, sign=forged), "own_returned", 0),
    ],
    ids=["empty", "topic only", "unsigned", "no author", "short seqno", "too large", "forged as ours"],
)
def test_what_is_passed_over(field, counter, score):
    """
    And what it costs: nothing, where implementations or settings differ.
    """
    bench = meshed(params=GossipParams(message_bytes_max=2000))
    bench.say(1, field(bench))

    assert bench.delivered() == []
    assert heard_data(bench, 2) == []
    assert bench.count(counter) == 1
    assert bench.score(1) == score


def test_a_message_of_the_largest_size_is_taken():
    """
    message_bytes_max of data.
    """
    bench = meshed(params=GossipParams(message_bytes_max=2000))
    bench.say(1, bench.message(data=bytes(2000)))

    assert bench.delivered() == [bytes(2000)]


def test_a_replay_is_not_delivered_again():
    """
    Long after it was forgotten, and it costs the bearer nothing: it may have been held up.
    """
    bench = meshed()
    old = bench.message()
    bench.say(1, old)
    bench.run(200)
    bench.hush()
    bench.say(2, old)

    assert bench.delivered() == []
    assert bench.count("replayed") == 1
    assert bench.score(2) >= 0
    bench.say(2, bench.message())
    assert len(bench.delivered()) == 1


def test_the_application_decides():
    """
    What it accepts goes on, what it ignores does not, what it rejects costs all who brought it.
    """
    bench = meshed(validate=True)
    messages = {verdict: bench.message(data=verdict.value.encode()) for verdict in ev.Verdict}
    for message in messages.values():
        bench.say(1, message)
        bench.say(2, message)
    assert bench.delivered() == []
    for effect in bench.all(ev.Validate):
        verdict = ev.Verdict(effect.message.data.decode())
        bench.give(ev.Validated(effect.message.message_id, verdict))

    assert bench.delivered() == [b"accept"]
    assert heard_data(bench, 3) == [b"accept"]
    assert heard_data(bench, 2) == []
    assert bench.score(1) < -90
    assert bench.score(2) == -100
    counts = [bench.count(name) for name in ("accepted", "ignored", "rejected")]
    assert counts == [1, 1, 1]


def test_duplicates_of_what_was_decided():
    """
    Of what was rejected costs nothing more by itself; nothing is asked or delivered twice.
    """
    bench = meshed(validate=True)
    message = bench.message()
    bench.say(1, message)
    (effect,) = bench.all(ev.Validate)
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.IGNORE))
    bench.hush()
    bench.say(2, message)
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.ACCEPT))

    assert (bench.all(ev.Validate), bench.all(ev.Deliver)) == ([], [])


def test_who_brings_what_was_rejected_pays_too():
    """
    Whenever it brings it, while that is known.
    """
    bench = meshed(validate=True)
    message = bench.message()
    bench.say(1, message)
    (effect,) = bench.all(ev.Validate)
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.REJECT))
    bench.say(2, message)

    assert (bench.score(1), bench.score(2)) == (-100, -100)


def test_a_verdict_that_never_comes_is_not_waited_for():
    """
    The message is ignored, and a late verdict changes nothing.
    """
    bench = meshed(validate=True)
    bench.say(1, bench.message())
    (effect,) = bench.all(ev.Validate)
    bench.run(VALIDATION_TIMEOUT_S + 1)
    assert bench.router.snapshot().pending == 0
    assert bench.count("validations_expired") == 1
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.ACCEPT))

    assert bench.delivered() == []


@pytest.mark.parametrize(("name", "value"), [("VALIDATIONS_MAX", 3), ("VALIDATION_BYTES_MAX", 3 * 150)])
def test_no_more_is_asked_than_the_application_can_answer(monkeypatch, name, value):
    """
    More is dropped without blame, not even verified, and is new when it comes again.
    """
    monkeypatch.setattr(receiving, name, value)
    bench = meshed(validate=True)
    messages = [bench.message(data=b"x" * 40) for _ in range(5)]
    for message in messages:
        bench.say(1, message)
    asked = bench.all(ev.Validate)
    assert len(asked) == 3
    assert bench.count("throttled") == 2
    bench.give(ev.Validated(asked[0].message.message_id, ev.Verdict.ACCEPT))
    bench.say(1, messages[3])

    assert len(bench.all(ev.Validate)) == 4
    assert bench.score(1) >= 0


def test_a_topic_that_nobody_here_is_in_costs_the_sender():
    """
    Nothing is verified or kept; and shortly after we left it, nothing is held against anybody.
    """
    bench = meshed(topics=(TOPIC, "hall"), verify=lambda _: pytest.fail("verified"))
    bench.say(2, subscription_field("hall", subscribe=True))
    bench.say(1, *(bench.message(topic="nowhere") for _ in range(30)))
    bench.give(ev.Unsubscribe("hall"))
    bench.say(2, *(bench.message(topic="hall") for _ in range(30)))
    bench.run(1)

    assert bench.score(1) < -2500
    assert bench.score(2) == 0
    assert len(bench.router._parts.seen) == 0
    bench.run(LEAVE_GRACE_S + 1)
    bench.say(2, *(bench.message(topic="hall") for _ in range(30)))
    bench.run(1)
    assert bench.score(2) < -2500


def test_a_topic_that_we_left_is_not_delivered_any_more():
    """
    Also not what the application accepts afterwards.
    """
    bench = meshed(validate=True)
    bench.say(1, bench.message())
    (effect,) = bench.all(ev.Validate)
    bench.give(ev.Unsubscribe(TOPIC))
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.ACCEPT))

    assert bench.delivered() == []


def test_first_deliveries_are_rewarded():
    """
    P2: whoever brought it first, and only then.
    """
    bench = meshed()
    message = bench.message()
    bench.say(1, message)
    bench.say(2, message)

    assert bench.score(1) == 1
    assert bench.score(2) == 0


def test_messages_of_a_graylisted_peer_are_not_looked_at():
    """
    Nor anything else that it says, until its score has recovered; a direct peer has no such limit.
    """
    bench = meshed()
    for number in (1, 2):
        bench.give(ev.SetApplicationScore(peer_id(number), -3000.0))
    bench.give(ev.AddDirectPeer(peer_id(2)))
    bench.say(1, b"no RPC", bench.message())
    bench.say(2, bench.message(data=b"of a friend"))

    assert bench.delivered() == [b"of a friend"]
    assert (bench.count("rpcs_graylisted"), bench.count("rpcs_malformed")) == (1, 0)


def test_what_is_no_rpc_costs_score():
    """
    Three of them are the graylist.
    """
    bench = meshed()
    bench.say(1, b"\x12")
    assert bench.mesh() == [1, 2, 3]
    bench.run(1)
    assert bench.mesh() == [2, 3]
    bench.say(1, b"\x12")
    bench.say(1, b"\x12")

    assert bench.score(1) < -2500
    assert bench.count("rpcs_malformed") == 3


def test_an_rpc_of_a_stranger_changes_nothing():
    """
    The shell says first who is connected.
    """
    bench = meshed()
    bench.say(50, subscription_field(TOPIC, subscribe=True), bench.message())

    assert bench.delivered() == []
    assert bench.router.topic_peers(TOPIC) == [peer_id(number) for number in (1, 2, 3)]
    assert bench.count("rpcs_stray") == 1


def test_the_largest_sequence_number_is_a_number():
    """
    2^64-1 and 0: no overflow, and authors who draw them by lot are heard as well.
    """
    bench = meshed()
    for seqno in (2**64 - 1, 0, 5, unix_ns(bench.now)):
        bench.say(1, bench.message(data=str(seqno).encode(), seqno=seqno or 2**63))

    assert len(bench.delivered()) == 4
