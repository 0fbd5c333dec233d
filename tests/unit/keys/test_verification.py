"""Who may say what: each rule of the key chain's page, broken by somebody who holds real keys."""

from dataclasses import replace

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path
from kontinuum.base import MisuseError
from kontinuum.identity import BadSignatureError
from kontinuum.keys.bodies import (
    Checkpoint,
    Delegate,
    Recover,
    Rekey,
    Revoke,
    Scope,
    StatementId,
    Transition,
    Unknown,
)
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import (
    BadCommitmentError,
    BrokenLinkError,
    MissingStatementsError,
    OutrankedError,
    WrongClusterError,
)
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.public_keys import commit
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_DEPTH_MAX

ROOT = "/"
STEWARD = "/0.0"
SERVER = "/1.0"
LAPTOP = "/0.0/0.0"
PHONE = "/0.0/1.0"


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def birth_of(family, text):
    """The id of the statement that made a branch."""
    return family.chain.registers.births_at(path(text))[0].id


def secret_of(family, text):
    """A branch's secret, as its ancestors derive it."""
    return family.root.descendant(path(text))


def said(family, who, body, introduced=None, **fields):
    """A statement by the branch ``who``, with its real key."""
    return forged(family.chain, secret_of(family, who).key, birth_of(family, who), body, introduced, **fields)


def delegation(family, parent, child, **fields):
    """What an honest parent says about a new child, and the child's key."""
    branch = secret_of(family, parent).child(child)
    body = Delegate(child, branch.public, secret_of(family, parent).commitment(child, 1), 0, "")
    return replace(body, **fields), branch.key


def rekeying(family, who, epoch):
    """What an honest branch says about a new epoch, and that epoch's key."""
    secret = secret_of(family, who).epoch(epoch)
    return Rekey(epoch, secret.signing().peer_id, secret.encryption().public), secret.signing()


def test_the_honest_statements_of_these_tests_are_taken(family):
    """
    What the attacks below change is what makes them attacks.
    """
    assert family.chain.add(said(family, STEWARD, *delegation(family, STEWARD, 7)))
    assert family.chain.add(said(family, LAPTOP, *rekeying(family, LAPTOP, 1)))
    assert family.chain.add(said(family, STEWARD, Revoke(path(PHONE), Scope.PLACE, 0, 0)))
    assert family.chain.add(said(family, LAPTOP, Unknown(99, b"\x01")))


def test_a_statement_is_taken_once(family):
    """
    A replay changes nothing, however often and wherever it comes from.
    """
    statement = said(family, LAPTOP, *rekeying(family, LAPTOP, 1))
    assert family.chain.add(statement) is True
    before = len(family.chain)

    assert family.chain.add(statement) is False
    assert family.chain.add(replace(statement, signature=bytes(64))) is False
    assert len(family.chain) == before


def test_a_statement_of_another_cluster_is_refused(family):
    """
    Even if the same person made both, with the same keys on the same paths.
    """
    twin = Family()
    twin.chain = Chain(Genesis.issue(twin.root, commit(OTHER_SEED.cluster().public)))
    statement = twin.author(twin.root).delegate(NOON).statements[0]

    with pytest.raises(WrongClusterError):
        family.chain.add(statement)


def test_nothing_hangs_in_the_air(family):
    """
    An unknown issuer or predecessor is named, so that it can be asked for, and nothing changes.
    """
    empty = Chain(family.chain.genesis)
    second = family.laptop.statements[1]

    with pytest.raises(MissingStatementsError) as caught:
        empty.add(second)
    assert caught.value.missing == (second.issuer,)
    assert len(empty) == 0
    unknown = StatementId(b"?" * 32)
    with pytest.raises(MissingStatementsError):
        family.chain.add(said(family, LAPTOP, *rekeying(family, LAPTOP, 1), sequence=1, previous=(unknown,)))


def test_a_statement_that_makes_no_branch_is_no_issuer(family):
    """
    A rekeying gives its key no voice in the chain.
    """
    rekey = family.laptop.statements[1]
    thief = family.laptop.epoch.signing()
    body, introduced = rekeying(family, LAPTOP, 1)

    with pytest.raises(BrokenLinkError):
        family.chain.add(forged(family.chain, thief, rekey.id, body, introduced))


def test_a_statement_follows_its_own_issuer_only(family):
    """
    Nobody puts words behind another one's.
    """
    other = family.chain.strand_heads(birth_of(family, PHONE))[0]

    with pytest.raises(BrokenLinkError):
        family.chain.add(
            said(
                family,
                LAPTOP,
                *rekeying(family, LAPTOP, 1),
                previous=(other.id,),
                sequence=other.sequence + 1,
            )
        )


