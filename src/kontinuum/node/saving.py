"""Saves the known peers while the node runs, without holding up its calls, and once more at its end.

Bounds: one save in SAVE_INTERVAL_S, whatever peers tell; one at a time.
Trust:  what is saved came from peers; a flood of news costs memory up to the store's bound, never the disk.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger

if TYPE_CHECKING:
    from kontinuum.node.peer_store import PeerStore

SAVE_LOOK_S = 5.0
"""Seconds between two looks at whether there is something to save. Our choice: a change after a quiet time is
on the disk so soon."""

SAVE_INTERVAL_S = 30.0
"""Seconds between two saves. Our choice: what a crash can lose at most; peers can be met again."""

_log = RoomLogger("node")


async def keep_saved(store: PeerStore) -> None:
    """Save ``store`` in a worker thread when it changed, until cancelled; a save that is on is waited for."""
    while True:
        await asyncio.sleep(SAVE_LOOK_S)
        if (write := store.saving()) is None:
            continue
        writing = asyncio.ensure_future(asyncio.to_thread(write))
        try:
            await asyncio.shield(writing)
        except KontinuumError as error:
            _warn(error)
        except asyncio.CancelledError:
            # Whoever ends the node lets go of the directory after this; a failed save is tried again then.
            await asyncio.gather(writing, return_exceptions=True)
            raise
        await asyncio.sleep(SAVE_INTERVAL_S - SAVE_LOOK_S)


def save_at_end(store: PeerStore) -> None:
    """Save ``store`` now, if that is possible."""
    if not store.loaded and store.changed:
        _log.warning(
            "what was learned of peers is not saved: their file was not read, and is left as it is",
            path=str(store.path),
        )
    try:
        store.save()
    except KontinuumError as error:
        _warn(error)


def _warn(error: KontinuumError) -> None:
    # A full disk must not stop a node: what it knows stays in memory, and the next look tries again.
    _log.warning("the known peers could not be saved", reason=str(error))
