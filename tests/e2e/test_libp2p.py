"""Nodes that speak libp2p, with each other over real sockets. Other implementations: ``tests/interop``."""

import asyncio
import contextlib

import pytest

from helpers.identities import BOB
from helpers.libp2p_messages import sign_with
from helpers.nodes import eventually, happens, quiet_node
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.libp2p.addresses import address_text
from kontinuum.libp2p.errors import AddressMisuseError
from kontinuum.libp2p.peer_record import open_peer_record, seal_peer_record
from kontinuum.node.errors import ForeignPeerError, Libp2pOffError, UnknownPeerError
from kontinuum.node.events import PeerConnected, PeerLost
from kontinuum.node.libp2p import NAMED_MAX
from kontinuum.transport.errors import ConnectError, DialTimeoutError, WrongPeerError

TOPIC = "room"


@contextlib.asynccontextmanager
async def pair(**fields):
    """Two nodes; the first one has dialled the second by its libp2p address."""
    async with quiet_node(libp2p=True, **fields) as a, quiet_node(libp2p=True, **fields) as b:
        await a.connect(b.libp2p_addresses[0])
        await eventually(lambda: b.libp2p.serves(a.peer_id))
        yield a, b


async def texts(messages, count):
    """The next messages of a subscription."""
    async with asyncio.timeout(20):
        return sorted([(await anext(messages)).data for _ in range(count)])


async def test_a_libp2p_address_is_dialled_as_libp2p():
    """
    Tables show it, pings work, the other side sees it as well; the second dial finds the connection there.
    """
    async with pair() as (a, b):
        info = await a.connect(f"  {b.libp2p_addresses[0]}\n")
        assert (info.peer_id, info.path, info.connected, info.outbound) == (b.peer_id, "libp2p", True, True)
        assert info.key_exchange == "X25519MLKEM768"
        assert info.rtt_s is not None
        assert (await a.connect(b.peer_id.libp2p)).path == "libp2p"
        (seen,) = b.peers()
        assert (seen.peer_id, seen.path, seen.outbound, seen.contact) == (a.peer_id, "libp2p", False, None)
        assert 0 < await a.ping(b.peer_id) < 5
        assert 0 < await b.ping(str(a.peer_id)) < 5
        assert len(a.libp2p._service.host.connections.of(b.peer_id)) == 1


async def test_watchers_hear_of_libp2p_peers():
    """
    As of any others; the figures count them.
    """
    async with quiet_node(libp2p=True) as a, quiet_node(libp2p=True) as b, b.events() as events:
        await a.connect(b.libp2p_addresses[0])
        connected = await happens(events, PeerConnected)
        assert (connected.peer_id, connected.outbound) == (a.peer_id, False)
        await a.disconnect(b.peer_id)
        lost = await happens(events, PeerLost)
        assert lost.peer_id == a.peer_id
        assert b.peers() == []
        assert a.peers() == []
        assert b.figures().inbound == 1


async def test_topics_by_libp2p_alone():
    """
    Both ways, a large message too.
    """
    async with pair() as (a, b), a.subscribe(TOPIC) as at_a, b.subscribe(TOPIC) as at_b:
        await eventually(lambda: b.peer_id in a.topic_peers(TOPIC) and a.peer_id in b.topic_peers(TOPIC))
        await a.publish(TOPIC, b"from a")
        await b.publish(TOPIC, b"from b" + bytes(60_000))
        expected = [b"from a", b"from b" + bytes(60_000)]
        assert await texts(at_a, 2) == expected
        assert await texts(at_b, 2) == expected


async def test_who_speaks_our_own_protocol_gets_topics_by_that():
    """
    When such a connection comes it takes over, and when it goes libp2p does, each time with all our topics.
    """
    async with pair() as (a, b), a.subscribe(TOPIC) as at_a, b.subscribe(TOPIC):
        carriers = a.pubsub.service
        await eventually(lambda: b.peer_id in a.topic_peers(TOPIC))
        by_libp2p = carriers.carrier(b.peer_id)
        await a.connect(b.contact)
        assert (await a.connect(b.peer_id)).path == "direct"
        await eventually(lambda: carriers.carrier(b.peer_id) is not by_libp2p)
        await eventually(lambda: a.peer_id in b.topic_peers(TOPIC))
        await b.publish(TOPIC, b"natively")
        assert await texts(at_a, 1) == [b"natively"]

        a.connection(b.peer_id).close()
        await eventually(lambda: carriers.carrier(b.peer_id) is by_libp2p)
        await eventually(lambda: a.peer_id in b.topic_peers(TOPIC) and b.peer_id in a.topic_peers(TOPIC))
        await b.publish(TOPIC, b"by libp2p")
        assert await texts(at_a, 1) == [b"by libp2p"]


async def test_a_peer_that_speaks_libp2p_alone_takes_no_calls():
    """
    The error says what it takes; once its contact is known, it is called as any node.
    """
    async with pair() as (a, b):

        @b.handler("echo")
        def echo(_peer, data):
            return data

        with pytest.raises(ForeignPeerError, match="pings and topics"):
            await a.call(b.peer_id, "echo", b"x")
        with pytest.raises(ForeignPeerError):
            await a.open_stream(b.peer_id, "echo")
        assert await a.call(b.contact, "echo", b"x") == b"x"


