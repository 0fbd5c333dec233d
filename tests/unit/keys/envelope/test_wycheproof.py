"""The primitives of envelopes as our code calls them, against Wycheproof's vectors.

Wycheproof leaves some X25519 inputs to the implementation ("acceptable"). Ours are decided as RFC 7748 says:
points of the twist and second spellings of a coordinate are computed with, and only a shared secret of zeros
is refused, because everybody knows it. Ed25519 has its vectors in ``tests/unit/identity/test_points.py``.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from helpers.envelopes import CountedEntropy
from kontinuum.identity import Secret
from kontinuum.keys.envelope import HybridKey, HybridRecipient, hybrid
from kontinuum.keys.envelope import file_key as file_keys
from kontinuum.keys.envelope.errors import BadKeyTextError, HeaderError, HeaderMacError
from kontinuum.keys.envelope.file_key import FileKey, derive
from kontinuum.keys.envelope.stanza import Stanza, encode_base64
from kontinuum.keys.envelope.x25519 import X25519Key


def vectors(name):
    """A file of vectors."""
    return json.loads((Path(__file__).parents[3] / "vectors" / f"{name}_wycheproof.json").read_text())


VECTORS = vectors("envelope") | vectors("hmac") | vectors("mlkem")
FILE_KEY = FileKey(b"k" * 16)


@pytest.mark.parametrize("row", VECTORS["x25519"], ids=lambda row: str(row["id"]))
def test_x25519(row):
    """
    The shared secret of each vector opens a stanza; one that is zero is refused.
    """
    public, private, shared = (bytes.fromhex(row[name]) for name in ("public", "private", "shared"))
    key = X25519Key(Secret(private))
    wrap_key = derive(shared, public + key.recipient.public_key, b"age-encryption.org/v1/X25519")
    stanza = Stanza("X25519", (encode_base64(public).decode(),), FILE_KEY.wrapped(wrap_key))

    if any(shared):
        assert key.unwrap(stanza).commitment() == FILE_KEY.commitment()
    else:
        with pytest.raises(HeaderError, match="small order"):
            key.unwrap(stanza)


@pytest.mark.parametrize("row", VECTORS["chacha20_poly1305"], ids=lambda row: str(row["id"]))
def test_chacha20_poly1305(row):
    """
    In both directions, into buffers of ours; wrong tags are refused, nonces of other lengths as well.
    """
    iv, aad, msg = (bytes.fromhex(row[name]) for name in ("iv", "aad", "msg"))
    sealed = bytes.fromhex(row["ct"] + row["tag"])
    cipher = ChaCha20Poly1305(bytes.fromhex(row["key"]))
    out = bytearray(len(msg))
    if row["result"] == "valid":
        assert cipher.encrypt(iv, msg, aad) == sealed
        assert cipher.decrypt_into(iv, memoryview(sealed), aad, memoryview(out)) == len(msg)
        assert out == msg
    else:
        with pytest.raises(InvalidTag if len(iv) == 12 else ValueError):
            cipher.decrypt_into(iv, memoryview(sealed), aad, memoryview(out))


@pytest.mark.parametrize("row", VECTORS["hkdf_sha256"], ids=lambda row: str(row["id"]))
def test_hkdf_sha256(row):
    """
    Of those with 32 bytes, which is all that we derive.
    """
    ikm, salt, info = (bytes.fromhex(row[name]) for name in ("ikm", "salt", "info"))

    assert row["result"] == "valid"
    assert derive(ikm, salt, info) == bytes.fromhex(row["okm"])


@pytest.mark.parametrize("row", VECTORS["hmac_sha256"], ids=lambda row: str(row["id"]))
def test_hmac_sha256(row, monkeypatch):
    """
    As the authenticator of a header, with the vector's key in place of the derived one. Wycheproof has tags
    cut to 16 bytes as well, and calls them valid: a header's has 32, so we refuse those like wrong ones.
    """
    key, msg, tag = (bytes.fromhex(row[name]) for name in ("key", "msg", "tag"))
    monkeypatch.setattr(file_keys, "derive", lambda *_: key)

    if len(tag) == file_keys.MAC_BYTES and row["result"] == "valid":
        FILE_KEY.verify_header(msg, tag)
    else:
        with pytest.raises(HeaderMacError):
            FILE_KEY.verify_header(msg, tag)
    if row["result"] == "valid":
        assert FILE_KEY.header_mac(msg).startswith(tag)


X25519_SECRET = X25519PrivateKey.from_private_bytes(b"x" * 32)
X25519_PUBLIC = X25519_SECRET.public_key().public_bytes_raw()
EPHEMERAL = X25519PrivateKey.from_private_bytes(b"e" * 32)
SHARE = EPHEMERAL.public_key().public_bytes_raw()
X_WING_LABEL = bytes.fromhex("5c2e2f2f5e5c")


def sealed_by_hpke(mlkem_shared, share, plaintext):
    """What X-Wing's combiner and RFC 9180 (base mode) make of a shared secret of ML-KEM, spelled out."""
    shared = X25519_SECRET.exchange(X25519PublicKey.from_public_bytes(share))
    secret = hashlib.sha3_256(mlkem_shared + shared + share + X25519_PUBLIC + X_WING_LABEL).digest()
    suite = b"HPKE" + bytes.fromhex("647a 0001 0003")

    def extract(salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(prk, label, info, size):
        info = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return hmac.digest(prk, info + b"\1", "sha256")[:size]

    context = (
        b"\0"
        + extract(b"", b"psk_id_hash", b"")
        + extract(b"", b"info_hash", b"age-encryption.org/mlkem768x25519")
    )
    prk = extract(secret, b"secret", b"")
    key, nonce = expand(prk, b"key", context, 32), expand(prk, b"base_nonce", context, 12)
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, None)


