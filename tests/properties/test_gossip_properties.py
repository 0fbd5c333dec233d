"""What holds for a gossip router whatever happens to it, in whichever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helpers.gossip_bench import LOCAL, Bench
from helpers.gossip_net import peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import (
    graft_part,
    idontwant_part,
    ihave_part,
    iwant_part,
    prune_part,
    subscription_field,
)

TOPICS = ("room", "hall")
PARAMS = GossipParams(
    D=2, D_low=2, D_high=3, D_score=1, D_out=1, D_lazy=2, queue_bytes_max=70_000, mcache_bytes_max=70_000
)
DIRECT, FLOODSUB = 1, 2

numbers = st.integers(1, 9)
topics = st.sampled_from(TOPICS)
backoffs = st.none() | st.sampled_from((0, 1, 5, 100, 2**64 - 1))


class Story(RuleBasedStateMachine):
    """A router whose peers say anything, in any order; what it may do is modelled beside it."""

    def __init__(self):
        super().__init__()
        self.bench = Bench(topics=(), params=PARAMS)
        self.direct = {DIRECT}
        self.bench.give(ev.AddDirectPeer(peer_id(DIRECT)))
        self.connected = set()
        self.may_graft_at = {}
        """When a pair may graft again, by topic and peer."""
        self.delivered = set()
        self.messages = []
        self.asked = []

    # --- what happens ---

    def settle(self):
        """Check what the router has said since the last step."""
        for number in sorted(self.connected):
            heard = self.bench.heard(number)
            for topic in heard.graft:
                assert number not in self.direct | {FLOODSUB}
                assert self.bench.now >= self.may_graft_at.get((topic, number), 0.0)
            for prune in heard.prune:
                self.pruned(prune.topic, number, prune.backoff_s)
        for effect in self.bench.all(ev.Deliver):
            assert effect.message.message_id not in self.delivered
            self.delivered.add(effect.message.message_id)
        self.asked += [effect.message.message_id for effect in self.bench.all(ev.Validate)]
        self.bench.hush()

    def pruned(self, topic, number, seconds):
        """A PRUNE went one way or the other."""
        until = self.bench.now + min(seconds or 60, 3600)
        key = (topic, number)
        self.may_graft_at[key] = max(self.may_graft_at.get(key, 0.0), until)

    @initialize(
        members=st.lists(st.tuples(numbers, topics), min_size=12, max_size=24),
        rooms=st.lists(st.sampled_from((0, 1_000_000, 1_000_000)), min_size=9, max_size=9),
    )
    def begin(self, members, rooms):
        """Most stories begin with a router in both topics, and peers in them."""
        for topic in TOPICS:
            self.join(topic, validate=False)
        for number, room in enumerate(rooms, 1):
            self.connect(number, number % 3 == 0, room)
        for number, topic in members:
            self.subscription(number, topic, subscribe=True)

    @rule(number=numbers, outbound=st.booleans(), room=st.sampled_from((0, 1000, 1_000_000)))
    def connect(self, number, outbound, room):
        protocol = ev.Protocol.FLOODSUB if number == FLOODSUB else ev.Protocol.MESHSUB_1_2
        self.connected.add(number)
        self.bench.give(ev.PeerConnected(peer_id(number), protocol, outbound, None, room))
        self.settle()

    @rule(number=numbers)
    def disconnect(self, number):
        self.settle()
        self.connected.discard(number)
        self.bench.give(ev.PeerDisconnected(peer_id(number)))

    @rule(number=numbers, room=st.integers(0, 100_000))
    def writable(self, number, room):
        self.bench.give(ev.Writable(peer_id(number), room))
        self.settle()

    @rule(topic=topics, validate=st.booleans())
    def join(self, topic, validate):
        self.bench.give(ev.Subscribe(topic, validate))
        self.settle()

    @rule(topic=topics)
    def leave(self, topic):
        self.bench.give(ev.Unsubscribe(topic))
        self.settle()

    @rule(topic=topics, size=st.sampled_from((10, 2000)))
    def publish(self, topic, size):
        self.bench.give(ev.Publish(topic, bytes(size), 0))
        self.settle()

    @rule(number=numbers, topic=topics, subscribe=st.booleans())
    def subscription(self, number, topic, subscribe):
        self.bench.say(number, subscription_field(topic, subscribe=subscribe))
        self.settle()

    @rule(those=st.lists(numbers, min_size=1, max_size=9, unique=True), topic=topics)
    def graft(self, those, topic):
        for number in those:
            self.bench.tell(number, graft_part(topic))
            self.settle()

    @rule(number=numbers, topic=topics, seconds=backoffs)
    def prune(self, number, topic, seconds):
        is_heard = number in self.connected and topic in self.bench.router.topics()
        self.bench.tell(number, prune_part(topic, (), seconds))
        if is_heard and (number in self.direct or self.bench.score(number) >= -2500):
            self.pruned(topic, number, seconds)
        self.settle()

    @rule(number=numbers, topic=topics, author=numbers | st.just(LOCAL), size=st.sampled_from((10, 2000)))
    def message(self, number, topic, author, size):
        self.messages.append(self.bench.message(author, bytes(size), topic=topic))
        self.bench.say(number, self.messages[-1])
        self.settle()

    @rule(number=numbers, at=st.integers(0, 100))
    def message_again(self, number, at):
        if self.messages:
            self.bench.say(number, self.messages[at % len(self.messages)])
            self.settle()

    @rule(number=numbers)
    def forgery(self, number):
        self.bench.say(number, self.bench.message(sign=lambda _: bytes(64), topic="room"))
        self.settle()

    @rule(at=st.integers(0, 10), verdict=st.sampled_from(ev.Verdict))
    def verdict(self, at, verdict):
        if self.asked:
            self.bench.give(ev.Validated(self.asked.pop(at % len(self.asked)), verdict))
            self.settle()

    @rule(number=numbers, topic=topics, at=st.integers(0, 100))
    def gossip(self, number, topic, at):
        ids = [self.id_of(each) for each in self.messages[at % 7 :: 7]]
        self.bench.tell(number, ihave_part(topic, ids), iwant_part(ids[::2]), idontwant_part(ids[::3]))
        self.settle()

    @rule(number=numbers, direct=st.booleans())
    def befriend(self, number, direct):
        self.settle()
        (self.direct.add if direct else self.direct.discard)(number)
        kind = ev.AddDirectPeer if direct else ev.RemoveDirectPeer
        self.bench.give(kind(peer_id(number)))
        self.settle()

    @rule(number=numbers, value=st.sampled_from((-10_000.0, -600.0, -1.0, 0.0, 20.0)))
    def rated(self, number, value):
        self.bench.give(ev.SetApplicationScore(peer_id(number), value))

    @rule(seconds=st.sampled_from((0.01, 0.3, 1.0, 5.0, 70.0)))
    def time(self, seconds):
        """To just behind a heartbeat, whose work is looked at."""
        end = self.bench.now + seconds
        while self.bench.now < end:
            beats = self.bench.count("heartbeats")
            self.bench.run(min(0.25, end - self.bench.now))
            self.settle()
            if self.bench.count("heartbeats") > beats:
                self.after_heartbeat()

    def id_of(self, field):
        """The id of a message that was made."""
        return decode(field).messages[0].message_id

    # --- what must hold ---

    def after_heartbeat(self):
        """Every mesh has D_low to D_high peers, or all who could be in it."""
        parts = self.bench.router._parts
        for name, topic in parts.topics.joined.items():
            assert len(topic.mesh) <= PARAMS.D_high
            fit = [
                peer
                for peer in topic.peers
                if peer.protocol.has_mesh
                and not peer.is_direct
                and self.bench.now - 3 >= self.may_graft_at.get((name, self.number(peer)), -9)
                and self.bench.router.score(peer.peer_id) >= 0
                and peer.outbox.stalled_since is None
            ]
            assert len(topic.mesh) >= min(PARAMS.D_low, len(fit))

    def number(self, peer):
        """Whose peer it is."""
        return next(number for number in range(1, 10) if peer_id(number) == peer.peer_id)

    @invariant()
    def mesh_and_fanout_are_of_the_topic(self):
        parts = self.bench.router._parts
        assert set(parts.peers) == {peer_id(number) for number in self.connected}
        for topic in parts.topics.by_name.values():
            for group in (topic.mesh or {}, topic.fanout or {}, topic.always):
                assert set(group) <= set(topic.peers)
            assert all(parts.peers[peer.peer_id] is peer for peer in topic.peers)
            assert not any(peer.is_direct or not peer.protocol.has_mesh for peer in topic.mesh or {})
            assert topic.peers or topic.is_ours
            assert all(peer.topics[topic.name] is topic for peer in topic.peers)

    @invariant()
    def everything_is_bounded(self):
        parts = self.bench.router._parts
        assert parts.mcache.bytes <= PARAMS.mcache_bytes_max
        assert parts.mcache.bytes == sum(len(entry.field) for entry in parts.mcache._entries.values())
        for peer in parts.peers.values():
            box = peer.outbox
            queues = (box.own, box.forward, box.gossip)
            assert box.bytes == sum(len(item[1]) for queue in queues for item in queue)
            assert box.bytes <= PARAMS.queue_bytes_max
            assert not box.is_marked
        foreign = [topic for topic in parts.topics.by_name.values() if not topic.is_ours]
        assert parts.topics._foreign == len(foreign)
        assert parts.topics._foreign_subscriptions == sum(len(topic.peers) for topic in foreign)

    @invariant()
    def it_is_woken_later(self):
        assert self.bench.router.next_deadline() > self.bench.now

    def teardown(self):
        """However it was: a minute later it still works."""
        if "bench" not in self.__dict__:
            return
        self.bench.run(70)
        self.bench.hush()
        for number in (21, 22):
            self.bench.connect(number, topics=TOPICS)
        self.bench.give(ev.Subscribe("room"))
        self.bench.hush()
        self.bench.say(21, self.bench.message(author=77))
        assert len(self.bench.all(ev.Deliver)) == 1
        assert decode(b"") == self.bench.heard(21)


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
