"""Topics between nodes over real sockets: who hears what, and when."""

import asyncio
import contextlib
import time

import pytest

from helpers.identities import ALICE
from helpers.nodes import eventually, happens, quiet_node
from helpers.pubsub_nodes import TOPIC, Listener, all_heard, link, listeners, meshed, nodes
from kontinuum.base.errors import MisuseError
from kontinuum.dht.events import State
from kontinuum.gossip.events import Verdict
from kontinuum.gossip.shell_errors import NotPublishedError
from kontinuum.node import pubsub
from kontinuum.node.errors import PubSubOffError
from kontinuum.node.events import TopicJoined, TopicLeft


async def nxt(messages, within_s=5.0):
    """The next message; fails if none comes."""
    async with asyncio.timeout(within_s):
        return await anext(messages)


class TestMessages:
    async def test_a_message_says_who_wrote_it_and_who_brought_it(self):
        """
        Over one node in between: the author is the publisher, the carrier is the neighbour; the sequence
        number is the time.
        """
        async with nodes(3) as (a, b, c):
            await link(a, b)
            await link(b, c)
            async with listeners([a, b, c]), c.subscribe(TOPIC) as messages:
                before = await publish_time(a)
                message = await nxt(messages)
                assert (message.topic, message.data) == (TOPIC, b"hello")
                assert message.author == a.peer_id
                assert message.received_from == b.peer_id
                assert abs(message.seqno / 1e9 - before) < 60

    async def test_every_subscriber_of_a_node_gets_everything_once(self):
        """
        Also what the node itself publishes, unless the subscriber does not want that.
        """
        async with nodes(2) as (a, b):
            await link(a, b)
            async with (
                listeners([a, b]),
                a.subscribe(TOPIC) as all_of_it,
                a.subscribe(TOPIC, own=False) as of_others,
            ):
                assert await a.publish(TOPIC, b"mine") == 1
                assert await b.publish(TOPIC, b"theirs") == 1
                assert [(await nxt(all_of_it)).data for _ in range(2)] == [b"mine", b"theirs"]
                assert (await nxt(of_others)).data == b"theirs"
                assert len(of_others) == 0

    async def test_a_topic_is_its_own_world(self):
        """
        Who is in one topic hears nothing of another one; who has left hears nothing more.
        """
        async with nodes(2) as (a, b):
            await link(a, b)
            async with listeners([b]), listeners([b], "sport") as (sport,):
                await eventually(lambda: a.topic_peers("sport") and a.topic_peers(TOPIC))
                await a.publish(TOPIC, b"1")
                await a.publish("sport", b"2")
                await eventually(lambda: sport.came)
                assert list(sport.came) == [b"2"]
            await eventually(lambda: not a.topic_peers("sport"))
            assert await a.publish("sport", b"3") == 0

    async def test_a_batch_arrives_whole(self):
        """
        Several topics and messages at once; a number of peers for each.
        """
        async with nodes(2) as (a, b):
            await link(a, b)
            async with listeners([b]) as (heard,):
                await eventually(lambda: a.topic_peers(TOPIC))
                batch = [(TOPIC, b"%d" % number) for number in range(50)]
                assert await a.publish_many(batch) == [1] * 50
                await all_heard([heard], [(a, data) for _, data in batch])

    async def test_a_megabyte_travels_when_it_is_allowed(self):
        """
        Up to the setting; a longer one is refused here, with the reason, and nothing is sent.
        """
        size = 2**20 - 1024
        async with nodes(2, pubsub_message_bytes_max=size) as (a, b):
            await link(a, b)
            async with listeners([b]) as (heard,):
                await eventually(lambda: a.topic_peers(TOPIC))
                await a.publish(TOPIC, bytes(size))
                await eventually(lambda: heard.came)
                with pytest.raises(NotPublishedError):
                    await a.publish(TOPIC, bytes(size + 1))

    async def test_what_a_program_gets_wrong_is_said(self):
        """
        No topic without a name; no topics on a node that has them switched off.
        """
        async with nodes(1) as (a,), quiet_node(pubsub=False) as off:
            with pytest.raises(MisuseError, match="1 to 256 bytes"):
                await a.publish("", b"x")
            with pytest.raises(MisuseError, match="1 to 256 bytes"):
                async with a.subscribe("x" * 257):
                    pass
            with pytest.raises(PubSubOffError):
                await off.publish(TOPIC, b"x")

    async def test_the_end_of_a_node_ends_its_subscriptions(self):
        """
        A reader sees the end; the others see that it has left.
        """
        async with nodes(2) as (a, b):
            await link(a, b)
            events = a.events()
            async with listeners([a]):
                async with Listener(b):
                    await happens(events, TopicJoined)
                    reading = asyncio.create_task(read_all(b))
                    await asyncio.sleep(0)
                    await b.close()
                    assert await asyncio.wait_for(reading, 5) == []
                left = await happens(events, TopicLeft)
                assert (left.topic, left.peer_id) == (TOPIC, b.peer_id)


