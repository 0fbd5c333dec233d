"""The DHT on real sockets: finding peers and records, dead seeds, restarts, hostile bytes."""

import asyncio
import contextlib
import itertools

import pytest

from helpers.dht_nodes import dht_node, found, network, settled
from helpers.nodes import NodeProcess, eventually, leftovers, quiet_node
from kontinuum import KeyPair
from kontinuum.base.entropy import Rng
from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.dht.events import State
from kontinuum.dht.records import SignedRecord, blake3_key, contact_key, sha256_key
from kontinuum.dht.service import PROTOCOL
from kontinuum.identity import Contact
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType, encode_prefixed
from kontinuum.node.data_dir import DataDir
from kontinuum.node.errors import (
    DhtOffError,
    NoAddressError,
    NotFoundError,
    NotStoredError,
    RecordRefusedError,
)
from kontinuum.rpc.errors import RemoteError, UnknownProtocolError

pytestmark = pytest.mark.slow

PING = "kontinuum/ping/1"


async def test_every_node_finds_every_other_one_by_its_key():
    """
    Eight nodes know one address; each finds the newest contact of each, through the DHT alone.
    """
    async with network(8) as nodes:
        for asker, wanted in itertools.permutations(nodes, 2):
            assert await asker.resolve(wanted.peer_id) == wanted.contact
        assert await nodes[0].resolve(nodes[0].peer_id) == nodes[0].contact


async def test_a_call_finds_its_peer_by_itself():
    """
    An identity is enough for connect, call, ping and streams: the DHT says where the peer is.
    """
    async with network(4) as nodes, dht_node(nodes[0].contact, dht="client") as wanted:
        await settled([*nodes, wanted])
        for asker in nodes:
            await asker.disconnect(wanted.peer_id)
            asker._neighbours.store.forget(wanted.peer_id)
        assert await nodes[2].call(wanted.peer_id, PING, b"hello") == b"hello"
        assert (await nodes[3].connect(str(wanted.peer_id))).connected
        assert await nodes[1].ping(wanted.peer_id.libp2p) > 0
        stranger = KeyPair.from_seed(b"s" * 32).peer_id
        with pytest.raises(NoAddressError):
            await nodes[2].call(stranger, PING)


async def test_calls_for_one_unknown_peer_share_a_search():
    """
    A hundred calls to a peer whose address nobody here knows cost one search.
    """
    # Nobody dials a client for the DHT's sake, so that nobody is connected to it by chance.
    async with network(5) as nodes, dht_node(nodes[0].contact, dht="client") as wanted:
        await settled([*nodes, wanted])
        asker = nodes[1]
        await asker.disconnect(wanted.peer_id)
        asker._neighbours.store.forget(wanted.peer_id)
        replies = await asyncio.gather(*(asker.call(wanted.peer_id, PING, b"x") for _ in range(100)))
        assert replies == [b"x"] * 100
        assert asker.dht.service.latencies["Get"].count == 1


async def test_a_peer_that_has_moved_is_found_again():
    """
    A saved address leads nowhere any more: the call asks the DHT for a newer contact and succeeds.
    """
    key_pair = KeyPair.from_seed(b"m" * 32)
    async with network(4, dial_timeout_s=1.0) as nodes:
        async with dht_node(nodes[0].contact, key_pair=key_pair) as moving:
            old = moving.contact
        async with dht_node(nodes[0].contact, key_pair=key_pair, dht="client") as moving:
            await settled([*nodes, moving])
            assert moving.addresses != old.addresses
            await nodes[2].disconnect(key_pair.peer_id)
            nodes[2]._neighbours.store.forget(key_pair.peer_id)
            nodes[2].add_contact(old)
            assert await nodes[2].call(key_pair.peer_id, PING, b"there?") == b"there?"


