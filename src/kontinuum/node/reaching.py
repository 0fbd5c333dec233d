"""How a node comes to a connection: whom a caller means, where that is, and by which protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.node.errors import ForeignPeerError, NoAddressError
from kontinuum.node.optional_rooms import OptionalRooms
from kontinuum.transport.errors import ConnectError, WrongPeerError

if TYPE_CHECKING:
    from kontinuum.identity import PeerId
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.neighbours import Neighbours, PeerInfo, PeerLike
    from kontinuum.node.pointers import Pointers
    from kontinuum.transport import Connection


class Reaching(OptionalRooms):
    """Names to keys, keys to connections. A part of ``Node``."""

    _neighbours: Neighbours
    _pointers: Pointers

    def _identify(self, peer: PeerLike) -> PeerId:
        self._require_running()
        if self._clusters is not None:
            return self._clusters.identify(peer)
        return self._pointers.current(self._neighbours.identify(peer))

    async def _connection(self, peer: PeerLike) -> Connection:
        return await self._reach(self._identify(peer), patient=True)

    async def _reach(self, peer_id: PeerId, *, patient: bool) -> Connection:
        """The connection with a peer; the DHT says where it is when we do not know, or no longer."""
        if self._is_foreign(peer_id):
            raise ForeignPeerError(peer_id)
        try:
            return await self._find(peer_id, patient=patient)
        except (NoAddressError, ConnectError, WrongPeerError):
            if (connection := await self._pointers.follow(peer_id)) is None:
                raise
            return connection

    async def _find(self, peer_id: PeerId, *, patient: bool = False) -> Connection:
        """The connection with a peer that has this very key."""
        try:
            return await self._neighbours.connection(peer_id, patient=patient)
        except (NoAddressError, ConnectError, WrongPeerError):
            if self._dht is None or not await self._dht.locate(peer_id):
                raise
        return await self._neighbours.connection(peer_id, patient=patient)

    async def _meet(self, peer_id: PeerId) -> None:
        """Connect to a peer of a topic, by whichever protocol it can be reached."""
        if self._libp2p is None or not await self._libp2p.meet(peer_id):
            await self._reach(peer_id, patient=True)

    def _only_libp2p(self, peer_id: PeerId) -> NodeLibp2p | None:
        """Our libp2p side, if that is how the peer is connected."""
        return self._libp2p if self._libp2p is not None and self._libp2p.serves(peer_id) else None

    def _is_foreign(self, peer_id: PeerId) -> bool:
        """The peer is connected by libp2p, and nothing says that it speaks our own protocol."""
        return self._only_libp2p(peer_id) is not None and self._neighbours.store.get(peer_id) is None

    def _info(self, peer_id: PeerId) -> PeerInfo:
        libp2p = self._only_libp2p(peer_id)
        return self._neighbours.info(peer_id) if libp2p is None else libp2p.info(peer_id)
