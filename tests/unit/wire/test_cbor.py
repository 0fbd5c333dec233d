import math
import time
import tracemalloc

import pytest

from helpers.identities import vectors
from kontinuum.base import MisuseError
from kontinuum.wire import MalformedError, decode_cbor, encode_cbor
from kontinuum.wire.limits import CBOR_BYTES_MAX, CBOR_DEPTH_MAX, CBOR_ITEMS_MAX


def is_outside(row) -> bool:
    """Our subset leaves out tags, undefined and unnumbered simple values, and every second spelling."""
    first = int(row["hex"][:2], 16)
    return not row["roundtrip"] or 0xC0 <= first < 0xF4 or first in (0xF7, 0xF8)


@pytest.mark.parametrize("row", vectors("cbor_appendix_a.json"), ids=lambda row: row["hex"])
def test_the_examples_of_rfc_8949(row):
    """
    Appendix A: what is inside our subset is read and written back; all else is refused.
    """
    data = bytes.fromhex(row["hex"])
    if is_outside(row):
        with pytest.raises(MalformedError):
            decode_cbor(data, floats=True)
        return

    value = decode_cbor(data, floats=True)

    assert encode_cbor(value, floats=True) == data
    if "decoded" in row:
        text_keys = {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value
        assert text_keys == row["decoded"]


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "cut off"),
        ("18", "cut off"),
        ("42ff", "cut off"),
        ("8201", "cut off"),
        ("a101", "cut off"),
        ("0000", "behind its end"),
        ("1817", "shortest"),
        ("190018", "shortest"),
        ("1900ff", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("3817", "shortest"),
        ("5801ff", "shortest"),
        ("780161", "shortest"),
        ("980101", "shortest"),
        ("b8010101", "shortest"),
        ("1c", "indefinite"),
        ("1d", "indefinite"),
        ("1e", "indefinite"),
        ("1f", "indefinite"),
        ("ff", "indefinite"),
        ("5f4101ff", "indefinite"),
        ("7f6161ff", "indefinite"),
        ("9fff", "indefinite"),
        ("bfff", "indefinite"),
        ("a201000100", "repeated"),
        ("a202000100", "misplaced"),
        ("a2616100616100", "repeated"),
        ("a22000180000", "shortest"),
        ("a1f400", "key"),
        ("a1f600", "key"),
        ("a18000", "key"),
        ("a1a000", "key"),
        ("c100", "tag"),
        ("d81c00", "tag"),
        ("d9010280", "tag"),
        ("c249010000000000000000", "tag"),
        ("f7", "simple"),
        ("e0", "simple"),
        ("f814", "simple"),
        ("f820", "simple"),
        ("f90000", "float"),
        ("fa00000000", "float"),
        ("61ff", "UTF-8"),
        ("62c328", "UTF-8"),
        ("63eda080", "UTF-8"),
        ("62c080", "UTF-8"),
    ],
)
def test_what_is_not_deterministic_is_refused(encoded, why):
    """
    RFC 8949, section 4.2.1: every second spelling, and everything outside the subset, has its own reason.
    """
    with pytest.raises(MalformedError, match=why):
        decode_cbor(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({10: 0, 100: 0, -1: 0, "z": 0, "aa": 0}, "a50a001864002000617a0062616100"),
        ({b"\x01": 1, 1: 2, "a": 3}, "a301024101016161" + "03"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-(2**64), "3bffffffffffffffff"),
        ([True, False, None], "83f5f4f6"),
        ((1, (2, 3)), "8201820203"),
    ],
)
def test_keys_are_sorted_by_their_encoded_bytes(value, encoded):
    """
    RFC 8949, section 4.2.1 and its example (the older rule of RFC 7049 would sort by length first).
    """
    assert encode_cbor(value).hex() == encoded


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**64) - 1, 1.5, {1, 2}, object(), {None: 1}, {True: 1}, {1.5: 1}, {(1,): 1}, "\ud800"],
)
def test_what_has_no_place_is_our_callers_mistake(value):
    """
    Encoding refuses what decoding would refuse.
    """
    with pytest.raises(MisuseError):
        encode_cbor(value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0.0, "f90000"), (-0.0, "f98000"), (1.5, "f93e00"), (1e5, "fa47c35000"), (1.1, "fb3ff199999999999a")],
)
def test_floats_are_the_shortest_that_keep_the_value(value, encoded):
    """
    RFC 8949, section 4.2.2; and only where a format has floats at all.
    """
    assert encode_cbor(value, floats=True).hex() == encoded
    decoded = decode_cbor(bytes.fromhex(encoded), floats=True)
    assert decoded == value
    assert math.copysign(1, decoded) == math.copysign(1, value)


