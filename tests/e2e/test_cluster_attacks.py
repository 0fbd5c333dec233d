"""
Thieves and strangers against real nodes of clusters.
"""

import pytest

from helpers.clusters import Household, household, now
from helpers.nodes import eventually, quiet_node
from kontinuum.base.entropy import SystemEntropy
from kontinuum.clusters.handover import Handover, seal_handover
from kontinuum.clusters.lineage import verify_lineage
from kontinuum.keys.bodies import Scope
from kontinuum.keys.envelope import X25519Recipient
from kontinuum.node.pointers import LINEAGE
from kontinuum.rpc.errors import RemoteError


async def test_a_stranger_who_knows_a_nodes_key_of_now_does_not_learn_its_cluster(tmp_path):
    """
    The call for the proof of an old key answers old keys only.
    """
    async with household(tmp_path, "server") as (_home, (server,)), quiet_node() as stranger:
        await stranger.connect(server.contact)
        old = server.peer_id
        with pytest.raises(RemoteError, match="100: not a key of this node"):
            await stranger.call(old, LINEAGE, bytes(old))
        rekeyed = server.clusters.home.rekey(now())
        new = await server.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
        with pytest.raises(RemoteError, match="100: not a key of this node"):
            await stranger.call(server.contact, LINEAGE, bytes(new))
        verify_lineage(await stranger.call(server.contact, LINEAGE, bytes(old)), old, new)


async def test_a_thief_cannot_swallow_his_own_revocation(tmp_path):
    """
    He hands a node the statement in a parcel that will be refused, so that it is no news when it comes.
    """
    async with household(tmp_path / "a", "server", "thief") as (home, (server, thief)):
        evil = Household(tmp_path / "evil")
        evil.add("server")
        revocation = home.pen.revoke(home.path("thief"), Scope.PLACE, now())
        given = evil.given["server"]
        handover = Handover(evil.chain, given.branch, given.epoch, succession=(revocation,))
        to = X25519Recipient(server.clusters.home.epochs[0].encryption().public)
        parcel = seal_handover(handover, to, entropy=SystemEntropy())
        taken = []
        take_over = server.clusters.home.take_over
        server.clusters.home.take_over = lambda data: (taken.append(data), take_over(data))
        assert thief.clusters.parcel(home.path("server").place, parcel)
        await eventually(lambda: taken == [parcel])

        server.clusters.say(home.chain.cluster, [revocation])
        await eventually(lambda: thief.peer_id not in server._connected)
        assert server.clusters.who(thief.peer_id) is None
        assert server.clusters.service.counts["faults"] == 0
