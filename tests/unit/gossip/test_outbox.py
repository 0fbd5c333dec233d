"""What waits for one peer: what goes first, what is dropped, and what is remembered of it."""

import pytest

from helpers.kad_messages import octets
from kontinuum.gossip.counters import Counters
from kontinuum.gossip.outbox import CONTROL_BYTES_MAX, MISSED_MAX, Outbox
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import (
    graft_part,
    ihave_part,
    message_field,
    prune_part,
    subscription_field,
)

ID = bytes(46)


def box(**changes):
    """Queues with small bounds."""
    given = {"room_bytes": 100_000, "rpc_bytes": 1000, "bytes_max": 5000, "counters": Counters(), **changes}
    return Outbox(given.pop("room_bytes"), **given)


def item(name, size=100, expires_at=10.0):
    """Something of that size (up to a few bytes) that reads as a message, with that id."""
    field = message_field(octets(9, name.ljust(size - 4, b".")))
    return (expires_at, field, name)


def test_control_then_our_own_then_others_then_gossip():
    """
    Whatever was put in first; all in one RPC that has one control field.
    """
    queues = box()
    queues.put_gossip((10.0, ihave_part("room", [ID]), b""))
    queues.put_gossip(item(b"asked"))
    queues.put_forward(item(b"others"))
    queues.put_own(item(b"own"))
    queues.put_control(graft_part("room"))
    queues.put_subscription(subscription_field("room", subscribe=True))

    (rpc,) = queues.flush(0.0)

    read = decode(rpc)
    assert rpc.index(b"room") < rpc.index(b"own") < rpc.index(b"others") < rpc.index(b"asked")
    assert (read.subscriptions, read.graft, len(read.messages)) == (((True, "room"),), ("room",), 3)
    assert read.ihave[0].message_ids == (ID,)
    assert (len(queues), queues.bytes) == (0, 0)
    assert queues.flush(0.0) == []


def test_an_rpc_holds_what_fits_and_what_is_larger_goes_alone():
    """
    The order stays; nothing is split.
    """
    queues = box(rpc_bytes=250)
    for name, size in ((b"1", 100), (b"2", 100), (b"3", 100), (b"4", 900), (b"5", 100)):
        queues.put_forward(item(name, size))

    rpcs = queues.flush(0.0)

    assert [[name in rpc for name in (b"1", b"2", b"3", b"4", b"5")].count(True) for rpc in rpcs] == [
        2,
        1,
        1,
        1,
    ]
    assert [len(rpc) for rpc in rpcs] == [2 * 100, 100, 902, 100]


def test_many_control_messages_take_several_rpcs_in_order():
    """
    A greeting with many topics: none is lost, and each RPC is within its size.
    """
    queues = box(rpc_bytes=200)
    for number in range(50):
        queues.put_subscription(subscription_field(f"topic {number}", subscribe=True))
    for number in range(50):
        queues.put_control(prune_part(f"topic {number}"))

    rpcs = queues.flush(0.0)

    read = [decode(rpc) for rpc in rpcs]
    assert [topic for each in read for _, topic in each.subscriptions] == [f"topic {n}" for n in range(50)]
    assert [prune.topic for each in read for prune in each.prune] == [f"topic {n}" for n in range(50)]
    assert max(map(len, rpcs)) <= 210


def test_no_more_is_sent_than_the_stream_takes():
    """
    The last RPC may go beyond; then everything waits, until there is room again.
    """
    queues = box(room_bytes=150, rpc_bytes=100)
    for name in (b"1", b"2", b"3", b"4"):
        queues.put_forward(item(name))

    assert len(queues.flush(0.0)) == 2
    assert queues.room_bytes < 0
    assert queues.flush(1.0) == []
    queues.room_bytes = 1000
    assert len(queues.flush(2.0)) == 2


def test_what_is_too_old_is_dropped_and_remembered():
    """
    A message's id, so that it can be announced; gossip is just forgotten.
    """
    counters = Counters()
    queues = box(counters=counters)
    queues.put_forward(item(b"old", expires_at=1.0))
    queues.put_forward(item(b"new"))
    queues.put_gossip((1.0, ihave_part("room", [ID]), b""))

    (rpc,) = queues.flush(2.0)

    assert b"old" not in rpc
    assert list(queues.missed) == [b"old"]
    assert (queues.dropped, counters.dropped_too_old) == (1, 2)


