"""The pen of a branch: what it refuses, because it would do harm or cannot count."""

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path
from kontinuum.base import MisuseError
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bodies import Delegate, Reason, Scope
from kontinuum.keys.errors import LastKeyError, NotLivingError, SpentError, WrongRootError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.public_keys import commit
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_CHILDREN_MAX, KEY_EPOCHS_MAX


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def test_a_branch_of_another_chain_has_no_pen_here(family):
    """
    Wrong words, a wrong cluster, a branch that nobody made.
    """
    for secret in (
        OTHER_SEED.cluster(),
        family.seed.cluster(1),
        family.root.child(9),
        family.root.child(0, 1),
    ):
        with pytest.raises(WrongRootError):
            Author(family.chain, secret)


def test_who_is_out_of_use_writes_nothing(family):
    """
    A revoked branch, and what is below it, is told so instead of making statements that do not count.
    """
    authors = [family.author(secret) for secret in (family.steward.branch, family.laptop.branch)]
    family.author(family.root).revoke(path("/0.0"), Scope.BRANCH, later(1))
    before = len(family.chain)

    for author in authors:
        for act in (author.rekey, author.checkpoint, author.delegate):
            with pytest.raises(NotLivingError):
                act(later(2))
    assert len(family.chain) == before


def test_rekeying_counts_up_to_the_last_epoch(family):
    """
    The next epoch by default, a later one if asked; after the last, the parent must act.
    """
    author = family.author(family.laptop.branch)

    assert author.rekey(NOON).secret.epoch == 1
    assert author.rekey(NOON, epoch=KEY_EPOCHS_MAX - 1).secret.epoch == KEY_EPOCHS_MAX - 1
    with pytest.raises(SpentError):
        author.rekey(NOON)


def test_children_are_numbered_and_not_numbered_again(family):
    """
    The least number that was never used, not even by a place that was removed; the last one exists.
    """
    author = family.author(family.root)
    assert author.delegate(NOON).branch.path == path("/2.0")
    author.revoke(path("/2.0"), Scope.PLACE, NOON)
    assert author.delegate(NOON).branch.path == path("/3.0")
    for child in range(4, KEY_CHILDREN_MAX):
        author.delegate(NOON, child=child)

    with pytest.raises(SpentError):
        author.delegate(NOON)
    with pytest.raises(MisuseError):
        author.delegate(NOON, child=3)


def test_a_number_that_was_revoked_in_advance_is_not_given(family):
    """
    Whoever stood there would be out of use at once; nothing is signed.
    """
    author = family.author(family.root)
    author.revoke(path("/2.0"), Scope.PLACE, NOON)
    before = len(family.chain)

    with pytest.raises(MisuseError):
        author.delegate(NOON, child=2)
    assert len(family.chain) == before
    assert author.delegate(NOON).branch.path == path("/3.0")


def test_new_machines_do_not_get_the_names_of_former_children(family):
    """
    A name that fell with the parent's old branch is kept for its owner.
    """
    steward = family.author(family.root).recover(0, later(1))

    assert family.author(steward.branch).delegate(later(2)).branch.path == path("/0.1/2.0")


def test_a_thief_cannot_use_up_the_names_of_a_new_branch(family):
    """
    If the old branch gave all numbers away, the new one gives them again.
    """
    author = family.author(family.steward.branch)
    for child in range(2, KEY_CHILDREN_MAX):
        author.delegate(NOON, child=child)
    steward = family.author(family.root).recover(0, later(1))

    assert family.author(steward.branch).delegate(later(2)).branch.path == path("/0.1/0.0")


def test_recovering_needs_a_child_and_a_branch_that_is_left(family):
    """
    Nobody is there; or the place has had its last branch.
    """
    author = family.author(family.root)
    with pytest.raises(MisuseError):
        author.recover(9, NOON)
    for _ in range(KEY_BRANCHES_MAX - 1):
        handover = author.recover(1, NOON)
    assert handover.branch.path.branch == KEY_BRANCHES_MAX - 1
    with pytest.raises(SpentError):
        author.recover(1, NOON)


