"""``kontinuum cluster``: made, joined, looked at and changed without a running node."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.cli.main import run
from kontinuum.identity import key_file
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN
from kontinuum.node.config import NodeConfig


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty directory, no passphrase in the environment, no terminal, and cheap stretching."""
    for name in list(os.environ):
        if name.startswith("KONTINUUM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(key_file.Argon2Cost.__init__, "__defaults__", (ARGON2_MEMORY_KIB_MIN, 1, 1))
    return tmp_path


@pytest.fixture
def ask(capsys):
    """Run a command with ``--json``; its exit code and the object that it wrote."""

    def ask(line, *more):
        capsys.readouterr()
        code = run([*line.split(), *map(str, more), "--json"])
        captured = capsys.readouterr()
        assert captured.err == ""
        lines = captured.out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0])

    return ask


@pytest.fixture
def done(ask):
    """Run a command that ends well; what it wrote."""

    def done(line, *more):
        code, said = ask(line, *more)
        assert code == Exit.OK, said
        return said

    return done


@pytest.fixture
def cluster(done):
    """A root, a first node in ``a``, and a laptop in ``b``."""
    done("keys new-root root.key --unprotected")
    made = done("cluster init --root root.key --label home --unprotected --dir a")
    done("cluster add-node laptop --parent root.key --to laptop.handover --unsealed --dir a")
    done("cluster join laptop.handover --unprotected --dir b")
    return made


def content(directory):
    """Every file below a directory but the lock."""
    return {
        path: path.read_bytes()
        for path in Path(directory).rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_a_cluster_begins_and_a_second_node_joins(done, cluster):
    """
    The keys of the results are those that are promised, and both nodes know each other.
    """
    assert tuple(cluster) == schema.RESULTS["cluster init"]
    added = done("cluster add-node phone --parent root.key --to phone.handover --unsealed --dir a")
    joined = done("cluster join phone.handover --unprotected --dir c")
    shown = done("cluster show --dir b")

    assert tuple(added) == schema.RESULTS["cluster add-node"]
    assert tuple(joined) == schema.RESULTS["cluster join"]
    assert tuple(shown) == schema.RESULTS["cluster show"]
    assert tuple(shown["members"][0]) == schema.CLUSTER_MEMBER
    assert (joined["place"], joined["key"], joined["cluster"]) == ("/2", added["key"], cluster["cluster"])
    assert [member["label"] for member in shown["members"]] == ["home", "laptop"]
    assert (shown["way"], shown["branch_here"], shown["running"]) == ("none", True, False)
    assert Path("c/node.toml").exists()


def test_no_secret_is_written_anywhere_but_into_key_stores(capsys, cluster):
    """
    Neither root nor branch appear in what is printed or kept; every file is its owner's only.
    """
    run(["cluster", "show", "--dir", "a"])
    run(["cluster", "log", "--dir", "a"])
    shown = capsys.readouterr()
    secret = Path("root.key").read_bytes()[-32:]
    for path, data in content("a").items():
        assert secret not in data, path
        assert path.stat().st_mode & 0o077 == 0 or path.name == "node.toml", path
    assert secret.hex() not in shown.out + shown.err
    assert cluster["cluster"] in shown.out


def test_the_same_directory_is_not_two_nodes(ask, cluster):
    """
    A directory that is a node already becomes no other one; nothing is changed.
    """
    before = content("b")
    code, said = ask("cluster init --root root.key --unprotected --dir b")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "already_in_cluster")
    ask("cluster add-node phone --parent root.key --to phone.handover --unsealed --dir a")
    code, said = ask("cluster join phone.handover --unprotected --dir b")

    assert (code, said["error"]["code"]) == (Exit.MISUSE, "already_in_cluster")
    assert content("b") == before
    assert cluster


