"""``kontinuum cluster`` beside running nodes: what is said is told at once, and the nodes go along."""

import json
import subprocess

import pytest

from helpers.programs import PROGRAM, NodeProcess, environment, run_json, run_program, wait_until
from helpers.terminal import Terminal
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.keys.keystore import load_store

pytestmark = pytest.mark.slow


class Household:
    """A root and two running nodes, the second of which was added beside the first one's."""

    def __init__(self, home):
        self.home = home
        self.done("keys new-root root.key --unprotected")
        self.done("cluster init --root root.key --label home --unprotected --dir first")
        self.first = NodeProcess(home, "first")
        self.done("cluster add-node laptop --parent root.key --to laptop.handover --unsealed --dir first")
        self.done("cluster join laptop.handover --unprotected --dir second")
        self.second = NodeProcess(home, "second")
        self.together()

    def done(self, line, *more):
        """Run a command that ends well; what it wrote."""
        code, said = run_json(self.home, *line.split(), *more)
        assert code == Exit.OK, said
        return said

    def show(self, name):
        """What a node knows."""
        return self.done(f"cluster show --dir {name}")

    def together(self):
        """Wait until both have a session that each recognises."""
        wait_until(
            lambda: all(
                [each["connected"] for each in self.show(name)["members"] if each["place"] == other] == [True]
                for name, other in (("first", "/1"), ("second", "/0"))
            ),
            "the two to recognise each other",
        )


@pytest.fixture
def household(tmp_path):
    """A fresh one."""
    made = Household(tmp_path)
    yield made
    for node in (made.first, made.second):
        node.stop()


async def test_a_person_is_asked_for_each_passphrase(tmp_path, monkeypatch):
    """
    On a terminal the root's passphrase does not become the node's, nor the node's the branch's.
    """
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KONTINUUM_PASSPHRASE", raising=False)
    words = {"node's key": "node", "node's branch": "branch"}
    async with Terminal(*PROGRAM, "keys", "new-root", "root.key", cwd=tmp_path) as terminal:
        for asked in ("New passphrase of the key store:", "Once more:"):
            await terminal.see(asked)
            terminal.type("root\r")
        await terminal.process.wait()
    begin = "cluster init --root root.key --dir home"
    async with Terminal(*PROGRAM, *begin.split(), columns=80, cwd=tmp_path) as terminal:
        await terminal.see("Passphrase of root.key:")
        terminal.type("root\r")
        for what, word in words.items():
            await terminal.see(f"New passphrase of the {what}:")
            terminal.type(f"{word}\r")
            await terminal.see(f"New passphrase of the {what}: Once more:")
            terminal.type(f"{word}\r")
        assert await terminal.process.wait() == Exit.OK
    for name, word in (("branch-0", "branch"), ("epoch-0-0", "node")):
        assert load_store(tmp_path / "home" / "cluster" / "keys" / f"{name}.key").open(word)


def test_a_running_node_rekeys_and_its_fellow_goes_along(household):
    """
    The node changes its key without stopping; the other one knows it by the new one, on the same session.
    """
    before = household.show("second")["key"]
    rekeyed = household.done("cluster rekey --dir second")

    assert tuple(rekeyed) == schema.RESULTS["cluster rekey"]
    assert (rekeyed["epoch"], rekeyed["key"] != before) == (1, True)
    known = household.show("first")["members"][1]
    wait_until(
        lambda: household.show("first")["members"][1]["key"] == rekeyed["key"], f"the new key, not {known}"
    )
    household.together()
    assert household.second.program.process.poll() is None


def test_a_running_node_seals_its_vault_alone(household):
    """
    The command and the node do not both seal every object: each is there once, and opens.
    """
    for number in range(40):
        (household.home / f"f{number}").write_text(f"{number}", encoding="ascii")
    household.done("vault put --dir second", *(f"f{number}" for number in range(40)))
    before = {each["object_id"] for each in household.done("vault list --dir second")["objects"]}
    household.done("cluster rekey --dir second")

    def sealed():
        listed = household.done("vault list --dir second")["objects"]
        return listed if before.isdisjoint(each["object_id"] for each in listed) else None

    listed = wait_until(sealed, "the vault to be sealed anew")
    assert sorted(each["name"] for each in listed) == sorted(f"f{number}" for number in range(40))


