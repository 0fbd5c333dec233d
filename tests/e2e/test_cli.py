"""The real program with real nodes: every command, every JSON schema, wrong input."""

import base64
import json
import signal
import subprocess

import pytest

from helpers.programs import PROGRAM, NodeProcess, Program, environment, run_json, run_program, wait_until
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit

pytestmark = pytest.mark.slow

STRANGER = "5866666666666666666666666666666666666666666666666666666666666666"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def alice(home):
    """A running node."""
    node = NodeProcess(home, "alice")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def bob(home):
    """Another running node."""
    node = NodeProcess(home, "bob")
    yield node
    node.stop()


def test_a_node_says_who_it_is(home, alice):
    """
    The first line of a node, its status and its contact agree, with exactly the documented keys.
    """
    assert tuple(alice.ready) == schema.RESULTS["node run"]
    code, status = run_json(home, "node", "status", "--dir", alice.directory)
    assert (code, tuple(status)) == (Exit.OK, schema.RESULTS["node status"])
    assert status["peer_id"] == alice.peer_id
    assert status["addresses"] == alice.ready["addresses"]
    assert run_json(home, "status", "--dir", alice.directory)[1]["pid"] == status["pid"]
    for verb in ("show", "qr"):
        code, contact = run_json(home, "contact", verb, "--dir", alice.directory)
        assert (code, tuple(contact)) == (Exit.OK, schema.CONTACT)
        assert contact["peer_id"] == alice.peer_id
    shown = run_program(home, "contact", "show", "--dir", alice.directory).stdout.decode()
    assert shown.startswith("kontinuum:")
    assert shown.count("\n") == 1


def test_the_qr_code_is_drawn_without_a_terminal(home, alice):
    """
    The code is a square of blocks on standard output.
    """
    lines = run_program(home, "contact", "qr", "--dir", alice.directory).stdout.decode().splitlines()
    assert len(lines) > 20
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set("█▀▄ ")


def test_nodes_ping_and_call_each_other(home, alice, bob):
    """
    A contact once added, the identity alone is enough, in both text forms; the reply comes byte for byte.
    """
    code, added = run_json(home, "contact", "add", bob.contact, "--dir", alice.directory)
    assert (code, tuple(added)) == (Exit.OK, schema.CONTACT)
    for peer in (bob.peer_id, added["libp2p"], bob.contact):
        code, ping = run_json(home, "ping", peer, "--count", "2", "--interval", "0", "--dir", alice.directory)
        assert (code, tuple(ping)) == (Exit.OK, schema.RESULTS["ping"])
        assert (ping["peer_id"], ping["path"], len(ping["rtt_ms"])) == (bob.peer_id, "direct", 2)
    data = bytes(range(64))
    call = ["call", bob.peer_id, "kontinuum/ping/1", "-", "--dir", alice.directory]
    assert run_program(home, *call, input=data).stdout == data
    code, reply = run_json(home, *call, input=data)
    assert (code, tuple(reply)) == (Exit.OK, schema.RESULTS["call"])
    assert base64.b64decode(reply["data"]) == data
    code, peers = run_json(home, "peers", "--dir", alice.directory)
    assert (code, tuple(peers)) == (Exit.OK, schema.RESULTS["peers"])
    [peer] = [peer for peer in peers["peers"] if peer["peer_id"] == bob.peer_id]
    assert tuple(peer) == schema.PEER
    assert peer["connected"]
    assert b"X25519MLKEM768" in run_program(home, "peers", "--dir", alice.directory).stdout


def test_without_a_directory_a_command_is_a_peer_of_its_own(home, bob):
    """
    ping and call work from a machine that has no node, with a fresh identity.
    """
    code, ping = run_json(home, "ping", bob.contact, "--count", "1")
    assert (code, ping["peer_id"]) == (Exit.OK, bob.peer_id)
    done = run_program(home, "call", bob.contact, "kontinuum/ping/1", "hello")
    assert (done.returncode, done.stdout) == (Exit.OK, b"hello")


