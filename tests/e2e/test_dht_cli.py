"""``kontinuum dht`` with real nodes: every verb, every JSON schema, the tree of a trace."""

import base64

import pytest

from helpers.programs import NodeProcess, run_json, run_program, wait_until
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.dht.records import sha256_key
from kontinuum.identity import PeerId

pytestmark = pytest.mark.slow

STRANGER = "5866666666666666666666666666666666666666666666666666666666666666"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def nodes(home):
    """Three running nodes that have met; the second and third know the first one's address alone."""
    first = NodeProcess(home, "first")
    others = [NodeProcess(home, name) for name in ("second", "third")]
    for other in others:
        run_json(home, "contact", "add", first.contact, "--dir", other.directory)
    all_nodes = [first, *others]

    def know_each_other():
        stats = [run_json(home, "dht", "stats", "--dir", node.directory)[1] for node in all_nodes]
        return all(each["state"] == "joined" and each["table"]["peers"] == 2 for each in stats)

    wait_until(know_each_other, "the three of them to meet")
    yield all_nodes
    for node in all_nodes:
        node.stop()


def dht(home, node, *arguments):
    """Run ``kontinuum dht`` against a node; return exit code and result."""
    return run_json(home, "dht", *arguments, "--dir", node.directory)


def test_content_is_put_and_got_byte_for_byte(home, nodes):
    """
    The key is what ``put`` writes, and all that ``get`` needs, at another node.
    """
    content = bytes(range(256))
    put = run_program(home, "dht", "put", "-", "--dir", nodes[1].directory, input=content)
    assert put.returncode == Exit.OK, put.stderr.decode()
    key = put.stdout.decode().strip()
    assert key.startswith("/blake3/")
    assert "2 peers keep it" in put.stderr.decode()
    got = run_program(home, "dht", "get", key, "--dir", nodes[2].directory)
    assert (got.returncode, got.stdout) == (Exit.OK, content)
    code, result = dht(home, nodes[0], "get", key)
    assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["dht get"])
    assert base64.b64decode(result["value"]) == content
    assert result["bytes"] == 256


def test_what_a_node_says_under_a_name_is_replaced(home, nodes):
    """
    Signed records: the second one wins, and anybody reads it by the peer and the name.
    """
    code, first = dht(home, nodes[0], "put", "one", "--name", "motd")
    assert (code, tuple(first)) == (Exit.OK, schema.RESULTS["dht put"])
    assert first["key"] == f"/signed/{nodes[0].peer_id}/motd"
    assert len(first["holders"]) == 2
    dht(home, nodes[0], "put", "two", "--name", "motd")
    libp2p = PeerId.parse(nodes[0].peer_id).libp2p
    code, said = dht(home, nodes[2], "get", f"/signed/{libp2p}/motd")
    assert (code, base64.b64decode(said["value"])) == (Exit.OK, b"two")
    assert said["sequence"] > 0
    assert said["expires_at"]


def test_a_record_may_be_put_under_its_key(home, nodes):
    """
    ``--key`` stores the value as it is; a value that does not belong to the key is misuse.
    """
    key = f"/sha256/{sha256_key(b'x')[-32:].hex()}"
    assert dht(home, nodes[1], "put", "x", "--key", key)[0] == Exit.OK
    code, refused = dht(home, nodes[1], "put", "y", "--key", key)
    assert (code, refused["error"]["code"]) == (Exit.MISUSE, "record_refused")
    for wrong in ("nonsense", "/blake3/12", "/signed/12/x"):
        code, refused = dht(home, nodes[1], "get", wrong)
        assert (code, refused["error"]["code"]) == (Exit.MISUSE, "bad_key")


