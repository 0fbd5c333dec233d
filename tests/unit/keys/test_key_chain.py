"""The chain as a set that only grows: merging, what somebody lacks, and what is kept back."""

import itertools

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, forged, later, path
from kontinuum.base import MisuseError, PeerError, UnavailableError
from kontinuum.identity import BadSignatureError
from kontinuum.keys.bodies import Scope, StatementId, Unknown
from kontinuum.keys.bundles import (
    bundles,
    decode_bundle,
    decode_heads,
    encode_bundle,
    encode_heads,
    load_chain,
)
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import BrokenLinkError, MissingStatementsError
from kontinuum.wire import encode_cbor
from kontinuum.wire.limits import CHAIN_BUNDLE_BYTES_MAX, CHAIN_BUNDLE_STATEMENTS_MAX, CHAIN_HEADS_MAX


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def id_of(statement):
    """What names a statement."""
    return statement.id


def test_any_order_gives_the_same_chain(family):
    """
    Statements come as the network brings them: backwards, and every order of the first few.
    """
    statements = list(family.chain)
    for order in (reversed(statements), *itertools.permutations(statements[:5])):
        chain = Chain(family.chain.genesis)
        merged = chain.merge([*order, *statements])
        assert chain == family.chain
        assert chain.heads() == family.chain.heads()
        assert not merged.missing
        assert not merged.refused


def test_what_was_added_can_be_passed_on_in_that_order(family):
    """
    Another chain takes the added ones one by one.
    """
    added = Chain(family.chain.genesis).merge(reversed(list(family.chain))).added
    other = Chain(family.chain.genesis)

    for statement in added:
        assert other.add(statement)
    assert other == family.chain


def test_merging_says_what_is_missing(family):
    """
    It names what to ask for; with that, the next merge takes everything.
    """
    birth, first = family.laptop.statements
    chain = Chain(family.chain.genesis)

    merged = chain.merge([first])

    assert merged.missing == (birth.id,)
    assert not merged.added
    assert chain.merge(family.chain).missing == ()
    assert chain == family.chain


def test_one_bad_statement_hinders_only_what_builds_on_it(family):
    """
    A liar's word, and what follows it, is refused; the honest ones in the same bundle are taken.
    """
    key = family.phone.branch.key
    birth = family.laptop.statements[0].id
    chain = family.copy()
    bad = forged(chain, key, birth, Unknown(99, b"\x01"))
    follows = forged(
        chain, family.laptop.branch.key, birth, Unknown(99, b"\x02"), previous=(bad.id,), sequence=2
    )
    honest = family.author(family.laptop.branch).rekey(NOON).statement

    merged = chain.merge([follows, bad, honest])

    assert merged.added == [honest]
    assert [statement for statement, _ in merged.refused] == [bad, follows]
    assert isinstance(merged.refused[0][1], BadSignatureError)
    assert isinstance(merged.refused[1][1], MissingStatementsError)
    assert merged.missing == ()


def test_a_refused_statement_changes_nothing(family):
    """
    Neither the set, nor its heads, nor what it means.
    """
    before = (len(family.chain), family.chain.heads(), family.standing.places())
    bad = forged(
        family.chain,
        family.laptop.branch.key,
        family.laptop.statements[0].id,
        Unknown(99, b"\x01"),
        sequence=9,
    )

    with pytest.raises(BrokenLinkError):
        family.chain.add(bad)

    assert (len(family.chain), family.chain.heads(), family.standing.places()) == before


def test_what_somebody_lacks(family):
    """
    Exactly the statements that his heads do not build on, in an order that he can take.
    """
    sleeper = family.copy()
    rekeyed = family.author(family.laptop.branch).rekey(later(1)).statement
    revoked = family.author(family.root).revoke(path("/1.0"), Scope.BRANCH, later(2))

    lacking = family.chain.missing_since(sleeper.heads())

    assert set(map(id_of, lacking)) == {rekeyed.id, revoked.id}
    for statement in lacking:
        assert sleeper.add(statement)
    assert sleeper == family.chain
    assert family.chain.missing_since(sleeper.heads()) == ()
    assert set(map(id_of, family.chain.missing_since(()))) == set(map(id_of, family.chain))


def test_heads_that_are_not_here_are_passed_over(family):
    """
    A peer that has more, or makes heads up, gets what he may lack and does no harm.
    """
    ahead = family.copy()
    family.author(family.laptop.branch, ahead).rekey(later(1))

    assert len(family.chain.missing_since((StatementId(b"?" * 32),))) == len(family.chain)
    assert not set(ahead.heads()) <= set(family.chain.heads())
    assert len(family.chain.missing_since(ahead.heads())) <= 2