def test_a_node_rekeys_itself_and_its_vault_goes_along(done, cluster):
    """
    A new key of the same place; what the vault held before and after opens.
    """
    Path("secret.txt").write_text("keep this", encoding="ascii")
    before = done("cluster show --dir b")
    done("cluster rekey --dir b")
    rekeyed = done("cluster rekey --dir b")
    after = done("cluster show --dir b")

    assert tuple(rekeyed) == schema.RESULTS["cluster rekey"]
    assert (after["epoch"], after["path"]) == (2, before["path"])
    assert after["key"] == rekeyed["key"] != before["key"]
    assert cluster["place"] == "/0"


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_lost_key_is_made_again_from_the_branch(done, ask, cluster, how):
    """
    Without its key file, or with half of it, a node says what to do; the key is the same, the vault opens.
    """
    Path("note").write_text("hello", encoding="ascii")
    done("vault put note --dir b")
    before = done("cluster show --dir b")["key"]
    file = Path("b/cluster/keys/epoch-0-0.key")
    if how == "gone":
        file.unlink()
    else:
        os.truncate(file, 40)
    code, said = ask("node id --dir b")
    assert (code, str(file) in said["error"]["message"]) == (Exit.MISUSE, True)
    shown = done("cluster show --dir b")
    assert (shown["key"], shown["way"]) == (None, "move_on")

    assert done("cluster rekey --dir b")["key"] == before
    assert done("cluster show --dir b")["way"] == "none"
    done("vault get note --to again --dir b")
    assert done("cluster rekey --dir b")["key"] != before
    assert cluster


def test_a_lost_node_gets_new_keys(done, ask, cluster):
    """
    Revoked, recovered, joined: the same place, a new branch; its old handover is of no use any more.
    """
    revoked = done("cluster revoke laptop --parent root.key --reason lost --dir a")
    recovered = done("cluster recover /1 --parent root.key --to new.handover --unsealed --dir a")
    joined = done("cluster join new.handover --unprotected --dir b")
    code, said = ask("cluster join laptop.handover --unprotected --dir b")

    assert tuple(revoked) == schema.RESULTS["cluster revoke"]
    assert tuple(recovered) == schema.RESULTS["cluster recover"]
    assert (joined["path"], joined["key"]) == ("/1.1", recovered["key"])
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "not_living")
    assert cluster


def test_joining_twice_is_joining_once(done, cluster):
    """
    The same command after it was interrupted, or not, ends the same.
    """
    first = done("cluster show --dir b")
    done("cluster join laptop.handover --unprotected --dir b")

    assert done("cluster show --dir b") == first
    assert cluster


def test_the_last_node_is_removed_with_the_root_at_hand_only(done, ask, cluster):
    """
    A node cannot take the last key out of use, unless somebody shows the root.
    """
    done("cluster revoke laptop --parent root.key --scope place --dir a")
    code, said = ask("cluster revoke home --scope branch --dir a")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "last_key")

    assert done("cluster revoke home --root root.key --scope branch --dir a")["place"] == "/0"
    assert cluster


def test_what_was_said_is_not_said_again(done, ask, cluster):
    """
    A second revocation changes nothing, a wider one does; nobody orders a node that cannot obey.
    """
    done("cluster revoke laptop --parent root.key --dir a")
    before = content("a")
    done("cluster revoke laptop --parent root.key --dir a")
    code, said = ask("cluster order laptop --parent root.key --dir a")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "not_living")
    assert content("a") == before
    done("cluster revoke laptop --scope place --parent root.key --dir a")
    assert done("cluster show --dir a")["members"][1]["verdict"] == "was removed"
    assert cluster


def test_labels_lead_to_one_node(ask, cluster):
    """
    A label that is taken, too long or another kind of name is refused, and nothing is written.
    """
    before = content("a")
    for label in ("laptop", "l" * 65, "/1", "bob:tv", "t\x1bv", ""):
        code, said = ask("cluster add-node --parent root.key --to x.handover --unsealed --dir a", label)
        assert (code, said["error"]["code"]) == (Exit.MISUSE, "bad_name"), label
    code, said = ask("cluster init --root root.key --unprotected --dir c --label", "l" * 65)
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "bad_name")
    code, said = ask("cluster add-node tv --to x.handover --unsealed --dir a")
    assert (code, said["error"]["code"], "--parent" in said["error"]["hint"]) == (
        Exit.MISUSE,
        "wrong_parent",
        True,
    )
    assert content("a") == before
    assert not Path("x.handover").exists()
    assert not Path("c").exists()
    assert cluster


