"""Statements from strangers: any bytes give a bounded value or a PeerError that says what is wrong."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from helpers.identities import vectors
from helpers.keys import NOON, Family
from kontinuum.base import MisuseError, PeerError
from kontinuum.identity import BadIdentityError, BadSignatureError
from kontinuum.keys.bodies import KINDS, Delegate, Revoke, Scope, Unknown
from kontinuum.keys.genesis import GENESIS_BYTES_MAX, Genesis, cluster_id
from kontinuum.keys.paths import Path
from kontinuum.keys.statements import Statement
from kontinuum.wire import MalformedError, WrongVersionError, decode_cbor, encode_cbor
from kontinuum.wire.limits import (
    KEY_BRANCHES_MAX,
    KEY_CHILDREN_MAX,
    KEY_DEPTH_MAX,
    KEY_EPOCHS_MAX,
    KEY_LABEL_BYTES_MAX,
    STATEMENT_BYTES_MAX,
    STATEMENT_EXTENSION_BYTES_MAX,
    STATEMENT_EXTENSIONS_MAX,
    STATEMENT_ISSUED_AT_MAX,
    STATEMENT_PREVIOUS_MAX,
    STATEMENT_SEQUENCE_MAX,
)

GOLDEN = {
    row["name"]: bytes.fromhex(row["encoded"])
    for row in vectors("key_statements.json")
    if row["format"] == "statement"
}
DELEGATE = GOLDEN["delegate: a steward"]
REKEY = GOLDEN["rekey: the node moves on"]
EPOCHS = GOLDEN["revoke: epochs"]
BRANCH = GOLDEN["revoke: a branch"]
CHECKPOINT = GOLDEN["checkpoint"]
UNKNOWN = GOLDEN["unknown kind and extension of a newer program"]


def altered(data, changes=None, body=None, without=()):
    """The statement's bytes with other fields, in deterministic CBOR."""
    fields = decode_cbor(data)
    fields.update(changes or {})
    if body is not None:
        fields[7] = {**fields[7], **body}
        fields[7] = {key: value for key, value in fields[7].items() if value is not None}
    return encode_cbor({key: value for key, value in fields.items() if key not in without})


