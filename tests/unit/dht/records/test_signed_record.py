"""The envelope of a signed record: golden bytes, bounds, and whose it is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from helpers.identities import ALICE, BOB, NETWORK, NOON, vectors
from kontinuum.base import MisuseError
from kontinuum.dht.records import RecordError, SignedRecord, errors, signed_key
from kontinuum.dht.records.signed_record import (
    SIGNED_EXPIRES_AT_MAX,
    SIGNED_LIFETIME_MAX_S,
    SIGNED_NAME_BYTES_MAX,
    SIGNED_SEQUENCE_MAX,
    signed_validator,
)
from kontinuum.identity import CONTACT_AHEAD_MAX_S, BadSignatureError, KeyPair, network_id, verify
from kontinuum.wire import MalformedError, WrongVersionError, encode_cbor
from kontinuum.wire.limits import KAD_VALUE_BYTES_MAX

GOOD = [row for row in vectors("signed_records.json") if "error" not in row]
BAD = [row for row in vectors("signed_records.json") if "error" in row]
NAMESPACE = b"/signed/"
SECOND = timedelta(seconds=1)


def issue(
    name: bytes = b"n", value: bytes = b"v", *, sequence: int = 1, expires_at: datetime = NOON + timedelta(1)
) -> SignedRecord:
    """A record of Alice in the test network."""
    return SignedRecord.issue(
        ALICE, name, value, network_id=NETWORK, sequence=sequence, expires_at=expires_at
    )


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["comment"])
def test_golden_records(row):
    """
    Bytes of version 1 stay readable for ever, and are made again bit for bit from what they say.
    """
    key_pair = KeyPair.from_seed(bytes.fromhex(row["seed"]))
    name, network = bytes.fromhex(row["name"]), network_id(row["network"])
    record = SignedRecord.decode(bytes.fromhex(row["encoded"]))

    assert record == SignedRecord.issue(
        key_pair,
        name,
        bytes.fromhex(row["value"]),
        network_id=network,
        sequence=row["sequence"],
        expires_at=datetime.fromisoformat(row["expires_at"]),
    )
    assert record.encode().hex() == row["encoded"]
    assert signed_key(key_pair.peer_id, name).hex() == row["key"]
    assert record.verify(key_pair.peer_id, name, network) is record


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row["comment"])
def test_the_signature_covers_the_published_layout(row):
    """
    What is signed is the purpose and one map: the envelope's fields, the network and the name.
    """
    key_pair = KeyPair.from_seed(bytes.fromhex(row["seed"]))
    record = SignedRecord.decode(bytes.fromhex(row["encoded"]))
    fields = {
        0: 1,
        1: network_id(row["network"]),
        2: bytes.fromhex(row["name"]),
        3: row["sequence"],
        4: int(datetime.fromisoformat(row["expires_at"]).timestamp()),
        5: bytes.fromhex(row["value"]),
    }

    assert row["signed_bytes"] == (b"kontinuum/record/v1\0" + encode_cbor(fields)).hex()
    verify(key_pair.peer_id, "record", encode_cbor(fields), record.signature)


@pytest.mark.parametrize("row", BAD, ids=lambda row: row["comment"])
def test_broken_records_are_refused_by_name(row):
    """
    Each is signed by the right key unless that is what is wrong with it; the error says what.
    """
    validate = signed_validator(network_id(row["network"]))
    name = bytes.fromhex(row["key"])[len(NAMESPACE) :]

    with pytest.raises(RecordError) as caught:
        validate(name, bytes.fromhex(row["encoded"]), NOON)

    assert type(caught.value) is getattr(errors, row["error"])


def test_another_version_says_so():
    """
    A newer program's record is told from a broken one.
    """
    with pytest.raises(WrongVersionError, match="version 2"):
        SignedRecord.decode(encode_cbor({0: 2}))


def test_the_longest_name_and_value_fit_and_nothing_longer():
    """
    An envelope fills a record's value to the last byte; a byte more is refused, when made and when read.
    """
    empty = len(issue(b"n" * SIGNED_NAME_BYTES_MAX, b"x" * 60_000).encode()) - 60_000
    fullest = issue(b"n" * SIGNED_NAME_BYTES_MAX, bytes(KAD_VALUE_BYTES_MAX - empty))

    assert len(fullest.encode()) == KAD_VALUE_BYTES_MAX
    assert SignedRecord.decode(fullest.encode()) == fullest
    with pytest.raises(MisuseError, match="65537 bytes"):
        issue(value=bytes(KAD_VALUE_BYTES_MAX - empty + 1))
    with pytest.raises(MalformedError, match="the most"):
        SignedRecord.decode(fullest.encode() + b"\0")
    for name in (b"", b"n" * (SIGNED_NAME_BYTES_MAX + 1)):
        with pytest.raises(MisuseError, match="1 to 64"):
            issue(name)


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": -1},
        {"sequence": SIGNED_SEQUENCE_MAX + 1},
        {"expires_at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"expires_at": datetime(2026, 1, 1)},  # noqa: DTZ001 -- that is the point
    ],
    ids=str,
)
def test_our_own_mistakes_are_told(fields):
    """
    What could not be read again is not issued.
    """
    with pytest.raises(MisuseError):
        issue(**fields)


def test_a_network_id_of_another_length_is_our_mistake():
    """
    A record is said in exactly one network.
    """
    with pytest.raises(MisuseError, match="32 bytes"):
        SignedRecord.issue(ALICE, b"n", b"v", network_id=b"test", sequence=1, expires_at=NOON)


def test_any_time_zone_is_understood():
    """
    The end is written in UTC and whole seconds, whatever the caller's clock shows.
    """
    east = timezone(timedelta(hours=9))
    record = issue(expires_at=(NOON + timedelta(seconds=1.9)).astimezone(east))

    assert record.expires_at == NOON + SECOND
    assert record.expires_at.tzinfo is UTC


def test_the_last_second_of_the_calendar_is_an_end():
    """
    The largest end can be written and read; nothing about it overflows.
    """
    last = datetime.fromtimestamp(SIGNED_EXPIRES_AT_MAX, UTC)

    assert SignedRecord.decode(issue(expires_at=last).encode()).expires_at == last
    with pytest.raises(errors.RecordFromFutureError):
        signed_validator(NETWORK)(ALICE.peer_id + b"/n", issue(expires_at=last).encode(), NOON)


def test_a_record_belongs_to_one_signer_name_and_network():
    """
    None of the three can be changed: a record cannot be moved to another place.
    """
    record = issue()

    record.verify(ALICE.peer_id, b"n", NETWORK)
    for signer, name, network in (
        (BOB.peer_id, b"n", NETWORK),
        (ALICE.peer_id, b"m", NETWORK),
        (ALICE.peer_id, b"n", network_id("main")),
    ):
        with pytest.raises(BadSignatureError):
            record.verify(signer, name, network)


def test_a_signature_for_another_purpose_does_not_count():
    """
    What Alice signed elsewhere, byte for byte the same, says nothing here.
    """
    record = issue()
    elsewhere = ALICE.sign("contact", record.signed_bytes(b"n", NETWORK))
    moved = SignedRecord(record.sequence, record.expires_at, record.value, elsewhere)

    with pytest.raises(BadSignatureError):
        moved.verify(ALICE.peer_id, b"n", NETWORK)


def test_a_record_is_valid_until_its_end():
    """
    The second before the end it is valid, at its end it is over.
    """
    validate = signed_validator(NETWORK)
    encoded = issue(expires_at=NOON).encode()

    assert validate(ALICE.peer_id + b"/n", encoded, NOON - SECOND).expires_at == NOON
    with pytest.raises(errors.RecordExpiredError):
        validate(ALICE.peer_id + b"/n", encoded, NOON)


def test_a_record_cannot_be_from_the_future():
    """
    An end further away than records may live means that it was not made yet; clocks may differ a little.
    """
    validate = signed_validator(NETWORK)
    longest = timedelta(seconds=SIGNED_LIFETIME_MAX_S + CONTACT_AHEAD_MAX_S)

    assert validate(ALICE.peer_id + b"/n", issue(expires_at=NOON + longest).encode(), NOON).valid_from == NOON
    with pytest.raises(errors.RecordFromFutureError):
        validate(ALICE.peer_id + b"/n", issue(expires_at=NOON + longest + SECOND).encode(), NOON)


def test_newer_records_rank_higher():
    """
    First the sequence counts, then the end, then the signature: two different records are never equal.
    """
    validate = signed_validator(NETWORK)

    def rank(record: SignedRecord) -> tuple:
        return validate(ALICE.peer_id + b"/n", record.encode(), NOON).rank

    later = NOON + timedelta(2)
    assert rank(issue(sequence=1, expires_at=later)) < rank(issue(sequence=2))
    assert rank(issue(sequence=2)) < rank(issue(sequence=2, expires_at=later))
    assert rank(issue(value=b"v")) != rank(issue(value=b"w"))
