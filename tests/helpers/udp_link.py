"""A UDP link between two processes that loses, delays, reorders and cuts, and can change its source port.

One end is dialled in place of the real node; what comes there is sent on from another socket, whose port
the real node sees as its peer's, as behind a NAT. Seeded: the fate of the n-th packet of a direction is the
same in every run, though not the time at which it comes.
"""

import asyncio
import contextlib
import random
import socket
from collections import Counter

BUFFER_BYTES = 8 * 2**20
QUEUE_MAX = 20_000
"""Packets on their way; more are lost, as in any router."""


class UdpLink:
    """``async with UdpLink(port) as link``: dial ``link.address`` instead of 127.0.0.1 port ``port``.

    Args:
        port: The real node's, on 127.0.0.1.
        loss: Share of packets that are lost, in each direction.
        delay_s: Time that a packet takes one way.
        jitter_s: Up to so much more, drawn for each packet: what reorders them.
        rate_bytes_per_s: Of each direction; ``None`` for as fast as it can.
        seed: Of loss and jitter.
    """

    def __init__(self, port, *, loss=0.0, delay_s=0.0, jitter_s=0.0, rate_bytes_per_s=None, seed=1):
        self.loss, self.delay_s, self.jitter_s = loss, delay_s, jitter_s
        self.rate = rate_bytes_per_s
        self.cut = False
        self.counts = Counter()
        self._target = ("127.0.0.1", port)
        self._rng = (random.Random(seed), random.Random(seed + 1))  # noqa: S311 -- the fate of packets
        self._free_at = [0.0, 0.0]
        self._client = None
        self._pending = set()
        self._loop = None
        self._near = self._far = None

    async def __aenter__(self):
        self._loop = asyncio.get_running_loop()
        self._near = self._bind()
        self._loop.add_reader(self._near, self._from_near)
        self.rebind()
        return self

    async def __aexit__(self, *_):
        for handle in self._pending:
            handle.cancel()
        for end in (self._near, self._far):
            self._loop.remove_reader(end)
            end.close()

    @property
    def address(self):
        """Where to dial."""
        return self._near.getsockname()

    @property
    def far_port(self):
        """The port that the real node sees."""
        return self._far.getsockname()[1]

    def rebind(self):
        """Go on from another source port, as a NAT that forgot its mapping."""
        old, self._far = self._far, self._bind()
        self._loop.add_reader(self._far, self._from_far)
        if old is not None:
            self._loop.remove_reader(old)
            old.close()

    def _bind(self):
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        end.bind(("127.0.0.1", 0))
        return end

    def _from_near(self):
        for data, client in self._received(self._near):
            self._client = client
            self._carry(0, data)

    def _from_far(self):
        for data, _ in self._received(self._far):
            self._carry(1, data)

    def _received(self, end):
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(64):
                yield end.recvfrom(65_536)

    def _carry(self, direction, data):
        rng = self._rng[direction]
        lost, late = rng.random() < self.loss, rng.random() * self.jitter_s
        if lost or self.cut or len(self._pending) >= QUEUE_MAX:
            self.counts["lost"] += 1
            return
        self.counts["carried"] += 1
        wait_s = self.delay_s + late
        if self.rate:
            now = self._loop.time()
            start = max(now, self._free_at[direction])
            self._free_at[direction] = start + len(data) / self.rate
            wait_s += self._free_at[direction] - now
        if not wait_s:
            self._deliver(direction, data)
            return

        def deliver():
            self._pending.discard(handle)
            self._deliver(direction, data)

        handle = self._loop.call_later(wait_s, deliver)
        self._pending.add(handle)

    def _deliver(self, direction, data):
        if self.cut:
            return
        end, to = (self._far, self._target) if direction == 0 else (self._near, self._client)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            end.sendto(data, to)
