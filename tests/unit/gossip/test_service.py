"""The shell of the gossip router, around a machine that does as it is told."""

import asyncio
from math import inf

import pytest

from helpers.identities import ALICE, BOB
from helpers.nodes import eventually
from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.gossip import events as ev
from kontinuum.gossip import service as service_module
from kontinuum.gossip.service import BATCH_MAX, PUBLISHES_PER_TURN, GossipService
from kontinuum.gossip.shell_errors import NotPublishedError
from kontinuum.gossip.subscription import Subscription
from kontinuum.identity import KeyPair

ME, PEER = ALICE.peer_id, BOB.peer_id
OTHER = KeyPair.from_seed(b"o" * 32).peer_id
ROOM = 1000


class Machine:
    """Logs the batches that it gets, and answers each event with the effects that the test has prepared."""

    def __init__(self):
        self.batches = []
        self.effects = {}
        self.deadline = inf
        self.timeouts = 0
        self.fails = None

    @property
    def events(self):
        """All events, in order."""
        return [event for batch in self.batches for event in batch]

    def of(self, kind):
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def on(self, kind, *effects):
        """From now on these effects follow an event of that kind; functions get the event."""
        self.effects[kind] = effects

    def handle(self, event, now):
        return self.handle_batch([event], now)

    def handle_batch(self, events, _now):
        if self.fails is not None:
            raise self.fails
        self.batches.append(list(events))
        return [
            effect(event) if callable(effect) else effect
            for event in events
            for effect in self.effects.get(type(event), ())
        ]

    def handle_timeout(self, _now):
        self.timeouts += 1
        self.deadline = inf
        if self.fails is not None:
            raise self.fails
        return []

    def next_deadline(self):
        return self.deadline


class Carrier:
    """A stream whose queue the test looks at."""

    protocol = ev.Protocol.MESHSUB_1_2
    outbound = True
    address = "192.0.2.1"
    room_bytes = ROOM
    is_open = True

    def __init__(self):
        self.sent, self.waiting, self.asked, self.closed = [], 0, 0, 0

    def send(self, rpc):
        self.sent.append(rpc)
        self.waiting += len(rpc)
        return self.waiting

    def call_when_low(self):
        self.asked += 1
        return True

    def close(self):
        self.closed += 1


def message(data=b"x", topic="news", received_from=PEER):
    """A message as the machine delivers it."""
    return ev.Message(topic, data, PEER, 1, b"id" + data, received_from)


@pytest.fixture
def machine():
    """Does nothing unless told to."""
    return Machine()


@pytest.fixture
def told():
    """What the service told the node."""
    return []


@pytest.fixture
async def service(machine, told):
    """A service that runs."""
    made = GossipService(ME, machine, rendezvous=told.append, unwanted=told.append, joined=told.append)
    made.start()
    yield made
    await made.close()


def subscription(service, topic="news", **fields):
    """One that is not entered yet."""
    return Subscription(topic, join=service.subscribe, leave=service.unsubscribe, **fields)


