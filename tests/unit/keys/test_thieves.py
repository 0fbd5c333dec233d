"""What a thief of each secret can do, and what he cannot: the table of ADR 0050, line by line, as attacks."""

from dataclasses import replace

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path, place
from kontinuum.base import KontinuumError, MisuseError
from kontinuum.identity import BadSignatureError
from kontinuum.keys.audit import audit
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Checkpoint, Delegate, Recover, Rekey, Revoke, Scope, Transition
from kontinuum.keys.derivation import EpochSecret, RootSeed, labelled
from kontinuum.keys.errors import (
    BadCommitmentError,
    ForkedSuccessionError,
    NotLivingError,
    OutrankedError,
    RevokedKeyError,
    SupersededKeyError,
    WrongRootError,
)
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.public_keys import commit
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.transition import successor
from kontinuum.keys.verdicts import Status, branch_verdict
from kontinuum.wire.limits import KEY_EPOCHS_MAX

LAPTOP = path("/0.0/0.0")


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def key_of(epoch):
    """The identity of an epoch."""
    return epoch.signing().peer_id


# --- the running node's secret: one epoch
# --------------------------------------------------------------------


def test_a_thief_of_an_epoch_speaks_until_the_node_rekeys(family):
    """
    He is the node for its peers, until it moves on, alone, without anybody's help.
    """
    stolen = family.laptop.epoch
    assert family.standing.verify_speaker(key_of(stolen)) == place("/0/0")

    family.author(family.laptop.branch).rekey(later(1))

    with pytest.raises(SupersededKeyError):
        family.standing.verify_speaker(key_of(stolen))


def test_a_thief_of_an_epoch_is_stopped_by_any_ancestor_at_once(family):
    """
    The steward, or the root, need not wait for the node.
    """
    for ancestor in (family.steward.branch, family.root):
        chain = family.copy()
        family.author(ancestor, chain).revoke(LAPTOP, Scope.EPOCHS, later(1), epoch=0)
        standing = type(family.standing)(chain)
        with pytest.raises(RevokedKeyError):
            standing.verify_speaker(key_of(family.laptop.epoch))


def test_a_thief_of_an_epoch_has_no_other_epoch(family):
    """
    Whatever he computes from its secret with the construction's own labels is no key of another epoch.
    """
    stolen = family.laptop.epoch
    others = {bytes(key_of(family.laptop.branch.epoch(number))) for number in range(1, 40)}
    tries = [labelled(stolen.expose(), "epoch", number) for number in range(40)]
    tries += [
        labelled(stolen.expose(), label) for label in ("branch-signing", "epoch-signing", "epoch-storage")
    ]
    tries += [stolen.expose(), stolen.signing().seed, stolen.encryption().expose(), stolen.storage().expose()]

    for value in tries:
        epoch = EpochSecret(LAPTOP, 1, value)
        assert bytes(key_of(epoch)) not in others
        assert value not in {secret.expose() for secret in map(family.laptop.branch.epoch, range(1, 40))}


def test_a_thief_of_an_epoch_makes_no_statement(family):
    """
    He cannot rekey, revoke, delegate, recover, nor say what he saw; not even about himself.
    """
    thief = family.laptop.epoch.signing()
    mine = OTHER_SEED.cluster()
    epoch = mine.epoch(0)
    bodies = [
        (Rekey(1, key_of(epoch), epoch.encryption().public), epoch.signing()),
        (Revoke(LAPTOP, Scope.BRANCH, 0, 0), None),
        (Revoke(path("/0.0/1.0"), Scope.PLACE, 0, 0), None),
        (Delegate(5, mine.public, commit(b""), 0, ""), mine.key),
        (Recover(family.laptop.statements[0].id, mine.public, commit(b""), 0), mine.key),
        (Checkpoint(()), None),
        (Transition(Genesis.issue(mine).cluster, mine.public), mine.key),
    ]
    for body, introduced in bodies:
        for birth in family.chain.registers.births():
            with pytest.raises((BadSignatureError, OutrankedError, BadCommitmentError)):
                family.chain.add(forged(family.chain, thief, birth.id, body, introduced))


# --- a branch secret
# -----------------------------------------------------------------------------------------


def test_a_thief_of_a_branch_takes_the_node_over_until_its_parent_answers(family):
    """
    He rekeys like the owner; the parent's next branch ends it, whatever he says before or after.
    """
    thief = family.copy()
    stolen = family.author(family.laptop.branch, thief).rekey(later(1))
    family.chain.merge(thief)
    assert family.standing.verify_speaker(key_of(stolen.secret)) == place("/0/0")

    answer = family.author(family.steward.branch).recover(0, later(2))
    late = family.author(family.laptop.branch, thief).rekey(later(3), epoch=KEY_EPOCHS_MAX - 1)
    family.chain.merge(thief)

    for key in (key_of(stolen.secret), key_of(late.secret), key_of(family.laptop.epoch)):
        with pytest.raises(RevokedKeyError):
            family.standing.verify_speaker(key)
    assert family.standing.verify_speaker(key_of(answer.epoch)) == place("/0/0")
    with pytest.raises(NotLivingError):
        family.author(family.laptop.branch).rekey(later(4))


