"""Keys of records as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.identities import ALICE
from kontinuum.dht.key_text import KEY_TEXT_CHARS_MAX, BadKeyError, key_text, parse_key
from kontinuum.dht.records import blake3_key, contact_key, sha256_key, signed_key
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX

PEER = ALICE.peer_id


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (contact_key(PEER), f"/contact/{PEER}"),
        (sha256_key(b"x"), f"/sha256/{sha256_key(b'x')[-32:].hex()}"),
        (blake3_key(b"x"), f"/blake3/{blake3_key(b'x')[-32:].hex()}"),
        (signed_key(PEER, b"motd"), f"/signed/{PEER}/motd"),
        (signed_key(PEER, "grüße/1 %".encode()), f"/signed/{PEER}/gr%C3%BC%C3%9Fe/1%20%25"),
        (b"/other/a\x00b", "/other/a%00b"),
    ],
)
def test_a_key_and_its_text(key, text):
    """
    Each text is the key's, and the key the text's.
    """
    assert key_text(key) == text
    assert parse_key(text) == key


def test_a_peer_may_be_written_in_either_form():
    """
    Also as libp2p programs show it.
    """
    assert parse_key(f"/signed/{PEER.libp2p}/motd") == signed_key(PEER, b"motd")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "blake3/" + 64 * "0",
        "/blake3/",
        "/blake3/" + 63 * "0",
        "/sha256/" + 64 * "g",
        "/contact/nobody",
        "/signed/" + 64 * "0" + "/x",
        "/\ud800",
        "/other/" + (KAD_KEY_BYTES_MAX + 1) * "x",
        "/" + KEY_TEXT_CHARS_MAX * "x",
    ],
)
def test_what_is_no_key_is_refused(text):
    """
    With the forms that there are.
    """
    with pytest.raises(BadKeyError):
        parse_key(text)


@given(name=st.binary(min_size=1, max_size=64))
def test_every_name_survives(name):
    """
    The name of a signed record may be any bytes.
    """
    key = signed_key(PEER, name)
    assert parse_key(key_text(key)) == key


@given(text=st.text(max_size=100))
def test_any_text_gives_a_key_or_an_error(text):
    """
    Nothing else comes out, and a key is never longer than the wire allows.
    """
    for given_text in (text, "/" + text, "/signed/" + text, f"/signed/{PEER}/" + text):
        try:
            key = parse_key(given_text)
        except BadKeyError:
            continue
        assert isinstance(key, bytes)
