"""Replication sends a receiver what it should hold, no faster and no more than it takes."""

import pytest

from helpers.dht_net import Net
from helpers.dht_peers import ip_of, key_pair, peer
from helpers.records import content, put
from kontinuum.dht import events as ev
from kontinuum.dht.events import Refusal
from kontinuum.dht.records import Records
from kontinuum.dht.records.quotas import PUTS_BURST_PEER
from kontinuum.dht.replication import (
    BURST,
    BUSY_PAUSE_S,
    QUEUE_MAX,
    REFUSALS_MAX,
    REPLICATE_AFTER_S,
    TURN_S,
)

RECORDS = 150
NEWCOMER = peer(1)


@pytest.fixture
def net():
    """A node that knows nobody and holds many records, and so should give them to whoever comes."""
    net = Net([0])
    net.give(0, ev.Start())
    for number in range(RECORDS):
        assert put(net.machines[0].records, content(number), 100 + number) is Refusal.NONE
    net.machines[0]._replication.settle()
    return net


def sent(replication, now, until):
    """All that is sent in that time, with the times."""
    found = []
    while now <= until:
        due = replication.next_deadline()
        if due is None or due > until:
            break
        now = max(now, due)
        found += [(now, key, to) for key, to in replication.handle_timeout(now)]
        assert replication.next_deadline() is None or replication.next_deadline() > now
    return found


def test_a_newcomer_is_sent_everything_at_its_pace(net):
    """
    A burst of half of what it would take at once, then so many a minute: it never has to refuse for haste.
    """
    machine = net.machines[0]
    replication = machine._replication
    machine.table.offer(NEWCOMER, NEWCOMER.ip, 0.0)
    replication.joined(NEWCOMER, 0.0)
    stored = Records(machine.parts.validators, bytes_max=2**26)
    at, refusals = net.calendar(0.0), []
    for now, key, to in sent(replication, 0.0, 600.0):
        assert to is NEWCOMER
        value = machine.records.get(key, at)
        refusals.append(stored.put(key, value, sender=key_pair(0).peer_id, ip=ip_of(0), at=at, now=now))

    assert len(refusals) == RECORDS
    assert Refusal.BUSY not in refusals
    assert refusals.count(Refusal.NONE) == 100, "its quota for one sender; the others are other holders' part"


def test_a_burst_comes_at_once_and_is_bounded(net):
    """
    Who comes has the first records after a second or two.
    """
    machine = net.machines[0]
    machine.table.offer(NEWCOMER, NEWCOMER.ip, 0.0)
    machine._replication.joined(NEWCOMER, 0.0)

    assert len(sent(machine._replication, 0.0, 3 * TURN_S)) == BURST < PUTS_BURST_PEER


def test_what_a_busy_receiver_puts_off_is_sent_again(net):
    """
    Nothing is lost by one's having been too fast.
    """
    replication = net.machines[0]._replication
    replication._send(b"key", (NEWCOMER,), 0.0)
    ((now, key, _),) = sent(replication, 0.0, 10.0)
    replication.answered(NEWCOMER, key, Refusal.BUSY, now)

    ((again, same, _),) = sent(replication, now, now + BUSY_PAUSE_S + TURN_S)
    assert same == b"key"
    assert again >= now + BUSY_PAUSE_S


@pytest.mark.parametrize("refusal", [Refusal.QUOTA, Refusal.FULL, Refusal.NOT_SERVING])
def test_who_takes_nothing_more_is_left_alone(net, refusal):
    """
    After a few refusals in a row the rest is not sent, and nothing for an hour.
    """
    replication = net.machines[0]._replication
    keys = [b"key %d" % number for number in range(100)]
    for key in keys:
        replication._send(key, (NEWCOMER,), 0.0)
    first = sent(replication, 0.0, 2.0)
    replication.answered(NEWCOMER, keys[0], Refusal.NONE, 2.0)
    for key in keys[1 : 1 + REFUSALS_MAX]:
        replication.answered(NEWCOMER, key, refusal, 2.0)
    replication._send(b"later", (NEWCOMER,), 3.0)

    assert len(first) == BURST
    assert sent(replication, 3.0, REPLICATE_AFTER_S) == []
    assert [key for _, key, _ in sent(replication, 3.0, REPLICATE_AFTER_S + 3.0)] == [b"later"]


def test_one_refusal_between_successes_stops_nothing(net):
    """
    One record may be too large where smaller ones are welcome.
    """
    replication = net.machines[0]._replication
    keys = [b"key %d" % number for number in range(BURST + 2)]
    for key in keys:
        replication._send(key, (NEWCOMER,), 0.0)
    sent(replication, 0.0, 2.0)
    for key in keys[:BURST]:
        replication.answered(NEWCOMER, key, Refusal.QUOTA if key.endswith(b"3") else Refusal.NONE, 2.0)

    assert len(sent(replication, 2.0, 30.0)) == 2


def test_one_receiver_does_not_hold_up_another(net):
    """
    While one has had its burst, another gets its own.
    """
    replication = net.machines[0]._replication
    for number in range(3 * BURST):
        replication._send(b"key %d" % number, (NEWCOMER,), 0.0)
    sent(replication, 0.0, 3.0)
    replication._send(b"other", (peer(2),), 3.0)

    assert b"other" in [key for _, key, to in sent(replication, 3.0, 3.0 + 2 * TURN_S) if to is peer(2)]


def test_what_waits_is_bounded_and_gone_with_its_receiver(net):
    """
    Limit, and one more; who has left is sent nothing.
    """
    replication = net.machines[0]._replication
    for number in range(QUEUE_MAX + 10):
        replication._send(b"%d" % number, (NEWCOMER,), 0.0)
    assert replication._queued == QUEUE_MAX
    assert len(replication._receivers[NEWCOMER.peer_id].keys) == QUEUE_MAX

    replication.left(NEWCOMER, 1.0)
    assert replication._queued == 0
    assert sent(replication, 1.0, 50.0) == []


def test_the_machine_tells_replication_how_it_went():
    """
    From the reply to a store of upkeep: a busy receiver is sent the record again, and holds it in the end.
    """
    net = Net(range(24))
    net.start()
    net.run(120)
    key, value = content(7)
    holder = net.machines[0]
    put(holder.records, (key, value), 1, at=net.calendar(net.now), now=net.now - REPLICATE_AFTER_S)
    refused = []

    def busy_once(number, ask):
        if ask.message.record is not None and ask.message.key == key and number not in refused:
            refused.append(number)
            return ask.message.__class__(ask.message.type, key=key, refusal=Refusal.BUSY)
        return None

    net.intercept = busy_once
    net.run(120 + 2 * BUSY_PAUSE_S)
    at = net.calendar(net.now)

    assert len(refused) >= 20
    assert sum(machine.records.get(key, at) == value for machine in net.machines.values()) >= 20
