"""``kontinuum vault``, ``seal`` and ``open``: offline, with JSON, exit codes, and nothing overwritten."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from kontinuum.base.entropy import SystemEntropy
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.cli.main import run
from kontinuum.identity import KeyPair, Secret, save_key_file
from kontinuum.keys.envelope import (
    HybridKey,
    X25519Key,
    encode_armor,
    encode_key_file,
    open_age,
    parse_key_file,
    seal_age,
)

BOB = X25519Key(Secret(b"b" * 32))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory with a node in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in list(os.environ):
        if name.startswith("KONTINUUM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    assert run(["node", "init"]) == Exit.OK
    return tmp_path


@pytest.fixture
def ask(capsys):
    """Run a command with ``--json``; its exit code and the object that it wrote."""

    def ask(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0])

    return ask


@pytest.fixture
def say(capsys):
    """Run a command for people; its exit code, standard output and standard error."""

    def say(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return say


@pytest.fixture
def letter(home):
    """A file."""
    path = home / "letter.txt"
    path.write_bytes(b"Dear Bob. " * 10_000)
    return path


def file_of(home, object_id):
    """Where an object lies."""
    return home / "data/kontinuum/vault/objects" / object_id[:2] / f"{object_id}.age"


def test_a_file_goes_in_and_comes_out(home, ask, letter):
    """
    Put, list, get, delete: each with exactly the documented keys.
    """
    (home / "other").write_bytes(b"")
    code, put = ask("vault", "put", letter, "other")
    assert (code, tuple(put)) == (Exit.OK, schema.RESULTS["vault put"])
    assert [entry["name"] for entry in put["objects"]] == ["letter.txt", "other"]
    assert {frozenset(entry) for entry in put["objects"]} == {frozenset(schema.VAULT_OBJECT)}
    object_id = put["objects"][0]["object_id"]

    code, listed = ask("vault", "list")
    assert (code, tuple(listed)) == (Exit.OK, schema.RESULTS["vault list"])
    assert listed["objects"] == put["objects"]
    assert tuple(listed["objects"][0]) == schema.VAULT_OBJECT
    assert listed["bytes"] == put["bytes"] > 100_000

    code, got = ask("vault", "get", object_id[:8], "--to", "copy")
    assert (code, tuple(got)) == (Exit.OK, schema.RESULTS["vault get"])
    assert (home / "copy").read_bytes() == letter.read_bytes()
    assert got["name"] == "letter.txt"
    assert got["sender"] == ask("node", "id")[1]["peer_id"]

    code, checked = ask("vault", "check")
    assert (code, tuple(checked)) == (Exit.OK, schema.RESULTS["vault check"])
    assert checked == {"ok": True, "objects": 2, "damaged": []}

    code, deleted = ask("vault", "delete", "letter.txt", object_id)
    assert (code, tuple(deleted)) == (Exit.OK, schema.RESULTS["vault delete"])
    assert deleted["deleted"] == [object_id]
    assert [entry["name"] for entry in ask("vault", "list")[1]["objects"]] == ["other"]


def test_people_see_a_table_and_few_words(say, letter):
    """
    Ids on standard output, remarks on standard error.
    """
    code, out, err = say("vault", "put", letter, "--name", "a\x1bname")
    assert code == Exit.OK
    assert out.endswith("  a\\x1bname\n")
    assert "KiB in" in err
    _, out, _ = say("vault", "list")
    assert out.splitlines()[0].split() == ["object", "size", "since", "(UTC)", "name"]
    assert "\x1b" not in out
    _, out, _ = say("vault", "list", "--sealed")
    assert "name" not in out
    assert say("vault", "check")[1] == "1 object, all whole\n"
    assert say("vault", "delete", "a\x1bname")[0] == Exit.OK
    assert say("vault", "list")[1] == "the vault is empty\n"


def test_an_object_gets_its_own_name_and_overwrites_nothing(home, ask, say, letter):
    """
    The second time the file is there already.
    """
    say("vault", "put", letter)
    letter.rename(home / "original")
    assert ask("vault", "get", "letter.txt")[1]["to"] == "letter.txt"
    assert letter.read_bytes() == (home / "original").read_bytes()

    letter.write_bytes(b"changed")
    code, answer = ask("vault", "get", "letter.txt")
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "already_exists")
    assert letter.read_bytes() == b"changed"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", ".hidden", "", "a\nb", "CON"])
def test_a_name_from_the_vault_is_no_path(home, ask, letter, name):
    """
    What an object is called decides at most about one plain name in this directory.
    """
    _, put = ask("vault", "put", letter, "--name", name)
    before = sorted(home.iterdir())
    code, answer = ask("vault", "get", put["objects"][0]["object_id"])

    assert (code, answer["error"]["hint"]) == (Exit.MISUSE, "say where to with --to FILE")
    assert sorted(home.iterdir()) == before


def test_content_goes_through_pipes(letter):
    """
    ``-`` is standard input and output; nothing but the content is written.
    """
    program = [sys.executable, "-m", "kontinuum.cli.main", "vault"]
    with letter.open("rb") as source:
        put = subprocess.run(
            [*program, "put", "-", "--name", "x"], stdin=source, capture_output=True, check=True
        )
    piped = subprocess.run([*program, "put", "-"], input=b"piped", capture_output=True, check=True)
    assert put.stdout != piped.stdout
    got = subprocess.run([*program, "get", "x", "--to", "-"], capture_output=True, check=True)
    assert got.stdout == letter.read_bytes()
    object_id = piped.stdout.split()[0].decode()
    got = subprocess.run([*program, "get", object_id, "--to", "-"], capture_output=True, check=True)
    assert got.stdout == b"piped"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["vault", "put", "missing"], Exit.UNAVAILABLE, "file_unavailable"),
        (["vault", "put", "."], Exit.MISUSE, "not_afile"),
        (["vault", "put", "letter.txt", "letter.txt", "--name", "x"], Exit.MISUSE, "usage"),
        (["vault", "put", "letter.txt", "--name", "x" * 256], Exit.MISUSE, "bad_object_name"),
        (["vault", "get", "nothing"], Exit.MISUSE, "no_such_object"),
        (["vault", "get", "0" * 64], Exit.MISUSE, "no_such_object"),
        (["vault", "delete", "nothing"], Exit.MISUSE, "no_such_object"),
        (["vault", "list", "--dir", "nowhere"], Exit.MISUSE, "data_dir"),
        (["vault"], Exit.MISUSE, "usage"),
        (["seal", "letter.txt"], Exit.MISUSE, "usage"),
        (["seal", "missing", "--for", BOB.recipient.to_text()], Exit.UNAVAILABLE, "file_unavailable"),
        (["seal", "letter.txt", "--for", "age1nonsense"], Exit.MISUSE, "bad_key_text"),
        (["seal", "letter.txt", "--for", "5" * 64], Exit.MISUSE, "bad_key_text"),
        (["open", "letter.txt"], Exit.MISUSE, "usage"),
        (["open", "letter.txt", "--to", "x"], Exit.MISUSE, "not_an_envelope"),
        (["open", "missing.age"], Exit.UNAVAILABLE, "file_unavailable"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(home, ask, letter, arguments, code, word):
    """
    One exit code and one word for each mistake, no half file.
    """
    before = sorted(home.iterdir())
    found, answer = ask(*arguments)

    assert (found, answer["error"]["code"]) == (code, word)
    assert tuple(answer["error"]) == schema.ERROR
    assert sorted(home.iterdir()) == before
    assert letter.exists()


def test_one_wrong_name_deletes_nothing(ask, letter):
    """
    All are found before the first one goes.
    """
    ask("vault", "put", letter)
    assert ask("vault", "delete", "letter.txt", "nothing")[0] == Exit.MISUSE
    assert len(ask("vault", "list")[1]["objects"]) == 1


def test_a_damaged_object_ends_the_check_with_1(home, ask, say, letter):
    """
    And getting it with 3, with words about what to do.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    with file_of(home, object_id).open("r+b") as file:
        file.truncate(1000)

    code, checked = ask("vault", "check")
    assert code == Exit.FAILURE
    assert not checked["ok"]
    assert tuple(checked["damaged"][0]) == schema.VAULT_DAMAGE
    code, answer = ask("vault", "get", object_id)
    assert (code, answer["error"]["code"]) == (Exit.UNAVAILABLE, "damaged_object")
    assert f"kontinuum vault delete {object_id[:12]}" in answer["error"]["message"]
    assert say("vault", "check")[0] == Exit.FAILURE
    assert say("vault", "delete", object_id[:12])[0] == Exit.OK


