"""Nodes of ours with go-libp2p and js-libp2p, each a real process: connections, identify, ping, topics."""

import asyncio
import contextlib
import os

import pytest

from helpers.identities import BOB
from helpers.kad_messages import octets
from helpers.libp2p_messages import sign_with
from helpers.libp2p_programs import go_peer, js_peer
from helpers.nodes import eventually, quiet_node
from kontinuum.identity import PeerId
from kontinuum.libp2p.addresses import PeerAddress, address_text
from kontinuum.libp2p.frames import frame
from kontinuum.messages.pubsub import decode
from kontinuum.transport import ALPN_LIBP2P
from kontinuum.transport.errors import (
    UnprovenIdentityError,
    UnsupportedIdentityError,
    WrongPeerError,
)

pytestmark = pytest.mark.slow

TOPIC = "room"
MESSAGES = 15
"""Messages that each peer of a mesh publishes."""

BOTH = pytest.mark.parametrize("make_peer", [go_peer, js_peer], ids=["go", "js"])


class Room:
    """What a node of ours gets in TOPIC."""

    def __init__(self, node):
        self.node, self.texts = node, []

    async def __aenter__(self):
        self._subscription = await self.node.subscribe(TOPIC).__aenter__()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._subscription.__aexit__(*error)

    async def _read(self):
        async for message in self._subscription:
            self.texts.append(message.data.split(b" ")[0].decode())


@contextlib.asynccontextmanager
async def ours(**fields):
    """A node of ours that speaks libp2p."""
    async with quiet_node(libp2p=True, **fields) as node:
        yield node


def id_of(peer):
    """The identity of a program as we write it."""
    return PeerId.parse(peer.peer)


def texts(peer):
    """What a program got in TOPIC."""
    return [event["text"] for event in peer.all("message", topic=TOPIC)]


async def lists(peer, us):
    """Wait until a program has us among the peers of TOPIC."""
    async with asyncio.timeout(20):
        while us not in (await peer.do("peers", TOPIC))["peers"]:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)


def overheard(*nodes):
    """The RPCs that these nodes get from programs of other make, from now on."""
    heard = []

    def listen(topics):
        take = topics.received

        def received(peer_id, rpc, consumed):
            heard.append(decode(rpc))
            take(peer_id, rpc, consumed)

        topics.received = received

    for node in nodes:
        listen(node.libp2p.topics)
    return heard


async def all_of(expected, heard, what):
    """Wait until what was heard is all that is expected; it must not be there twice."""
    try:
        await eventually(lambda: set(heard()) == expected, 20)
    except AssertionError:
        missing, more = sorted(expected - set(heard())), sorted(set(heard()) - expected)
        pytest.fail(f"{what} lacks {missing} and has {more}")
    assert len(heard()) == len(expected), what


def counted(what, *nodes):
    """How often something happened at these nodes together."""
    return sum(node.pubsub.machine.counters()[what] for node in nodes)


def message(text, *, tamper=False):
    """An RPC with one message of Bob's; its signature is wrong if it is tampered with."""
    signed = octets(1, BOB.peer_id.multihash) + octets(2, text.encode()) + octets(3, os.urandom(8))
    signed += octets(4, TOPIC.encode())
    signature = bytearray(sign_with(BOB)(b"libp2p-pubsub:" + signed))
    signature[20] ^= tamper
    return octets(2, signed + octets(5, bytes(signature)))


@BOTH
@pytest.mark.parametrize("we_dial", [True, False], ids=["we dial", "they dial"])
async def test_connecting_identifying_and_pinging(make_peer, we_dial):
    """
    In both directions, with the hybrid key exchange where they know it: each learns the other's protocols,
    record and addresses, pings work both ways, and a hang-up is seen.
    """
    async with make_peer() as peer, ours() as node:
        peer_id = id_of(peer)
        if we_dial:
            info = await node.connect(peer.address)
            assert (info.peer_id, info.path, info.outbound) == (peer_id, "libp2p", True)
        else:
            await peer.do("dial", node.libp2p_addresses[0])
            await eventually(lambda: node.libp2p.serves(peer_id))
        about_us = await peer.event("identified", peer=node.peer_id.libp2p)
        assert about_us["signed"] is True
        assert about_us["agent"].startswith("kontinuum/")
        assert about_us["version"] == "kontinuum/1"
        assert {"/ipfs/ping/1.0.0", "/meshsub/1.2.0", "/floodsub/1.0.0"} <= set(about_us["protocols"])
        assert str(node.addresses[0]) in about_us["listen"]
        assert about_us["observed"].startswith("/ip4/127.0.0.1/udp/")

        host = node.libp2p._service.host
        about_them = await eventually(lambda: host.peers[peer_id].identity)
        assert "/meshsub/1.2.0" in about_them.protocols
        assert about_them.addresses(peer_id) == PeerAddress.parse(peer.address).addresses
        assert host.record_of(peer_id)

        assert 0 < await node.ping(peer_id) < 10
        for _ in range(3):
            assert (await peer.do("ping", node.peer_id.libp2p))["us"] > 0
        (known,) = node.peers()
        assert known.key_exchange == ("X25519MLKEM768" if make_peer is go_peer else "X25519")

        await peer.do("close", node.peer_id.libp2p)
        await eventually(lambda: not node.libp2p.serves(peer_id))