def test_a_place_that_was_given_twice_keeps_the_greater_rank(family):
    """
    On one machine with levels below it, on another without: what was made below it stays possible.
    """
    for child in range(20, 26):
        there = family.copy()
        family.author(family.root).delegate(later(1), child=child, depth=0)
        able = family.author(family.root, there).delegate(later(2), child=child, depth=2)
        family.chain.merge(there)

        assert family.author(able.branch).delegate(later(3), depth=1)
        recovered = family.author(family.root).recover(child, later(4))
        assert family.author(recovered.branch).delegate(later(5), depth=1)
        lowered = family.author(family.root).recover(child, later(6), depth=1)
        assert family.author(lowered.branch).delegate(later(7))


def test_a_place_that_was_removed_gets_no_branch(family):
    """
    Not by a parent who forgot, nor after an ancestor said something else about it later.
    """
    family.author(family.root).revoke(path("/0.0/0.0"), Scope.PLACE, later(1))
    family.author(family.root).revoke(path("/0.0/0.0"), Scope.BRANCH, later(2))
    before = len(family.chain)

    with pytest.raises(MisuseError):
        family.author(family.steward.branch).recover(0, later(3))
    assert len(family.chain) == before


def test_branches_that_were_revoked_in_advance_are_passed_over(family):
    """
    An ancestor revoked the place's branches up to one that did not exist yet: the answer is the first beyond.
    """
    family.author(family.root).revoke(path("/0.0/0.2"), Scope.BRANCH, later(1))

    answer = family.author(family.steward.branch).recover(0, later(2))

    assert answer.branch.path == path("/0.0/0.3")
    assert len(answer.statements) == 4
    assert family.standing.of_place(path("/0.0/0.0").place).verdict.living


def test_a_child_with_foreign_keys_is_removed_and_not_recovered(family):
    """
    Whoever had the parent's signing key made it; there is nothing to derive.
    """
    stranger = OTHER_SEED.cluster()
    body = Delegate(9, stranger.public, commit(b"?"), 0, "")
    family.chain.add(forged(family.chain, family.root.key, family.chain.cluster, body, stranger.key))

    with pytest.raises(MisuseError):
        family.author(family.root).recover(9, NOON)
    assert family.author(family.root).revoke(path("/9.0"), Scope.PLACE, NOON)


def test_a_recovered_branch_keeps_name_and_rank(family):
    """
    What the place was called, and how many levels it may have below it.
    """
    handover = family.author(family.root).recover(0, NOON)

    birth = family.chain.registers.births_at(handover.branch.path)[0]
    assert (birth.label, birth.depth) == ("steward", 1)
    assert handover.epoch == handover.branch.epoch(0)


def test_what_is_no_descendant_is_not_revoked(family):
    """
    Our own mistake is told as such.
    """
    with pytest.raises(MisuseError):
        family.author(family.laptop.branch).revoke(path("/0.0/1.0"), Scope.BRANCH, NOON)


@pytest.fixture
def lonely():
    """A root with one node, which is the last key in use."""
    family = Family()
    author = family.author(family.root)
    author.revoke(path("/0.0"), Scope.PLACE, NOON)
    return family


LAST = [
    (lambda f: f.root, "/1.0", Scope.PLACE, 0),
    (lambda f: f.root, "/1.0", Scope.BRANCH, 0),
    (lambda f: f.root, "/1.0", Scope.EPOCHS, 0),
    (lambda f: f.root, "/1.5", Scope.BRANCH, 0),
    (lambda f: f.server.branch, "/1.0", Scope.BRANCH, 0),
    (lambda f: f.server.branch, "/1.0", Scope.EPOCHS, 7),
]


@pytest.mark.parametrize(("who", "target", "scope", "epoch"), LAST)
def test_the_last_key_does_not_go_without_a_checked_recovery(lonely, who, target, scope, epoch):
    """
    Whoever makes the last key go, and in whatever way, shows first that the root is at hand, and of this
    cluster.
    """
    author = lonely.author(who(lonely))
    elsewhere = CheckedRecovery(Family(OTHER_SEED).chain.genesis, OTHER_SEED)
    before = len(lonely.chain)

    for recovery in (None, elsewhere):
        with pytest.raises(LastKeyError):
            author.revoke(path(target), scope, NOON, epoch=epoch, recovery=recovery)
    assert len(lonely.chain) == before
    checked = CheckedRecovery(lonely.chain.genesis, lonely.seed)
    assert author.revoke(path(target), scope, NOON, epoch=epoch, recovery=checked)
    assert lonely.standing.speakers() == ()


