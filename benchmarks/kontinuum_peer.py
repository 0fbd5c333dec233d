"""The peer of ``transport.py`` and ``latency.py`` that uses Kontinuum, through its public API alone.

Handlers are coroutines, as most are in earnest. Limits that exist against strangers (handshakes per second of
one address) are raised, as here one address is everybody; so is the number of streams, as 500 calls shall be
in flight; proof of work is off, and no node looks for further peers by itself. All else is the default.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from time import perf_counter

from kontinuum import Contact, Node, NodeConfig
from peer_shell import CALL_BYTES, WRITE_BYTES, obey, say, timed_calls, timed_connects, until_input_ends

ECHO, COUNT = "benchmark/echo", "benchmark/count"
"""The protocols of the loads: reply with the request; count a stream and answer with the count."""

STREAMS_MAX = 1024
"""Calls in flight that a peer accepts, as a program with 500 of them would set it; the Rust peer the same."""

CALL_PAUSE_S = 0.001
"""Seconds between two calls of the mixed load: a user among a bulk transfer, not a second bulk."""


def config(port: int) -> NodeConfig:
    return NodeConfig(
        listen=f"127.0.0.1:{port}",
        network="benchmark",
        pow_bits=0,
        half_open_max=4096,
        handshakes_per_ip_per_s=1e6,
        handshakes_per_ip_burst=1_000_000,
        peers_wanted=0,
        dht="off",  # It would connect nodes that a load counts on not being connected.
        pubsub=False,  # It has a benchmark of its own; here each connection carries what is measured alone.
        max_streams=STREAMS_MAX,
        log_level="warning",
    )


async def echo(_peer, request: bytes) -> bytes:
    return request


async def count(stream) -> None:
    size = 0
    while chunk := await stream.read():
        size += len(chunk)
    await stream.write(size.to_bytes(8, "big"))
    await stream.finish()


async def open_nodes(number: int, port: int, stack: AsyncExitStack) -> list[Node]:
    nodes = []
    for _ in range(number):
        node = Node(config(port))
        node.handler(ECHO)(echo)
        node.stream_handler(COUNT)(count)
        nodes.append(await stack.enter_async_context(node))
    return nodes


class Loads:
    """The commands of a client with ``nodes``, which knows the ``contacts`` of the server's nodes."""

    def __init__(self, nodes: list[Node], contacts: list[str]) -> None:
        self.nodes = nodes
        self.contacts = [Contact.from_text(text) for text in contacts]

    async def calls(self, seconds: str, in_flight: str) -> dict:
        node, peer = self.nodes[0], self.contacts[0].peer_id
        await node.connect(self.contacts[0])
        request = b"x" * CALL_BYTES

        async def call() -> None:
            assert await node.call(peer, ECHO, request) == request

        return await timed_calls(call, float(seconds), int(in_flight))

    async def bulk(self, mebibytes: str) -> dict:
        await self.nodes[0].connect(self.contacts[0])
        return await self._send(self.contacts[0], int(mebibytes) << 20)

    async def handshakes(self, seconds: str) -> dict:
        node, contact = self.nodes[0], self.contacts[0]

        async def one() -> float:
            start = perf_counter()
            await node.connect(contact)
            elapsed = perf_counter() - start
            await node.disconnect(contact.peer_id)
            return elapsed

        await node.disconnect(contact.peer_id)
        return await timed_connects(one, float(seconds))

    async def idle(self, _count: str) -> dict:
        """Connect every node of ours with every node of theirs: the shape decides how many that is."""
        before = sum(info.connected for node in self.nodes for info in node.peers())
        for node in self.nodes:
            for contact in self.contacts:
                await node.connect(contact)
        after = sum(info.connected for node in self.nodes for info in node.peers())
        assert after == len(self.nodes) * len(self.contacts)
        return {"connections": after - before}

    async def mixed(self, mebibytes: str, seconds: str) -> dict:
        """Time single calls to the first node while bulk flows to the second, on a connection of its own."""
        node, quiet, busy = self.nodes[0], *self.contacts[:2]
        for contact in (quiet, busy):
            await node.connect(contact)
        calm = await self._paced_calls(quiet, float(seconds))
        bulk = asyncio.create_task(self._send(busy, int(mebibytes) << 20))
        loaded = await self._paced_calls(quiet, float(seconds), bulk)
        sent = await bulk
        return {"calm": calm, "loaded": loaded, "bulk_mb_per_s": sent["bytes"] / sent["seconds"] / 1e6}

    async def _paced_calls(
        self, contact: Contact, seconds: float, beside: asyncio.Task | None = None
    ) -> dict:
        node, peer, request = self.nodes[0], contact.peer_id, b"x" * CALL_BYTES
        await asyncio.sleep(0.1)  # The bulk beside us shall have reached its speed.
        latencies = []
        end = perf_counter() + seconds
        while perf_counter() < end and not (beside and beside.done()):
            start = perf_counter()
            await node.call(peer, ECHO, request)
            latencies.append(1e3 * (perf_counter() - start))
            await asyncio.sleep(CALL_PAUSE_S)
        latencies.sort()
        return {
            "calls": len(latencies),
            "p50_ms": latencies[len(latencies) // 2],
            "p99_ms": latencies[len(latencies) * 99 // 100],
            "max_ms": latencies[-1],
        }

    async def _send(self, contact: Contact, size: int) -> dict:
        block = bytes(WRITE_BYTES)
        stream = await self.nodes[0].open_stream(contact.peer_id, COUNT)
        start = perf_counter()
        for _ in range(size // WRITE_BYTES):
            await stream.write(block)
        await stream.finish()
        counted = await stream.read_exactly(8)
        elapsed = perf_counter() - start
        assert counted == size.to_bytes(8, "big")
        return {"bytes": size, "seconds": elapsed}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["serve", "client"])
    parser.add_argument("target", nargs="+", help="serve: the port, 0 for any; client: contacts")
    parser.add_argument("--nodes", type=int, default=1)
    arguments = parser.parse_args()
    async with AsyncExitStack() as stack:
        start = perf_counter()
        port = int(arguments.target[0]) if arguments.role == "serve" else 0
        nodes = await open_nodes(arguments.nodes, port, stack)
        if arguments.role == "serve":
            node_start_s = (perf_counter() - start) / len(nodes)
            contacts = [node.contact.to_text() for node in nodes]
            say(ready=True, peers=contacts, node_start_s=node_start_s)
            await until_input_ends()
            return
        loads = Loads(nodes, arguments.target)
        await obey({name: getattr(loads, name) for name in ("calls", "bulk", "handshakes", "idle", "mixed")})


if __name__ == "__main__":
    asyncio.run(main())
