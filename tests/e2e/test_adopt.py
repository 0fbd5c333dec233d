"""A running node goes over to another identity: nothing that runs ends, and it is found under the new one.

The proof that both identities are one node's is the business of clusters; here a test gives it to both sides.
"""

import asyncio
import contextlib

import pytest

from helpers.dht_nodes import network, settled
from helpers.nodes import eventually, happens, pair, quiet_node
from helpers.pubsub_nodes import TOPIC, all_heard, full, link, listeners, nodes
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.identity import KeyPair
from kontinuum.identity.errors import WeakProofError, WrongNetworkError
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node import dht as node_dht
from kontinuum.node.events import PeerConnected, PeerRenamed
from kontinuum.node.proof import proof_of
from kontinuum.rpc.links import RETIRE_GRACE_S
from kontinuum.transport import ALPN_LIBP2P
from kontinuum.transport.errors import WrongPeerError


def fresh_key():
    """A key pair that nobody has seen."""
    return KeyPair.generate(SystemEntropy())


async def adopt(node, key_pair=None):
    """Let ``node`` go over to another key pair. Returns who it was."""
    former, key_pair = node.peer_id, key_pair or fresh_key()
    config = node.config
    proof = await proof_of(key_pair.peer_id, network_id(config.network), config.pow_bits, path=None)
    await node.adopt(key_pair, proof)
    return former


def prove(node, others, former):
    """As the protocol of clusters does it: connected peers learn on their connections who ``node`` is now."""
    for other in others:
        ours, theirs = node.connection(other.peer_id), other.connection(former)
        if ours is not None and theirs is not None:
            node._neighbours.proved(ours)
            other._neighbours.rename(theirs, node.peer_id)


def places_that_know(node, peer_id):
    """Where a node still keeps something under an identity."""
    neighbours, pubsub, dht = node._neighbours, node._pubsub, node._dht
    places = {
        "links": neighbours.links.current,
        "saved peers": {saved.contact.peer_id for saved in neighbours.store},
        "greetings": neighbours._introducer._greeted,
        "races": neighbours._connector._races,
        "handlers": node._rpc._handlers._per_peer,
    }
    if pubsub is not None:
        places |= {
            "router": pubsub.machine._parts.peers,
            "streams": pubsub.streams._links,
            "carriers": pubsub.service._peers,
            "scores": pubsub.scores._peers,
        }
    if dht is not None:
        places |= {"table": dht.machine.table, "pings": dht.machine._membership._pings}
    return [name for name, place in places.items() if peer_id in place]


