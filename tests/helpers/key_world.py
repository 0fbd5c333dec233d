"""A world of clusters that know each other, at message level: bytes between nodes, thieves, partitions,
sleep.

Virtual time, one seed, no threads. The clusters' machines are what this helper plays: how statements are
pushed and caught up is a plain epidemic here, and not what is tested; what is tested is what the chain
makes of it.
"""

import heapq
import random
from dataclasses import dataclass, field

from helpers.keys import NOON, later
from kontinuum.base import KontinuumError, PeerError
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import bundles, decode_bundle, decode_heads, encode_heads
from kontinuum.keys.chain import Chain
from kontinuum.keys.derivation import BranchSecret, EpochSecret, RootSeed
from kontinuum.keys.genesis import ClusterId, Genesis
from kontinuum.keys.orders import Obedience, Order
from kontinuum.keys.paths import Path, Place
from kontinuum.keys.standing import Standing
from kontinuum.keys.way_back import Way, way_back

DELAY_S = (0.02, 0.03)
"""One way: 40 to 60 ms for a round trip."""

CATCH_UP_S = 1.0
"""How often a node asks a random peer what it misses."""

PUSH_PEERS = 2
"""Nodes of each trusted cluster that hear of news at once."""


@dataclass
class Node:
    """A machine: what it holds, what it heard."""

    home: "Cluster"
    branch: BranchSecret
    epoch: EpochSecret
    chains: dict[ClusterId, Chain]
    awake: bool = True
    island: int = 0
    heard_at: dict[bytes, float] = field(default_factory=dict)
    obedience: dict[bytes, int] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Its name."""
        return self.branch.path.place

    def accepts(self, cluster: ClusterId, key) -> bool:
        """Whether it would talk to whoever shows this key."""
        chain = self.chains.get(cluster)
        if chain is None:
            return False
        try:
            Standing(chain).verify_speaker(key)
        except PeerError:
            return False
        return True


@dataclass
class Cluster:
    """A root, kept away, and its nodes; and whom it trusts."""

    number: int
    seed: RootSeed
    genesis: Genesis
    nodes: list[Node] = field(default_factory=list)
    trusts: list["Cluster"] = field(default_factory=list)

    @property
    def id(self) -> ClusterId:
        """Its chain's name."""
        return self.genesis.cluster


