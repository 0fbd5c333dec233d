"""Any sequence of delegations, rekeyings, revocations, recoveries, thefts, losses, backups and merges.

Several nodes hold their own copy of one cluster's chain and are apart until a rule lets two of them talk.
Beside them runs a model: bare facts in Python sets, judged by the rules of docs/protocols/key-chain.md as a
reader would apply them. After every step, on every node: the chain says what the model says, what was once
out of use is out of use, and what stands at a place depends on nothing that its descendants or strangers
said. At the end all agree, and every honest place comes back to life.
"""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from helpers.keys import OTHER_SEED, SEED, forged, later
from kontinuum.base import KontinuumError, MisuseError
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bodies import Delegate, Rekey, Revoke, Scope, Unknown
from kontinuum.keys.chain import Chain
from kontinuum.keys.paths import Path, Place
from kontinuum.keys.public_keys import commit
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.standing import Standing
from kontinuum.keys.verdicts import branch_verdict, key_verdict

NODES = 3
WHOLE = 10**6
"""More than any epoch or branch: stands for all of them."""


@dataclass
class Facts:
    """What one node heard, as the model keeps it."""

    births: set = field(default_factory=set)
    """Path and the branch's public key."""

    epochs: set = field(default_factory=set)
    """Path, epoch, signing key."""

    ends: set = field(default_factory=set)
    """Parent's path, child, last branch and epoch that are out of use."""

    def hear(self, other):
        """Take over what somebody else heard."""
        self.births |= other.births
        self.epochs |= other.epochs
        self.ends |= other.ends

    def copy(self):
        """A backup."""
        return Facts(set(self.births), set(self.epochs), set(self.ends))

    def in_use(self, path):
        """Whether a branch counts: it and each above it was born once, is the newest, not ended, not
        disputed.
        """
        for level in range(1, len(path.steps) + 1):
            branch = Path(path.steps[:level])
            child, number = branch.steps[-1]
            keys = {key for born, key in self.births if born == branch}
            newer = any(
                born.parent == branch.parent and born.steps[-1].child == child and born.branch > number
                for born, _ in self.births
                if born.steps
            )
            ended = any(
                parent == branch.parent and ended == child and (last, epoch) >= (number, WHOLE)
                for parent, ended, last, epoch in self.ends
            )
            if len(keys) != 1 or newer or ended or self.is_contradictory(branch):
                return False
        return not self.is_contradictory(Path())

    def is_contradictory(self, branch):
        """Whether an epoch of the branch has two keys."""
        return any(
            one[:2] == two[:2] and one[2] != two[2]
            for one, two in itertools.combinations([each for each in self.epochs if each[0] == branch], 2)
        )

    def speakers(self):
        """The keys that speak, by place."""
        speaking = {}
        for path, epoch, key in self.epochs:
            newest = max(other for where, other, _ in self.epochs if where == path)
            ended = path.steps and any(
                (parent, child) == (path.parent, path.steps[-1].child)
                and (last, through) >= (path.branch, epoch)
                for parent, child, last, through in self.ends
            )
            if self.in_use(path) and epoch == newest and not ended and path.steps:
                speaking[path.place] = key
        return speaking

    def root_keys(self):
        """The key with which the root speaks, if it does."""
        epochs = {epoch: key for path, epoch, key in self.epochs if not path.steps}
        return {epochs[max(epochs)]} if epochs else set()


