"""Backoff: both sides, absurd times, and who grafts too early."""

from helpers.gossip_net import peer_id
from kontinuum.gossip.backoff import OFFENCES_MAX, PEERS_MAX, Backoff

ALICE, BOB = peer_id(1), peer_id(2)


def backoff():
    """A minute, an hour, two seconds."""
    return Backoff(60.0, 3600.0, 2.0)


def test_a_peer_may_graft_when_its_time_is_over_and_we_a_little_later():
    """
    Heartbeats and clocks of the two differ (v1.1: "plus some slack").
    """
    times = backoff()

    assert times.add("room", ALICE, None, 100.0) == 60.0

    assert times.is_active("room", ALICE, 159.9)
    assert not times.is_active("room", ALICE, 160.0)
    assert times.blocks("room", ALICE, 161.9)
    assert not times.blocks("room", ALICE, 162.0)
    assert not times.is_active("hall", ALICE, 101.0)
    assert not times.is_active("room", BOB, 101.0)


def test_an_absurd_time_is_held_to_the_longest():
    """
    2^64-1 seconds of a hostile PRUNE: no overflow, and an hour later all is well.
    """
    times = backoff()

    assert times.add("room", ALICE, 2**64 - 1, 0.0) == 3600.0
    assert not times.blocks("room", ALICE, 3602.0)


def test_a_later_end_stays():
    """
    A short time does not shorten a long one.
    """
    times = backoff()
    times.add("room", ALICE, 600, 0.0)

    assert times.add("room", ALICE, 10, 100.0) == 500.0
    assert times.is_active("room", ALICE, 599.0)


def test_the_time_doubles_with_each_offence():
    """
    Up to an hour, however often.
    """
    times = backoff()
    times.add("room", ALICE, None, 0.0)
    given = []
    for now in range(5, 5 * (OFFENCES_MAX + 4), 5):
        times.offend("room", ALICE, now, 1.0)
        given.append(times.add("room", ALICE, None, now))

    assert given[:6] == [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0]
    assert given[-1] == 3600.0


def test_the_first_graft_that_crosses_a_prune_is_forgiven():
    """
    It may have been on its way; the second one was not.
    """
    times = backoff()
    times.add("room", ALICE, None, 10.0)

    assert times.offend("room", ALICE, 10.5, 1.0) is None
    assert times.add("room", ALICE, None, 10.5) == 60.0
    assert times.offend("room", ALICE, 10.6, 1.0) == 10.6 - 10.5
    assert times.add("room", ALICE, None, 10.6) == 120.0


def test_offences_are_forgotten_as_long_after_as_they_lasted():
    """
    So a peer that waits out its time is like any other in the end, and not before.
    """
    times = backoff()
    times.add("room", ALICE, None, 0.0)
    times.offend("room", ALICE, 5.0, 1.0)
    times.add("room", ALICE, None, 5.0)

    times.expire(240.0)
    assert len(times) == 1
    times.expire(245.0)
    assert len(times) == 0


def test_peers_are_bounded():
    """
    Who would be free first is forgotten.
    """
    times = backoff()
    for number in range(PEERS_MAX):
        times.add("room", peer_id(number), 100 + number, 0.0)
    times.add("room", peer_id(PEERS_MAX), 50, 0.0)

    assert len(times) == PEERS_MAX
    assert not times.is_active("room", peer_id(0), 1.0)
    assert times.is_active("room", peer_id(1), 1.0)
    assert times.is_active("room", peer_id(PEERS_MAX), 1.0)


def test_it_goes_along_with_a_peer_that_takes_another_name():
    """
    Of two records the one that ends later stays.
    """
    times = backoff()
    times.add("room", ALICE, 100.0, 0.0)
    times.add("room", BOB, 50.0, 0.0)
    times.add("hall", ALICE, 10.0, 0.0)
    times.add("hall", BOB, 50.0, 0.0)
    times.rename(ALICE, BOB)
    assert times.is_active("room", BOB, 99.0)
    assert times.is_active("hall", BOB, 49.0)
    assert not times.is_active("room", ALICE, 1.0)
    assert len(times) == 2
