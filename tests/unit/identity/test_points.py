"""Attacks 5 and 10: what is not a point of large order, spelled canonically, is no identity."""

import pytest

from helpers.identities import ALICE, vectors
from kontinuum._native import (
    VERIFY_MANY_MAX,
    check_public_key,
    ed25519_sign,
    ed25519_verify,
    ed25519_verify_many,
)
from kontinuum.identity import BadIdentityError, KeyPair, PeerId

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def is_on_curve(y: int) -> bool:
    """x^2 = (y^2 - 1) / (d y^2 + 1) has a root; RFC 8032, section 5.1.3."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return x_squared == 0 or pow(x_squared, (P - 1) // 2, P) == 1


@pytest.mark.parametrize("row", vectors("ed25519_points.json"), ids=lambda row: f"{row['comment']}")
def test_a_point_that_identifies_nobody_is_refused(row):
    """
    Small order, second spellings and bytes off the curve: each for its own reason, as key and as identity.
    """
    data = bytes.fromhex(row["bytes"])

    with pytest.raises(ValueError, match=row["reason"]):
        check_public_key(data)
    with pytest.raises(BadIdentityError, match=row["reason"]):
        PeerId(data)


def test_the_list_of_second_spellings_is_complete():
    """
    Every y that does not fit below p is in the list, with both signs, and rightly judged.
    """
    rows = {row["bytes"]: row["reason"] for row in vectors("ed25519_points.json")}

    for excess in range(2**255 - P):
        for sign in (0, 1):
            data = ((P + excess) | sign << 255).to_bytes(32, "little")
            assert rows[data.hex()] == ("canonical" if is_on_curve(excess) else "curve")


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_has_32_bytes(length):
    """
    Every other length is refused, never padded or cut.
    """
    with pytest.raises(BadIdentityError, match="32 bytes"):
        PeerId(b"\x01" * length)


SIGNED = tuple[bytes, bytes, bytes]
"""Public key, message, signature."""


def signed(name: str) -> list[SIGNED]:
    """The signatures of a vector file."""
    fields = ("public_key", "message", "signature")
    return [tuple(bytes.fromhex(row[field]) for field in fields) for row in vectors(name)]


def passes_alone(item: SIGNED) -> bool:
    """Whether a single call takes it."""
    try:
        ed25519_verify(*item)
    except ValueError:
        return False
    return True


def test_a_list_is_judged_item_by_item():
    """
    One call judges Wycheproof's signatures and the edge cases as single calls do, each in its place.
    """
    items = signed("ed25519_wycheproof.json") + signed("ed25519_speccheck.json")
    expected = [row["valid"] for row in vectors("ed25519_wycheproof.json")]
    expected += [row["id"] in SPECCHECK_PASSES for row in vectors("ed25519_speccheck.json")]

    assert ed25519_verify_many(items) == expected
    assert [passes_alone(item) for item in items] == expected
    assert ed25519_verify_many([]) == []


def test_a_signature_that_fits_every_message_fits_none():
    """
    Under a key of small order R = identity and S = 0 verify: refused, alone and in a list, in any spelling.
    """
    universal = b"\x01" + bytes(63)
    points = [bytes.fromhex(row["bytes"]) for row in vectors("ed25519_points.json")]
    items = [(point, b"anything", universal) for point in points]

    assert not any(ed25519_verify_many(items))
    assert not any(passes_alone(item) for item in items)


def test_a_list_survives_every_length():
    """
    Keys and signatures come from strangers: another length is a wrong signature, not an error.
    """
    signature = ed25519_sign(ALICE.seed, b"m")
    good = (ALICE.peer_id, b"m", signature)
    bad = [
        *((b"k" * length, b"m", signature) for length in (0, 31, 33)),
        *((ALICE.peer_id, b"m", signature[:length]) for length in (0, 63)),
        (ALICE.peer_id, b"m", signature + b"!"),
    ]

    assert ed25519_verify_many([good, *bad, good]) == [True, *[False] * len(bad), True]
    with pytest.raises(TypeError):
        ed25519_verify_many([("key", b"m", signature)])


def test_a_list_has_a_bound():
    """
    As many as the bound are judged, one more is refused before any work is done.
    """
    item = (ALICE.peer_id, b"m", bytes(64))

    assert ed25519_verify_many([item] * VERIFY_MANY_MAX) == [False] * VERIFY_MANY_MAX
    with pytest.raises(ValueError, match="more than"):
        ed25519_verify_many([item] * (VERIFY_MANY_MAX + 1))


@pytest.mark.parametrize("row", vectors("ed25519_wycheproof.json"), ids=lambda row: str(row["id"]))
def test_wycheproof(row):
    """
    Wycheproof's signatures: malleable, truncated, extended and special ones are refused, valid ones are not.
    """
    arguments = [bytes.fromhex(row[name]) for name in ("public_key", "message", "signature")]
    PeerId(arguments[0])
    if row["valid"]:
        ed25519_verify(*arguments)
    else:
        with pytest.raises(ValueError, match="wrong"):
            ed25519_verify(*arguments)


SPECCHECK_PASSES = {2, 3}
"""The two cases that every verification without the cofactor accepts and that have a key of large order."""


@pytest.mark.parametrize("row", vectors("ed25519_speccheck.json"), ids=lambda row: str(row["id"]))
def test_the_edge_cases_of_ed25519(row):
    """
    "Taming the many EdDSAs", table 1: small keys, s >= L, and second spellings of key and R are refused.
    """
    public_key, message, signature = (
        bytes.fromhex(row[name]) for name in ("public_key", "message", "signature")
    )

    def accept() -> None:
        ed25519_verify(PeerId(public_key), message, signature)

    if row["id"] in SPECCHECK_PASSES:
        accept()
    else:
        with pytest.raises((ValueError, BadIdentityError)):
            accept()


def test_a_seed_of_another_length_is_refused_without_showing_it():
    """
    The error speaks about the length only.
    """
    for seed in (b"", b"s" * 31, b"s" * 64):
        with pytest.raises(ValueError, match="seed") as caught:
            ed25519_sign(seed, b"")
        assert "ss" not in str(caught.value)


def test_a_long_message_is_signed_like_a_short_one():
    """
    Beyond 16 KiB the interpreter lock is released; the result is the same algorithm.
    """
    for size in (0, 16 * 1024 - 1, 16 * 1024, 10**6):
        signature = ed25519_sign(ALICE.seed, b"m" * size)
        ed25519_verify(ALICE.peer_id, b"m" * size, signature)
        with pytest.raises(ValueError, match="wrong"):
            ed25519_verify(ALICE.peer_id, b"m" * size + b"!", signature)


def test_rfc_8032_test_vector_1():
    """
    RFC 8032, section 7.1, test 1: seed, public key and signature of the empty message.
    """
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key_pair = KeyPair.from_seed(seed)

    assert key_pair.peer_id.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert ed25519_sign(seed, b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