@pytest.mark.parametrize("sequence", [2, 99])
def test_a_number_follows_from_the_links(family, sequence):
    """
    No gap and no repetition: who sees a strand sees all of it.
    """
    with pytest.raises(BrokenLinkError):
        family.chain.add(said(family, LAPTOP, *rekeying(family, LAPTOP, 1), sequence=sequence))


def test_only_the_branch_key_makes_statements(family):
    """
    A thief of the operational key can say nothing about keys: not in his own name and in nobody else's.
    """
    thief = family.laptop.epoch.signing()
    bodies = [
        rekeying(family, LAPTOP, 1),
        (Revoke(path(LAPTOP), Scope.BRANCH, 0, 0), None),
        (Checkpoint(()), None),
        delegation(family, LAPTOP, 0),
    ]
    for body, introduced in bodies:
        for name in (LAPTOP, STEWARD, ROOT):
            with pytest.raises((BadSignatureError, OutrankedError)):
                family.chain.add(forged(family.chain, thief, birth_of(family, name), body, introduced))


def test_another_branch_cannot_sign(family):
    """
    The phone does not speak for the laptop, nor the server for the steward.
    """
    for signer, victim in ((PHONE, LAPTOP), (SERVER, STEWARD), (LAPTOP, STEWARD), (STEWARD, ROOT)):
        body, introduced = rekeying(family, victim, 3)
        with pytest.raises(BadSignatureError):
            family.chain.add(
                forged(
                    family.chain, secret_of(family, signer).key, birth_of(family, victim), body, introduced
                )
            )


def test_a_key_is_not_claimed_without_its_consent(family):
    """
    Whoever names another person's key as his own or as his child's lacks that key's proof.
    """
    stranger = OTHER_SEED.cluster()
    liar = secret_of(family, LAPTOP).key
    body, _ = rekeying(family, LAPTOP, 1)
    body = replace(body, signing=stranger.epoch(0).signing().peer_id)
    with pytest.raises(BadSignatureError):
        family.chain.add(said(family, LAPTOP, body, liar))
    body, _ = delegation(family, STEWARD, 9, key=stranger.public)
    with pytest.raises(BadSignatureError):
        family.chain.add(said(family, STEWARD, body, liar))


def test_a_proof_is_for_one_statement(family):
    """
    A proof that was given once does not serve another issuer, cluster or moment.
    """
    honest = family.laptop.statements[1]
    body = honest.body
    stolen = said(family, PHONE, body, secret_of(family, PHONE).key, at=later(1))

    with pytest.raises(BadSignatureError):
        family.chain.add(replace(stolen, proof=honest.proof))


def test_the_branch_key_never_speaks_on_the_wire(family):
    """
    It is kept apart; naming it as the operational key would put it where thieves are.
    """
    branch = secret_of(family, LAPTOP)
    body, _ = rekeying(family, LAPTOP, 1)
    as_peer = family.laptop.branch.key._pair.peer_id

    with pytest.raises(OutrankedError):
        family.chain.add(said(family, LAPTOP, replace(body, signing=as_peer), branch.key))


@pytest.mark.parametrize(
    ("who", "target"),
    [
        (LAPTOP, STEWARD),
        (LAPTOP, PHONE),
        (STEWARD, SERVER),
        (SERVER, LAPTOP),
        (LAPTOP, "/0.1"),
        (STEWARD, "/0.1/0.0"),
        (LAPTOP, "/0.0/0.1"),
    ],
)
@pytest.mark.parametrize("scope", list(Scope))
def test_nobody_revokes_what_is_not_below_him(family, who, target, scope):
    """
    Not an ancestor, not a sibling, not another branch of the same place, not what is below one.
    """
    with pytest.raises(OutrankedError):
        family.chain.add(said(family, who, Revoke(path(target), scope, 0, 0)))


def test_a_branch_does_not_take_its_place_away_from_its_parent(family):
    """
    A thief of a branch can end that branch, and not hinder the parent from giving the next.
    """
    with pytest.raises(OutrankedError):
        family.chain.add(said(family, LAPTOP, Revoke(path(LAPTOP), Scope.PLACE, 0, 0)))
    assert family.chain.add(said(family, LAPTOP, Revoke(path(LAPTOP), Scope.BRANCH, 0, 0)))
    assert family.author(secret_of(family, STEWARD)).recover(0, later(1))


def test_a_leaf_has_no_children(family):
    """
    Who was given no level below him makes no places, so a stolen node does not grow a tree.
    """
    with pytest.raises(OutrankedError):
        family.chain.add(said(family, LAPTOP, *delegation(family, LAPTOP, 0)))


