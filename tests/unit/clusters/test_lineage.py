"""
The proof that a newer key is of the same place: what it shows, and what it does not take.
"""

import pytest

from helpers.keys import NOON, Family, path
from kontinuum.base.errors import PeerError
from kontinuum.clusters.book import Book
from kontinuum.clusters.errors import LineageError
from kontinuum.clusters.lineage import encode_lineage, verify_lineage
from kontinuum.keys.bodies import Rekey, Scope
from kontinuum.wire.cbor import encode as encode_cbor


@pytest.fixture
def family():
    """The household that tests share."""
    return Family()


def test_a_rekeying_is_proved_to_a_stranger(family):
    """
    The old key and the new one are of one place; the order of the two matters.
    """
    old = family.laptop.epoch.signing().peer_id
    new = family.author(family.laptop.branch).rekey(NOON).secret.signing().peer_id
    proof = encode_lineage(family.chain, old, new)

    verify_lineage(proof, old, new)
    with pytest.raises(LineageError):
        verify_lineage(proof, new, old)


def test_a_new_branch_by_the_parent_is_proved_too(family):
    """
    A recovered node is still the node of that place.
    """
    old = family.laptop.epoch.signing().peer_id
    new = family.author(family.steward.branch).recover(0, NOON).epoch.signing().peer_id

    verify_lineage(encode_lineage(family.chain, old, new), old, new)


def test_another_place_or_another_cluster_proves_nothing(family):
    """
    Neither a sister's key, nor one of a chain that somebody made up.
    """
    old = family.laptop.epoch.signing().peer_id
    sister = family.phone.epoch.signing().peer_id
    forger = Family(type(family.seed)(bytes(range(64, 96))))
    forged = forger.author(forger.laptop.branch).rekey(NOON).secret.signing().peer_id

    with pytest.raises(LineageError):
        verify_lineage(encode_lineage(family.chain, old, sister), old, sister)
    with pytest.raises(PeerError):
        verify_lineage(encode_lineage(forger.chain, forged), old, forged)
    with pytest.raises(PeerError):
        verify_lineage(encode_lineage(family.chain, old), old, forged)


def test_a_key_that_was_revoked_leads_nowhere_where_the_proof_says_so(family):
    """
    The statements behind the keys are shown, and what they contain counts.
    """
    old = family.laptop.epoch.signing().peer_id
    author = family.author(family.laptop.branch)
    author.revoke(family.laptop.branch.path, Scope.EPOCHS, NOON, epoch=1)
    rekeyed = author.rekey(NOON, epoch=1)
    new = rekeyed.secret.signing().peer_id

    with pytest.raises(LineageError):
        verify_lineage(encode_lineage(family.chain, old, new), old, new)


def test_a_proof_with_a_hole_or_of_other_bytes_is_refused(family):
    """
    Every statement must follow from the genesis; any bytes give an error of the peer's.
    """
    old = family.laptop.epoch.signing().peer_id
    new = family.author(family.laptop.branch).rekey(NOON).secret.signing().peer_id
    proof = encode_lineage(family.chain, old, new)

    for data in (b"", encode_cbor({}), encode_cbor({0: b"", 1: b""}), encode_cbor({0: 1, 1: 2}), proof[:-1]):
        with pytest.raises(PeerError):
            verify_lineage(data, old, new)
    for at in range(0, len(proof), 97):
        spoilt = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        with pytest.raises(PeerError):
            verify_lineage(spoilt, old, new)


def test_a_thief_of_the_old_key_leads_only_those_who_know_nothing_but_that_key(family):
    """
    As moved.md says: he declares the key in a cluster of his own. Who
    holds the chain asks nobody.
    """
    stolen = family.laptop.epoch
    old = stolen.signing().peer_id
    thief = Family(type(family.seed)(bytes(range(64, 96))))
    body = Rekey(1, old, stolen.encryption().public)
    thief.author(thief.server.branch)._issue(body, NOON, stolen.signing())
    his = thief.author(thief.server.branch).rekey(NOON).secret.signing().peer_id
    new = family.author(family.laptop.branch).rekey(NOON).secret.signing().peer_id

    verify_lineage(encode_lineage(thief.chain, old, his), old, his)
    assert Book(family.chain, path("/0.0")).current(old) == new