async def test_records_are_stored_and_fetched():
    """
    Content by either hash, what a peer says under a name, and who provides something.
    """
    async with network(6) as nodes:
        stored = await nodes[1].put(sha256_key(b"some content"), b"some content")
        assert len(stored.holders) == 5
        assert await nodes[4].get(sha256_key(b"some content")) == b"some content"
        key = await nodes[2].dht.put_content(b"other content")
        assert key == blake3_key(b"other content")
        assert await nodes[5].get(key) == b"other content"

        await nodes[1].dht.put_signed("motd", b"first")
        await nodes[1].dht.put_signed("motd", b"second")
        said = await nodes[3].dht.get_signed(nodes[1].peer_id, "motd")
        assert isinstance(said, SignedRecord)
        assert said.value == b"second"

        assert await nodes[3].find_providers(key) == []
        for node in nodes[1:3]:
            await node.provide(key)
        providers = await nodes[3].find_providers(key)
        assert {contact.peer_id for contact in providers} == {node.peer_id for node in nodes[1:3]}
        assert (await nodes[3].publish_contact()).holders


async def test_the_closest_peers_are_found():
    """
    All peers of a small network, the closest first; the target itself is the closest of all.
    """
    async with network(6) as nodes:
        found = await nodes[0].find_peers(nodes[3].peer_id)
        assert found[0] == nodes[3].contact
        assert {contact.peer_id for contact in found} == {node.peer_id for node in nodes[1:]}
        assert len(await nodes[0].find_peers(b"/any/key", count=2)) == 2


async def test_a_search_can_be_watched():
    """
    A trace tells each request: who, named by whom, on which path, how fast.
    """
    async with network(5) as nodes:
        steps = []
        resolved = await nodes[1].dht.resolve(nodes[2].peer_id, on_step=steps.append)
        assert resolved.found.answers
        assert {step.peer.peer_id for step in steps} <= {node.peer_id for node in nodes}
        assert all(step.hop == 1 and step.via is None and 0 < step.rtt_s < 5 for step in steps)


async def test_wrong_records_never_leave():
    """
    A value that does not belong to its key, is too long, or has no namespace is the caller's mistake.
    """
    async with network(3) as nodes:
        for key, value in (
            (blake3_key(b"one"), b"another"),
            (blake3_key(bytes(65_537)), bytes(65_537)),
            (b"/nonsense/x", b"x"),
            (contact_key(nodes[0].peer_id), nodes[1].contact.encode()),
        ):
            with pytest.raises(RecordRefusedError):
                await nodes[1].put(key, value)
        with pytest.raises(NotFoundError, match="/blake3/"):
            await nodes[1].get(blake3_key(b"nobody has this"))


async def test_without_a_dht_there_is_none():
    """
    ``dht = "off"``: the methods say so, nobody is asked, and peers get told that it is not there.
    """
    async with network(2) as nodes, quiet_node() as other:
        with pytest.raises(DhtOffError):
            await other.resolve(nodes[0].peer_id)
        with pytest.raises(UnknownProtocolError):
            await nodes[0].call(other.contact, PROTOCOL, b"")
    with pytest.raises(MisuseError):
        await nodes[0].get(b"/blake3/" + bytes(32))


async def test_a_client_only_asks():
    """
    A client finds others and is found, but is in nobody's table and holds nothing.
    """
    async with network(4) as nodes, dht_node(nodes[0].contact, dht="client") as client:
        await settled([*nodes, client])
        assert await client.resolve(nodes[2].peer_id) == nodes[2].contact
        key = await client.dht.put_content(b"of a client")
        assert await nodes[1].get(key) == b"of a client"
        assert await nodes[2].resolve(client.peer_id) == client.contact
        assert all(client.peer_id not in node.dht.machine.table for node in nodes)
        with pytest.raises(UnknownProtocolError):
            await nodes[0].call(client.contact, PROTOCOL, b"")


# --- the way in ---------------------------------------------------------------------------------------------


async def test_an_empty_network_is_a_state_and_no_error():
    """
    A first node is alone, and says so; it has joined as soon as somebody comes.
    """
    async with dht_node() as first:
        assert first.dht.state is State.ALONE
        assert first.dht.trouble == ""
        with pytest.raises(NotFoundError, match="knows no other peer"):
            await first.get(blake3_key(b"x"))
        with pytest.raises(NotStoredError, match="knows no other peer"):
            await first.dht.put_content(b"x")
        async with dht_node(first.contact) as second:
            await eventually(lambda: first.dht.state is second.dht.state is State.JOINED)
            async with asyncio.timeout(10):
                await found(second, first)  # Published once it has joined, not before.
            assert await second.resolve(first.peer_id) == first.contact


