"""The message cache: windows, what is announced, and its bound in bytes."""

import pytest

from kontinuum.gossip.entry import Entry
from kontinuum.gossip.mcache import MessageCache


def entry(name, topic="room", size=10):
    """A valid message."""
    made = Entry(name, topic, b"", None)
    made.field = bytes(size)
    return made


def test_a_message_lives_for_its_windows_and_is_announced_in_the_first():
    """
    mcache_len 5 and mcache_gossip 3: gossipsub v1.0, "Message Cache".
    """
    cache = MessageCache(5, 3, 10_000)
    first = entry(b"1")
    cache.put(first)
    for age in range(5):
        assert cache.get(b"1") is first
        assert cache.gossip_ids() == ({"room": [b"1"]} if age < 3 else {})
        gone = cache.shift()
        assert gone == ([first] if age == 4 else [])

    assert cache.get(b"1") is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_ids_are_kept_apart_by_topic():
    """
    In the order in which they came.
    """
    cache = MessageCache(2, 2, 10_000)
    for name, topic in ((b"1", "a"), (b"2", "b"), (b"3", "a")):
        cache.put(entry(name, topic))
    cache.shift()
    cache.put(entry(b"4", "b"))

    assert cache.gossip_ids() == {"a": [b"1", b"3"], "b": [b"2", b"4"]}


@pytest.mark.parametrize("shifts", [0, 1])
def test_beyond_its_bytes_the_oldest_go(shifts):
    """
    At once, and whoever asks is told which; the newest always stays.
    """
    cache = MessageCache(3, 3, 30)
    old = [entry(bytes([number])) for number in range(3)]
    for each in old:
        assert cache.put(each) == []
    for _ in range(shifts):
        cache.shift()

    assert cache.put(entry(b"new", size=20)) == old[:2]
    assert cache.bytes == 30
    assert cache.gossip_ids() == {"room": [b"\2", b"new"]}
    assert cache.get(b"\1") is None