def test_a_thief_of_a_branch_does_not_have_the_next_one(family):
    """
    Neither by deriving nor by guessing: it hangs on the parent's secret, and the commitment shows nothing.
    """
    stolen = family.laptop.branch
    target = family.steward.branch.child(0, 1)

    with pytest.raises(MisuseError):
        stolen.descendant(target.path)
    reachable = [stolen.child(index, branch).public for index in range(3) for branch in range(3)]
    assert target.public not in [stolen.public, *reachable]
    mine = OTHER_SEED.cluster()
    body = Recover(family.laptop.statements[0].id, mine.public, commit(b""), 0)
    for birth in (family.laptop.statements[0].id, family.steward.statements[0].id):
        with pytest.raises((OutrankedError, BadCommitmentError, BadSignatureError)):
            family.chain.add(forged(family.chain, stolen.key, birth, body, mine.key))


def test_a_thief_of_a_branch_does_not_hinder_the_answer(family):
    """
    He ends the branch, burns its epochs, disputes it: the parent's next branch counts all the same.
    """
    other = OTHER_SEED.cluster().epoch(0)
    burn = family.laptop.branch.epoch(KEY_EPOCHS_MAX - 1)
    bodies = [
        (Revoke(LAPTOP, Scope.BRANCH, 0, 0), None),
        (Revoke(LAPTOP, Scope.EPOCHS, KEY_EPOCHS_MAX - 1, 0), None),
        (Rekey(KEY_EPOCHS_MAX - 1, key_of(burn), burn.encryption().public), burn.signing()),
        (Rekey(0, key_of(other), other.encryption().public), other.signing()),
    ]
    for body, introduced in bodies:
        family.chain.add(
            forged(family.chain, family.laptop.branch.key, family.laptop.statements[0].id, body, introduced)
        )

    answer = family.author(family.steward.branch).recover(0, later(2))

    assert family.standing.verify_speaker(key_of(answer.epoch)) == place("/0/0")


def test_a_thief_of_a_branch_reads_what_was_ever_encrypted_to_it(family):
    """
    A limit, stated: old data of the branch is open to him for good, and nothing beyond the branch is.
    """
    stolen = family.laptop.branch

    assert stolen.epoch(0) == family.laptop.epoch
    answer = family.author(family.steward.branch).recover(0, later(1))
    assert all(stolen.epoch(number).expose() != answer.epoch.expose() for number in range(20))


def test_a_thief_of_a_stewards_branch_is_answered_by_the_root(family):
    """
    He has everything below the steward; the root's answer takes all of it from him, names excepted.
    """
    thief = family.copy()
    mallory = family.author(family.steward.branch, thief).delegate(later(1), label="mallory")
    family.author(family.steward.branch, thief).revoke(path("/0.0/1.0"), Scope.PLACE, later(1))
    family.author(family.root).recover(0, later(2))
    family.chain.merge(thief)

    for key in (key_of(mallory.epoch), key_of(family.laptop.epoch), key_of(family.steward.epoch)):
        with pytest.raises(RevokedKeyError):
            family.standing.verify_speaker(key)
    author = family.author(family.root.child(0, 1))
    for child, name in ((0, "/0/0"), (1, "/0/1")):
        again = author.delegate(later(3), child=child)
        assert family.standing.verify_speaker(key_of(again.epoch)) == place(name)
        assert again.branch.public != family.steward.branch.child(child).public


# --- a branch's signing key without its secret
# ---------------------------------------------------------------


def test_a_thief_of_a_parents_signing_key_cannot_move_a_child(family):
    """
    Pre-rotation: the key of the next branch was fixed before, and only the secret makes it.
    """
    oracle = family.steward.branch.key
    birth = family.steward.statements[0].id
    mine = OTHER_SEED.cluster()

    body = Recover(family.laptop.statements[0].id, mine.public, commit(b""), 0)
    with pytest.raises(BadCommitmentError):
        family.chain.add(forged(family.chain, oracle, birth, body, mine.key))
    # He may have seen the right public key somewhere; he has no proof by it.
    body = replace(body, key=family.steward.branch.child(0, 1).public)
    with pytest.raises(BadSignatureError):
        family.chain.add(forged(family.chain, oracle, birth, body, oracle))


def test_a_thief_of_a_parents_signing_key_is_found_out(family):
    """
    What he can do, he does visibly: end children, and make places whose keys do not derive.
    """
    oracle = family.steward.branch.key
    birth = family.steward.statements[0].id
    mine = OTHER_SEED.cluster()
    body = Delegate(9, mine.public, commit(b""), 0, "mallory")
    family.chain.add(forged(family.chain, oracle, birth, body, mine.key))

    assert [each.path for each in audit(family.chain, family.root)] == [path("/0.0/9.0")]
    family.author(family.root).recover(0, later(1))
    assert not branch_verdict(family.chain.registers, path("/0.0/9.0")).living


