"""What a node tells whoever watches it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.transport import CloseReason

EVENTS_MAX = 1024
"""Events that wait for one watcher. Our choice; beyond it the oldest is dropped, and counted."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer that had no connection has one."""

    peer_id: PeerId
    address: tuple[str, int]
    """IP address and port."""
    outbound: bool
    """We dialled."""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A peer has no connection any more."""

    peer_id: PeerId
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class PathChanged:
    """A path of a connection came, went, or is preferred or kept in reserve by the peer."""

    peer_id: PeerId
    path: int
    """Its number."""
    change: str
    """``established``, ``abandoned``, ``available``, ``backup`` or ``observed``."""
    address: tuple[str, int] | None
    """Where it leads; for ``observed``, where the peer sees us."""


NodeEvent = PeerConnected | PeerLost | PathChanged


class Watcher:
    """The events of a node from now on, as an asynchronous iterator. Ends when the node stops."""

    def __init__(self, watchers: set[Watcher]) -> None:
        self.dropped = 0
        """Events lost because this watcher did not keep up."""
        self._events: deque[NodeEvent] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._watchers = watchers
        watchers.add(self)

    def put(self, event: NodeEvent) -> None:
        """Something happened."""
        if len(self._events) >= EVENTS_MAX:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._wake.set()

    def end(self) -> None:
        """Nothing more will happen."""
        self._ended = True
        self._wake.set()

    def close(self) -> None:
        """Stop watching."""
        self._watchers.discard(self)
        self.end()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> NodeEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()
