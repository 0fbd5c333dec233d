"""
Nodes of clusters, for real: names that outlive keys, sessions that go over or are cut, trust that spreads.
"""

import asyncio

import pytest

from helpers.clusters import Household, household, now
from helpers.nodes import eventually, happens, quiet_node, seconds
from kontinuum import Node
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import KontinuumError
from kontinuum.clusters import acts
from kontinuum.clusters.handover import open_handover, seal_handover
from kontinuum.clusters.store import ClusterStore, Keys
from kontinuum.keys.bodies import Reason, Scope
from kontinuum.keys.envelope import Kind
from kontinuum.keys.errors import StaleOrderError
from kontinuum.keys.keystore import Unprotected
from kontinuum.keys.orders import Order
from kontinuum.node.cluster_events import SessionCut
from kontinuum.node.data_dir import DataDir
from kontinuum.node.errors import ClusterOffError, KeyOutOfUseError
from kontinuum.node.events import PeerRenamed
from kontinuum.node.pointers import LINEAGE
from kontinuum.node.vault import NodeVault
from kontinuum.node.vault_sync import VaultSync
from kontinuum.vault.errors import SyncRefusedError


def directory(path):
    """A new data directory with a key of its own."""
    with DataDir.open(path, create=True) as made:
        made.create_key()
    return path


def answers(node: Node, text: bytes) -> None:
    """Let a node answer calls of ``who`` with its own text."""
    node.handler("test/who")(lambda _peer, _data: text)


async def test_nodes_of_a_cluster_find_each_other_and_are_called_by_name(tmp_path):
    """
    By place, by label and by key; a name that nobody has is told so, and a stranger has no cluster.
    """
    async with household(tmp_path, "server", "laptop", "phone") as (_home, (server, laptop, phone)):
        answers(phone, b"phone")

        assert await server.call("/2", "test/who") == b"phone"
        assert await laptop.call("home:phone", "test/who") == b"phone"
        assert await laptop.call(phone.peer_id, "test/who") == b"phone"
        member = server.clusters.who(phone.peer_id)
        assert member is not None
        assert (member.text, member.label, member.own) == ("/2", "phone", True)
        with pytest.raises(KontinuumError, match="/7"):
            await server.call("/7", "test/who")
        async with quiet_node() as stranger:
            await stranger.connect(server.contact)
            assert server.clusters.who(stranger.peer_id) is None
            with pytest.raises(ClusterOffError):
                stranger.clusters  # noqa: B018 -- it raises


async def test_a_rekey_keeps_sessions_names_and_old_keys(tmp_path):
    """
    A call in flight ends well, both sides keep the connection, and name and old key lead to the new one.
    """
    async with household(tmp_path, "server", "laptop") as (_home, (server, laptop)):
        answers(laptop, b"laptop")
        going, go = asyncio.Event(), asyncio.Event()

        @laptop.handler("test/slow")
        async def slow(_peer, _data):
            going.set()
            await go.wait()
            return b"done"

        old, connection = laptop.peer_id, server.connection(laptop.peer_id)
        call = asyncio.create_task(server.call("/1", "test/slow"))
        await going.wait()
        watcher = server.events()

        rekeyed = laptop.clusters.home.rekey(now())
        new = await laptop.clusters.rekeyed([rekeyed.statement], rekeyed.secret)

        renamed = await happens(watcher, PeerRenamed)
        assert (renamed.former, renamed.peer_id) == (old, new)
        assert laptop.peer_id == new != old
        assert server.connection(new) is connection
        go.set()
        assert await call == b"done"
        for name in ("/1", "home:laptop", old, new, str(old)):
            assert await server.call(name, "test/who") == b"laptop"
        assert server.clusters.who(old) is None