class KeyChainMachine(RuleBasedStateMachine):
    """One cluster, a few nodes, thieves."""

    branches = Bundle("branches")
    backups = Bundle("backups")

    node = st.integers(0, NODES - 1)

    def __init__(self):
        super().__init__()
        self.root = SEED.cluster()
        self.recovery = CheckedRecovery(found_chain(self.root).genesis, SEED)
        self.chains = [found_chain(self.root) for _ in range(NODES)]
        self.facts = [Facts() for _ in range(NODES)]
        self.dead = [set() for _ in range(NODES)]
        self.compromised = set()
        self.clock = 0

    @initialize(target=branches)
    def begin(self):
        """A root, a steward with two nodes, and one beside him, known to everybody."""
        made = [self.root]
        for parent, depth in ((0, 2), (0, 0), (1, 1), (1, 0)):
            handover = Author(self.chains[0], made[parent]).delegate(self.now(), depth=depth)
            self.born(0, handover)
            made.append(handover.branch)
        for node in range(1, NODES):
            self.talk(0, node)
        return multiple(*made)

    def now(self):
        """A moment later than all before."""
        self.clock += 1
        return later(self.clock)

    def author(self, node, branch):
        """The pen of a branch on a node, or None if the node has not heard of the branch."""
        try:
            return Author(self.chains[node], branch)
        except MisuseError:
            return None

    def born(self, node, handover):
        """Note what a delegation or recovery says."""
        self.facts[node].births.add((handover.branch.path, bytes(handover.branch.public)))
        self.spoke(node, handover.epoch)

    def spoke(self, node, epoch):
        """Note what a rekeying says."""
        self.facts[node].epochs.add((epoch.path, epoch.epoch, bytes(epoch.signing().peer_id)))

    @rule(
        target=branches,
        node=node,
        parent=branches,
        depth=st.integers(0, 2),
        child=st.none() | st.integers(0, 2),
    )
    def delegate(self, node, parent, depth, child):
        """A parent makes a place; two nodes that are apart may make the same one."""
        author = self.author(node, parent)
        if author is None:
            return multiple()
        try:
            handover = author.delegate(self.now(), depth=depth, child=child)
        except MisuseError:
            return multiple()
        self.born(node, handover)
        return handover.branch

    @rule(node=node, branch=branches)
    def rekey(self, node, branch):
        """An owner, or a thief with the same secret, moves on."""
        author = self.author(node, branch)
        if author is None:
            return
        try:
            self.spoke(node, author.rekey(self.now()).secret)
        except MisuseError:
            return

    @rule(target=branches, node=node, parent=branches, child=st.integers(0, 3))
    def recover(self, node, parent, child):
        """A parent answers a theft or a loss."""
        author = self.author(node, parent)
        if author is None:
            return multiple()
        try:
            handover = author.recover(child, self.now())
        except MisuseError:
            return multiple()
        self.born(node, handover)
        return handover.branch

    @rule(node=node, issuer=branches, victim=branches, scope=st.sampled_from(Scope), epoch=st.integers(0, 3))
    def revoke(self, node, issuer, victim, scope, epoch):
        """Anybody tries to revoke anything; whether he may is part of what is tested."""
        author = self.author(node, issuer)
        if author is None or not victim.path.steps:
            return
        epoch = epoch if scope is Scope.EPOCHS else 0
        itself = issuer.path == victim.path
        allowed = (itself and scope is not Scope.PLACE) or issuer.path.is_above(victim.path)
        living = self.facts[node].in_use(issuer.path)
        try:
            author.revoke(victim.path, scope, self.now(), epoch=epoch, recovery=self.recovery)
        except MisuseError:
            assert not (allowed and living)
            return
        assert allowed
        assert living
        last = {
            Scope.EPOCHS: (victim.path.branch, epoch),
            Scope.BRANCH: (victim.path.branch, WHOLE),
            Scope.PLACE: (WHOLE, WHOLE),
        }[scope]
        self.facts[node].ends.add((victim.path.parent, victim.path.steps[-1].child, *last))

    @rule(node=node, branch=branches)
    def checkpoint(self, node, branch):
        """A branch says what it saw."""
        author = self.author(node, branch)
        if author is None:
            return
        try:
            author.checkpoint(self.now())
        except MisuseError:
            return

    @rule(node=node, robbed=branches, epoch=st.integers(0, 3), victim=branches, scope=st.sampled_from(Scope))
    def thief_of_an_epoch_writes(self, node, robbed, epoch, victim, scope):
        """Who took what a running node holds signs nothing that is taken, in whoever's name."""
        chain = self.chains[node]
        key = robbed.epoch(epoch).signing()
        mine = OTHER_SEED.cluster().epoch(0)
        for birth in chain.registers.births_at(victim.path):
            bodies = [(Rekey(3, mine.signing().peer_id, mine.encryption().public), mine.signing())]
            if victim.path.steps:
                bodies.append((Revoke(victim.path, scope, 0, 0), None))
            for body, introduced in bodies:
                try:
                    chain.add(forged(chain, key, birth.id, body, introduced))
                except KontinuumError:
                    continue
                raise AssertionError("a thief of an epoch made a statement")

    @rule(
        node=node,
        branch=branches.filter(lambda each: each.path.steps),
        epoch=st.integers(0, 3),
        key=st.integers(0, 2),
    )
    def thief_of_a_branch_declares_his_own_key(self, node, branch, epoch, key):
        """He signs an epoch with keys that do not derive."""
        self.compromised.add(branch.path.place)
        chain = self.chains[node]
        mine = OTHER_SEED.cluster(key).child(0, self.clock % 60).epoch(self.clock % 1000)
        self.clock += 1
        for birth in chain.registers.births_at(branch.path)[:1]:
            body = Rekey(epoch, mine.signing().peer_id, mine.encryption().public)
            if birth.key == branch.public:
                chain.add(forged(chain, branch.key, birth.id, body, mine.signing(), at=self.now()))
                self.facts[node].epochs.add((branch.path, epoch, bytes(mine.signing().peer_id)))

    @rule(node=node, branch=branches.filter(lambda each: each.path.steps), child=st.integers(0, 2))
    def thief_of_a_branch_makes_a_foreign_child(self, node, branch, child):
        """He gives a place to keys that do not derive, perhaps one that is taken."""
        self.compromised.add(branch.path.place)
        chain = self.chains[node]
        mine = OTHER_SEED.cluster(1).child(child, self.clock % 60)
        self.clock += 1
        for birth in chain.registers.births_at(branch.path)[:1]:
            if birth.key == branch.public and birth.depth > 0:
                body = Delegate(child, mine.public, commit(b""), 0, "")
                chain.add(forged(chain, branch.key, birth.id, body, mine.key, at=self.now()))
                self.facts[node].births.add((branch.path.child(child), bytes(mine.public)))

    @rule(node=node, branch=branches.filter(lambda each: each.path.steps))
    def thief_of_a_branch_forks_it(self, node, branch):
        """He says something beside the strand's end, of a kind that nobody knows."""
        self.compromised.add(branch.path.place)
        chain = self.chains[node]
        for birth in chain.registers.births_at(branch.path)[:1]:
            if birth.key == branch.public:
                body = Unknown(99, bytes([self.clock % 24]))
                chain.add(forged(chain, branch.key, birth.id, body, at=self.now(), previous=(), sequence=0))

    @rule(target=backups, node=node)
    def back_up(self, node):
        """A node's chain is copied away."""
        return (list(self.chains[node]), self.facts[node].copy())

    @rule(node=node, backup=backups)
    def come_back_from_a_backup(self, node, backup):
        """A node loses what it heard since, and begins with the copy."""
        statements, facts = backup
        self.chains[node] = Chain(self.chains[node].genesis)
        self.chains[node].merge(statements)
        self.facts[node] = facts.copy()
        self.dead[node] = set()

    @rule(one=node, two=node)
    def talk(self, one, two):
        """Two nodes send each other what the other lacks."""
        here, there = self.chains[one], self.chains[two]
        to_there, to_here = here.missing_since(there.heads()), there.missing_since(here.heads())
        for chain, statements in ((there, to_there), (here, to_here)):
            merged = chain.merge(statements)
            assert not merged.missing
            assert not merged.refused
        self.facts[one].hear(self.facts[two])
        self.facts[two].hear(self.facts[one])
        self.dead[one] |= self.dead[two]
        self.dead[two] |= self.dead[one]
        assert here == there

    @invariant()
    def the_chain_says_what_the_model_says(self):
        """The same places speak, with the same keys, and no other key does."""
        for chain, facts in zip(self.chains, self.facts, strict=True):
            speaking = facts.speakers()
            said = {each.place: bytes(each.signing) for each in Standing(chain).speakers()}
            assert said == speaking
            registers = chain.registers
            living = {bytes(key) for key in registers.speakers() if key_verdict(registers, key).living}
            assert living == set(speaking.values()) | facts.root_keys()

    @invariant()
    def who_was_out_of_use_stays_so(self):
        """No key and no branch comes back, whatever was said since."""
        for chain, dead in zip(self.chains, self.dead, strict=True):
            registers = chain.registers
            for key in registers.speakers():
                if not key_verdict(registers, key).living:
                    dead.add(bytes(key))
                else:
                    assert bytes(key) not in dead

    @invariant()
    def a_place_depends_on_its_ancestors_and_itself_only(self):
        """A chain without what descendants and strangers said gives the same verdict."""
        chain = self.chains[self.clock % NODES]
        registers = chain.registers
        for path in {birth.path: None for birth in registers.births()}:
            line = path.lineage()
            lean = Chain(chain.genesis)
            lean.merge(each for each in chain if registers.birth(each.issuer).path in line)
            assert branch_verdict(lean.registers, path) == branch_verdict(registers, path)

    def teardown(self):
        """All agree in whatever order they meet; and the parents bring every honest place back."""
        merged = []
        for order in itertools.permutations(range(NODES)):
            chain = Chain(self.chains[0].genesis)
            for number in order:
                chain.merge(self.chains[number])
                chain.merge(self.chains[number])
            merged.append(chain)
        assert all(chain == merged[0] for chain in merged)
        assert all(Standing(chain).places() == Standing(merged[0]).places() for chain in merged)
        self.heal(merged[0])

    def heal(self, chain):
        """Root first, then its children, and so on: whoever was stolen or is out of use gets a new branch."""
        secrets = {(): self.root}
        places = {birth.path.place.indexes for birth in chain.registers.births()} - {()}
        for place in sorted(places, key=lambda indexes: (len(indexes), indexes)):
            if place[:-1] in secrets:
                secret = self.healed(chain, secrets[place[:-1]], place)
                if secret is not None:
                    secrets[place] = secret

    def healed(self, chain, parent, place):
        """The branch with which a place speaks again; None if its parent removed it, or it is a thief's."""
        child = place[-1]
        author = Author(chain, parent)
        levels = max(birth.depth for birth in chain.registers.births_at(parent.path)) - 1
        said = chain.registers.revocations(parent.path, child)
        if any(each.body.scope is Scope.PLACE for each in said):
            return None
        path = Standing(chain).newest_path(Place(place))
        if path is None:
            handover = author.delegate(self.now(), child=child, depth=levels)
        else:
            secret = parent.child(child, path.branch)
            births = chain.registers.births_at(path)
            if all(birth.key != secret.public for birth in births):
                return None
            able = max(birth.depth for birth in births if birth.key == secret.public) == levels
            if able and Place(place) not in self.compromised and Standing(chain).of_branch(path).living:
                return secret
            handover = author.recover(child, self.now(), depth=levels)
        now = Standing(chain).of_place(Place(place))
        assert now.verdict.living
        assert now.signing == handover.epoch.signing().peer_id
        return handover.branch


KeyChainMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestKeyChain = pytest.mark.slow(KeyChainMachine.TestCase)
