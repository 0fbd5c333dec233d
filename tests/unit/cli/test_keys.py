"""``kontinuum keys``: make, write down, rehearse, restore; secrets nowhere but where they were asked for."""

import io
import json
import os
import stat
import sys
from itertools import pairwise

import pytest

from helpers.keys import Family, later
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.cli.main import run
from kontinuum.identity import key_file
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN
from kontinuum.keys import keystore
from kontinuum.keys.backup.roots import ShortSeed
from kontinuum.keys.backup.words import phrase_of
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import bundles
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.envelope import passphrase as envelope_passphrase

ROOT = RootSeed(bytes(range(32)))
PHRASE = phrase_of(ROOT)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty directory, no passphrase in the environment, no terminal, and cheap stretching."""
    for name in list(os.environ):
        if name.startswith("KONTINUUM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(key_file.Argon2Cost.__init__, "__defaults__", (ARGON2_MEMORY_KIB_MIN, 1, 1))
    monkeypatch.setattr(envelope_passphrase, "SCRYPT_WORK", 2)
    return tmp_path


@pytest.fixture
def ask(capsys):
    """Run a command with ``--json``; its exit code and the object that it wrote."""

    def ask(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        captured = capsys.readouterr()
        assert captured.err == ""
        lines = captured.out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0])

    return ask


@pytest.fixture
def store(home):
    """A key store without a passphrase, of a root that the tests know."""
    path = home / "root.keys"
    keystore.create_store(path, ROOT, keystore.Unprotected(), entropy=None)
    return path


@pytest.fixture
def words(home):
    """The phrase in a file."""
    path = home / "words.txt"
    path.write_text(PHRASE)
    return path


def descriptor(secret):
    """A pipe with a secret in it, as a shell's ``3<<<`` makes one."""
    ours, theirs = os.pipe()
    os.write(theirs, secret.encode())
    os.close(theirs)
    return f"fd:{ours}"


def test_a_root_is_made_shown_and_opened(ask, home, monkeypatch):
    """
    A new file, 0600, which the passphrase of the environment opens; nothing shows the secret.
    """
    monkeypatch.setenv("KONTINUUM_PASSPHRASE", "sesame")
    code, made = ask("keys", "new-root", "root.keys")
    assert (code, tuple(made)) == (Exit.OK, schema.RESULTS["keys new-root"])
    assert (made["words"], made["protected"]) == (24, True)
    assert stat.S_IMODE((home / "root.keys").stat().st_mode) == 0o600

    code, shown = ask("keys", "show", "root.keys")
    assert (code, tuple(shown)) == (Exit.OK, schema.RESULTS["keys show"])
    assert (shown["kind"], shown["public"], shown["previous"]) == ("root", made["root"], None)
    root = keystore.load_store(home / "root.keys").open("sesame")
    assert isinstance(root, RootSeed)
    assert root.expose().hex() not in json.dumps([made, shown])


def test_a_root_of_twelve_words(ask, home):
    """
    Shorter to write down, and another kind of secret.
    """
    code, made = ask("keys", "new-root", "root.keys", "--words", "12", "--unprotected")
    assert (code, made["words"], made["protected"]) == (Exit.OK, 12, False)
    root = keystore.load_store(home / "root.keys").open()
    assert isinstance(root, ShortSeed)
    assert ask("keys", "backup", "root.keys", "--as", "words", "--to", "-")[1]["texts"] == [phrase_of(root)]


def test_nobody_is_asked_without_a_terminal(ask, store):
    """
    A passphrase, or words, that cannot be asked for are an error that names the ways to give them.
    """
    code, answer = ask("keys", "new-root", "new.keys")
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "passphrase")
    code, answer = ask("keys", "verify-backup", store)
    assert (code, answer["error"]["hint"][:6]) == (Exit.MISUSE, "--from")
    code, answer = ask("keys", "backup", store, "--as", "age", "--to", "root.age")
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "passphrase")
    assert "--backup-passphrase-source" in answer["error"]["hint"]


def test_nothing_is_overwritten(ask, store, words, home):
    """
    Neither a key store, nor a backup, nor a directory of shares; and nobody is asked before that is told.
    """
    before = store.read_bytes()
    (home / "shares").mkdir()
    for arguments in (
        ("new-root", store),
        ("restore", store, "--from", words),
        ("backup", store, "--as", "words", "--to", words),
        ("backup", store, "--as", "shares", "--group", "2of3", "--to", "shares"),
    ):
        code, answer = ask("keys", *arguments)
        assert (code, answer["error"]["code"]) == (Exit.MISUSE, "already_exists")
    assert store.read_bytes() == before
    assert words.read_text() == PHRASE