async def test_a_revoked_key_is_cut_off_and_its_later_words_are_refused(tmp_path):
    """
    Its sessions end at once, it gets no new one, its rekeying counts for nobody, and its name says why.
    """
    async with household(tmp_path, "server", "laptop", "phone") as (home, (server, laptop, phone)):
        stolen = phone.peer_id
        watchers = [server.events(), laptop.events()]
        revocation = home.pen.revoke(home.path("phone"), Scope.BRANCH, now(), reason=Reason.STOLEN)
        began = seconds()

        server.clusters.say(home.chain.cluster, [revocation])

        for watcher in watchers:
            assert (await happens(watcher, SessionCut)).peer_id == stolen
        assert seconds() - began < 2.0
        assert await eventually(lambda: not phone.peers() or not any(p.connected for p in phone.peers()))
        with pytest.raises(KontinuumError):
            await phone.call(server.contact, "test/who", timeout=1)
        rekeyed = phone.clusters.home.rekey(now())  # The thief has the branch as well.
        with pytest.raises(KeyOutOfUseError):
            await server.call(stolen, "test/who")
        server.clusters.say(home.chain.cluster, [rekeyed.statement])
        with pytest.raises(KontinuumError):
            await server.call(rekeyed.secret.signing().peer_id, "test/who", timeout=2)


async def test_an_order_is_obeyed_without_a_person_where_the_branch_needs_none(tmp_path):
    """
    The parent orders through another node; the child has a new key, and the order cannot be played again.
    """
    async with household(tmp_path, "server", "laptop") as (home, (server, laptop)):
        old = laptop.peer_id
        order = Order.issue(home.chain, home.root, home.path("laptop"), sequence=1, at=now())
        watcher = server.events()

        server.clusters.order(order)

        assert (await happens(watcher, PeerRenamed)).former == old
        new = laptop.peer_id
        assert new != old
        with pytest.raises(StaleOrderError):
            server.clusters.order(order)
        assert laptop.peer_id == new


async def test_clusters_that_trust_each_other_recognise_all_of_each_others_nodes(tmp_path):
    """
    Trust is said at one node of each side; every node of either side knows every node of the other.
    """
    async with (
        household(tmp_path / "a", "one", "two") as (ours, (one, two)),
        household(tmp_path / "b", "uno", "due") as (theirs, (uno, due)),
    ):
        answers(due, b"due")
        one.clusters.trust(theirs.chain.genesis, list(theirs.chain), "bob", "given")
        uno.clusters.trust(ours.chain.genesis, list(ours.chain), "alice", "given")
        await one.connect(uno.contact)
        await two.connect(due.contact)

        await eventually(lambda: two.clusters.who(due.peer_id) is not None)
        await eventually(lambda: due.clusters.who(two.peer_id) is not None)
        assert await two.call("bob:/1", "test/who") == b"due"
        assert await two.call("bob:due", "test/who") == b"due"
        rekeyed = due.clusters.home.rekey(now())
        watcher = two.events()
        await due.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
        await happens(watcher, PeerRenamed)
        assert await two.call("bob:/1", "test/who") == b"due"

        one.clusters.untrust("bob")
        await eventually(lambda: two.clusters.who(due.peer_id) is None)


async def test_what_was_said_is_there_after_a_restart(tmp_path):
    """
    The new epoch, the other nodes' statements and trust are read from the disk again.
    """
    async with household(tmp_path, "server", "laptop") as (home, (server, laptop)):
        rekeyed = laptop.clusters.home.rekey(now())
        new = await laptop.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
        other = Household(tmp_path / "other")
        laptop.clusters.trust(other.chain.genesis, [], "friend", "given")
        await eventually(lambda: server.clusters.book.trusted() != ())
        await eventually(lambda: server.clusters.who(new) is not None)
    for label in ("server", "laptop"):
        async with home.node(label) as again:
            assert [each.name for each in again.clusters.book.trusted()] == ["friend"]
            if label == "laptop":
                assert again.peer_id == new
            else:
                assert again.clusters.book.resolve("/1") == new


