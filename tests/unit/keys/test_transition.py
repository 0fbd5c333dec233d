"""A cluster under a new root: who may name it, who decides to follow, and what a thief of the root gains."""

import pytest

from helpers.keys import NOON, OTHER_SEED, SEED, Family, later
from kontinuum.base import MisuseError
from kontinuum.keys import transition
from kontinuum.keys.author import Author
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.errors import ForkedSuccessionError, WrongClusterError
from kontinuum.keys.forks import ForkKind, find_forks
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.public_keys import commit
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.transition import Successions, successor, verify_succession


def leave(chain, old, seed, at=NOON):
    """The root of ``chain`` leaves for the root of ``seed``; returns the new chain's beginning."""
    new = seed.cluster()
    genesis = Genesis.issue(new)
    Author(chain, old).leave(genesis, new, at, recovery=CheckedRecovery(genesis, seed))
    return genesis


def test_whoever_knew_the_cluster_decides():
    """
    A transition is an offer: nothing is followed before it was accepted, and then the old name leads to the
    new.
    """
    family = Family()
    assert successor(family.chain) is None
    genesis = leave(family.chain, family.root, OTHER_SEED)
    mine = Successions()

    assert verify_succession(family.chain, genesis) == genesis.cluster
    assert mine.current(family.chain.cluster) == family.chain.cluster
    mine.accept(family.chain, genesis)
    mine.accept(family.chain, genesis)
    assert mine.current(family.chain.cluster) == genesis.cluster
    assert Successions(mine.accepted.items()).current(family.chain.cluster) == genesis.cluster


def test_nobody_is_followed_who_was_not_named():
    """
    Without a transition, and to another root than the one that it names.
    """
    family = Family()
    other = Genesis.issue(OTHER_SEED.cluster())
    with pytest.raises(WrongClusterError):
        verify_succession(family.chain, other)
    leave(family.chain, family.root, OTHER_SEED)

    with pytest.raises(WrongClusterError):
        verify_succession(family.chain, Genesis.issue(OTHER_SEED.cluster(1)))
    with pytest.raises(WrongClusterError):
        verify_succession(family.chain, Genesis.issue(OTHER_SEED.cluster(), commit(b"")))


def test_two_successors_are_nobody():
    """
    A thief of the root's words names one and the owner another: nobody follows either, and the fork is shown.
    """
    family = Family()
    thief = family.copy()
    theirs = leave(thief, family.root, RootSeed(b"t" * 32))
    mine = leave(family.chain, family.root, OTHER_SEED)

    family.chain.merge(thief)

    for genesis in (theirs, mine):
        with pytest.raises(ForkedSuccessionError):
            verify_succession(family.chain, genesis)
    kinds = [fork.kind for fork in find_forks(family.chain)]
    assert ForkKind.TWO_SUCCESSORS in kinds


def test_the_owner_contests_a_transition_that_he_heard_of():
    """
    A chain that a thief closed takes the owner's word, or the thief's would be the last.
    """
    family = Family()
    leave(family.chain, family.root, RootSeed(b"t" * 32))
    leave(family.chain, family.root, OTHER_SEED, later(1))

    with pytest.raises(ForkedSuccessionError):
        successor(family.chain)


def test_the_same_successor_named_twice_is_one():
    """
    The owner said it on two machines.
    """
    family = Family()
    there = family.copy()
    genesis = leave(family.chain, family.root, OTHER_SEED)
    leave(there, family.root, OTHER_SEED, later(5))
    family.chain.merge(there)

    assert verify_succession(family.chain, genesis) == genesis.cluster


def test_a_walk_through_several_roots():
    """
    Whoever slept through two root rekeyings follows them one by one; circles are refused.
    """
    first = Family()
    seeds = [OTHER_SEED, RootSeed(b"3" * 32)]
    second_genesis = leave(first.chain, first.root, seeds[0])
    second = Family(seeds[0])
    assert second.chain.genesis == second_genesis
    third_genesis = leave(second.chain, second.root, seeds[1])
    mine = Successions()

    mine.accept(first.chain, second_genesis)
    mine.accept(second.chain, third_genesis)

    for cluster in (first.chain.cluster, second_genesis.cluster, third_genesis.cluster):
        assert mine.current(cluster) == third_genesis.cluster
    third = Family(seeds[1])
    back = leave(third.chain, third.root, SEED)
    assert back.cluster == first.chain.cluster
    with pytest.raises(MisuseError):
        mine.accept(third.chain, back)


def test_accepted_successions_are_bounded(monkeypatch):
    """
    Limit, and one more.
    """
    monkeypatch.setattr(transition, "SUCCESSIONS_MAX", 1)
    mine = Successions()
    first, second = Family(), Family(RootSeed(b"2" * 32))
    mine.accept(first.chain, leave(first.chain, first.root, OTHER_SEED))

    with pytest.raises(MisuseError):
        mine.accept(second.chain, leave(second.chain, second.root, RootSeed(b"3" * 32)))
