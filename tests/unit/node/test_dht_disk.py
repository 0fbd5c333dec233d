"""Records and the routing table on disk, around a machine that holds them in a list."""

import asyncio
from types import SimpleNamespace

import pytest

from helpers import dht_peers
from kontinuum.base.clock import SystemClock
from kontinuum.base.errors import FileUnavailableError, PeerError
from kontinuum.dht.events import Drop, Keep
from kontinuum.dht.records.sqlite import SqliteRecords
from kontinuum.node import dht_disk
from kontinuum.node.dht_disk import DhtDisk

ALICE, BOB = dht_peers.peer(1), dht_peers.peer(2)


class Machine:
    """Remembers what it is given back."""

    def __init__(self, *peers):
        self.restored = []
        self.peers = peers

    def restore(self, keeps, _now):
        self.restored += keeps

    def saved_contacts(self):
        return [peer.contact for peer in self.peers]


def keep(key, value=b"v", provider=None):
    """A record as the machine tells it."""
    return Keep(key, value, provider, ALICE.peer_id, 4e9, "192.0.2.1")


def check(encoded):
    """Verify a provider's contact."""
    if encoded == BOB.wire.contact:
        return BOB
    raise PeerError("not Bob's")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting."""
    monkeypatch.setattr(dht_disk, "WRITE_DELAY_S", 0.01)
    monkeypatch.setattr(dht_disk, "RETRY_S", 0.05)


async def start(path, machine):
    """A disk that is loaded."""
    disk = DhtDisk(path)
    saved = await disk.load(machine, SystemClock(), check)
    await asyncio.sleep(0.02)
    return disk, saved


async def test_what_was_kept_comes_back(tmp_path):
    """
    Records, providers with their verified contact, and the table in its order.
    """
    path = tmp_path / "dht.sqlite"
    machine = Machine(BOB, ALICE)
    disk, saved = await start(path, machine)
    assert (saved, machine.restored) == ([], [])
    provided = keep(b"p", BOB.wire.contact, BOB.peer_id)
    forged = keep(b"q", b"no contact", BOB.peer_id)
    for change in (keep(b"a"), keep(b"a", b"newer"), keep(b"b"), provided, forged):
        disk.keep(change)
    await asyncio.sleep(0.1)
    disk.keep(Drop(b"b", None))  # Written at the end at the latest.
    await disk.close(machine)

    again = Machine()
    disk, saved = await start(path, again)
    assert saved == [BOB.contact, ALICE.contact]
    assert again.restored == [(keep(b"a", b"newer"), None), (provided, BOB), (forged, None)]
    await disk.close(again)
    _, saved = await start(path, Machine())
    assert saved == [BOB.contact, ALICE.contact], "a node that met nobody keeps the table of last time"


async def test_a_disk_that_cannot_be_used_costs_nothing_else(tmp_path):
    """
    Without a usable file the node starts with nothing, and keeps nothing.
    """
    disk, saved = await start(tmp_path / "missing" / "dht.sqlite", Machine())
    disk.keep(keep(b"a"))
    await disk.close(Machine(ALICE))
    assert saved == []


async def test_a_write_that_fails_is_tried_again(tmp_path, monkeypatch):
    """
    What could not be written is written later, and nothing newer is overwritten by it.
    """
    refusals = [FileUnavailableError(tmp_path, "write", "No space left on device")]
    write = SqliteRecords.apply

    def apply(self, changes):
        if refusals:
            raise refusals.pop()
        write(self, changes)

    monkeypatch.setattr(SqliteRecords, "apply", apply)
    path = tmp_path / "dht.sqlite"
    disk, _ = await start(path, Machine())
    disk.keep(keep(b"a", b"old"))
    disk.keep(keep(b"b"))
    await asyncio.sleep(0.03)
    assert refusals == []
    disk.keep(keep(b"a", b"new"))
    await asyncio.sleep(0.15)
    again = Machine()
    # Not closed: what is there was written while it ran.
    assert [record.value for record in disk._records.load()] == [b"new", b"v"]
    await disk.close(again)


async def test_failed_writes_do_not_pile_up(tmp_path, monkeypatch):
    """
    Beyond UNWRITTEN_MAX they are forgotten.
    """
    monkeypatch.setattr(dht_disk, "UNWRITTEN_MAX", 10)

    def apply(self, changes):
        raise FileUnavailableError(self.path, "write", f"no room for {len(changes)}")

    monkeypatch.setattr(SqliteRecords, "apply", apply)
    disk, _ = await start(tmp_path / "dht.sqlite", Machine())
    for number in range(11):
        disk.keep(keep(str(number).encode()))
    await asyncio.sleep(0.04)
    assert disk._unwritten == {}
    await disk.close(SimpleNamespace(saved_contacts=list))