def test_a_passphrase_is_changed(ask, store, home):
    """
    The new one opens the file, the old file stays beside it until forgotten; a wrong one changes nothing.
    """
    change = ("keys", "passphrase", store, "--new-passphrase-source")
    code, changed = ask(*change, descriptor("first"))
    assert (code, tuple(changed)) == (Exit.OK, schema.RESULTS["keys passphrase"])
    assert changed["previous"] == str(store) + ".previous"
    assert keystore.load_store(home / "root.keys.previous").open() == ROOT
    assert ask("keys", "show", store)[1]["previous"] == changed["previous"]

    before = store.read_bytes()
    code, answer = ask(*change, descriptor("second"), "--passphrase-source", descriptor("frist"))
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "wrong_passphrase")
    assert store.read_bytes() == before
    code, changed = ask(*change, descriptor("second"), "--passphrase-source", descriptor("first"), "--forget")
    assert (code, changed["protected"], changed["previous"]) == (Exit.OK, True, None)
    assert keystore.load_store(store).open("second") == ROOT
    assert [path.name for path in home.iterdir()] == [store.name]


def test_words_are_written_rehearsed_and_restored(ask, store, home):
    """
    The whole way, with the public key as what must come out.
    """
    code, written = ask("keys", "backup", store, "--as", "words", "--to", "words.txt")
    assert (code, tuple(written)) == (Exit.OK, schema.RESULTS["keys backup"])
    assert (home / "words.txt").read_text() == PHRASE + "\n"
    assert stat.S_IMODE((home / "words.txt").stat().st_mode) == 0o600

    before = sorted(home.iterdir())
    for root in (store, written["root"]):
        code, rehearsed = ask("keys", "verify-backup", root, "--from", "words.txt")
        assert (code, tuple(rehearsed)) == (Exit.OK, schema.RESULTS["keys verify-backup"])
        assert rehearsed == {"ok": True, "root": written["root"], "form": "words", "pieces": 1}
    assert sorted(home.iterdir()) == before

    code, restored = ask(
        "keys", "restore", "again.keys", "--from", "words.txt", "--root", written["root"], "--unprotected"
    )
    assert (code, tuple(restored)) == (Exit.OK, schema.RESULTS["keys restore"])
    assert keystore.load_store(home / "again.keys").open() == ROOT


def test_shares_are_a_file_each(ask, store, home):
    """
    A directory of our own, 0700; any two give the root back, one says how many are missing.
    """
    code, written = ask("keys", "backup", store, "--as", "shares", "--group", "2of3", "--to", "shares")
    assert code == Exit.OK
    assert stat.S_IMODE((home / "shares").stat().st_mode) == 0o700
    first, second, _ = written["files"]
    assert first == "shares/share-1-of-3-needs-2.txt"

    code, rehearsed = ask("keys", "verify-backup", store, "--from", first, "--from", second)
    assert (code, rehearsed["form"], rehearsed["pieces"]) == (Exit.OK, "shares", 2)
    code, answer = ask("keys", "verify-backup", store, "--from", first)
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "too_few_shares")
    assert "1 of 2" in answer["error"]["message"]
    code, answer = ask("keys", "verify-backup", store, "--from", first, "--from", first)
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "repeated_share")
    other = ask("keys", "backup", store, "--as", "shares", "--group", "2/3", "--to", "others")[1]
    code, answer = ask("keys", "verify-backup", store, "--from", first, "--from", other["files"][1])
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "mixed_shares")


def test_shares_of_several_groups(ask, store):
    """
    Names and titles say which group a share belongs to.
    """
    groups = ("--group", "2of3", "--group", "1of1", "--groups-needed", "2")
    code, written = ask("keys", "backup", store, "--as", "shares", *groups, "--to", "-")
    assert (code, len(written["texts"])) == (Exit.OK, 4)
    assert written["texts"][0].startswith("# Group 1, share 1 of 3, needs 2\n")
    source = descriptor("\n\n".join(written["texts"]))
    assert ask("keys", "verify-backup", store, "--from", source)[1]["pieces"] == 4
    code, written = ask("keys", "backup", store, "--as", "share-sheets", *groups, "--to", "sheets")
    assert written["files"][3] == "sheets/group-2-share-1-of-1-needs-1.svg"