async def publish_time(node):
    """Publish "hello"; the time of day."""
    before = node.clock.utc().timestamp()
    await node.publish(TOPIC, b"hello")
    return before


async def read_all(node):
    """What comes until the end."""
    async with node.subscribe(TOPIC) as messages:
        return [message async for message in messages]


class TestMeeting:
    async def test_publishing_without_subscribing_delivers(self):
        """
        Attack 27. The publisher is in no mesh: it sends to those it knows to be in the topic.
        """
        async with nodes(3) as (a, b, c):
            await link(a, b)
            await link(b, c)
            async with listeners([b, c]) as heard:
                await eventually(lambda: a.topic_peers(TOPIC) == [b.peer_id])
                for number in range(20):
                    assert await a.publish(TOPIC, b"%d" % number) == 1
                await all_heard(heard, [(a, b"%d" % number) for number in range(20)])

    async def test_what_was_published_to_nobody_goes_to_the_first_who_comes(self):
        """
        Attack 27. It is not lost because the network was not there yet.
        """
        async with nodes(2) as (a, b):
            assert await a.publish(TOPIC, b"early") == 0
            async with b.subscribe(TOPIC) as messages:
                await link(b, a)
                assert (await nxt(messages)).data == b"early"

    async def test_subscribing_before_anybody_is_there_delivers(self):
        """
        Attack 27. Whoever connects later is told of it.
        """
        async with nodes(2) as (a, b), listeners([a, b]) as heard:
            await link(a, b)
            await meshed([a, b])
            await a.publish(TOPIC, b"1")
            await b.publish(TOPIC, b"2")
            await all_heard(heard, [(a, b"1"), (b, b"2")])

    async def test_subscribers_that_know_nobody_but_the_network_find_each_other(self):
        """
        Through provider records alone: two nodes that only ask the DHT, so that nobody dials them.
        """
        async with contextlib.AsyncExitStack() as stack:
            servers = await stack.enter_async_context(nodes(3, dht="server"))
            seed = servers[0].contact.to_text()
            for server in servers[1:]:
                server.add_contact(seed)
                await server.connect(seed)
                await server.find_peers(server.peer_id)
            asking = {"dht": "client", "bootstrap": (seed,)}
            a, b = await stack.enter_async_context(nodes(2, **asking))
            async with a.subscribe(TOPIC) as mine, b.subscribe(TOPIC) as theirs:
                await eventually(lambda: a.topic_peers(TOPIC) and b.topic_peers(TOPIC), 15)
                assert a.connection(b.peer_id) is not None
                await a.publish(TOPIC, b"1")
                await b.publish(TOPIC, b"2")
                assert {(await nxt(mine)).data for _ in range(2)} == {b"1", b"2"}
                assert {(await nxt(theirs)).data for _ in range(2)} == {b"1", b"2"}

    async def test_what_could_not_be_asked_is_asked_when_the_node_has_joined(self):
        """
        A node that is alone looks for a topic's peers in vain; it does again as soon as somebody comes.
        """
        async with nodes(2, dht="server") as (a, b), a.subscribe(TOPIC):
            rendezvous = a.pubsub._rendezvous
            await eventually(lambda: TOPIC in rendezvous._lacking)
            await link(b, a)
            await eventually(lambda: a.dht.state is State.JOINED)
            await eventually(lambda: TOPIC not in rendezvous._lacking, 1)

    @pytest.mark.slow
    async def test_subscribing_before_the_bootstrap_node_runs_heals(self):
        """
        Attack 27. Two subscribers start while their only bootstrap node is down; it comes up, and they meet
        without being told anything.
        """
        async with nodes(1, dht="server") as (probe,):
            port = probe.endpoint.local_address[1]
        key_pair = ALICE
        async with quiet_node(key_pair, listen=f"127.0.0.1:{port}") as early:
            seed = early.contact.to_text()
        asking = {"dht": "client", "bootstrap": (seed,)}
        async with nodes(2, **asking) as (a, b), listeners([a, b]) as heard:
            for node in (a, b):
                await eventually(lambda node=node: node.dht.state is State.UNREACHABLE, 20)
            await a.publish(TOPIC, b"early")
            async with quiet_node(key_pair, listen=f"127.0.0.1:{port}", dht="server"):
                await eventually(lambda: a.topic_peers(TOPIC) and b.topic_peers(TOPIC), 18)
                await b.publish(TOPIC, b"late")
                await all_heard(heard, [(a, b"early"), (b, b"late")])


