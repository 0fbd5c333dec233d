"""What the machine of clusters wants done: on the disk, on topics, with connections, and with our own key.

Bounds:   those of the room.
Trust:    the machine has verified what it acts on.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import KontinuumError
from kontinuum.base.log import RoomLogger
from kontinuum.clusters import events as ev
from kontinuum.node.cluster_events import (
    ChainGrew,
    MemberRecognised,
    OwnKeyOut,
    RekeyOrdered,
    RootReplaced,
    SessionCut,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from kontinuum.base.clock import Clock
    from kontinuum.clusters.members import Member
    from kontinuum.identity import PeerId
    from kontinuum.keys.derivation import EpochSecret
    from kontinuum.keys.orders import Order
    from kontinuum.keys.statements import Statement
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.events import NodeEvent
    from kontinuum.node.neighbours import Neighbours
    from kontinuum.node.pointers import Pointers
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.transport import Connection

_log = RoomLogger("node")


class ClusterEffects:
    """Performs effects, in the turn in which they come; what takes time becomes a task.

    Args:
        home: The disk.
        clock: Both clocks.
        neighbours: The node's connections.
        pointers: Remembers old keys.
        tell: Told what happens.
        spawn: Runs something as a task of the node.
        heard: Told what comes on a topic.
        rekeyed: Moves the node to another epoch.
    """

    def __init__(
        self,
        home: ClusterHome,
        *,
        clock: Clock,
        neighbours: Neighbours,
        pointers: Pointers,
        tell: Callable[[NodeEvent], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        heard: Callable[[str, bytes], None],
        rekeyed: Callable[[Sequence[Statement], EpochSecret], Awaitable[PeerId]],
    ) -> None:
        self._home = home
        self._clock = clock
        self._neighbours = neighbours
        self._pointers = pointers
        self._tell = tell
        self._spawn = spawn
        self._heard = heard
        self._rekeyed = rekeyed
        self._pubsub: NodePubSub | None = None
        self._topics: tuple[str, ...] = ()
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._performers: dict[type, Callable[[Any, Connection | None], None]] = {
            ev.Save: lambda effect, _: home.store.append(effect.cluster, effect.statements),
            ev.SaveTrust: lambda *_: home.store.save_trust(home.book.trust),
            ev.SaveOrders: lambda effect, _: home.store.save_orders(dict(effect.latest), effect.pending),
            ev.Renamed: self._on_renamed,
            ev.Cut: self._on_cut,
            ev.Recognised: lambda effect, _: tell(MemberRecognised(effect.member.key, effect.member.text)),
            ev.Chained: lambda effect, _: tell(ChainGrew(effect.cluster.hex(), len(effect.added))),
            ev.Follow: lambda effect, _: self._follow(effect.topics),
            ev.Announce: self._on_announce,
            ev.Ordered: self._on_ordered,
            ev.Handed: self._on_handed,
            ev.OwnKeyOut: self._on_own_key_out,
        }

    def perform(self, effect: ev.Effect, connection: Connection | None) -> None:
        """Do it. What the machine only tells of is passed over."""
        if (performer := self._performers.get(type(effect))) is not None:
            performer(effect, connection)

    def listen(self, pubsub: NodePubSub | None) -> None:
        """Topics can be had from now on."""
        self._pubsub = pubsub
        self._follow(self._topics)

    # --- each effect ---

    def _on_renamed(self, effect: ev.Renamed, connection: Connection | None) -> None:
        self._pointers.remember(effect.old, effect.new)
        if connection is not None:
            self._neighbours.rename(connection, effect.new)

    def _on_cut(self, effect: ev.Cut, connection: Connection | None) -> None:
        if connection is not None:
            _log.info("a session is cut", peer=connection.peer_id.short, reason=effect.why)
            self._tell(SessionCut(connection.peer_id, effect.why))

    def _on_announce(self, effect: ev.Announce, _connection: Connection | None) -> None:
        if self._pubsub is not None:
            self._spawn(self._announce(self._pubsub, effect.topic, effect.data), "news")

    def _on_ordered(self, effect: ev.Ordered, _connection: Connection | None) -> None:
        self._spawn(self._obey(effect.order), "order")

    def _on_handed(self, effect: ev.Handed, _connection: Connection | None) -> None:
        self._spawn(self._take_over(effect.data, effect.sender), "parcel")

    def _on_own_key_out(self, effect: ev.OwnKeyOut, _connection: Connection | None) -> None:
        _log.error("the key of this node is out of use: kontinuum cluster show", reason=effect.reason)
        self._tell(OwnKeyOut(effect.reason))

    def _follow(self, topics: Sequence[str]) -> None:
        """Listen to these topics, and no others."""
        self._topics = tuple(topics)
        if self._pubsub is None:
            return
        for topic in [each for each in self._listening if each not in topics]:
            self._listening.pop(topic).cancel()
        for topic in topics:
            if topic not in self._listening:
                self._listening[topic] = self._spawn(self._listen(self._pubsub, topic), "topic")

    async def _listen(self, pubsub: NodePubSub, topic: str) -> None:
        async with pubsub.subscribe(topic, own=False) as messages:
            async for message in messages:
                self._heard(topic, message.data)

    async def _announce(self, pubsub: NodePubSub, topic: str, data: bytes) -> None:
        with contextlib.suppress(KontinuumError):
            await pubsub.publish(topic, data)

    async def _obey(self, order: Order) -> None:
        """Rekey because a parent says so, if the branch's secret can be opened without asking anybody."""
        try:
            rekeyed = self._home.rekey(self._clock.utc())
            await self._rekeyed([rekeyed.statement], rekeyed.secret)
        except KontinuumError as error:
            _log.warning(
                "a parent orders this node to rekey; do it with: kontinuum cluster rekey", reason=str(error)
            )
            self._tell(RekeyOrdered(order.leave))

    async def _take_over(self, data: bytes, sender: Member) -> None:
        """A parent handed us keys: those of our place under a new root."""
        try:
            self._home.take_over(data)
        except KontinuumError as error:
            _log.warning("what was handed to this node is of no use", sender=sender.text, reason=str(error))
            return
        _log.info("this node has keys under another root, and starts again with them", sender=sender.text)
        self._tell(RootReplaced())
