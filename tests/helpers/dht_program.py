"""A process full of nodes, on loopback or on a host of its own. Ends when its input does.

Each line of input is a command as JSON, ``[name, *arguments]``; each is answered by one line of JSON. With
the arguments ADDRESS and DESCRIPTOR it first makes a network of its own (``dht_hosts.py``).
"""

import asyncio
import fcntl
import json
import os
import random
import socket
import struct
import sys
from contextlib import AsyncExitStack
from time import perf_counter

from kontinuum import Node, NodeConfig, PeerId
from kontinuum.base.errors import KontinuumError
from kontinuum.dht.events import State
from kontinuum.dht.records import sha256_key

TUN_SET_INTERFACE = 0x400454CA
TUN_FLAGS = 0x1001  # IFF_TUN | IFF_NO_PI
SET_FLAGS, SET_ADDRESS, SET_MASK = 0x8914, 0x8916, 0x891C
UP_AND_RUNNING = 0x41
NAME = b"host"
NETWORK_MASK = "255.254.0.0"  # 198.18.0.0/15, for tests of networks. RFC 2544


def become_host(address, descriptor):
    """Make an interface with ``address``, and send it over the socket ``descriptor``, or why it cannot be."""
    with socket.socket(fileno=descriptor) as parent:
        try:
            tun = make_interface(address)
        except OSError as error:
            parent.sendall(f"no TUN interface: {error}".encode())
            sys.exit(1)
        socket.send_fds(parent, [b"made"], [tun])
        os.close(tun)


def make_interface(address):
    """Make a TUN interface: who reads its descriptor gets what is sent to other addresses, and may answer."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUN_SET_INTERFACE, struct.pack("16sH14x", NAME, TUN_FLAGS))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, ip in ((SET_ADDRESS, address), (SET_MASK, NETWORK_MASK)):
            place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ip))
            fcntl.ioctl(control, request, struct.pack("16s16s", NAME, place))
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14x", NAME, UP_AND_RUNNING))
    return tun


class Nodes:
    """The commands, and the nodes that they concern."""

    def __init__(self, stack, listen):
        self.stack = stack
        self.listen = listen
        self.nodes = []

    async def open(self, count, seed=None, **fields):
        """Start so many nodes that know ``seed``; return their contacts."""
        for _ in range(count):
            bootstrap = (seed,) if seed else ()
            config = NodeConfig(
                network="local",
                pow_bits=0,
                listen=self.listen,
                peers_wanted=0,
                bootstrap=bootstrap,
                handshakes_per_ip_per_s=1e6,  # One address is everybody here.
                handshakes_per_ip_burst=1_000_000,
                half_open_max=4096,
                log_level="error",
                **fields,
            )
            node = await self.stack.enter_async_context(Node(config))
            self.nodes.append(node)
            seed = seed or node.contact.to_text()
        return [node.contact.to_text() for node in self.nodes]

    async def publish(self):
        """Let each node join and publish its contact; return how many holders each has."""
        for node in self.nodes:
            while node.dht.state is not State.JOINED:  # noqa: ASYNC110 -- a node has no event for it
                await asyncio.sleep(0.02)
        return [len((await node.publish_contact()).holders) for node in self.nodes]

    async def resolve(self, contacts, each, seed):
        """Let each node find so many of the peers, by their key; return who was not found as he is."""
        rng, wrong = random.Random(seed), []  # noqa: S311 -- which of them
        for node in self.nodes:
            others = [identity for identity in contacts if identity != str(node.peer_id)]
            for identity in rng.sample(others, min(each, len(others))):
                try:
                    found = (await node.resolve(PeerId.parse(identity))).to_text()
                except KontinuumError as error:
                    found = repr(error)
                if found != contacts[identity]:
                    wrong.append([str(node.peer_id), identity, found])
        return wrong

    async def put(self, contents):
        """Let the nodes store these texts, taking turns; return how many holders each has."""
        held = []
        for number, content in enumerate(contents):
            node, data = self.nodes[number % len(self.nodes)], content.encode()
            held.append(len((await node.put(sha256_key(data), data)).holders))
        return held

    async def get(self, contents):
        """Let the nodes fetch these texts by their hash, taking turns; return those that were not found."""
        missing = []
        for number, content in enumerate(contents):
            node, data = self.nodes[number % len(self.nodes)], content.encode()
            try:
                found = await node.get(sha256_key(data))
            except KontinuumError:
                found = None
            if found != data:
                missing.append(content)
        return missing

    async def time_pings(self, identities):
        """Seconds that the first node's pings to each of them take."""
        return [await self.nodes[0].ping(PeerId.parse(identity)) for identity in identities]

    async def time_resolves(self, identities):
        """Seconds that the first node takes to find each of them."""
        took = []
        for identity in identities:
            start = perf_counter()
            await self.nodes[0].resolve(PeerId.parse(identity))
            took.append(perf_counter() - start)
        return took


async def obey(commands):
    """Obey until the input ends.

    Args:
        commands: Given a stack that is closed at the end, and where to listen: the object whose methods
            are the commands.
    """
    listen = "127.0.0.1:0"
    if len(sys.argv) > 1:
        become_host(sys.argv[1], int(sys.argv[2]))
        listen = f"{sys.argv[1]}:0"
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with AsyncExitStack() as stack:
        obeying = commands(stack, listen)
        while line := await reader.readline():
            name, *arguments = json.loads(line)
            answer = await getattr(obeying, name)(*arguments)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey(Nodes))