@pytest.mark.parametrize("encoded", ["f97e01", "fa7fc00000", "fb7ff8000000000000", "f9fe00", "fa3fc00000"])
def test_there_is_one_nan_and_no_longer_float_than_needed(encoded):
    """
    NaN has one encoding, f97e00; a float that fits a shorter form is refused.
    """
    assert math.isnan(decode_cbor(bytes.fromhex("f97e00"), floats=True))
    with pytest.raises(MalformedError, match="shortest"):
        decode_cbor(bytes.fromhex(encoded), floats=True)


def test_depth_at_the_limit_and_beyond():
    """
    CBOR_DEPTH_MAX containers are read and written, one more is not.
    """
    at_limit = b"\x81" * CBOR_DEPTH_MAX + b"\x00"

    assert encode_cbor(decode_cbor(at_limit)) == at_limit
    for opening in (b"\x81", b"\xa1\x00"):
        with pytest.raises(MalformedError, match="inside each other"):
            decode_cbor(opening * (CBOR_DEPTH_MAX + 1) + b"\x00")
    nested: list[object] = []
    for _ in range(CBOR_DEPTH_MAX):
        nested = [nested]
    with pytest.raises(MisuseError, match="inside each other"):
        encode_cbor(nested)  # type: ignore[arg-type]


def test_items_at_the_limit_and_beyond():
    """
    The list itself counts as an item.
    """
    assert len(decode_cbor(encode_cbor([0] * (CBOR_ITEMS_MAX - 1)))) == CBOR_ITEMS_MAX - 1
    with pytest.raises(MalformedError, match="too many"):
        decode_cbor(encode_cbor([0] * CBOR_ITEMS_MAX))


def test_length_at_the_limit_and_beyond():
    """
    A longer input is refused before it is looked at.
    """
    content = [b"x" * (CBOR_BYTES_MAX - 5), 0]
    at_limit = encode_cbor(content)
    assert len(at_limit) == CBOR_BYTES_MAX

    assert decode_cbor(at_limit) == content
    with pytest.raises(MalformedError, match="the most"):
        decode_cbor(at_limit + b"\x00")


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 10**6,
        b"\xa1" * 10**6,
        b"\x9f" * 10**6,
        b"\x9b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\x5b" + b"\xff" * 8,
        b"\x7b" + b"\xff" * 8,
        b"\x9b\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\xbb\x7f" + b"\xff" * 7 + b"\x00" * 1000,
        b"\x9a\x00\x0f\x42\x40" + b"\x80" * 10**6,
    ],
    ids=lambda data: data[:9].hex(),
)
def test_a_bomb_costs_neither_time_nor_memory(data):
    """
    10^6 brackets and claims of 2^64 bytes are refused within bounds, even if the caller allows long input.
    """
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(MalformedError):
        decode_cbor(data, bytes_max=10**7)
    seconds = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seconds < 1
    assert peak < len(data) + 2 * 10**6


def test_memory_and_arrays_of_bytes_are_bytes():
    """
    Whatever holds the bytes, the encoding is the same.
    """
    assert encode_cbor(bytearray(b"ab")) == encode_cbor(b"ab") == b"\x42ab"  # type: ignore[arg-type]
    assert decode_cbor(bytearray(b"\x42ab")) == b"ab"
