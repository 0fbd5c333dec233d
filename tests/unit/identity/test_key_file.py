import base64
import os
import shutil
import stat
import subprocess
import sys
import traceback
import unicodedata

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from helpers.identities import ALICE, BOB, vectors
from kontinuum.base import (
    AlreadyExistsError,
    FileTooLargeError,
    FileUnavailableError,
    MisuseError,
    NotPrivateError,
    SystemEntropy,
)
from kontinuum.base.errors import NotAFileError
from kontinuum.identity import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    KeyFileError,
    KeyPair,
    NotAKeyFileError,
    PassphraseNeededError,
    TooCostlyKeyFileError,
    TruncatedKeyFileError,
    WrongKeyTypeError,
    WrongPassphraseError,
    load_key_file,
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
    encode_plain,
    encode_protected,
)
from kontinuum.wire import cbor
from kontinuum.wire.limits import KEY_FILE_BYTES_MAX

CHEAP = Argon2Cost(memory_kib=ARGON2_MEMORY_KIB_MIN, iterations=1, lanes=1)
ENTROPY = SystemEntropy()
PLAIN = encode_plain(ALICE)
PROTECTED = encode_protected(ALICE, "sesame", ENTROPY, CHEAP)


def pem(label: str, body: bytes) -> bytes:
    """``body`` in PEM."""
    text = base64.encodebytes(body)
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), text, label.encode())


def body_of(content: bytes) -> bytes:
    """What is inside a PEM block."""
    return base64.b64decode(b"".join(content.split(b"\n")[1:-2]))


def protected_with(changes: dict, *, right_checksum: bool = True) -> bytes:
    """A protected key file with fields changed by somebody who knows the format."""
    fields = dict(cbor.decode(body_of(PROTECTED)))
    fields.update(changes)
    if right_checksum:
        from kontinuum.identity.key_file import _checksum  # noqa: PLC0415

        del fields[8]
        fields[8] = _checksum(fields)
    return pem("KONTINUUM ENCRYPTED KEY", cbor.encode(fields))


@pytest.mark.parametrize("passphrase", [None, "sesame"])
def test_a_key_comes_back_from_its_file(tmp_path, passphrase):
    """
    Saved and loaded, 0600, nothing else in the directory; the file never holds the seed of a protected key.
    """
    path = tmp_path / "identity.key"
    save_key_file(path, ALICE, passphrase=passphrase, entropy=ENTROPY, cost=CHEAP)

    assert load_key_file(path, passphrase=passphrase).peer_id == ALICE.peer_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    if passphrase is not None:
        assert ALICE.seed not in body_of(path.read_bytes())


def test_a_passphrase_is_ignored_where_there_is_none():
    """
    A plain file opens with or without a passphrase at hand.
    """
    assert decode_key(PLAIN, "whatever").peer_id == ALICE.peer_id