MALFORMED = {
    "no map": encode_cbor([]),
    "a name as key": altered(DELEGATE, {"x": 1}),
    "an unknown field": altered(DELEGATE, {10: b""}),
    "a kind beyond the range": altered(UNKNOWN, {1: 256}),
    "a boolean as number": altered(DELEGATE, {1: True}),
    "a short cluster": altered(DELEGATE, {2: bytes(31)}),
    "a long issuer": altered(DELEGATE, {3: bytes(33)}),
    "a negative sequence": altered(DELEGATE, {4: -1}),
    "a sequence beyond the range": altered(REKEY, {4: STATEMENT_SEQUENCE_MAX + 1}),
    "a first statement that follows one": altered(REKEY, {4: 0}),
    "a later statement that follows none": altered(DELEGATE, {4: 1}),
    "links that are no list": altered(REKEY, {5: b""}),
    "too many links": altered(REKEY, {5: [bytes([n]) * 32 for n in range(STATEMENT_PREVIOUS_MAX + 1)]}),
    "a link twice": altered(REKEY, {5: [bytes(32), bytes(32)]}),
    "unsorted links": altered(REKEY, {5: [b"b" * 32, b"a" * 32]}),
    "a short link": altered(REKEY, {5: [bytes(31)]}),
    "a time beyond the range": altered(REKEY, {6: STATEMENT_ISSUED_AT_MAX + 1}),
    "no body": altered(REKEY, without=(7,)),
    "a body that is no map": altered(REKEY, {7: []}),
    "no proof of a key": altered(REKEY, without=(8,)),
    "a proof where no key is": altered(BRANCH, {8: bytes(64)}),
    "a short proof": altered(REKEY, {8: bytes(63)}),
    "no signature": altered(REKEY, without=(9,)),
    "a long signature": altered(REKEY, {9: bytes(65)}),
    "too many extensions": altered(REKEY, {32 + n: b"" for n in range(STATEMENT_EXTENSIONS_MAX + 1)}),
    "a long extension": altered(REKEY, {32: bytes(STATEMENT_EXTENSION_BYTES_MAX + 1)}),
    "an extension of another type": altered(REKEY, {32: 1}),
    "an extension beyond the range": altered(REKEY, {256: b""}),
    "a child beyond the range": altered(DELEGATE, body={0: KEY_CHILDREN_MAX}),
    "a depth beyond the range": altered(DELEGATE, body={3: KEY_DEPTH_MAX}),
    "a long label": altered(DELEGATE, body={4: "x" * (KEY_LABEL_BYTES_MAX + 1)}),
    "a long label of few characters": altered(DELEGATE, body={4: "ω" * (KEY_LABEL_BYTES_MAX // 2 + 1)}),
    "a label with a line end": altered(DELEGATE, body={4: "a\nb"}),
    "a label that turns the writing": altered(DELEGATE, body={4: "a\u202eb"}),
    "a label of bytes": altered(DELEGATE, body={4: b"x"}),
    "an unknown field of a body": altered(DELEGATE, body={5: 1}),
    "a body without a field": altered(DELEGATE, body={4: None}),
    "a short commitment": altered(DELEGATE, body={2: bytes(31)}),
    "an epoch beyond the range": altered(REKEY, body={0: KEY_EPOCHS_MAX}),
    "a scope beyond the range": altered(BRANCH, body={1: len(Scope)}),
    "an epoch that the scope has not": altered(BRANCH, body={2: 1}),
    "no epoch that the scope has": altered(EPOCHS, body={2: None}),
    "an epoch of a revocation beyond the range": altered(EPOCHS, body={2: KEY_EPOCHS_MAX}),
    "a revocation of the root": altered(BRANCH, body={0: []}),
    "a revocation of half a path": altered(BRANCH, body={0: [0]}),
    "a revocation of a branch beyond the range": altered(BRANCH, body={0: [0, KEY_BRANCHES_MAX]}),
    "a reason beyond the range": altered(BRANCH, body={3: 256}),
    "too many heads": altered(CHECKPOINT, body={0: [n.to_bytes(32, "big") for n in range(257)]}),
    "unsorted heads": altered(CHECKPOINT, body={0: [b"b" * 32, b"a" * 32]}),
    "too long": altered(UNKNOWN, {7: bytes(STATEMENT_BYTES_MAX)}),
    "deeply nested": altered(UNKNOWN, {7: 0})[:-1] + b"\x81" * 40,
    "something behind the end": REKEY + b"\0",
    "cut off": REKEY[:-1],
    "empty": b"",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_breaks_the_format_is_refused(data):
    """
    Every bound and type, and every spelling but the one.
    """
    with pytest.raises(MalformedError):
        Statement.decode(data)


@pytest.mark.parametrize("data", GOLDEN.values(), ids=GOLDEN)
def test_every_cut_is_refused(data):
    """
    No prefix of a statement is one.
    """
    for length in range(len(data)):
        with pytest.raises(PeerError):
            Statement.decode(data[:length])


@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little"), b"\x02" + bytes(31)])
def test_unusable_keys_are_refused_at_decode(key):
    """
    Small order, off the curve: before anything is queued or verified.
    """
    for data, field in ((DELEGATE, 1), (REKEY, 1), (GOLDEN["recover: the node's next branch"], 1)):
        with pytest.raises(BadIdentityError):
            Statement.decode(altered(data, body={field: key}))
    with pytest.raises(BadIdentityError):
        Statement.decode(altered(REKEY, body={2: bytes(32)}))


def test_another_version_is_refused_by_name():
    """
    A newer statement is not mistaken for a broken one.
    """
    with pytest.raises(WrongVersionError, match="version 2"):
        Statement.decode(altered(REKEY, {0: 2}))


def test_a_kind_of_a_newer_program_is_kept():
    """
    It is read and written back as it is, its extension too: an old node does not stand in the way of new
    ones.
    """
    statement = Statement.decode(UNKNOWN)

    assert isinstance(statement.body, Unknown)
    assert statement.body.kind not in KINDS
    assert statement.extensions == ((32, b"new"),)
    assert statement.encode() == UNKNOWN
    with_proof = Statement.decode(altered(UNKNOWN, {8: bytes(64)}))
    assert with_proof.proof == bytes(64)
    assert with_proof.id == statement.id


def test_a_reason_of_a_newer_program_is_kept():
    """
    Reasons are for people; an unknown one changes nothing.
    """
    assert Statement.decode(altered(BRANCH, body={3: 200})).body.reason == 200


def test_the_id_leaves_the_signatures_out():
    """
    Another signature of the same words is no other statement, so nobody escapes by signing twice.
    """
    statement = Statement.decode(REKEY)

    assert replace(statement, signature=bytes(64)).id == statement.id
    assert replace(statement, proof=bytes(64)).id == statement.id
    assert replace(statement, sequence=2).id != statement.id


def test_a_signature_is_bound_to_its_purpose_and_to_the_proof():
    """
    The issuer signs the proof as well; neither signature serves for the other.
    """
    family = Family()
    statement = family.laptop.statements[1]
    key = family.laptop.branch.public
    statement.verify(key)

    for changed in (
        replace(statement, proof=statement.signature),
        replace(statement, signature=statement.proof),
        replace(statement, proof=family.phone.statements[1].proof),
        replace(statement, extensions=((32, b""),)),
        replace(statement, sequence=1, previous=(statement.id,)),
    ):
        with pytest.raises(BadSignatureError):
            changed.verify(key)


def test_times_are_cut_to_seconds_and_need_a_zone():
    """
    A statement has whole seconds in UTC.
    """
    family = Family()
    statement = family.author(family.laptop.branch).rekey(NOON.replace(microsecond=7)).statement

    assert statement.issued_at == NOON
    with pytest.raises(MisuseError):
        family.author(family.laptop.branch).rekey(datetime(2026, 1, 2))  # noqa: DTZ001  what is tested
    with pytest.raises(MalformedError):
        replace(statement, issued_at=datetime(1969, 12, 31, tzinfo=UTC))


def test_a_statement_is_proven_by_the_key_that_it_brings():
    """
    The maker cannot forget the proof, nor add one where no key is introduced.
    """
    family = Family()
    arguments = {
        "cluster": family.chain.cluster,
        "issuer": family.chain.cluster,
        "sequence": 0,
        "previous": (),
        "issued_at": NOON,
    }
    delegate = family.steward.statements[0].body
    assert isinstance(delegate, Delegate)

    with pytest.raises(MisuseError):
        Statement.issue(family.root.key, delegate, **arguments)
    body = Revoke(Path.parse("/0.0"), Scope.BRANCH, 0, 0)
    with pytest.raises(MisuseError):
        Statement.issue(family.root.key, body, introduced=family.root.key, **arguments)


GENESIS = bytes.fromhex(
    next(
        row["encoded"] for row in vectors("key_statements.json") if row["name"] == "genesis with a successor"
    )
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_cbor([]),
        GENESIS + b"\0",
        encode_cbor({**decode_cbor(GENESIS), 4: b""}),
        encode_cbor({**decode_cbor(GENESIS), 2: bytes(31)}),
        encode_cbor({**decode_cbor(GENESIS), 1: bytes(32)}),
        encode_cbor({**decode_cbor(GENESIS), 3: bytes(64)}),
        encode_cbor({key: value for key, value in decode_cbor(GENESIS).items() if key != 2}),
        bytes(GENESIS_BYTES_MAX + 1),
    ],
    ids=["empty", "list", "longer", "field", "commitment", "key", "signature", "without", "too long"],
)
def test_a_broken_genesis_is_refused(data):
    """
    A chain begins with bytes that its root signed, all of them.
    """
    with pytest.raises(PeerError):
        Genesis.decode(data)


def test_a_genesis_of_another_version_is_refused_by_name():
    """
    It is not mistaken for a broken one.
    """
    with pytest.raises(WrongVersionError, match="version 9"):
        Genesis.decode(encode_cbor({**decode_cbor(GENESIS), 0: 9}))


def test_a_cluster_has_an_id_of_32_bytes():
    """
    Ids from people and files are checked.
    """
    assert cluster_id(bytes(32)) == bytes(32)
    with pytest.raises(MalformedError):
        cluster_id(bytes(31))


def test_the_same_words_make_the_same_genesis():
    """
    A root that comes back finds its cluster: no time and no chance is in the beginning.
    """
    assert Family().chain.genesis == Family().chain.genesis


def test_a_label_that_is_too_long_is_not_signed():
    """
    What a program says, every program can read: a longer label would be a statement that nobody decodes.
    """
    with pytest.raises(MalformedError, match="64 bytes"):
        replace(Statement.decode(DELEGATE).body, label="\u00e4" * 33)