@BOTH
async def test_a_mesh_of_two_and_two_delivers_every_message(make_peer):
    """
    A ring of two nodes of ours and two of theirs: everybody's messages reach everybody once, large ones are
    announced by IDONTWANT in both directions, and nobody's stream breaks.
    """
    async with (
        ours() as a,
        ours() as b,
        make_peer() as c,
        make_peer() as d,
        Room(a) as room_a,
        Room(b) as room_b,
    ):
        heard = overheard(a, b)
        await c.do("join", TOPIC)
        await d.do("join", TOPIC)
        await a.connect(c.address)
        await d.do("dial", b.libp2p_addresses[0])
        await b.connect(a.contact)
        await c.do("dial", d.address)
        for node, peers in ((a, {id_of(c), b.peer_id}), (b, {id_of(d), a.peer_id})):
            await eventually(lambda node=node, peers=peers: set(node.pubsub.mesh_peers(TOPIC)) == peers, 20)
        for peer, others in ((c, (a.peer_id.libp2p, d.peer)), (d, (b.peer_id.libp2p, c.peer))):
            for other in others:
                await lists(peer, other)
                await peer.event("grafted", peer=other)
        for number in range(MESSAGES):
            size = 5000 if number % 3 == 0 else 0
            for node, name in ((a, "a"), (b, "b")):
                await node.publish(TOPIC, f"{name}{number} ".encode() + bytes(size))
            for peer, name in ((c, "c"), (d, "d")):
                await peer.do("publish", TOPIC, f"{name}{number}", *([size] if size else []))
        expected = {f"{name}{number}" for name in "abcd" for number in range(MESSAGES)}
        own_are_heard = make_peer is go_peer
        for room, name in ((room_a, "a"), (room_b, "b")):
            await all_of(expected, lambda room=room: room.texts, name)
        for peer, name in ((c, "c"), (d, "d")):
            others = {text for text in expected if own_are_heard or not text.startswith(name)}
            await all_of(others, lambda peer=peer: texts(peer), name)

        # Who gets a large message from one side tells the other that it needs it no more.
        assert [event for peer in (c, d) for event in peer.all("control") if event["idontwant"]]
        assert [rpc for rpc in heard if rpc.idontwant]
        assert not c.all("stream closed")
        assert not d.all("stream closed")

        await c.do("leave", TOPIC)
        await eventually(lambda: id_of(c) not in a.topic_peers(TOPIC), 20)
        assert id_of(c) not in a.pubsub.mesh_peers(TOPIC)


@BOTH
async def test_messages_that_are_only_announced(make_peer):
    """
    A peer without a mesh prunes us and announces what it got: we ask for it. What we announce it asks for.
    """
    async with (
        make_peer() as author,
        make_peer(mesh=0) as peer,
        ours() as a,
        ours() as b,
        Room(a) as room_a,
        Room(b),
    ):
        await peer.do("join", TOPIC)
        await author.do("join", TOPIC)
        await author.do("dial", peer.address)
        await lists(author, peer.peer)
        await b.connect(a.contact)
        await a.connect(peer.address)
        await eventually(lambda: id_of(peer) in a.topic_peers(TOPIC), 20)
        await eventually(lambda: counted("prune_received", a), 20)
        assert a.pubsub.mesh_peers(TOPIC) == [b.peer_id]

        await author.do("publish", TOPIC, "theirs")
        await eventually(lambda: "theirs" in room_a.texts, 20)
        assert [event for event in peer.all("control") if event["iwant"]]

        await b.publish(TOPIC, b"ours")
        await peer.event("message", text="ours")
        assert [event for event in peer.all("control") if event["ihave"]]


