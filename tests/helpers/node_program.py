"""A node in a process of its own, with handlers that do what tests need. Ends when its input does.

Its only argument is JSON: the settings, under ``seed`` the hex seed of its key, under ``topic`` a topic that
it is in. The first line that it prints says where it is.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path

from kontinuum import KeyPair, Node, NodeConfig


def resident_bytes():
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def add_handlers(node):
    """What peers can ask of this node."""
    hold = asyncio.Event()

    @node.handler("echo")
    async def echo(_peer, data):
        return data

    @node.handler("plain")
    def plain(_peer, data):
        return data

    @node.handler("memory")
    def memory(_peer, _data):
        return str(resident_bytes()).encode()

    @node.handler("sleep")
    async def sleep(_peer, data):
        await asyncio.sleep(float(data))
        return b"slept"

    @node.handler("block")
    def block(_peer, data):
        time.sleep(float(data))
        return b"blocked"

    @node.handler("release")
    def release(_peer, _data):
        hold.set()
        return b""

    @node.handler("call back")
    async def call_back(peer, data):
        return await node.call(peer, "echo", data)

    @node.handler("peers")
    def peers(_peer, _data):
        return json.dumps([info.peer_id.hex() for info in node.peers() if info.connected]).encode()

    @node.stream_handler("hash")
    async def digest(stream):
        digest = hashlib.sha256()
        while data := await stream.read():
            digest.update(data)
        await stream.write(digest.digest())

    @node.stream_handler("source")
    async def source(stream):
        block = bytes(65536)
        while True:
            await stream.write(block)

    @node.stream_handler("held")
    async def held(stream):
        await hold.wait()
        total = 0
        while data := await stream.read():
            total += len(data)
        await stream.write(total.to_bytes(8, "big"))

    @node.message_handler("held")
    async def held_messages(stream):
        await hold.wait()
        count = 0
        async for _ in stream:
            count += 1
        await stream.send(count.to_bytes(8, "big"))

    @node.message_handler("messages")
    async def messages(stream):
        async for message in stream:
            await stream.send(message)


async def main():
    """Run until the input ends."""
    fields = json.loads(sys.argv[1])
    seed, topic = fields.pop("seed", None), fields.pop("topic", None)
    key_pair = None if seed is None else KeyPair.from_seed(bytes.fromhex(seed))
    quiet = {"network": "local", "pow_bits": 0, "listen": "127.0.0.1:0", "peers_wanted": 0, "dht": "off"}
    given = {**quiet, **fields}
    if "data_dir" in given:
        given["data_dir"] = Path(given["data_dir"])
    node = Node(NodeConfig(**given), key_pair=key_pair)
    add_handlers(node)
    async with node, contextlib.AsyncExitStack() as stack:
        if topic is not None:
            await stack.enter_async_context(node.subscribe(topic))
        told = {"contact": node.contact.to_text(), "port": node.endpoint.local_address[1]}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
