"""What ``kontinuum pubsub pub`` makes of its standard input."""

import asyncio
import os

import pytest

from kontinuum.cli.errors import CliError
from kontinuum.cli.message_input import BATCH, DATA_BYTES_MAX, batches


@pytest.fixture
def pipe(monkeypatch):
    """The end to write to; the other one is standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as given, os.fdopen(writing, "wb", buffering=0) as ours:
        monkeypatch.setattr("sys.stdin", given)
        yield ours


async def test_a_line_is_published_while_the_input_goes_on(pipe):
    """
    As behind ``tail -f``: a line waits neither for a hundred others nor for the end, and the loop goes on.
    """
    found = batches("-", lines=True)
    first = asyncio.ensure_future(anext(found))
    await asyncio.sleep(0)
    pipe.write(b"one\ntwo\nthr")
    assert await asyncio.wait_for(first, 10) == [b"one", b"two"]

    pipe.write(b"ee\n")
    assert await asyncio.wait_for(anext(found), 10) == [b"three"]
    pipe.write(b"last")
    pipe.close()
    assert await asyncio.wait_for(anext(found), 10) == [b"last"]
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(found), 10)


async def test_many_lines_at_once_are_several_requests(pipe):
    """
    None is lost and none is added, and empty lines are messages.
    """
    pipe.write(b"\n" * (2 * BATCH + 1))
    pipe.close()

    assert [len(batch) async for batch in batches("-", lines=True)] == [BATCH, BATCH, 1]


@pytest.mark.parametrize("lines", [True, False])
async def test_too_long_a_message_is_refused(pipe, lines):
    """
    Before all of it was read.
    """
    writing = asyncio.create_task(asyncio.to_thread(_write, pipe, bytes(DATA_BYTES_MAX + 1)))
    with pytest.raises(CliError, match="at most"):
        [batch async for batch in batches("-", lines=lines)]
    await writing


async def test_all_of_the_input_is_one_message(pipe):
    """
    Without --lines, line ends are part of it.
    """
    pipe.write(b"one\ntwo\n")
    pipe.close()

    assert [batch async for batch in batches("-", lines=False)] == [[b"one\ntwo\n"]]


async def test_waiting_for_a_line_can_be_cancelled(pipe):
    """
    What comes later disturbs nobody.
    """
    waiting = asyncio.ensure_future(anext(batches("-", lines=True)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    pipe.write(b"late\n")


def _write(pipe, data):
    while data:
        data = data[pipe.write(data) :]
