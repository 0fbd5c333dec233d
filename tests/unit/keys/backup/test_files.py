"""The age file and the page of paper; and whatever somebody brings, told apart."""

import datetime as dt
import os
import pty
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
import segno

from kontinuum.base import MisuseError
from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity import KeyFileError, Secret
from kontinuum.identity.errors import DamagedKeyFileError, TruncatedKeyFileError, WrongPassphraseError
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost
from kontinuum.keys.backup.errors import (
    BackupError,
    NotABackupError,
    TooFewSharesError,
    WordCountError,
    WrongBackupError,
)
from kontinuum.keys.backup.file import BACKUP_FILE_BYTES_MAX, open_backup, seal_backup
from kontinuum.keys.backup.reading import PIECE_BYTES_MAX, BackupForm, read_backup, texts_in
from kontinuum.keys.backup.roots import ShortSeed, public_of
from kontinuum.keys.backup.shares import Group, split_root
from kontinuum.keys.backup.sheet import SHEET_WORDS_MAX, TITLE_CHARS_MAX, Sheet
from kontinuum.keys.backup.sheet_svg import svg_page
from kontinuum.keys.backup.words import phrase_of
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.envelope import Passphrase, X25519Key, decode_armor, encode_armor, seal_age
from kontinuum.keys.keystore import ByPassphrase, Unprotected, encode_store

ROOT = RootSeed(bytes(range(32)))
SHORT = ShortSeed(bytes(range(16)))
WORK = 2
CHEAP = Argon2Cost(memory_kib=ARGON2_MEMORY_KIB_MIN, iterations=1, lanes=1)
FILE = seal_backup(ROOT, "sesame", entropy=SystemEntropy(), work=WORK)
SHARES = split_root(ROOT, [Group(2, 3)], entropy=SystemEntropy())[0]
NOON = dt.date(2026, 1, 2)


def sealed(text):
    """Another age file of the same passphrase."""
    return b"".join(seal_age([Passphrase("sesame", work=WORK)], [text.encode()], entropy=SystemEntropy()))


def never():
    """A passphrase that nothing needs."""
    raise AssertionError("nothing here has a passphrase")


@pytest.mark.parametrize("root", [ROOT, SHORT], ids=["24", "12"])
def test_a_file_gives_its_root_back(root):
    """
    In the text form and in the binary one.
    """
    data = seal_backup(root, "sesame", entropy=SystemEntropy(), work=WORK)

    assert open_backup(data, "sesame") == root
    assert open_backup(decode_armor(data), "sesame") == root
    assert phrase_of(root).encode() not in data


def test_what_can_be_wrong_with_a_file_is_told_apart():
    """
    Wrong passphrase, cut off, damaged, and something else: four errors.
    """
    with pytest.raises(WrongPassphraseError):
        open_backup(FILE, "sesam")
    for length in range(40, len(FILE) - 30, 97):
        with pytest.raises(TruncatedKeyFileError):
            open_backup(FILE[:length], "sesame")
    binary = decode_armor(FILE)
    for length in (30, 100, 180):
        with pytest.raises(TruncatedKeyFileError):
            open_backup(binary[:length], "sesame")
    with pytest.raises(
        DamagedKeyFileError, match="or cut off"
    ):  # age's binary form cannot tell, within a chunk.
        open_backup(binary[:-1], "sesame")
    with pytest.raises(DamagedKeyFileError):
        open_backup(encode_armor(binary[:-5] + bytes([binary[-5] ^ 1]) + binary[-4:]), "sesame")
    for other in (b"", b"hello", encode_armor(b"hello")):
        with pytest.raises(NotABackupError):
            open_backup(other, "sesame")
    with pytest.raises(NotABackupError):
        open_backup(FILE + b" " * BACKUP_FILE_BYTES_MAX, "sesame")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a letter to Bob",
        "\n".join([f"# root {public_of(SHORT).hex()}", phrase_of(ROOT)]),
    ],
    ids=["nothing", "a letter", "words of another root"],
)
def test_another_file_of_the_same_passphrase_is_no_backup(text):
    """
    What opens is read warily: the words must make the root that the file names.
    """
    with pytest.raises(NotABackupError, match="holds no backup"):
        open_backup(sealed(text), "sesame")


def test_a_file_that_was_sealed_to_a_key_is_no_backup_of_a_passphrase():
    """
    Nobody is told that the passphrase is wrong in a way that is no error of ours.
    """
    key = X25519Key(Secret(b"k" * 32))
    data = b"".join(seal_age([key.recipient], [b"words"], entropy=SystemEntropy()))
    with pytest.raises((KeyFileError, BackupError)):
        open_backup(data, "sesame")


def test_the_age_program_opens_the_file_and_shows_the_words(tmp_path):
    """
    With nothing but Debian's ``age`` and the passphrase, typed at a terminal, the words come back.
    """
    if (age := shutil.which("age")) is None:
        pytest.skip("age is not installed")
    path = tmp_path / "root.age"
    path.write_bytes(FILE)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", age, "--decrypt", path], stdin=theirs, stdout=subprocess.PIPE
    ) as program:
        os.write(ours, b"sesame\n")
        words, _ = program.communicate(timeout=20)
    os.close(ours)
    os.close(theirs)

    assert phrase_of(ROOT) in words.decode()
    assert f"# root {public_of(ROOT).hex()}" in words.decode()


