"""Derivation as a construction: what follows from which secret, and what does not."""

import copy
import pickle

import pytest

from helpers.keys import OTHER_SEED, SEED, path
from kontinuum.base import MisuseError, SystemEntropy
from kontinuum.identity import BadIdentityError, KeyPair, PeerId
from kontinuum.keys import slip10
from kontinuum.keys.confidential import Confidential
from kontinuum.keys.derivation import BranchSecret, EncryptionKey, EpochSecret, RootSeed, StorageKey
from kontinuum.keys.errors import BadPathError, SpentError
from kontinuum.keys.public_keys import BranchPublicKey, EncryptionPublicKey, commit
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_CHILDREN_MAX, KEY_CLUSTERS_MAX, KEY_EPOCHS_MAX

ROOT = SEED.cluster()
BRANCH = ROOT.child(3).child(1, 2)
EPOCH = BRANCH.epoch(7)
SECRETS = [SEED, ROOT, BRANCH, EPOCH, EPOCH.encryption(), EPOCH.storage()]


def test_an_ancestor_derives_whatever_a_descendant_holds():
    """
    From any branch above, the same branch, epochs and keys; the root needs nothing but numbers.
    """
    for ancestor in (ROOT, ROOT.child(3), BRANCH):
        derived = ancestor.descendant(path("/3.0/1.2"))
        assert derived == BRANCH
        assert derived.epoch(7) == EPOCH
        assert derived.epoch(7).signing().seed == EPOCH.signing().seed


def test_no_branch_derives_what_is_not_below_it():
    """
    Neither siblings, nor other branches of the same place, nor ancestors.
    """
    for elsewhere in ("/", "/3.0", "/3.1/1.2", "/3.0/1.3", "/3.0/2.2", "/4.0"):
        with pytest.raises(MisuseError):
            BRANCH.descendant(path(elsewhere))


def test_every_secret_and_key_is_its_own():
    """
    Clusters, places, branches, epochs and purposes never share bytes; nothing equals what it derives from.
    """
    seen = [SEED.expose(), ROOT.expose()[:32], ROOT.expose()[32:]]
    for secret in (
        ROOT,
        SEED.cluster(1),
        ROOT.child(0),
        ROOT.child(1),
        ROOT.child(0, 1),
        ROOT.child(0).child(0),
    ):
        seen.append(bytes(secret.public))
        for number in (0, 1):
            epoch = secret.epoch(number)
            seen += [epoch.expose(), epoch.signing().seed, bytes(epoch.signing().peer_id)]
            seen += [epoch.encryption().expose(), bytes(epoch.encryption().public), epoch.storage().expose()]

    assert len(set(map(bytes, seen))) == len(seen)


def test_limits_of_numbers():
    """
    The last epoch, branch, child and cluster exist; the ones after them do not.
    """
    assert ROOT.epoch(KEY_EPOCHS_MAX - 1).epoch == KEY_EPOCHS_MAX - 1
    assert ROOT.child(KEY_CHILDREN_MAX - 1, KEY_BRANCHES_MAX - 1).path.branch == KEY_BRANCHES_MAX - 1
    assert SEED.cluster(KEY_CLUSTERS_MAX - 1)
    for number in (-1, KEY_EPOCHS_MAX):
        with pytest.raises(SpentError):
            ROOT.epoch(number)
    with pytest.raises(BadPathError):
        ROOT.child(KEY_CHILDREN_MAX)
    with pytest.raises(BadPathError):
        ROOT.child(0, KEY_BRANCHES_MAX)
    for number in (-1, KEY_CLUSTERS_MAX):
        with pytest.raises(MisuseError):
            SEED.cluster(number)


def test_commitments_are_to_the_keys_that_follow():
    """
    A parent commits to what it will derive; after the last branch, to nothing.
    """
    assert ROOT.commitment(3, 1) == commit(ROOT.child(3, 1).public)
    assert ROOT.commitment(3, KEY_BRANCHES_MAX) == commit(b"")


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_seed_has_256_bits(length):
    """
    A shorter one would be guessed, a longer one would not fit its words.
    """
    with pytest.raises(MisuseError):
        RootSeed(bytes(length))


