import dataclasses
import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from helpers.identities import ADDRESS, ALICE, BOB, NETWORK, NOON, contact_of, proof_of, vectors
from kontinuum.base import MisuseError, PeerError
from kontinuum.identity import (
    CONTACT_AGE_MAX_S,
    CONTACT_AHEAD_MAX_S,
    BadIdentityError,
    BadSignatureError,
    Contact,
    ContactExpiredError,
    ContactFromFutureError,
    KeyPair,
    Multiaddr,
    ProofOfWork,
    WeakProofError,
    WrongNetworkError,
    network_id,
    newest,
)
from kontinuum.wire import MalformedError, WrongVersionError, decode_cbor, encode_cbor
from kontinuum.wire.limits import (
    CAPABILITY_CHARS_MAX,
    CONTACT_ADDRESSES_MAX,
    CONTACT_BYTES_MAX,
    CONTACT_CAPABILITIES_MAX,
    CONTACT_EXTENSION_BYTES_MAX,
    CONTACT_EXTENSION_KEY_MAX,
    CONTACT_EXTENSION_KEY_MIN,
    CONTACT_EXTENSIONS_MAX,
    CONTACT_ISSUED_AT_MAX,
    CONTACT_SEQUENCE_MAX,
    CONTACT_TEXT_CHARS_MAX,
    POW_NONCE_MAX,
)

VERSION, PEER_ID, NETWORK_ID, SEQUENCE, ISSUED_AT, ADDRESSES, CAPABILITIES, NONCE, SIGNATURE = range(9)


def signed(key_pair: KeyPair = ALICE, changes: dict | None = None, without: tuple[int, ...] = ()) -> bytes:
    """A contact's bytes with some fields changed by whoever holds the key: the signature is right."""
    fields = dict(decode_cbor(contact_of(key_pair).encode()))
    del fields[SIGNATURE]
    fields.update(changes or {})
    for key in without:
        fields.pop(key, None)
    signature = key_pair.sign("contact", encode_cbor(fields))
    return encode_cbor({**fields, SIGNATURE: signature} if SIGNATURE not in without else fields)


@pytest.mark.parametrize("row", vectors("contacts.json"), ids=lambda row: row["comment"])
def test_golden_contacts(row):
    """
    Bytes of version 1 stay readable for ever, and are made again bit for bit from what they say.
    """
    key_pair = KeyPair.from_seed(bytes.fromhex(row["seed"]))
    contact = Contact.decode(bytes.fromhex(row["encoded"]))
    issued_again = Contact.issue(
        key_pair,
        [Multiaddr.parse(address) for address in row["addresses"]],
        sequence=row["sequence"],
        issued_at=datetime.fromisoformat(row["issued_at"]),
        capabilities=row["capabilities"],
        proof=ProofOfWork(network_id(row["network"]), key_pair.peer_id, row["pow_nonce"]),
    )

    assert contact == issued_again
    assert contact.encode().hex() == row["encoded"]
    assert contact.to_text() == row["text"]
    assert Contact.from_text(row["text"]) == contact


def test_a_contact_says_what_was_put_in():
    """
    Every field arrives; capabilities are sorted, the preferred address stays first.
    """
    other = Multiaddr.parse("/dns6/example.org/udp/1/quic-v1")
    contact = Contact.decode(
        contact_of(addresses=[other, ADDRESS], capabilities=["relay", "dht"], sequence=7).encode()
    )

    assert contact.peer_id == ALICE.peer_id
    assert contact.addresses == (other, ADDRESS)
    assert contact.capabilities == ("dht", "relay")
    assert contact.sequence == 7
    assert contact.issued_at == NOON
    assert contact.network_id == NETWORK
    assert contact.proof == ProofOfWork(NETWORK, ALICE.peer_id, 0)


