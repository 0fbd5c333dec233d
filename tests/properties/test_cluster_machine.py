"""Two clusters under rekeyings, revocations, thieves, partitions and broken sessions, whatever the order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.cluster_net import ClusterNet, Home, Scripted
from helpers.keys import NOON
from kontinuum.base.errors import KontinuumError
from kontinuum.clusters import events as ev
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import Statements
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import encode_bundle
from kontinuum.keys.chain import Chain
from kontinuum.keys.standing import Standing

NODES = 4
"""Of each cluster; the last one of each may be revoked."""

SETTLED_S = 25.0
"""After which everything that was under way has ended: deadlines, streams that are tried again, summaries."""

ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["rekey", "revoke", "steal", "partition", "heal", "break", "cut stream", "distrust", "wait"]
        ),
        st.integers(0, 2 * NODES - 1),
        st.integers(0, 3),
    ),
    max_size=14,
)


class Story:
    """The two clusters, and what happens to them."""

    def __init__(self, seed):
        self.net = ClusterNet(seed, gossip=bool(seed % 2))
        self.homes = [Home.found(1, NODES), Home.found(2, NODES)]
        self.nodes = [node for home in self.homes for node in self.net.add_all(home)]
        self.nodes[0].trust(self.homes[1], "bob")
        self.nodes[NODES].trust(self.homes[0], "alice")
        self.net.connect(self.nodes[0], self.nodes[NODES])
        self.net.connect(self.nodes[1], self.nodes[NODES + 1])
        self.revoked = {}
        self.thieves = []
        self.distrusted = False
        self.net.run(5)

    def act(self, what, which, detail):
        """Let something happen, and a little time pass; then look whether everything is as it must be."""
        node, net = self.nodes[which], self.net
        match what:
            case "rekey" if node.home.id not in self.closed(node):
                node.rekey()
            case "revoke":
                self.revoke(node, self.nodes[which // NODES * NODES + NODES - 1], detail)
            case "steal":
                self.steal(node, detail)
            case "partition":
                net.partition([each for index, each in enumerate(self.nodes) if (which >> (index % 3)) & 1])
            case "heal":
                net.heal(broken=bool(detail % 2))
            case "break":
                links = [link for link in net.links.values() if link.open and node in link.ends]
                if links:
                    link = links[detail % len(links)]
                    net.close(link, node)
                    net.connect(*link.ends)
            case "cut stream":
                links = [
                    link for link in net.links.values() if link.open and link.stream and node in link.ends
                ]
                if links:
                    link = links[detail % len(links)]
                    net.end_stream(link, node)
                    node.feed(ev.StreamEnded(link.numbers[link.side(node)]))
        net.run(0.3 * detail + 0.01)
        self.check()

    def closed(self, node):
        """Where this node has nothing to say any more."""
        standing = Standing(node.book.own)
        return () if standing.of_branch(node.branch.path).living else (node.home.id,)

    def revoke(self, where, victim, detail):
        """The root ends a node, as said on one of the others."""
        if where is victim:
            return
        scope = (Scope.EPOCHS, Scope.BRANCH, Scope.PLACE)[detail % 3]
        chain = Chain(where.home.chain.genesis)
        chain.merge(where.book.own)
        epoch = max(chain.registers.epochs(victim.branch.path), default=0)
        try:
            statement = Author(chain, where.home.root).revoke(victim.branch.path, scope, NOON, epoch=epoch)
        except KontinuumError:
            return
        where.feed(ev.Said(where.home.id, (statement,)))
        keys = self.keys_of(victim)
        self.revoked[statement.id] = (where.home.id, keys[: epoch + 1] if scope is Scope.EPOCHS else keys)

    def keys_of(self, victim):
        """Every key that the victim, or a thief of its branch, ever had."""
        return [victim.branch.epoch(epoch).signing().peer_id for epoch in range(8)]

    def steal(self, node, detail):
        """A thief with the last node's branch, or its first key, calls somebody and shows what he has."""
        victim = self.nodes[self.nodes.index(node) // NODES * NODES + NODES - 1]
        chain = Chain(victim.home.chain.genesis)
        chain.merge(victim.book.own)
        key = victim.branch.epoch(detail).signing()
        thief = Scripted(self.net, key)
        thief.island = node.island
        link = thief.meet(node, victim.home.id)
        try:
            moved = Author(chain, victim.branch).rekey(NOON, epoch=detail)
        except KontinuumError:
            return
        thief.say(link, Statements(victim.home.id, encode_bundle([moved.statement])))
        self.thieves.append(thief)

    def check(self):
        """Whoever has heard a revocation neither believes the keys nor has a session with them."""
        for node in self.nodes:
            peers = {session.peer for session in node.machine.sessions()}
            for statement, (cluster, keys) in self.revoked.items():
                chain = node.book.chain(cluster)
                if chain is None or statement not in chain:
                    continue
                for key in keys:
                    judged = node.book.judge(key).judgement
                    assert judged in (Judgement.OUT_OF_USE, Judgement.STRANGER)
                    assert judged is Judgement.STRANGER or key not in peers
            for cluster, statements in node.saved.items():
                chain = node.book.chain(cluster)
                assert chain is None or all(each in chain for each in statements)

    def settle(self):
        """Everybody can reach everybody, for long enough."""
        self.net.heal()
        self.net.mesh([node for node in self.nodes if not self.closed(node)])
        self.net.run(SETTLED_S)
        self.check()


def living(chain, key):
    """Whether a chain lets a key speak."""
    try:
        Standing(chain).verify_speaker(key)
    except KontinuumError:
        return False
    return True


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), acts=ACTS)
def test_whoever_heard_a_revocation_believes_its_key_no_more_and_all_agree_in_the_end(seed, acts):
    """
    No order of rekeyings, thefts, revocations, partitions and broken sessions lets a revoked key stay
    recognised where the statement has arrived, or keeps a session with it; when everybody reaches everybody
    again, all hold the same chains, honest nodes recognise each other and no honest session was cut.
    """
    story = Story(seed)
    for act in acts:
        story.act(*act)
    story.settle()

    firsts = {node.home.id: node.book.own for node in (story.nodes[0], story.nodes[NODES])}
    honest = [node for node in story.nodes if living(firsts[node.home.id], node.peer_id)]
    for home in story.homes:
        chains = [node.book.chain(home.id) for node in honest]
        assert all(chain == chains[0] for chain in chains)
        saved = set.union(*(set(node.saved.get(home.id, {})) for node in honest))
        assert saved <= {statement.id for statement in chains[0]}
    assert len(honest) >= 2 * (NODES - 1)
    assert all(one.recognises(other.peer_id) for one in honest for other in honest)
    untouched = [node for index, node in enumerate(story.nodes) if index % NODES != NODES - 1]
    for node in story.nodes:
        for cut in node.of(ev.Cut):
            assert not all(end in untouched for end in story.net.links[cut.connection].ends)
