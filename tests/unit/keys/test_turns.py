"""A flood of one subtree does not keep the others' statements back when not all of them fit."""

import pytest

from helpers.keys import Family, forged, later, path
from kontinuum.keys.bodies import Scope, Unknown
from kontinuum.keys.chain import Chain
from kontinuum.keys.turns import in_turns
from kontinuum.keys.verdicts import Status, branch_verdict, epoch_verdict


@pytest.fixture
def flooded():
    """A thief of the laptop's branch said forty things side by side, and then the others said something."""
    family = Family()
    birth = family.laptop.statements[0].id
    for number in range(40):
        body = Unknown(99, bytes([0x18, 24 + number]))
        family.chain.add(forged(family.chain, family.laptop.branch.key, birth, body, previous=(), sequence=0))
    family.moved = family.author(family.server.branch).rekey(later(1)).statement
    family.ended = family.author(family.root).revoke(path("/0.0/0.0"), Scope.BRANCH, later(2))
    return family


def test_the_root_comes_first_and_everybody_has_a_turn(flooded):
    """
    Whoever fetches little at a time learns of the removal and of the honest rekeying at once.
    """
    sleeper = Family().chain

    piece = flooded.chain.missing_since(sleeper.heads(), statements_max=3)

    assert piece[0] == flooded.ended
    assert flooded.moved in piece
    assert not sleeper.merge(piece).missing
    assert branch_verdict(sleeper.registers, path("/0.0/0.0")).status == Status.REVOKED


def test_a_steward_that_floods_does_not_keep_his_sibling_back():
    """
    Each place right below the root has its turn, even beside one of the same rank.
    """
    family = Family()
    birth = family.steward.statements[0].id
    for number in range(40):
        body = Unknown(99, bytes([0x18, 24 + number]))
        family.chain.add(
            forged(family.chain, family.steward.branch.key, birth, body, previous=(), sequence=0)
        )
    moved = family.author(family.server.branch).rekey(later(1)).statement

    assert moved in family.chain.missing_since(Family().chain.heads(), statements_max=2)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_every_piece_can_be_taken_and_everything_arrives(flooded, size):
    """
    The order is one in which each statement follows what it builds on.
    """
    sleeper = Chain(flooded.chain.genesis)
    while piece := flooded.chain.missing_since(sleeper.heads(10**6), statements_max=size):
        for statement in piece:
            assert sleeper.add(statement)

    assert sleeper == flooded.chain


def test_heads_that_do_not_fit_are_the_floods(flooded):
    """
    The root's end and one of each subtree are named before a thief's forty.
    """
    heads = flooded.chain.heads(3)

    issuers = {flooded.chain.statement(head).issuer for head in heads}
    assert len(heads) == 3
    assert {flooded.chain.cluster, flooded.server.statements[0].id} <= issuers
    assert flooded.chain.heads() == tuple(sorted(flooded.chain.heads(10**6)))


def test_what_is_out_of_use_comes_last_among_its_own(flooded):
    """
    The phone's words go before those of the removed laptop, in the same subtree.
    """
    spoken = flooded.author(flooded.phone.branch).rekey(later(3)).statement

    order = [statement.id for statement in in_turns(flooded.chain, flooded.chain.registers)]

    dead = [each.id for each in flooded.chain if each.issuer == flooded.laptop.statements[0].id]
    assert order.index(spoken.id) < min(order.index(each) for each in dead)


def test_many_repetitions_do_not_slow_answers_down():
    """
    A thief repeats himself; what was answered is not worked out again before something is said, and questions
    about what does not exist leave nothing behind.
    """
    family = Family()
    registers = family.chain.registers
    first = branch_verdict(registers, path("/0.0/0.0"))

    assert branch_verdict(registers, path("/0.0/0.0")) is first
    kept = len(registers.judged)
    for number in range(50):
        assert branch_verdict(registers, path(f"/{number}.7")).status == Status.UNBORN
        assert epoch_verdict(registers, path("/1.0"), 1 + number).status == Status.UNBORN
    assert len(registers.judged) <= kept + 1
    family.author(family.laptop.branch).rekey(later(1))
    assert branch_verdict(registers, path("/0.0/0.0")) is not first