def test_the_fullest_contact_fits_and_nothing_larger_does():
    """
    All limits at once stay below CONTACT_BYTES_MAX, also as text; one byte beyond it is refused.
    """
    name = ".".join(["a" * 63, "b" * 63, "c" * 63])
    fullest = {
        ADDRESSES: [
            Multiaddr("dns6", f"{name}.{'d' * 59}{n:02}", 65535).encode()
            for n in range(CONTACT_ADDRESSES_MAX)
        ],
        CAPABILITIES: sorted(
            f"{n:02}".ljust(CAPABILITY_CHARS_MAX, "x") for n in range(CONTACT_CAPABILITIES_MAX)
        ),
        SEQUENCE: CONTACT_SEQUENCE_MAX,
        ISSUED_AT: CONTACT_ISSUED_AT_MAX,
        NONCE: POW_NONCE_MAX,
        **{
            CONTACT_EXTENSION_KEY_MIN + n: b"x" * CONTACT_EXTENSION_BYTES_MAX
            for n in range(CONTACT_EXTENSIONS_MAX)
        },
    }
    contact = Contact.decode(signed(changes=fullest))

    assert len(contact.encode()) <= CONTACT_BYTES_MAX
    assert len(contact.to_text()) <= CONTACT_TEXT_CHARS_MAX
    assert Contact.from_text(contact.to_text()) == contact
    with pytest.raises(MalformedError, match="the most"):
        Contact.decode(bytes(CONTACT_BYTES_MAX + 1))
    with pytest.raises(MalformedError, match="too many"):
        Contact.from_text("kontinuum:" + "A" * CONTACT_TEXT_CHARS_MAX)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({PEER_ID: bytes(ALICE.peer_id)[:31]}, "32 bytes"),
        ({NETWORK_ID: NETWORK[:31]}, "network id"),
        ({NETWORK_ID: "main"}, "byte string"),
        ({SEQUENCE: CONTACT_SEQUENCE_MAX + 1}, "field 3"),
        ({SEQUENCE: 2**64 - 1}, "field 3"),
        ({SEQUENCE: -1}, "field 3"),
        ({SEQUENCE: True}, "field 3"),
        ({SEQUENCE: None}, "field 3"),
        ({ISSUED_AT: CONTACT_ISSUED_AT_MAX + 1}, "field 4"),
        ({ISSUED_AT: -1}, "field 4"),
        ({ADDRESSES: {}}, "field 5"),
        ({ADDRESSES: [ADDRESS.encode()] * 2}, "twice"),
        ({ADDRESSES: [b"]"]}, "varint"),
        ({ADDRESSES: ["]"]}, "byte string"),
        ({ADDRESSES: [ADDRESS.encode() + b"\0"]}, "behind"),
        ({ADDRESSES: [None]}, "byte string"),
        ({ADDRESSES: [Multiaddr("ip4", f"192.0.2.{n + 1}", 1).encode() for n in range(17)]}, "at most 16"),
        ({CAPABILITIES: ["b", "a"]}, "sorted"),
        ({CAPABILITIES: ["a", "a"]}, "sorted"),
        ({CAPABILITIES: [b"a"]}, "text"),
        ({CAPABILITIES: [""]}, "a-z"),
        ({CAPABILITIES: ["A"]}, "a-z"),
        ({CAPABILITIES: ["a\n"]}, "a-z"),
        ({CAPABILITIES: ["é"]}, "a-z"),
        ({CAPABILITIES: ["x" * (CAPABILITY_CHARS_MAX + 1)]}, "a-z"),
        ({CAPABILITIES: sorted(f"c{n:02}" for n in range(CONTACT_CAPABILITIES_MAX + 1))}, "at most 16"),
        ({NONCE: -1}, "field 7"),
        ({NONCE: b"\0"}, "field 7"),
        ({9: b""}, "no field 9"),
        ({31: b""}, "no field 31"),
        ({CONTACT_EXTENSION_KEY_MAX + 1: b""}, "no field 256"),
        ({-1: b""}, "no field -1"),
        ({32: 1}, "extension 32"),
        ({32: b"x" * (CONTACT_EXTENSION_BYTES_MAX + 1)}, "at most 256"),
        ({32 + n: b"" for n in range(CONTACT_EXTENSIONS_MAX + 1)}, "at most 8"),
        ({"name": b""}, "numbers"),
        ({b"name": b""}, "numbers"),
    ],
)
def test_a_rightly_signed_lie_is_still_refused(changes, why):
    """
    Whoever holds a key can sign anything; a field out of its bounds is refused all the same.
    """
    with pytest.raises((MalformedError, BadIdentityError), match=why):
        Contact.decode(signed(changes=changes))


@pytest.mark.parametrize("key", range(9))
def test_no_field_may_be_missing(key):
    """
    The message says which one.
    """
    with pytest.raises(MalformedError, match=f"field {key}"):
        Contact.decode(signed(without=(key,)))


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"\xf6", b"\x00", b"\xa0", b"\xa1\x00\x00", b"null", b"\x81" * 10**6]
)
def test_what_is_no_contact_is_refused(content):
    """
    Attack 1: null where a map was expected, brackets without end, text.
    """
    with pytest.raises(MalformedError):
        Contact.decode(content)