def test_catching_up_in_pieces(family):
    """
    However small the pieces, each one can be taken, and asking again ends with everything.
    """
    sleeper = Chain(family.chain.genesis)
    rounds = 0
    while piece := family.chain.missing_since(sleeper.heads(), statements_max=2):
        assert len(piece) <= 2
        assert len(sleeper.merge(piece).added) == len(piece)
        rounds += 1

    assert sleeper == family.chain
    assert rounds == len(family.chain) / 2


def test_two_that_were_apart_agree_after_one_exchange_each_way(family):
    """
    Each sends what the other's heads lack; then both have the same heads.
    """
    here, there = family.copy(), family.copy()
    family.author(family.laptop.branch, here).rekey(later(1))
    family.author(family.root, here).revoke(path("/1.0"), Scope.BRANCH, later(2))
    family.author(family.phone.branch, there).rekey(later(3))
    family.author(family.root, there).delegate(later(4), label="new")

    to_there, to_here = here.missing_since(there.heads()), there.missing_since(here.heads())
    there.merge(to_there)
    here.merge(to_here)

    assert here == there
    assert here.heads() == there.heads()


def test_a_strand_that_was_split_is_joined_again(family):
    """
    The root spoke on two machines; its next statement follows both ends.
    """
    here, there = family.copy(), family.copy()
    family.author(family.root, here).delegate(later(1), label="one", child=8)
    family.author(family.root, there).delegate(later(1), label="two", child=9)
    here.merge(there)
    root = StatementId(here.cluster)
    assert len(here.strand_heads(root)) == 2

    joined = family.author(family.root, here).checkpoint(later(2))

    assert len(joined.previous) == 2
    assert here.strand_heads(root) == (joined,)
    assert [each.sequence for each in here.strand(root)] == [0, 1, 2, 2, 3]


def test_many_ends_are_joined_bit_by_bit(family):
    """
    A statement follows four at most, so six ends take two.
    """
    chains = [family.copy() for _ in range(6)]
    for number, chain in enumerate(chains):
        family.author(family.root, chain).delegate(later(number), child=10 + number)
        family.chain.merge(chain)
    root = StatementId(family.chain.cluster)
    assert len(family.chain.strand_heads(root)) == 6

    family.author(family.root).checkpoint(later(9))
    last = family.author(family.root).checkpoint(later(10))

    assert family.chain.strand_heads(root) == (last,)


def test_what_is_kept_back_is_noticed(family):
    """
    A checkpoint names what its issuer saw: a node that was shown less knows what it lacks, and who keeps it.
    """
    victim = family.copy()
    revoked = family.author(family.root).revoke(path("/1.0"), Scope.BRANCH, later(1))
    seen = family.author(family.steward.branch).checkpoint(later(2))

    victim.add(seen)

    assert revoked.id in victim.wanted()
    victim.add(revoked)
    assert victim.wanted() == ()


def test_a_checkpoint_of_the_dead_keeps_nobody_asking(family):
    """
    Only the latest of each issuer counts, and none of a branch that is out of use.
    """
    ahead = family.copy()
    rekeyed = family.author(family.phone.branch, ahead).rekey(later(1)).statement
    family.chain.add(family.author(family.server.branch, ahead).checkpoint(later(2)))
    assert family.chain.wanted() == (rekeyed.id,)

    family.author(family.root).revoke(path("/1.0"), Scope.BRANCH, later(3))
    assert family.chain.wanted() == ()

    family.chain.add(family.author(family.laptop.branch, ahead).checkpoint(later(4)))
    assert family.chain.wanted() != ()
    family.author(family.laptop.branch).checkpoint(later(5))
    assert family.chain.wanted() == ()


def test_the_latest_of_two_checkpoints_is_the_same_for_everybody(family):
    """
    A branch spoke in two places at once; which of its checkpoints counts does not depend on which came first.
    """
    ahead = [family.copy() for _ in range(2)]
    for number, branch in enumerate((family.laptop.branch, family.phone.branch)):
        family.author(branch, ahead[number]).rekey(later(number))
    seen = [family.author(family.server.branch, chain).checkpoint(later(9)) for chain in ahead]
    one, two = family.copy(), family.copy()

    one.merge(seen)
    two.merge(reversed(seen))

    assert one.wanted() == two.wanted()
    assert len(one.wanted()) == 1


def test_a_chain_comes_back_from_its_bytes(family):
    """
    Bundles of any size, in any order.
    """
    stored = [encode_bundle([statement]) for statement in family.chain]

    assert load_chain(family.chain.genesis.encode(), reversed(stored)) == family.chain
    assert load_chain(family.chain.genesis.encode(), bundles(family.chain)) == family.chain