def test_a_new_node_is_in_the_network_of_those_who_made_it(done, cluster, monkeypatch):
    """
    Its new settings say so, though its machine's environment says nothing; settings that it has, stay.
    """
    monkeypatch.setenv("KONTINUUM_NETWORK", "ours")
    monkeypatch.setenv("KONTINUUM_POW_BITS", "6")
    done("cluster add-node tv --parent root.key --to tv.handover --unsealed --dir a")
    monkeypatch.delenv("KONTINUUM_NETWORK")
    monkeypatch.delenv("KONTINUUM_POW_BITS")
    done("cluster join tv.handover --unprotected --dir tv")
    config = NodeConfig.load(data_dir=Path("tv"))
    assert (config.network, config.pow_bits) == ("ours", 6)

    done("cluster recover tv --parent root.key --to again.handover --unsealed --dir a")
    done("cluster join again.handover --unprotected --dir tv")
    assert NodeConfig.load(data_dir=Path("tv")) == config
    assert cluster


def test_wrong_settings_are_told_before_anything_is_changed(ask, cluster, monkeypatch):
    """
    A node that could not start is not made.
    """
    monkeypatch.setenv("KONTINUUM_NETWORK", "Ours")
    for line in ("init --root root.key --number 1", "join laptop.handover"):
        code, said = ask(f"cluster {line} --unprotected --dir c")
        assert (code, said["error"]["code"]) == (Exit.MISUSE, "config")
        assert not Path("c").exists()
    assert cluster


def test_only_those_above_speak(ask, cluster):
    """
    A sibling's branch and another root are refused by name, and nothing is written.
    """
    ask("keys new-root other.key --unprotected")
    before = content("a")
    for parent in ("b/cluster/keys/branch-0.key", "other.key", "a/cluster/keys/epoch-0-0.key"):
        for verb in ("revoke /0", "order /0", "recover /0 --to x.handover --unsealed"):
            code, said = ask(f"cluster {verb} --parent {parent} --dir a")
            assert code == Exit.MISUSE, said
    assert content("a") == before
    assert not Path("x.handover").exists()
    assert cluster


def test_an_order_is_kept_for_the_node_that_runs_later(done, cluster):
    """
    Without a node, the order waits on the disk.
    """
    ordered = done("cluster order laptop --parent root.key --dir a")

    assert tuple(ordered) == schema.RESULTS["cluster order"]
    assert (ordered["place"], ordered["leave"], ordered["told"]) == ("/1", 0, None)
    assert cluster


def test_the_log_says_who_said_what(done, ask, cluster):
    """
    Every statement, the oldest first, with what it is worth; verification finds nothing.
    """
    done("cluster rekey --dir b")
    logged = done("cluster log --verify --dir b")
    assert tuple(logged) == schema.RESULTS["cluster log"]
    assert tuple(logged["statements"][0]) == schema.CLUSTER_STATEMENT
    kinds = [statement["kind"] for statement in logged["statements"]]

    assert kinds == ["delegate", "rekey", "delegate", "rekey", "rekey"]
    assert logged["statements"][3]["verdict"] == "moved on to a newer key"
    assert (logged["verified"], logged["problems"]) == (True, [])
    chain = next(Path("b/cluster/chains").iterdir())
    data = chain.read_bytes()
    chain.write_bytes(data.replace(b"laptop", b"laptip"))
    code, logged = ask("cluster log --verify --dir b")
    assert (code, logged["verified"]) == (Exit.FAILURE, False)
    assert cluster