async def turn():
    """Let the loop run what is ready."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class TestBatches:
    async def test_what_comes_in_one_turn_is_one_batch(self, service, machine):
        """
        In its order; the machine hears nothing before the turn is over.
        """
        rpcs = [ev.RpcReceived(PEER, b"%d" % number) for number in range(10)]
        for rpc in rpcs:
            service.received(rpc.peer, rpc.data)
        assert machine.batches == []
        await turn()
        assert machine.batches == [rpcs]

    async def test_a_flood_is_cut_and_others_have_their_turn(self, service, machine):
        """
        The machine takes a bounded number of events; then the loop does what else is ready.
        """
        seen = []
        for number in range(2 * BATCH_MAX + 1):
            service.received(PEER, b"%d" % number)
        for _ in range(3):
            asyncio.get_running_loop().call_soon(lambda: seen.append(len(machine.batches)))
            await asyncio.sleep(0)
        await turn()
        assert [len(batch) for batch in machine.batches] == [BATCH_MAX, BATCH_MAX, 1]
        assert seen == [1, 2, 3]

    async def test_what_was_seen_is_consumed_and_not_before(self, service):
        """
        A peer may send more when the machine has dealt with what it sent.
        """
        consumed = []
        for number in range(BATCH_MAX + 2):
            service.received(PEER, b"x" * number, consumed.append)
        service.feed(ev.Candidates("news", ()))
        assert consumed == []
        await asyncio.sleep(0)
        assert consumed == list(range(BATCH_MAX))
        await turn()
        assert consumed == list(range(BATCH_MAX + 2))

    async def test_a_reader_can_wait_for_the_turn(self, service, machine):
        """
        ``turn`` returns at once when nothing waits, else when all of it was handled.
        """
        await asyncio.wait_for(service.turn(), 1)
        for _ in range(BATCH_MAX + 1):
            service.received(PEER, b"")
        await asyncio.wait_for(service.turn(), 1)
        assert len(machine.events) == BATCH_MAX + 1

    async def test_a_fault_costs_one_batch(self, service, machine, caplog):
        """
        It is logged and counted; what was in the batch counts as consumed, and the next one is handled.
        """
        consumed = []
        machine.fails = ZeroDivisionError("fault")
        service.received(PEER, b"abc", consumed.append)
        await turn()
        assert consumed == [3]
        assert service.counts["faults"] == 1
        assert "could not be handled" in caplog.text
        machine.fails = None
        service.received(PEER, b"again")
        await turn()
        assert machine.events == [ev.RpcReceived(PEER, b"again")]


class TestTime:
    async def test_the_machine_is_woken_at_its_deadline(self, service, machine):
        """
        Once, and also when an event made it earlier.
        """
        machine.deadline = asyncio.get_running_loop().time() + 0.01
        service.received(PEER, b"")
        await eventually(lambda: machine.timeouts)
        await asyncio.sleep(0.01)
        assert machine.timeouts == 1

    async def test_a_fault_in_a_deadline_is_tried_again_after_a_pause(
        self, service, machine, monkeypatch, caplog
    ):
        """
        The loop is not kept busy by it, and the machine goes on afterwards.
        """
        monkeypatch.setattr(service_module, "FAULT_PAUSE_S", 0.05)
        machine.fails = ZeroDivisionError("fault")
        machine.deadline = 0.0
        service._arm()
        await eventually(lambda: machine.timeouts)
        await asyncio.sleep(0.02)
        assert machine.timeouts == 1
        machine.fails = None
        await eventually(lambda: machine.timeouts == 2)
        assert "deadline" in caplog.text


class TestStreams:
    async def test_a_peer_is_announced_with_the_room_of_its_stream(self, service, machine):
        """
        None while the stream is not open yet; more of it is told when it is.
        """
        carrier = Carrier()
        carrier.is_open = False
        service.opened(PEER, carrier)
        service.writable(PEER, carrier, 0)
        await turn()
        assert machine.events == [
            ev.PeerConnected(PEER, ev.Protocol.MESHSUB_1_2, outbound=True, address="192.0.2.1", room_bytes=0),
            ev.Writable(PEER, ROOM),
        ]

    async def test_room_is_told_when_half_of_it_is_used(self, service, machine):
        """
        A peer that takes all is told to have room again and again, and is never waited for.
        """
        carrier = Carrier()
        service.opened(PEER, carrier)
        machine.on(ev.RpcReceived, ev.Send(PEER, bytes(100)))
        for _ in range(4):
            service.received(PEER, b"")
        await turn()
        assert machine.of(ev.Writable) == []
        carrier.waiting = 0
        service.received(PEER, b"")
        await turn()
        assert machine.of(ev.Writable) == [ev.Writable(PEER, ROOM - 100)]
        assert len(carrier.sent) == 5

    async def test_a_peer_that_does_not_read_is_asked_for_room_once(self, service, machine):
        """
        Until its stream is low again the machine hears of no room; then it hears how much there is.
        """
        carrier = Carrier()
        service.opened(PEER, carrier)
        machine.on(ev.RpcReceived, ev.Send(PEER, bytes(200)))
        for _ in range(8):
            service.received(PEER, b"")
        await turn()
        assert carrier.asked == 1
        assert machine.of(ev.Writable) == []
        service.writable(PEER, carrier, 400)
        await turn()
        assert machine.of(ev.Writable) == [ev.Writable(PEER, 600)]

    async def test_a_stream_that_ended_is_of_no_account_once_another_has_its_place(self, service, machine):
        """
        The end and the room of the former stream change nothing for the present one.
        """
        former, present = Carrier(), Carrier()
        service.opened(PEER, former)
        service.opened(PEER, present)
        service.closed(PEER, former)
        service.writable(PEER, former, 0)
        machine.on(ev.RpcReceived, ev.Send(PEER, b"hello"))
        service.received(PEER, b"")
        await turn()
        assert machine.of(ev.PeerDisconnected) == []
        assert machine.of(ev.Writable) == []
        assert (former.sent, present.sent) == ([], [b"hello"])
        service.closed(PEER, present)
        service.received(PEER, b"")
        await turn()
        assert machine.of(ev.PeerDisconnected) == [ev.PeerDisconnected(PEER)]
        assert present.sent == [b"hello"]

    async def test_a_peer_that_takes_another_name_keeps_its_stream(self, service, machine):
        """
        What it sent before came from the old name; what is sent to the new one leaves on the same stream.
        """
        carrier = Carrier()
        service.opened(PEER, carrier)
        service.received(PEER, b"old")
        machine.on(ev.PeerRenamed, ev.Send(OTHER, b"hello"))
        service.rename(PEER, OTHER)
        service.received(OTHER, b"new")
        await turn()
        assert machine.events[1:] == [
            ev.RpcReceived(PEER, b"old"),
            ev.PeerRenamed(PEER, OTHER),
            ev.RpcReceived(OTHER, b"new"),
        ]
        assert carrier.sent == [b"hello"]
        assert (service.carrier(PEER), service.carrier(OTHER)) == (None, carrier)
        service.writable(OTHER, carrier, 0)
        await turn()
        assert machine.of(ev.Writable) == [ev.Writable(OTHER, ROOM)]

    async def test_a_name_that_has_a_stream_already_gets_the_other_one(self, service, machine):
        """
        The router hears that the old name is gone, and what the new one inherits.
        """
        former, present = Carrier(), Carrier()
        service.opened(PEER, former)
        service.opened(OTHER, present)
        await turn()
        service.rename(PEER, OTHER)
        await turn()
        assert machine.events[2:4] == [ev.PeerInherits(OTHER, PEER), ev.PeerDisconnected(PEER)]
        assert isinstance(machine.events[4], ev.PeerConnected)
        assert service.carrier(OTHER) is former

    async def test_a_peer_that_missed_our_greeting_gets_it_again(self, service, machine):
        """
        The machine hears that the stream was opened anew, which makes it tell its subscriptions. The stream
        has no more room for that: otherwise a peer that does not read could fill our memory with greetings.
        """
        service.greet(PEER)
        carrier = Carrier()
        service.opened(PEER, carrier)
        machine.on(ev.RpcReceived, ev.Send(PEER, bytes(300)))
        service.received(PEER, b"")
        await turn()
        for _ in range(3):
            service.greet(PEER)
        service.received(PEER, b"")
        await turn()
        service.greet(PEER)
        await turn()
        rooms = [event.room_bytes for event in machine.of(ev.PeerConnected)]
        assert rooms == [ROOM, *[ROOM - 300] * 3, ROOM - 600]
        assert carrier.asked == 1


class TestSubscribers:
    async def test_each_subscriber_of_a_topic_gets_every_message(self, service, machine):
        """
        The node joins with the first and leaves with the last of them.
        """
        machine.on(ev.RpcReceived, ev.Deliver(message()), ev.Deliver(message(topic="other")))
        async with subscription(service) as one:
            async with subscription(service) as two:
                service.received(PEER, b"")
                await turn()
                assert (await anext(one)).data == (await anext(two)).data == b"x"
            assert machine.of(ev.Unsubscribe) == []
            service.received(PEER, b"")
            await turn()
            assert (len(one), len(two)) == (1, 0)
        assert machine.of(ev.Subscribe) == [ev.Subscribe("news")]
        assert machine.of(ev.Unsubscribe) == [ev.Unsubscribe("news")]

    async def test_one_that_does_not_read_loses_its_own_and_that_is_counted(self, service, machine):
        """
        The others get everything.
        """
        machine.on(ev.RpcReceived, ev.Deliver(message()))
        async with subscription(service, messages_max=2) as idle, subscription(service) as keen:
            for _ in range(10):
                service.received(PEER, b"")
            await turn()
            assert (idle.received, idle.dropped, len(idle)) == (10, 8, 2)
            assert (keen.received, keen.dropped) == (10, 0)
            assert service.counts["subscriber_dropped"] == 8
            assert service.counts["delivered"] == 10

    async def test_messages_of_our_own_are_for_those_who_want_them(self, service, machine):
        """
        They do not count as delivered.
        """
        machine.on(ev.RpcReceived, ev.Deliver(message(received_from=ME)))
        async with subscription(service) as both, subscription(service, own=False) as others:
            service.received(PEER, b"")
            await turn()
            assert (both.received, others.received) == (1, 0)
            assert service.counts["delivered"] == 0

    async def test_a_topic_that_is_none_is_refused_when_it_is_entered(self, service, machine):
        """
        Nothing is left of it.
        """
        machine.fails = MisuseError("no topic")
        with pytest.raises(MisuseError, match="no topic"):
            async with subscription(service):
                pass
        assert service.subscriptions() == []

    async def test_closing_ends_subscriptions_and_tells_the_peers(self, service, machine):
        """
        Subscribers see the end, the machine that we leave, and streams are closed after that.
        """
        carrier = Carrier()
        service.opened(PEER, carrier)
        machine.on(ev.Unsubscribe, ev.Send(PEER, b"bye"))
        made = await subscription(service).__aenter__()
        reading = asyncio.create_task(anext(made, None))
        await turn()
        await service.close()
        await service.close()
        assert await reading is None
        assert carrier.sent == [b"bye"]
        assert carrier.closed == 1
        with pytest.raises(UnavailableError):
            await service.publish([("news", b"late")])
        with pytest.raises(UnavailableError):
            await subscription(service).__aenter__()


class TestValidators:
    async def test_a_validator_is_asked_and_its_verdict_goes_back(self, service, machine):
        """
        From when it was added to when it was removed; topics that we are in are told of the change.
        """
        machine.on(ev.RpcReceived, ev.Validate(message()))

        def validator(_message):
            return ev.Verdict.REJECT

        service.add_validator("news", validator)
        async with subscription(service):
            service.received(PEER, b"")
            await eventually(lambda: machine.of(ev.Validated))
            assert machine.of(ev.Validated) == [ev.Validated(b"idx", ev.Verdict.REJECT)]
            service.remove_validator("news", validator)
            service.add_validator("news", validator)
        wanted = [ev.Subscribe("news", validate=each) for each in (True, False, True)]
        assert machine.of(ev.Subscribe) == wanted


class TestPublishing:
    async def test_the_number_of_peers_comes_back_at_once(self, service, machine):
        """
        Without a turn of the loop; a batch gives one number for each message.
        """
        machine.on(ev.Publish, lambda event: ev.Published(event.token, b"id", 3))
        machine.on(
            ev.PublishBatch,
            lambda event: ev.Published(event.token, b"1", 1),
            lambda event: ev.Published(event.token, b"2", 2),
        )
        assert await service.publish([("news", b"x")]) == [3]
        assert await service.publish([("news", b"x"), ("other", b"y")]) == [1, 2]
        assert await service.publish([]) == []
        assert service.counts["published"] == 3

    async def test_what_cannot_be_sent_is_an_error_with_its_reason(self, service, machine):
        """
        In a batch, too.
        """
        machine.on(ev.Publish, lambda event: ev.NotPublished(event.token, "too large"))
        machine.on(
            ev.PublishBatch,
            lambda event: ev.Published(event.token, b"1", 1),
            lambda event: ev.NotPublished(event.token, "too large"),
        )
        for messages in ([("news", b"x")], [("news", b"x"), ("news", b"y")]):
            with pytest.raises(NotPublishedError, match="too large"):
                await service.publish(messages)
        assert service._waiting == {}

    async def test_a_program_that_publishes_without_a_pause_lets_the_loop_run(self, service, machine):
        """
        After a bounded number of messages in one turn the loop sends what was written.
        """
        machine.on(ev.Publish, lambda event: ev.Published(event.token, b"id", 1))
        turns = []

        def count():
            turns.append(len(machine.events))
            asyncio.get_running_loop().call_soon(count)

        count()
        for _ in range(3 * PUBLISHES_PER_TURN):
            await service.publish([("news", b"x")])
        assert len(turns) >= 3

    async def test_peers_that_came_before_are_known_to_what_is_published_after(self, service, machine):
        """
        A command does not overtake what is waiting for the turn.
        """
        machine.on(ev.Publish, lambda event: ev.Published(event.token, b"id", 1))
        service.opened(PEER, Carrier())
        await service.publish([("news", b"x")])
        assert [type(event) for event in machine.events] == [ev.PeerConnected, ev.Publish]


async def test_what_the_router_wants_of_the_node_reaches_it(service, machine, told):
    """
    Rendezvous, unwanted peers, and who comes and goes.
    """
    effects = [
        ev.Advertise("news"),
        ev.FindPeers("news"),
        ev.Connect("news", (ev.Candidate(PEER),)),
        ev.PeerJoined("news", PEER),
        ev.PeerLeft("news", PEER),
        ev.Disconnect(PEER, ev.DisconnectReason.STALLED),
        ev.Withdraw("news"),
    ]
    machine.on(ev.RpcReceived, *effects)
    service.received(PEER, b"")
    await turn()
    assert told == effects
