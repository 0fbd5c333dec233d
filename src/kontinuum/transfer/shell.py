"""What the services of both directions share: the stream, the worker thread, reading a message.

Bounds:   one worker thread per session, begun with its first job; it also closes the session's files, so that
          no descriptor is ever closed under a running read or write.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from kontinuum.transfer.messages import LENGTH_BYTES, Message, Unknown, decode, parse_length


class ByteStream(Protocol):
    """What this room needs of the transport's stream."""

    async def read(self, n_max: int = ..., /) -> bytes:
        """Return some bytes; none at the end."""
        ...

    async def read_exactly(self, n: int, /) -> bytes:
        """Return ``n`` bytes; raises a ``KontinuumError`` when the stream ends before."""
        ...

    async def write(self, data: bytes, /) -> None:
        """Queue bytes; waits at the high-water mark."""
        ...

    async def finish(self) -> None:
        """End our half."""
        ...

    def reset(self, code: int = ..., /) -> None:
        """Abort our half."""
        ...

    def stop(self, code: int = ..., /) -> None:
        """Refuse the other half."""
        ...


T = TypeVar("T")


class Worker:
    """One thread, one job at a time, in order; the thread begins with the first job."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="transfer")

    def submit(self, job: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Queue a job; its result or exception comes through the future."""
        return asyncio.get_running_loop().run_in_executor(self._executor, job, *arguments)

    def close(self) -> None:
        """Let queued jobs run; take no more."""
        self._executor.shutdown(wait=False)


async def read_message(stream: ByteStream) -> Message | Unknown | None:
    """Return the next message, or ``None`` at the end of the stream between two messages."""
    head = await stream.read(LENGTH_BYTES)
    if not head:
        return None
    if len(head) < LENGTH_BYTES:
        head += await stream.read_exactly(LENGTH_BYTES - len(head))
    return decode(await stream.read_exactly(parse_length(head)))
