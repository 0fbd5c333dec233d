"""The chat as plain lines: where there is no terminal, or none that a full screen is wanted on.

Trust:    what is written was made safe to show.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.chat.safe import few_lines
from kontinuum.cli.chat.shown import Moved, Notice, Said, Warned

if TYPE_CHECKING:
    from kontinuum.cli.chat.conversation import Conversation
    from kontinuum.cli.chat.shown import Shown

INPUT_BYTES_MAX = 2**20
"""Bytes of a file as standard input that are read; the rest is left. Our choice."""

LINE_BYTES_MAX = 64 * 1024
"""Bytes of one line of standard input; a longer one ends the chat. Our choice."""


def show_plain(shown: Shown) -> None:
    """Write what happened: words on standard output, notices on standard error; events with ``--json``."""
    if state.output.json:
        state.output.event(as_json(shown))
        return
    match shown:
        case Said():
            state.output.event({}, "\n".join(said_lines(shown)))
        case Notice(text):
            state.output.note(f"* {text}")
        case Warned(text):
            state.output.note(f"! {text}")
        case Moved():
            pass


def said_lines(said: Said) -> list[str]:
    """Return what somebody said as lines, with the author in front of each."""
    where = f"#{said.room}" if said.room is not None else "to " + said.to.name if said.to else "(direct)"
    head = f"{said.at.astimezone():%H:%M} {where}"
    name = said.author.name + (" (NOT who it looks like)" if said.author.mistaken_for else "")
    if said.act:
        return [f"{head} * {name} {line}" for line in few_lines(said.lines)]
    return [f"{head} <{name}> {line}" for line in few_lines(said.lines)]


def as_json(shown: Shown) -> dict[str, Any]:
    """Return what happened as an event for programs; docs/cli.md lists the fields."""
    match shown:
        case Said():
            return {
                "type": "said",
                "at": shown.at.isoformat(),
                "room": shown.room,
                "direct": shown.room is None,
                "author": str(shown.author.peer_id),
                "nick": shown.author.nick,
                "verified": shown.author.verified,
                "mistaken_for": None if shown.author.mistaken_for is None else str(shown.author.mistaken_for),
                "to": None if shown.to is None else str(shown.to.peer_id),
                "act": shown.act,
                "lines": list(shown.lines),
            }
        case Notice(text):
            return {"type": "notice", "text": text}
        case Warned(text):
            return {"type": "warning", "text": text}
        case Moved(room, here):
            return {"type": "room", "room": room, "here": here}


async def run_plain(conversation: Conversation) -> None:
    """Do what standard input says, line by line, until it ends or says ``/quit``."""
    reader, transport = await _open_input()
    try:
        while line := await reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.strip() and not await conversation.enter(text):
                return
    except ValueError:
        state.output.note(f"! a line of more than {LINE_BYTES_MAX} bytes")
    finally:
        if transport is not None:
            transport.close()


async def _open_input() -> tuple[asyncio.StreamReader, asyncio.BaseTransport | None]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty():
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_read_pipe(lambda: protocol, sys.stdin)
        return reader, transport
    # A file, or /dev/null: the loop cannot wait for it, and need not.
    reader.feed_data(await asyncio.to_thread(sys.stdin.buffer.read, INPUT_BYTES_MAX))
    reader.feed_eof()
    return reader, None
