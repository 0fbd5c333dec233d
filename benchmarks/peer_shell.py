"""What the Python peers share: the lines they read, the answers they print, and how calls are timed.

A peer is a process with one of two roles. ``serve PORT`` prints ``{"ready": true, "peers": [...]}`` and then
answers streams; ``client PEER...`` prints ``{"ready": true}`` and then obeys one command per input line, each
answered by one line of JSON:

    calls SECONDS IN_FLIGHT    bulk MEBIBYTES    handshakes SECONDS    idle COUNT

Both end when their input ends, so that none outlives the benchmark that started it. ``rust_peer/`` speaks the
same lines.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from time import perf_counter

CALL_BYTES = 64
"""Bytes of a request and of its reply. The issue that asked for these figures."""

WRITE_BYTES = 64 << 10
"""Bytes of one write of the bulk load. The same source."""

WARM_UP_CALLS = 100
"""Calls before the clock starts, so that no peer is charged for its first-time work."""

Command = Callable[..., Coroutine[None, None, dict]]
"""A command takes the words after its name and returns what is printed."""


def say(**fields: object) -> None:
    """Print one line of JSON to whoever started us."""
    print(json.dumps(fields), flush=True)


async def input_lines() -> AsyncIterator[str]:
    """Yield the lines of standard input until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


async def until_input_ends() -> None:
    """Return when whoever started us has gone."""
    async for _ in input_lines():
        pass


async def obey(commands: dict[str, Command]) -> None:
    """Announce that we are ready, then run one command after the other until the input ends."""
    say(ready=True)
    async for line in input_lines():
        name, *words = line.split()
        say(**await commands[name](*words))


async def timed_calls(call: Callable[[], Awaitable[None]], seconds: float, in_flight: int) -> dict:
    """Keep ``in_flight`` calls open for ``seconds``; each of so many tasks calls one after the other."""
    for _ in range(WARM_UP_CALLS):
        await call()
    latencies: list[float] = []
    start = perf_counter()
    end = start + seconds
    if in_flight == 1:
        before = start
        while before < end:
            await call()
            now = perf_counter()
            latencies.append(now - before)
            before = now
        count = len(latencies)
    else:

        async def caller() -> int:
            done = 0
            while perf_counter() < end:
                await call()
                done += 1
            return done

        count = sum(await asyncio.gather(*(caller() for _ in range(in_flight))))
    elapsed = perf_counter() - start
    latencies.sort()
    return {
        "count": count,
        "seconds": elapsed,
        "p50_us": 1e6 * latencies[len(latencies) // 2] if latencies else 0.0,
        "p99_us": 1e6 * latencies[len(latencies) * 99 // 100] if latencies else 0.0,
    }


async def timed_connects(connect: Callable[[], Awaitable[float]], seconds: float) -> dict:
    """Connect one after the other for ``seconds`` of connecting; ``connect`` says how long it took.

    What a peer does between two handshakes (closing, cleaning up) is not on the clock unless it delays the
    next one.
    """
    await connect()
    count, elapsed = 0, 0.0
    while elapsed < seconds:
        elapsed += await connect()
        count += 1
    return {"count": count, "seconds": elapsed}