@pytest.mark.parametrize("row", vectors("key_files.json"), ids=lambda row: row["comment"])
def test_golden_key_files(row):
    """
    Files of version 1 stay readable for ever.
    """
    key_pair = decode_key(row["content"].encode(), row["passphrase"])

    assert key_pair.seed.hex() == row["seed"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_openssl_reads_ours_and_we_read_openssls(tmp_path):
    """
    The plain form is standard PKCS#8 in PEM, in both directions.
    """
    save_key_file(tmp_path / "ours", ALICE)
    shown = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "ours", "-pubout", "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    assert shown.endswith(ALICE.peer_id)

    theirs = tmp_path / "theirs"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True, capture_output=True
    )
    theirs.chmod(0o600)
    shown = subprocess.run(
        ["openssl", "pkey", "-in", theirs, "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    assert shown.endswith(load_key_file(theirs).peer_id)


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


def test_an_existing_key_is_never_overwritten(tmp_path):
    """
    Losing a key is losing an identity: saving refuses, and the old key is untouched.
    """
    path = tmp_path / "identity.key"
    save_key_file(path, ALICE)
    with pytest.raises(AlreadyExistsError, match="not overwritten"):
        save_key_file(path, BOB)
    assert load_key_file(path).peer_id == ALICE.peer_id


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


def test_windows_line_ends_and_blanks_do_not_matter():
    """
    A file that went through an editor or a mail still opens.
    """
    assert decode_key(b"\n" + PLAIN.replace(b"\n", b" \r\n") + b"\n\n").peer_id == ALICE.peer_id
    assert decode_key(PROTECTED.replace(b"\n", b"\r\n"), "sesame").peer_id == ALICE.peer_id


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


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused_with_the_fix(tmp_path, mode):
    """
    Protected or not: the message is the command.
    """
    path = tmp_path / "identity.key"
    for content in (PLAIN, PROTECTED):
        path.write_bytes(content)
        path.chmod(mode)
        with pytest.raises(NotPrivateError, match=f"chmod 600 {path}"):
            load_key_file(path, passphrase="sesame")


def test_what_is_no_file_is_refused(tmp_path):
    """
    Missing, a directory, a pipe, too long; a link to a private key is followed.
    """
    path = tmp_path / "identity.key"
    with pytest.raises(FileUnavailableError, match="cannot read"):
        load_key_file(path)
    with pytest.raises(NotAFileError, match="directory"):
        load_key_file(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NotAFileError, match="pipe"):
        load_key_file(tmp_path / "pipe")
    save_key_file(path, ALICE)
    (tmp_path / "link").symlink_to(path)
    assert load_key_file(tmp_path / "link").peer_id == ALICE.peer_id
    path.write_bytes(PLAIN + b"\n" * (KEY_FILE_BYTES_MAX - len(PLAIN)))
    assert load_key_file(path).peer_id == ALICE.peer_id
    path.write_bytes(PLAIN + b"\n" * (KEY_FILE_BYTES_MAX - len(PLAIN) + 1))
    with pytest.raises(FileTooLargeError):
        load_key_file(path)


def test_the_error_names_the_file(tmp_path):
    """
    Whoever has five nodes must see which key is meant.
    """
    path = tmp_path / "identity.key"
    path.touch(mode=0o600)
    with pytest.raises(EmptyKeyFileError) as caught:
        load_key_file(path)
    assert str(path) in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN[:-10],
        pem("PRIVATE KEY", body_of(PLAIN)[:-1]),
        pem("PRIVATE KEY", body_of(PLAIN) + b"\0"),
        PROTECTED,
        PLAIN + PLAIN,
        x25519.X25519PrivateKey.from_private_bytes(ALICE.seed).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ],
)
def test_no_error_shows_key_or_passphrase(content):
    """
    Attack 36: messages, causes, contexts and notes of every error are free of secrets.
    """
    with pytest.raises(KeyFileError) as caught:
        decode_key(content, "open sesame")
    error = caught.value
    assert error.__cause__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
    base64_of_seed = base64.b64encode(ALICE.seed)[4:30].decode()
    assert "sesame" not in shown.replace('decode_key(content, "open sesame")', "")
    for secret in ("a" * 8, ALICE.seed.hex(), base64_of_seed):
        assert secret not in shown


def test_no_local_variable_shows_the_seed():
    """
    A traceback with local variables, as some tools print it, hides the seed in every frame of ours.
    """
    odd = KeyPair.from_seed(bytes(range(200, 232)))
    content = encode_protected(odd, "right", ENTROPY, CHEAP)
    try:
        decode_key(content, "wrong")
    except WrongPassphraseError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert odd.seed.hex() not in shown
    assert "\\xc8\\xc9\\xca" not in shown


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content * 2,
        lambda content: content.replace(b"M", b"!", 1),
    ],
)
def test_no_local_variable_shows_a_damaged_plain_key(tmp_path, damage):
    """
    A key file that is only a little damaged still holds the key: no frame of ours shows it.
    """
    odd = KeyPair.from_seed(bytes(range(200, 232)))
    path = tmp_path / "identity.key"
    path.write_bytes(damage(encode_plain(odd)))
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_key_file(path)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(frames.format())
    assert "content = <secret" in shown
    assert base64.b64encode(odd.seed)[4:30].decode() not in shown
    assert encode_plain(odd).split(b"\n")[1][30:60].decode() not in shown


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


def test_a_plain_key_opens_without_the_slow_library(tmp_path):
    """
    Starting a node stays quick: `cryptography` is loaded only where it is needed.
    """
    save_key_file(tmp_path / "identity.key", ALICE)
    program = (
        "import sys, pathlib; from kontinuum.identity import load_key_file;"
        f"load_key_file(pathlib.Path({str(tmp_path / 'identity.key')!r}));"
        "print([name for name in sys.modules if name.startswith('cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.strip() == b"[]"


def test_our_bytes_are_those_of_another_implementation():
    """
    The fixed PKCS#8 header is what the cryptography library writes.
    """
    theirs = ed25519.Ed25519PrivateKey.from_private_bytes(ALICE.seed)

    assert theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) == PLAIN
    assert theirs.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == ALICE.peer_id