def test_trust_follows_the_file_and_the_root(done, ask, cluster):
    """
    Trust a cluster by its file, follow it to another root, trust it no longer.
    """
    done("keys new-root bob.key --unprotected")
    done("keys new-root bob2.key --unprotected")
    bob = done("cluster init --root bob.key --label den --unprotected --dir z")
    done("cluster show --export bob.cluster --dir z")
    code, said = ask("cluster trust bob.cluster --name bob --cluster", "ab" * 32, "--dir", "a")
    assert (code, said["error"]["code"]) == (Exit.PEER, "other_cluster")
    trusted = done("cluster trust bob.cluster --name bob --dir a --cluster", bob["cluster"][:16])
    assert tuple(trusted) == schema.RESULTS["cluster trust"]
    code, said = ask("cluster follow bob --dir a")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "no_successor")

    changed = done("cluster rekey --root bob.key --new-root bob2.key --handovers h --unsealed --dir z")
    done("cluster show --export bob2.cluster --dir z")
    followed = done("cluster follow bob bob2.cluster --dir a")
    shown = done("cluster show --dir a")
    done("cluster untrust bob --dir a")

    assert tuple(followed) == schema.RESULTS["cluster follow"]
    assert (followed["name"], followed["cluster"]) == ("bob", changed["cluster"])
    assert tuple(shown["trusted"][0]) == schema.CLUSTER_TRUSTED
    assert [each["cluster"] for each in done("cluster show --dir a")["trusted"]] == [bob["cluster"]]
    assert cluster


def test_what_a_node_alone_had_said_of_trust_is_kept_if_nobody_stole_it(done, ask, cluster):
    """
    Revoked or recovered, its words fall and are named; --keep-trust says them again, not of a stolen node.
    """
    done("keys new-root bob.key --unprotected")
    done("cluster init --root bob.key --label den --unprotected --dir z")
    done("cluster show --export bob.cluster --dir z")
    done("cluster trust bob.cluster --name bob --dir a")
    for label, directory in (("phone", "c"), ("tablet", "d")):
        done(f"cluster add-node {label} --parent root.key --to {label}.handover --unsealed --dir a")
        done(f"cluster join {label}.handover --unprotected --dir {directory}")

    def trusted(directory):
        return [each["name"] for each in done(f"cluster show --dir {directory}")["trusted"]]

    revoke = "cluster revoke home --parent root.key"
    code, said = ask(f"{revoke} --reason compromised --keep-trust --dir c")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "usage")
    assert trusted("c") == ["bob"]
    assert done(f"{revoke} --reason lost --keep-trust --dir c")["falls"] == []
    assert trusted("c") == ["bob"]
    assert done(f"{revoke} --reason compromised --dir d")["falls"] == ["bob"]
    assert trusted("d") == []

    recover = "cluster recover home --parent root.key --unsealed --dir a"
    assert done(f"{recover} --to home.handover --keep-trust")["falls"] == []
    done("cluster join home.handover --unprotected --dir e")
    assert trusted("e") == ["bob"]
    assert cluster


def test_another_root_moves_the_whole_cluster(done, ask, cluster):
    """
    This directory moves at once, the other one by its handover; the same command again changes nothing.
    """
    done("keys new-root next.key --unprotected")
    command = "cluster rekey --root root.key --new-root next.key --handovers others --unsealed --dir a"
    changed = done(command)
    again = done(command)
    moved = done("cluster join others/node-1.handover --unprotected --dir b")

    assert tuple(changed) == schema.RESULTS["cluster rekey"]
    assert changed == again
    assert changed["before"] == cluster["cluster"] != changed["cluster"] == moved["cluster"]
    assert (moved["place"], moved["label"]) == ("/1", "laptop")
    done("keys new-root third.key --unprotected")
    code, said = ask(command.replace("next.key", "third.key"))
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "wrong_root")


def test_everything_is_lost_and_comes_back(done, ask, cluster):
    """
    From the root and a copy of one directory: the same cluster, the same place, the vault's content.
    """
    Path("secret.txt").write_text("keep this", encoding="ascii")
    done("node init --dir c")
    done("vault put secret.txt --dir c")
    done("cluster add-node phone --parent root.key --to phone.handover --unsealed --dir a")
    done("cluster join phone.handover --unprotected --dir c")
    done("cluster rekey --dir c")
    for left, new in (("c", "whole"), ("bare", "new")):
        if left == "bare":
            Path("c/vault").rename("bare")
        found = done(f"cluster recover --all --root root.key --copy {left} --unprotected --dir {new}")
        assert tuple(found) == schema.RESULTS["cluster recover --all"]
        assert (found["cluster"], found["opened"], found["left"]) == (cluster["cluster"], 1, 0)
        assert found["place"] == "/2"
        assert found["path"] == "/2.1"
    code, said = ask("cluster recover --all --root root.key --copy c --unprotected --dir c")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "usage")


