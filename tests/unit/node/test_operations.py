"""Events of a long request: in order, bounded when the client does not read, of progress only the newest."""

import asyncio

import pytest

from kontinuum.node import operations
from kontinuum.node.operations import EVENTS_MAX, _Events
from kontinuum.transfer.report import Progress


class Client:
    """Takes events while its gate is open."""

    def __init__(self):
        self.gate, self.heard = asyncio.Event(), []
        self.taken = asyncio.Event()

    async def emit(self, event):
        self.heard.append(event)
        self.taken.set()
        await self.gate.wait()


@pytest.fixture
def client(monkeypatch):
    """One that hears of progress at once."""
    monkeypatch.setattr(operations, "PROGRESS_INTERVAL_S", 0)
    return Client()


@pytest.mark.parametrize(
    ("count", "dropped"), [(EVENTS_MAX, 0), (EVENTS_MAX + 1, 1), (10_000, 10_000 - EVENTS_MAX)]
)
async def test_a_client_that_does_not_read_loses_the_oldest_events(client, count, dropped):
    """At the bound nothing is lost, beyond it the oldest, and their number is known."""
    async with _Events(client.emit) as events:
        events.put({"number": -1})
        await client.taken.wait()  # It is on its way, and stays there.
        for number in range(count):
            events.put({"number": number})
        assert len(events._queue) <= EVENTS_MAX
        assert events.dropped == dropped
        client.gate.set()

    assert [event["number"] for event in client.heard] == [-1, *range(dropped, count)]


async def test_progress_of_many_files_does_not_pile_up(client):
    """A peer may send files without end while nobody reads; the newest news of the latest files is kept."""
    async with _Events(client.emit) as events:
        events.put({"type": "first"})
        await client.taken.wait()
        for index in range(1000):
            for done in (1, 2):
                events.progress(Progress(index, "name", done, 2))
        assert len(events._progress) == EVENTS_MAX
        client.gate.set()

    assert [(event["index"], event["done"]) for event in client.heard[-EVENTS_MAX:]] == [
        (index, 2) for index in range(1000 - EVENTS_MAX, 1000)
    ]
    assert events.dropped == 0