class TestSessions:
    async def test_calls_and_streams_in_flight_end_as_if_nothing_had_happened(self):
        """
        In both directions, over the change and the renaming; then the peer calls the new identity on the same
        connection.
        """
        async with pair() as (a, b):
            release = {node: asyncio.Event() for node in (a, b)}
            for node in (a, b):

                @node.handler("slow")
                async def _slow(_peer, data, *, node=node):
                    await release[node].wait()
                    return data[::-1]

                @node.stream_handler("upload")
                async def _upload(stream):
                    total = 0
                    while chunk := await stream.read():
                        total += len(chunk)
                    await stream.write(b"%d" % total)

            connection = b.connection(a.peer_id)
            calls = [asyncio.create_task(a.call(b.peer_id, "slow", b"abc"))]
            calls += [asyncio.create_task(b.call(a.peer_id, "slow", b"abc"))]
            streams = [await a.open_stream(b.peer_id, "upload"), await b.open_stream(a.peer_id, "upload")]
            for stream in streams:
                await stream.write(b"x" * 300_000)
            await eventually(lambda: b._rpc.handlers_at_work >= 2)

            former = await adopt(a)
            assert (a.contact.peer_id, a.contact.sequence > 0) == (a.peer_id, True)
            for stream in streams:
                await stream.write(b"y" * 300_000)
            events = b.events()
            prove(a, [b], former)
            renamed = await happens(events, PeerRenamed)
            for stream in streams:
                await stream.write(b"z" * 300_000)
                await stream.finish()
            release[a].set()
            release[b].set()

            assert await asyncio.gather(*calls) == [b"cba", b"cba"]
            assert [await stream.read() for stream in streams] == [b"900000", b"900000"]
            assert renamed == PeerRenamed(former, a.peer_id)
            assert b.connection(a.peer_id) is connection
            assert b.connection(former) is None
            assert await b.call(a.peer_id, "slow", b"new") == b"wen"
            assert len(a.endpoint.connections) == len(b.endpoint.connections) == 1
            await eventually(lambda: not b._rpc.handlers_at_work)
            assert places_that_know(b, former) == []
            assert not b._rpc._handlers._per_peer

    async def test_the_peer_gets_the_contact_of_today_and_gives_up_the_old_one(self):
        """
        It introduces itself anew, so that it can dial the new identity when the connection is lost.
        """
        async with pair() as (a, b):
            await eventually(lambda: b._neighbours.store.get(a.peer_id) is not None)
            former = await adopt(a)
            prove(a, [b], former)
            await eventually(lambda: b._neighbours.store.get(a.peer_id) is not None)
            assert places_that_know(b, former) == []
            await b.disconnect(a.peer_id)
            await b.connect(a.peer_id)
            assert b.connection(a.peer_id).outbound

    async def test_who_dials_the_old_identity_meets_the_wrong_peer(self):
        """
        And the new one is dialled at the same address.
        """
        async with quiet_node() as a, quiet_node() as b:
            address = a.endpoint.local_address
            former = await adopt(a)
            with pytest.raises(WrongPeerError):
                await b.connect(former, address=address)
            await b.connect(a.peer_id, address=address)

    async def test_who_waits_for_either_name_is_served(self):
        """
        A race for the new identity at dead addresses ends with the renaming.
        """
        async with pair() as (a, b):
            key_pair = fresh_key()
            waiting = asyncio.create_task(b.connect(key_pair.peer_id, address=("127.0.0.1", 9)))
            await asyncio.sleep(0.05)
            former = await adopt(a, key_pair)
            prove(a, [b], former)
            async with asyncio.timeout(2):
                info = await waiting
            assert (info.peer_id, info.connected) == (a.peer_id, True)

    async def test_two_connections_of_a_pair_become_one_again(self):
        """
        The peer has dialled the new identity before it learns that the old one is the same.
        """
        async with pair() as (a, b):
            former = await adopt(a)
            events = b.events()
            await b.connect(a.contact)
            assert {former, a.peer_id} <= set(b._connected)
            assert (await happens(events, PeerConnected)).peer_id == a.peer_id
            for connection in list(a.endpoint.connections.values()):
                a._neighbours.proved(connection)
            b._neighbours.rename(b.connection(former), a.peer_id)
            assert former not in b._connected
            await eventually(
                lambda: len(a.endpoint.connections) == len(b.endpoint.connections) == 1, RETIRE_GRACE_S + 10
            )
            assert await b.ping(a.peer_id) < 1
            assert places_that_know(b, former) == []

    async def test_a_second_connection_under_the_old_name_is_not_renamed(self):
        """
        A thief of the old key has made one of its own: the owner's proof is on the owner's connection only.
        """
        old = fresh_key()
        async with quiet_node(old) as owner, quiet_node(old) as thief, quiet_node() as b:
            await link(owner, b)
            theirs = b.connection(owner.peer_id)
            await thief.connect(b.contact)
            await eventually(lambda: len(b.endpoint.connections) == 2)
            former = await adopt(owner)
            b._neighbours.rename(theirs, owner.peer_id)
            assert b.connection(owner.peer_id) is theirs
            assert b.connection(former) not in {None, theirs}
            assert (await b.ping(owner.peer_id)) < 1