def test_a_lost_file_is_shown(home, ask, say, letter):
    """
    In the list, as lost.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    file_of(home, object_id).unlink()

    entry = ask("vault", "list")[1]["objects"][0]
    assert (entry["present"], entry["name"]) == (False, None)
    assert " lost " in say("vault", "list")[1]


def test_a_node_with_another_identity_reads_nothing(home, ask, say, letter):
    """
    The vault of a lost key: listed, deleted, not opened; the message says what would open it.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    key = home / "data/kontinuum/identity.key"
    key.unlink()
    save_key_file(key, KeyPair.generate(SystemEntropy()))

    assert ask("vault", "list")[1]["objects"][0]["name"] is None
    assert "(sealed to other keys)" in say("vault", "list")[1]
    code, answer = ask("vault", "get", object_id)
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "no_matching_key")
    assert "parent" in answer["error"]["hint"]
    assert ask("vault", "delete", object_id[:6])[0] == Exit.OK


def test_a_passphrase_is_needed_for_names_and_contents_only(home, ask, letter, monkeypatch):
    """
    Listing sealed, checking and deleting by id ask for nothing.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    key = home / "data/kontinuum/identity.key"
    from kontinuum.identity import load_key_file  # noqa: PLC0415

    pair = load_key_file(key)
    key.unlink()
    save_key_file(key, pair, passphrase="sesame", entropy=SystemEntropy())

    assert ask("vault", "list", "--sealed")[0] == Exit.OK
    assert ask("vault", "check")[0] == Exit.OK
    assert ask("vault", "list")[1]["error"]["code"] == "passphrase"
    monkeypatch.setenv("KONTINUUM_PASSPHRASE", "sesame")
    assert ask("vault", "list")[1]["objects"][0]["name"] == "letter.txt"
    assert ask("vault", "delete", object_id[:12])[0] == Exit.OK


def test_the_exported_key_opens_the_vault_elsewhere(home, ask, letter):
    """
    With age's own program, if it is here; the file is for its owner only, and never overwritten.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    code, shown = ask("vault", "key", "--export", "vault.key")
    assert (code, tuple(shown)) == (Exit.OK, schema.RESULTS["vault key"])
    content = (home / "vault.key").read_bytes()
    keys = parse_key_file(content)

    assert stat.S_IMODE((home / "vault.key").stat().st_mode) == 0o600
    assert keys[0].recipient.to_text() == shown["recipient"]
    sealed = file_of(home, object_id)
    assert b"".join(open_age(keys, [sealed.read_bytes()])) == letter.read_bytes()
    if program := shutil.which("age"):
        done = subprocess.run([program, "-d", "-i", "vault.key", sealed], capture_output=True, check=True)
        assert done.stdout == letter.read_bytes()
    assert ask("vault", "key", "--export", "vault.key")[1]["error"]["code"] == "already_exists"
    assert (home / "vault.key").read_bytes() == content
    assert ask("vault", "key")[1] == {"recipient": shown["recipient"], "exported": None}


