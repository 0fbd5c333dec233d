"""Hosts with a network of their own each, and a wire between them that takes its time.

A host is a process in a Linux network namespace. It makes a TUN interface there and hands it to us; what it
sends we read, and write it to the host that it is for a while later. That needs no privileges but those that
a user has in a namespace of his own, and access to /dev/net/tun. ``Forbidden`` says what is not permitted.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque

from helpers.dht_processes import PROGRAM, Process

NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")
START_S = 20.0
PACKET_BYTES_MAX = 65_536
PACKETS_AT_ONCE = 64


class Forbidden(Exception):  # noqa: N818 -- a state of the machine, not an error
    """This machine lets us make no hosts."""


class Wire:
    """Takes packets from interfaces and gives them to others ``delay_s`` later."""

    def __init__(self, delay_s):
        self.delay_s = delay_s
        self.carried = 0
        self.apart = set()
        """Addresses between which and all others nothing is carried; among themselves they are connected."""
        self._loop = asyncio.get_running_loop()
        self._tuns = {}
        self._under_way = deque()
        self._timer = None

    def add(self, address, tun):
        """An interface, and whose packets it takes."""
        self._tuns[socket.inet_aton(address)] = tun
        self._loop.add_reader(tun, self._take, tun)

    def close(self):
        """Carry nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        for tun in self._tuns.values():
            self._loop.remove_reader(tun)
            os.close(tun)

    def _take(self, tun):
        due = self._loop.time() + self.delay_s
        with contextlib.suppress(BlockingIOError):
            for _ in range(PACKETS_AT_ONCE):
                packet = os.read(tun, PACKET_BYTES_MAX)
                source, destination = packet[12:16], packet[16:20]  # Of an IPv4 packet.
                to = self._tuns.get(destination)
                parted = (source in self.apart) != (destination in self.apart)
                if packet[0] >> 4 == 4 and to is not None and not parted:
                    self._under_way.append((due, to, packet))
        if self._timer is None and self._under_way:
            self._timer = self._loop.call_at(self._under_way[0][0], self._give)

    def _give(self):
        now, under_way = self._loop.time(), self._under_way
        while under_way and under_way[0][0] <= now:
            _, to, packet = under_way.popleft()
            with contextlib.suppress(BlockingIOError):
                os.write(to, packet)
                self.carried += 1
        self._timer = self._loop.call_at(under_way[0][0], self._give) if under_way else None


@contextlib.asynccontextmanager
async def hosts(count, *, delay_s, program=PROGRAM, wires=None):
    """So many hosts; what one sends another takes ``delay_s`` to come. All are killed at the end.

    Args:
        count: How many; their addresses are 198.18.1.1, 198.18.2.1 and so on.
        delay_s: One way.
        program: What runs on each.
        wires: A list that is given the wire between them, to be cut.

    Raises:
        Forbidden: It cannot be done here.
    """
    await _try_namespace()
    async with contextlib.AsyncExitStack() as stack:
        wire = Wire(delay_s)
        stack.callback(wire.close)
        if wires is not None:
            wires.append(wire)
        made = []
        for number in range(1, count + 1):
            process = Process(program)
            stack.push_async_callback(process.kill)
            address = f"198.18.{number}.1"
            wire.add(address, await _start(process, address))
            made.append(process)
        yield made


async def _try_namespace():
    try:
        tried = await asyncio.create_subprocess_exec(*NAMESPACE, "true", stderr=asyncio.subprocess.PIPE)
    except FileNotFoundError:
        raise Forbidden("there is no program unshare") from None
    _, errors = await tried.communicate()
    if tried.returncode:
        raise Forbidden(errors.decode().strip())


async def _start(process, address):
    """Start a host; return its interface."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(START_S)
        await process.start(address, str(theirs.fileno()), before=NAMESPACE, pass_fds=(theirs.fileno(),))
        theirs.close()
        said, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1024, 1)
    assert said, "the host has ended"
    if not descriptors:
        raise Forbidden(said.decode())
    return descriptors[0]