async def test_the_vault_opens_through_a_rekey_and_is_copied_among_the_nodes_only(tmp_path):
    """
    What was put before opens after; the other node has a copy, a stranger gets none.
    """
    async with household(tmp_path, "server", "laptop") as (_home, (server, laptop)):
        await laptop.vault.put(b"letter", name="letter")
        hybrid = NodeVault(laptop.vault.store.directory, laptop.clusters.home.keyring(post_quantum=True))
        await hybrid.put(b"secret", name="secret")
        rekeyed = laptop.clusters.home.rekey(now())
        await laptop.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
        assert await laptop.vault.get("letter") == b"letter"
        assert await laptop.vault.get("secret") == b"secret"
        await eventually(lambda: not laptop.clusters.resealing)
        described = await laptop.vault.describe("secret")
        assert [reader.reader_id.kind for reader in described.readers] == [Kind.HYBRID]
        keys = laptop.vault.keyring.keys[:2]
        assert described.readers[0].reader_id == keys[1].recipient.reader_id
        await eventually(lambda: server.clusters.who(laptop.peer_id) is not None)
        for _ in range(100):  # What is being sealed anew may be missed once.
            if (await server.clusters.vault_sync.sync("/1")).pulled.objects:
                break
            await asyncio.sleep(0.05)
        assert server.vault.store.objects()
        async with quiet_node(data_dir=directory(tmp_path / "stranger")) as stranger:
            with pytest.raises(SyncRefusedError):
                await VaultSync(stranger, lambda _peer: False).sync(laptop.contact)


async def test_a_recovered_node_opens_what_its_place_had_sealed_before(tmp_path):
    """
    New machine, new branch, same place: the copy that another node kept comes back and opens; the old machine
    is cut off.
    """
    async with household(tmp_path, "server", "laptop") as (home, (server, laptop)):
        await laptop.vault.put(b"letter", name="letter")
        await server.clusters.vault_sync.sync("/1")
        lost = laptop.peer_id
        made = acts.recover_node(home.chain, home.root, home.path("laptop"), now())
        given = open_handover(seal_handover(made.handover, Unprotected(), entropy=SystemEntropy()))
        keys = Keys(given.epoch, Unprotected(), given.branch, Unprotected(), given.former)
        DataDir.open(tmp_path / "again", create=True).close()
        store = ClusterStore(tmp_path / "again" / "cluster")
        store.begin(given.chain, given.branch.path, keys, entropy=SystemEntropy())
        watcher = server.events()
        server.clusters.say(home.chain.cluster, list(home.chain))
        assert (await happens(watcher, SessionCut)).peer_id == lost

        home.given["again"] = home.given["laptop"]
        async with home.node("again") as again:
            await again.connect(server.contact)
            await eventually(lambda: server.clusters.who(again.peer_id) is not None)
            await again.clusters.vault_sync.sync("/0")
            assert await again.vault.get("letter") == b"letter"
            assert server.clusters.book.resolve("/1") == again.peer_id


async def test_a_stranger_who_knew_the_old_key_follows_the_pointer_and_checks_it(tmp_path):
    """
    Through the DHT, without the chain: the old key leads to the new one; a pointer of a thief leads nowhere.
    """
    quiet = {"dht": "server"}
    async with household(tmp_path, "server", "laptop", **quiet) as (_home, (server, laptop)):
        answers(laptop, b"laptop")
        seed = server.contact.to_text()
        async with quiet_node(dht="server", bootstrap=(seed,)) as stranger:
            old = laptop.peer_id
            assert await stranger.call(laptop.contact, "test/who") == b"laptop"
            await stranger.disconnect(old)
            rekeyed = laptop.clusters.home.rekey(now())
            new = await laptop.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
            await laptop.clusters.leave_pointers()

            assert await stranger.call(old, "test/who", timeout=20) == b"laptop"
            assert stranger.connection(new) is not None
            assert await stranger.call(old, "test/who") == b"laptop"

            thief = quiet_node(dht="server", bootstrap=(seed,))
            async with thief:
                answers(thief, b"thief")
                shown = await stranger.call(new, LINEAGE, bytes(old))
                thief.handler(LINEAGE)(lambda _peer, _data: shown)
                await laptop.clusters.pointers.leave(laptop.clusters.home.epochs[1].signing(), thief.peer_id)
                async with quiet_node(dht="server", bootstrap=(seed,)) as newcomer:
                    await newcomer.connect(server.contact)
                    with pytest.raises(KontinuumError):
                        await newcomer.call(old, "test/who", timeout=10)
