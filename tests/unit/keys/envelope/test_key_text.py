"""Recipients and keys as text: the forms of age, one spelling each, and never a secret in an error."""

import pytest

from helpers.envelopes import BOB, ENTROPY, HYBRID
from kontinuum.base.errors import MisuseError
from kontinuum.identity import Secret
from kontinuum.keys.envelope import (
    BadKeyTextError,
    HybridKey,
    HybridRecipient,
    X25519Key,
    X25519Recipient,
    encode_key_file,
    parse_key,
    parse_key_file,
    parse_recipient,
)
from kontinuum.keys.envelope.bech32 import BECH32_CHARS_MAX, decode_bech32, encode_bech32
from kontinuum.keys.envelope.key_text import KEY_LINES_MAX

SPECIFIED_KEY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPECIFIED_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
"""The example of C2SP age.md, "The X25519 recipient type"."""

SPECIFIED_HYBRID_KEY = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
SPECIFIED_HYBRID_RECIPIENT = (
    "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6c"
)
"""The same for the hybrid type, the beginning of it."""


def test_the_keys_of_the_specification_make_its_recipients():
    """
    Both kinds: the text of the secret key gives the text of the public one.
    """
    assert parse_key(SPECIFIED_KEY).recipient.to_text() == SPECIFIED_RECIPIENT
    text = parse_key(SPECIFIED_HYBRID_KEY).recipient.to_text()
    assert text.startswith(SPECIFIED_HYBRID_RECIPIENT)
    assert len(text) == 1959


@pytest.mark.parametrize("key", [BOB, HYBRID, X25519Key.generate(ENTROPY), HybridKey.generate(ENTROPY)])
def test_text_comes_back(key):
    """
    Keys and recipients are read from what they write, white space around them ignored.
    """
    assert parse_recipient(f" {key.recipient.to_text()}\n") == key.recipient
    assert parse_key(f" {bytes(key.to_text()).decode()}\n").recipient == key.recipient
    assert len({key.recipient, parse_recipient(key.recipient.to_text())}) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with age1"),
        ("x", "begins with age1"),
        (SPECIFIED_RECIPIENT[:-1] + "q", "wrong or missing"),
        (SPECIFIED_RECIPIENT[:-1], "wrong or missing"),
        (SPECIFIED_RECIPIENT.replace("zvk", "zkv"), "wrong or missing"),
        (SPECIFIED_RECIPIENT.upper(), "begins with age1"),
        (SPECIFIED_RECIPIENT[:10] + SPECIFIED_RECIPIENT[10:].upper(), "mixes"),
        ("age1" + "b" * 58, "no key has"),
        ("age1" + "q" * BECH32_CHARS_MAX, "too long"),
        ("age1\u0131" + "q" * 57, "mixes"),
        (encode_bech32("age", b"short"), "no X25519 recipient"),
        (encode_bech32("age1pq", b"short"), "1216 bytes"),
        (encode_bech32("age1pq", b"\xff" * 1216), "out of range"),
        (SPECIFIED_KEY, "secret key where its public half"),
        (SPECIFIED_HYBRID_KEY.lower(), "secret key where its public half"),
        ("age1yubikey1qqqqqq", "plugin"),
        ("age1tag1qqqqqq", "hardware"),
        ("ssh-ed25519 AAAA", "SSH"),
        ("kontinuum:abc", "contact"),
    ],
)
def test_what_is_no_recipient_is_named(text, words):
    """
    Other forms, other spellings and typing mistakes are refused with words that help.
    """
    with pytest.raises(BadKeyTextError, match=words):
        parse_recipient(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with AGE-SECRET-KEY-1"),
        (SPECIFIED_KEY.lower(), "begins with AGE-SECRET-KEY-1"),
        (SPECIFIED_KEY[:-1], "wrong or missing"),
        (SPECIFIED_KEY[:-1] + "q", "mixes"),
        (SPECIFIED_HYBRID_KEY.replace("FR", "FQ"), "wrong or missing"),
        (encode_bech32("age-secret-key-", b"short").upper(), "no X25519 key"),
        (encode_bech32("age-secret-key-pq-", b"short").upper(), "no post-quantum key"),
        (SPECIFIED_RECIPIENT, "public half"),
        ("AGE-PLUGIN-YUBIKEY-1QQQQ", "plugin"),
    ],
)
def test_what_is_no_key_is_named_and_not_shown(text, words):
    """
    No error shows any of what might be a secret.
    """
    with pytest.raises(BadKeyTextError, match=words) as caught:
        parse_key(text)

    assert not text[20:40] or text[20:40].lower() not in str(caught.value).lower()


@pytest.mark.parametrize("length", range(40))
def test_bech32_comes_back(length):
    """
    Any bytes, any length, and the prefix.
    """
    data = bytes(range(200, 200 + length))

    assert decode_bech32(encode_bech32("kon1", data)) == ("kon1", data)


@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "?1ezyfcl",
    ],
)
def test_valid_strings_of_bip_173_are_read(text):
    """
    BIP 173, "Test vectors"; those whose data are whole bytes.
    """
    assert decode_bech32(text)


@pytest.mark.parametrize(
    "text",
    [
        *("\x201nwldj5", "\x7f1axkwrx", "\x801eym55h", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v"),
        *("li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee"),
    ],
)
def test_invalid_strings_of_bip_173_are_refused(text):
    """
    BIP 173, "Test vectors".
    """
    with pytest.raises(BadKeyTextError):
        decode_bech32(text)


@pytest.mark.parametrize("key", [BOB, HYBRID])
def test_a_key_file_comes_back(key):
    """
    With a comment that cannot begin a line of its own, and the public half for people.
    """
    content = encode_key_file(key, "made by\na test")

    assert content.startswith(b"# made by a test\n# public key: age1")
    assert [found.recipient for found in parse_key_file(content)] == [key.recipient]
    assert isinstance(content, Secret)


def test_a_key_file_may_hold_several_keys():
    """
    Empty lines, comments and line ends of other systems are no keys.
    """
    content = b"\r\n# one\r\n" + BOB.to_text() + b"\r\n\n#two\n" + HYBRID.to_text()

    assert [key.recipient for key in parse_key_file(content)] == [BOB.recipient, HYBRID.recipient]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no key in this file"),
        (b"# only a comment\n", "no key in this file"),
        (b"# x\n\nage1abc\n", "line 3: this is a recipient"),
        (b"\xff\xfe\n", "line 1: this is no key file"),
        (b"-----BEGIN PRIVATE KEY-----\n", "line 1: this is no key"),
        (b"\n" * (KEY_LINES_MAX + 1), "at most"),
    ],
)
def test_what_is_no_key_file_is_named(content, words):
    """
    The line is told, its content not.
    """
    with pytest.raises(BadKeyTextError, match=words):
        parse_key_file(content)


def test_constructors_take_bytes_of_the_right_length_only():
    """
    Derived bytes make a key; a wrong length is a mistake of the caller, or no public key.
    """
    assert X25519Key(Secret(b"s" * 32)).recipient == X25519Key(Secret(b"s" * 32)).recipient
    for make in (X25519Key, HybridKey):
        with pytest.raises(MisuseError):
            make(Secret(b"s" * 31))
    for make in (X25519Recipient, HybridRecipient):
        with pytest.raises(BadKeyTextError):
            make(b"p" * 31)
