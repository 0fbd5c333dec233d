"""The primitives of envelopes as our code calls them, against Wycheproof's vectors."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from kontinuum.identity import Secret
from kontinuum.keys.envelope.errors import HeaderError
from kontinuum.keys.envelope.file_key import FileKey, derive
from kontinuum.keys.envelope.stanza import Stanza, encode_base64
from kontinuum.keys.envelope.x25519 import X25519Key

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "envelope_wycheproof.json").read_text())
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
