"""A chain that a thief floods: bounded, fair to others, and never in the way of a removal."""

import pytest

from helpers.keys import Family, forged, later, path
from kontinuum.keys import room
from kontinuum.keys.bodies import Delegate, Rekey, Revoke, Scope, Unknown
from kontinuum.keys.bundles import bundles, load_chain
from kontinuum.keys.errors import ChainFullError
from kontinuum.keys.verdicts import Status, branch_verdict, key_verdict
from kontinuum.wire.cbor import encode as encode_cbor


@pytest.fixture
def family(monkeypatch):
    """Root, steward, server, laptop, phone; a chain that holds 40 statements in its pool."""
    monkeypatch.setattr(room, "CHAIN_POOL_STATEMENTS", 40)
    monkeypatch.setattr(room, "CHAIN_SHARE_STATEMENTS", 12)
    monkeypatch.setattr(room, "CHAIN_ROOT_STATEMENTS", 10)
    return Family()


def flood(family, handover, count=200, chain=None):
    """A thief with a branch secret says whatever he can."""
    chain = family.chain if chain is None else chain
    taken = 0
    for number in range(count):
        birth = handover.statements[0].id
        statement = forged(
            chain, handover.branch.key, birth, Unknown(99, bytes([0x18, 24 + number % 200])), at=later(number)
        )
        try:
            taken += chain.add(statement)
        except ChainFullError:
            return taken
    raise AssertionError("the flood found no end")


def test_a_flood_ends(family):
    """
    A branch's statements are bounded, however many it signs.
    """
    flood(family, family.laptop)

    assert len(family.chain) <= 40


def test_long_statements_count_as_several(family):
    """
    At the limit one, a byte beyond two: a thief fills no more memory with long ones.
    """
    counted = room.Room()
    counted.count(path("/0.0"), room.CHAIN_STATEMENT_BYTES)
    assert counted._total == 1
    counted.count(path("/0.0"), room.CHAIN_STATEMENT_BYTES + 1)
    assert counted._total == 3
    birth = family.laptop.statements[0].id
    statements = (
        forged(family.chain, family.laptop.branch.key, birth, Unknown(99, encode_cbor(bytes(5000 + number))))
        for number in range(40)
    )
    taken = len(family.chain.merge(statements).added)
    assert 0 < taken <= 40 // 5


def test_a_refused_flood_does_not_make_us_work(family, monkeypatch):
    """
    Looking for what can make way happens once after something died, not for each statement without room.
    """
    family.author(family.steward.branch).revoke(path("/0.0/1.0"), Scope.BRANCH, later(1))
    looked = []
    monkeypatch.setattr(
        "kontinuum.keys.chain.without_the_dead",
        lambda *arguments: looked.append(1) or room.without_the_dead(*arguments),
    )

    for _ in range(5):
        flood(family, family.laptop)

    assert len(looked) == 1


def test_others_keep_their_share(family):
    """
    The steward's subtree is flooded; the server, elsewhere, rekeys as if nothing was, and so does the root.
    """
    flood(family, family.laptop)

    for _ in range(12):
        family.author(family.server.branch).rekey(later(1))
    for child in range(3):
        family.author(family.root).delegate(later(2), child=10 + child)


def test_a_share_ends_as_well(family):
    """
    Where all flood, the chain is bounded by the pool and the shares.
    """
    flood(family, family.laptop)
    flood(family, family.server)

    assert len(family.chain) <= 40 + 2 * 20 + 10


@pytest.mark.parametrize("scope", [Scope.BRANCH, Scope.PLACE])
def test_a_removal_always_finds_room(family, scope):
    """
    Each ancestor can remove the thief from the full chain, and each of the others, too.
    """
    flood(family, family.laptop)
    flood(family, family.server)

    for who, target in (
        (family.steward.branch, "/0.0/0.0"),
        (family.root, "/0.0/1.0"),
        (family.root, "/0.0/0.0"),
        (family.root, "/0.0"),
    ):
        assert family.author(who).revoke(path(target), scope, later(1))
    assert key_verdict(family.chain.registers, family.laptop.epoch.signing().peer_id).status in (
        Status.REVOKED,
        Status.REMOVED,
    )


def test_a_stolen_key_can_be_taken_out_of_a_full_chain(family):
    """
    Taking epochs away, and giving a new branch, find room as well.
    """
    flood(family, family.laptop)
    family.author(family.steward.branch).revoke(path("/0.0/1.0"), Scope.EPOCHS, later(1), epoch=0)
    assert not family.standing.of_place(path("/0.0/1.0").place).verdict.living

    birth = family.phone.statements[0]
    assert birth.id in family.chain
    answer = family.root.descendant(path("/0.0")).child(1, 1)
    assert family.author(family.steward.branch).recover(1, later(2)).branch == answer


def test_only_the_first_rekeying_is_sure_of_its_room(family):
    """
    A thief does not fill the chain with epochs either.
    """
    flood(family, family.laptop)

    with pytest.raises(ChainFullError):
        family.author(family.laptop.branch).rekey(later(1))


