"""Two ends of a stream in memory, with the shape and the errors of the transport's stream."""

import asyncio
import hashlib
from collections import deque

from kontinuum.base.errors import PeerError, UnavailableError

HIGH_WATER_BYTES = 256 * 1024


class PipeError(PeerError):
    """The other end reset or stopped, or the stream ended early."""


class PipeLostError(UnavailableError):
    """The connection is gone."""


class Half:
    """One direction: bytes written at one end, read at the other."""

    def __init__(self):
        self.blocks = deque()
        self.size = 0
        self.ended = False
        self.error = None
        self.changed = asyncio.Condition()
        self.bytes_total = 0

    async def note(self):
        """Wake whoever waits."""
        async with self.changed:
            self.changed.notify_all()


class PipeEnd:
    """One end; ``peer`` is whom the other end belongs to."""

    def __init__(self, incoming, outgoing, *, block_max=None):
        self.incoming, self.outgoing = incoming, outgoing
        self.block_max = block_max
        self.tasks = set()

    def _later(self, half):
        task = asyncio.get_running_loop().create_task(half.note())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def read(self, n_max=65536, /):
        """Return some bytes; none at the end."""
        half = self.incoming
        async with half.changed:
            await half.changed.wait_for(lambda: half.blocks or half.ended or half.error)
            if half.error and not half.blocks:
                raise half.error
            if not half.blocks:
                return b""
            n_max = min(n_max, self.block_max or n_max)
            block = half.blocks.popleft()
            if len(block) > n_max:
                half.blocks.appendleft(block[n_max:])
                block = block[:n_max]
            half.size -= len(block)
            half.changed.notify_all()
            return block

    async def read_exactly(self, n, /):
        """Return ``n`` bytes."""
        data = b""
        while len(data) < n:
            block = await self.read(n - len(data))
            if not block:
                raise PipeError("the stream ended early")
            data += block
        return data

    async def write(self, data, /):
        """Queue bytes; waits at the high-water mark."""
        half = self.outgoing
        async with half.changed:
            await half.changed.wait_for(lambda: half.size < HIGH_WATER_BYTES or half.error)
            if half.error:
                raise half.error
            if data:
                half.blocks.append(bytes(data))
                half.size += len(data)
                half.bytes_total += len(data)
            half.changed.notify_all()

    async def finish(self):
        """End this end's half."""
        self.outgoing.ended = True
        await self.outgoing.note()

    def reset(self, code=0, /):
        """Abort this end's half."""
        if not self.outgoing.ended:
            self.outgoing.blocks.clear()
            self.outgoing.error = PipeError(f"reset {code}")
            self._later(self.outgoing)

    def stop(self, code=0, /):
        """Refuse the other half."""
        if not self.incoming.ended and self.incoming.error is None:
            self.incoming.error = PipeError(f"stopped {code}")
            self._later(self.incoming)

    def lose(self):
        """Lose the connection, for both ends."""
        for half in (self.incoming, self.outgoing):
            half.blocks.clear()
            half.error = PipeLostError("the connection is lost")
            self._later(half)


def pipe(*, block_max=None):
    """Return the two ends of a fresh stream; ``block_max`` bounds what one read returns."""
    forth, back = Half(), Half()
    return PipeEnd(back, forth, block_max=block_max), PipeEnd(forth, back, block_max=block_max)


def new_hasher():
    """A stand-in for BLAKE3 with the same length, so that tests of the logic need no native code."""
    return hashlib.blake2b(digest_size=32)