def test_a_newer_version_is_refused_by_name():
    """
    Attack 4: it costs the sender nothing, and the message names both versions.
    """
    with pytest.raises(WrongVersionError, match="version 2; we know version 1") as caught:
        Contact.decode(signed(changes={VERSION: 2}))
    assert caught.value.penalty == 0


def test_fields_of_a_newer_program_are_kept_and_stay_signed():
    """
    Attack 4: an older node reads a newer contact, passes it on unchanged, and nobody can drop the addition.
    """
    data = signed(changes={32: b"new", 255: b""})
    contact = Contact.decode(data)

    assert contact.extensions == ((32, b"new"), (255, b""))
    assert contact.encode() == data
    fields = dict(decode_cbor(data))
    del fields[32]
    with pytest.raises(BadSignatureError):
        Contact.decode(encode_cbor(fields))


def test_any_flipped_bit_is_noticed():
    """
    Every single bit of a contact is covered by the signature or by the format.
    """
    data = contact_of(capabilities=["relay"]).encode()
    for position, bit in itertools.product(range(len(data)), range(8)):
        changed = bytearray(data)
        changed[position] ^= 1 << bit
        with pytest.raises(PeerError):
            Contact.decode(bytes(changed))


def test_another_purpose_or_signer_does_not_count():
    """
    A signature that the owner made for something else does not make a contact; nor does somebody else's.
    """
    fields = dict(decode_cbor(contact_of().encode()))
    del fields[SIGNATURE]
    unsigned = encode_cbor(fields)
    for signature in (ALICE.sign("certificate", unsigned), BOB.sign("contact", unsigned)):
        with pytest.raises(BadSignatureError):
            Contact.decode(encode_cbor({**fields, SIGNATURE: signature}))
    for signature in (b"", bytes(63), bytes(65), "x" * 64):
        with pytest.raises(MalformedError, match=r"64 bytes|byte string"):
            Contact.decode(encode_cbor({**fields, SIGNATURE: signature}))


def test_a_contact_cannot_be_made_up():
    """
    Construction verifies: a changed copy is no contact.
    """
    with pytest.raises(BadSignatureError):
        dataclasses.replace(contact_of(), sequence=2)
    with pytest.raises(MalformedError, match="identity"):
        dataclasses.replace(contact_of(), peer_id=bytes(ALICE.peer_id))


def test_small_order_identities_are_refused_inside_contacts_too():
    """
    Attacks 3 and 10: anybody can sign under some of these "keys"; the identity is refused first.
    """
    for row in vectors("ed25519_points.json"):
        fields = dict(decode_cbor(contact_of().encode()))
        fields[PEER_ID] = bytes.fromhex(row["bytes"])
        with pytest.raises(BadIdentityError):
            Contact.decode(encode_cbor(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": -1},
        {"sequence": CONTACT_SEQUENCE_MAX + 1},
        {"issued_at": NOON.replace(tzinfo=None)},
        {"issued_at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"capabilities": ["Bad Name"]},
        {"capabilities": ["a", "a"]},
        {"capabilities": [f"c{n}" for n in range(CONTACT_CAPABILITIES_MAX + 1)]},
        {"addresses": [ADDRESS, ADDRESS]},
        {"addresses": [Multiaddr("ip4", "192.0.2.1", n + 1) for n in range(CONTACT_ADDRESSES_MAX + 1)]},
        {"proof": ProofOfWork(NETWORK, BOB.peer_id, 0)},
    ],
)
def test_issuing_nonsense_is_our_callers_mistake(fields):
    """
    What others would refuse is not signed.
    """
    with pytest.raises(MisuseError):
        contact_of(**fields)


def test_the_issue_time_is_cut_to_seconds_of_utc():
    """
    Any zone is fine for issuing; the contact holds whole seconds of UTC.
    """
    berlin = timezone(timedelta(hours=1))
    contact = contact_of(issued_at=datetime(2026, 1, 2, 13, 0, 0, 999_999, tzinfo=berlin))

    assert contact.issued_at == NOON
    assert contact.issued_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("age_s", "error"),
    [
        (0, None),
        (CONTACT_AGE_MAX_S, None),
        (CONTACT_AGE_MAX_S + 1, ContactExpiredError),
        (10.0**9, ContactExpiredError),
        (-CONTACT_AHEAD_MAX_S, None),
        (-CONTACT_AHEAD_MAX_S - 1, ContactFromFutureError),
        (-(10.0**9), ContactFromFutureError),
    ],
)
def test_freshness_at_the_limits_and_beyond(age_s, error):
    """
    A day old is fresh, a second more is not; two minutes ahead is a clock, a second more is a lie or a fault.
    """
    contact = contact_of()
    at = NOON + timedelta(seconds=age_s)
    if error is None:
        assert contact.verify(at, NETWORK, 0) is contact
    else:
        with pytest.raises(error):
            contact.verify(at, NETWORK, 0)