async def test_a_dead_seed_is_an_error_until_it_lives():
    """
    Nobody who was named answers: the state, the health page and every operation say so; it is tried again.
    """
    pair = KeyPair.from_seed(b"d" * 32)
    async with dht_node(key_pair=pair) as seed:
        contact, port = seed.contact, seed.endpoint.local_address[1]
    async with dht_node(contact, dial_timeout_s=0.5) as node:
        await eventually(lambda: node.dht.state is State.UNREACHABLE, within_s=10)
        assert node.dht.seeds == {"named": 1, "dead": 1}
        assert "answers" in node.dht.trouble
        with pytest.raises(NotFoundError, match="none of the bootstrap"):
            await node.resolve(pair.peer_id)
        async with dht_node(key_pair=pair, listen=f"127.0.0.1:{port}"):
            await eventually(lambda: node.dht.state is State.JOINED, within_s=20)
            assert node.dht.seeds == {"named": 1, "dead": 0}
            assert node.dht.trouble == ""


async def test_one_living_seed_is_enough():
    """
    A dead seed beside a living one is told, and holds nobody up.
    """
    async with dht_node() as dead:
        contact = dead.contact
    async with network(3) as nodes, dht_node(contact, nodes[0].contact) as node:
        await eventually(lambda: node.dht.state is State.JOINED)
        assert await node.resolve(nodes[2].peer_id) == nodes[2].contact
        await eventually(lambda: node.dht.seeds == {"named": 2, "dead": 1}, within_s=10)


async def test_all_seeds_dead_but_a_saved_peer_lives(tmp_path):
    """
    The routing table of the last run is the way in, although every seed is dead and no other peer is saved.
    """
    directory = _directory(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        seed = await stack.enter_async_context(dht_node())
        others = [await stack.enter_async_context(dht_node(seed.contact)) for _ in range(3)]
        dead = seed.contact
        async with dht_node(dead, data_dir=directory) as node:
            await settled([seed, *others, node])
            assert len(node.dht.machine.table) == 4
        await seed.close()
        (directory / "peers.cbor").unlink()
        async with dht_node(dead, data_dir=directory) as node:
            await eventually(lambda: node.dht.state is State.JOINED, within_s=10)
            assert await node.resolve(others[2].peer_id) == others[2].contact


async def test_a_restart_keeps_records(tmp_path):
    """
    What a node holds for others is there after a restart, though nobody else is; a broken file costs it only
    that.
    """
    directory = _directory(tmp_path)
    async with dht_node(data_dir=directory) as holder, dht_node(holder.contact) as owner:
        await settled([holder, owner])
        key = await owner.dht.put_content(b"kept")
    async with dht_node(data_dir=directory) as holder:
        await eventually(lambda: key in list(holder.dht.machine.records.keys()))
        async with dht_node(holder.contact) as reader:
            assert await reader.get(key) == b"kept"
    assert (directory / "dht.sqlite").stat().st_mode & 0o777 == 0o600
    (directory / "dht.sqlite").write_bytes(b"this is no database" * 1000)
    async with dht_node(data_dir=directory) as holder, dht_node(holder.contact) as reader:
        await settled([holder, reader])
        assert len(list(holder.dht.machine.records.keys())) <= 2


async def test_what_was_published_while_alone_is_published_when_somebody_comes():
    """
    A put in an empty network fails, and is made good as soon as there is a network.
    """
    async with dht_node() as first:
        with pytest.raises(NotStoredError):
            await first.dht.put_content(b"early")
        async with dht_node(first.contact) as second:
            key = blake3_key(b"early")
            await eventually(lambda: key in list(second.dht.machine.records.keys()))


# --- hostile ------------------------------------------------------------------------------------------------


async def test_hostile_bytes_change_nothing():
    """
    Whatever a stranger sends under the protocol's name is answered with an error or a refusal.
    """
    chance = Rng(1)
    async with network(3) as nodes, quiet_node() as stranger:
        target = nodes[1]
        await stranger.connect(target.contact)
        forged = Contact.decode(nodes[2].contact.encode())
        whole = encode_prefixed(KadMessage(MessageType.FIND_NODE, key=bytes(32), sender=forged.encode()))
        records = list(target.dht.machine.records.keys())
        peers = [peer.peer_id for peer in target.dht.machine.table]
        garbage = [b"", b"\xff" * 100, bytes(1000), whole[:-1], whole + b"x", b"\x80" * 11, whole[1:]]
        garbage += [bytes(chance.below(256) for _ in range(chance.below(200))) for _ in range(200)]
        for data in garbage:
            with contextlib.suppress(RemoteError):
                await stranger.call(target.contact, PROTOCOL, data)
        key = blake3_key(b"right")
        wrong = KadMessage(MessageType.PUT_VALUE, key=key, record=KadRecord(key, b"wrong"))
        await stranger.call(target.contact, PROTOCOL, encode_prefixed(wrong))
        # A valid request that carries somebody else's contact brings nobody into the table.
        await stranger.call(target.contact, PROTOCOL, whole)
        assert list(target.dht.machine.records.keys()) == records
        assert [peer.peer_id for peer in target.dht.machine.table] == peers
        assert stranger.peer_id not in target.dht.machine.table
        assert target.dht.service.counts["malformed"] > 100
        assert await target.resolve(nodes[2].peer_id) == nodes[2].contact


# --- ends ---------------------------------------------------------------------------------------------------


async def test_a_cancelled_search_ends():
    """
    Nobody waits for it any more, so nobody is asked any more.
    """
    async with network(4) as nodes:
        node = nodes[1]
        task = asyncio.create_task(node.get(blake3_key(b"nowhere")))
        await asyncio.sleep(0)
        assert node.dht.machine.figures().operations >= 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: node.dht.machine.figures().operations == 0)
        assert node.dht.service._operations == {}


