"""Nodes of clusters in virtual time: machines, connections with delays, partitions, streams that break.

One seed, no threads, no sockets. What two ends of a connection export is a random secret of it; keys are
taken for proven. Messages of one connection arrive in order. A partition holds them back, or ends the
connections after ``IDLE_S``; when it has healed, what was held back arrives and nodes connect again.
"""

import heapq
import random
from dataclasses import dataclass, field

from helpers.keys import NOON, later
from kontinuum.base.entropy import Rng
from kontinuum.clusters import events as ev
from kontinuum.clusters.book import Book
from kontinuum.clusters.machine import ClusterMachine
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import VERSION, Hello, decode, encode
from kontinuum.clusters.tags import hello_tag
from kontinuum.clusters.trust import How, TrustList
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.chain import Chain
from kontinuum.keys.derivation import BranchSecret, EpochSecret, RootSeed
from kontinuum.keys.orders import Obedience

RTT_S = 0.05
"""A round trip, give or take a tenth. Issue 6."""


@dataclass
class Home:
    """A cluster: its root, and the chain as its owner has it at home."""

    seed: RootSeed
    chain: Chain
    secrets: list[tuple[BranchSecret, EpochSecret]]

    @classmethod
    def found(cls, number: int, nodes: int):
        """A root and nodes right below it."""
        seed = RootSeed(bytes([number]) * 32)
        root = seed.cluster()
        chain = found_chain(root)
        secrets = []
        for index in range(nodes):
            born = Author(chain, root).delegate(NOON, label=f"node {index}", depth=1)
            secrets.append((born.branch, born.epoch))
        return cls(seed, chain, secrets)

    @property
    def root(self) -> BranchSecret:
        """The root's branch."""
        return self.seed.cluster()

    @property
    def id(self):
        """The cluster's id."""
        return self.chain.cluster

    def copy(self) -> Chain:
        """The chain as another node has it."""
        other = Chain(self.chain.genesis)
        other.merge(self.chain)
        return other


class Node:
    """A machine, and what its shell and its disk would keep."""

    def __init__(
        self,
        net,
        home: Home,
        branch: BranchSecret,
        epoch: EpochSecret,
        *,
        chain=None,
        trust=(),
        obedience=None,
        orders=(),
    ):
        self.net, self.home, self.branch = net, home, branch
        self.key = epoch.signing()
        self.island = 0
        self.saved = {}
        """Statements that were saved, by cluster."""
        self.effects = []
        """Everything but what is sent."""
        self.sent_bytes = 0
        self.book = Book(home.copy() if chain is None else chain, branch.path, TrustList(trust))
        self.machine = ClusterMachine(
            self.book,
            self.key.peer_id,
            rng=Rng(net.random.getrandbits(32)),
            obedience=Obedience(branch.path, obedience),
            orders=orders,
        )
        self.topics = ()
        self.wakes_at = None

    @property
    def peer_id(self):
        """Its key on the wire."""
        return self.key.peer_id

    def of(self, kind):
        """Effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def recognises(self, peer_id) -> bool:
        """Whether a key speaks for somebody, as this node sees it."""
        return self.book.judge(peer_id).judgement is Judgement.MEMBER

    def feed(self, event):
        """Let the machine take an event, now, and perform what follows."""
        self.net.perform(self, self.machine.handle(event, self.net.now))

    # --- what its owner does ---

    def say(self, act, secret=None, home=None):
        """Write with a pen into a copy of the chain, and let the node say what is new."""
        home = self.home if home is None else home
        chain = Chain(home.chain.genesis)
        chain.merge(self.book.chain(home.id))
        before = {statement.id for statement in chain}
        result = act(Author(chain, home.root if secret is None else secret))
        said = tuple(statement for statement in chain if statement.id not in before)
        self.feed(ev.Said(home.id, said))
        return result

    def revoke(self, victim, scope):
        """The root takes a node's keys out of use, here."""
        return self.say(lambda author: author.revoke(victim.branch.path, scope, self.net.at()))

    def rekey(self):
        """Move on to the next epoch, with the branch's own secret."""
        chain = Chain(self.home.chain.genesis)
        chain.merge(self.book.own)
        moved = Author(chain, self.branch).rekey(self.net.at())
        old, self.key = self.key, moved.secret.signing()
        self.feed(ev.Moved((moved.statement,), self.key, old.peer_id))
        return moved

    def trust(self, other: Home, name: str):
        """Trust another cluster, whose chain its owner brought."""
        entry = self.book.trust_entry(other.chain.genesis, name, How.MEET, self.key, self.net.at())
        self.feed(ev.TrustSaid((entry,)))
        self.feed(ev.Said(other.id, tuple(other.chain)))
        return entry

    def distrust(self, name: str):
        """Trust it no longer."""
        entry = self.book.distrust_entry(name, self.key, self.net.at())
        self.feed(ev.TrustSaid((entry,)))


