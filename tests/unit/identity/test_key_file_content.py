"""Files that hold no key of ours: each kind has its own error."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from helpers.identities import ALICE
from helpers.key_files import PLAIN, PROTECTED, body_of, pem
from kontinuum.identity import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    NotAKeyFileError,
    TruncatedKeyFileError,
    WrongKeyTypeError,
)
from kontinuum.identity.key_file import decode_key


def test_pkcs8_of_version_2_is_named():
    """
    RFC 8410, section 10.3, its second example: a sound file that we do not read is not called damaged.
    """
    example = (
        b"-----BEGIN PRIVATE KEY-----\n"
        b"MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        b"oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
        b"Z9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        b"-----END PRIVATE KEY-----\n"
    )
    with pytest.raises(WrongKeyTypeError, match=r"version 2.*convert"):
        decode_key(example)


def test_a_short_key_of_another_type_is_named():
    """
    Found by fuzzing: an Ed448 header around 32 bytes made a library fail with an error of its own.
    """
    body = bytes.fromhex("302e020100300506032b657104220420") + b"a" * 32

    with pytest.raises(WrongKeyTypeError, match="Ed448"):
        decode_key(pem("PRIVATE KEY", body))
    with pytest.raises(WrongKeyTypeError, match="another type"):
        decode_key(pem("PRIVATE KEY", body.replace(b"\x2b\x65\x71", b"\x2b\x65\x7f")))


@pytest.mark.parametrize(
    ("content", "error", "why"),
    [
        (b"", EmptyKeyFileError, "empty"),
        (b" \n\t\n", EmptyKeyFileError, "empty"),
        (PLAIN[:30], TruncatedKeyFileError, "cut off"),
        (PLAIN[:-10], TruncatedKeyFileError, "cut off"),
        (PROTECTED[:-40], TruncatedKeyFileError, "cut off"),
        (PLAIN + PLAIN, NotAKeyFileError, "more than one"),
        (b"hello", NotAKeyFileError, "no PEM"),
        (b"\xff\xfe\x00" * 100, NotAKeyFileError, "no PEM"),
        (bytes(ALICE.seed), NotAKeyFileError, "no PEM"),
        (b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", DamagedKeyFileError, "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", DamagedKeyFileError, "damaged"),
        (pem("PRIVATE KEY", body_of(PLAIN)[:-1]), DamagedKeyFileError, "damaged"),
        (pem("PRIVATE KEY", body_of(PLAIN) + b"\0"), DamagedKeyFileError, "damaged"),
        (pem("PRIVATE KEY", b"\x30\x84\xff\xff\xff\xff"), DamagedKeyFileError, "damaged"),
        (
            pem("PRIVATE KEY", b"\x30\x82\xff\xff\x02\x01\x00\x30\x81\xff\x06\xff"),
            WrongKeyTypeError,
            "another type",
        ),
        (pem("ENCRYPTED PRIVATE KEY", b"x"), WrongKeyTypeError, "openssl pkey"),
        (pem("OPENSSH PRIVATE KEY", b"x"), WrongKeyTypeError, "OpenSSH"),
        (pem("RSA PRIVATE KEY", b"x"), WrongKeyTypeError, "RSA"),
        (pem("EC PRIVATE KEY", b"x"), WrongKeyTypeError, "another curve"),
        (pem("PUBLIC KEY", b"x"), WrongKeyTypeError, "public"),
        (pem("CERTIFICATE", b"x"), WrongKeyTypeError, "certificate"),
        (pem("SOMETHING ELSE", b"x"), NotAKeyFileError, "SOMETHING ELSE"),
        (pem("KONTINUUM ENCRYPTED KEY", b""), DamagedKeyFileError, "damaged"),
        (pem("KONTINUUM ENCRYPTED KEY", b"\xf6"), DamagedKeyFileError, "no map"),
        (pem("KONTINUUM ENCRYPTED KEY", b"\x81" * 3000), DamagedKeyFileError, "damaged"),
    ],
)
def test_each_kind_of_wrong_content_has_its_own_error(content, error, why):
    """
    Attack 36: empty, cut off, damaged, foreign and wrong are told apart, whatever the passphrase.
    """
    for passphrase in (None, "sesame"):
        with pytest.raises(error, match=why):
            decode_key(content, passphrase)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP256R1()), "elliptic-curve"),
        (x25519.X25519PrivateKey.generate(), "X25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
    ids=["RSA", "P-256", "X25519", "Ed448"],
)
def test_a_key_of_another_type_is_named(key, name):
    """
    The error names what the file holds and says what to do.
    """
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(WrongKeyTypeError, match=rf"{name}.*Ed25519.*node init"):
        decode_key(content)
