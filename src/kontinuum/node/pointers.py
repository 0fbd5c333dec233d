"""Where a peer went that has another key now: a signed pointer at the old key, and the proof that it is it.

A node that rekeys signs, with the old key, a record ``moved`` in the DHT that names the new one. Whoever
cannot reach the old key finds it there, connects to the new one, and asks it for the statements behind both
(``kontinuum.clusters.lineage``): the pointer alone could be a thief's.

Source:   docs/protocols/moved.md.
Bounds:   HOPS_MAX keys in a row, FOLLOWED_MAX remembered, LINEAGE_TIMEOUT_S for the proof.
Trust:    pointer and proof are a stranger's until :func:`verify_lineage` took them; what is not proven is not
          followed, and the old key stays unreachable.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import PeerId
from kontinuum.wire import cbor
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import PEER_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kontinuum.base.clock import Clock
    from kontinuum.identity import KeyPair
    from kontinuum.node.dht import NodeDht
    from kontinuum.rpc.service import RpcService
    from kontinuum.transport import Connection

MOVED = "moved"
"""Name of the record under the old key."""

LINEAGE = "kontinuum/lineage/1"
"""The call that answers an old key of ours with the proof that it was ours."""

POINTER_LIFETIME_S = 30 * 24 * 3600.0
"""Seconds that a pointer lives; signed anew at every start. The longest that records may (records.md)."""

HOPS_MAX = 8
"""Pointers that are followed in a row: rekeyings that a peer slept through. Our choice; then it gives up."""

FOLLOWED_MAX = 1024
"""Old keys whose new one is remembered; the oldest is forgotten, and followed again. Our choice."""

LINEAGE_TIMEOUT_S = 5.0
"""Seconds in which the peer must prove itself. Our choice: up to a megabyte over a slow line."""

_VERSION = 1
_log = RoomLogger("node")


class Pointers:
    """Leaves and follows pointers.

    Args:
        network: Our network's id.
        clock: Both clocks.
        rpc: For the proof.
        reach: Connects to a peer; raises a KontinuumError.
    """

    def __init__(
        self,
        network: bytes,
        clock: Clock,
        rpc: RpcService,
        reach: Callable[[PeerId], Awaitable[Connection]],
    ) -> None:
        self.dht: NodeDht | None = None
        """Where pointers are; without it none is left or found."""
        self._network = network
        self._clock = clock
        self._rpc = rpc
        self._reach = reach
        self._followed: dict[PeerId, PeerId] = {}
        self._following: dict[PeerId, asyncio.Task[Connection | None]] = {}

    def current(self, peer_id: PeerId) -> PeerId:
        """The key of now of a peer that was followed before; itself otherwise."""
        for _ in range(HOPS_MAX):
            following = self._followed.get(peer_id)
            if following is None:
                break
            peer_id = following
        return peer_id

    def remember(self, old: PeerId, new: PeerId) -> None:
        """A peer proved that it has another key now."""
        self._followed.pop(new, None)  # Should a peer come back to a key, that is where it is.
        self._followed.pop(old, None)
        self._followed[old] = new
        if len(self._followed) > FOLLOWED_MAX:
            del self._followed[next(iter(self._followed))]

    async def leave(self, old: KeyPair, new: PeerId) -> bool:
        """Say at an old key of ours where we are. Tells whether anybody keeps it; it is published on."""
        if self.dht is None or old.peer_id == new:
            return False
        from kontinuum.dht.records.signed_record import SignedRecord, signed_key  # A node with a DHT has it.

        at = self._clock.utc()
        record = SignedRecord.issue(
            old,
            MOVED.encode(),
            encode_pointer(new),
            network_id=self._network,
            sequence=int(at.timestamp() * 1000),
            expires_at=at + timedelta(seconds=POINTER_LIFETIME_S),
        )
        try:
            await self.dht.put(signed_key(old.peer_id, MOVED.encode()), record.encode())
        except KontinuumError as error:
            _log.info("nobody keeps the pointer at an old key yet", key=old.peer_id.short, reason=str(error))
            return False
        return True

    async def follow(self, old: PeerId) -> Connection | None:
        """The connection with whom ``old`` became, proven; None if nothing leads there. Raises nothing.

        Many who look for the same peer share one search.
        """
        task = self._following.get(old)
        if task is None:
            task = self._following[old] = asyncio.create_task(self._follow(old))
            task.add_done_callback(lambda _task: self._following.pop(old, None))
        return await asyncio.shield(task)

    async def _follow(self, old: PeerId) -> Connection | None:
        if self.dht is None:
            return None
        from kontinuum.clusters.lineage import verify_lineage  # Few nodes ever follow anybody.

        new = old
        try:
            for _ in range(HOPS_MAX):
                record = await self.dht.get_signed(new, MOVED)
                new = decode_pointer(record.value)
                try:
                    connection = await self._reach(new)
                except KontinuumError:
                    continue  # It may have moved on.
                proof = await self._rpc.call(connection, LINEAGE, bytes(old), LINEAGE_TIMEOUT_S)
                verify_lineage(proof, old, new)
                self.remember(old, new)
                return connection
        except KontinuumError as error:
            _log.debug("a pointer leads nowhere", key=old.short, reason=str(error))
        return None


def encode_pointer(new: PeerId) -> bytes:
    """The value of a record ``moved``."""
    return cbor.encode({0: _VERSION, 1: bytes(new)})


def decode_pointer(data: bytes) -> PeerId:
    """The key that a record ``moved`` names.

    Raises:
        MalformedError: It names none.
    """
    match cbor.decode(data, bytes_max=2 * PEER_ID_BYTES):
        case {0: 1, 1: bytes() as key} if len(key) == PEER_ID_BYTES:
            return PeerId(key)
    raise MalformedError("a pointer names a key, in version 1")