class TestSafety:
    async def test_two_changes_one_after_the_other(self):
        """
        The last one counts, for new handshakes and for what is proved.
        """
        async with pair() as (a, b):
            first = await adopt(a)
            second = await adopt(a)
            assert len({first, second, a.peer_id}) == 3
            prove(a, [b], first)
            assert b.connection(a.peer_id) is not None
            async with quiet_node() as c:
                await c.connect(a.contact)
                assert await c.ping(a.peer_id) < 1

    async def test_the_same_identity_again_changes_nothing(self):
        """
        Not even the contact.
        """
        key_pair = fresh_key()
        async with quiet_node(key_pair) as node:
            contact = node.contact
            await adopt(node, key_pair)
            assert node.contact is contact

    async def test_a_change_while_dials_are_under_way(self):
        """
        They end well: under the identity that they began with, which the connection says.
        """
        async with contextlib.AsyncExitStack() as stack:
            a = await stack.enter_async_context(quiet_node())
            others = [await stack.enter_async_context(quiet_node()) for _ in range(8)]
            dials = [asyncio.create_task(a.connect(other.contact)) for other in others]
            dials += [asyncio.create_task(other.connect(a.contact)) for other in others]
            for _ in range(3):
                await asyncio.sleep(0)
            former = await adopt(a)
            await asyncio.gather(*dials, return_exceptions=True)
            assert {*others} == {other for other in others if a.connection(other.peer_id)}
            shown = {connection.local_id for connection in a.endpoint.connections.values()}
            assert shown <= {former, a.peer_id}
            for other in others:
                known_as = {former, a.peer_id} & set(other._connected)
                assert known_as
                assert await other.ping(known_as.pop()) < 1

    async def test_a_node_that_is_closed_or_closing_does_not_change(self):
        """
        It says so; nothing is left half done.
        """
        async with quiet_node() as node:
            peer_id = node.peer_id
            closing = asyncio.create_task(node.close())
            await asyncio.sleep(0)
            with pytest.raises(MisuseError):
                await adopt(node)
            await closing
            assert node.peer_id == peer_id
        with pytest.raises(MisuseError):
            await adopt(node)

    async def test_a_change_that_cannot_be_made_changes_nothing(self, tmp_path):
        """
        The file of secrets, which handshakes of the new identity would write, is gone with its directory.
        """
        directory = tmp_path / "keys"
        directory.mkdir()
        async with quiet_node(keylog_path=directory / "log") as node, quiet_node() as other:
            before = (node.peer_id, node.contact)
            (directory / "log").unlink()
            directory.rmdir()
            with pytest.raises(UnavailableError):
                await adopt(node)
            assert (node.peer_id, node.contact) == before
            await other.connect(node.contact)
            assert await other.ping(node.peer_id) < 1

    async def test_a_change_just_before_the_end(self):
        """
        What was to happen a moment later does not.
        """
        async with network(2) as made:
            await adopt(made[0])

    async def test_a_proof_that_does_not_fit_changes_nothing(self):
        """
        Somebody else's, another network's, or too little work.
        """
        async with quiet_node(pow_bits=16) as node:
            before, other = (node.peer_id, node.contact), fresh_key()
            network_bytes = network_id("local")
            for proof, error in (
                (ProofOfWork(network_bytes, fresh_key().peer_id, 1), MisuseError),
                (ProofOfWork(network_id("other"), other.peer_id, 1), WrongNetworkError),
                (ProofOfWork(network_bytes, other.peer_id, 1), WeakProofError),
            ):
                with pytest.raises(error):
                    await node.adopt(other, proof)
            assert (node.peer_id, node.contact) == before


class TestDht:
    async def test_a_third_node_finds_the_new_identity_and_calls_it(self):
        """
        Peers that were never shown a proof are dialled anew, where the DHT needs them; the old sessions end
        in peace. What was said under the old identity stays.
        """
        async with network(6) as made:
            a, asker = made[0], made[-1]
            a.handler("who")(lambda _peer, _data: b"me")
            said = await a.dht.put_signed("motto", b"before")
            provided = await a.dht.put_content(b"what we have")
            await a.dht.provide(provided)
            former = await adopt(a)
            assert a.dht.machine.parts.local == former
            await eventually(lambda: a.dht.machine.parts.local == a.peer_id, 3)
            await settled(made)
            assert await asker.call(a.peer_id, "who") == b"me"
            assert (await asker.dht.get_signed(former, "motto")).value == b"before"
            assert said
            await a.dht.put_signed("motto", b"after")
            assert (await asker.dht.get_signed(a.peer_id, "motto")).value == b"after"

            found = ()
            for _ in range(50):
                found = [peer.peer_id for peer in (await asker.dht.find_providers(provided)).peers]
                if a.peer_id in found:
                    break
                await asyncio.sleep(0.1)
            assert a.peer_id in found
            # A search leaves the table in order around the new place.
            machine = a.dht.machine
            assert len(machine.table) >= 4
            nearest = machine.table.closest(machine.parts.key, 20)
            assert nearest == sorted(nearest, key=lambda peer: peer.key ^ machine.parts.key)

    @pytest.mark.slow
    async def test_a_session_with_a_stranger_ends_when_nothing_runs_on_it(self):
        """
        Though another one has taken its place: a call that runs for long gets its answer first.
        """
        async with network(3) as made:
            a, stranger, _ = made
            release = asyncio.Event()

            @a.handler("slow")
            async def _slow(_peer, data):
                await release.wait()
                return data

            await link(stranger, a)
            session = stranger.connection(a.peer_id)
            call = asyncio.create_task(stranger.call(a.peer_id, "slow", b"kept", timeout=60))
            await eventually(lambda: a._rpc.handlers_at_work)
            former = await adopt(a)
            await eventually(lambda: a.peer_id in stranger._connected, 10)
            await asyncio.sleep(RETIRE_GRACE_S + 1)
            assert stranger.connection(former) is session
            assert not call.done()
            release.set()
            assert await call == b"kept"
            await eventually(lambda: session.close_reason is not None, 10)
            assert await stranger.ping(a.peer_id) < 1

    async def test_those_who_have_the_proof_are_not_dialled_anew(self, monkeypatch):
        """
        The sessions of a cluster carry everything; nothing is left under the old name.
        """
        monkeypatch.setattr(node_dht, "ADOPT_AFTER_S", 0.2)
        async with network(4) as made:
            a, others = made[0], made[1:]
            for other in others:
                await link(a, other)
            before = {other: other.connection(a.peer_id) for other in others}
            opened = a._counts["inbound"] + a._counts["outbound"]
            former = await adopt(a)
            prove(a, others, former)
            await settled(made)
            assert a._counts["inbound"] + a._counts["outbound"] == opened
            assert {other: other.connection(a.peer_id) for other in others} == before
            for other in others:
                await eventually(lambda other=other: a.peer_id in other.dht.machine.table)
                assert places_that_know(other, former) == []


