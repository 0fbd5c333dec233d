"""Nodes of this process that share topics, connected as a test wants."""

import asyncio
import contextlib
import random
from time import monotonic

from helpers.nodes import eventually, quiet_node

TOPIC = "news"


@contextlib.asynccontextmanager
async def nodes(count, **fields):
    """So many nodes that know nobody, and dial whom they are told to."""
    async with contextlib.AsyncExitStack() as stack:
        given = {"handshakes_per_ip_per_s": 1e5, "handshakes_per_ip_burst": 100_000, **fields}
        made = [await stack.enter_async_context(quiet_node(**given)) for _ in range(count)]
        try:
            yield made
        finally:  # Each may have to wait for peers that are dead.
            await asyncio.gather(*(node.close() for node in made))


async def link(here, there):
    """Connect two nodes; both know it in the end."""
    await here.connect(there.contact)
    await eventually(lambda: there.connection(here.peer_id) is not None)


async def ring(made):
    """Each with the next one."""
    for here, there in zip(made, [*made[1:], made[0]], strict=True):
        await link(here, there)


async def full(made):
    """Each with each other."""
    for index, here in enumerate(made):
        for there in made[:index]:
            await link(here, there)


async def random_links(made, each=4, seed=1):
    """Each with so many of those before it: a connected graph."""
    rng = random.Random(seed)  # noqa: S311 -- which links, no secret
    for index, here in enumerate(made[1:], 1):
        for there in rng.sample(made[:index], min(each, index)):
            await link(here, there)


class Listener:
    """A node's subscription, read by a task: what came, and when."""

    def __init__(self, node, topic=TOPIC, **options):
        self.node = node
        self.topic = topic
        self.options = {"own": False, **options}
        self.came = {}
        """Data of each message, and the time when it came."""
        self.twice = 0

    async def __aenter__(self):
        self.messages = self.node.subscribe(self.topic, **self.options)
        await self.messages.__aenter__()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self.messages.close()
        await self._task

    async def _read(self):
        async for message in self.messages:
            self.twice += message.data in self.came
            self.came.setdefault(message.data, monotonic())


@contextlib.asynccontextmanager
async def listeners(made, topic=TOPIC, **options):
    """All of them listen, and have meshes with those that they are connected to."""
    async with contextlib.AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(Listener(node, topic, **options)) for node in made]
        await meshed(made, topic)
        yield heard


async def meshed(made, topic=TOPIC, within_s=10.0):
    """Wait until each knows who is in the topic, and has two of them in its mesh, if it can."""
    await eventually(lambda: all(is_meshed(node, made, topic) for node in made), within_s)


def is_meshed(node, made, topic):
    """Whether a node knows who of those it is connected to is in the topic, and has some of them in its mesh.

    Not D_low of them: a peer that many others have dialled has no room for all.
    """
    others = {other.peer_id for other in made if other is not node and node.connection(other.peer_id)}
    known = others <= set(node.topic_peers(topic))
    return known and len(node.pubsub.mesh_peers(topic)) >= min(2, len(others))


async def all_heard(heard, wanted, within_s=10.0):
    """Wait until each listener has had what all nodes but its own have published."""

    def missing(listener):
        others = [data for node, data in wanted if node is not listener.node]
        return [data for data in others if data not in listener.came]

    with contextlib.suppress(AssertionError):
        await eventually(lambda: not any(missing(listener) for listener in heard), within_s)
    lost = {listener.node.peer_id.short: len(missing(listener)) for listener in heard if missing(listener)}
    assert lost == {}
    assert [listener.twice for listener in heard] == [0] * len(heard)