@BOTH
async def test_their_graft_and_prune(make_peer):
    """
    Who joins a topic that we are in grafts us at once and is in our mesh; who leaves it prunes us and is not.
    """
    async with make_peer() as peer, ours() as node, Room(node) as room:
        heard = overheard(node)
        await node.connect(peer.address)
        await eventually(lambda: node.libp2p._service.host.pubsub._rules.is_joined(id_of(peer)))
        await lists(peer, node.peer_id.libp2p)
        await peer.do("join", TOPIC)
        await eventually(lambda: [rpc for rpc in heard if TOPIC in rpc.graft], 20)
        await eventually(lambda: id_of(peer) in node.pubsub.mesh_peers(TOPIC), 20)
        await peer.do("publish", TOPIC, "theirs")
        await eventually(lambda: "theirs" in room.texts, 20)

        await peer.do("leave", TOPIC)
        await eventually(lambda: [rpc for rpc in heard if rpc.prune], 20)
        (prune,) = next(rpc.prune for rpc in heard if rpc.prune)
        assert prune.topic == TOPIC
        assert prune.backoff_s > 0
        assert node.pubsub.mesh_peers(TOPIC) == []


@BOTH
async def test_a_message_that_was_tampered_with_is_refused(make_peer):
    """
    By them, and the next one is taken on the same stream.
    """
    async with make_peer() as peer, ours() as node, Room(node):
        await peer.do("join", TOPIC)
        await node.connect(peer.address)
        peer_id = id_of(peer)
        sender = await eventually(lambda: node.libp2p._service.host.pubsub._senders.get(peer_id))
        await eventually(lambda: peer_id in node.topic_peers(TOPIC), 20)
        sender.send(message("forged", tamper=True))
        sender.send(message("genuine"))
        await peer.event("message", text="genuine")

        assert texts(peer) == ["genuine"]
        assert await node.ping(peer_id)


async def test_a_tampered_message_of_theirs_is_refused():
    """
    By us, and the next one is taken on the same stream.
    """
    async with go_peer() as peer, ours() as node, Room(node) as room:
        await node.connect(peer.address)
        await eventually(lambda: node.libp2p._service.host.pubsub._rules.is_joined(id_of(peer)))
        data = frame(message("forged", tamper=True)) + frame(message("genuine"))
        await peer.do("raw", "writer", node.peer_id.libp2p, "/meshsub/1.2.0", data.hex())
        await eventually(lambda: room.texts, 20)

        assert room.texts == ["genuine"]
        assert not peer.all("raw end"), "our half of its stream is left alone"


async def test_a_floodsub_peer():
    """
    A program that knows nothing newer than floodsub gets and gives every message.
    """
    async with go_peer(router="flood") as peer, ours() as node, Room(node) as room:
        await peer.do("join", TOPIC)
        await node.connect(peer.address)
        await eventually(lambda: id_of(peer) in node.topic_peers(TOPIC), 20)
        await peer.event("stream opened", peer=node.peer_id.libp2p)
        await lists(peer, node.peer_id.libp2p)
        for number in range(5):
            await node.publish(TOPIC, f"ours{number}".encode())
            await peer.do("publish", TOPIC, f"theirs{number}")
        await eventually(lambda: len(set(room.texts)) == 10, 20)
        await eventually(lambda: len(set(texts(peer))) == 10, 20)

        assert len(room.texts) == len(texts(peer)) == 10


async def test_streams_that_end_are_opened_again_and_topics_told_again():
    """
    go forgets a peer whose stream ends: ours comes again with all topics, and messages flow as before.
    """
    async with go_peer() as peer, ours() as node, Room(node) as room:
        await peer.do("join", TOPIC)
        await node.connect(peer.address)
        us, host = node.peer_id.libp2p, node.libp2p._service.host
        await eventually(lambda: id_of(peer) in node.pubsub.mesh_peers(TOPIC), 20)
        senders, peer_id = host.pubsub._senders, id_of(peer)
        former = senders[peer_id]
        former.conversation.stream.reset(0)
        host.pubsub.on_outbound_ended(former.conversation)
        await eventually(lambda: senders[peer_id] is not former, 20)
        await lists(peer, us)
        await node.publish(TOPIC, b"after")
        await peer.event("message", text="after")
        await peer.do("publish", TOPIC, "back")
        await eventually(lambda: "back" in room.texts, 20)


async def test_a_push_tells_new_protocols():
    """
    What we speak may change while we are connected.
    """
    async with go_peer() as peer, ours() as node:
        await node.connect(peer.address)
        await peer.event("identified", peer=node.peer_id.libp2p)
        host = node.libp2p._service.host
        host._talks["/extra/1"] = host._talks["/ipfs/ping/1.0.0"]
        await eventually(lambda: host.peers[id_of(peer)].identity)
        host.push()

        updated = await peer.event("protocols updated")
        assert updated["added"] == ["/extra/1"]


