"""What is published again, and when."""

from datetime import timedelta

import pytest

from helpers.dht_peers import contact
from helpers.identities import NOON
from kontinuum.base import MisuseError
from kontinuum.dht.records import Publications, contact_key, publications
from kontinuum.dht.records.publications import (
    CONTACT_INTERVAL_S,
    PROVIDER_INTERVAL_S,
    PUBLISH_RETRY_S,
    RECORD_INTERVAL_S,
)

START = 1000.0
DAY_S = 24 * 3600.0


def published_times(ours: Publications, key: bytes, until_s: float) -> list[float]:
    """When ``key`` is published, after the first time, if all goes well: the shell's loop."""
    times = []
    while (now := ours.next_deadline()) is not None and now <= START + until_s:
        for due in ours.due(now):
            ours.published(due, now)
            if due == key:
                times.append(now - START)
    return times


def test_a_record_is_published_at_once_and_then_every_day():
    """
    Half of the time that holders keep it.
    """
    ours = Publications()
    assert ours.next_deadline() is None
    ours.add(b"k", b"v", now=START, at=NOON)

    assert ours.next_deadline() == START
    assert ours.value(b"k") == b"v"
    assert published_times(ours, b"k", 3 * DAY_S) == [n * RECORD_INTERVAL_S for n in range(4)]


def test_our_contact_is_published_every_hour_until_it_is_old():
    """
    After a day nobody would take it: the node has issued a newer one by then.
    """
    ours = Publications()
    ours.add_contact(contact(1), now=START, at=NOON)
    key = contact_key(contact(1).peer_id)

    assert ours.value(key) == contact(1).encode()
    assert published_times(ours, key, 3 * DAY_S) == [n * CONTACT_INTERVAL_S for n in range(24)]
    assert ours.value(key) is None


def test_a_new_contact_is_published_at_once():
    """
    When our addresses change, or the contact reaches half of its life, the hour does not matter.
    """
    ours = Publications()
    key = contact_key(contact(1).peer_id)
    ours.add_contact(contact(1), now=START, at=NOON)
    for due in ours.due(START):
        ours.published(due, START)
    ours.add_contact(contact(1, sequence=2), now=START + 5, at=NOON + timedelta(seconds=5))

    assert ours.next_deadline() == START + 5
    assert ours.due(START + 5) == [key]
    assert ours.value(key) == contact(1, sequence=2).encode()
    assert len(ours) == 1


def test_what_we_provide_is_said_often_enough():
    """
    Holders keep it while the contact that came with it is fresh, which may be half old already.
    """
    ours = Publications()
    ours.add(b"k", None, now=START, at=NOON)

    assert ours.value(b"k") is None
    assert ours.get(b"k").provided
    assert published_times(ours, b"k", DAY_S) == [n * PROVIDER_INTERVAL_S for n in range(4)]
    assert PROVIDER_INTERVAL_S < DAY_S / 2


def test_a_key_can_be_stored_and_provided():
    """
    Either comes first; neither replaces the other, and when the record is over we provide on.
    """
    for values in ((b"v", None), (None, b"v")):
        ours = Publications()
        for value in values:
            ours.add(
                b"k",
                value,
                now=START,
                at=NOON,
                expires_at=None if value is None else NOON + timedelta(hours=1),
            )
        assert (ours.value(b"k"), ours.get(b"k").provided, len(ours)) == (b"v", True, 1)
        assert ours.due(START + 3600) == [b"k"]
        assert (ours.value(b"k"), ours.get(b"k").provided) == (None, True)


def test_what_is_over_is_not_published():
    """
    It is forgotten at its end, also if nothing else happens then.
    """
    ours = Publications()
    ours.add(b"k", b"v", now=START, at=NOON, expires_at=NOON + timedelta(seconds=10))
    ours.published(b"k", START)

    assert ours.next_deadline() == START + 10
    assert ours.due(START + 10) == []
    assert len(ours) == 0
    assert ours.next_deadline() is None


def test_what_failed_is_tried_again_soon():
    """
    Until somebody says that it was published, it is due after a minute, two, four, up to its interval.
    """
    ours = Publications()
    ours.add(b"k", b"v", now=START, at=NOON)

    assert ours.due(START) == [b"k"]
    assert ours.due(START) == []
    assert ours.next_deadline() == START + PUBLISH_RETRY_S
    now, waits = START + PUBLISH_RETRY_S, []
    for _ in range(14):
        assert ours.due(now) == [b"k"]
        deadline = ours.next_deadline()
        waits.append(deadline - now)
        now = deadline
    assert waits[:3] == [2 * PUBLISH_RETRY_S, 4 * PUBLISH_RETRY_S, 8 * PUBLISH_RETRY_S]
    assert max(waits) == RECORD_INTERVAL_S

    ours.published(b"k", now)
    assert ours.next_deadline() == now + RECORD_INTERVAL_S
    assert ours.due(now + RECORD_INTERVAL_S) == [b"k"]
    assert ours.next_deadline() == now + RECORD_INTERVAL_S + PUBLISH_RETRY_S


def test_after_handling_what_is_due_the_deadline_is_later():
    """
    A shell that sleeps until the deadline never spins.
    """
    ours = Publications()
    for number in range(10):
        ours.add(bytes([number]), b"v", now=START + number, at=NOON)
    for now in (START, START + 3.5, START + 9, START + 100):
        ours.due(now)
        assert ours.next_deadline() > now


def test_those_that_waited_longest_come_first():
    """
    The order depends on time and on nothing else.
    """
    ours = Publications()
    for number, now in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 10.0)):
        ours.add(bytes([number]), b"v", now=now, at=NOON)

    assert ours.due(30.0) == [b"\2", b"\4", b"\3", b"\1"]
    assert ours.due(29.0) == []


def test_a_record_can_be_renewed_and_removed():
    """
    A newer value is due at once and keeps its interval; what is not published is not renewed.
    """
    ours = Publications()
    ours.add(b"k", b"v", now=START, at=NOON, interval_s=60.0)
    ours.due(START)
    ours.published(b"k", START)

    assert ours.renew(b"k", b"w", now=START + 1, at=NOON, expires_at=None)
    assert ours.due(START + 1) == [b"k"]
    assert (ours.value(b"k"), ours.get(b"k").interval_s) == (b"w", 60.0)
    ours.remove(b"k")
    ours.remove(b"k")
    ours.published(b"k", START + 2)
    assert not ours.renew(b"k", b"x", now=START + 2, at=NOON, expires_at=None)
    assert ours.next_deadline() is None


def test_a_node_publishes_only_so_much(monkeypatch):
    """
    Too much is our own program's mistake; replacing is not more.
    """
    monkeypatch.setattr(publications, "PUBLICATIONS_MAX", 2)
    ours = Publications()
    for key in (b"a", b"b", b"a"):
        ours.add(key, b"v", now=START, at=NOON)

    with pytest.raises(MisuseError, match="at most 2"):
        ours.add(b"c", b"v", now=START, at=NOON)


def test_everything_may_be_published_once_more():
    """
    After that the usual times hold again.
    """
    ours = Publications()
    for key in (b"a", b"b"):
        ours.add(key, b"v", now=START, at=NOON)
        ours.published(key, START)
    assert ours.due(START + 1) == []

    ours.again(START + 1)

    assert ours.next_deadline() == START + 1
    assert ours.due(START + 1) == [b"a", b"b"]
    ours.published(b"a", START + 1)
    ours.published(b"b", START + 1)
    assert ours.next_deadline() == START + 1 + RECORD_INTERVAL_S
