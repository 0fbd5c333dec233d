"""What can be asked of a node about its vault: its methods of the control socket.

Bounds:   PEERS_MAX of one request.
Trust:    requests come from the node's owner; whom copies go to and come from, the cluster decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import KontinuumError
from kontinuum.node import control_params as given
from kontinuum.node.control import error_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.node.control import Emit, Handler
    from kontinuum.node.node import Node

PEERS_MAX = 256
"""Nodes that one request syncs with. Our choice: as many as a place has children. More is refused."""


class VaultOperations:
    """The control methods of one node that begin with ``vault.``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name."""
        return {"vault.sync": self.sync}

    async def sync(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Make the vaults of this node and of others alike. ``{"peers": [...], "push": true}``.

        Without ``peers`` with every node of the cluster that is connected. One event for each node that is
        done; a node that fails does not hinder the others.
        """
        given.only(params, "peers", "push")
        clusters = self._node.clusters
        peers: list[Any] = [member.key for member in clusters.connected_fellows()]
        if "peers" in params:
            peers = given.texts(params, "peers")
        if len(peers) > PEERS_MAX:
            raise given.OperationError("misuse.bad_params", f"one request syncs with {PEERS_MAX} at most")
        synced = []
        for peer in peers:
            name = clusters.name_of(peer) if not isinstance(peer, str) else peer
            synced.append(await self._one(peer, name, push=params.get("push", True) is True))
            await emit(synced[-1])
        return {"synced": synced}

    async def _one(self, peer: Any, name: str, *, push: bool) -> dict[str, Any]:
        try:
            done = await self._node.clusters.vault_sync.sync(peer, push=push)
        except KontinuumError as error:
            return {"peer": name, "ok": False, "code": error_code(error), "message": str(error)}
        return {
            "peer": name,
            "ok": True,
            "pulled": len(done.pulled.objects),
            "pulled_bytes": done.pulled.size_bytes,
            "missed": len(done.pulled.missed),
            "pushed_bytes": done.pushed_bytes,
        }