def test_peers_have_names(household):
    """
    A node of the cluster is listed by its place, for people and for programs.
    """
    peers = household.done("peers --dir first")["peers"]
    assert [(each["peer_id"], each["name"]) for each in peers] == [(household.show("second")["key"], "/1")]
    lines = run_program(household.home, "peers", "--dir", "first").stdout.decode().splitlines()
    assert [line.split()[1] for line in lines] == ["NAME", "/1"]


def test_an_order_is_obeyed_by_a_running_node(household):
    """
    A parent orders, the child has another key soon after.
    """
    ordered = household.done("cluster order laptop --parent root.key --dir first")
    assert ordered["told"] == 1

    wait_until(lambda: household.show("second")["epoch"] == 1, "the order to be obeyed")
    household.together()


def test_a_revocation_is_told_at_once(household):
    """
    The session of the revoked node is cut; with new keys for the same place it is back.
    """
    revoked = household.done("cluster revoke laptop --parent root.key --reason compromised --dir first")
    assert (revoked["place"], revoked["told"]) == ("/1", 0)  # Who is left, and it was the only one.

    wait_until(lambda: not household.show("first")["members"][1]["connected"], "the session to be cut")
    wait_until(lambda: household.show("second")["cut_off_by"] == ["/0"], "the other one to be told why")
    status = household.done("status --dir second")
    assert (status["place"], status["key_in_use"], status["cut_off_by"]) == ("/1", True, ["/0"])
    household.second.stop()
    household.done("cluster recover laptop --parent root.key --to new.handover --unsealed --dir first")
    household.done("cluster join new.handover --unprotected --dir second")
    household.second = NodeProcess(household.home, "second")
    household.together()


def test_watching_tells_of_a_fellow_that_rekeys(household):
    """
    One line for each event; it ends when the node does.
    """
    with subprocess.Popen(
        [*PROGRAM, "cluster", "watch", "--dir", "second", "--json"],
        cwd=household.home,
        env=environment(household.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as watching:
        assert json.loads(watching.stdout.readline()) == {"type": "watching"}
        household.done("cluster rekey --dir first")
        for line in watching.stdout:
            event = json.loads(line)
            assert tuple(event) == schema.EVENTS[event["type"]]
            if event["type"] == "renamed":
                break
        watching.kill()


def test_trust_spreads(household):
    """
    One node trusts a cluster, the other one knows its nodes by name; and no longer.
    """
    household.done("keys new-root bob.key --unprotected")
    bob = household.done("cluster init --root bob.key --unprotected --dir bob")
    household.done("cluster show --export bob.cluster --dir bob")
    trusted = household.done("cluster trust bob.cluster --name bob --dir first")

    assert (tuple(trusted), trusted["cluster"]) == (schema.RESULTS["cluster trust"], bob["cluster"])
    wait_until(
        lambda: [each["members"][0]["key"] for each in household.show("second")["trusted"]] == [bob["key"]],
        "the chain of a trusted cluster to spread",
    )
    untrusted = household.done("cluster untrust bob --dir second")
    assert tuple(untrusted) == schema.RESULTS["cluster untrust"]
    wait_until(lambda: not household.show("first")["trusted"], "distrust to spread")


def test_another_root_reaches_a_connected_node_as_a_parcel(household):
    """
    With the nodes running, the other one gets its keys; then this one moves, and they meet again.
    """
    household.done("keys new-root next.key --unprotected")
    command = "cluster rekey --root root.key --new-root next.key --handovers others --unsealed --dir first"
    code, said = run_json(household.home, *command.split())
    assert (code, said["error"]["code"]) == (Exit.MISUSE, "running")

    sent = household.done(command, "--parcels")
    assert (sent["parcels"], sent["handovers"]) == (["/1"], {})
    wait_until(lambda: household.show("second")["cluster"] == sent["cluster"], "the parcel to be taken")
    household.first.stop()
    moved = household.done(command)
    assert moved["cluster"] == sent["cluster"]
    household.first = NodeProcess(household.home, "first")
    # Both have other keys and, in this test, other ports: somebody says where one of them is.
    household.done("contact add", household.first.contact, "--dir", "second")
    household.together()