class TestTopics:
    async def test_messages_flow_both_ways_during_the_change_none_lost_or_doubled(self):
        """
        Four nodes in a full mesh publish all the while, as one changes twice and its peers learn it.
        """
        async with nodes(4) as made:
            await full(made)
            async with listeners(made) as heard:
                a, others = made[0], made[1:]
                published, running = [], True

                async def publish(node, number):
                    count = 0
                    while running:
                        data = b"%d/%d" % (number, count)
                        published.append((node, data))
                        await node.publish(TOPIC, data)
                        count += 1
                        await asyncio.sleep(0.002)

                tasks = [asyncio.create_task(publish(node, number)) for number, node in enumerate(made)]
                formers = []
                for _ in range(2):
                    await asyncio.sleep(0.2)
                    formers.append(await adopt(a))
                    await asyncio.sleep(0.1)
                    for other in others:
                        prove(a, [other], formers[-1])
                        await asyncio.sleep(0.05)
                await asyncio.sleep(0.2)
                running = False
                await asyncio.gather(*tasks)
                await all_heard(heard, published)
                assert len(published) > 400
                for other in others:
                    assert a.peer_id in other.topic_peers(TOPIC)
                    for former in formers:
                        assert places_that_know(other, former) == []

    async def test_messages_name_the_new_author_and_own_ones_are_not_taken_back(self):
        """
        Also by a peer that knows the connection by the old name.
        """
        async with nodes(3) as made:
            await full(made)
            async with listeners(made):
                a, b, _ = made
                await adopt(a)
                async with b.subscribe(TOPIC) as messages:
                    await a.publish(TOPIC, b"signed anew")
                    message = await anext(aiter(messages))
                assert message.author == a.peer_id
                counters = a.pubsub.machine.counters()
                assert counters["delivered"] == 1

    async def test_a_bad_score_goes_along(self):
        """
        And stays at the old name too.
        """
        async with nodes(2) as made:
            await full(made)
            async with listeners(made):
                a, b = made
                b.pubsub.scores.behaviour_penalty(a.peer_id, 20.0)
                bad = b.pubsub.machine.score(a.peer_id)
                former = await adopt(a)
                prove(a, [b], former)
                assert bad < 0
                assert b.pubsub.machine.score(a.peer_id) == pytest.approx(bad, abs=20)
                assert b.pubsub.machine.score(former) < 0


class TestLibp2p:
    async def test_new_connections_show_the_new_identity_and_old_ones_the_old_one(self):
        """
        By the certificate and by identify.
        """
        async with quiet_node(libp2p=True) as a, quiet_node(libp2p=True) as b, quiet_node(libp2p=True) as c:
            await b.connect(a.libp2p_addresses[0])
            former = await adopt(a)
            assert all(address.endswith(a.peer_id.libp2p) for address in a.libp2p_addresses)
            await c.connect(a.libp2p_addresses[0])
            for node, name in ((b, former), (c, a.peer_id)):
                [connection] = [
                    each for each in node.endpoint.connections.values() if each.alpn == ALPN_LIBP2P
                ]
                assert connection.peer_id == name
                host = node.libp2p._service.host
                await eventually(lambda host=host, name=name: host.record_of(name))
                assert await node.ping(name) < 1
            a.libp2p._service.host.push()
            await asyncio.sleep(0.1)
            assert b.libp2p._service.host.peers[former].signed_record
