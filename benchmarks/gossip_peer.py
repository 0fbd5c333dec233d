"""A process full of nodes in one topic for ``gossip.py``, through the public API alone.

It obeys one command per input line, each answered by one line of JSON (``peer_shell.py``):

    open COUNT                     start so many nodes, which know nobody; answers with their contacts
    link NODE CONTACT...           connect a node of this process to others
    join                           every node subscribes, and notes when each message came
    settle SECONDS                 wait until every node has a mesh, of those that it is connected to
    publish NODE COUNT RATE BYTES  one node publishes; with a rate of 0 without a pause
    exchange SECONDS BYTES         every node publishes, a batch whenever the last one has arrived nearby
    heard COUNT SECONDS SKIP       wait until every node but the first SKIP has heard so many messages; how
                                   long each of them took
    figures                        what the routers counted, and processor time

Messages begin with their number and the time of the machine's monotonic clock, which all processes share.
"""

import asyncio
import os
import struct
from contextlib import AsyncExitStack
from time import monotonic, process_time

from kontinuum import Node, NodeConfig
from peer_shell import obey

TOPIC = "benchmark"

BATCH = 32
"""Messages that a node publishes before it looks whether they have arrived: less than a publisher's rate."""

BATCHES_AHEAD = 2
"""Batches of a node that are under way at once."""

HEADER = struct.Struct(">QQd")
"""The publisher's number, the message's number, the time."""

LOOK_S = 0.002
"""Seconds between two looks at whether something has come."""


def config() -> NodeConfig:
    """One address is everybody here, so limits per address are raised; nobody mines, or dials by itself.
    All else is the default."""
    return NodeConfig(
        listen="127.0.0.1:0",
        network="benchmark",
        pow_bits=0,
        half_open_max=4096,
        handshakes_per_ip_per_s=1e6,
        handshakes_per_ip_burst=1_000_000,
        peers_wanted=0,
        dht="off",
        pubsub_buffer_messages=1_000_000,
        pubsub_buffer_bytes=2**30,
        log_level="warning",
    )


class Listener:
    """A node, and what it has heard."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.latencies: dict[tuple[int, int], float] = {}
        """Seconds that each message took, by publisher and number."""
        self.counts: dict[int, int] = {}
        """Messages heard, by publisher."""

    async def listen(self) -> None:
        """Until the node stops."""
        async with self.node.subscribe(TOPIC, own=False) as messages:
            async for message in messages:
                publisher, number, sent = HEADER.unpack_from(message.data)
                self.latencies[publisher, number] = monotonic() - sent
                self.counts[publisher] = self.counts.get(publisher, 0) + 1


class Nodes:
    """The commands, and the nodes that they concern."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task] = []

    async def open(self, count: str) -> dict:
        for _ in range(int(count)):
            node = await self._stack.enter_async_context(Node(config()))
            self._listeners.append(Listener(node))
        return {"contacts": [each.node.contact.to_text() for each in self._listeners]}

    async def link(self, index: str, *contacts: str) -> dict:
        for contact in contacts:
            await self._listeners[int(index)].node.connect(contact)
        return {}

    async def join(self) -> dict:
        self._tasks += [asyncio.create_task(each.listen()) for each in self._listeners]
        await asyncio.sleep(0)
        return {}

    async def settle(self, seconds: str) -> dict:
        end = monotonic() + float(seconds)
        while monotonic() < end and not all(meshed(each.node) for each in self._listeners):
            await asyncio.sleep(0.05)
        return {"meshed": sum(meshed(each.node) for each in self._listeners)}

    async def publish(self, index: str, count: str, rate: str, size: str) -> dict:
        node, padding = self._listeners[int(index)].node, bytes(int(size) - HEADER.size)
        start, longest = monotonic(), 0.0
        for number in range(int(count)):
            if float(rate):
                await asyncio.sleep(max(0.0, start + number / float(rate) - monotonic()))
            before = monotonic()
            await node.publish(TOPIC, HEADER.pack(0, number, before) + padding)
            longest = max(longest, monotonic() - before)
        return {"seconds": monotonic() - start, "longest_ms": 1e3 * longest}

    async def exchange(self, seconds: str, size: str) -> dict:
        """Everybody publishes; each waits for the others of this process, which stand for all."""
        start, end = monotonic(), monotonic() + float(seconds)
        await asyncio.gather(
            *(self._keep_publishing(each, end, bytes(int(size) - HEADER.size)) for each in self._listeners)
        )
        heard = sum(len(each.latencies) for each in self._listeners)
        return {"heard": heard, "seconds": monotonic() - start}

    async def _keep_publishing(self, listener: Listener, end: float, padding: bytes) -> None:
        publisher = int.from_bytes(listener.node.peer_id[:8])
        others = [each for each in self._listeners if each is not listener]
        number = 0
        while monotonic() < end:
            for _ in range(BATCH):
                await listener.node.publish(TOPIC, HEADER.pack(publisher, number, monotonic()) + padding)
                number += 1
            while monotonic() < end and (
                min(each.counts.get(publisher, 0) for each in others) < number - BATCHES_AHEAD * BATCH
            ):
                await asyncio.sleep(LOOK_S)

    async def heard(self, count: str, seconds: str, skip: str) -> dict:
        end, wanted = monotonic() + float(seconds), self._listeners[int(skip) :]
        while monotonic() < end and any(len(each.latencies) < int(count) for each in wanted):
            await asyncio.sleep(LOOK_S)
        took = [[1e3 * value for value in each.latencies.values()] for each in self._listeners]
        for each in self._listeners:
            each.latencies.clear()
            each.counts.clear()
        return {"took_ms": took}

    async def figures(self) -> dict:
        pubsubs = [each.node.pubsub for each in self._listeners]
        counters = [pubsub.machine.counters() for pubsub in pubsubs]
        return {
            "duplicates": sum(each["duplicates"] for each in counters),
            "accepted": sum(each["accepted"] for each in counters),
            "dropped": sum(each["dropped_queue_full"] + each["dropped_too_old"] for each in counters),
            "bytes_sent": sum(each["bytes_sent"] for each in counters),
            "verify_s": sum(pubsub.verify_s for pubsub in pubsubs),
            "busy_s": sum(pubsub.service.busy_s for pubsub in pubsubs),
            "processor_s": process_time(),
            "pid": os.getpid(),
        }


def meshed(node: Node) -> bool:
    """Whether a node knows its peers to be in the topic, and has two of them in its mesh, if it can.

    Not D_low of them: a node that many others have dialled has no room for all.
    """
    connected = sum(info.connected for info in node.peers())
    in_topic = len(node.topic_peers(TOPIC))
    return in_topic >= connected and len(node.pubsub.mesh_peers(TOPIC)) >= min(2, connected)


async def main() -> None:
    async with AsyncExitStack() as stack:
        nodes = Nodes(stack)
        names = ("open", "link", "join", "settle", "publish", "exchange", "heard", "figures")
        await obey({name: getattr(nodes, name) for name in names})


if __name__ == "__main__":
    asyncio.run(main())
