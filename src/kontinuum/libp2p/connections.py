"""Which libp2p connections there are with each peer, and which one is used.

Two peers that dial each other at the same moment have two connections, and both work: unlike our own nodes,
others have no rule which of them goes. So both stay, and new streams are opened on the older one.

Source:   go-libp2p 0.51, p2p/net/swarm: it keeps both as well.
Bounds:   PER_PEER_MAX connections with one peer.
Pure:     no I/O, clock or randomness.
"""

from typing import Generic, Protocol, TypeVar

from kontinuum.identity import PeerId

PER_PEER_MAX = 8
"""Connections with one peer. Our choice, as go-libp2p's resource manager; a further one is closed."""


class Link(Protocol):
    """What is needed of a connection."""

    @property
    def peer_id(self) -> PeerId:
        """The peer."""


L = TypeVar("L", bound=Link)


class Connections(Generic[L]):
    """The libp2p connections of a node, by peer, the oldest first."""

    def __init__(self) -> None:
        self._all: dict[PeerId, list[L]] = {}

    def __len__(self) -> int:
        """Peers, not connections."""
        return len(self._all)

    def peers(self) -> list[PeerId]:
        """Who is connected."""
        return list(self._all)

    def of(self, peer_id: PeerId) -> list[L]:
        """All connections with a peer, the oldest first."""
        return list(self._all.get(peer_id, ()))

    def current(self, peer_id: PeerId) -> L | None:
        """The one to open streams on."""
        links = self._all.get(peer_id)
        return links[0] if links else None

    def add(self, link: L) -> bool:
        """A connection was made. Returns whether there is room for it."""
        links = self._all.setdefault(link.peer_id, [])
        if len(links) >= PER_PEER_MAX:
            return False
        links.append(link)
        return True

    def remove(self, link: L) -> bool:
        """A connection is over. Returns whether it was the last one with its peer."""
        links = self._all.get(link.peer_id)
        if links is None or link not in links:
            return False
        links.remove(link)
        if links:
            return False
        del self._all[link.peer_id]
        return True
