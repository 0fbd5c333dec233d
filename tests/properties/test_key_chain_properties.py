"""Merging is a union, whatever comes in which order; names and statements have one form each."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.keys import OTHER_SEED, SEED, Family, forged, later, path
from kontinuum.base import PeerError
from kontinuum.keys.bodies import Delegate, Recover, Rekey, Revoke, Scope, Unknown
from kontinuum.keys.bundles import decode_bundle, decode_heads
from kontinuum.keys.chain import Chain
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.orders import Order
from kontinuum.keys.paths import KeyName, Path, Place, Purpose, Step
from kontinuum.keys.public_keys import commit
from kontinuum.keys.secret_forms import decode_branch_secret, decode_epoch_secret
from kontinuum.keys.standing import Standing
from kontinuum.keys.statements import Statement
from kontinuum.keys.verdicts import key_verdict
from kontinuum.wire import encode_cbor
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_CHILDREN_MAX, KEY_DEPTH_MAX, KEY_EPOCHS_MAX


def pool():
    """Statements of a cluster's bad year: thefts, losses, two roots at once, lies."""
    family = Family()
    elsewhere = [family.copy() for _ in range(4)]
    chain = family.chain
    family.author(family.laptop.branch).rekey(later(1))
    family.author(family.steward.branch).revoke(path("/0.0/1.0"), Scope.EPOCHS, later(2), epoch=0)
    family.author(family.phone.branch).rekey(later(3))
    family.author(family.laptop.branch, elsewhere[0]).rekey(later(4))
    family.author(family.steward.branch, elsewhere[0]).recover(0, later(5))
    family.author(family.root, elsewhere[1]).recover(0, later(6))
    again = family.author(family.root.child(0, 1), elsewhere[1]).delegate(later(7), child=0)
    family.author(again.branch, elsewhere[1]).rekey(later(8))
    family.author(family.root, elsewhere[1]).checkpoint(later(9))
    other = OTHER_SEED.cluster().epoch(0)
    lie = Rekey(1, other.signing().peer_id, other.encryption().public)
    birth = family.server.statements[0].id
    elsewhere[2].add(forged(elsewhere[2], family.server.branch.key, birth, lie, other.signing()))
    family.author(family.server.branch, elsewhere[3]).rekey(later(10))
    family.author(family.root, elsewhere[3]).revoke(path("/0.0/1.0"), Scope.PLACE, later(11))
    family.author(family.root, elsewhere[3]).delegate(later(12), child=5)
    family.author(family.root, elsewhere[3]).revoke(path("/5.0"), Scope.BRANCH, later(12))
    for each in elsewhere:
        chain.merge(each)
    family.author(family.root).checkpoint(later(13))
    return chain


POOL = pool()
STATEMENTS = list(POOL)
some = st.lists(st.sampled_from(range(len(STATEMENTS))), max_size=len(STATEMENTS) + 5)


def chain_of(numbers):
    """A node that heard these statements, in this order, and whatever they build on, later."""
    chain = Chain(POOL.genesis)
    wanted = [STATEMENTS[number] for number in numbers]
    while True:
        missing = chain.merge(wanted).missing
        if not missing:
            return chain
        wanted = [*(POOL.statement(each) for each in missing), *wanted]


def copied(chain):
    """Another node with the same statements."""
    other = Chain(chain.genesis)
    other.merge(chain)
    return other


def merged(*chains):
    """A node that heard all of them, one after the other."""
    result = Chain(POOL.genesis)
    for chain in chains:
        result.merge(chain)
    return result


def meaning(chain):
    """Everything that other rooms can see of a chain."""
    standing = Standing(chain)
    keys = [standing.of_key(key) for key in sorted(chain.registers.speakers())]
    return (chain.heads(), standing.places(), keys, chain.wanted())


@given(one=some, two=some, three=some)
@settings(max_examples=60)
def test_merging_is_commutative_associative_and_idempotent(one, two, three):
    """
    Whoever hears whatever, in whatever order and however often: the same set, and the same meaning.
    """
    a, b, c = chain_of(one), chain_of(two), chain_of(three)

    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == a
    assert meaning(merged(a, b, c)) == meaning(merged(c, b, a))
    assert meaning(merged(a, a)) == meaning(a)


@given(order=st.permutations(range(len(STATEMENTS))))
@settings(max_examples=60)
def test_the_order_of_arrival_means_nothing(order):
    """
    Statements one by one, waiting for those that they build on.
    """
    chain = chain_of(order)

    assert chain == POOL
    assert meaning(chain) == meaning(POOL)


@given(one=some, two=some)
@settings(max_examples=60)
def test_what_is_out_of_use_stays_so_with_more_statements(one, two):
    """
    Nothing that anybody adds brings a key back.
    """
    before = chain_of(one)
    after = merged(before, chain_of(two))

    for key in before.registers.speakers():
        if not key_verdict(before.registers, key).living:
            assert not key_verdict(after.registers, key).living


