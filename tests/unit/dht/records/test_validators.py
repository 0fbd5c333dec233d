"""Which records are valid: contacts, content, and what namespaces are."""

from datetime import timedelta
from hashlib import sha256

import pytest

from helpers.dht_peers import contact, key_pair, peer
from helpers.identities import NETWORK, NOON, contact_of
from kontinuum.base import MisuseError
from kontinuum.dht.admission import Admission
from kontinuum.dht.records import (
    Valid,
    Validators,
    blake3_key,
    contact_key,
    default_validators,
    errors,
    sha256_key,
    signed_key,
)
from kontinuum.dht.records.validators import FOREVER, NAMESPACES_MAX
from kontinuum.identity import CONTACT_AGE_MAX_S, CONTACT_AHEAD_MAX_S, Contact, ProofOfWork, network_id
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX

ALICE, BOB = peer(1), peer(2)
SECOND = timedelta(seconds=1)


@pytest.fixture
def validators():
    """Those that every node has."""
    return default_validators(NETWORK, Admission(NETWORK, 0).check)


def test_a_contact_is_valid_while_it_is_fresh(validators):
    """
    From 120 s before its issue time to a day after it; its owner is the peer, and there may be a newer one.
    """
    valid = validators.validate(contact_key(ALICE.peer_id), ALICE.wire.contact, NOON)

    assert valid.owner == ALICE.peer_id
    assert valid.mutable
    assert valid.expires_at == NOON + timedelta(seconds=CONTACT_AGE_MAX_S)
    assert valid.valid_from == NOON - timedelta(seconds=CONTACT_AHEAD_MAX_S)


@pytest.mark.parametrize(
    ("at", "error"),
    [
        (NOON - timedelta(seconds=CONTACT_AHEAD_MAX_S + 1), errors.RecordFromFutureError),
        (NOON + timedelta(seconds=CONTACT_AGE_MAX_S + 1), errors.RecordExpiredError),
    ],
)
def test_a_contact_of_another_time_is_refused(validators, at, error):
    """
    The future and the past have their own names: one may be our clock, the other asks for a newer one.
    """
    with pytest.raises(error):
        validators.validate(contact_key(ALICE.peer_id), ALICE.wire.contact, at)


def test_a_contact_under_another_identity_is_refused(validators):
    """
    Nobody's contact can be replaced by somebody else's, however valid that one is.
    """
    with pytest.raises(errors.RecordMismatchError):
        validators.validate(contact_key(BOB.peer_id), ALICE.wire.contact, NOON)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        (contact_key(ALICE.peer_id), b"", errors.BadRecordError),
        (contact_key(ALICE.peer_id), b"]", errors.BadRecordError),
        (contact_key(ALICE.peer_id), ALICE.wire.contact[:-1], errors.BadRecordError),
        (contact_key(ALICE.peer_id), ALICE.wire.contact + b"\0", errors.BadRecordError),
        (contact_key(ALICE.peer_id)[:-1], ALICE.wire.contact, errors.BadRecordKeyError),
        (contact_key(ALICE.peer_id) + b"\0", ALICE.wire.contact, errors.BadRecordKeyError),
        (b"/contact/", ALICE.wire.contact, errors.BadRecordKeyError),
        (blake3_key(b"a"), b"b", errors.RecordMismatchError),
        (sha256_key(b"a"), b"b", errors.RecordMismatchError),
        (b"/sha256/" + blake3_key(b"a")[8:], b"a", errors.RecordMismatchError),
        (blake3_key(b"a")[:-1], b"a", errors.BadRecordKeyError),
        (sha256_key(b"a") + b"\0", b"a", errors.BadRecordKeyError),
        (signed_key(ALICE.peer_id, b"n"), b"", errors.BadRecordError),
        (b"", b"", errors.BadRecordKeyError),
        (b"/", b"", errors.BadRecordKeyError),
        (b"//", b"", errors.UnknownNamespaceError),
        (b"contact/" + ALICE.peer_id, ALICE.wire.contact, errors.BadRecordKeyError),
        (b"/contact", ALICE.wire.contact, errors.BadRecordKeyError),
        (b"/CONTACT/" + ALICE.peer_id, ALICE.wire.contact, errors.UnknownNamespaceError),
        (b"/pk/" + ALICE.peer_id, b"", errors.UnknownNamespaceError),
        (b"/\xff\xfe/" + ALICE.peer_id, b"", errors.UnknownNamespaceError),
        (b"/blake3/" + bytes(KAD_KEY_BYTES_MAX), b"", errors.RecordTooLargeError),
        (
            blake3_key(bytes(KAD_VALUE_BYTES_MAX + 1)),
            bytes(KAD_VALUE_BYTES_MAX + 1),
            errors.RecordTooLargeError,
        ),
    ],
)
def test_what_is_wrong_has_a_name(validators, key, value, error):
    """
    Wrong keys, wrong values, and values of other keys are refused by the error that says why.
    """
    with pytest.raises(errors.RecordError) as caught:
        validators.validate(key, value, NOON)

    assert type(caught.value) is error