class World:
    """All clusters, the network between their nodes, and the clock."""

    def __init__(self, seed: int, clusters: int, nodes: int, trusted: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  a simulation repeats
        self.now = 0.0
        self._queue: list[tuple[float, int, object]] = []
        self._count = 0
        self.messages = 0
        self.clusters = [self._found(number, nodes) for number in range(clusters)]
        for cluster in self.clusters:
            others = [other for other in self.clusters if other is not cluster]
            cluster.trusts = self.random.sample(others, trusted)
        for cluster in self.clusters:
            for other in cluster.trusts:
                for node in cluster.nodes:
                    known = Chain(other.genesis)
                    known.merge(other.nodes[0].chains[other.id])
                    node.chains[other.id] = known
        self.nodes = [node for cluster in self.clusters for node in cluster.nodes]
        for node in self.nodes:
            self.after(self.random.uniform(0, CATCH_UP_S), lambda node=node: self._catch_up(node))

    def _found(self, number: int, nodes: int) -> Cluster:
        """A steward below the root, one node beside him, the others below him."""
        seed = RootSeed(number.to_bytes(32, "big"))
        chain = found_chain(seed.cluster())
        cluster = Cluster(number, seed, chain.genesis)
        root = Author(chain, seed.cluster())
        born = [root.delegate(NOON, label="steward", depth=1), root.delegate(NOON, label="beside")]
        steward = Author(chain, born[0].branch)
        born += [steward.delegate(NOON, label=f"node {each}") for each in range(nodes - 2)]
        for handover in born:
            own = Chain(chain.genesis)
            own.merge(chain)
            cluster.nodes.append(Node(cluster, handover.branch, handover.epoch, {cluster.id: own}))
        return cluster

    # --- time and network ---------------------------------------------------------------------------------

    def after(self, seconds: float, act) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, act))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = until

    def send(self, sender: Node, receiver: Node, act) -> None:
        """A message, if both are awake and on one island, now and when it arrives."""
        if sender.awake and receiver.awake and sender.island == receiver.island:
            self.messages += 1
            delay = self.random.uniform(*DELAY_S)
            self.after(delay, lambda: act() if receiver.awake and sender.island == receiver.island else None)

    def at(self):
        """The time of day."""
        return later(self.now)

    # --- distribution ---------------------------------------------------------------------------------------

    def learn(self, node: Node, cluster: ClusterId, statements) -> None:
        """A node takes statements in, and passes on what is new."""
        chain = node.chains.get(cluster)
        if chain is None:
            return
        added = chain.merge(statements).added
        for statement in added:
            node.heard_at.setdefault(statement.id, self.now)
        if added:
            self.push(node, cluster, added)

    def push(self, node: Node, cluster: ClusterId, statements) -> None:
        """News go to all of one's own nodes, and to a few of each cluster that is trusted or concerned."""
        data = list(bundles(statements))
        audience = [other for other in node.home.nodes if other is not node]
        for other in self.clusters:
            if other is not node.home and (other.id == cluster or cluster in other.nodes[0].chains):
                audience += self.random.sample(other.nodes, PUSH_PEERS)
        for receiver in audience:
            for each in data:
                self.send(
                    node, receiver, lambda receiver=receiver, each=each: self.hear(receiver, cluster, each)
                )

    def hear(self, node: Node, cluster: ClusterId, data: bytes) -> None:
        """A bundle arrives."""
        self.learn(node, cluster, decode_bundle(data))

    def _catch_up(self, node: Node) -> None:
        """Ask somebody for what is missing, and ask again in a while."""
        self.after(CATCH_UP_S, lambda: self._catch_up(node))
        if not node.awake:
            return
        peers = [each for each in node.home.nodes if each is not node]
        peers += [self.random.choice(other.nodes) for other in node.home.trusts]
        peer = self.random.choice(peers)
        for cluster in [each for each in node.chains if each in peer.chains]:
            heads = encode_heads(node.chains[cluster].heads())
            self.send(
                node, peer, lambda cluster=cluster, heads=heads: self._answer(peer, node, cluster, heads)
            )

    def _answer(self, node: Node, asker: Node, cluster: ClusterId, heads: bytes) -> None:
        known = decode_heads(heads)
        chain = node.chains[cluster]
        for data in bundles(chain.missing_since(known)):
            self.send(node, asker, lambda data=data: self.hear(asker, cluster, data))
        if any(head not in chain for head in known):
            mine = encode_heads(chain.heads())
            self.send(node, asker, lambda: self._give(asker, node, cluster, mine))

    def _give(self, node: Node, asker: Node, cluster: ClusterId, heads: bytes) -> None:
        for data in bundles(node.chains[cluster].missing_since(decode_heads(heads))):
            self.send(node, asker, lambda data=data: self.hear(asker, cluster, data))

    # --- what people and thieves do -----------------------------------------------------------------------

    def say(self, node: Node, secret: BranchSecret, act):
        """Somebody writes with a branch's pen on a node; the node distributes it. None if it cannot be
        said.
        """
        chain = node.chains[node.home.id]
        before = {statement.id for statement in chain}
        try:
            result = act(Author(chain, secret))
        except KontinuumError:
            return None
        said = [statement for statement in chain if statement.id not in before]
        for statement in said:
            node.heard_at[statement.id] = self.now
        self.push(node, node.home.id, said)
        return result

    def rekey(self, node: Node) -> None:
        """A node moves on, alone."""
        moved = self.say(node, node.branch, lambda author: author.rekey(self.at()))
        if moved is not None:
            node.epoch = moved.secret

    def order(self, steward: Node, child: Node) -> None:
        """A parent orders a child to rekey; the order is sent three times."""
        chain = steward.chains[steward.home.id]
        try:
            order = Order.issue(
                chain, steward.branch, child.branch.path, sequence=int(self.now * 1000), at=self.at()
            )
        except KontinuumError:
            return
        for _ in range(3):
            self.send(steward, child, lambda: self._obey(child, order.encode()))

    def _obey(self, node: Node, data: bytes) -> None:
        memory = Obedience(node.branch.path, node.obedience)
        try:
            memory.verify(Order.decode(data), node.chains[node.home.id])
        except KontinuumError:
            return
        node.obedience = memory.latest
        self.rekey(node)

    def find_back(self, node: Node) -> Way:
        """A node looks for itself and does what it is told; ancestors are asked out of band, as people do."""
        chain = node.chains[node.home.id]
        answer = way_back(chain, node.branch.path, node.epoch.epoch)
        match answer.way:
            case Way.MOVE_ON:
                node.epoch = node.branch.epoch(answer.epoch)
            case Way.REKEY:
                self.rekey(node)
            case Way.ASK_ANCESTOR:
                self._ask_ancestor(node, answer.path)
        return answer.way

    def _ask_ancestor(self, node: Node, path: Path) -> None:
        """The ancestor's owner makes a new branch for the next place on the way to the node, and so on
        down.
        """
        root = node.home.seed.cluster()
        chain = node.chains[node.home.id]
        parent = root.descendant(path)
        for child in node.place.indexes[len(path.steps) :]:
            newest = chain.registers.children(parent.path).get(child)
            last = child == node.place.indexes[-1] and len(parent.path.steps) == len(node.place.indexes) - 1
            if newest is None:
                depth = 0 if last else 1
                made = self.say(
                    node,
                    parent,
                    lambda author, child=child, depth=depth: author.delegate(
                        self.at(), child=child, depth=depth
                    ),
                )
            elif last or not Standing(chain).of_branch(parent.path.child(child, newest)).living:
                made = self.say(node, parent, lambda author, child=child: author.recover(child, self.at()))
            else:
                parent = parent.child(child, newest)
                continue
            if made is None:
                return
            parent = made.branch
            holder = next((each for each in node.home.nodes if each.place == parent.path.place), None)
            if holder is not None:
                holder.branch, holder.epoch = made.branch, made.epoch

    def revoke(self, where: Node, victim: Path, scope: Scope, epoch: int = 0):
        """The root's words are typed in on some node, and end something."""
        root = where.home.seed.cluster()
        return self.say(where, root, lambda author: author.revoke(victim, scope, self.at(), epoch=epoch))
