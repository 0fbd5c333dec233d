"""Who prevails: the table of what a place's key is worth after what was said, in every order in which it
can come.
"""

import itertools

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Delegate, Reason, Rekey, Scope
from kontinuum.keys.chain import Chain
from kontinuum.keys.standing import Standing
from kontinuum.keys.verdicts import Status, branch_verdict, decisive, epoch_verdict, key_verdict


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def worth(chain, key):
    """The status of a key's verdict."""
    return key_verdict(chain.registers, key).status


def rekeyed(chain, branch, epoch, secret):
    """A rekeying by ``branch`` to keys of another secret: what a thief of the branch would declare."""
    body = Rekey(epoch, secret.signing().peer_id, secret.encryption().public)
    birth = chain.registers.births_at(branch.path)[0].id
    return forged(chain, branch.key, birth, body, secret.signing())


ACTS = {
    "rekey": lambda f: f.author(f.laptop.branch).rekey(later(1)),
    "own end": lambda f: f.author(f.laptop.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(2)),
    "parent takes epochs": lambda f: f.author(f.steward.branch).revoke(
        path("/0.0/0.0"), Scope.EPOCHS, later(3), epoch=0
    ),
    "parent takes branch": lambda f: f.author(f.steward.branch).revoke(
        path("/0.0/0.0"), Scope.BRANCH, later(4)
    ),
    "parent takes place": lambda f: f.author(f.steward.branch).revoke(
        path("/0.0/0.0"), Scope.PLACE, later(5)
    ),
    "root takes branch": lambda f: f.author(f.root).revoke(path("/0.0/0.0"), Scope.BRANCH, later(6)),
    "parent answers": lambda f: f.author(f.steward.branch).recover(0, later(7)),
    "root takes parent": lambda f: f.author(f.root).revoke(path("/0.0"), Scope.BRANCH, later(8)),
    "root answers for parent": lambda f: f.author(f.root).recover(0, later(9)),
}

TABLE = [
    # what happened                                     first key           key after a rekey    newest of
    # the place
    ((), Status.LIVING, None, Status.LIVING),
    (("rekey",), Status.SUPERSEDED, Status.LIVING, Status.LIVING),
    (("own end",), Status.REVOKED, None, Status.REVOKED),
    (("parent takes epochs",), Status.REVOKED, None, Status.REVOKED),
    (("rekey", "parent takes epochs"), Status.REVOKED, Status.LIVING, Status.LIVING),
    (("parent takes branch",), Status.REVOKED, None, Status.REVOKED),
    (("rekey", "parent takes branch"), Status.REVOKED, Status.REVOKED, Status.REVOKED),
    (("parent takes place",), Status.REMOVED, None, Status.REMOVED),
    (("parent answers",), Status.REPLACED, None, Status.LIVING),
    (("rekey", "parent answers"), Status.REPLACED, Status.REPLACED, Status.LIVING),
    (("parent takes branch", "parent answers"), Status.REVOKED, None, Status.LIVING),
    (("own end", "parent answers"), Status.REVOKED, None, Status.LIVING),
    (("parent takes place", "parent answers"), Status.REMOVED, None, Status.REMOVED),
    (("root takes branch", "parent answers"), Status.REVOKED, None, Status.LIVING),
    (("root takes parent",), Status.REVOKED, None, Status.REVOKED),
    (("parent answers", "root takes parent"), Status.REVOKED, None, Status.REVOKED),
    (("root answers for parent",), Status.REPLACED, None, Status.UNBORN),
    (("parent answers", "root answers for parent"), Status.REPLACED, None, Status.UNBORN),
    (("rekey", "own end", "root takes parent"), Status.REVOKED, Status.REVOKED, Status.REVOKED),
]


def row_name(value):
    """What happened, as the name of a test."""
    return " and ".join(value) if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("acts", "first", "second", "newest"), TABLE, ids=row_name)
def test_the_table_of_verdicts(acts, first, second, newest):
    """
    Each act is done by somebody who knows only the beginning; what is said is merged in every order.
    """
    said = []
    for act in acts:
        apart = Family()
        ACTS[act](apart)
        said.append(list(apart.chain))
    family = Family()
    for order in itertools.permutations(said):
        chain = family.copy()
        for statements in order:
            assert not chain.merge(statements).refused
        standing = Standing(chain)
        assert worth(chain, family.laptop.epoch.signing().peer_id) == first
        after = key_verdict(chain.registers, family.laptop.branch.epoch(1).signing().peer_id)
        assert (None if after is None else after.status) == second
        assert standing.of_place(path("/0.0/0.0").place).verdict.status == newest