@given(one=some, two=some)
@settings(max_examples=60)
def test_an_exchange_of_what_is_missing_brings_two_together(one, two):
    """
    After one message each way both have the same heads, and have heard nothing else.
    """
    here, there = chain_of(one), chain_of(two)
    expected = merged(here, there)

    to_there, to_here = here.missing_since(there.heads()), there.missing_since(here.heads())
    for statement in to_there:
        there.add(statement)
    for statement in to_here:
        here.add(statement)

    assert here == there == expected
    assert here.missing_since(there.heads()) == ()


children = st.integers(0, KEY_CHILDREN_MAX - 1)
branches = st.integers(0, KEY_BRANCHES_MAX - 1)
epochs = st.integers(0, KEY_EPOCHS_MAX - 1)
paths = st.lists(st.builds(Step, children, branches), max_size=KEY_DEPTH_MAX).map(
    lambda steps: Path(tuple(steps))
)
labels = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp")), max_size=12)
keys = st.integers(0, 30).map(lambda number: SEED.cluster().child(number))


@given(path=paths, epoch=epochs, purpose=st.sampled_from(Purpose))
def test_names_read_as_they_are_written(path, epoch, purpose):
    """
    Places, paths and keys: text and numbers.
    """
    assert Path.parse(str(path)) == path
    assert Path.decode(path.encode()) == path
    assert Place.parse(str(path.place)) == path.place
    name = KeyName(path, epoch, purpose)
    assert KeyName.parse(str(name)) == name


@given(text=st.text("/.@:0123456789 signencryptostage", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_name_in_its_only_spelling_or_none(text):
    """
    What is read is written back as it was.
    """
    for kind in (Place, Path, KeyName):
        try:
            name = kind.parse(text)
        except PeerError:
            continue
        assert str(name) == text


def bodies():
    """Any body that the format allows."""
    revocations = st.tuples(
        paths.filter(lambda each: each.steps), st.sampled_from(Scope), epochs, st.integers(0, 255)
    )
    return st.one_of(
        st.builds(
            lambda child, key, depth, label: (
                Delegate(child, key.public, commit(label.encode()), depth, label),
                key.key,
            ),
            children,
            keys,
            st.integers(0, KEY_DEPTH_MAX - 1),
            labels,
        ),
        st.builds(
            lambda key, depth: (Recover(commit(key.public), key.public, commit(b""), depth), key.key),
            keys,
            st.integers(0, KEY_DEPTH_MAX - 1),
        ),
        st.builds(
            lambda key, epoch: (
                Rekey(epoch, key.epoch(0).signing().peer_id, key.epoch(0).encryption().public),
                key.epoch(0).signing(),
            ),
            keys,
            epochs,
        ),
        revocations.map(
            lambda each: (Revoke(each[0], each[1], each[2] if each[1] is Scope.EPOCHS else 0, each[3]), None)
        ),
        st.builds(
            lambda kind, content: (Unknown(kind, encode_cbor(content)), None),
            st.integers(7, 255),
            st.recursive(
                st.integers(0, 9) | st.binary(max_size=9),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
        ),
    )


@given(body=bodies(), sequence=st.integers(1, 2**32 - 1), seconds=st.integers(0, 10**9))
@settings(max_examples=100)
def test_statements_read_as_they_are_written(body, sequence, seconds):
    """
    Bytes, fields and signatures survive the way there and back, and every bit is signed.
    """
    said, introduced = body
    statement = Statement.issue(
        SEED.cluster().key,
        said,
        cluster=POOL.cluster,
        issuer=POOL.cluster,
        sequence=sequence,
        previous=[commit(b"before")],
        issued_at=later(seconds),
        introduced=introduced,
    )

    data = statement.encode()
    again = Statement.decode(data)
    assert again == statement
    assert again.encode() == data
    again.verify(SEED.cluster().public)
    changed = bytearray(data)
    position = random.Random(sequence).randrange(len(data))  # noqa: S311  any bit will do
    changed[position] ^= 1 << (sequence % 8)
    try:
        other = Statement.decode(bytes(changed))
    except PeerError:
        return
    try:
        other.verify(SEED.cluster().public)
    except PeerError:
        return
    raise AssertionError("a changed statement was verified")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data):
    """
    Every decoder of the room, on anything.
    """
    for decode in (
        Statement.decode,
        Genesis.decode,
        Order.decode,
        decode_bundle,
        decode_heads,
        decode_branch_secret,
        decode_epoch_secret,
    ):
        try:
            decode(data)
        except PeerError:
            continue


def test_the_pool_is_what_it_says():
    """
    The statements that these properties draw from disagree in every way that matters.
    """
    standing = Standing(POOL)
    statuses = {each.verdict.status.name for each in standing.places()}
    keys = {key_verdict(POOL.registers, key).status.name for key in POOL.registers.speakers()}

    assert {"LIVING", "DISPUTED"} <= statuses
    assert {"LIVING", "REPLACED", "DISPUTED", "REVOKED"} <= keys | statuses
    assert len(STATEMENTS) > 20
