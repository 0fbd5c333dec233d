"""The DHT among many nodes in a few processes, and when half of these are killed."""

import asyncio

import pytest

from helpers.dht_processes import join, processes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("nodes", "each"), [(40, 39), (200, 5)])
async def test_every_node_is_found_by_its_key(nodes, each):
    """
    Nodes in four processes that know one address: whomever they look for, they find his contact of today.
    """
    async with processes(4) as made:
        opened = await join(made, nodes // 4)
        contacts = {identity: text for one in opened for identity, text in one.items()}
        assert len(contacts) == nodes
        wrong = await asyncio.gather(
            *(process.ask("resolve", contacts, each, number) for number, process in enumerate(made))
        )
        assert wrong == [[]] * 4


async def test_half_of_the_processes_are_killed_and_every_record_is_found():
    """
    kill -9 of three of six processes, thirty nodes of sixty, among them half of those who stored the records:
    within two minutes the others find all of them, and each other.
    """
    contents = [f"content {number}" for number in range(120)]
    async with processes(6) as made:
        opened = await join(made, 10)
        for number, process in enumerate(made):
            assert min(await process.ask("put", contents[number::6])) > 0
        await asyncio.gather(*(process.kill() for process in made[3:]))
        left, surviving = made[:3], {i: text for one in opened[:3] for i, text in one.items()}
        async with asyncio.timeout(120):
            missing = [contents] * len(left)
            while any(missing):
                asked = zip(left, missing, strict=True)
                missing = await asyncio.gather(*(process.ask("get", those) for process, those in asked))
            wrong = [[""]]
            while any(wrong):
                asked = (process.ask("resolve", surviving, 5, number) for number, process in enumerate(left))
                wrong = await asyncio.gather(*asked)