def test_what_a_revoked_branch_says_later_has_no_effect(family):
    """
    A stolen node that was revoked goes on signing: nothing that it says counts, before or after we hear of
    the end.
    """
    thief = family.copy()
    family.author(family.steward.branch).revoke(
        path("/0.0/0.0"), Scope.BRANCH, later(1), reason=Reason.STOLEN
    )
    late = family.author(family.laptop.branch, thief).rekey(later(2))

    for first, then in ((family.chain, thief), (thief, family.chain)):
        chain = Chain(family.chain.genesis)
        chain.merge(first)
        chain.merge(then)
        assert worth(chain, late.secret.signing().peer_id) == Status.REVOKED
        assert chain.registers.epochs(path("/0.0/0.0"))


def test_a_key_does_not_come_back_under_a_later_epoch(family):
    """
    A revoked or superseded key that is declared again, as a later epoch, stays what it was.
    """
    stolen = family.laptop.epoch
    family.author(family.laptop.branch).rekey(later(1))
    again = Rekey(2, stolen.signing().peer_id, stolen.encryption().public)
    birth = family.laptop.statements[0].id

    family.chain.add(forged(family.chain, family.laptop.branch.key, birth, again, stolen.signing()))

    assert worth(family.chain, stolen.signing().peer_id) == Status.SUPERSEDED
    assert not family.standing.of_place(path("/0.0/0.0").place).verdict.living


def test_a_key_does_not_come_back_at_another_place(family):
    """
    Nor as the key of another node that is in use.
    """
    stolen = family.laptop.epoch
    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))
    family.chain.add(rekeyed(family.chain, family.phone.branch, 1, stolen))

    assert worth(family.chain, stolen.signing().peer_id) == Status.REVOKED


def test_a_key_at_two_places_speaks_for_neither(family):
    """
    Whose it is could not be said; both owners rekey, and go on.
    """
    shared = family.laptop.epoch
    family.chain.add(rekeyed(family.chain, family.phone.branch, 1, shared))

    verdict = key_verdict(family.chain.registers, shared.signing().peer_id)
    assert verdict.status == Status.DISPUTED
    assert len(verdict.statements) == 2
    for branch, epoch in ((family.laptop.branch, 1), (family.phone.branch, 2)):
        assert family.author(branch).rekey(later(2)).secret.epoch == epoch
        assert family.standing.of_place(branch.path.place).verdict.living


def test_a_branch_key_does_not_speak(family):
    """
    Not even as the operational key of somebody else.
    """
    pair = family.laptop.branch.key._pair
    body = Rekey(1, pair.peer_id, family.phone.epoch.encryption().public)
    birth = family.phone.statements[0].id
    family.chain.add(forged(family.chain, family.phone.branch.key, birth, body, pair))

    assert worth(family.chain, pair.peer_id) == Status.DISPUTED


def test_two_keys_of_one_epoch_are_a_dispute(family):
    """
    The branch secret is in two hands: nobody speaks until the parent answers, and then only the new branch
    does.
    """
    honest, thief = family.copy(), family.copy()
    family.author(family.laptop.branch, honest).rekey(later(1))
    other = OTHER_SEED.cluster().epoch(0)
    thief.add(rekeyed(thief, family.laptop.branch, 1, other))
    honest.merge(thief)

    verdict = branch_verdict(honest.registers, path("/0.0/0.0"))
    assert verdict.status == Status.DISPUTED
    assert len(verdict.statements) == 2
    for key in (other.signing().peer_id, family.laptop.branch.epoch(1).signing().peer_id):
        assert worth(honest, key) == Status.DISPUTED
    honest.add(rekeyed(honest, family.laptop.branch, 2, OTHER_SEED.cluster().epoch(1)))
    assert branch_verdict(honest.registers, path("/0.0/0.0")).status == Status.DISPUTED
    answer = family.author(family.steward.branch, honest).recover(0, later(3))
    assert worth(honest, answer.epoch.signing().peer_id) == Status.LIVING


def test_the_same_epoch_said_twice_is_no_dispute(family):
    """
    A node that came back from a backup says what it said before: the same keys, for they derive from numbers.
    """
    backup = family.copy()
    family.author(family.laptop.branch).rekey(later(1))
    again = family.author(family.laptop.branch, backup).rekey(later(99))
    family.chain.merge(backup)

    assert worth(family.chain, again.secret.signing().peer_id) == Status.LIVING
    assert len(family.chain.registers.epochs(path("/0.0/0.0"))[1]) == 2


def test_a_branch_with_two_keys_is_a_dispute(family):
    """
    Its parent's key signed both; which is the right one, nobody can say.
    """
    stranger = OTHER_SEED.cluster()
    body = Delegate(0, stranger.public, OTHER_SEED.cluster().commitment(0, 1), 0, "")
    birth = family.steward.statements[0].id
    family.chain.add(forged(family.chain, family.steward.branch.key, birth, body, stranger.key))

    assert branch_verdict(family.chain.registers, path("/0.0/0.0")).status == Status.DISPUTED
    assert branch_verdict(family.chain.registers, path("/0.0/1.0")).living
    assert branch_verdict(family.chain.registers, path("/0.0")).living


