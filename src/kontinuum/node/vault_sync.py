"""Copies of a node's vault on other nodes: who may have them, and when they are made.

Bounds:   those of the vault; one pull at a time on this side.
Trust:    nobody gets or brings a copy whom ``allowed`` does not name. A copy is sealed, whoever brings it: it
          is taken if its hash is its id, and believed when it is opened.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.vault.messages import PROTOCOL, PUSH_PROTOCOL
from kontinuum.vault.service import Pulled, pull, refuse, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.identity import PeerId
    from kontinuum.node.neighbours import PeerLike
    from kontinuum.node.node import Node
    from kontinuum.transport import MessageStream
    from kontinuum.vault.service import OnCopy


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync did."""

    pulled: Pulled
    """What came."""

    pushed_bytes: int
    """Bytes of objects that the peer took."""


class VaultSync:
    """Keeps the vaults of a node and of others alike.

    Args:
        node: A running node with a data directory; its handlers for vaults are registered here, once.
        allowed: Says who may have copies of our objects and bring us theirs: the nodes of our cluster.
    """

    def __init__(self, node: Node, allowed: Callable[[PeerId], bool]) -> None:
        self._node = node
        self._store = node.vault.store
        self._allowed = allowed
        self._pulling = asyncio.Lock()
        node.message_handler(PROTOCOL)(self._serve)
        node.message_handler(PUSH_PROTOCOL)(self._take)

    async def sync(self, peer: PeerLike, *, push: bool = True, on_progress: OnCopy | None = None) -> Synced:
        """Take what a peer's vault has and ours lacks, then let it take what it lacks.

        What was deleted on one side is not copied back to it, and nothing is deleted anywhere.

        Args:
            peer: Whose vault.
            push: Whether the peer shall take copies as well.
            on_progress: Called with the bytes that have come and those that will.

        Raises:
            SyncRefusedError: The peer shares no vault with us.
            SyncProtocolError: It broke the protocol.
            SyncInterruptedError: The connection ended or stood still; the next sync goes on from there.
            FileUnavailableError: Our disk is full, read-only or failing; what came is kept.
            UnavailableError, HandshakeError: As ``Node.call``.
        """
        stream = await self._node.open_messages(peer, PROTOCOL)
        async with self._pulling:
            pulled = await pull(stream, self._store, clock=self._node.clock, on_progress=on_progress)
        pushed = 0
        if push:
            pushed = await serve(await self._node.open_messages(peer, PUSH_PROTOCOL), self._store)
        return Synced(pulled, pushed)

    async def _serve(self, stream: MessageStream) -> None:
        """Somebody asks for copies."""
        if self._allowed(stream.connection.peer_id):
            await serve(stream, self._store)
        else:
            await refuse(stream, asked=True)

    async def _take(self, stream: MessageStream) -> None:
        """Somebody wants us to take copies."""
        if not self._allowed(stream.connection.peer_id):
            await refuse(stream, asked=False)
            return
        async with self._pulling:
            await pull(stream, self._store, clock=self._node.clock)
