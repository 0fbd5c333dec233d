"""One bucket: the order of its peers, those set apart, and the replacement cache."""

import pytest

from helpers.dht_peers import peer, peers
from kontinuum.dht.kbucket import RTT_GAIN, WAITING_MAX, Entry, KBucket

A, B, C, D = peers(4)


def bucket_of(*members):
    """A bucket with these peers, seen in this order."""
    bucket = KBucket()
    bucket.peers.extend(members)
    return bucket


def anybody(_prefix):
    """Every network has a place left."""
    return True


def test_who_answers_becomes_the_most_recently_seen():
    """
    The order of a bucket is the order in which its peers last answered.
    """
    bucket = bucket_of(A, B, C)

    bucket.answered(A, A)

    assert list(bucket) == [B, C, A]
    assert bucket.oldest is B


def test_a_newer_contact_takes_the_place_of_the_older():
    """
    The bucket names the newest contact of a peer, once.
    """
    newer = peer(1, None, 2)
    bucket = bucket_of(A, B)

    bucket.answered(B, newer)

    assert [A, newer] == list(bucket)


def test_doubtful_peers_come_first_and_return_when_they_answer():
    """
    A peer that failed is the one to ping for a newcomer; when it answers it is like any other again.
    """
    bucket = bucket_of(A, B, C)

    bucket.doubt(C)
    bucket.doubt(C)

    assert list(bucket) == [C, A, B]
    assert bucket.oldest is C
    assert len(bucket) == 3
    bucket.answered(C, C)
    assert list(bucket) == [A, B, C]


def test_removed_peers_are_gone_doubtful_or_not():
    """
    Nothing of a removed peer remains.
    """
    bucket = bucket_of(A, B)
    bucket.doubt(B)

    bucket.remove(A)
    bucket.remove(B)

    assert not bucket
    assert list(bucket) == []


def test_the_newest_that_waits_is_taken_first():
    """
    Of the replacement cache, whoever came last is most likely still there. Kademlia 2002, section 4.1.
    """
    bucket = KBucket()
    for waiting in (A, B, C, A):
        bucket.wait(waiting, None)

    assert [bucket.take_waiting(anybody) for _ in range(4)] == [A, C, B, None]


def test_the_replacement_cache_is_bounded():
    """
    One more than WAITING_MAX: the one that came first goes.
    """
    bucket = KBucket()
    many = peers(WAITING_MAX + 1)
    for waiting in many:
        bucket.wait(waiting, None)

    assert many[1:] == [waiting for waiting, _ in bucket.waiting]


def test_one_network_waits_with_one_peer():
    """
    A network that sends many newcomers cannot push the others out of the replacement cache.
    """
    bucket = KBucket()
    bucket.wait(A, "198.51.100")
    for waiting in (B, C, D):
        bucket.wait(waiting, "203.0.113")

    assert bucket.waiting == [(A, "198.51.100"), (D, "203.0.113")]


def test_only_a_network_with_a_place_left_is_taken():
    """
    A candidate that the caps would refuse stays where it is.
    """
    bucket = KBucket()
    bucket.wait(A, "198.51.100")
    bucket.wait(B, "203.0.113")

    assert bucket.take_waiting(lambda prefix: prefix == "198.51.100") is A
    assert bucket.take_waiting(lambda prefix: prefix == "198.51.100") is None
    assert bucket.waiting == [(B, "203.0.113")]


def test_who_is_forgotten_does_not_wait():
    """
    A candidate that did not answer is not tried again.
    """
    bucket = KBucket()
    bucket.wait(A, None)
    bucket.wait(B, None)

    bucket.forget_waiting(A.peer_id)

    assert bucket.waiting == [(B, None)]


def test_round_trips_are_smoothed():
    """
    The first counts as it is, later ones move it by their weight.
    """
    entry = Entry(A, None, 0.0)

    entry.measured(0.1)
    assert entry.rtt_s == pytest.approx(0.1)
    entry.measured(0.2)
    assert entry.rtt_s == pytest.approx(0.1 + RTT_GAIN * 0.1)
