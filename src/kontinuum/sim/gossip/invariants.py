"""Rules that no router breaks, whatever happens to it.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.sim.errors import InvariantError

if TYPE_CHECKING:
    from kontinuum.gossip.params import GossipParams
    from kontinuum.sim.gossip.host import RouterHost


def check(host: RouterHost, params: GossipParams, now: float) -> None:
    """Look at one router.

    Raises:
        InvariantError: It broke a rule.
    """
    if host.router is None:
        return

    def broken(invariant: str, detail: str) -> InvariantError:
        return InvariantError(invariant, detail, node=host.index, at_s=now)

    seen = host.router.snapshot()
    by_peer = {peer.peer: peer for peer in seen.peers}
    for topic in seen.topics:
        if len(topic.mesh) > params.D_high + params.D_out + params.opportunistic_graft_peers:
            raise broken("a mesh is not above D_high for long", f"{len(topic.mesh)} peers")
        for peer in topic.mesh:
            if peer not in by_peer:
                raise broken("a mesh holds connected peers only", str(peer))
    for one in seen.peers:
        if one.queued_bytes > params.queue_bytes_max:
            raise broken("a queue keeps its bound", f"{one.queued_bytes} bytes")