class Scripted:
    """Somebody without a machine, who says what the test wants: a stranger, a thief, a liar."""

    def __init__(self, net, key):
        self.net, self.key = net, key
        self.island = 0
        self.events = []

    @property
    def peer_id(self):
        """Its key on the wire."""
        return self.key.peer_id

    def feed(self, event):
        """Remember what happens."""
        self.events.append(event)

    def dial(self, node):
        """Connect, and open the stream."""
        link = self.net.connect(self, node)
        self.net.run(1)
        self.open(link)
        return link

    def open(self, link):
        """Open a stream."""
        self.net.open_stream(link, self)
        self.net.run(0.2)

    def tag(self, link, cluster) -> bytes:
        """The tag of somebody who knows a cluster's id."""
        return hello_tag(link.exporter, cluster, dialler=link.side(self) == 0)

    def meet(self, node, cluster):
        """Dial and greet."""
        link = self.dial(node)
        self.say(link, Hello(VERSION, self.tag(link, cluster)))
        return link

    def say(self, link, *messages):
        """Send messages, or bytes, and let them be answered."""
        for message in messages:
            data = message if isinstance(message, bytes) else encode(message)
            self.net.send_raw(link, self, data)
        self.net.run(0.5)

    def heard(self, kind=object):
        """The messages of one kind that came."""
        messages = [decode(event.data) for event in self.events if isinstance(event, ev.Received)]
        return [message for message in messages if isinstance(message, kind)]

    def was(self, kind) -> int:
        """How often something happened."""
        return sum(isinstance(event, kind) for event in self.events)


@dataclass(eq=False)
class Link:
    """A connection: each end's node and number."""

    ends: tuple
    numbers: tuple
    exporter: bytes
    open: bool = True
    at: list = field(default_factory=lambda: [0, 0])
    """Which stream each end is on; 0 for none. What comes on another one is lost."""
    streams: int = 0
    free_at: list = field(default_factory=lambda: [0.0, 0.0])
    held: list = field(default_factory=list)

    @property
    def stream(self) -> bool:
        """Whether both ends are on one stream."""
        return self.at[0] == self.at[1] != 0

    def side(self, node) -> int:
        """0 for who dialled, 1 for the other."""
        return 0 if self.ends[0] is node else 1