def test_a_parent_counts_with_its_children(family):
    """
    Removing an ancestor of everybody is removing the last key.
    """
    family.author(family.root).revoke(path("/1.0"), Scope.PLACE, NOON)

    with pytest.raises(LastKeyError):
        family.author(family.root).revoke(path("/0.0"), Scope.BRANCH, NOON)
    assert family.author(family.root).revoke(path("/0.0/0.0"), Scope.BRANCH, NOON)
    assert family.author(family.root).revoke(path("/0.0/1.0"), Scope.BRANCH, NOON)


def test_what_takes_no_key_is_never_refused(lonely):
    """
    Removing what is dead already, or other epochs and branches than the one in use, needs no recovery; and
    when nothing is in use, nothing can be lost.
    """
    author = lonely.author(lonely.root)
    assert author.revoke(path("/0.0"), Scope.PLACE, NOON)
    lonely.author(lonely.server.branch).rekey(NOON)
    assert author.revoke(path("/1.0"), Scope.EPOCHS, NOON, epoch=0)
    checked = CheckedRecovery(lonely.chain.genesis, lonely.seed)
    assert author.revoke(path("/1.0"), Scope.BRANCH, NOON, recovery=checked)
    assert author.revoke(path("/1.0"), Scope.PLACE, NOON)


def test_the_root_leaves_only_after_the_new_one_was_checked(family):
    """
    The new root's words were typed in, and are the new root's; it is no other one.
    """
    new = OTHER_SEED.cluster()
    genesis = Genesis.issue(new)
    author = family.author(family.root)
    checked = CheckedRecovery(genesis, OTHER_SEED)

    with pytest.raises(LastKeyError):
        author.leave(genesis, new, NOON, recovery=CheckedRecovery(family.chain.genesis, family.seed))
    with pytest.raises(WrongRootError):
        author.leave(genesis, OTHER_SEED.cluster(1), NOON, recovery=checked)
    with pytest.raises(MisuseError):
        family.author(family.steward.branch).leave(genesis, new, NOON, recovery=checked)
    assert author.leave(genesis, new, NOON, recovery=checked)
    with pytest.raises(NotLivingError):
        author.delegate(NOON)


def test_the_root_leaves_only_for_the_one_it_committed_to():
    """
    Our own mistake is told before anybody hears of it.
    """
    family = Family(successor=commit(OTHER_SEED.cluster(1).public))
    wrong = Genesis.issue(OTHER_SEED.cluster())

    with pytest.raises(MisuseError):
        family.author(family.root).leave(
            wrong, OTHER_SEED.cluster(), NOON, recovery=CheckedRecovery(wrong, OTHER_SEED)
        )


def test_reasons_are_kept(family):
    """
    People read later why.
    """
    statement = family.author(family.root).revoke(path("/1.0"), Scope.BRANCH, NOON, reason=Reason.STOLEN)

    assert statement.body.reason == Reason.STOLEN


def test_a_checkpoint_names_the_highest_branches_first(monkeypatch, family):
    """
    When there are more heads than a checkpoint holds, the root's and the stewards' count, and the dead least.
    """
    monkeypatch.setattr("kontinuum.keys.author.CHECKPOINT_HEADS_MAX", 2)
    family.author(family.root).revoke(path("/1.0"), Scope.BRANCH, NOON)

    statement = family.author(family.steward.branch).checkpoint(NOON)

    issuers = {family.chain.statement(head).issuer for head in statement.body.heads}
    assert issuers == {family.chain.cluster, family.steward.statements[0].id}


def test_a_new_chain_is_empty():
    """
    It holds its genesis, and nobody speaks.
    """
    chain = found_chain(OTHER_SEED.cluster())

    assert len(chain) == 0
    assert chain.heads() == ()
    assert chain.genesis.root == OTHER_SEED.cluster().public
