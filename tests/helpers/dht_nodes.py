"""Nodes that find each other through the DHT, in this process."""

import asyncio
import contextlib

from helpers.nodes import eventually, quiet_node
from kontinuum.dht.events import Get, State
from kontinuum.dht.records import contact_key


def dht_node(*seeds, key_pair=None, **fields):
    """A node that knows nobody but ``seeds`` (contacts), and connects to nobody but for the DHT's sake."""
    bootstrap = [seed.to_text() for seed in seeds]
    return quiet_node(key_pair, **{"dht": "server", "bootstrap": bootstrap, **fields})


@contextlib.asynccontextmanager
async def network(count, **fields):
    """``count`` nodes, of which all but the first know the first one's address alone; all have joined."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(dht_node(**fields))
        others = [dht_node(first.contact, **fields) for _ in range(count - 1)]
        for other in others:
            await stack.enter_async_context(other)
        nodes = [first, *others]
        await settled(nodes)
        yield nodes


async def settled(nodes, within_s=15.0):
    """Wait until every node has joined and everybody's contact is found by the last one."""
    for node in nodes:
        await eventually(lambda node=node: node.dht.state is State.JOINED, within_s)
    asker = nodes[-1]
    async with asyncio.timeout(within_s):
        for node in nodes:
            await found(asker, node)


async def found(asker, node):
    """Wait until ``asker`` finds the contact of ``node``: it is published once a node has joined."""
    while True:
        number = asker.dht.service.number()
        get = Get(operation=number, timeout_s=5.0, key=contact_key(node.peer_id))
        if (await asker.dht.service.operate(get)).value is not None:
            return
        await asyncio.sleep(0.05)
