"""The streams that carry topics: peers without them, that break them, read nothing, or connect twice."""

import asyncio
import contextlib

import pytest

from helpers.nodes import eventually, quiet_node
from helpers.pubsub_nodes import TOPIC, all_heard, link, listeners, meshed, nodes
from kontinuum.gossip import streams as streams_module
from kontinuum.gossip.events import Protocol
from kontinuum.gossip.streams import GREETING_PAUSE_S
from kontinuum.messages.pubsub import Rpc, decode, encode
from kontinuum.transport import CloseCode

PROTOCOL = Protocol.MESHSUB_1_2.value


class Scripted:
    """A peer without a router of its own: it does what the test tells it."""

    def __init__(self, node):
        self.node = node
        self.streams = []
        self.rpcs = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.outbound = None
        node.message_handler(PROTOCOL)(self._take)

    async def _take(self, stream):
        self.streams.append(stream)
        while True:
            await self.reading.wait()
            message = await stream.receive()
            if message is None:
                return
            self.rpcs.append(decode(message))

    async def speak(self, peer, **rpc):
        """Open a stream and say something on it."""
        self.outbound = await self.node.open_messages(peer, PROTOCOL, bidirectional=False)
        await self.say(**rpc)

    async def say(self, **rpc):
        """Send one RPC."""
        await self.outbound.send(encode(Rpc(**rpc)))

    @property
    def greetings(self):
        """How often it was told that the other side is in the topic."""
        return sum((True, TOPIC) in rpc.subscriptions for rpc in self.rpcs)

    @property
    def messages(self):
        """Data of the messages that came."""
        return [message.data for rpc in self.rpcs for message in rpc.messages]


JOIN = {"subscriptions": ((True, TOPIC),), "graft": (TOPIC,)}


@contextlib.asynccontextmanager
async def with_scripted_peer(**fields):
    """A node with a subscription, and a connected peer that says nothing yet."""
    async with nodes(1, **fields) as (a,), quiet_node(pubsub=False) as b:
        scripted = Scripted(b)
        async with a.subscribe(TOPIC, own=False) as messages:
            await link(b, a)
            await eventually(lambda: scripted.greetings == 1)
            yield a, scripted, messages


async def test_a_peer_without_topics_is_left_alone():
    """
    It refuses the stream once and is no peer of any topic; calls go on.
    """
    async with nodes(1) as (a,), quiet_node(pubsub=False) as b:
        b.handler("echo")(lambda _peer, data: data)
        async with a.subscribe(TOPIC):
            await link(a, b)
            assert await a.call(b.peer_id, "echo", b"x") == b"x"
            await eventually(lambda: a.pubsub.service.carrier(b.peer_id) is None)
            assert await a.publish(TOPIC, b"x") == 0
            assert not a.connection(b.peer_id)._streams


async def test_a_node_greets_and_sends_on_one_stream_of_its_own():
    """
    One stream in each direction, whose messages are RPCs without a length in front.
    """
    async with with_scripted_peer() as (a, peer, _):
        await peer.speak(a.peer_id, **JOIN)
        await eventually(lambda: a.pubsub.mesh_peers(TOPIC))
        assert await a.publish(TOPIC, b"hello") == 1
        await eventually(lambda: peer.messages == [b"hello"])
        assert len(peer.streams) == 1
        assert not peer.streams[0].bidirectional


async def test_a_stream_that_the_peer_breaks_is_opened_again_with_a_whole_greeting():
    """
    The peer that stopped our stream gets another one, and everything that is said on it.
    """
    async with with_scripted_peer() as (a, peer, _):
        await peer.speak(a.peer_id, **JOIN)
        await eventually(lambda: a.pubsub.mesh_peers(TOPIC))
        peer.streams[0].stop(77)
        await eventually(lambda: peer.greetings == 2)
        await a.publish(TOPIC, b"hello")
        await eventually(lambda: peer.messages == [b"hello"])


async def test_a_peer_that_always_breaks_streams_is_given_up(monkeypatch):
    """
    After some attempts, ever later ones; a stream that it opens itself brings it back.
    """
    monkeypatch.setattr(streams_module, "REOPEN_FIRST_S", 0.001)
    async with with_scripted_peer() as (a, peer, _):

        async def break_all():
            broken = 0
            while True:
                await eventually(lambda: len(peer.streams) > broken, 60)  # noqa: B023
                peer.streams[broken].stop(77)
                broken += 1

        breaking = asyncio.create_task(break_all())
        await eventually(lambda: a.pubsub.service.carrier(peer.node.peer_id) is None)
        breaking.cancel()
        assert len(peer.streams) == 1 + streams_module.REOPEN_MAX
        before = peer.greetings
        await peer.speak(a.peer_id, **JOIN)
        await eventually(lambda: peer.greetings > before)
        assert a.topic_peers(TOPIC) == [peer.node.peer_id]


async def test_streams_opened_and_reset_again_and_again_cause_one_greeting_a_second():
    """
    Otherwise a peer would get our topics, hundreds of kilobytes, for the price of a stream each time.
    """
    async with with_scripted_peer() as (a, peer, _):
        start = asyncio.get_running_loop().time()
        for _ in range(30):
            await peer.speak(a.peer_id, **JOIN)
            await asyncio.sleep(0.02)
            peer.outbound.reset(1)
        passed = asyncio.get_running_loop().time() - start
        assert peer.greetings <= 2 + passed / GREETING_PAUSE_S
        await eventually(lambda: peer.greetings >= 2)