def test_providers_are_found(home, nodes):
    """
    Who says that it has something is found under the key, with its contact.
    """
    key = f"/blake3/{'ab' * 32}"
    code, provided = dht(home, nodes[1], "provide", key)
    assert (code, tuple(provided)) == (Exit.OK, schema.RESULTS["dht provide"])
    code, found = dht(home, nodes[2], "find", key)
    assert (code, tuple(found)) == (Exit.OK, schema.RESULTS["dht find"])
    [peer] = found["peers"]
    assert tuple(peer) == schema.DHT_PEER
    assert (peer["peer_id"], peer["contact"]) == (nodes[1].peer_id, nodes[1].contact)
    code, nobody = dht(home, nodes[2], "find", f"/blake3/{'cd' * 32}")
    assert (code, nobody["peers"]) == (Exit.OK, [])


def test_a_peer_is_found_by_its_key(home, nodes):
    """
    The third node finds the second, which it was never told of; a stranger is not found, exit 3.
    """
    wait_until(lambda: dht(home, nodes[2], "find", nodes[1].peer_id)[0] == Exit.OK, "the second's contact")
    code, found = dht(home, nodes[2], "find", nodes[1].peer_id)
    assert [peer["contact"] for peer in found["peers"]] == [nodes[1].contact]
    code, missing = dht(home, nodes[2], "find", STRANGER, "--timeout", "5")
    assert (code, missing["error"]["code"]) == (Exit.UNAVAILABLE, "not_found")
    assert "stats" in missing["error"]["hint"]


def test_the_path_of_a_lookup_is_drawn(home, nodes):
    """
    ``--trace``: a tree with hop and round trip for people, a list of steps for programs.
    """
    code, found = dht(home, nodes[0], "lookup", nodes[2].peer_id, "--trace")
    assert (code, tuple(found)) == (Exit.OK, (*schema.RESULTS["dht lookup"], "trace"))
    assert {tuple(step) for step in found["trace"]} == {schema.DHT_STEP}
    assert {step["peer_id"] for step in found["trace"]} == {node.peer_id for node in nodes[1:]}
    assert all(step["hop"] >= 1 and step["rtt_ms"] > 0 for step in found["trace"])
    assert found["peers"][0]["peer_id"] == nodes[2].peer_id
    shown = run_program(home, "dht", "lookup", nodes[2].peer_id, "--trace", "--dir", nodes[0].directory)
    text = shown.stdout.decode()
    assert f"lookup {nodes[2].peer_id}" in text
    assert f"── {nodes[1].peer_id[:8]}  hop 1" in text
    assert " ms  shares " in text
    assert "\x1b" not in text


def test_the_node_says_how_it_stands(home, nodes):
    """
    ``dht stats`` has the documented keys, and a line for each in words.
    """
    code, stats = dht(home, nodes[0], "stats")
    assert (code, tuple(stats)) == (Exit.OK, schema.RESULTS["dht stats"])
    assert (stats["state"], stats["server"], stats["k"], stats["alpha"]) == ("joined", True, 20, 3)
    assert stats["records"]["values"] >= 1
    assert stats["counts"]["requests_put_value"] >= 1
    text = run_program(home, "dht", "stats", "--dir", nodes[0].directory).stdout.decode()
    assert "joined" in text
    assert "2 peers" in text


def test_without_a_node_of_its_own_a_command_only_asks(home, nodes):
    """
    A command that starts a node for the moment finds peers through a bootstrap contact, and enters no table.
    """
    directory = home / "visitor"
    run_json(home, "node", "init", "--dir", directory)
    (directory / "node.toml").write_text(f'bootstrap = ["{nodes[0].contact}"]\n')
    code, found = run_json(home, "dht", "find", nodes[1].peer_id, "--dir", directory)
    assert (code, found["peers"][0]["contact"]) == (Exit.OK, nodes[1].contact)
    assert dht(home, nodes[0], "stats")[1]["table"]["peers"] == 2


def test_alone_is_told(home):
    """
    A node that knows nobody says so, and what to do.
    """
    run_json(home, "node", "init", "--dir", home / "alone")
    code, answer = run_json(home, "dht", "find", STRANGER, "--dir", home / "alone")
    assert (code, answer["error"]["code"]) == (Exit.UNAVAILABLE, "not_found")
    assert "knows no other peer" in answer["error"]["message"]
