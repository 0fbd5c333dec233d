"""What can be asked of a node about its cluster: its methods of the control socket.

The command line makes statements with keys that the node does not hold (the root, a branch); the node keeps
them and tells the others. Secrets do not pass here: the command line writes them into the data directory.

Bounds:   those of the control socket and of chains.
Trust:    requests come from the node's owner; statements are verified like anybody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.keys.bundles import decode_bundle
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.orders import Order
from kontinuum.keys.paths import Place
from kontinuum.node import control_params as given
from kontinuum.node.cluster_events import cluster_event_json
from kontinuum.node.cluster_json import trusted_json
from kontinuum.node.events import PeerRenamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.keys.chain import Chain
    from kontinuum.keys.statements import Statement
    from kontinuum.node.clusters import NodeClusters
    from kontinuum.node.control import Emit, Handler
    from kontinuum.node.node import Node

BUNDLES_MAX = 64
"""Bundles of one request. Our choice: a chain that is full has some 10. More is refused."""

HEX_CHARS = 64
"""Characters of a cluster's id."""


class ClusterOperations:
    """The control methods of one node that begin with ``cluster.``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name."""
        return {
            "cluster.show": self.show,
            "cluster.say": self.say,
            "cluster.rekeyed": self.rekeyed,
            "cluster.order": self.order,
            "cluster.parcel": self.parcel,
            "cluster.trust": self.trust,
            "cluster.untrust": self.untrust,
            "cluster.events": self.events,
        }

    @property
    def _clusters(self) -> NodeClusters:
        return self._node.clusters

    async def show(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Who this node is in its cluster, who else is there, whom it trusts, who is connected."""
        given.only(params)
        return self._clusters.describe()

    async def say(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Take statements in and tell the others. ``{"cluster": hex, "bundles": [base64, ...]}``."""
        given.only(params, "cluster", "bundles")
        chain = self._chain(params)
        added = self._clusters.say(chain.cluster, _statements(params))
        return {"added": added, "members": len(self._clusters.connected_fellows())}

    async def rekeyed(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Move to an epoch whose secret is in the data directory. ``{"bundles", "branch", "epoch"}``."""
        given.only(params, "bundles", "branch", "epoch")
        branch = int(given.number(params, "branch", 0, 2**16, 0))
        epoch = int(given.number(params, "epoch", 0, 2**16, 0))
        key = await self._clusters.move_to(_statements(params), branch, epoch)
        return {"key": str(key)}

    async def order(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Pass on an order to rekey. ``{"order": base64}``."""
        given.only(params, "order")
        order = Order.decode(given.base64_bytes(params, "order"))
        self._clusters.order(order)
        return {"target": str(order.target.place), "members": len(self._clusters.connected_fellows())}

    async def parcel(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Give a connected node of the cluster something sealed to it. ``{"place", "data": base64}``."""
        given.only(params, "place", "data")
        place = Place.parse(given.text(params, "place"))
        return {"sent": self._clusters.parcel(place, given.base64_bytes(params, "data"))}

    async def trust(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Trust another cluster. ``{"genesis": base64, "bundles": [base64], "name", "how": "given"}``."""
        given.only(params, "genesis", "bundles", "name", "how")
        genesis = Genesis.decode(given.base64_bytes(params, "genesis"))
        how = params.get("how", "given")
        if how not in {"given", "transition"}:
            raise given.OperationError("misuse.bad_params", "how is given or transition")
        trusted = self._clusters.trust(genesis, _statements(params), given.text(params, "name"), how)
        return trusted_json(trusted)

    async def untrust(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Trust a cluster no longer. ``{"name"}``."""
        given.only(params, "name")
        name = given.text(params, "name")
        entry = self._clusters.untrust(name)
        return {"name": name, "cluster": entry.cluster.hex()}

    async def events(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Tell what happens to keys and sessions, until the request is cancelled."""
        given.only(params)
        async with self._node.events() as watcher:
            await emit({"type": "watching"})
            async for event in watcher:
                if isinstance(event, PeerRenamed):
                    await emit({"type": "renamed", "old": str(event.former), "new": str(event.peer_id)})
                elif (told := cluster_event_json(event)) is not None:
                    await emit(told)
        return {}

    def _chain(self, params: dict[str, Any]) -> Chain:
        """The chain that a request is about; our own if it names none."""
        text = params.get("cluster") or ""
        book = self._clusters.book
        if not isinstance(text, str) or len(text) not in {0, HEX_CHARS}:
            raise given.OperationError("misuse.bad_params", f"cluster is an id of {HEX_CHARS} hex digits")
        for cluster in book.clusters():
            if not text or cluster.hex() == text:
                chain = book.chain(cluster)
                if chain is not None:
                    return chain
        raise given.OperationError("misuse.unknown_cluster", "neither our cluster nor one that we trust")


def _statements(params: dict[str, Any]) -> tuple[Statement, ...]:
    value = params.get("bundles", [])
    if not isinstance(value, list) or len(value) > BUNDLES_MAX:
        raise given.OperationError("misuse.bad_params", f"bundles is a list of {BUNDLES_MAX} at most")
    found: list[Statement] = []
    for item in value:
        found += decode_bundle(given.base64_bytes({"bundle": item}, "bundle"))
    return tuple(found)