async def test_a_second_stream_of_a_peer_takes_the_place_of_the_first():
    """
    What comes on either of two is heard; of three the oldest is refused.
    """
    async with with_scripted_peer() as (a, peer, _):
        await peer.speak(a.peer_id, subscriptions=((True, "one"),))
        first = peer.outbound
        await peer.speak(a.peer_id, subscriptions=((True, "two"),))
        await first.send(encode(Rpc(subscriptions=((True, "three"),))))
        await eventually(lambda: all(a.topic_peers(topic) for topic in ("one", "two", "three")))
        await peer.speak(a.peer_id, subscriptions=((True, "four"),))
        await eventually(lambda: a.topic_peers("four"))
        await eventually(lambda: not first.can_send)


async def test_bytes_that_are_no_rpc_cost_the_peer_and_nobody_else():
    """
    The stream and the connection live; the peer is graylisted after some.
    """
    async with with_scripted_peer() as (a, peer, _):
        await peer.speak(a.peer_id, **JOIN)
        for _ in range(5):
            await peer.outbound.send(b"\xff\xff\xff")
        await eventually(lambda: a.pubsub.machine.score(peer.node.peer_id) < 0)
        assert peer.outbound.can_send
        assert await a.ping(peer.node.peer_id) > 0


async def test_a_peer_that_reads_nothing_harms_nobody():
    """
    Attack 28, on the wire. Its share waits, in bounded memory, and is dropped and counted; the other peer
    gets everything at once, and the peer itself is spoken to again when it reads.
    """
    async with with_scripted_peer(pubsub_queue_bytes_max=128 * 1024) as (a, peer, _):
        await peer.speak(a.peer_id, **JOIN)
        async with nodes(1) as (c,):
            await link(c, a)
            async with listeners([a, c]) as heard:
                peer.reading.clear()
                said = [(a, b"%d" % number + bytes(8192)) for number in range(400)]
                for _, data in said:
                    await a.publish(TOPIC, data)
                    await asyncio.sleep(0)
                await all_heard(heard, said)
                counters = a.pubsub.machine.counters()
                assert counters["dropped_queue_full"] > 100
                snapshot = a.pubsub.machine.snapshot()
                (slow,) = [each for each in snapshot.peers if each.peer == peer.node.peer_id]
                assert slow.queued_bytes <= 128 * 1024
                peer.reading.set()
                await eventually(lambda: peer.messages)
                before = len(peer.messages)
                await a.publish(TOPIC, b"again")
                await eventually(lambda: b"again" in peer.messages[before:])


async def test_a_peer_that_was_given_up_comes_back_by_itself(monkeypatch):
    """
    The router gave it up because its stream took nothing; a real node sees that, and opens a stream anew.
    """
    monkeypatch.setattr(streams_module, "RETURN_S", 0.05)
    async with nodes(2) as (a, b):
        await link(a, b)
        async with listeners([a, b]) as heard:
            a.pubsub.streams.forsake(b.peer_id)
            await eventually(lambda: not a.topic_peers(TOPIC))
            await eventually(lambda: a.topic_peers(TOPIC))
            await meshed([a, b])
            await a.publish(TOPIC, b"again")
            await all_heard(heard, [(a, b"again")])


async def test_streams_follow_the_connection_that_is_kept():
    """
    Two nodes dial each other at once, all the time speak, and lose nothing when one connection is retired.
    """
    for _ in range(5):
        async with nodes(2) as (a, b), listeners([a, b]) as heard:
            await asyncio.gather(a.connect(b.contact), b.connect(a.contact))
            await meshed([a, b])
            said = []
            for number in range(100):
                for node in (a, b):
                    data = b"%s %d" % (node.peer_id.short.encode(), number)
                    await node.publish(TOPIC, data)
                    said.append((node, data))
                await asyncio.sleep(0.001)
            await all_heard(heard, said)


@pytest.mark.slow
async def test_a_retired_connection_is_closed_although_topics_are_in_use():
    """
    Of two connections one is left after a few seconds, as without topics; messages go on over it.
    """
    async with nodes(2) as (a, b), listeners([a, b]) as heard:
        await a.connect(b.contact)
        address = b.endpoint.local_address
        second = await a.endpoint.dial(b.peer_id, address)
        await eventually(lambda: len(a.endpoint.connections) == 2)
        await eventually(lambda: len(a.endpoint.connections) == len(b.endpoint.connections) == 1, 15)
        assert a.connection(b.peer_id) is second
        await meshed([a, b])
        await a.publish(TOPIC, b"1")
        await b.publish(TOPIC, b"2")
        await all_heard(heard, [(a, b"1"), (b, b"2")])


async def test_a_lost_connection_and_a_new_one_leave_no_trace():
    """
    Whoever comes again is greeted anew, and hears what is said after that.
    """
    async with nodes(2) as (a, b), listeners([a, b]) as heard:
        for number in range(5):
            await link(a, b)
            await meshed([a, b])
            await a.publish(TOPIC, b"%d" % number)
            await all_heard(heard, [(a, b"%d" % number)])
            a.connection(b.peer_id).close(CloseCode.NONE, "test")
            await eventually(lambda: not a.topic_peers(TOPIC) and not b.topic_peers(TOPIC))
        assert len(a.pubsub.streams._links) == len(a.pubsub.service._peers) == 0