def test_post_quantum_objects_have_a_key_of_their_own(home, ask, letter):
    """
    Both kinds lie in one vault and are opened alike.
    """
    object_id = ask("vault", "put", letter, "--post-quantum")[1]["objects"][0]["object_id"]
    assert ask("vault", "get", object_id, "--to", "copy")[0] == Exit.OK
    ask("vault", "key", "--export", "pq.key", "--post-quantum")
    keys = parse_key_file((home / "pq.key").read_bytes())

    assert keys[0].recipient.post_quantum
    assert b"mlkem768x25519" in file_of(home, object_id).read_bytes()
    assert b"".join(open_age(keys, [file_of(home, object_id).read_bytes()])) == letter.read_bytes()


# --- seal and open ---


def test_a_file_is_sealed_for_somebody_and_opened_by_both(home, ask, letter):
    """
    The sender is named; the recipient opens it with its key, we with ours; the documented keys.
    """
    (home / "bob.key").write_bytes(encode_key_file(BOB))
    (home / "bob.key").chmod(0o600)
    code, sealed = ask("seal", letter, "--for", BOB.recipient.to_text())
    assert (code, tuple(sealed)) == (Exit.OK, schema.RESULTS["seal"])
    assert sealed["to"] == str(letter) + ".age"
    assert [reader["role"] for reader in sealed["readers"]] == ["self", "peer"]
    assert {tuple(reader) for reader in sealed["readers"]} == {schema.READER}

    code, opened = ask("open", sealed["to"], "--to", "ours")
    assert (code, tuple(opened)) == (Exit.OK, schema.RESULTS["open"])
    assert opened["readers"] == sealed["readers"]
    assert opened["sender"] == sealed["sender"] == ask("node", "id")[1]["peer_id"]
    code, opened = ask("open", sealed["to"], "--to", "bobs", "--key", "bob.key", "--from", sealed["sender"])
    assert (code, opened["name"]) == (Exit.OK, "letter.txt")
    assert (home / "ours").read_bytes() == (home / "bobs").read_bytes() == letter.read_bytes()