def test_removals_are_no_way_to_flood(family):
    """
    A thief revokes what is his over and over: only what changes something finds room.
    """
    flood(family, family.steward)
    birth = family.steward.statements[0].id
    taken = 0
    for number in range(200):
        for target in ("/0.0/0.0", "/0.0/1.0", "/0.0/7.0"):
            for scope in Scope:
                body = Revoke(path(target), scope, 0, number % 250)
                try:
                    taken += family.chain.add(
                        forged(family.chain, family.steward.branch.key, birth, body, at=later(number))
                    )
                except ChainFullError:
                    continue

    assert taken <= 6


def test_the_dead_make_way(family):
    """
    After the thief is removed, his flood goes, and the chain has room for everybody again.
    """
    flood(family, family.laptop)
    before = len(family.chain)
    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.PLACE, later(1))

    for _ in range(20):
        family.author(family.phone.branch).rekey(later(2))

    assert len(family.chain) < before + 20
    assert branch_verdict(family.chain.registers, path("/0.0/0.0")).status == Status.REMOVED
    assert flood(family, family.phone) > 0


def test_what_was_dropped_does_not_come_back_to_life(family):
    """
    Whatever took a branch out of use stays: revocations by others and by itself, and contradictions.
    """
    by_itself = Revoke(path("/0.0/1.0"), Scope.BRANCH, 0, 0)
    family.chain.add(forged(family.chain, family.phone.branch.key, family.phone.statements[0].id, by_itself))
    for epoch in (1, 2):
        secret = family.root.child(50).epoch(epoch)
        body = Rekey(1, secret.signing().peer_id, secret.encryption().public)
        family.chain.add(
            forged(
                family.chain, family.server.branch.key, family.server.statements[0].id, body, secret.signing()
            )
        )
    family.author(family.root).delegate(later(1), child=9, label="helper", depth=0)
    flood(family, family.laptop)
    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))

    family.chain._drop_the_dead()

    registers = family.chain.registers
    assert branch_verdict(registers, path("/0.0/0.0")).status == Status.REVOKED
    assert branch_verdict(registers, path("/0.0/1.0")).status == Status.REVOKED
    assert branch_verdict(registers, path("/1.0")).status == Status.DISPUTED
    assert branch_verdict(registers, path("/0.0")).living
    assert branch_verdict(registers, path("/9.0")).living


def test_a_key_that_died_does_not_come_back_by_forgetting(family):
    """
    A key of a removed branch that is declared elsewhere stays dead although the branch's statements went.
    """
    stolen = family.laptop.epoch
    body = Rekey(1, stolen.signing().peer_id, stolen.encryption().public)
    family.chain.add(
        forged(family.chain, family.phone.branch.key, family.phone.statements[0].id, body, stolen.signing())
    )
    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))
    flood(family, family.phone)

    family.chain._drop_the_dead()

    verdict = key_verdict(family.chain.registers, stolen.signing().peer_id)
    assert verdict is not None
    assert not verdict.living


def test_a_contradiction_in_a_dead_subtree_is_kept(family):
    """
    A branch key that was given a second place stays disputed although that place's parent fell.
    """
    server_key = family.server.branch
    body = Delegate(7, server_key.public, family.steward.branch.commitment(7, 1), 0, "")
    family.chain.add(
        forged(family.chain, family.steward.branch.key, family.steward.statements[0].id, body, server_key.key)
    )
    assert branch_verdict(family.chain.registers, path("/1.0")).status == Status.DISPUTED
    family.author(family.root).delegate(later(1), child=9)
    family.author(family.root).revoke(path("/0.0"), Scope.PLACE, later(2))

    family.chain._drop_the_dead()

    assert branch_verdict(family.chain.registers, path("/1.0")).status == Status.DISPUTED


def test_who_holds_the_registers_sees_what_is_left(family):
    """
    Making room does not leave anybody with what was.
    """
    registers = family.chain.registers
    flood(family, family.laptop)
    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.PLACE, later(1))

    family.chain._drop_the_dead()

    assert family.chain.registers is registers
    assert branch_verdict(registers, path("/0.0/0.0")).status == Status.REMOVED


def test_what_is_left_is_a_chain(family):
    """
    After the dead made way, everything that is left builds on what is left: it can be stored, sent and read.
    """
    flood(family, family.laptop)
    family.author(family.laptop.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(1))
    family.author(family.steward.branch).revoke(path("/0.0/1.0"), Scope.PLACE, later(1))

    family.chain._drop_the_dead()

    assert load_chain(family.chain.genesis.encode(), bundles(family.chain)) == family.chain


def test_full_chains_agree_after_the_removal(family):
    """
    Two nodes that kept different parts of a flood agree on who speaks, before and after the thief is removed.
    """
    here, there = family.copy(), family.copy()
    flood(family, family.laptop, chain=here)
    flood(family, family.laptop, chain=there, count=90)
    family.author(family.steward.branch, here).revoke(path("/0.0/0.0"), Scope.PLACE, later(1))
    moved = family.author(family.server.branch, there).rekey(later(2))

    here.merge(there)
    there.merge(here)

    for chain in (here, there):
        assert branch_verdict(chain.registers, path("/0.0/0.0")).status == Status.REMOVED
        assert key_verdict(chain.registers, moved.secret.signing().peer_id).living


def test_limits_of_a_chain_as_it_is():
    """
    The numbers that the documents give.
    """
    assert (
        room.CHAIN_POOL_STATEMENTS + 256 * room.CHAIN_SHARE_STATEMENTS + room.CHAIN_ROOT_STATEMENTS < 37_000
    )
