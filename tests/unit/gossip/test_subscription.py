"""What waits for a subscriber, and what gives way."""

import asyncio

import pytest

from helpers.identities import ALICE
from kontinuum.base.errors import MisuseError
from kontinuum.gossip.events import Message
from kontinuum.gossip.subscription import Drop, Subscription


def message(number, size=1):
    """A message with ``number`` in front."""
    data = b"%d" % number
    return Message("news", data.ljust(size, b" "), ALICE.peer_id, number, data, ALICE.peer_id)


def subscription(**fields):
    """One that notes what it asks for in ``log``."""
    log = []
    made = Subscription(
        "news", join=lambda _: log.append("join"), leave=lambda _: log.append("leave"), **fields
    )
    return made, log


def numbers(read):
    """What stands in front of each."""
    return [int(each.data) for each in read]


async def read_all(messages):
    """All that waits, of one that has ended."""
    return [each async for each in messages]


async def test_it_joins_when_entered_and_leaves_when_left():
    """
    Nothing happens before it is entered; leaving ends it, and what waits can still be read.
    """
    made, log = subscription()
    assert log == []
    async with made as messages:
        assert log == ["join"]
        messages.put(message(1))
        messages.put(message(2))
    assert log == ["join", "leave"]
    made.close()
    assert log == ["join", "leave"]
    assert numbers(await read_all(made)) == [1, 2]


async def test_a_reader_that_waits_is_woken_by_a_message_and_by_the_end():
    """
    ``async for`` waits for what is not there yet, and ends when nothing more will come.
    """
    made, _ = subscription()
    async with made as messages:
        reading = asyncio.create_task(read_all(messages))
        await asyncio.sleep(0)
        messages.put(message(7))
        await asyncio.sleep(0)
        messages.end()
        assert numbers(await reading) == [7]


@pytest.mark.parametrize(("drop", "left"), [(Drop.OLDEST, [7, 8, 9]), (Drop.NEWEST, [0, 1, 2])])
async def test_too_many_messages_make_the_oldest_or_the_newest_give_way(drop, left):
    """
    The buffer holds its bound exactly; what is lost is counted, whichever way is chosen.
    """
    made, _ = subscription(messages_max=3, drop=drop)
    async with made as messages:
        kept = [messages.put(message(number)) for number in range(10)]
        assert kept == [True] * 3 + [False] * 7
        assert len(messages) == 3
        assert (messages.received, messages.dropped) == (10, 7)
        messages.end()
        assert numbers(await read_all(messages)) == left


@pytest.mark.parametrize(("drop", "left"), [(Drop.OLDEST, [3]), (Drop.NEWEST, [0, 1, 2])])
async def test_too_many_bytes_do_the_same(drop, left):
    """
    A large message takes the place of several small ones, or none.
    """
    made, _ = subscription(bytes_max=100, drop=drop)
    async with made as messages:
        for number in range(3):
            assert messages.put(message(number, 33))
        messages.put(message(3, 90))
        messages.end()
        assert messages.dropped == (3 if drop is Drop.OLDEST else 1)
        assert numbers(await read_all(messages)) == left


async def test_a_message_larger_than_the_bound_fits_when_it_is_alone():
    """
    Otherwise a subscriber with a small buffer would never get it.
    """
    made, _ = subscription(bytes_max=10)
    async with made as messages:
        assert messages.put(message(1, 1000))
        assert numbers([await anext(messages)]) == [1]
        assert messages.put(message(2, 10))


async def test_bytes_that_were_read_make_room():
    """
    The bound is on what waits, not on what has ever come.
    """
    made, _ = subscription(bytes_max=100)
    async with made as messages:
        for number in range(50):
            assert messages.put(message(number, 60))
            assert numbers([await anext(messages)]) == [number]


async def test_what_cannot_be_is_refused():
    """
    No bound below 1, no third way to drop, no reading outside of the block, no entering twice.
    """
    with pytest.raises(MisuseError):
        subscription(messages_max=0)
    with pytest.raises(MisuseError):
        subscription(bytes_max=0)
    with pytest.raises(MisuseError, match="the oldest or the newest"):
        Drop.parse("random")
    assert Drop.parse("newest") is Drop.NEWEST
    made, _ = subscription()
    with pytest.raises(MisuseError, match="enter"):
        await anext(made)
    async with made:
        with pytest.raises(MisuseError, match="once"):
            await made.__aenter__()