def test_a_contact_of_another_network_is_refused(validators):
    """
    The work was done for one network, and the contact is a record in that one only.
    """
    pair = key_pair(1)
    other = contact_of(pair, proof=ProofOfWork(network_id("main"), pair.peer_id, 0))

    with pytest.raises(errors.BadRecordError, match="another network"):
        validators.validate(contact_key(pair.peer_id), other.encode(), NOON)


def test_a_contact_without_work_is_refused():
    """
    A record is one way in for a contact, and asks for the same work as all others.
    """
    strict = default_validators(NETWORK, Admission(NETWORK, 30).check)

    with pytest.raises(errors.BadRecordError, match="proof of work"):
        strict.validate(contact_key(ALICE.peer_id), ALICE.wire.contact, NOON)


def test_content_has_no_owner_and_cannot_change(validators):
    """
    Whoever finds it once has found it: it is valid for ever.
    """
    largest = bytes(KAD_VALUE_BYTES_MAX)
    for value in (b"", b"some content", largest):
        for key in (blake3_key(value), sha256_key(value)):
            valid = validators.validate(key, value, NOON)
            assert (valid.owner, valid.mutable, valid.expires_at) == (None, False, FOREVER)
    assert sha256_key(b"abc") == b"/sha256/" + sha256(b"abc").digest()


def test_newer_contacts_rank_higher(validators):
    """
    The order is that of contacts: sequence, issue time, signature.
    """

    def rank(given: Contact) -> tuple:
        return validators.validate(contact_key(given.peer_id), given.encode(), NOON).rank

    assert rank(contact(1)) < rank(contact(1, sequence=2))
    earlier = contact_of(key_pair(1), issued_at=NOON - SECOND)
    assert rank(earlier) < rank(contact_of(key_pair(1)))


def test_another_room_can_add_its_namespace(validators):
    """
    Certificates, revocations and names come with rooms of their own.
    """
    crl = Valid(rank=(7,), expires_at=FOREVER, owner=ALICE.peer_id, mutable=True)
    validators.register("crl", lambda _name, _value, _at: crl)

    assert validators.validate(b"/crl/anything/at/all", b"x", NOON) is crl


def test_mistakes_in_namespaces_are_told(validators):
    """
    A namespace is registered once, has a name of a few letters, and there are not endlessly many.
    """

    def never(_name, _value, _at):
        raise AssertionError

    with pytest.raises(MisuseError, match="already"):
        validators.register("contact", never)
    for name in ("", "a/b", "A", "ä", "-a", "a" * 33):
        with pytest.raises(MisuseError, match="no namespace"):
            validators.register(name, never)
    full = Validators()
    for number in range(NAMESPACES_MAX):
        full.register(f"n{number}", never)
    with pytest.raises(MisuseError, match="at most"):
        full.register("one-more", never)
