"""A parent's orders: obeyed once, by whom they are for, from whom may give them."""

from dataclasses import replace

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, later, path
from kontinuum.base import MisuseError, PeerError
from kontinuum.identity import BadSignatureError
from kontinuum.keys.bodies import Reason, Scope
from kontinuum.keys.chain import Chain
from kontinuum.keys.errors import MissingStatementsError, OutrankedError, StaleOrderError, WrongClusterError
from kontinuum.keys.orders import Obedience, Order
from kontinuum.wire import WrongVersionError, decode_cbor, encode_cbor
from kontinuum.wire.limits import KEY_EPOCHS_MAX, KEY_ORDER_BYTES_MAX, KEY_ORDER_SEQUENCE_MAX

LAPTOP = path("/0.0/0.0")


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def order_of(family, branch, sequence=1, target=LAPTOP, **fields):
    """An order to leave the target's newest epoch."""
    return Order.issue(family.chain, branch, target, sequence=sequence, at=NOON, **fields)


def test_a_child_obeys_and_then_the_order_is_spent(family):
    """
    It rekeys; the same order, played again a thousand times, asks for what is done.
    """
    order = Order.decode(order_of(family, family.steward.branch, reason=Reason.STOLEN).encode())
    child = Obedience(LAPTOP)

    assert child.verify(order, family.chain) == 0
    assert family.author(family.laptop.branch).rekey(later(1)).secret.epoch == 1
    for memory in (child, Obedience(LAPTOP), Obedience(LAPTOP, child.latest)):
        with pytest.raises(StaleOrderError):
            memory.verify(order, family.chain)


def test_an_order_is_taken_once_even_before_it_is_obeyed(family):
    """
    A repeated message does not start a second rekeying.
    """
    order = order_of(family, family.steward.branch)
    child = Obedience(LAPTOP)
    child.verify(order, family.chain)

    with pytest.raises(StaleOrderError):
        child.verify(order, family.chain)
    with pytest.raises(StaleOrderError):
        Obedience(LAPTOP, child.latest).verify(order, family.chain)


def test_an_older_order_that_was_held_back_is_refused(family):
    """
    Orders of one issuer are numbered; those of another ancestor have numbers of their own.
    """
    first = order_of(family, family.steward.branch, sequence=5)
    second = order_of(family, family.steward.branch, sequence=6)
    child = Obedience(LAPTOP)
    child.verify(second, family.chain)

    with pytest.raises(StaleOrderError):
        child.verify(first, family.chain)
    assert child.verify(order_of(family, family.root, sequence=1), family.chain) == 0


def test_any_ancestor_orders_and_nobody_else(family):
    """
    Not a sibling, not the child itself, not a node elsewhere; nor does an order by one serve for another.
    """
    for branch in (family.root, family.steward.branch):
        assert Obedience(LAPTOP).verify(order_of(family, branch), family.chain) == 0
    for branch in (family.phone.branch, family.laptop.branch, family.server.branch):
        with pytest.raises(OutrankedError):
            order_of(family, branch)
        honest = order_of(family, family.steward.branch)
        forged = Order.decode(replace(honest, issuer=branch_birth(family, branch)).signed_by(branch))
        with pytest.raises(OutrankedError):
            Obedience(LAPTOP).verify(forged, family.chain)
        with pytest.raises(BadSignatureError):
            Obedience(LAPTOP).verify(Order.decode(honest.signed_by(branch)), family.chain)


def branch_birth(family, branch):
    """The statement that made a branch."""
    return family.chain.registers.births_at(branch.path)[0].id


def test_a_thief_of_the_operational_key_orders_nothing(family):
    """
    Orders take the branch key, which the running parent does not have.
    """
    honest = order_of(family, family.steward.branch)
    stolen = family.steward.epoch.signing()
    forged = replace(honest, signature=stolen.sign("key-order", b""))

    with pytest.raises(BadSignatureError):
        Obedience(LAPTOP).verify(forged, family.chain)


