"""Keys under a passphrase: what is authenticated, and what opening one may cost."""

import unicodedata

import pytest

from helpers.identities import ALICE, BOB
from helpers.key_files import CHEAP, ENTROPY, PROTECTED, body_of, pem, protected_with
from kontinuum.base import MisuseError
from kontinuum.identity import (
    DamagedKeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TooCostlyKeyFileError,
    WrongPassphraseError,
    save_key_file,
)
from kontinuum.identity.key_file import (
    ARGON2_LANES_MAX,
    ARGON2_MEMORY_KIB_MAX,
    ARGON2_MEMORY_KIB_MIN,
    ARGON2_WORK_KIB_MAX,
    PASSPHRASE_BYTES_MAX,
    Argon2Cost,
    decode_key,
    encode_protected,
)
from kontinuum.wire import cbor


def test_a_wrong_passphrase_a_missing_one_and_damage_are_told_apart():
    """
    Attack 36: different clear errors; the checksum tells damage from a wrong passphrase.
    """
    with pytest.raises(PassphraseNeededError, match="passphrase"):
        decode_key(PROTECTED)
    with pytest.raises(WrongPassphraseError, match="does not open"):
        decode_key(PROTECTED, "Sesame")
    body = bytearray(body_of(PROTECTED))
    for position in range(len(body)):
        changed = bytearray(body)
        changed[position] ^= 1
        with pytest.raises((DamagedKeyFileError, NotAKeyFileError)):
            decode_key(pem("KONTINUUM ENCRYPTED KEY", bytes(changed)), "sesame")


@pytest.mark.parametrize("field", [1, 3, 4, 5, 6])
def test_the_header_is_authenticated(field):
    """
    Whoever also repairs the checksum still cannot change a parameter: it is associated data.
    """
    original = cbor.decode(body_of(PROTECTED))
    changed = (
        original[field] + 1
        if isinstance(original[field], int)
        else bytes(BOB.peer_id)[: len(original[field])]
    )

    with pytest.raises(WrongPassphraseError):
        decode_key(protected_with({field: changed}), "sesame")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({0: 2}, NotAKeyFileError),
        ({0: None}, NotAKeyFileError),
        ({1: "64 MiB"}, DamagedKeyFileError),
        ({1: True}, DamagedKeyFileError),
        ({4: b"short"}, DamagedKeyFileError),
        ({5: b"x" * 13}, DamagedKeyFileError),
        ({7: b""}, DamagedKeyFileError),
        ({7: b"x" * 49}, DamagedKeyFileError),
        ({9: 0}, DamagedKeyFileError),
    ],
)
def test_fields_have_their_type_and_length(changes, error):
    """
    A protected file with odd fields is refused before the costly part.
    """
    with pytest.raises(error):
        decode_key(protected_with(changes), "sesame")


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2**30},
        {1: 2**64 - 1},
        {1: ARGON2_MEMORY_KIB_MAX + 1},
        {1: ARGON2_MEMORY_KIB_MIN - 1},
        {1: 0},
        {1: -1},
        {2: 0},
        {2: -5},
        {2: 2**63},
        {1: ARGON2_MEMORY_KIB_MAX, 2: ARGON2_WORK_KIB_MAX // ARGON2_MEMORY_KIB_MAX + 1},
        {3: 0},
        {3: ARGON2_LANES_MAX + 1},
    ],
)
def test_a_hostile_file_cannot_ask_for_a_terabyte(changes):
    """
    What opening costs is bounded before it begins, in memory, passes and lanes.
    """
    with pytest.raises(TooCostlyKeyFileError, match="bounds"):
        decode_key(protected_with(changes), "sesame")


def test_the_costs_at_their_limits():
    """
    The largest cost that is allowed can be written down; the default is RFC 9106's second choice.
    """
    Argon2Cost(ARGON2_MEMORY_KIB_MAX, ARGON2_WORK_KIB_MAX // ARGON2_MEMORY_KIB_MAX, ARGON2_LANES_MAX)
    Argon2Cost(ARGON2_MEMORY_KIB_MIN, 1, 1)
    assert Argon2Cost() == Argon2Cost(64 * 1024, 3, 4)


def test_passphrases_at_the_limit_and_beyond():
    """
    1 to PASSPHRASE_BYTES_MAX bytes; however a letter was composed, it is the same passphrase.
    """
    longest = "x" * PASSPHRASE_BYTES_MAX
    assert decode_key(encode_protected(ALICE, longest, ENTROPY, CHEAP), longest).peer_id == ALICE.peer_id
    for wrong in ("", longest + "x"):
        with pytest.raises(MisuseError, match="passphrase has"):
            encode_protected(ALICE, wrong, ENTROPY, CHEAP)
        with pytest.raises(MisuseError, match="passphrase has"):
            decode_key(PROTECTED, wrong)
    with pytest.raises(MisuseError, match="Unicode"):
        decode_key(PROTECTED, "\ud800")
    composed = encode_protected(ALICE, unicodedata.normalize("NFC", "öffne"), ENTROPY, CHEAP)
    assert decode_key(composed, unicodedata.normalize("NFD", "öffne")).peer_id == ALICE.peer_id


def test_salt_and_nonce_are_fresh():
    """
    The same key under the same passphrase never gives the same file.
    """
    first, second = (cbor.decode(body_of(encode_protected(ALICE, "x", ENTROPY, CHEAP))) for _ in range(2))

    assert all(first[field] != second[field] for field in (4, 5, 7))
    with pytest.raises(MisuseError, match="entropy"):
        save_key_file(None, ALICE, passphrase="x")


def test_too_little_memory_is_an_error_of_ours(monkeypatch):
    """
    A cost within our bounds may still be more than this machine has.
    """
    from cryptography.hazmat.primitives.kdf import argon2  # noqa: PLC0415

    class Hungry:
        """Finds no memory."""

        def __init__(self, **_cost):
            pass

        def derive(self, _passphrase):
            """As the library does."""
            raise MemoryError

    monkeypatch.setattr(argon2, "Argon2id", Hungry)
    with pytest.raises(TooCostlyKeyFileError, match="KiB free"):
        decode_key(PROTECTED, "sesame")
