"""Processes full of nodes that find each other through the DHT."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from kontinuum import Contact

PROGRAM = Path(__file__).with_name("dht_program.py")

ANSWER_BYTES_MAX = 2**24


class Process:
    """Nodes in a process of their own: ``await process.ask("open", 10, seed)``.

    Args:
        program: What runs there; it obeys commands like ``dht_program.py``.
    """

    def __init__(self, program=PROGRAM):
        self._process = None
        self._program = program

    async def start(self, *arguments, before=(), **options):
        """Start it with ``arguments``; what is ``before`` them starts the program."""
        self._process = await asyncio.create_subprocess_exec(
            *before,
            sys.executable,
            str(self._program),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=ANSWER_BYTES_MAX,
            **options,
        )

    async def ask(self, name, *arguments, within_s=120.0):
        """Let it do something; return the answer."""
        self._process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        assert line, f"a process ended in {name}"
        return json.loads(line)

    async def kill(self):
        """SIGKILL: no goodbye to anybody."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        process.stdin.close()
        process._transport.close()  # It is closed when the pipes of the child are.
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def processes(count):
    """So many of them; all are killed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        made = [Process() for _ in range(count)]
        for process in made:
            stack.push_async_callback(process.kill)
        await asyncio.gather(*(process.start() for process in made))
        yield made


async def join(made, nodes_each):
    """Start nodes in each process that know the very first one; in the end all have joined and published.

    Returns:
        The contacts of all, by process: identity to contact.
    """
    opened = [await made[0].ask("open", 1)]
    (seed,) = opened[0]
    counts = [nodes_each - 1] + [nodes_each] * (len(made) - 1)
    opened = await asyncio.gather(
        *(process.ask("open", count, seed) for process, count in zip(made, counts, strict=True))
    )
    for holders in await asyncio.gather(*(process.ask("publish") for process in made)):
        assert min(holders) > 0, holders
    return [{str(Contact.from_text(text).peer_id): text for text in contacts} for contacts in opened]