def test_a_directory_without_a_running_node_lends_its_identity(home, bob):
    """
    With --dir and no daemon the command speaks as that identity, for the moment.
    """
    _, made = run_json(home, "node", "init", "--dir", home / "carol")
    ping = Program(home, "ping", bob.contact, "--count", "500", "--dir", home / "carol", "--json")

    def is_there():
        peers = run_json(home, "peers", "--dir", bob.directory)[1]["peers"]
        return made["peer_id"] in [peer["peer_id"] for peer in peers if peer["connected"]]

    wait_until(is_there, "the identity of the directory")
    code, _, errors = ping.end(signal.SIGINT)
    assert code == Exit.INTERRUPTED
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["ping", "nonsense"], Exit.MISUSE, "unknown_peer"),
        (["ping", "0" * 64], Exit.MISUSE, "unknown_peer"),
        (["ping", "kontinuum:AAAA"], Exit.PEER, None),
        (["ping", STRANGER, "--timeout", "5"], Exit.UNAVAILABLE, "no_address"),
        (["call", "BOB", "no/such/handler"], Exit.PEER, "unknown_protocol"),
        (["call", "BOB", ""], Exit.MISUSE, None),
        (["call", "BOB", "x" * 200], Exit.MISUSE, None),
        (["send", "file", "BOB"], Exit.PEER, "not_receiving"),
        (["send", "file", STRANGER], Exit.UNAVAILABLE, "no_address"),
        (["send", "file", "nonsense"], Exit.MISUSE, "unknown_peer"),
        (["receive", "--from", "nonsense"], None, None),
        (["contact", "add", "kontinuum:AAAA"], Exit.PEER, None),
        (["node", "run", "--dir", "ALICE"], Exit.MISUSE, "data_dir_locked"),
    ],
)
def test_wrong_input_is_told_with_its_exit_code(home, alice, bob, arguments, code, word):
    """
    Each mistake has one clear line for people, one object for programs, and the exit code of who must act.
    """
    (home / "file").write_bytes(b"x")
    known = {"BOB": bob.contact, "ALICE": alice.directory}
    arguments = [known.get(word, word) for word in arguments]
    if "--dir" not in arguments:
        arguments += ["--dir", alice.directory]
    ended, result = run_json(home, *arguments)
    assert ended != Exit.OK
    if code is not None:
        assert ended == code
    if arguments[0] == "send" and word == "not_receiving":
        assert [file["code"] for file in result["files"]] == [word]
    else:
        assert tuple(result["error"]) == schema.ERROR
        if word is not None:
            assert result["error"]["code"] == word
    human = run_program(home, *arguments)
    assert human.returncode == ended
    assert human.stderr.startswith(b"kontinuum: ") or b"\nkontinuum: " in human.stderr
    assert b"Traceback" not in human.stderr


def test_doctor_and_config_check_look_at_a_directory(home, alice):
    """
    Both have documented keys, and doctor knows that the port belongs to the running node.
    """
    code, doctor = run_json(home, "doctor", "--dir", alice.directory)
    assert tuple(doctor) == schema.RESULTS["doctor"]
    assert {tuple(check) for check in doctor["checks"]} == {schema.CHECK}
    assert code == (Exit.OK if doctor["ok"] else Exit.FAILURE)
    code, _ = run_json(home, "config", "check", "--dir", alice.directory)
    assert code == Exit.OK


def test_a_key_that_others_can_read_is_refused_with_the_repair(home):
    """
    The error says the command that repairs it.
    """
    run_json(home, "node", "init", "--dir", home / "open")
    (home / "open" / "identity.key").chmod(0o644)
    code, result = run_json(home, "node", "run", "--dir", home / "open")
    assert code == Exit.MISUSE
    assert "chmod 600" in result["error"]["message"] + result["error"]["hint"]


