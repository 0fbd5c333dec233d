"""Signs that a key is in two hands, the harmless ones and the others; and what only a parent can see."""

import pytest

from helpers.keys import OTHER_SEED, Family, forged, later, path
from kontinuum.keys.audit import audit
from kontinuum.keys.bodies import Delegate, Rekey, Scope
from kontinuum.keys.forks import ForkKind, find_forks


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def kinds(chain):
    """Which forks a chain shows."""
    return [(fork.kind, str(fork.path)) for fork in find_forks(chain)]


def test_an_honest_chain_shows_none(family):
    """
    Neither forks nor foreign keys, whatever was said.
    """
    family.author(family.laptop.branch).rekey(later(1))
    family.author(family.steward.branch).recover(0, later(2))
    family.author(family.root).revoke(path("/1.0"), Scope.PLACE, later(3))

    assert kinds(family.chain) == []
    assert audit(family.chain, family.root) == ()


def test_two_ends_are_shown_until_they_are_joined(family):
    """
    The root's words were used on two machines: no harm, but the owner shall know.
    """
    there = family.copy()
    family.author(family.root).delegate(later(1), child=8)
    family.author(family.root, there).delegate(later(1), child=9)
    family.chain.merge(there)
    assert kinds(family.chain) == [(ForkKind.TWO_ENDS, "/")]
    assert len(find_forks(family.chain)[0].statements) == 2

    family.author(family.root).checkpoint(later(2))
    assert kinds(family.chain) == []


def test_a_place_given_twice_is_shown(family):
    """
    Two machines may share one key: the owner gives one of them another place.
    """
    there = family.copy()
    family.author(family.root).delegate(later(1), child=8)
    family.author(family.root, there).delegate(later(2), child=8)
    family.chain.merge(there)

    assert (ForkKind.TWICE_BORN, "/8.0") in kinds(family.chain)


def test_a_contradiction_is_proof(family):
    """
    Both statements are handed out: whoever doubts checks the signatures himself.
    """
    family.author(family.laptop.branch).rekey(later(1))
    other = OTHER_SEED.cluster().epoch(0)
    body = Rekey(1, other.signing().peer_id, other.encryption().public)
    birth = family.laptop.statements[0].id
    family.chain.add(
        forged(family.chain, family.laptop.branch.key, birth, body, other.signing(), previous=(), sequence=0)
    )

    (fork,) = [fork for fork in find_forks(family.chain) if fork.kind is ForkKind.CONTRADICTION]
    assert fork.path == path("/0.0/0.0")
    for statement in fork.statements:
        statement.verify(family.laptop.branch.public)
    assert len({statement.body for statement in fork.statements}) == 2


def test_only_a_parent_sees_keys_that_do_not_derive(family):
    """
    A node whose program cheats declares keys of its own making: nobody else can tell, every ancestor can.
    """
    own = OTHER_SEED.cluster().epoch(0)
    body = Rekey(1, own.signing().peer_id, own.encryption().public)
    birth = family.laptop.statements[0].id
    lie = forged(family.chain, family.laptop.branch.key, birth, body, own.signing())
    family.chain.add(lie)

    assert family.standing.verify_speaker(own.signing().peer_id)
    for ancestor in (family.root, family.steward.branch, family.laptop.branch):
        assert [(each.path, each.statement) for each in audit(family.chain, ancestor)] == [
            (path("/0.0/0.0"), lie)
        ]
    assert audit(family.chain, family.phone.branch) == ()
    family.author(family.root).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))
    assert audit(family.chain, family.root) == ()


def test_a_place_with_foreign_keys_is_found_by_the_audit(family):
    """
    A thief of a parent's signing key, without the secret, makes places that do not derive.
    """
    stranger = OTHER_SEED.cluster()
    body = Delegate(9, stranger.public, OTHER_SEED.cluster().commitment(0, 0), 0, "")
    lie = forged(family.chain, family.root.key, family.chain.cluster, body, stranger.key)
    family.chain.add(lie)

    assert [each.statement for each in audit(family.chain, family.root)] == [lie]
