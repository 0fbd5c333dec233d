"""Saving in the background: rarely, in another thread, one at a time, and never lost at the end."""

import asyncio
import threading

import pytest

from helpers.nodes import eventually
from kontinuum.base.errors import FileUnavailableError
from kontinuum.node import saving
from kontinuum.node.saving import SAVE_INTERVAL_S, SAVE_LOOK_S, keep_saved, save_at_end


class FakeStore:
    """Counts what is written, and by whom; a write can be held up or fail."""

    def __init__(self, path):
        self.path, self.changed, self.loaded = path, True, True
        self.threads, self.written, self.error = [], 0, None
        self.gate = threading.Event()
        self.gate.set()

    def saving(self):
        return self.write if self.changed else None

    def save(self):
        if self.changed:
            self.write()

    def write(self):
        self.changed = False
        self.threads.append(threading.current_thread())
        self.gate.wait(5)
        if self.error is not None:
            self.changed = True
            raise FileUnavailableError(self.path, "write", self.error)
        self.written += 1


@pytest.fixture
def store(tmp_path):
    """A store with something to save."""
    return FakeStore(tmp_path / "peers.cbor")


@pytest.fixture
def slept(monkeypatch):
    """The seconds that were slept; no time passes."""
    seconds, sleep = [], asyncio.sleep

    async def quick(delay):
        seconds.append(delay)
        await sleep(0)

    monkeypatch.setattr(saving.asyncio, "sleep", quick)
    return seconds


async def until(task, condition):
    """Let ``task`` work until ``condition``, then end it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 5
    while not condition():
        assert loop.time() < end
        assert not task.done()
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, None)
        await future
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_save_is_followed_by_a_pause(store, slept):
    """However much changes, SAVE_INTERVAL_S lie between two saves; the work is done in another thread."""
    task = asyncio.create_task(keep_saved(store))
    await eventually_saved(store, 1)
    store.changed = True
    await until(task, lambda: store.written == 2)

    first, pause, second = slept[:3]
    assert (first, pause + second) == (SAVE_LOOK_S, SAVE_INTERVAL_S)
    assert threading.main_thread() not in store.threads


async def eventually_saved(store, count):
    """Wait for a number of writes without sleeping in the patched way."""
    loop = asyncio.get_running_loop()
    while store.written < count:
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, None)
        await future


async def test_a_save_that_is_on_is_waited_for_at_the_end(store, monkeypatch):
    """Nothing writes in the directory after the node has let go of it."""
    monkeypatch.setattr(saving, "SAVE_LOOK_S", 0)
    store.gate.clear()
    task = asyncio.create_task(keep_saved(store))
    await eventually(lambda: store.threads)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.written == 1


async def test_a_full_disk_is_a_warning_and_is_tried_again(store, slept, caplog):
    """The node goes on; the next attempt is as far away as any other."""
    store.error = "No space left on device"
    task = asyncio.create_task(keep_saved(store))
    await until(task, lambda: len(store.threads) > 1)

    assert slept[:2] == [SAVE_LOOK_S, SAVE_INTERVAL_S - SAVE_LOOK_S]
    assert "could not be saved" in caplog.text
    save_at_end(store)
    assert caplog.text.count("could not be saved") >= 2


def test_the_end_says_when_nothing_may_be_saved(store, caplog):
    """A file that could not be read stays as it is, and its owner hears of it."""
    store.loaded = False
    store.changed = True
    save_at_end(store)

    assert "left as it is" in caplog.text
