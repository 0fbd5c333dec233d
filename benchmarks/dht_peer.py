"""A process full of nodes for ``dht.py``, through the public API alone.

It obeys one command per input line, each answered by one line of JSON (``peer_shell.py``):

    open COUNT [CONTACT]        start so many nodes, one after the other; each joins by the contact, or by the
                                first of them, and has looked around itself when it counts as joined
    settle SECONDS PEERS        look around until every node is connected to so many peers
    publish                     every node publishes its contact
    resolve COUNT PEER...       find peers of the list by their key, the nodes taking turns
    put COUNT BYTES             store records of random content, the nodes taking turns
    get KEY...                  fetch such records, the nodes taking turns
    lookups SECONDS IN_FLIGHT   the first node looks for random places, so many lookups at once
    resolves SECONDS IN_FLIGHT PEER...   and for peers of the list

All but the last two run one operation at a time and answer with the milliseconds of each.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter

from kontinuum import Contact, Node, NodeConfig, PeerId
from kontinuum.base.errors import KontinuumError
from kontinuum.dht.records import blake3_key
from peer_shell import obey

LOOK_AROUND = 4
"""Random places that a node looks for at a time until it is connected to enough peers."""


def config(bootstrap: str | None) -> NodeConfig:
    """One address is everybody here, so limits per address are raised; nobody mines, nor looks for neighbours
    beside the DHT. All else is the default."""
    return NodeConfig(
        listen="127.0.0.1:0",
        network="benchmark",
        pow_bits=0,
        half_open_max=4096,
        handshakes_per_ip_per_s=1e6,
        handshakes_per_ip_burst=1_000_000,
        peers_wanted=0,
        bootstrap=(bootstrap,) if bootstrap else (),
        log_level="warning",
    )


class Nodes:
    """The commands, and the nodes that they concern."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._nodes: list[Node] = []
        self._rng = random.Random(1)  # noqa: S311 -- which load is made, no secret

    async def open(self, count: str, seed: str | None = None) -> dict:
        took = []
        for _ in range(int(count)):
            start = perf_counter()
            node = await self._stack.enter_async_context(Node(config(seed)))
            if seed is None:
                seed = node.contact.to_text()
            else:
                await node.find_peers(node.peer_id)
                took.append(1e3 * (perf_counter() - start))
            self._nodes.append(node)
        contacts = [node.contact.to_text() for node in self._nodes]
        return {"contacts": contacts, "ms": took, "failed": 0}

    async def settle(self, seconds: str, peers: str) -> dict:
        end = perf_counter() + float(seconds)
        for node in self._nodes:
            while perf_counter() < end and connected(node) < int(peers):
                for _ in range(LOOK_AROUND):
                    await node.find_peers(self._rng.randbytes(32))
        return {"connections": [connected(node) for node in self._nodes]}

    async def publish(self) -> dict:
        return await timed([node.publish_contact for node in self._nodes])

    async def resolve(self, count: str, *peers: str) -> dict:
        wanted = [PeerId.parse(peer) for peer in peers]

        def one(node: Node) -> Callable[[], Awaitable[Contact]]:
            peer = self._rng.choice([peer for peer in wanted if peer != node.peer_id])
            return lambda: node.resolve(peer)

        return await timed([one(node) for node in self._turns(int(count))])

    async def put(self, count: str, size: str) -> dict:
        contents = [self._rng.randbytes(int(size)) for _ in range(int(count))]
        keys = [blake3_key(content) for content in contents]

        def one(node: Node, key: bytes, content: bytes) -> Callable[[], Awaitable[object]]:
            return lambda: node.put(key, content)

        turns = self._turns(int(count))
        took = await timed(
            [one(node, key, content) for node, key, content in zip(turns, keys, contents, strict=True)]
        )
        return {**took, "keys": [key.hex() for key in keys]}

    async def get(self, *keys: str) -> dict:
        def one(node: Node, key: bytes) -> Callable[[], Awaitable[bytes]]:
            return lambda: node.get(key)

        turns = self._turns(len(keys))
        return await timed([one(node, bytes.fromhex(key)) for node, key in zip(turns, keys, strict=True)])

    async def lookups(self, seconds: str, in_flight: str) -> dict:
        node = self._nodes[0]
        return await counted(lambda: node.find_peers(self._rng.randbytes(32)), float(seconds), int(in_flight))

    async def resolves(self, seconds: str, in_flight: str, *peers: str) -> dict:
        node = self._nodes[0]
        wanted = [PeerId.parse(peer) for peer in peers if PeerId.parse(peer) != node.peer_id]
        return await counted(lambda: node.resolve(self._rng.choice(wanted)), float(seconds), int(in_flight))

    def _turns(self, count: int) -> list[Node]:
        return [self._nodes[number % len(self._nodes)] for number in range(count)]


def connected(node: Node) -> int:
    """How many peers a node is connected to."""
    return sum(info.connected for info in node.peers())


async def timed(operations: list[Callable[[], Awaitable[object]]]) -> dict:
    """Run one after the other; the milliseconds of those that succeeded, and how many did not."""
    took, failed = [], 0
    for operation in operations:
        start = perf_counter()
        try:
            await operation()
        except KontinuumError:
            failed += 1
        else:
            took.append(1e3 * (perf_counter() - start))
    return {"ms": took, "failed": failed}


async def counted(operation: Callable[[], Awaitable[object]], seconds: float, in_flight: int) -> dict:
    """Keep so many operations under way for so long; those that fail end the benchmark."""
    start = perf_counter()
    end = start + seconds

    async def repeat() -> int:
        done = 0
        while perf_counter() < end:
            await operation()
            done += 1
        return done

    count = sum(await asyncio.gather(*(repeat() for _ in range(in_flight))))
    return {"count": count, "seconds": perf_counter() - start}


async def main() -> None:
    async with AsyncExitStack() as stack:
        nodes = Nodes(stack)
        names = ("open", "settle", "publish", "resolve", "put", "get", "lookups", "resolves")
        await obey({name: getattr(nodes, name) for name in names})


if __name__ == "__main__":
    asyncio.run(main())