def test_sheets_hold_the_words(ask, store, home):
    """
    A page for the root, and one for each share.
    """
    assert ask("keys", "backup", store, "--as", "sheet", "--to", "root.svg")[0] == Exit.OK
    page = (home / "root.svg").read_text()
    assert all(f">{word}</text>" in page for word in PHRASE.split())
    ask("keys", "backup", store, "--as", "share-sheets", "--group", "2of2", "--to", "sheets")
    page = (home / "sheets" / "share-1-of-2-needs-2.svg").read_text()
    assert "Share 1 of 2, needs 2" in page
    assert "alone gives nothing away" in page
    ask("keys", "backup", store, "--as", "share-sheets", "--group", "1of1", "--to", "only")
    page = (home / "only" / "share-1-of-1-needs-1.svg").read_text()
    assert "alone gives nothing away" not in page
    assert "owns every key" in page
    groups = ("--group", "2of2", "--group", "2of3", "--groups-needed", "2")
    written = ask("keys", "backup", store, "--as", "share-sheets", *groups, "--to", "groups")[1]
    assert "It takes 2 of 2 groups" in (home / written["files"][0]).read_text()


def test_sheets_as_pdf(ask, store, home):
    """
    By the file's name, or asked for; private like every other form, and with the words in it.
    """
    code, written = ask("keys", "backup", store, "--as", "sheet", "--to", "root.PDF")
    assert (code, written["files"], "texts" in written) == (Exit.OK, ["root.PDF"], False)
    assert stat.S_IMODE((home / "root.PDF").stat().st_mode) == 0o600
    page = (home / "root.PDF").read_bytes()
    assert page.startswith(b"%PDF-")
    assert all(f"({word}) Tj".encode() in page for word in PHRASE.split())
    assert ask("keys", "backup", store, "--as", "sheet", "--to", "page", "--pdf")[0] == Exit.OK
    assert (home / "page").read_bytes() == page
    written = ask(
        "keys", "backup", store, "--as", "share-sheets", "--group", "2of2", "--to", "pages", "--pdf"
    )[1]
    assert written["files"] == [f"pages/share-{number}-of-2-needs-2.pdf" for number in (1, 2)]
    assert b"(Share 2 of 2, needs 2) Tj" in (home / written["files"][1]).read_bytes()


@pytest.mark.parametrize("form", ["age", "store"])
def test_a_file_has_a_passphrase_of_its_own(ask, store, home, form):
    """
    It is rehearsed with that one; another one is a failed check, and says that it is the passphrase.
    """
    source = "--backup-passphrase-source"
    code, written = ask("keys", "backup", store, "--as", form, "--to", "file", source, descriptor("open\n"))
    assert (code, written["files"]) == (Exit.OK, ["file"])
    assert PHRASE not in (home / "file").read_bytes().decode(errors="replace")
    verify = ("keys", "verify-backup", store, "--from", "file", source)
    assert ask(*verify, descriptor("open"))[1]["form"] == form
    code, answer = ask(*verify, descriptor("opem"))
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "wrong_passphrase")
    (home / "file").write_bytes((home / "file").read_bytes()[:-60])
    code, answer = ask(*verify, descriptor("open"))
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "truncated_key_file")


def test_a_backup_comes_from_a_descriptor_or_standard_input(ask, store):
    """
    Nothing secret needs a file or a command line.
    """
    assert ask("keys", "verify-backup", store, "--from", descriptor(PHRASE))[0] == Exit.OK
    ours, theirs = os.pipe()
    os.write(theirs, PHRASE.upper().encode())
    os.close(theirs)
    kept = os.dup(0)
    os.dup2(ours, 0)
    try:
        assert ask("keys", "verify-backup", store, "--from", "-")[0] == Exit.OK
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(ours)


def test_a_backup_of_another_root_fails_the_rehearsal(ask, store, home):
    """
    It is whole, and of no use here; nothing is restored either, when the root is named.
    """
    (home / "other.txt").write_text(phrase_of(RootSeed(b"o" * 32)))
    code, answer = ask("keys", "verify-backup", store, "--from", "other.txt")
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "wrong_backup")
    public = keystore.load_store(store).public.hex()
    code, answer = ask("keys", "restore", "new", "--from", "other.txt", "--root", public, "--unprotected")
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "wrong_backup")
    assert not (home / "new").exists()


