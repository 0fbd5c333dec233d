"""What a node tells whoever watches it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from kontinuum.node.cluster_events import ClusterEvent

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
class PeerRenamed:
    """The peer of a connection has proved that it goes by another identity now; the connection goes on."""

    former: PeerId
    peer_id: PeerId


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


@dataclass(frozen=True, slots=True)
class TopicJoined:
    """A connected peer is in a topic that we are in."""

    topic: str
    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class TopicLeft:
    """It has left it, or its connection is gone."""

    topic: str
    peer_id: PeerId


NodeEvent = PeerConnected | PeerLost | PeerRenamed | PathChanged | TopicJoined | TopicLeft | ClusterEvent


class Watchers:
    """Who watches a node. One that its program has dropped is forgotten, unless it waits for an event."""

    def __init__(self) -> None:
        self._all: WeakSet[Watcher] = WeakSet()
        self.waiting: set[Watcher] = set()
        """Held here, because the task that waits may be held by nothing but its watcher."""
        self._ended = False

    def __len__(self) -> int:
        return len(self._all)

    def add(self, watcher: Watcher) -> None:
        """Tell ``watcher`` what happens; after the end, that nothing will."""
        if self._ended:
            watcher.end()
        else:
            self._all.add(watcher)

    def discard(self, watcher: Watcher) -> None:
        """Tell ``watcher`` nothing more."""
        self._all.discard(watcher)

    def put(self, event: NodeEvent) -> None:
        """Something happened."""
        for watcher in self._all:
            watcher.put(event)

    def end(self) -> None:
        """Nothing more will happen."""
        self._ended = True
        for watcher in list(self._all):
            watcher.end()


class Watcher:
    """The events of a node from now on, as an asynchronous iterator. Ends when the node stops.

    One that is no longer used may simply be dropped, or closed, or used in ``async with``.
    """

    def __init__(self, watchers: Watchers) -> None:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> NodeEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            self._watchers.waiting.add(self)
            try:
                await self._wake.wait()
            finally:
                self._watchers.waiting.discard(self)
        return self._events.popleft()
