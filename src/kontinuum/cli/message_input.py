"""Messages to publish: from the command line, or from standard input while it comes.

Bounds:   DATA_BYTES_MAX of a message, BATCH of them at a time, CHUNK_BYTES read at once.
Trust:    whoever types the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from kontinuum.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATA_BYTES_MAX = 2**20
"""Bytes of one message: no setting allows more. More is refused before anything is sent."""

BATCH = 100
"""Lines that are published with one request, at most."""

CHUNK_BYTES = 64 * 1024
"""Bytes of standard input that are read at once: what a pipe holds."""


async def batches(data: str, *, lines: bool) -> AsyncIterator[list[bytes]]:
    """The messages, in batches that can be sent at once: a line is sent when it is there."""
    if not lines:
        yield [_checked(await _all_input() if data == "-" else data.encode("utf-8", "surrogateescape"))]
        return
    begun = bytearray()
    while chunk := await _read_input():
        *ended, tail = chunk.split(b"\n")
        if ended:
            ended[0] = bytes(begun) + ended[0]
            begun.clear()
        begun += tail
        _checked(bytes(begun))  # A line without an end is not kept for ever.
        for start in range(0, len(ended), BATCH):
            yield [_checked(line) for line in ended[start : start + BATCH]]
    if begun:
        yield [bytes(begun)]


async def _all_input() -> bytes:
    content = bytearray()
    while len(content) <= DATA_BYTES_MAX and (chunk := await _read_input()):
        content += chunk
    return bytes(content)


async def _read_input() -> bytes:
    """What is there of standard input, as soon as there is something; nothing at its end.

    The thread is a daemon and reads the descriptor itself, so that Ctrl-C need not wait for a line.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    descriptor = sys.stdin.fileno()

    def finish(chunk: bytes, error: OSError | None) -> None:
        if done.done():  # Cancelled.
            return
        if error is None:
            done.set_result(chunk)
        else:
            done.set_exception(error)

    def read() -> None:
        chunk, error = b"", None
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except OSError as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(finish, chunk, error)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return await done


def _checked(message: bytes) -> bytes:
    if len(message) > DATA_BYTES_MAX:
        raise CliError(
            f"a message holds at most {DATA_BYTES_MAX} bytes, and less unless the nodes are set so",
            family=Exit.MISUSE,
            code="message_too_large",
            hint="send a file to a peer instead: kontinuum send FILE PEER",
        )
    return message