async def test_what_cannot_be_dialled_says_why():
    """
    A node that does not speak libp2p, an address of another kind, ourselves, nobody there, somebody else.
    """
    async with quiet_node() as off, quiet_node(libp2p=True, dial_timeout_s=0.3) as node:
        somewhere = address_text(off.addresses[0], off.peer_id)
        with pytest.raises(Libp2pOffError, match="libp2p is off"):
            await off.connect(node.libp2p_addresses[0])
        assert off.libp2p_addresses == ()
        with pytest.raises(AddressMisuseError, match="QUIC, not TCP"):
            await node.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{off.peer_id.libp2p}")
        with pytest.raises(UnknownPeerError, match="itself"):
            await node.connect(node.libp2p_addresses[0])
        with pytest.raises(DialTimeoutError):
            await node.connect(f"/ip4/127.0.0.1/udp/9/quic-v1/p2p/{BOB.peer_id.libp2p}")
        with pytest.raises(Exception, match="no common protocol"):
            await node.connect(somewhere)
        async with quiet_node(libp2p=True) as other:
            with pytest.raises(WrongPeerError):
                await node.connect(address_text(other.addresses[0], BOB.peer_id))
        with pytest.raises(ConnectError):
            await node.connect(other_address := address_text(other.addresses[0], other.peer_id))
        assert other_address.endswith(other.peer_id.libp2p)
        assert node.peers() == []


async def test_a_node_without_topics():
    """
    Identify and ping are spoken, pubsub is declined; nothing of a peer's topics is heard.
    """
    async with quiet_node(libp2p=True, pubsub=False) as a, quiet_node(libp2p=True) as b, b.subscribe(TOPIC):
        await a.connect(b.libp2p_addresses[0])
        assert await a.ping(b.peer_id) < 5
        assert await b.ping(a.peer_id) < 5
        assert b.topic_peers(TOPIC) == []
        identity = b.libp2p._service.host.peers[a.peer_id].identity
        assert not [protocol for protocol in identity.protocols if "sub/" in protocol]


async def test_new_addresses_are_told_to_the_peers():
    """
    By a push, with a newer record.
    """
    async with pair() as (a, b):
        peer = await eventually(lambda: b.libp2p._service.host.peers[a.peer_id])
        await eventually(lambda: peer.signed_record)
        before = peer.record_sequence
        moved = Multiaddr.parse("/ip4/192.0.2.77/udp/4433/quic-v1")
        a.libp2p._service.host._addresses = lambda: (moved,)
        a.libp2p.moved()
        await eventually(lambda: peer.record_sequence > before)

        assert peer.identity.addresses(a.peer_id) == (moved,)
        assert open_peer_record(b.libp2p.record_of(a.peer_id)).addresses == (moved,)


async def test_a_peer_that_others_named_and_that_is_gone():
    """
    Nobody waits longer than a dial takes, and the next attempt waits for a while.
    """
    async with quiet_node(libp2p=True, dial_timeout_s=0.3) as node:
        async with quiet_node(libp2p=True) as gone, quiet_node(libp2p=True) as witness:
            await witness.connect(gone.libp2p_addresses[0])
            record = await eventually(lambda: witness.libp2p.record_of(gone.peer_id))
        for _ in range(2):
            assert node.libp2p.learn(gone.peer_id, record)
            assert not await node.libp2p.meet(gone.peer_id)
        assert node.libp2p._connector.back_off.wait_s(gone.peer_id, asyncio.get_running_loop().time()) > 0
        for number in range(NAMED_MAX):
            key_pair = KeyPair.from_seed(number.to_bytes(32))
            node.libp2p.learn(
                key_pair.peer_id, seal_peer_record(key_pair.peer_id, 1, [], sign_with(key_pair))
            )
        node.libp2p.learn(gone.peer_id, record)
        assert len(node.libp2p._named) == NAMED_MAX


async def test_an_older_record_of_a_named_peer_changes_nothing():
    """
    Who names a peer cannot bring back addresses that it has left.
    """
    left, now = (Multiaddr.parse(f"/ip4/8.8.4.{host}/udp/4433/quic-v1") for host in (1, 2))
    key_pair = KeyPair.from_seed(bytes(32))
    older, newer = (
        seal_peer_record(key_pair.peer_id, sequence, [address], sign_with(key_pair))
        for sequence, address in ((1, left), (2, now))
    )
    async with quiet_node(libp2p=True) as node:
        for record in (newer, older):
            assert node.libp2p.learn(key_pair.peer_id, record)
        assert node.libp2p._named[key_pair.peer_id] == (2, (now,))


async def test_a_peer_whose_streams_are_used_up_harms_nobody():
    """
    One that opens as many streams as it may and says nothing on them loses them; others are served meanwhile.
    """
    async with pair() as (a, b), quiet_node(libp2p=True) as c:
        connection = a.libp2p._service.host.connections.current(b.peer_id)
        streams = [await connection.open_raw() for _ in range(200)]
        for stream in streams:
            stream.send_nowait(b"\x13")
        await c.connect(b.libp2p_addresses[0])
        assert await c.ping(b.peer_id) < 5
        await eventually(lambda: sum(stream.reset_code == 0x1002 for stream in streams) > 100)
        assert b.libp2p._service.host.peers[a.peer_id].streams <= 64