def test_a_wrong_word_is_found_without_showing_the_right_one(ask, store, home):
    """
    The rehearsal says which word of the paper is wrong; a mistyped one gets suggestions.
    """
    words = PHRASE.split()
    (home / "wrong.txt").write_text(" ".join([*words[:6], "zoo", *words[7:]]))
    code, answer = ask("keys", "verify-backup", store, "--from", "wrong.txt")
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "word_checksum")
    assert "word 7 " in answer["error"]["message"]
    assert words[6] not in answer["error"]["message"]
    (home / "typo.txt").write_text(" ".join(["abondon", *words[1:]]))
    code, answer = ask("keys", "verify-backup", store, "--from", "typo.txt")
    assert (code, answer["error"]["code"]) == (Exit.FAILURE, "unknown_words")
    assert "did you mean abandon?" in answer["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("backup", "root.keys", "--as", "words"),
        ("backup", "root.keys", "--as", "sheet"),
        ("backup", "root.keys", "--as", "shares", "--to", "-"),
        ("backup", "root.keys", "--as", "sheet", "--pdf", "--to", "-"),
        ("backup", "root.keys", "--as", "words", "--pdf", "--to", "words.pdf"),
        ("backup", "root.keys", "--as", "words", "--group", "2of3", "--to", "-"),
        ("backup", "root.keys", "--as", "shares", "--group", "2of", "--to", "-"),
        ("backup", "root.keys", "--as", "shares", "--group", "3of2", "--to", "-"),
        ("backup", "root.keys", "--as", "shares", "--group", "1of3", "--to", "-"),
        ("backup", "root.keys", "--as", "age", "--to", "f", "--backup-passphrase-source", "fd:x"),
        ("new-root", "new.keys", "--words", "18"),
        ("new-root", "new.keys", "--passphrase-source", "credential:../x"),
        ("new-root", "new.keys", "--passphrase-source", "keyring:kontinuum"),
        ("restore", "new.keys", "--from", "root.keys", "--root", "abc"),
        ("explain", "/3"),
        ("explain", "/3.0", "--bundle", "root.keys"),
        ("explain", "/3.0", "--genesis", "root.keys"),
    ],
)
def test_what_cannot_be_done_is_misuse(ask, store, arguments):
    """
    Said in one line, before anything is written.
    """
    code, answer = ask("keys", *arguments)
    assert code == Exit.MISUSE, answer
    assert answer["error"]["code"] != "internal"
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_only_a_root_is_backed_up(ask, home):
    """
    A branch or an epoch comes back with its root.
    """
    path = home / "epoch.keys"
    keystore.create_store(path, ROOT.cluster().epoch(0), keystore.Unprotected(), entropy=None)
    for arguments in (("backup", path, "--as", "words", "--to", "-"), ("verify-backup", path)):
        code, answer = ask("keys", *arguments)
        assert (code, answer["error"]["code"]) == (Exit.MISUSE, "not_a_root")


def test_explain_says_who_can_do_what(ask, store):
    """
    By the rules alone, and as a chain has it: a parent out of use revokes nothing, and still decrypts.
    """
    code, told = ask("keys", "explain", "/3.0/1.2@7:signing")
    assert (code, tuple(told)) == (Exit.OK, schema.RESULTS["keys explain"])
    assert [power["path"] for power in told["powers"]] == ["/", "/3.0", "/3.0/1.2"]
    assert all(power["derives"] and power["living"] is None for power in told["powers"])
    assert (told["kind"], told["chain"]) == ("epoch", False)
    told = ask("keys", "explain", store)[1]
    assert (told["kind"], told["powers"]) == ("root", [])


def test_explain_knows_the_chain(ask, home):
    """
    With genesis and statements, labels and who is out of use are told.
    """
    family = Family()
    path = family.server.branch.path
    family.author(family.root).revoke(path, Scope.BRANCH, later(1))
    (home / "genesis").write_bytes(family.chain.genesis.encode())
    (home / "bundle").write_bytes(b"".join(bundles(family.chain)))
    code, told = ask("keys", "explain", str(path), "--genesis", "genesis", "--bundle", "bundle")

    assert (code, told["chain"]) == (Exit.OK, True)
    assert [(power["path"], power["living"], power["revokes"]) for power in told["powers"]][-1] == (
        str(path),
        False,
        False,
    )
    assert told["powers"][0]["living"] is True


def test_for_people(store, words, capsys):
    """
    Results on standard output, advice on standard error, and no secret in either unless it was asked for.
    """
    assert run(["keys", "show", str(store)]) == Exit.OK
    assert run(["keys", "verify-backup", str(store), "--from", str(words)]) == Exit.OK
    assert run(["keys", "explain", "/3.0"]) == Exit.OK
    assert run(["keys", "explain", str(store)]) == Exit.OK
    captured = capsys.readouterr()
    assert "gives the root" in captured.out
    assert "takes it out of use" in captured.out
    assert "NOT, but for the file's mode" in captured.out
    words_of = PHRASE.split()
    assert not any(f"{one} {two}" in captured.out + captured.err for one, two in pairwise(words_of))
    assert run(["keys", "backup", str(store), "--as", "words", "--to", "-"]) == Exit.OK
    captured = capsys.readouterr()
    assert captured.out == PHRASE + "\n"
    assert "read back and compared" in captured.err
