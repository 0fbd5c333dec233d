"""Nodes for tests: in this process, or in one of their own that is driven through calls."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

from kontinuum import Node, NodeConfig

PROGRAM = Path(__file__).with_name("node_program.py")


def settings(**fields):
    """Settings of a node on loopback that dials only whom it is told to."""
    quiet = {"network": "local", "pow_bits": 0, "listen": "127.0.0.1:0", "peers_wanted": 0, "dht": "off"}
    given = {**quiet, **fields}
    return NodeConfig(**given)


def quiet_node(key_pair=None, **fields):
    """A node with those settings."""
    return Node(settings(**fields), key_pair=key_pair)


@contextlib.asynccontextmanager
async def pair(here=None, there=None):
    """Two connected nodes of this process; the first one dialled."""
    async with quiet_node(**(here or {})) as a, quiet_node(**(there or {})) as b:
        await a.connect(b.contact)
        await eventually(lambda: b.connection(a.peer_id) is not None)
        yield a, b


def seconds():
    """Now, by the clock of the event loop."""
    return asyncio.get_running_loop().time()


async def eventually(condition, within_s=5.0):
    """Wait until ``condition()`` is true, looking often; fails after ``within_s`` seconds."""
    end = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {within_s} s: {condition}"
        await asyncio.sleep(0.005)
    return result


async def happens(watcher, kind, within_s=5.0):
    """The next event of ``kind``; fails after ``within_s`` seconds."""
    async with asyncio.timeout(within_s):
        async for event in watcher:
            if isinstance(event, kind):
                return event
    raise AssertionError("the node stopped")


def leftovers(before=()):
    """Tasks that run beside the current one and were not there ``before``."""
    gc.collect()
    return asyncio.all_tasks() - {asyncio.current_task()} - set(before)


def open_descriptors():
    """What each open descriptor of this process points to; sockets and event descriptors only."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()))
    return sorted(link for link in found if "socket" in link or "eventfd" in link)


def resident_bytes(pid="self"):
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class NodeProcess:
    """A node in a process of its own (``node_program.py``): ``async with NodeProcess(...) as peer``."""

    def __init__(self, **fields):
        self.fields = fields
        self.contact = ""
        self.port = 0
        self._process = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.kill()

    @property
    def pid(self):
        """Its process id."""
        return self._process.pid

    async def start(self):
        """Start it, again if need be, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            json.dumps(self.fields),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            line = await self._process.stdout.readline()
        assert line, "the node did not start"
        told = json.loads(line)
        self.contact, self.port = told["contact"], told["port"]

    async def kill(self):
        """SIGKILL: no goodbye to anybody."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        process.stdin.close()
        # The transport of a child is closed when its pipes are.
        process._transport.close()
        await asyncio.sleep(0)
