"""Gossip routers that talk in virtual time over links with seeded delays, and scripted peers among them."""

import hashlib
import heapq
from collections import Counter
from itertools import count
from math import inf

from helpers.dht_peers import ip_of, key_pair
from kontinuum.base.entropy import Rng
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.router import Router
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import SIGNING_PREFIX, signed_body, unsigned_body

START_NS = 1_767_355_200 * 10**9
"""Noon of the second of January 2026."""

HEARTBEAT_S = 1.0


def unix_ns(now):
    """The time of day at a monotonic time."""
    return START_NS + int(now * 1e9)


def cheap_signature(public_key, data):
    """Not a signature, but as long as one: whoever has the key can make it, and nobody does in tests."""
    return hashlib.sha512(public_key + data).digest()


def cheap_signer(peer_id):
    """What signs for a peer."""
    return lambda data: cheap_signature(peer_id, data)


def cheap_verify(signed):
    """For each whether ``cheap_signature`` made it."""
    return [cheap_signature(key, data) == signature for key, data, signature in signed]


def peer_id(number):
    """The identity of peer ``number``."""
    return key_pair(number).peer_id


def router(number=0, *, params=None, score=None, thresholds=None, **kwargs):
    """A router with cheap signatures; parameters by name."""
    local = peer_id(number)
    return Router(
        local,
        params or GossipParams(),
        scores=PeerScore(score or PeerScoreParams()),
        thresholds=thresholds or PeerScoreThresholds(),
        rng=Rng(number),
        sign=kwargs.pop("sign", cheap_signer(local)),
        verify=kwargs.pop("verify", cheap_verify),
        unix_ns=kwargs.pop("unix_ns", unix_ns),
        **kwargs,
    )


def message_body(author, topic, data, seqno, *, sign=None):
    """A signed message of peer ``author``, canonical bytes."""
    identity = peer_id(author)
    unsigned = unsigned_body(identity.multihash, seqno.to_bytes(8), topic, data)
    return signed_body(unsigned, (sign or cheap_signer(identity))(SIGNING_PREFIX + unsigned))


