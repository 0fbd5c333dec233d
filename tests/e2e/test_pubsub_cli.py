"""``kontinuum pubsub`` with real nodes: every verb, every JSON schema, messages of hostile content."""

import base64
import signal

import pytest

from helpers.programs import NodeProcess, Program, run_json, run_program, wait_until
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def nodes(home):
    """Two running nodes that have met."""
    first, second = NodeProcess(home, "first"), NodeProcess(home, "second")
    run_json(home, "ping", first.contact, "--dir", second.directory)
    yield first, second
    for node in (first, second):
        node.stop()


def pubsub(home, node, *arguments, **options):
    """Run ``kontinuum pubsub`` against a node; return exit code and result."""
    return run_json(home, "pubsub", *arguments, "--dir", node.directory, **options)


def follow(home, node, topic, *arguments):
    """Run ``pubsub sub`` until it has subscribed."""
    program = Program(home, "pubsub", "sub", topic, "--dir", node.directory, *arguments, "--json")
    assert program.json_line() == {"type": "subscribed", "topic": topic}
    return program


def test_what_one_node_publishes_another_one_follows(home, nodes):
    """
    As JSON, line by line: who wrote what; the end after so many messages.
    """
    first, second = nodes
    program = follow(home, first, "news", "--count", "2")
    for text in ("one", "two"):
        code, result = pubsub(home, second, "pub", "news", text)
        assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["pubsub pub"])
        assert (result["messages"], result["bytes"], result["peers"]) == (1, 3, 1)
    messages = [program.json_line() for _ in range(2)]
    assert {tuple(message) for message in messages} == {schema.EVENTS["message"]}
    assert [base64.b64decode(message["data"]) for message in messages] == [b"one", b"two"]
    assert {message["author"] for message in messages} == {second.peer_id}
    end = program.json_line()
    assert tuple(end) == schema.RESULTS["pubsub sub"]
    assert (end["messages"], end["dropped"]) == (2, 0)
    program.end()


def test_each_line_of_the_input_is_a_message(home, nodes):
    """
    More than fit into one request; written as they came with --raw.
    """
    first, second = nodes
    lines = b"".join(b"line %d\n" % number for number in range(250))
    program = Program(home, "pubsub", "sub", "lines", "--dir", first.directory, "--raw", "--count", "250")
    wait_until(lambda: joined(home, first, "lines"), "the subscription")
    done = run_program(home, "pubsub", "pub", "lines", "--lines", "--dir", second.directory, input=lines)
    assert done.returncode == Exit.OK, done.stderr.decode()
    assert b"250 messages" in done.stderr
    output, _ = program.process.communicate(timeout=20)
    assert sorted(output.split(b"line ")) == sorted(
        b"line ".join([b"", *[b"%d" % n for n in range(250)]]).split(b"line ")
    )
    program.end()


def joined(home, node, topic):
    """Whether the node is in a topic."""
    _, result = pubsub(home, node, "peers", topic)
    return any(each["joined"] for each in result["topics"])


def test_messages_cannot_reach_into_the_terminal(home, nodes):
    """
    Escapes, line ends and bytes that are no text are shown as what they are, on one line.
    """
    first, second = nodes
    program = Program(home, "pubsub", "sub", "evil", "--dir", first.directory, "--count", "1")
    wait_until(lambda: joined(home, first, "evil"), "the subscription")
    run_program(home, "pubsub", "pub", "evil", "-", "--dir", second.directory, input=b"\x1b[2Jhi\nall\xff")
    output, _ = program.process.communicate(timeout=20)
    assert output.decode() == f"{second.peer_id[:8]}  \\x1b[2Jhi\\nall\\xff\n"
    program.end()


def test_peers_and_scores_are_shown(home, nodes):
    """
    Topics, meshes, peers, and what a score is made of.
    """
    first, second = nodes
    programs = [follow(home, node, "shared") for node in nodes]

    def meshed():
        _, result = pubsub(home, first, "peers", "shared")
        return result["topics"] and result["topics"][0]["mesh"] == [second.peer_id]

    wait_until(meshed, "a mesh")
    code, result = pubsub(home, first, "peers")
    assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["pubsub peers"])
    assert {tuple(each) for each in result["topics"]} == {schema.PUBSUB_TOPIC}
    (peer,) = result["peers"]
    assert tuple(peer) == schema.PUBSUB_PEER
    assert (peer["peer_id"], peer["protocol"]) == (second.peer_id, "/meshsub/1.2.0")
    code, result = pubsub(home, first, "scores", second.peer_id)
    assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["pubsub scores"])
    (score,) = result["scores"]
    assert tuple(score) == schema.PUBSUB_SCORE
    assert score["connected"]
    assert sum(result["bands"].values()) == 1
    shown = run_program(home, "pubsub", "peers", "--dir", first.directory).stdout.decode()
    assert "shared" in shown
    assert second.peer_id[:8] in shown
    shown = run_program(home, "pubsub", "scores", "--dir", first.directory).stdout.decode()
    assert "COLOCATION" in shown
    assert "graylist -2500" in shown
    for program in programs:
        code, _, errors = program.end(signal.SIGINT)
        assert code == Exit.INTERRUPTED
        assert b"Traceback" not in errors
    wait_until(lambda: not joined(home, first, "shared"), "the end of the subscription")


def test_a_command_without_a_running_node_publishes_as_well(home, nodes):
    """
    It starts a node for the moment, which finds the topic's subscribers; the message arrives before it ends.
    """
    first, _ = nodes
    program = follow(home, first, "visitors", "--count", "1")
    visitor = home / "visitor"
    assert run_program(home, "node", "init", "--dir", visitor).returncode == Exit.OK
    (visitor / "node.toml").write_text(
        f'network = "t"\npow_bits = 4\nbootstrap = ["{first.contact}"]\nlisten = "127.0.0.1:0"\n'
    )
    code, result = run_json(home, "pubsub", "pub", "visitors", "hello", "--dir", visitor)
    assert (code, result["peers"]) == (Exit.OK, 1)
    assert base64.b64decode(program.json_line()["data"]) == b"hello"
    program.end()


def test_nobody_in_the_topic_is_said(home, nodes):
    """
    Exit code 3, after the time that was given.
    """
    code, result = pubsub(home, nodes[0], "pub", "desert", "hello", "--timeout", "0.2")
    assert (code, result["error"]["code"]) == (Exit.UNAVAILABLE, "nobody_there")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("pub", "x" * 257, "hi"), "not_published"), (("scores", "nobody"), "bad_identity")],
)
def test_what_is_wrong_is_misuse(home, nodes, arguments, code):
    """
    Nothing is sent, and the message says why.
    """
    exit_code, result = pubsub(home, nodes[0], *arguments)
    assert exit_code in {Exit.MISUSE, Exit.PEER}
    assert result["error"]["code"].endswith(code)
    assert result["error"]["message"]