def test_opening_says_to_people_who_sealed_it(say, letter):
    """
    And that nobody was asked about it, unless --from says who it must be.
    """
    _, out, _ = say("seal", letter, "--for", BOB.recipient.to_text())
    assert out.endswith("letter.txt.age: 97.7 KiB sealed to 2 keys\n")
    letter.unlink()
    _, out, _ = say("open", f"{letter}.age")
    assert "compare the identity" in out
    assert "readers: 1 self, 1 peer" in out
    assert letter.read_bytes() == b"Dear Bob. " * 10_000


def test_another_sender_than_demanded_is_refused(home, ask, letter):
    """
    Nothing is written.
    """
    ask("seal", letter, "--for", BOB.recipient.to_text())
    stranger = KeyPair.from_seed(b"s" * 32).peer_id
    code, answer = ask("open", "letter.txt.age", "--to", "x", "--from", stranger)

    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "wrong_sender")
    assert not (home / "x").exists()


def test_whoever_is_no_recipient_is_told_so(home, ask, letter):
    """
    Without ourselves among the recipients we cannot open it either.
    """
    ask("seal", letter, "--for", BOB.recipient.to_text(), "--no-self")
    code, answer = ask("open", "letter.txt.age", "--to", "x")

    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "no_matching_key")
    assert not (home / "x").exists()


@pytest.mark.parametrize("text", [False, True])
def test_plain_age_files_open_if_that_is_asked_for(home, ask, text):
    """
    Binary and text; without --unsigned they are not believed.
    """
    recipient = ask("vault", "key")[1]["recipient"]
    from kontinuum.keys.envelope import parse_recipient  # noqa: PLC0415

    sealed = b"".join(seal_age([parse_recipient(recipient)], [b"content"], entropy=SystemEntropy()))
    (home / "x.age").write_bytes(encode_armor(sealed) if text else sealed)

    refused = "not_an_envelope" if text else "not_signed"
    assert ask("open", "x.age")[1]["error"]["code"] == refused
    assert ask("open", "x.age", "--unsigned", "--from", "5" * 64)[0] in (Exit.MISUSE, Exit.PEER)
    code, opened = ask("open", "x.age", "--unsigned")
    assert (code, tuple(opened)) == (Exit.OK, schema.RESULTS["open"])
    assert opened["sender"] is None
    assert (home / "x").read_bytes() == b"content"


def test_an_object_of_the_vault_is_no_sealed_file(home, ask, letter):
    """
    What is sealed for one purpose is not opened for another; the hint says where it is.
    """
    object_id = ask("vault", "put", letter)[1]["objects"][0]["object_id"]
    code, answer = ask("open", file_of(home, object_id), "--to", "x")

    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "wrong_context")
    assert "kontinuum vault get" in answer["error"]["hint"]


def test_recipients_of_two_strengths_are_refused(ask, letter):
    """
    The weaker one would decide.
    """
    hybrid = HybridKey(Secret(b"h" * 32)).recipient.to_text()
    code, answer = ask("seal", letter, "--for", BOB.recipient.to_text(), "--for", hybrid)
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "mixed_recipients")
    code, sealed = ask("seal", letter, "--for", hybrid)
    assert [reader["key"] for reader in sealed["readers"]] == ["hybrid", "hybrid"]


def test_a_key_file_that_others_can_read_is_refused(home, ask, letter):
    """
    As every secret file is; the message says the fix, and shows nothing.
    """
    ask("seal", letter, "--for", BOB.recipient.to_text())
    (home / "bob.key").write_bytes(encode_key_file(BOB))
    (home / "bob.key").chmod(0o644)
    code, answer = ask("open", "letter.txt.age", "--to", "x", "--key", "bob.key")

    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "not_private")
    (home / "bob.key").chmod(0o600)
    (home / "bob.key").write_bytes(b"AGE-SECRET-KEY-1" + b"Q" * 58)
    code, answer = ask("open", "letter.txt.age", "--to", "x", "--key", "bob.key")
    assert (code, answer["error"]["code"]) == (Exit.MISUSE, "bad_key_text")
    assert "QQQQ" not in json.dumps(answer)
