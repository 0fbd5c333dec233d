"""Networks of nodes that publish: everybody hears everything, and nobody waits for anybody."""

import asyncio
import contextlib
from time import monotonic

import pytest

from helpers.nodes import NodeProcess, eventually
from helpers.pubsub_nodes import TOPIC, all_heard, full, listeners, meshed, nodes, random_links, ring
from kontinuum import Contact

pytestmark = pytest.mark.slow

EACH = 20
"""Messages of each node that publishes."""


def message(node, number):
    """256 bytes that nobody else says."""
    return b"%s %d " % (node.peer_id.short.encode(), number) + bytes(240)


async def publish(node, count, *, pause_s=0.0):
    """Publish so many messages; return them, with when they were published."""
    said = {}
    for number in range(count):
        data = message(node, number)
        said[data] = monotonic()
        await node.publish(TOPIC, data)
        if pause_s:
            await asyncio.sleep(pause_s)
    return said


async def publish_all(made, count, **options):
    """All of them publish at the same time; who said what."""
    said = await asyncio.gather(*(publish(node, count, **options) for node in made))
    return [(node, data) for node, each in zip(made, said, strict=True) for data in each]


class TestEverybodyAtOnce:
    @pytest.mark.parametrize("topology", [ring, full, random_links])
    async def test_ten_nodes_that_all_publish_hear_each_other(self, topology):
        """
        Attack 21. In a ring, in a full mesh and with random links, where every pair of neighbours sends to
        each other at the same moment: each message arrives everywhere, once.
        """
        async with nodes(10) as made:
            await topology(made)
            async with listeners(made) as heard:
                said = await publish_all(made, EACH)
                await all_heard(heard, said, 15)

    async def test_ten_nodes_that_keep_publishing_hear_each_other(self):
        """
        Attack 21, over some seconds, with heartbeats and gossip in between.
        """
        async with nodes(10) as made:
            await ring(made)
            async with listeners(made) as heard:
                said = await publish_all(made, 60, pause_s=0.05)
                await all_heard(heard, said, 15)

    async def test_a_killed_peer_in_the_middle_delays_nobody(self):
        """
        Attack 21. SIGKILL one peer of many meshes while all publish: all messages of the others arrive, and
        99 of 100 as soon as before. Its connection looks alive for most of a minute.
        """
        async with nodes(9) as made, NodeProcess(topic=TOPIC) as victim:
            await full(made)
            for node in made:
                await node.connect(victim.contact)
            async with listeners(made) as heard:
                dead = Contact.from_text(victim.contact).peer_id
                await eventually(lambda: sum(dead in node.pubsub.mesh_peers(TOPIC) for node in made) >= 3, 10)
                before = await slowest_percent(made, heard)
                await victim.kill()
                after = await slowest_percent(made, heard)
                assert made[0].connection(dead) is not None
        assert after < max(3 * before, 0.5)


async def slowest_percent(made, heard):
    """Let all publish for a while; all must arrive. The 99th percentile of how long it took."""
    for listener in heard:
        listener.came.clear()
    said = await asyncio.gather(*(publish(node, 50, pause_s=0.02) for node in made))
    sent = {data: at for each in said for data, at in each.items()}
    wanted = [(node, data) for node, each in zip(made, said, strict=True) for data in each]
    await all_heard(heard, wanted, 15)
    took = sorted(at - sent[data] for listener in heard for data, at in listener.came.items() if data in sent)
    return took[len(took) * 99 // 100]


class TestTwenty:
    async def test_two_hundred_messages_at_twenty_a_second_arrive(self):
        """
        Twenty nodes with four random links each: everybody has every message.
        """
        async with nodes(20) as made:
            await random_links(made)
            async with listeners(made) as heard:
                said = await publish(made[0], 200, pause_s=0.05)
                await all_heard(heard, [(made[0], data) for data in said], 10)

    async def test_a_burst_of_two_hundred_messages_arrives(self):
        """
        Without a pause between them: nothing is lost on the way, nor afterwards missing.
        """
        async with nodes(20) as made:
            await random_links(made)
            async with listeners(made) as heard:
                said = await publish(made[0], 200)
                await all_heard(heard, [(made[0], data) for data in said], 10)

    async def test_nodes_that_come_and_go_miss_nothing_while_they_are_there(self):
        """
        A quarter leaves and comes back while one publishes; those that stay have everything.
        """
        async with nodes(16) as made:
            await random_links(made)
            staying, moving = made[:12], made[12:]
            async with listeners(staying) as heard:
                publishing = asyncio.create_task(publish(made[0], 150, pause_s=0.02))
                for _ in range(3):
                    async with contextlib.AsyncExitStack() as stack:
                        for node in moving:
                            await stack.enter_async_context(node.subscribe(TOPIC))
                        await asyncio.sleep(0.5)
                    await asyncio.sleep(0.3)
                said = await publishing
                await all_heard(heard, [(made[0], data) for data in said], 10)
                await meshed(staying)
