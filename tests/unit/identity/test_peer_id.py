import copy
import pickle

import pytest

from helpers.identities import ALICE, vectors
from kontinuum.identity import BadIdentityError, KeyPair, PeerId
from kontinuum.identity.base58 import BASE58_CHARS_MAX, decode_base58, encode_base58
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import PEER_ID_TEXT_CHARS_MAX


@pytest.mark.parametrize("row", vectors("peer_ids.json"), ids=lambda row: row["source"])
def test_the_vectors_of_the_libp2p_specifications(row):
    """
    Key to peer id and back, as other implementations write it.
    """
    peer_id = PeerId(bytes.fromhex(row["public_key"]))
    if "seed" in row:
        assert KeyPair.from_seed(bytes.fromhex(row["seed"])).peer_id == peer_id
    if "libp2p" in row:
        assert peer_id.libp2p == row["libp2p"]
    assert PeerId.parse(peer_id.libp2p) == peer_id
    assert PeerId.parse(row["public_key"].upper()) == peer_id


def test_the_example_of_the_peer_id_specification_is_read():
    """
    libp2p specs, peer-ids.md, "Decoding": the Ed25519 example round-trips.
    """
    text = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

    assert PeerId.parse(text).libp2p == text


def test_text_forms():
    """
    str is lower-case hex, repr and short are short, white space around input does not matter.
    """
    peer_id = ALICE.peer_id

    assert str(peer_id) == f"{peer_id}" == peer_id.hex()
    assert len(str(peer_id)) == 64
    assert repr(peer_id) == f"PeerId({peer_id.short}…)"
    assert PeerId.parse(f"  {peer_id}\n") == peer_id
    assert len(peer_id.libp2p) == 52
    assert peer_id.libp2p.startswith("12D3KooW")


def test_an_identity_is_its_bytes():
    """
    As a dictionary key an identity equals the bytes that the engine reports; it survives pickle and copy.
    """
    peer_id = ALICE.peer_id

    assert {peer_id: 1}[bytes(peer_id)] == 1
    assert pickle.loads(pickle.dumps(peer_id)) == peer_id  # noqa: S301
    assert type(pickle.loads(pickle.dumps(peer_id))) is PeerId  # noqa: S301
    assert copy.deepcopy(peer_id) == peer_id
    assert not hasattr(peer_id, "__dict__")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "64 hex"),
        ("ab" * 31, "64 hex"),
        ("ab" * 33, "64 hex"),
        ("0x" + "ab" * 31, "64 hex"),
        ("é" * 64, "64 hex"),
        ("٣" * 64, "64 hex"),
        ("x" * (PEER_ID_TEXT_CHARS_MAX + 1), "too many"),
        (" " * 10**6, "too many"),
        ("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "RSA"),
        ("16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY", "secp256k1"),
        ("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "CID form"),
        ("k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs", "CID form"),
        ("kontinuum:qQAB", "contact"),
        ("/ip4/192.0.2.1/udp/4433/quic-v1", "address"),
        ("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S", "64 hex"),
        ("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S0", "64 hex"),
        ("112D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", "64 hex"),
        ("00" * 32, "small order"),
        (encode_base58(bytes.fromhex("002408011220") + bytes(32)), "small order"),
        (encode_base58(bytes.fromhex("002408011220") + bytes(31)), "64 hex"),
        (encode_base58(bytes.fromhex("002408011221") + bytes(32)), "64 hex"),
    ],
)
def test_what_is_no_identity_is_named(text, why):
    """
    The message says what the text looks like, or what an identity looks like.
    """
    with pytest.raises(BadIdentityError, match=why):
        PeerId.parse(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (
            b"The quick brown fox jumps over the lazy dog.",
            "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
        ),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
        (b"", ""),
        (b"\0", "1"),
    ],
)
def test_base58_vectors(data, text):
    """
    draft-msporny-base58-03, section 5, and the smallest cases.
    """
    assert encode_base58(data) == text
    assert decode_base58(text) == data


def test_base58_at_the_limit_and_beyond():
    """
    The quadratic algorithm sees at most BASE58_CHARS_MAX characters.
    """
    assert decode_base58("1" * BASE58_CHARS_MAX) == bytes(BASE58_CHARS_MAX)
    with pytest.raises(MalformedError, match="more than"):
        decode_base58("1" * (BASE58_CHARS_MAX + 1))
    for character in "0OIl+ é":
        with pytest.raises(MalformedError, match="base58"):
            decode_base58(character)