@pytest.mark.parametrize("depth", [1, 2, KEY_DEPTH_MAX - 1])
def test_a_child_has_fewer_levels_than_its_parent(family, depth):
    """
    Nobody hands on more than he has.
    """
    with pytest.raises(OutrankedError):
        family.chain.add(said(family, STEWARD, *delegation(family, STEWARD, 9, depth=depth)))


def test_the_tree_ends_at_its_depth(family):
    """
    The deepest place that there can be exists, and has none below it.
    """
    secret = family.root
    for depth in range(KEY_DEPTH_MAX - 1, -1, -1):
        secret = family.author(secret).delegate(NOON, child=9, depth=depth).branch

    assert len(secret.path.steps) == KEY_DEPTH_MAX
    with pytest.raises(MisuseError):
        family.author(secret).delegate(NOON, child=9)


def recovery(family, parent, child, **fields):
    """What an honest parent says to answer a theft, and the new branch's key."""
    before = family.chain.registers.births_at(path(parent).child(child))[0]
    branch = secret_of(family, parent).child(child, before.path.branch + 1)
    body = Recover(before.id, branch.public, secret_of(family, parent).commitment(child, 2), 0)
    return replace(body, **fields), branch.key


def test_a_new_branch_is_the_one_that_was_committed_to(family):
    """
    Whoever steals only the parent's signing key cannot move a child to keys of his own.
    """
    mine = OTHER_SEED.cluster()

    with pytest.raises(BadCommitmentError):
        family.chain.add(said(family, STEWARD, recovery(family, STEWARD, 0, key=mine.public)[0], mine.key))
    skipped = secret_of(family, STEWARD).child(0, 2)
    with pytest.raises(BadCommitmentError):
        family.chain.add(
            said(family, STEWARD, recovery(family, STEWARD, 0, key=skipped.public)[0], skipped.key)
        )
    assert family.chain.add(said(family, STEWARD, *recovery(family, STEWARD, 0)))


@pytest.mark.parametrize("who", [ROOT, SERVER, LAPTOP])
def test_only_the_parent_gives_a_new_branch(family, who):
    """
    Neither the thief of the branch, nor another branch; a higher ancestor gives the parent a new branch
    first.
    """
    body, introduced = recovery(family, STEWARD, 0)

    with pytest.raises(OutrankedError):
        family.chain.add(said(family, who, replace(body, depth=0), introduced))


def test_a_new_branch_follows_a_branch(family):
    """
    What it follows is a birth, and not any statement, nor the root.
    """
    body, introduced = recovery(family, STEWARD, 0)

    with pytest.raises(OutrankedError):
        family.chain.add(
            said(family, STEWARD, replace(body, after=family.laptop.statements[1].id), introduced)
        )
    with pytest.raises(MissingStatementsError):
        family.chain.add(said(family, STEWARD, replace(body, after=StatementId(b"?" * 32)), introduced))


def test_a_place_has_a_last_branch(family):
    """
    The last branch exists, and none after it.
    """
    author = family.author(family.root)
    for _ in range(KEY_BRANCHES_MAX - 1):
        author.recover(1, NOON)
    last = family.chain.registers.births_at(path(f"/1.{KEY_BRANCHES_MAX - 1}"))[0]
    stranger = OTHER_SEED.cluster()

    with pytest.raises(OutrankedError):
        family.chain.add(said(family, ROOT, Recover(last.id, stranger.public, last.next, 0), stranger.key))


def test_only_the_root_leaves(family):
    """
    No descendant closes the chain, and the root does not leave for itself.
    """
    new = OTHER_SEED.cluster()
    genesis = Genesis.issue(new)
    with pytest.raises(OutrankedError):
        family.chain.add(said(family, STEWARD, Transition(genesis.cluster, new.public), new.key))
    for cluster, root in (
        (family.chain.cluster, new.public),
        (genesis.cluster, family.root.public),
    ):
        with pytest.raises(OutrankedError):
            family.chain.add(said(family, ROOT, Transition(cluster, root), new.key))


def test_a_committed_successor_is_the_only_one():
    """
    With a commitment in the genesis, a thief of the root's words cannot take the cluster elsewhere.
    """
    thief, heir = OTHER_SEED.cluster(1), OTHER_SEED.cluster(2)
    family = Family(successor=commit(heir.public))

    with pytest.raises(BadCommitmentError):
        family.chain.add(
            said(family, ROOT, Transition(Genesis.issue(thief).cluster, thief.public), thief.key)
        )
    assert family.chain.add(
        said(family, ROOT, Transition(Genesis.issue(heir).cluster, heir.public), heir.key)
    )