async def test_closing_ends_searches_and_leaves_nothing():
    """
    A node that stops fails what is under way, at once, and no task stays behind.
    """
    before = asyncio.all_tasks()
    async with dht_node() as dead:
        contact = dead.contact
    node = dht_node(contact)
    async with node:
        task = asyncio.create_task(node.get(blake3_key(b"nowhere"), timeout=60))
        await asyncio.sleep(0.1)
    with pytest.raises((UnavailableError, MisuseError)):
        await asyncio.wait_for(task, 2)
    await asyncio.sleep(0.05)
    assert leftovers(before) == set()


# --- many processes -----------------------------------------------------------------------------------------


async def test_half_of_twenty_processes_are_killed_and_every_record_is_found():
    """
    kill -9 of ten of twenty nodes: a newcomer finds every record and every survivor within a minute.
    """
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(NodeProcess(dht="server"))
        processes = [NodeProcess(dht="server", bootstrap=[first.contact]) for _ in range(19)]
        await asyncio.gather(*(stack.enter_async_context(process) for process in processes))
        owner = dht_node(Contact.from_text(first.contact))
        async with owner:
            await settled([owner])
            await eventually(lambda: len(owner.dht.machine.table) >= 20, within_s=30)
            contents = [f"content {number}".encode() for number in range(30)]
            for content in contents:
                await owner.dht.put_content(content)
        victims = processes[:10]
        await asyncio.gather(*(process.kill() for process in victims))
        async with asyncio.timeout(60), dht_node(Contact.from_text(first.contact)) as newcomer:
            await settled([newcomer])
            for content in contents:
                assert await newcomer.get(blake3_key(content)) == content
            for survivor in processes[10:]:
                wanted = Contact.from_text(survivor.contact)
                assert (await newcomer.resolve(wanted.peer_id)).addresses == wanted.addresses


def _directory(tmp_path):
    with DataDir.open(tmp_path / "node", create=True) as made:
        made.create_key()
    return tmp_path / "node"