def test_a_stream_that_takes_nothing_holds_nothing_that_is_too_old():
    """
    Expiry does not wait for the stream: memory is bounded by time as well.
    """
    queues = box(room_bytes=0)
    queues.put_own(item(b"own", expires_at=30.0))
    queues.put_forward(item(b"others", expires_at=5.0))

    queues.expire(6.0)

    assert (len(queues), queues.bytes) == (1, 100)
    assert list(queues.missed) == [b"others"]


def test_of_too_much_the_least_important_and_then_the_newest_goes():
    """
    Gossip first, then messages of others, then our own.
    """
    counters = Counters()
    queues = box(room_bytes=0, bytes_max=450, counters=counters)
    for name in (b"g", b"h"):
        queues.put_gossip(item(name))
    for name in (b"a", b"b", b"c"):
        queues.put_forward(item(name))
    assert [each[2] for each in queues.gossip] == [b"g"]
    queues.put_own(item(b"o"))
    assert not queues.gossip
    for name in (b"p", b"q", b"r", b"s", b"t"):
        queues.put_own(item(name))

    assert [each[2] for each in queues.own] == [b"o", b"p", b"q", b"r"]
    assert not queues.forward
    assert queues.bytes <= 450
    assert counters.dropped_queue_full == queues.dropped == 7
    assert list(queues.missed) == [b"h", b"g", b"c", b"b", b"a", b"s", b"t"]


def test_what_the_peer_does_not_want_is_not_sent():
    """
    Not counted as dropped, and not announced.
    """
    counters = Counters()
    queues = box(counters=counters)
    queues.put_forward(item(b"known"))
    queues.put_own(item(b"mine"))
    queues.dont_want.update({b"known": 3, b"mine": 3})

    assert queues.flush(0.0) == []
    assert (counters.idontwant_honoured, queues.dropped, queues.bytes) == (2, 0, 0)


def test_control_messages_are_bounded_and_their_loss_is_told():
    """
    Then the peer believes something that is not so.
    """
    queues = box(room_bytes=0)
    parts = [prune_part(f"{number:0200}") for number in range(CONTROL_BYTES_MAX // 200)]
    fits = CONTROL_BYTES_MAX // len(parts[0])
    for part in parts[:fits]:
        queues.put_control(part)
    assert not queues.is_overflown

    queues.put_control(parts[fits])

    assert queues.is_overflown
    assert len(queues) == fits


def test_the_same_control_message_waits_once():
    """
    As the last one said, so that the order of what remains is true; also when it waits in a full queue.
    """
    queues = box(room_bytes=0)
    for part in (graft_part("room"), prune_part("room"), graft_part("room")):
        queues.put_control(part)
    assert len(queues) == 2
    queues.withdraw_control(prune_part("room"))
    queues.room_bytes = 1000
    (rpc,) = queues.flush(0.0)

    assert decode(rpc).graft == ("room",)
    assert decode(rpc).prune == ()
    assert queues._control_bytes == 0


def test_ids_of_dropped_messages_are_bounded():
    """
    As many as may be announced in a heartbeat.
    """
    queues = box(room_bytes=0, bytes_max=100)
    for number in range(MISSED_MAX + 10):
        queues.put_forward(item(number.to_bytes(4)))

    assert len(queues.missed) == MISSED_MAX


def test_since_when_nothing_was_taken():
    """
    Only if something waits; any RPC that leaves begins anew.
    """
    queues = box(room_bytes=0)
    queues.flush(1.0)
    assert queues.stalled_since is None
    queues.put_control(graft_part("room"))
    queues.flush(2.0)
    queues.flush(3.0)
    assert queues.stalled_since == pytest.approx(2.0)
    queues.room_bytes = 1
    queues.put_forward(item(b"1", size=2000))
    assert queues.flush(4.0)
    assert queues.stalled_since == pytest.approx(4.0)
    queues.room_bytes = 10_000
    queues.flush(5.0)
    assert queues.stalled_since is None