def test_a_page_has_every_word_and_a_code_of_them():
    """
    The words in order with their numbers, and a QR code that says the same.
    """
    words = tuple(SHARES[0].split())
    sheet = Sheet("Share 1 of 3 <&>", words, bytes(public_of(ROOT)), NOON, notes=("keep it dry",))
    page = svg_page(sheet)
    tree = ET.fromstring(page)  # noqa: S314 -- ours
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]

    assert [text for text in texts if text in words or text.isdigit()] == [
        text for number, word in enumerate(words, start=1) for text in (str(number), word)
    ]
    assert texts[0] == "Share 1 of 3 <&>"
    assert "2026-01-02" in texts[1]
    assert public_of(ROOT).hex()[:4] in texts[1]
    assert "keep it dry" in texts
    matrix = segno.make_qr(" ".join(words), error="m").matrix
    squares = set(re.findall(r"M(\d+) (\d+)h1v1h-1z", page))
    assert squares == {
        (str(column), str(row)) for row, line in enumerate(matrix) for column, dark in enumerate(line) if dark
    }


def test_a_page_needs_no_network_and_no_font():
    """
    No link, no script, no style: what is printed is what is in the file.
    """
    page = svg_page(Sheet("Root", tuple(phrase_of(ROOT).split()), bytes(public_of(ROOT)), NOON))

    assert not re.search(r"href|<script|<style|@import|url\(|<image", page)
    assert page.count("http") == 1  # The name of SVG's own namespace.


def test_what_fits_on_a_page():
    """
    At the limits it is made, beyond them refused.
    """
    Sheet("t" * TITLE_CHARS_MAX, ("zoo",) * SHEET_WORDS_MAX, b"", NOON)
    for title, words in (("t" * (TITLE_CHARS_MAX + 1), ("zoo",)), ("t", ()), ("t", ("zoo",) * 37)):
        with pytest.raises(MisuseError):
            Sheet(title, words, b"", NOON)


@pytest.mark.parametrize(
    ("form", "pieces"),
    [
        (BackupForm.WORDS, [phrase_of(ROOT).encode()]),
        (BackupForm.WORDS, ["\n".join(phrase_of(ROOT).split()).encode()]),
        (BackupForm.WORDS, [b"# my words\n\n" + phrase_of(ROOT).encode() + b"\n"]),
        (BackupForm.SHARES, [share.encode() for share in SHARES[:2]]),
        (BackupForm.SHARES, ["\n".join(SHARES[1:]).encode()]),
        (BackupForm.SHARES, ["\n\n".join("\n".join(share.split()) for share in SHARES[1:]).encode()]),
        (BackupForm.SHARES, [b"# share 1 of 3\n" + SHARES[0].encode(), SHARES[2].encode()]),
        (BackupForm.AGE, [FILE]),
        (BackupForm.STORE, [encode_store(ROOT, ByPassphrase("sesame", CHEAP), entropy=SystemEntropy())]),
        (BackupForm.STORE, [encode_store(ROOT, Unprotected(), entropy=SystemEntropy())]),
    ],
)
def test_whatever_is_brought_is_told_apart(form, pieces):
    """
    Nobody is asked what it is.
    """
    read = read_backup(pieces, expected=public_of(ROOT), passphrase=lambda: "sesame")

    assert (read.root, read.form) == (ROOT, form)
    assert read.pieces == (2 if form is BackupForm.SHARES else 1)


def test_the_rehearsal_tells_a_backup_of_another_root():
    """
    Whole, readable, and of the wrong root: that is its own error, which names both.
    """
    for pieces in ([phrase_of(SHORT).encode()], [FILE]):
        other = public_of(RootSeed(b"o" * 32))
        with pytest.raises(WrongBackupError, match="another root") as caught:
            read_backup(pieces, expected=other, passphrase=lambda: "sesame")
        assert caught.value.expected == other


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([], NotABackupError),
        ([b""], NotABackupError),
        ([b"# nothing\n"], NotABackupError),
        ([b"\xff\xfe"], NotABackupError),
        ([b"x" * (PIECE_BYTES_MAX + 1)], NotABackupError),
        ([b"hello"], WordCountError),
        ([phrase_of(ROOT).encode()] * 2, NotABackupError),
        ([phrase_of(ROOT).encode(), SHARES[0].encode()], NotABackupError),
        ([SHARES[0].encode()], TooFewSharesError),
        ([FILE, SHARES[0].encode()], NotABackupError),
        (
            [encode_store(ROOT.cluster().epoch(0), Unprotected(), entropy=SystemEntropy())],
            NotABackupError,
        ),
    ],
)
def test_what_is_no_backup(pieces, error):
    """
    Each with its own words.
    """
    with pytest.raises(error):
        read_backup(pieces, passphrase=never)


def test_shares_on_lines_and_in_paragraphs():
    """
    A line that is long enough is one; else words belong together until an empty line.
    """
    assert texts_in(b"a " * 12) == ("a " * 12,)
    assert texts_in(b"a\nb\n\nc\nd\n") == ("a b", "c d")
    assert texts_in(b"\n\n") == ()