def test_a_fresh_seed_comes_from_entropy():
    """
    Two seeds differ, and an Entropy that gives too little is noticed.
    """

    class Short:
        def token(self, length):
            return bytes(length - 1)

    assert RootSeed.generate(SystemEntropy()) != RootSeed.generate(SystemEntropy())
    with pytest.raises(MisuseError):
        RootSeed.generate(Short())


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
def test_a_secret_does_not_show_itself(secret):
    """
    Not in its text forms, nor by pickle or copy, nor by a hash.
    """
    content = secret.expose().hex()
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret.expose()}", repr([secret])):
        assert content not in shown
        assert content[:16] not in shown
        assert str(bytes(secret.expose()))[2:-1] not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash):
        with pytest.raises((MisuseError, TypeError)):
            leak(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
def test_a_secret_equals_only_the_same_of_its_kind(secret):
    """
    Bytes alone are no secret, and the same bytes for another use are another secret.
    """
    assert secret != bytes(secret.expose())
    assert secret != secret.expose()
    if type(secret).SECRET_BYTES == 32:
        others = [RootSeed(secret.expose()), StorageKey(secret.expose()), EncryptionKey(secret.expose())]
        for other in others:
            assert (secret == other) is (type(secret) is type(other))


def test_the_same_bytes_on_another_path_are_another_secret():
    """
    A branch's or epoch's place is part of what it is.
    """
    assert BranchSecret(path("/0.0"), ROOT.expose()) != BranchSecret(path("/1.0"), ROOT.expose())
    assert EpochSecret(path("/0.0"), 0, EPOCH.expose()) != EpochSecret(path("/0.0"), 1, EPOCH.expose())
    assert EpochSecret(path("/0.0"), 0, EPOCH.expose()) == EpochSecret(path("/0.0"), 0, EPOCH.expose())


def test_a_branch_key_is_no_identity_on_the_wire():
    """
    The key that signs statements and the key that speaks are of different types.
    """
    assert not isinstance(ROOT.public, PeerId)
    assert not isinstance(ROOT.key, KeyPair)
    assert ROOT.public.hex() not in repr(ROOT.key)


def test_all_kinds_of_secrets_share_their_care():
    """
    Whatever this room derives is Confidential.
    """
    assert all(isinstance(secret, Confidential) for secret in SECRETS)


@pytest.mark.parametrize("number", [0, 1, 2**31 - 1, 2**32])
def test_slip_0010_steps_are_hardened(number):
    """
    Ed25519 has no other.
    """
    with pytest.raises(MisuseError):
        slip10.child(slip10.master(bytes(32)), number)


@pytest.mark.parametrize("length", [15, 65])
def test_slip_0010_seeds_have_128_to_512_bits(length):
    """
    The standard's range.
    """
    with pytest.raises(MisuseError):
        slip10.master(bytes(length))


LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
]


@pytest.mark.parametrize(
    "data",
    [
        *LOW_ORDER,
        (2**255 - 19).to_bytes(32, "little"),
        bytes([9] + [0] * 30 + [0x80]),
        bytes([255] * 32),
        b"",
        bytes([9] + [0] * 30),
        bytes([9] + [0] * 32),
    ],
    ids=lambda data: data.hex()[:12] or "empty",
)
def test_an_encryption_key_of_small_order_or_second_spelling_is_refused(data):
    """
    Keys with which everybody shares one secret (RFC 7748, section 6.1), numbers beyond the prime, lengths.
    """
    with pytest.raises(BadIdentityError):
        EncryptionPublicKey(data)


def test_a_branch_key_is_checked_like_an_identity():
    """
    Small order, off the curve, wrong length.
    """
    for data in (bytes(32), (1).to_bytes(32, "little"), b"\x02" + bytes(31), b"", bytes(33)):
        with pytest.raises(BadIdentityError):
            BranchPublicKey(data)
    assert BranchPublicKey(OTHER_SEED.cluster().public) == OTHER_SEED.cluster().public
