"""Promises: who was asked for a message, and whether it came."""

from kontinuum.gossip.promises import Promises


def test_a_promise_is_broken_when_its_time_is_over():
    """
    Told once, and each promise counts.
    """
    promises = Promises(3.0)
    promises.add(b"1", "alice", 0.0)
    promises.add(b"2", "alice", 1.0)
    promises.add(b"1", "bob", 1.0)

    assert promises.broken(2.9) == []
    assert promises.broken(3.0) == ["alice"]
    assert promises.broken(4.0) == ["alice", "bob"]
    assert promises.broken(100.0) == []
    assert len(promises) == 0


def test_whoever_brings_the_message_keeps_all_promises_of_it():
    """
    A slow peer is not punished for a fast one.
    """
    promises = Promises(3.0)
    promises.add(b"1", "alice", 0.0)
    promises.add(b"1", "bob", 1.0)
    promises.keep(b"1")
    promises.keep(b"unknown")

    assert promises.broken(10.0) == []


def test_asking_again_gives_no_more_time():
    """
    Otherwise an announcement a second would put it off for ever.
    """
    promises = Promises(3.0)
    promises.add(b"1", "alice", 0.0)
    promises.add(b"1", "alice", 2.0)

    assert promises.broken(3.0) == ["alice"]
    assert promises.broken(5.0) == []


def test_a_promise_that_was_kept_and_made_again_has_its_own_time():
    """
    The end of the old one means nothing.
    """
    promises = Promises(3.0)
    promises.add(b"1", "alice", 0.0)
    promises.keep(b"1")
    promises.add(b"1", "alice", 2.0)

    assert promises.broken(4.0) == []
    assert promises.broken(5.0) == ["alice"]


def test_a_message_that_we_could_not_take_is_no_broken_promise():
    """
    Of who brought it; the others still owe it.
    """
    promises = Promises(3.0)
    promises.add(b"1", "alice", 0.0)
    promises.add(b"1", "bob", 0.0)
    promises.forgive(b"1", "alice")
    promises.forgive(b"unknown", "alice")
    assert promises.broken(10.0) == ["bob"]

    promises.add(b"2", "alice", 10.0)
    promises.forgive(b"2", "alice")
    assert len(promises) == 0
