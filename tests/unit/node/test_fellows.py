"""
Sessions with the other nodes of a cluster: who is dialled, and when again.
"""

import asyncio
from itertools import pairwise

from kontinuum.base.errors import UnavailableError
from kontinuum.identity import KeyPair, PeerId
from kontinuum.node.fellows import FELLOWS_MAX, PEACE_S, RETRY_MAX_S, Fellows

PEERS = [KeyPair.from_seed(bytes([number]) * 32).peer_id for number in range(1, FELLOWS_MAX + 3)]


class World:
    """Who is wanted, connected and dialled."""

    def __init__(self, wanted) -> None:
        self.wanted = list(wanted)
        self.connected: set[PeerId] = set()
        self.dials: list[PeerId] = []
        self.dead: set[PeerId] = set()
        self.silent: set[PeerId] = set()
        self.now = 0.0
        self.fellows = Fellows(lambda: self.wanted, self.connected, self.dial, lambda: self.now)

    async def dial(self, peer: PeerId) -> None:
        self.dials.append(peer)
        if peer in self.silent:
            await asyncio.sleep(3600)
        if peer in self.dead:
            raise UnavailableError("nobody answers")
        self.connected.add(peer)

    async def look(self, now: float) -> list[PeerId]:
        """One look at a time of our choice; who was dialled by it."""
        before, self.now = len(self.dials), now
        self.fellows._look(now)
        for _ in range(3):
            await asyncio.sleep(0)
        return self.dials[before:]


async def test_the_first_few_fellows_are_dialled_and_not_again_while_connected():
    """
    Eight of ten; a connected one is left alone, a lost one is dialled at the next look.
    """
    world = World(PEERS)

    assert await world.look(0.0) == PEERS[:FELLOWS_MAX]
    assert await world.look(0.5) == []
    world.connected.discard(PEERS[0])
    assert await world.look(1.0) == [PEERS[0]]


async def test_a_fellow_that_was_never_reached_is_dialled_ever_less_often():
    """
    The pause doubles up to a minute; it does not delay the others.
    """
    world = World(PEERS[:2])
    world.dead.add(PEERS[0])
    times = [step * 0.5 for step in range(600) if PEERS[0] in await world.look(step * 0.5)]
    gaps = [after - before for before, after in pairwise(times)]

    assert gaps == sorted(gaps)
    assert gaps[0] == 1.0
    assert max(gaps) == RETRY_MAX_S
    assert PEERS[1] in world.connected


async def test_a_fellow_that_was_reached_before_is_dialled_at_every_turn():
    """
    After a partition of any length it is found again at once.
    """
    world = World(PEERS[:1])
    await world.look(0.0)
    await world.look(0.5)
    world.connected.clear()
    world.dead.add(PEERS[0])
    dialled = 0
    for step in range(2, 200):
        dialled += len(await world.look(step * 0.5))

    assert dialled >= 98


async def test_a_fellow_that_cut_us_off_is_left_alone_for_a_minute():
    """
    A node whose key is out of use does not knock several times a second; the others are dialled as before.
    """
    world = World(PEERS[:2])
    await world.look(0.0)
    await world.look(0.5)
    world.connected.clear()
    world.now = 1.0
    world.fellows.refused(PEERS[0])

    assert await world.look(1.0) == [PEERS[1]]
    assert await world.look(RETRY_MAX_S) == []
    assert await world.look(RETRY_MAX_S + 1.0) == [PEERS[0]]


async def test_a_refusal_is_remembered_until_the_fellow_takes_us_back():
    """
    A connection that lasts says so; one that is cut again at once does not, nor does a fellow that is gone.
    """
    world = World(PEERS[:2])
    await world.look(0.0)
    for now in (1.0, 2.0):
        world.fellows.refused(PEERS[0])
        await world.look(now)
    assert world.fellows.refusing() == [PEERS[0]]
    await world.look(2.0 + PEACE_S)
    assert world.fellows.refusing() == []

    world.fellows.refused(PEERS[1])
    world.wanted.remove(PEERS[1])
    await world.look(9.0)
    assert world.fellows.refusing() == []


async def test_a_dial_under_way_is_not_begun_twice():
    """
    A silent fellow costs one dial at once.
    """
    world = World(PEERS[:1])
    world.silent.add(PEERS[0])

    assert await world.look(0.0) == PEERS[:1]
    assert await world.look(0.5) == []


async def test_the_end_ends_the_dials():
    """
    Cancelling leaves no task behind.
    """
    world = World(PEERS[:2])
    world.silent.update(PEERS[:2])
    keeping = asyncio.create_task(world.fellows.keep())
    await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)

    assert not world.fellows._dialling
