"""Other implementations of age and we open each other's files: Debian's program, the Rust and Go ones."""

import shutil
import subprocess

import pyrage
import pytest

from helpers.envelopes import ALICE, BOB, CAROL, CONTEXT, ENTROPY, HYBRID, PARENT, READERS, SEALING
from helpers.go_programs import go_program
from kontinuum.keys.envelope import (
    Passphrase,
    Reader,
    decode_armor,
    encode_armor,
    encode_key_file,
    open_age,
    open_file,
    parse_key,
    parse_recipient,
    seal_age,
    seal_bytes,
    seal_file,
    seal_stream,
    to_age,
)
from kontinuum.keys.envelope.stream import CHUNK_BYTES

RUN_S = 60
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]
pytestmark = pytest.mark.slow


def content(size):
    """Bytes that differ from chunk to chunk."""
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


def opened(keys, sealed):
    """What a plain age file holds."""
    return b"".join(open_age(keys, [sealed]))


def run(command, data=b""):
    """Run a program of age; its standard output."""
    done = subprocess.run(
        [str(word) for word in command], input=data, capture_output=True, check=False, timeout=RUN_S
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# --- the program of Debian's package ``age`` ---


@pytest.fixture
def age():
    """The program ``age``; ``.ci/run`` installs it."""
    program = shutil.which("age")
    if program is None:
        pytest.skip("the program age is not installed (Debian: apt-get install age)")
    return program


@pytest.fixture
def key_file(tmp_path):
    """Bob's key as it is exported."""
    path = tmp_path / "bob.key"
    path.write_bytes(encode_key_file(BOB, "a test"))
    return path


@pytest.mark.parametrize("size", SIZES)
def test_the_age_program_opens_what_we_seal(age, key_file, tmp_path, size):
    """
    A signed object, in memory and as a file, and a signed stream without its signatures.
    """
    (tmp_path / "a").write_bytes(content(size))
    seal_file(READERS, tmp_path / "a", tmp_path / "b", **SEALING)

    assert run([age, "--decrypt", "-i", key_file, tmp_path / "b"]) == content(size)
    sealed = seal_bytes(READERS, content(size), **SEALING)
    assert run([age, "--decrypt", "-i", key_file], sealed) == content(size)
    assert run([age, "--decrypt", "-i", key_file], encode_armor(sealed)) == content(size)
    stream = to_age(b"".join(seal_stream(READERS, [content(size)], **SEALING)))
    assert run([age, "--decrypt", "-i", key_file], stream) == content(size)


def test_the_age_program_opens_for_an_ancestor_and_not_for_others(age, tmp_path):
    """
    Each listed reader, and nobody else.
    """
    sealed = seal_bytes(READERS, b"content", **SEALING)
    (tmp_path / "key").write_bytes(encode_key_file(PARENT))
    assert run([age, "--decrypt", "-i", tmp_path / "key"], sealed) == b"content"

    (tmp_path / "key").write_bytes(encode_key_file(CAROL))
    done = subprocess.run(
        [age, "--decrypt", "-i", tmp_path / "key"], input=sealed, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"no identity matched" in done.stderr


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_the_age_program_seals(age, size):
    """
    Binary and text, one recipient and two.
    """
    to_both = [age, "-r", BOB.recipient.to_text(), "-r", PARENT.recipient.to_text()]

    assert opened([PARENT], run(to_both, content(size))) == content(size)
    armored = run([*to_both, "--armor"], content(size))
    assert opened([BOB], decode_armor(armored)) == content(size)
    assert encode_armor(decode_armor(armored)) == armored


def test_the_age_programs_keys_are_ours(age, tmp_path):
    """
    A key that ``age-keygen`` made, its recipient, and what is sealed to that.
    """
    assert age
    text = run(["age-keygen"]).decode()
    key = parse_key(text.splitlines()[-1])

    assert key.recipient.to_text() in text
    (tmp_path / "a").write_bytes(b"content")
    seal_file([Reader(key.recipient)], tmp_path / "a", tmp_path / "b", **SEALING)
    assert open_file([key], tmp_path / "b", tmp_path / "c", context=CONTEXT, senders=[ALICE.peer_id])


# --- the Rust library, as pyrage ---


RUST_BOB = pyrage.x25519.Identity.from_str(BOB.to_text().decode("ascii"))


@pytest.mark.parametrize("size", SIZES)
def test_the_rust_library_and_we_open_each_others_files(size):
    """
    X25519, both ways.
    """
    assert pyrage.decrypt(seal_bytes(READERS, content(size), **SEALING), [RUST_BOB]) == content(size)
    assert opened([BOB], pyrage.encrypt(content(size), [RUST_BOB.to_public()])) == content(size)


def test_the_rust_library_and_we_agree_about_passphrases():
    """
    Scrypt, both ways.
    """
    sealed = b"".join(seal_age([Passphrase("sesame", work=10)], [b"content"], entropy=ENTROPY))

    assert pyrage.passphrase.decrypt(sealed, "sesame") == b"content"
    assert opened([Passphrase("sesame")], pyrage.passphrase.encrypt(b"content", "sesame")) == b"content"


def test_the_rust_library_skips_its_own_grease_and_our_claim():
    """
    Stanzas that nobody knows are skipped: theirs by us, ours by them.
    """
    for _ in range(20):  # Each of its files has grease or not, by chance.
        assert opened([BOB], pyrage.encrypt(b"content", [RUST_BOB.to_public()])) == b"content"


# --- the Go library, the reference, for post-quantum recipients ---


@pytest.fixture(scope="module")
def go_age():
    """A program of the Go library, built here."""
    return go_program("age")


@pytest.mark.parametrize("size", SIZES)
def test_the_go_library_and_we_open_each_others_post_quantum_files(go_age, size):
    """
    ML-KEM-768 with X25519, both ways, with claim and without.
    """
    key = HYBRID.to_text().decode("ascii")
    sealed = seal_bytes([Reader(HYBRID.recipient)], content(size), **SEALING)

    assert run([go_age, "open", key], sealed) == content(size)
    sealed = run([go_age, "seal", HYBRID.recipient.to_text()], content(size))
    assert opened([HYBRID], sealed) == content(size)


def test_the_go_librarys_post_quantum_keys_are_ours(go_age):
    """
    The text of a key that it makes gives the recipient that it shows.
    """
    key, recipient = run([go_age, "keygen"]).decode().split()

    assert parse_key(key).recipient.to_text() == recipient
    assert parse_recipient(recipient) == parse_key(key).recipient


def test_the_go_library_opens_signed_x25519_files(go_age):
    """
    The newest reference skips our claim as the older program does.
    """
    sealed = seal_bytes(READERS, content(200_000), **SEALING)

    assert run([go_age, "open", BOB.to_text().decode("ascii")], sealed) == content(200_000)