class GossipNet:
    """Routers by number. Time goes on with :meth:`run`; all chance comes from ``seed``.

    ``frozen`` ones never read: their streams take nothing once they are full. ``lossy`` is the share of RPCs
    that vanish. What a router wants of its shell is in ``effects`` by number and kind; what it delivered in
    ``delivered``.
    """

    def __init__(self, *, seed=0, delay_s=(0.01, 0.05), room_bytes=ev.SEND_ROOM_BYTES, lossy=0.0):
        self.now = 0.0
        self.routers = {}
        self.scripted = {}
        """Numbers of peers that are no routers: what they were sent, as decoded RPCs."""
        self.delivered = {}
        self.effects = {}
        self.frozen = set()
        self.links = {}
        self.rpcs = Counter()
        self.bytes = Counter()
        """Sent by each."""
        self._rng = Rng(seed)
        self._delay_s = delay_s
        self._room_bytes = room_bytes
        self._lossy = lossy
        self._queue = []
        self._serial = count()
        self._numbers = {}
        self._used = Counter()
        self._last = {}
        self._due = {}

    # --- making it ---

    def add(self, number, machine=None, **kwargs):
        """A router; its heartbeats begin somewhere within the first one."""
        machine = machine or router(number, **kwargs)
        self.routers[number] = machine
        self.delivered[number] = []
        self.effects[number] = []
        self._numbers[peer_id(number)] = number
        start = self.now + self._rng.uniform(0, HEARTBEAT_S)
        self._due[number] = start
        self._at(start, lambda: self._wake(number, machine))
        return machine

    def add_scripted(self, number):
        """A peer that says only what the test has it say."""
        self.scripted[number] = []
        self._numbers[peer_id(number)] = number

    def connect(self, one, other, protocol=ev.Protocol.MESHSUB_1_2, *, address=None):
        """A connection that ``one`` has dialled."""
        delay_s = self._rng.uniform(*self._delay_s)
        self.links[one, other] = self.links[other, one] = delay_s
        for here, there, outbound in ((one, other, True), (other, one, False)):
            ip = address or ip_of(there)
            self.give(here, ev.PeerConnected(peer_id(there), protocol, outbound, ip, self._room_bytes))

    def connect_randomly(self, degree):
        """Each dials ``degree`` others."""
        numbers = list(self.routers)
        for number in numbers:
            others = [each for each in numbers if each != number and (number, each) not in self.links]
            for other in self._rng.sample(others, degree):
                self.connect(number, other)

    def disconnect(self, one, other):
        """The connection ends; what is on its way is lost."""
        for here, there in ((one, other), (other, one)):
            self.links.pop((here, there), None)
            self.give(here, ev.PeerDisconnected(peer_id(there)))

    def kill(self, number):
        """A router is gone."""
        for one, other in list(self.links):
            if one == number:
                self.disconnect(one, other)
        del self.routers[number]

    # --- running it ---

    def give(self, number, *events):
        """Give a router events, and perform what it wants."""
        machine = self.routers.get(number)
        if machine is not None:
            self._perform(number, machine.handle_batch(events, self.now))

    def say(self, number, to, rpc):
        """A scripted peer sends an RPC (bytes) at once, without delay."""
        self.give(to, ev.RpcReceived(peer_id(number), rpc))

    def subscribe(self, topic, *numbers):
        """All of them, or those named, join a topic."""
        for number in numbers or list(self.routers):
            self.give(number, ev.Subscribe(topic))

    def publish(self, number, topic, data):
        """A router publishes; the effect Published is returned."""
        self.give(number, ev.Publish(topic, data, 0))
        return self.last(number, ev.Published)

    def run(self, seconds):
        """Let time go on."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            at, _, action = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            action()
        self.now = end

    # --- looking at it ---

    def last(self, number, kind):
        """The latest effect of a kind."""
        return next(effect for effect in reversed(self.effects[number]) if isinstance(effect, kind))

    def all(self, number, kind):
        """All effects of a kind."""
        return [effect for effect in self.effects[number] if isinstance(effect, kind)]

    def got(self, number):
        """The data of what a router delivered."""
        return [message.data for message in self.delivered[number]]

    def total(self, counter):
        """A counter of all routers together."""
        return sum(machine.counters()[counter] for machine in self.routers.values())

    # --- inside ---

    def _at(self, when, action):
        heapq.heappush(self._queue, (when, next(self._serial), action))

    def _wake(self, number, machine):
        if self.routers.get(number) is machine and machine.next_deadline() <= self.now:
            self._perform(number, machine.handle_timeout(self.now))
            assert machine.next_deadline() > self.now

    def _schedule(self, number):
        """See that a router is woken at its next deadline."""
        machine = self.routers[number]
        due = machine.next_deadline()
        if due < self._due.get(number, inf) or self._due[number] <= self.now:
            self._due[number] = due
            self._at(due, lambda: self._wake(number, machine))

    def _perform(self, number, effects):
        for effect in effects:
            if isinstance(effect, ev.Send):
                self._send(number, self._numbers[effect.peer], effect.data)
            elif isinstance(effect, ev.Deliver):
                self.delivered[number].append(effect.message)
            else:
                self.effects[number].append(effect)
        if number in self.routers:
            self._schedule(number)

    def _send(self, number, to, data):
        self.rpcs[number] += 1
        self.bytes[number] += len(data)
        link = (number, to)
        delay_s = self.links.get(link)
        if delay_s is None:
            return
        if to in self.scripted:
            self.scripted[to].append(decode(data))
        elif self._rng.uniform(0, 1) >= self._lossy:
            # Streams keep the order.
            at = self._last[link] = max(self.now + delay_s, self._last.get(link, 0.0))
            self._at(at, lambda: self._arrive(number, to, data))
        self._used[link] += len(data)
        if to not in self.frozen and self._used[link] >= self._room_bytes // 2:
            self._used[link] = 0
            self._at(self.now + delay_s, lambda: self._open(number, to))

    def _open(self, number, to):
        if (number, to) in self.links:
            self.give(number, ev.Writable(peer_id(to), self._room_bytes))

    def _arrive(self, number, to, data):
        if (number, to) in self.links and to in self.routers:
            self.give(to, ev.RpcReceived(peer_id(number), data))
