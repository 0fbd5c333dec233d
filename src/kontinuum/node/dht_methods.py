"""The methods of a node that find peers and keep records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.dht.events import Stored
    from kontinuum.identity import Contact, PeerId
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.neighbours import PeerLike


class DhtMethods(ABC):
    """What a node does through the DHT, with less to say than ``node.dht``. A part of ``Node``."""

    @property
    @abstractmethod
    def dht(self) -> NodeDht:
        """The DHT of this node: all that the methods below do, with how it went, and more.

        Raises:
            MisuseError: The node does not run.
            DhtOffError: The setting ``dht`` is off.
        """

    @abstractmethod
    def _identify(self, peer: PeerLike) -> PeerId:
        """Who ``peer`` is, of a node that runs."""

    async def put(self, key: bytes, value: bytes, *, timeout: float | None = None) -> Stored:  # noqa: ASYNC109
        """Store a record with the peers closest to its key; see :meth:`NodeDht.put`."""
        return await self.dht.put(key, value, timeout_s=timeout)

    async def get(self, key: bytes, *, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """The newest valid record of ``key``; see :meth:`NodeDht.get`."""
        return await self.dht.get(key, timeout_s=timeout)

    async def provide(self, key: bytes, *, timeout: float | None = None) -> Stored:  # noqa: ASYNC109
        """Say that this node has what ``key`` names; see :meth:`NodeDht.provide`."""
        return await self.dht.provide(key, timeout_s=timeout)

    async def find_providers(self, key: bytes, *, timeout: float | None = None) -> list[Contact]:  # noqa: ASYNC109
        """Peers that have what ``key`` names; see :meth:`NodeDht.find_providers`."""
        return [peer.contact for peer in (await self.dht.find_providers(key, timeout_s=timeout)).peers]

    async def publish_contact(self, *, timeout: float | None = None) -> Stored:  # noqa: ASYNC109
        """Store our contact now, which also happens by itself; see :meth:`NodeDht.publish_contact`."""
        return await self.dht.publish_contact(timeout_s=timeout)

    async def resolve(self, peer: PeerLike, *, timeout: float | None = None) -> Contact:  # noqa: ASYNC109
        """Ask the network where ``peer`` is, whatever is known here; see :meth:`NodeDht.resolve`."""
        return (await self.dht.resolve(self._identify(peer), timeout_s=timeout)).contact

    async def find_peers(
        self,
        target: PeerId | bytes,
        *,
        count: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[Contact]:
        """The living peers closest to a peer or to a record's key; see :meth:`NodeDht.find_peers`."""
        return [
            peer.contact for peer in (await self.dht.find_peers(target, count=count, timeout_s=timeout)).peers
        ]