def test_a_chain_with_a_gap_or_a_lie_does_not_come_back(family):
    """
    What is read from a disk is checked as if a stranger had sent it.
    """
    genesis = family.chain.genesis.encode()
    statements = list(family.chain)
    bad = forged(family.chain, family.phone.branch.key, family.laptop.statements[0].id, Unknown(9, b"\x01"))

    with pytest.raises(UnavailableError):
        load_chain(genesis, [encode_bundle(statements[1:])])
    with pytest.raises(PeerError):
        load_chain(genesis, [encode_bundle([*statements, bad])])
    with pytest.raises(PeerError):
        load_chain(Family(OTHER_SEED).chain.genesis.encode(), bundles(family.chain))


def test_bundles_are_bounded(family):
    """
    Limit, limit and one, and a flood.
    """
    statement = family.laptop.statements[0]
    full = [statement] * CHAIN_BUNDLE_STATEMENTS_MAX

    assert len(decode_bundle(encode_bundle(full))) == CHAIN_BUNDLE_STATEMENTS_MAX
    with pytest.raises(MisuseError):
        encode_bundle([*full, statement])
    with pytest.raises(PeerError):
        decode_bundle(encode_cbor([statement.encode()] * (CHAIN_BUNDLE_STATEMENTS_MAX + 1)))
    with pytest.raises(PeerError):
        decode_bundle(bytes(CHAIN_BUNDLE_BYTES_MAX + 1))
    cut = list(bundles([statement] * (3 * CHAIN_BUNDLE_STATEMENTS_MAX + 1)))
    assert [len(decode_bundle(data)) for data in cut] == [*[CHAIN_BUNDLE_STATEMENTS_MAX] * 3, 1]
    assert list(bundles([])) == []


def test_bundles_of_large_statements_are_cut_by_size(family):
    """
    No bundle is longer than a call carries.
    """
    large = forged(
        family.chain, family.root.key, family.chain.cluster, Unknown(99, encode_cbor(bytes(11_000)))
    )

    cut = list(bundles([large] * 300))

    assert len(cut) == 4
    assert all(len(data) <= CHAIN_BUNDLE_BYTES_MAX for data in cut)


@pytest.mark.parametrize(
    "data", [b"", encode_cbor({}), encode_cbor([1]), encode_cbor([b""]), encode_cbor([[]])]
)
def test_what_is_no_bundle_is_refused(data):
    """
    Any bytes give statements or a PeerError.
    """
    with pytest.raises(PeerError):
        decode_bundle(data)


def test_heads_are_bounded():
    """
    Limit, and limit and one; unsorted or broken lists are refused.
    """
    many = [StatementId(number.to_bytes(32, "big")) for number in range(CHAIN_HEADS_MAX + 5)]

    assert decode_heads(encode_heads(reversed(many[:CHAIN_HEADS_MAX]))) == tuple(many[:CHAIN_HEADS_MAX])
    with pytest.raises(MisuseError):
        encode_heads(many)
    for data in (
        encode_cbor(many),
        encode_cbor([many[1], many[0]]),
        encode_cbor([b""]),
        encode_cbor({}),
        b"",
    ):
        with pytest.raises(PeerError):
            decode_heads(data)


def test_chains_compare_by_what_they_hold(family):
    """
    Equal with the same statements, and not otherwise; not a key of a table, for they change.
    """
    other = family.copy()
    assert other == family.chain
    family.author(family.laptop.branch).checkpoint(NOON)
    assert other != family.chain
    assert other != "a chain"
    assert Family(OTHER_SEED).chain != other
    with pytest.raises(TypeError):
        hash(other)
    assert family.chain.statement(StatementId(b"?" * 32)) is None
    assert family.chain.statement(family.laptop.statements[0].id) == family.laptop.statements[0]
    assert family.laptop.statements[0].id in family.chain


def test_a_copy_goes_its_own_way(family):
    """
    It holds the same, and what is added to one is not in the other.
    """
    copy = family.chain.copy()
    assert copy == family.chain
    family.author(family.laptop.branch).checkpoint(NOON)
    assert copy != family.chain


def test_the_foundation_of_a_statement_is_all_that_another_chain_needs_to_take_it(family):
    """
    Nothing that it builds on is missing, nothing else is there, and unknown ids are passed over.
    """
    birth, first = family.laptop.statements

    founded = family.chain.foundation([first.id, StatementId(b"?" * 32)])

    stranger = Chain(family.chain.genesis)
    merged = stranger.merge(founded)
    assert not merged.missing
    assert not merged.refused
    assert first.id in stranger
    assert birth.id in stranger
    assert len(founded) < len(family.chain)
    assert family.chain.foundation([]) == ()