def test_a_branch_key_at_two_places_is_a_dispute_at_both(family):
    """
    A stolen branch key that is given another place does not start a second life.
    """
    body = Delegate(9, family.laptop.branch.public, family.root.commitment(9, 1), 0, "")
    family.chain.add(
        forged(family.chain, family.root.key, family.chain.cluster, body, family.laptop.branch.key)
    )

    for name in ("/9.0", "/0.0/0.0"):
        assert branch_verdict(family.chain.registers, path(name)).status == Status.DISPUTED


def test_a_place_that_was_given_twice_is_one_place(family):
    """
    The root gave number 8 on two machines: the same keys, so nothing contradicts.
    """
    here, there = family.copy(), family.copy()
    first = family.author(family.root, here).delegate(later(1), child=8, label="one")
    second = family.author(family.root, there).delegate(later(2), child=8, label="two")
    here.merge(there)

    assert first.branch == second.branch
    assert branch_verdict(here.registers, path("/8.0")).living
    family.author(first.branch, here).rekey(later(3))
    assert Standing(here).of_place(path("/8.0").place).epoch == 1


def test_an_old_birth_that_comes_late_does_not_bring_the_old_branch_back(family):
    """
    The place was given on two machines and then recovered; the second word about its first branch comes last.
    """
    here, there = family.copy(), family.copy()
    first = family.author(family.root, here).delegate(later(1), child=8, label="one")
    family.author(family.root, here).recover(8, later(2))
    family.author(family.root, there).delegate(later(3), child=8, label="two")

    here.merge(there)

    assert branch_verdict(here.registers, first.branch.path).status == Status.REPLACED
    assert Standing(here).of_place(path("/8.0").place).path == path("/8.1")


def test_the_deciding_revocation(family):
    """
    The highest ancestor's; of the same rank the earlier; and everybody names the same one.
    """
    target = path("/0.0/0.0")
    here, there = family.copy(), family.copy()
    by_parent_late = family.author(family.steward.branch, here).revoke(target, Scope.BRANCH, later(9))
    by_parent_early = family.author(family.steward.branch, there).revoke(target, Scope.BRANCH, later(3))
    here.merge(there)
    assert branch_verdict(here.registers, target).statements == (by_parent_early,)

    family.author(family.laptop.branch, family.chain).revoke(target, Scope.BRANCH, later(1))
    here.merge(family.chain)
    assert branch_verdict(here.registers, target).statements == (by_parent_early,)

    by_root = family.author(family.root, here).revoke(target, Scope.BRANCH, later(20))
    assert branch_verdict(here.registers, target).statements == (by_root,)
    assert decisive(here.registers.revocations(path("/0.0"), 0)).statement == by_root
    assert by_parent_late.id in here


def test_a_later_branch_has_no_say_about_an_earlier_one(family):
    """
    The new branch ends itself: why the old one is out of use is still that it was replaced.
    """
    answer = family.author(family.steward.branch).recover(0, later(1))
    family.author(answer.branch).revoke(answer.branch.path, Scope.BRANCH, later(2))

    assert branch_verdict(family.chain.registers, path("/0.0/0.0")).status == Status.REPLACED
    assert branch_verdict(family.chain.registers, path("/0.0/0.1")).status == Status.REVOKED


def test_a_revocation_counts_before_its_branch_is_known(family):
    """
    Who learns of the end first is not fooled by the beginning.
    """
    birth, rekey = family.laptop.statements
    end = family.author(family.root).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))
    chain = Chain(family.chain.genesis)
    chain.merge(statement for statement in family.chain if statement not in (birth, rekey))
    assert end.id in chain
    assert branch_verdict(chain.registers, path("/0.0/0.0")).status == Status.UNBORN

    chain.merge([birth, rekey])

    assert branch_verdict(chain.registers, path("/0.0/0.0")).status == Status.REVOKED


def test_unknown_keys_and_epochs(family):
    """
    What was never declared has no verdict, or none that speaks.
    """
    registers = family.chain.registers

    assert key_verdict(registers, OTHER_SEED.cluster().epoch(0).signing().peer_id) is None
    assert epoch_verdict(registers, path("/0.0/0.0"), 5).status == Status.UNBORN
    assert epoch_verdict(registers, path("/7.0"), 0).status == Status.UNBORN
    assert branch_verdict(registers, path("/0.0/0.5")).status == Status.UNBORN


def test_the_root_has_epochs_as_well(family):
    """
    Its encryption key can be a recipient; its signing key is bound by the same rules.
    """
    first = family.author(family.root).rekey(NOON)
    assert worth(family.chain, first.secret.signing().peer_id) == Status.LIVING
    family.author(family.root).rekey(NOON)
    assert worth(family.chain, first.secret.signing().peer_id) == Status.SUPERSEDED
    assert isinstance(Author(family.chain, family.root), Author)