def test_the_age_limit_can_be_chosen():
    """
    Saved peers may be older than contacts from strangers.
    """
    late = NOON + timedelta(days=30)

    contact_of().verify(late, NETWORK, 0, age_max_s=30 * 86_400)
    with pytest.raises(ContactExpiredError) as caught:
        contact_of().verify(late, NETWORK, 0, age_max_s=30 * 86_400 - 1)
    assert caught.value.issued_at == NOON


def test_the_extreme_dates_are_handled():
    """
    Attack 1: the first and the last second of the format end in an error of ours, never in an overflow.
    """
    for issued_at in (0, CONTACT_ISSUED_AT_MAX):
        contact = Contact.decode(signed(changes={ISSUED_AT: issued_at}))
        with pytest.raises((ContactExpiredError, ContactFromFutureError)):
            contact.verify(NOON, NETWORK, 0)
        assert str(contact)


def test_network_and_work_are_checked():
    """
    A contact of another network, or with too little work, is refused before its age matters.
    """
    contact = contact_of(proof=proof_of(ALICE.peer_id, 10))

    contact.verify(NOON, NETWORK, 10)
    contact.verify_lasting(NETWORK, 10)
    with pytest.raises(WrongNetworkError):
        contact.verify(NOON, network_id("other"), 10)
    with pytest.raises(WeakProofError):
        contact.verify(NOON, NETWORK, 40)


def test_newest_is_a_total_order():
    """
    All nodes keep the same contact, whatever arrived first: sequence, then time, then signature.
    """
    later = NOON + timedelta(seconds=1)
    ordered = [
        contact_of(sequence=1, issued_at=later),
        *sorted(
            (contact_of(sequence=2, capabilities=[name]) for name in ("a", "b", "c")),
            key=lambda contact: contact.signature,
        ),
        contact_of(sequence=2, issued_at=later),
        contact_of(sequence=3),
    ]
    for low, high in itertools.combinations(ordered, 2):
        assert newest(low, high) is high
        assert newest(high, low) is high
    assert newest(ordered[0], ordered[0]) == ordered[0]


def test_newest_compares_only_what_can_replace_each_other():
    """
    Contacts of two peers or two networks live side by side.
    """
    elsewhere = contact_of(proof=ProofOfWork(network_id("other"), ALICE.peer_id, 0))
    for other in (contact_of(BOB), elsewhere):
        with pytest.raises(MisuseError, match="one peer"):
            newest(contact_of(), other)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.removeprefix("kontinuum:"),
        lambda text: text.replace("kontinuum:", "kontinuum://"),
        lambda text: text.upper(),
        lambda text: text[:-1],
        lambda text: text[:-10],
        lambda text: text + "=",
        lambda text: text + "A",
        lambda text: text.replace("_", "/") + "+",
        lambda text: text[:30] + "\n" + text[30:],
        lambda text: text[:30] + "é" + text[31:],
        lambda _: "kontinuum:",
        lambda _: "",
        lambda _: "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    ],
)
def test_a_changed_text_form_is_refused(change):
    """
    Cut off, extended, line-broken, another alphabet: refused with a PeerError.
    """
    with pytest.raises(PeerError):
        Contact.from_text(change(contact_of().to_text()))


def test_a_text_form_has_one_spelling():
    """
    Unused bits of base64's last character must be zero.
    """
    for contact in (contact_of(capabilities=["a" * n]) for n in range(1, 5)):
        text = contact.to_text()
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for last in alphabet:
            changed = text[:-1] + last
            if changed != text:
                with pytest.raises(PeerError):
                    Contact.from_text(changed)
        assert Contact.from_text(f" \t{text}\r\n") == contact


def test_showing_a_contact_is_short():
    """
    str() is for logs and tables.
    """
    assert str(contact_of()) == f"contact 1 of {ALICE.peer_id.short} (1 addresses)"