class Expansion:
    """In place of SHAKE256: the vector's seed of ML-KEM-768, then our X25519 key."""

    def __init__(self, seed):
        self._seed = seed

    def digest(self, length):
        assert length == 64 + 32
        return self._seed + b"x" * 32


@pytest.mark.parametrize("row", VECTORS["decaps"], ids=lambda row: str(row["id"]))
def test_mlkem_768_opens(row, monkeypatch):
    """
    As half of a hybrid key: the public half of each seed, and the shared secret of each ciphertext, those
    that FIPS 203 rejects implicitly among them; other lengths are refused.
    """
    seed = base64.b64decode(row["seed"])
    if len(seed) != 64:
        assert row["result"] == "invalid"
        with pytest.raises(ValueError, match="seed"):  # Ours always has 64 bytes: the primitive's own check.
            MLKEM768PrivateKey.from_seed_bytes(seed)
        return
    monkeypatch.setattr(hybrid, "shake_256", lambda _: Expansion(seed))
    key = HybridKey(Secret(b"s" * 32))
    ciphertext = base64.b64decode(row["c"])
    argument = encode_base64(ciphertext + SHARE).decode()
    if row["result"] == "valid":
        assert hashlib.sha256(key.recipient.public_key[:-32]).hexdigest() == row["ek_sha256"]
        body = sealed_by_hpke(base64.b64decode(row["K"]), SHARE, b"k" * 16)
        opened = key.unwrap(Stanza("mlkem768x25519", (argument,), body))
        assert opened is not None
        assert opened.commitment() == FILE_KEY.commitment()
        other = sealed_by_hpke(bytes(32), SHARE, b"k" * 16)
        assert key.unwrap(Stanza("mlkem768x25519", (argument,), other)) is None
    else:
        with pytest.raises(HeaderError, match="wrong length"):
            key.unwrap(Stanza("mlkem768x25519", (argument,), bytes(32)))


@pytest.mark.parametrize("row", VECTORS["encaps"], ids=lambda row: str(row["id"]))
def test_mlkem_768_seals(row):
    """
    As half of a hybrid recipient: numbers that are not reduced and other lengths are refused when a
    recipient is read, before anything is sealed to it.
    """
    public = base64.b64decode(row["ek"]) + X25519_PUBLIC
    if row["result"] == "valid":
        HybridRecipient(public).wrap(FILE_KEY, CountedEntropy())
    else:
        with pytest.raises(BadKeyTextError, match=r"bytes|out of range"):
            HybridRecipient(public)


ZEROS = [row for row in VECTORS["x25519"] if not any(bytes.fromhex(row["shared"]))]


@pytest.mark.parametrize("row", ZEROS, ids=lambda row: str(row["id"]))
def test_a_zero_shared_secret_is_refused_in_a_hybrid_too(row):
    """
    In a recipient and in a stanza, whatever the private key is; ML-KEM alone would still protect it.
    """
    share = bytes.fromhex(row["public"])
    key = HybridKey(Secret(b"s" * 32))

    with pytest.raises(BadKeyTextError, match="small order"):
        HybridRecipient(key.recipient.public_key[:-32] + share).wrap(FILE_KEY, CountedEntropy())
    argument = encode_base64(bytes(1088) + share).decode()
    with pytest.raises(HeaderError, match="small order"):
        key.unwrap(Stanza("mlkem768x25519", (argument,), bytes(32)))
