"""A key in its file: it comes back, it is private, it is never overwritten, others read it too."""

import os
import shutil
import stat
import subprocess
import sys
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from helpers.identities import ALICE, BOB, vectors
from helpers.key_files import CHEAP, ENTROPY, PLAIN, PROTECTED, body_of
from kontinuum.base import AlreadyExistsError, FileTooLargeError, FileUnavailableError, NotPrivateError
from kontinuum.base.errors import NotAFileError
from kontinuum.identity import EmptyKeyFileError, load_key_file, save_key_file
from kontinuum.identity.key_file import decode_key
from kontinuum.wire.limits import KEY_FILE_BYTES_MAX


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


def test_an_existing_key_is_never_overwritten(tmp_path):
    """
    Losing a key is losing an identity: saving refuses, and the old key is untouched.
    """
    path = tmp_path / "identity.key"
    save_key_file(path, ALICE)
    with pytest.raises(AlreadyExistsError, match="not overwritten"):
        save_key_file(path, BOB)
    assert load_key_file(path).peer_id == ALICE.peer_id


def test_windows_line_ends_and_blanks_do_not_matter():
    """
    A file that went through an editor or a mail still opens.
    """
    assert decode_key(b"\n" + PLAIN.replace(b"\n", b" \r\n") + b"\n\n").peer_id == ALICE.peer_id
    assert decode_key(PROTECTED.replace(b"\n", b"\r\n"), "sesame").peer_id == ALICE.peer_id


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