@BOTH
async def test_a_peer_that_others_named_is_reached_by_its_signed_record(make_peer):
    """
    Peer exchange: the record that a program gave us is checked by another node of ours, which then dials it.
    """
    async with make_peer() as peer, ours() as first, ours() as second, Room(second):
        await first.connect(peer.address)
        record = await eventually(lambda: first.libp2p.record_of(id_of(peer)))

        assert not second.libp2p.learn(first.peer_id, record)
        assert not second.libp2p.learn(id_of(peer), record[:-1] + bytes([record[-1] ^ 1]))
        assert not await second.libp2p.meet(id_of(peer))
        assert second.libp2p.learn(id_of(peer), record)
        assert await second.libp2p.meet(id_of(peer))
        assert [info.peer_id for info in second.peers()] == [id_of(peer)]


async def test_two_who_dial_each_other_have_two_connections_that_work():
    """
    Neither side closes one; pings and topics go on.
    """
    async with go_peer() as peer, ours() as node, Room(node) as room:
        await peer.do("join", TOPIC)
        dial = asyncio.create_task(peer.do("dial", node.libp2p_addresses[0]))
        await node.connect(peer.address)
        await dial
        await node.ping(id_of(peer))
        await eventually(lambda: id_of(peer) in node.topic_peers(TOPIC), 20)
        await peer.do("ping", node.peer_id.libp2p)
        await lists(peer, node.peer_id.libp2p)
        await peer.do("publish", TOPIC, "theirs")
        await eventually(lambda: "theirs" in room.texts, 20)
        await node.publish(TOPIC, b"ours")
        await peer.event("message", text="ours")


@pytest.mark.parametrize("kind", ["none", "other", "rsa"])
async def test_a_wrong_certificate_is_refused(kind):
    """
    Without the extension, with one that signs another key, or with an identity that is an RSA key: whoever
    shows it is refused, dialling and dialled, by an error that says why. A good one is taken.
    """
    error = UnsupportedIdentityError if kind == "rsa" else UnprovenIdentityError
    async with go_peer(router="none") as peer, ours() as node:
        refused = await peer.ask("forge", "dial", node.libp2p_addresses[0], kind)
        assert "CRYPTO_ERROR" in refused["error"]
        assert node.peers() == []
        await peer.do("forge", "dial", node.libp2p_addresses[0], "good")

        where = (await peer.do("forge", "listen", kind))["address"]
        if kind == "rsa":
            where = f"{where.partition('/p2p/')[0]}/p2p/{BOB.peer_id.libp2p}"
        with pytest.raises(error):
            await node.connect(where)
        good = PeerAddress.parse((await peer.do("forge", "listen", "good"))["address"])
        where = good.addresses[0]
        assert await node.endpoint.dial(good.peer_id, (where.host, where.port), alpn=ALPN_LIBP2P)


async def test_another_peer_than_the_expected_one_is_refused():
    """
    By us when they are not who we dial, by them when we are not who they dial.
    """
    async with go_peer() as peer, ours() as node:
        address = PeerAddress.parse(peer.address).addresses[0]
        with pytest.raises(WrongPeerError):
            await node.connect(address_text(address, BOB.peer_id))
        wrong = address_text(node.addresses[0], BOB.peer_id)
        assert "peer id mismatch" in (await peer.ask("dial", wrong))["error"]
        assert node.peers() == []


async def test_a_node_without_libp2p_says_so():
    """
    A program that dials a node whose setting is off learns that there is no common protocol.
    """
    async with go_peer() as peer, quiet_node() as node:
        where = address_text(node.addresses[0], node.peer_id)
        assert "support any known protocol" in (await peer.ask("dial", where))["error"]


async def test_js_with_its_own_message_ids():
    """
    As it is shipped, js-libp2p's message ids are two bytes shorter than everybody else's: what it announces
    or wants by them we pass over without blame, and messages in the mesh arrive all the same.
    """
    async with js_peer(ids="own") as peer, ours() as node, Room(node) as room:
        await peer.do("join", TOPIC)
        await node.connect(peer.address)
        await lists(peer, node.peer_id.libp2p)
        await eventually(lambda: id_of(peer) in node.pubsub.mesh_peers(TOPIC), 20)
        for number in range(3):
            await node.publish(TOPIC, f"ours{number} ".encode() + bytes(5000))
            await peer.do("publish", TOPIC, f"theirs{number}", 5000)
            await peer.event("message", text=f"ours{number}")
            await eventually(lambda number=number: f"theirs{number}" in room.texts)

        assert node.pubsub.scores.score(id_of(peer)) >= 0
