"""The vault of real nodes and real processes: beside a running node, through kill -9, and on a full disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.programs import PROGRAM, NodeProcess, environment, run_json
from kontinuum import Node
from kontinuum.cli.errors import Exit
from kontinuum.keys.envelope import NoMatchingKeyError
from kontinuum.node.config import NodeConfig
from kontinuum.node.data_dir import DataDir
from kontinuum.node.errors import VaultOffError
from kontinuum.node.vault_sync import VaultSync
from kontinuum.vault.errors import SyncRefusedError
from kontinuum.vault.messages import PUSH_PROTOCOL
from kontinuum.vault.service import serve

pytestmark = pytest.mark.slow

HELPERS = Path(__file__).parents[1] / "helpers"


def node_at(directory):
    """A node with a new identity in a directory of its own."""
    with DataDir.open(directory, create=True) as made:
        made.create_key()
    return Node(settings(directory))


def settings(directory):
    """Of a node that keeps things there."""
    return NodeConfig(network="local", pow_bits=0, listen="127.0.0.1:0", data_dir=directory, dht="off")


async def test_a_node_has_a_vault_that_outlives_it(tmp_path):
    """
    What one run put, the next one gets; a node without a directory has none.
    """
    async with node_at(tmp_path / "node") as node:
        stored = await node.vault.put(b"content", name="letter")
        assert node.vault is node.vault
    async with Node(settings(tmp_path / "node")) as node:
        assert await node.vault.get("letter") == b"content"
        assert [found.object_id for found in await node.vault.list()] == [stored.object_id]
    async with Node() as node:
        with pytest.raises(VaultOffError):
            _ = node.vault


def test_the_command_works_beside_a_running_node(tmp_path):
    """
    Nothing is locked out: both have the same vault.
    """
    node = NodeProcess(tmp_path, "alice")
    (tmp_path / "letter").write_bytes(b"content")
    try:
        code, put = run_json(tmp_path, "vault", "put", tmp_path / "letter", "--dir", node.directory)
        assert code == Exit.OK
        code, got = run_json(
            tmp_path, "vault", "get", "letter", "--to", tmp_path / "copy", "--dir", node.directory
        )
        assert (code, got["sender"]) == (Exit.OK, node.peer_id)
        assert (tmp_path / "copy").read_bytes() == b"content"
        assert run_json(tmp_path, "vault", "list", "--dir", node.directory)[1]["objects"] == put["objects"]
    finally:
        node.stop()


async def test_vaults_of_two_nodes_become_alike(tmp_path):
    """
    Over a real connection, both ways; whoever is not allowed gets and brings nothing.
    """
    async with (
        node_at(tmp_path / "a") as alice,
        node_at(tmp_path / "b") as bob,
        node_at(tmp_path / "m") as mallory,
    ):
        one = await alice.vault.put(os.urandom(3 << 20), name="large")
        two = await bob.vault.put(b"small", name="small")
        friends = {alice.peer_id, bob.peer_id}
        syncing = {node: VaultSync(node, friends.__contains__) for node in (alice, bob)}
        stranger = VaultSync(mallory, lambda _: True)

        done = await syncing[alice].sync(bob.contact.to_text())
        assert done.pulled.objects == (two.object_id,)
        assert done.pushed_bytes == one.size_bytes
        ids = {one.object_id, two.object_id}
        for node in (alice, bob):
            assert {stored.object_id for stored in await node.vault.list()} == ids
            assert node.vault.store.check() == []
        assert (await syncing[bob].sync(alice.contact.to_text())).pulled.objects == ()

        # A copy is sealed to whoever put it: the other node keeps it, and cannot read it.
        with pytest.raises(NoMatchingKeyError):
            await bob.vault.get(one.object_id)
        with pytest.raises(SyncRefusedError):
            await stranger.sync(alice.contact.to_text())
        await mallory.vault.put(b"spam")
        with pytest.raises(SyncRefusedError):
            await push(mallory, alice)
        assert {stored.object_id for stored in await alice.vault.list()} == ids


async def push(node, peer):
    """Try to bring a node copies, without being asked."""
    await serve(await node.open_messages(peer.contact.to_text(), PUSH_PROTOCOL), node.vault.store)


async def test_a_lost_node_gets_its_vault_back_from_a_copy(tmp_path):
    """
    With its identity restored on another machine, the other node's copies open.
    """
    async with node_at(tmp_path / "a") as alice, node_at(tmp_path / "b") as bob:
        VaultSync(bob, lambda _: True)
        await alice.vault.put(b"content", name="letter")
        await VaultSync(alice, lambda _: True).sync(bob.contact.to_text())
    (tmp_path / "a2").mkdir(mode=0o700)
    (tmp_path / "a" / "identity.key").rename(tmp_path / "a2" / "identity.key")
    async with Node(settings(tmp_path / "a2")) as alice, Node(settings(tmp_path / "b")) as bob:
        VaultSync(bob, lambda _: True)
        assert await alice.vault.list() == []
        await VaultSync(alice, lambda _: True).sync(bob.contact.to_text(), push=False)
        assert await alice.vault.get("letter") == b"content"


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    """What was left by processes that died at each system call in turn."""
    directory = tmp_path_factory.mktemp("deaths")
    done = subprocess.run(
        [sys.executable, HELPERS / "vault_program.py", directory], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_wherever_a_process_is_killed_an_object_is_there_whole_or_not_at_all(deaths):
    """
    SIGKILL at every call that changes the disk: what was acknowledged is so, the rest is one or the other.
    """
    assert len(deaths) > 20
    for death in deaths:
        put, deleted = any(said.startswith("put") for said in death["said"]), "deleted" in death["said"]
        contents = death["contents"]
        assert death["damaged"] == [], death
        assert death["lost"] == 0, death
        assert death["files"] == len(contents), death
        assert death["kept"] in death["ids"], death
        assert contents.count("kept") == 1, death
        assert contents.count("old") == (0 if deleted else 1) or (put and not deleted), death
        assert contents.count("content ") == 1 or not put, death
        assert contents.count("content ") <= 1, death
        assert set(contents) <= {"kept", "old", "content "}, death
        assert death["after"], death
    assert not deaths[-1]["died"]
    assert deaths[-1]["said"][1:] == ["deleted"]


def test_a_dead_process_leaves_nothing_behind_for_good(deaths):
    """
    Its unfinished file is tidied away, and told from one that somebody still writes.
    """
    assert {death["leftovers"] for death in deaths} == {0, 1}
    assert all(death["strange"] == [] for death in deaths)
    assert deaths[-1]["leftovers"] == 0


@pytest.mark.parametrize("after", [1, 3])
def test_a_put_that_is_killed_in_the_middle_of_much_is_not_there(tmp_path, after):
    """
    The command, with much from a pipe, killed as a power cut would; what came before stays.
    """
    at = ["--dir", str(tmp_path / "n")]
    (tmp_path / "small").write_bytes(b"small")
    assert run_json(tmp_path, "node", "init", *at)[0] == Exit.OK
    assert run_json(tmp_path, "vault", "put", tmp_path / "small", *at)[0] == Exit.OK
    command = [*PROGRAM, "vault", "put", "-", "--name", "large", *at]
    with subprocess.Popen(command, env=environment(tmp_path), stdin=subprocess.PIPE) as program:
        # A pipe holds little: when this is written, most of it was read, and the end is not in sight.
        program.stdin.write(bytes(after * 4 << 20))
        program.kill()

    code, listed = run_json(tmp_path, "vault", "list", *at)
    assert (code, [entry["name"] for entry in listed["objects"]]) == (Exit.OK, ["small"])
    assert run_json(tmp_path, "vault", "check", *at)[1]["ok"]
    incoming = tmp_path / "n/vault/incoming"
    assert len(list(incoming.iterdir())) == 1
    assert run_json(tmp_path, "vault", "put", tmp_path / "small", *at)[0] == Exit.OK
    assert list(incoming.iterdir()) == []


def test_a_full_disk_is_said_by_the_command(tmp_path):
    """
    Exit code 3 and the system's words; what was there stays whole, and deleting makes room.
    """
    (tmp_path / "small").mkdir()
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    program = HELPERS / "full_disk_program.py"
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, program, tmp_path / "small", tmp_path / "large"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout == "null\n":
        pytest.skip(f"no file system of our own here: {done.stderr[-300:]}")
    told = json.loads(done.stdout)

    codes = {name: told[name] for name in ("init", "first", "second", "check", "get", "delete", "third")}
    assert codes == {
        "init": Exit.OK,
        "first": Exit.OK,
        "second": Exit.UNAVAILABLE,
        "check": Exit.OK,
        "get": Exit.UNAVAILABLE,
        "delete": Exit.OK,
        "third": Exit.OK,
    }, told["said"]
    assert told["said"].count("No space left on device") == 2
    assert told["left"] == []