def test_an_order_for_somebody_else_is_not_obeyed(family):
    """
    Nor one in another cluster, nor one for another branch of the same place.
    """
    order = order_of(family, family.steward.branch)

    with pytest.raises(OutrankedError):
        Obedience(path("/0.0/1.0")).verify(order, family.chain)
    with pytest.raises(OutrankedError):
        Obedience(path("/0.0/0.1")).verify(order, family.chain)
    with pytest.raises(WrongClusterError):
        Obedience(LAPTOP).verify(order, Family(OTHER_SEED).chain)


@pytest.mark.parametrize("target", ["/0.0", "/0.0/0.0"])
def test_an_order_of_or_to_the_dead_is_not_obeyed(family, target):
    """
    A revoked parent orders nothing; a revoked child has nothing to leave.
    """
    order = order_of(family, family.steward.branch)
    family.author(family.root).revoke(path(target), Scope.BRANCH, later(1))

    with pytest.raises(OutrankedError):
        Obedience(LAPTOP).verify(order, family.chain)


def test_an_order_cannot_burn_epochs(family):
    """
    It names the epoch that its issuer sees; one that does not exist yet is no reason to jump.
    """
    honest = order_of(family, family.steward.branch)
    greedy = Order.decode(replace(honest, leave=KEY_EPOCHS_MAX - 1).signed_by(family.steward.branch))
    child = Obedience(LAPTOP)

    with pytest.raises(MissingStatementsError):
        child.verify(greedy, family.chain)
    assert child.latest == {}


def test_an_order_that_comes_before_its_issuer_waits(family):
    """
    A child that slept merges first, and tries again.
    """
    order = order_of(family, family.steward.branch)

    with pytest.raises(MissingStatementsError):
        Obedience(LAPTOP).verify(order, Chain(family.chain.genesis))


def test_every_field_is_signed(family):
    """
    Nobody turns an order into another one on its way.
    """
    honest = order_of(family, family.root)
    changes = {"leave": 3, "sequence": 9, "issued_at": later(1), "reason": 7}
    for field, value in changes.items():
        with pytest.raises(PeerError):
            replace(honest, **{field: value}).verify(family.chain)
    with pytest.raises(PeerError):
        replace(honest, target=path("/0.0/1.0")).verify(family.chain)


def test_an_order_needs_what_the_chain_knows(family):
    """
    Our own mistakes: a branch of another chain, a target without an epoch, a number or time out of range.
    """
    for arguments in (
        {"branch": OTHER_SEED.cluster()},
        {"target": path("/7.0")},
        {"sequence": -1},
        {"sequence": KEY_ORDER_SEQUENCE_MAX + 1},
        {"at": NOON.replace(tzinfo=None)},
    ):
        given = {"branch": family.root, "target": LAPTOP, "sequence": 0, "at": NOON, **arguments}
        with pytest.raises(MisuseError):
            Order.issue(
                family.chain, given["branch"], given["target"], sequence=given["sequence"], at=given["at"]
            )


def test_malformed_orders_are_refused(family):
    """
    Any bytes give an order or a PeerError.
    """
    data = order_of(family, family.root).encode()
    fields = decode_cbor(data)
    broken = [
        b"",
        data + b"\0",
        encode_cbor([]),
        encode_cbor({**fields, 9: 1}),
        bytes(KEY_ORDER_BYTES_MAX + 1),
    ]
    broken += [encode_cbor({**fields, 3: [0]}), encode_cbor({**fields, 4: KEY_EPOCHS_MAX}), data[:-1]]
    broken += [
        encode_cbor({key: value for key, value in fields.items() if key != absent}) for absent in fields
    ]
    for item in broken:
        with pytest.raises(PeerError):
            Order.decode(item)
    with pytest.raises(WrongVersionError, match="version 2"):
        Order.decode(encode_cbor({**fields, 0: 2}))
