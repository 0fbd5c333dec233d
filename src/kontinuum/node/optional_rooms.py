"""What a node may have, if its settings or directory say so: a cluster, a DHT, topics, libp2p, a vault."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kontinuum.node.errors import ClusterOffError, DhtOffError, Libp2pOffError, PubSubOffError

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.base.clock import Clock
    from kontinuum.identity import KeyPair, PeerId
    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.clusters import NodeClusters
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.libp2p import NodeLibp2p
    from kontinuum.node.pubsub import NodePubSub
    from kontinuum.node.vault import NodeVault


class OptionalRooms(ABC):
    """The rooms of a node that can be missing. A part of ``Node``."""

    clock: Clock
    _dht: NodeDht | None = None
    _libp2p: NodeLibp2p | None = None
    _pubsub: NodePubSub | None = None
    _vault: NodeVault | None = None
    _vault_home: tuple[Path, KeyPair | ClusterHome] | None = None
    _clusters: NodeClusters | None = None

    @abstractmethod
    def _require_running(self) -> None:
        """Raise a MisuseError unless the node runs."""

    @property
    def vault(self) -> NodeVault:
        """Sealed objects in this node's data directory.

        Raises:
            MisuseError: The node does not run.
            VaultOffError: It has no data directory.
        """
        self._require_running()
        if self._vault is None:
            from kontinuum.node.vault import open_vault  # Only nodes that keep something need its ciphers.

            self._vault = open_vault(self._vault_home, self.clock)
        return self._vault

    @property
    def clusters(self) -> NodeClusters:
        """The cluster of this node, and those that it trusts.

        Raises:
            MisuseError: The node does not run.
            ClusterOffError: It belongs to none.
        """
        self._require_running()
        if self._clusters is None:
            raise ClusterOffError
        return self._clusters

    def name_of(self, peer_id: PeerId) -> str | None:
        """What our cluster calls a peer (``/1``, ``bob:/2``); None for strangers, and for keys out of use."""
        member = None if self._clusters is None else self._clusters.who(peer_id)
        return None if member is None else member.text

    def standing(self) -> dict[str, Any]:
        """Where this node stands in its cluster, if it has one, for people and programs."""
        clusters = self._clusters
        return {
            "place": None if clusters is None else str(clusters.home.path.place),
            "key_in_use": clusters is None or clusters.is_fellow(clusters.home.signer.peer_id),
            "cut_off_by": [] if clusters is None else clusters.cut_off_by(),
        }

    @property
    def dht(self) -> NodeDht:
        """See :class:`DhtMethods`."""
        self._require_running()
        if self._dht is None:
            raise DhtOffError
        return self._dht

    @property
    def libp2p(self) -> NodeLibp2p:
        """The libp2p side of this node.

        Raises:
            MisuseError: The node does not run.
            Libp2pOffError: The setting ``libp2p`` is off.
        """
        self._require_running()
        if self._libp2p is None:
            raise Libp2pOffError
        return self._libp2p

    @property
    def pubsub(self) -> NodePubSub:
        """See :class:`PubSubMethods`."""
        self._require_running()
        if self._pubsub is None:
            raise PubSubOffError
        return self._pubsub