def test_passphrases_are_asked_for_where_they_are_needed(done, ask, cluster, monkeypatch):
    """
    The node's key, its branch and a handover each have their own; a wrong one changes nothing.
    """
    words = {"N": "node", "B": "branch", "H": "handover"}

    def given(**other):
        for name, text in {**words, **other}.items():
            monkeypatch.setenv(name, text)

    sources = "--passphrase-source env:N --branch-passphrase-source env:B --handover-passphrase-source env:H"
    given()
    done("cluster add-node tv --parent root.key --to tv.handover --dir a --handover-passphrase-source env:H")
    given(H="wrong")
    code, said = ask(f"cluster join tv.handover {sources} --dir d")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "wrong_passphrase")
    given()
    done(f"cluster join tv.handover {sources} --dir d")
    rekey = "cluster rekey --passphrase-source env:N --parent-passphrase-source env:B --dir d"
    before = content("d")
    for wrong in ({"N": "wrong"}, {"B": "wrong"}):
        given(**wrong)
        code, said = ask(rekey)
        assert (code, said["error"]["code"]) == (Exit.MISUSE, "wrong_passphrase"), wrong
        assert content("d") == before
    given()

    assert done(rekey)["epoch"] == 1
    assert done("cluster show --dir d")["epoch"] == 1
    assert cluster


def test_wrong_files_are_told_and_change_nothing(ask, cluster):
    """
    A cut off or foreign handover, a file that is there already, no cluster: each has its own words.
    """
    Path("cut.handover").write_bytes(Path("laptop.handover").read_bytes()[:-9])
    Path("cut.handover").chmod(0o600)
    Path("text").write_text("hello", encoding="ascii")
    Path("text").chmod(0o600)
    Path("empty").mkdir(mode=0o700)
    for line, code in (
        ("cluster join cut.handover --unprotected --dir n", "handover"),
        ("cluster join text --unprotected --dir n", "handover"),
        ("cluster join missing --unprotected --dir n", "file_unavailable"),
        ("cluster add-node x --parent root.key --to laptop.handover --unsealed --dir a", "already_exists"),
        ("cluster add-node x --parent root.key --to none/x --unsealed --dir a", "file_unavailable"),
        ("cluster add-node x --parent text --to x.handover --unsealed --dir a", "not_akey_file"),
        ("cluster init --root a/cluster/keys/branch-0.key --unprotected --dir n", "not_a_root"),
        ("cluster show --dir empty", "no_cluster"),
        ("cluster show --dir n", "data_dir"),
        ("cluster revoke nobody --parent root.key --dir a", "unknown_name"),
        ("cluster trust text --name bob --dir a", "exported"),
        ("cluster untrust bob --dir a", "unknown_name"),
        ("cluster log bob --dir a", "unknown_name"),
        ("cluster rekey --root root.key --dir a", "usage"),
        ("cluster rekey --root root.key --new-root root.key --handovers h --unsealed --dir a", "misuse"),
        ("cluster recover --dir a", "usage"),
        ("cluster recover --all --dir a", "usage"),
        ("cluster recover --all --root root.key --copy nothing --dir m --unprotected", "usage"),
        ("cluster add-node x --parent root.key --to x --unsealed --recipient age1 --dir a", "usage"),
    ):
        ended, said = ask(line)
        assert ended != Exit.OK, line
        assert said["error"]["code"] == code, (line, said)
    assert cluster


def test_a_key_opens_a_handover_that_was_sealed_to_it(done, ask, cluster):
    """
    A machine's own key instead of a passphrase.
    """
    done("node init --dir d")
    done("vault key --export d.age --dir d")
    recipient = done("vault key --dir d")["recipient"]
    done("cluster add-node tv --parent root.key --to tv.handover --dir a --recipient", recipient)
    code, said = ask("cluster join tv.handover --unprotected --dir d")
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "passphrase")

    assert done("cluster join tv.handover --key d.age --unprotected --dir d")["label"] == "tv"
    assert cluster