class ClusterNet:
    """The network and the clock."""

    def __init__(self, seed: int = 1, rtt_s: float = RTT_S, *, gossip: bool = False):
        self.random = random.Random(seed)  # noqa: S311  a simulation repeats
        self.now = 0.0
        self.rtt_s = rtt_s
        self.gossip = gossip
        """Whether topics reach everybody who follows them on the same island."""
        self.nodes = []
        self.links = {}
        self._queue = []
        self._count = 0
        self._numbers = 0

    def at(self):
        """The time of day."""
        return later(self.now)

    # --- nodes ---

    def add(self, home: Home, index: int, **fields) -> Node:
        """Start a node of a cluster."""
        node = Node(self, home, *home.secrets[index], **fields)
        self.nodes.append(node)
        node.feed(ev.Started())
        return node

    def add_all(self, home: Home, **fields):
        """All of a cluster's, each connected with each."""
        nodes = [self.add(home, index, **fields) for index in range(len(home.secrets))]
        self.mesh(nodes)
        return nodes

    def mesh(self, nodes):
        """Connect each with each."""
        for index, node in enumerate(nodes):
            for other in nodes[:index]:
                self.connect(node, other)

    # --- time ---

    def after(self, seconds: float, act) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, act))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = until

    def run_until(self, done, seconds: float) -> float:
        """Let time pass until something holds; returns how long it took."""
        began, until = self.now, self.now + seconds
        while not done():
            assert self._queue, "nothing will happen any more"
            assert self._queue[0][0] <= until, f"it does not hold after {seconds} s"
            self.now, _, act = heapq.heappop(self._queue)
            act()
        return self.now - began

    def _delay(self) -> float:
        return self.random.uniform(0.45, 0.55) * self.rtt_s

    # --- connections ---

    def connect(self, dialler: Node, other: Node) -> Link:
        """Dial; both have the connection after a handshake of a round trip or so."""
        self._numbers += 2
        link = Link(
            (dialler, other), (self._numbers, self._numbers + 1), self.random.getrandbits(256).to_bytes(32)
        )
        self.links.update(dict.fromkeys(link.numbers, link))
        keys = (dialler.peer_id, other.peer_id)
        link.free_at[0] = self.now + self.rtt_s * 1.5  # Nothing comes before the connection.
        for side in (0, 1):
            opened = ev.Opened(link.numbers[side], keys[1 - side], keys[side], side == 0, link.exporter)
            self.after(
                self.rtt_s * (1 + side / 2), lambda side=side, opened=opened: self._open(link, side, opened)
            )
        return link

    def _open(self, link, side, opened):
        if link.open:
            link.ends[side].feed(opened)

    def linked(self, one: Node, other: Node) -> bool:
        """Whether a connection between them is open."""
        return any(link.open and set(link.ends) == {one, other} for link in self.links.values())

    def close(self, link: Link, by: Node) -> None:
        """One end closes the connection."""
        if link.open:
            link.open = False
            other = link.ends[1 - link.side(by)]
            by.feed(ev.Closed(link.numbers[link.side(by)]))
            self.after(self._delay(), lambda: other.feed(ev.Closed(link.numbers[link.side(other)])))

    def _travel(self, link: Link, side: int, act) -> None:
        """Something goes from one side to the other, in order; a partition holds it back."""
        sender, receiver = link.ends[side], link.ends[1 - side]
        if sender.island != receiver.island or any(held[0] == side for held in link.held):
            link.held.append((side, act))
            return
        link.free_at[side] = max(link.free_at[side], self.now + self._delay())

        def arrive():
            if sender.island != receiver.island:
                link.held.append((side, act))
            elif link.open:
                act()

        self.after(link.free_at[side] - self.now, arrive)

    def send_raw(self, link: Link, sender: Node, data: bytes) -> None:
        """A message on the link's stream, whatever the sender's machine thinks of it."""
        side = link.side(sender)
        stream, receiver = link.at[side], link.ends[1 - side]

        def arrive():
            if link.at[1 - side] == stream != 0:
                receiver.feed(ev.Received(link.numbers[1 - side], data))

        self._travel(link, side, arrive)

    def partition(self, *islands) -> None:
        """Separate groups of nodes; everybody else is on an island of their own."""
        self._move({id(node): number for number, island in enumerate(islands, 1) for node in island})

    def heal(self, *, broken: bool = False) -> None:
        """Everybody reaches everybody again.

        Args:
            broken: The connections between islands did not survive; nodes connect anew within a second.
        """
        self._move({}, broken=broken)

    def _move(self, islands, *, broken: bool = False) -> None:
        """Everybody is on the island that is named, or on island 0; what may travel again does."""
        ends = [end for link in self.links.values() for end in link.ends]
        before = {id(end): end.island for end in ends}
        for end in (*ends, *self.nodes):
            end.island = islands.get(id(end), 0)
        for link in dict.fromkeys(self.links.values()):
            one, other = link.ends
            if not link.open or one.island != other.island or before[id(one)] == before[id(other)]:
                continue
            held, link.held = link.held, []
            if broken:
                link.open = False
                for side in (0, 1):
                    link.ends[side].feed(ev.Closed(link.numbers[side]))
                self.after(self.random.uniform(0, 1), lambda one=one, other=other: self.connect(one, other))
                continue
            for side, act in held:
                self._travel(link, side, act)

    # --- effects ---

    def perform(self, node: Node, effects) -> None:
        """What a shell does."""
        for effect in effects:
            match effect:
                case ev.Send(number, data):
                    node.sent_bytes += len(data)
                    self.send_raw(self.links[number], node, data)
                case ev.OpenStream(number):
                    self.open_stream(self.links[number], node)
                case ev.Refuse(number):
                    self.end_stream(self.links[number], node)
                case ev.Announce(topic, data):
                    self._announce(node, topic, data)
                case ev.Save(cluster, statements):
                    node.saved.setdefault(cluster, {}).update({each.id: each for each in statements})
                case ev.Follow(topics):
                    node.topics = topics
            if not isinstance(effect, ev.Send):
                node.effects.append(effect)
            if isinstance(effect, ev.Cut):
                self.close(self.links[effect.connection], node)
        self._arm(node)

    def _arm(self, node: Node) -> None:
        due = node.machine.next_deadline()
        if due is not None and due != node.wakes_at:
            node.wakes_at = due
            self.after(max(0.0, due - self.now), lambda: self._wake(node, due))

    def _wake(self, node: Node, due: float) -> None:
        if node.wakes_at == due:
            node.wakes_at = None
            self.perform(node, node.machine.handle_timeout(self.now))

    def open_stream(self, link: Link, node: Node) -> None:
        """One end opens a stream; it may speak at once."""
        link.streams += 1
        side, stream = link.side(node), link.streams
        link.at[side] = stream
        other = link.ends[1 - side]

        def arrive():
            link.at[1 - side] = stream
            other.feed(ev.StreamReady(link.numbers[1 - side]))

        self._travel(link, side, arrive)
        self.after(0, lambda: node.feed(ev.StreamReady(link.numbers[side])))

    def end_stream(self, link: Link, node: Node) -> None:
        """One end gives the stream up."""
        side = link.side(node)
        stream, other = link.at[side], link.ends[1 - side]

        def arrive():
            if link.at[1 - side] == stream != 0:
                link.at[1 - side] = 0
                other.feed(ev.StreamEnded(link.numbers[1 - side]))

        link.at[side] = 0
        self._travel(link, side, arrive)

    def _announce(self, node: Node, topic: str, data: bytes) -> None:
        if not self.gossip:
            return
        for other in self.nodes:
            if other is not node and topic in other.topics:
                hops_s = self._delay() * self.random.choice((1, 2, 3))

                def arrive(other=other):
                    if other.island == node.island:
                        other.feed(ev.Heard(topic, data))

                self.after(hops_s, arrive)