# --- the root
# ------------------------------------------------------------------------------------------------


def test_a_thief_of_the_root_is_the_cluster_until_it_leaves(family):
    """
    A limit, stated: he has everything, and the owner's way out is a transition that peers accept.
    """
    stolen = family.root
    assert stolen.descendant(LAPTOP) == family.laptop.branch
    Author(family.chain, stolen).revoke(path("/1.0"), Scope.PLACE, later(1))

    genesis = Genesis.issue(OTHER_SEED.cluster())
    family.author(family.root).leave(
        genesis, OTHER_SEED.cluster(), later(2), recovery=CheckedRecovery(genesis, OTHER_SEED)
    )
    assert successor(family.chain).cluster == genesis.cluster
    assert family.standing.speakers() == ()


def test_a_thief_of_the_root_cannot_lead_peers_away_unnoticed(family):
    """
    His successor beside the owner's is a fork that everybody sees; with a commitment his is none at all.
    """
    thief = RootSeed(b"t" * 32)
    theirs = Genesis.issue(thief.cluster())
    family.author(family.root).leave(
        theirs, thief.cluster(), later(1), recovery=CheckedRecovery(theirs, thief)
    )
    mine = Genesis.issue(OTHER_SEED.cluster())
    family.author(family.root).leave(
        mine, OTHER_SEED.cluster(), later(2), recovery=CheckedRecovery(mine, OTHER_SEED)
    )
    with pytest.raises(ForkedSuccessionError):
        successor(family.chain)

    committed = Family(successor=commit(OTHER_SEED.cluster().public))
    body = Transition(theirs.cluster, thief.cluster().public)
    with pytest.raises(BadCommitmentError):
        committed.chain.add(
            forged(committed.chain, committed.root.key, committed.chain.cluster, body, thief.cluster().key)
        )


# --- what everybody sees
# ---------------------------------------------------------------------------------------


def test_peers_cannot_predict_the_next_key_and_recognise_it(family):
    """
    From all that is public, and all that a peer of the same cluster holds, the next key does not follow;
    when it comes, the branch's signature, which the parent vouched for, says whose it is.
    """
    public = {
        bytes(key_of(secret)) for secret in (family.laptop.epoch, family.phone.epoch, family.steward.epoch)
    }
    peer = family.phone.branch
    moved = family.author(family.laptop.branch).rekey(later(1))

    guesses = {bytes(key_of(peer.epoch(number))) for number in range(5)} | public
    assert bytes(key_of(moved.secret)) not in guesses
    assert family.standing.verify_speaker(key_of(moved.secret)) == place("/0/0")
    birth = family.chain.statement(moved.statement.issuer)
    parent = family.chain.statement(birth.issuer)
    moved.statement.verify(birth.body.key)
    birth.verify(parent.body.key)
    parent.verify(family.chain.genesis.root)


def test_any_ancestor_invalidates_and_derives_any_descendant(family):
    """
    Every pair of branches, one above the other: the higher ends the lower and has its secrets; no other pair.
    """
    secrets = [
        family.root,
        family.steward.branch,
        family.server.branch,
        family.laptop.branch,
        family.phone.branch,
    ]
    for higher in secrets:
        for lower in secrets:
            if lower.path.steps and higher.path.is_above(lower.path):
                assert higher.descendant(lower.path) == lower
                chain = family.copy()
                family.author(higher, chain).revoke(lower.path, Scope.BRANCH, NOON)
                assert branch_verdict(chain.registers, lower.path).status == Status.REVOKED
            elif higher is not lower:
                with pytest.raises(KontinuumError):
                    higher.descendant(lower.path)
                if lower.path.steps:
                    with pytest.raises(MisuseError):
                        family.author(higher).revoke(lower.path, Scope.BRANCH, NOON)


def test_a_statement_played_again_changes_nothing(family):
    """
    Not in the same chain, not in another one, not by another issuer, not with another number.
    """
    moved = family.author(family.laptop.branch).rekey(later(1)).statement
    family.author(family.laptop.branch).rekey(later(2))
    before = family.standing.places()

    assert family.chain.add(moved) is False
    for changed in (
        replace(moved, sequence=3, previous=(family.chain.strand_heads(moved.issuer)[0].id,)),
        replace(moved, issuer=family.phone.statements[0].id, sequence=0, previous=()),
        replace(moved, cluster=Family(OTHER_SEED).chain.cluster),
    ):
        with pytest.raises(KontinuumError):
            family.chain.add(changed)
    assert family.standing.places() == before


def test_words_of_another_root_open_nothing(family):
    """
    Neither the chain nor a rehearsal.
    """
    with pytest.raises(WrongRootError):
        Author(family.chain, OTHER_SEED.cluster())
    with pytest.raises(WrongRootError):
        CheckedRecovery(family.chain.genesis, OTHER_SEED)