class TestRestart:
    async def test_a_restarted_node_with_the_same_key_is_heard_at_once(self):
        """
        Attack 22. Its sequence numbers are times: what it says first after the start is new to everybody.
        """
        async with nodes(1) as (a,), a.subscribe(TOPIC) as messages:
            for run in range(3):
                async with quiet_node(ALICE) as b, b.subscribe(TOPIC):
                    await link(b, a)
                    await eventually(lambda: b.topic_peers(TOPIC))
                    for number in range(3):
                        await b.publish(TOPIC, b"%d %d" % (run, number))
                    said = [(await nxt(messages)).data for _ in range(3)]
                    assert sorted(said) == [b"%d %d" % (run, number) for number in range(3)]

    async def test_a_clock_that_was_set_back_does_not_mute_a_restarted_node(self, tmp_path, monkeypatch):
        """
        Attack 22. The highest number is kept in the data directory, so that numbers go on rising.
        """
        numbers = []
        async with nodes(1) as (a,), a.subscribe(TOPIC) as messages:
            for _ in range(2):
                async with quiet_node(ALICE, data_dir=tmp_path) as b, b.subscribe(TOPIC):
                    await link(b, a)
                    await eventually(lambda: b.topic_peers(TOPIC))
                    await b.publish(TOPIC, b"x")
                    numbers.append((await nxt(messages)).seqno)
                monkeypatch.setattr(pubsub, "time_ns", lambda: time.time_ns() - 3600 * 10**9)
        assert numbers[1] > numbers[0]


class TestValidators:
    @pytest.mark.parametrize("awaits", [False, True])
    async def test_what_a_validator_refuses_goes_no_further(self, awaits):
        """
        In a line of three the one in the middle judges: what it accepts passes, what it ignores or rejects
        does not; only a rejected message costs its sender.
        """
        verdicts = {b"good": Verdict.ACCEPT, b"dull": Verdict.IGNORE, b"bad": Verdict.REJECT}

        async def slowly(message):
            await asyncio.sleep(0.01)
            return verdicts[message.data]

        def at_once(message):
            return verdicts[message.data]

        async with nodes(3) as (a, b, c):
            b.add_validator(TOPIC, slowly if awaits else at_once)
            await link(a, b)
            await link(b, c)
            async with listeners([a, b, c]) as (_, middle, end):
                await a.publish(TOPIC, b"dull")
                await a.publish(TOPIC, b"good")
                await eventually(lambda: end.came and middle.came)
                assert b.pubsub.machine.score(a.peer_id) >= 0
                await a.publish(TOPIC, b"bad")
                await eventually(lambda: b.pubsub.machine.score(a.peer_id) < 0)
                assert list(middle.came) == list(end.came) == [b"good"]
                counts = b.pubsub.service.validators.counts
                assert counts == {"accept": 1, "ignore": 1, "reject": 1}


class TestDrops:
    async def test_a_consumer_that_never_reads_harms_nobody(self):
        """
        Attack 28. It loses messages of its own, in a visible number; its node's other subscriber and the node
        behind it get everything.
        """
        async with nodes(3) as (a, b, c):
            await link(a, b)
            await link(b, c)
            async with listeners([a, b, c]) as heard, b.subscribe(TOPIC, messages_max=10) as idle:
                said = [(a, b"%d" % number) for number in range(300)]
                for _, data in said:
                    await a.publish(TOPIC, data)
                await all_heard(heard, said)
                assert (idle.received, idle.dropped, len(idle)) == (300, 290, 10)
                assert b.pubsub.service.counts["subscriber_dropped"] == 290
                assert (await nxt(idle)).data == b"290"

    async def test_a_consumer_may_choose_to_lose_what_is_new(self):
        """
        Then what it has read has no gap.
        """
        async with nodes(2) as (a, b):
            await link(a, b)
            async with listeners([a, b]), b.subscribe(TOPIC, messages_max=5, drop="newest") as idle:
                for number in range(20):
                    await a.publish(TOPIC, b"%d" % number)
                await eventually(lambda: idle.received == 20)
                assert [(await nxt(idle)).data for _ in range(5)] == [b"%d" % number for number in range(5)]
                assert idle.dropped == 15