def test_a_fresh_contact_counts_more_than_a_saved_address(home):
    """
    Both nodes restart on other ports: the saved addresses lead nowhere, a contact line that is given does.
    """
    nodes = [NodeProcess(home, "mover1"), NodeProcess(home, "mover2")]
    assert run_json(home, "ping", nodes[1].contact, "--dir", nodes[0].directory)[0] == Exit.OK
    for node in nodes:
        node.stop()
        node.start()
    code, result = run_json(home, "ping", nodes[1].contact, "--timeout", "5", "--dir", nodes[0].directory)
    assert code == Exit.OK, result
    for node in nodes:
        node.stop()


def test_a_key_with_a_passphrase_needs_it_and_nobody_waits_for_a_person(home):
    """
    Without a terminal and without the passphrase a command says how to give it; with a wrong one, that it is.
    """
    directory = home / "locked"

    def run_with(passphrase, *arguments):
        extra = {} if passphrase is None else {"KONTINUUM_PASSPHRASE": passphrase}
        done = subprocess.run(
            [*PROGRAM, *arguments, "--dir", str(directory), "--json"],
            env={**environment(home), **extra},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.returncode, json.loads(done.stdout)

    code, made = run_with("correct horse", "node", "init", "--passphrase")
    assert code == Exit.OK
    assert b"ENCRYPTED" in (directory / "identity.key").read_bytes()
    assert run_with("correct horse", "node", "id")[1]["peer_id"] == made["peer_id"]
    code, result = run_with(None, "node", "id")
    assert code == Exit.MISUSE
    assert "KONTINUUM_PASSPHRASE" in result["error"]["message"]
    code, result = run_with("wrong", "node", "run")
    assert code in (Exit.MISUSE, Exit.PEER)
    assert "passphrase" in result["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_ends_in_order(home, number):
    """
    A signal ends the node with 0, its socket is gone, and its directory can be used again at once.
    """
    node = NodeProcess(home, f"short{number}")
    code, _, errors = node.program.end(number)
    assert code == Exit.OK, errors.decode()
    assert b"Traceback" not in errors
    assert not (node.directory / "control.sock").exists()
    node.start()
    code, result = run_json(home, "node", "stop", "--dir", node.directory)
    assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["node stop"])
    assert node.program.process.wait(10) == Exit.OK
    node.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_still_mining_can_be_stopped(home, number):
    """
    A proof of work that would take hours does not keep the process.
    """
    program = Program(home, "node", "run", "--dir", home / "miner", "--pow-bits", "40")
    assert program.process.stderr.readline().startswith(b"proof of work")
    code, output, errors = program.end(number)
    assert (code, output) == (Exit.OK, b"")
    assert b"Traceback" not in errors


def test_a_killed_node_starts_again_in_its_directory(home):
    """
    After kill -9 neither the lock nor the socket is in the way.
    """
    node = NodeProcess(home, "killed")
    first = node.peer_id
    node.kill()
    assert (node.directory / "control.sock").exists()
    assert run_json(home, "status", "--dir", node.directory)[0] == Exit.UNAVAILABLE
    node.start()
    assert node.peer_id == first
    node.stop()


def test_output_into_a_closed_pipe_is_no_error(home):
    """
    ``kontinuum config example | head`` does not complain.
    """
    program = Program(home, "config", "example")
    program.process.stdout.close()
    assert program.process.wait(10) in (Exit.OK, Exit.FAILURE)
    assert b"Traceback" not in program.process.stderr.read()
    program.process.stderr.close()


def test_no_color_and_no_terminal_mean_plain_text(home, alice):
    """
    Without a terminal there is no escape sequence in any output.
    """
    for arguments in (["--help"], ["peers", "--dir", alice.directory], ["doctor"], ["config", "check"]):
        done = run_program(home, *arguments)
        assert b"\x1b" not in done.stdout + done.stderr


def test_the_control_socket_and_directory_are_private(alice):
    """
    Only the owner can talk to a node.
    """
    assert (alice.directory / "control.sock").stat().st_mode & 0o777 == 0o600
    assert alice.directory.stat().st_mode & 0o777 == 0o700
