"""A node that slept, or came from a backup, learns what to do; doing it, it speaks again."""

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path, place
from kontinuum.keys.bodies import Rekey, Scope
from kontinuum.keys.chain import Chain
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.way_back import Way, way_back
from kontinuum.wire.limits import KEY_EPOCHS_MAX

LAPTOP = path("/0.0/0.0")


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def test_nothing_happened(family):
    """
    The key speaks.
    """
    assert way_back(family.chain, LAPTOP, 0).way == Way.NONE


def test_its_birth_is_not_known_here(family):
    """
    It asks its peers for more.
    """
    assert way_back(Chain(family.chain.genesis), LAPTOP, 0).way == Way.ASK_PEERS


def test_it_was_moved_while_it_slept(family):
    """
    The newer epoch derives from the branch secret that it has.
    """
    moved = family.author(family.laptop.branch).rekey(later(1))

    way = way_back(family.chain, LAPTOP, 0)

    assert (way.way, way.epoch) == (Way.MOVE_ON, 1)
    assert family.laptop.branch.epoch(way.epoch) == moved.secret


def test_its_keys_were_revoked(family):
    """
    It rekeys alone, beyond what was taken.
    """
    family.author(family.steward.branch).revoke(LAPTOP, Scope.EPOCHS, later(1), epoch=4)

    way = way_back(family.chain, LAPTOP, 0)
    assert (way.way, way.path, way.epoch) == (Way.REKEY, LAPTOP, 5)

    assert family.author(family.laptop.branch).rekey(later(2)).secret.epoch == 5
    assert family.standing.of_place(LAPTOP.place).verdict.living
    assert way_back(family.chain, LAPTOP, 5).way == Way.NONE


def test_its_own_rekeying_is_not_known_here(family):
    """
    The chain was lost or came from a backup: it says the same epoch again.
    """
    way = way_back(family.chain, LAPTOP, 3)

    assert (way.way, way.epoch) == (Way.REKEY, 3)
    family.author(family.laptop.branch).rekey(later(1), epoch=way.epoch)
    assert way_back(family.chain, LAPTOP, 3).way == Way.NONE


def test_its_key_was_declared_by_somebody_else_too(family):
    """
    It leaves the key that it shares, and goes on.
    """
    shared = family.laptop.epoch
    body = Rekey(1, shared.signing().peer_id, shared.encryption().public)
    family.chain.add(
        forged(family.chain, family.phone.branch.key, family.phone.statements[0].id, body, shared.signing())
    )

    way = way_back(family.chain, LAPTOP, 0)

    assert (way.way, way.epoch) == (Way.REKEY, 1)


def test_it_has_no_epoch_left(family):
    """
    Its parent gives a new branch.
    """
    family.author(family.steward.branch).revoke(LAPTOP, Scope.EPOCHS, later(1), epoch=KEY_EPOCHS_MAX - 1)

    way = way_back(family.chain, LAPTOP, 0)

    assert (way.way, way.path) == (Way.ASK_ANCESTOR, path("/0.0"))


def test_it_was_revoked_or_got_a_new_branch(family):
    """
    Its parent gives it the new one, and it speaks under its old name.
    """
    family.author(family.steward.branch).revoke(LAPTOP, Scope.BRANCH, later(1))
    way = way_back(family.chain, LAPTOP, 0)
    assert (way.way, way.path) == (Way.ASK_ANCESTOR, path("/0.0"))

    answer = family.author(family.steward.branch).recover(0, later(2))
    assert way_back(family.chain, LAPTOP, 0).way == Way.ASK_ANCESTOR
    assert way_back(family.chain, answer.branch.path, 0).way == Way.NONE
    assert family.standing.of_place(place("/0/0")).verdict.living


def test_its_parent_got_a_new_branch(family):
    """
    The nearest ancestor in use is asked; the parent's new branch delegates its children again, by number.
    """
    steward = family.author(family.root).recover(0, later(1))
    way = way_back(family.chain, LAPTOP, 0)
    assert (way.way, way.path) == (Way.ASK_ANCESTOR, path("/"))

    author = family.author(steward.branch)
    former = author.former_children()
    assert [(birth.path.steps[-1].child, birth.label, birth.depth) for birth in former] == [
        (0, "laptop", 0),
        (1, "phone", 0),
    ]
    for birth in former:
        again = author.delegate(
            later(2), child=birth.path.steps[-1].child, label=birth.label, depth=birth.depth
        )
        assert way_back(family.chain, again.branch.path, 0).way == Way.NONE
    assert author.former_children() == ()
    for name in ("/0/0", "/0/1"):
        assert family.standing.of_place(place(name)).verdict.living


def test_a_place_that_was_removed_is_not_given_again(family):
    """
    Its machine becomes a new place, and the new branch of the parent does not offer the old one.
    """
    family.author(family.steward.branch).revoke(LAPTOP, Scope.PLACE, later(1))
    way = way_back(family.chain, LAPTOP, 0)
    assert (way.way, way.path) == (Way.START_ANEW, path("/0.0"))

    fresh = family.author(family.steward.branch).delegate(later(2), label="laptop")
    assert fresh.branch.path == path("/0.0/2.0")
    steward = family.author(family.root).recover(0, later(3))
    former = family.author(steward.branch).former_children()
    assert [birth.path.steps[-1].child for birth in former] == [1, 2]


def test_a_removal_is_for_good_whatever_else_was_said(family):
    """
    The root revoked the branch as well, and its word is the one that decides; the place is gone all the same.
    """
    family.author(family.steward.branch).revoke(LAPTOP, Scope.PLACE, later(1))
    family.author(family.root).revoke(LAPTOP, Scope.BRANCH, later(2))

    assert way_back(family.chain, LAPTOP, 0).way == Way.START_ANEW


def test_the_root_went_elsewhere(family):
    """
    It follows, if its owner says so.
    """
    new = OTHER_SEED.cluster()
    genesis = Genesis.issue(new)
    family.author(family.root).leave(genesis, new, NOON, recovery=CheckedRecovery(genesis, OTHER_SEED))

    assert way_back(family.chain, LAPTOP, 0).way == Way.FOLLOW_ROOT
