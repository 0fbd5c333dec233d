"""Keeps a DHT node's records and routing table on disk, without holding up its calls.

Changes are gathered and written in one transaction by a worker thread; what a crash loses are the last
WRITE_DELAY_S, which the network still has.
Bounds: one write at a time; of changes that wait only the newest for each record. After a failed write at
        most UNWRITTEN_MAX; beyond it the disk is left as it is.
Trust:  the file may be damaged or forged: contacts and records are checked as if they came from strangers.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.base.log import RoomLogger
from kontinuum.dht.records.sqlite import SqliteRecords
from kontinuum.identity import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from kontinuum.base.clock import Clock
    from kontinuum.dht.events import Drop, Keep
    from kontinuum.dht.node import Dht
    from kontinuum.dht.peer import Peer
    from kontinuum.identity import PeerId

WRITE_DELAY_S = 0.5
"""Seconds for which changes are gathered. Our choice: a burst of stores is one transaction."""

RETRY_S = 30.0
"""Seconds after a failed write until the next one. Our choice: a full disk."""

TABLE_SAVE_S = 60.0
"""Seconds between two saves of the routing table. Our choice: what a crash loses can be found again."""

UNWRITTEN_MAX = 65_536
"""Changes kept after failed writes. Our choice; then all of them are forgotten, and a restart begins with
older records, which their owners and the other holders replace."""

RESTORED_AT_ONCE = 64
"""Records restored in one go: some 10 ms, since each is verified. Our choice: a start must not hold up
calls."""

_log = RoomLogger("dht")


class DhtDisk:
    """The file of one node. :meth:`load` it, :meth:`keep` what changes, :meth:`close` it.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: SqliteRecords | None = None
        self._unwritten: dict[tuple[bytes, PeerId | None], Keep | Drop] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self, machine: Dht, clock: Clock, check: Callable[[bytes], Peer]) -> list[Contact]:
        """Open the file, give ``machine`` its records, and begin to write what changes.

        Args:
            machine: Not started yet.
            clock: Both clocks.
            check: Verifies the contact of a provider; raises a PeerError.

        Returns:
            The saved table, best first. Without a usable file the node starts all the same, with nothing.
        """
        try:
            records = await asyncio.to_thread(SqliteRecords.open, self._path)
            contacts = await asyncio.to_thread(records.load_table)
            keeps = await asyncio.to_thread(lambda: list(records.load()))
        except KontinuumError as error:
            _log.warning("records are not kept on disk", reason=str(error))
            return []
        self._records = records
        saved = []
        for encoded in contacts:
            with contextlib.suppress(PeerError):
                saved.append(Contact.decode(encoded))
        self._tasks = [
            asyncio.create_task(self._restore(machine, clock, keeps, check), name="kontinuum dht restore"),
            asyncio.create_task(self._keep_written(records), name="kontinuum dht records"),
            asyncio.create_task(self._keep_table(records, machine), name="kontinuum dht table"),
        ]
        return saved

    def keep(self, change: Keep | Drop) -> None:
        """Write that down soon."""
        if self._records is None:
            return
        self._unwritten[change.key, change.provider] = change
        self._wake.set()

    async def close(self, machine: Dht) -> None:
        """Write what is left and give the file back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        records, self._records = self._records, None
        if records is None:
            return
        changes = list(self._unwritten.values())
        table = [contact.encode() for contact in machine.saved_contacts()]

        def finish() -> None:
            try:
                if changes:
                    records.apply(changes)
                if table:  # A node that met nobody this time keeps those of last time.
                    records.save_table(table)
            finally:
                records.close()

        try:
            await asyncio.to_thread(finish)
        except KontinuumError as error:
            _warn(error)

    async def _restore(
        self, machine: Dht, clock: Clock, keeps: list[Keep], check: Callable[[bytes], Peer]
    ) -> None:
        for first in range(0, len(keeps), RESTORED_AT_ONCE):
            now = clock.monotonic()
            machine.restore(
                [(keep, _provider(keep, check)) for keep in keeps[first : first + RESTORED_AT_ONCE]], now
            )
            await asyncio.sleep(0)

    async def _keep_written(self, records: SqliteRecords) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(WRITE_DELAY_S)
            self._wake.clear()
            changes, self._unwritten = self._unwritten, {}
            try:
                await _finished(asyncio.to_thread(records.apply, list(changes.values())))
            except KontinuumError as error:
                _warn(error)
                self._unwritten = {**changes, **self._unwritten}
                if len(self._unwritten) > UNWRITTEN_MAX:
                    self._unwritten = {}
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _keep_table(self, records: SqliteRecords, machine: Dht) -> None:
        while True:
            await asyncio.sleep(TABLE_SAVE_S)
            if table := [contact.encode() for contact in machine.saved_contacts()]:
                try:
                    await _finished(asyncio.to_thread(records.save_table, table))
                except KontinuumError as error:
                    _warn(error)


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for a thread even when we are cancelled: the file must not be closed below it."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


def _provider(keep: Keep, check: Callable[[bytes], Peer]) -> Peer | None:
    if keep.provider is None:
        return None
    try:
        return check(keep.value)
    except PeerError:
        return None


def _warn(error: KontinuumError) -> None:
    # A full disk must not stop a node: what it holds stays in memory, and the next write tries again.
    _log.warning("records could not be written to disk", reason=str(error))
