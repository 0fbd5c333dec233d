"""A libp2p program of ``tests/interop`` as a process, driven by lines: commands in, events as JSON out."""

import asyncio
import contextlib
import json

from helpers.go_programs import go_program
from helpers.node_programs import node_program

ANSWER_S = 30.0
"""Seconds after which an event that should have come is called missing. Long, for a busy machine."""


class Libp2pProgram:
    """``async with Libp2pProgram(command...) as peer``; the program's text says what it understands."""

    def __init__(self, *command, cwd=None):
        self.command, self.cwd = [str(part) for part in command], cwd
        self.events = []
        """All that it has said, in order."""
        self.peer = ""
        """Its identity, in libp2p's form."""
        self.address = ""
        """Where it listens, its identity included."""
        self._news = asyncio.Event()
        self._process = None
        self._reader = None

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            cwd=self.cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        self._reader = asyncio.create_task(self._read())
        ready = await self.event("ready")
        self.peer, self.address = ready["peer"], ready["address"]
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reader
        self._process.stdin.close()
        self._process._transport.close()
        await asyncio.sleep(0)

    async def _read(self):
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            self._news.set()

    def all(self, name, **fields):
        """The events of that name so far, in which these fields have these values."""
        return [event for event in self.events if _fits(event, name, fields)]

    async def event(self, name, *, since=0, within_s=ANSWER_S, **fields):
        """The first event of that name, from number ``since`` on, in which these fields have these values."""
        async with asyncio.timeout(within_s):
            while True:
                for event in self.events[since:]:
                    if _fits(event, name, fields):
                        return event
                assert not self._reader.done(), f"the program ended; it said {self.events[-5:]}"
                self._news.clear()
                await self._news.wait()

    async def ask(self, command, *words, within_s=ANSWER_S):
        """Give a command; return its answer, which has an ``error`` if it failed."""
        since = len(self.events)
        line = " ".join([command, *map(str, words)])
        self._process.stdin.write(line.encode() + b"\n")
        return await self.event(command, since=since, within_s=within_s)

    async def do(self, command, *words, within_s=ANSWER_S):
        """Give a command that must succeed; return its answer."""
        answer = await self.ask(command, *words, within_s=within_s)
        assert answer["error"] == "", answer
        return answer


def _fits(event, name, fields):
    return event["event"] == name and all(event.get(field) == value for field, value in fields.items())


def go_peer(*, router="gossip", mesh=6):
    """go-libp2p; the test is skipped if it cannot be built here."""
    return Libp2pProgram(go_program("pubsub"), "-router", router, "-mesh", mesh)


def js_peer(*, mesh=6, ids="spec"):
    """js-libp2p; the test is skipped if it cannot be installed here.

    By default its message ids are those of the specification, which it has an option for; ``own`` leaves it
    as it is shipped.
    """
    return Libp2pProgram(*node_program("js"), "--mesh", mesh, "--ids", ids)
