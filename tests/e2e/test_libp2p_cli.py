"""``kontinuum node run --libp2p`` and what the other commands show of libp2p peers."""

import pytest

from helpers.programs import Program, end_programs, run_json, run_program
from kontinuum.cli.errors import Exit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory."""
    yield tmp_path_factory.mktemp("home")
    end_programs()


def start(home, name, *flags):
    """A running node; what it says when it is ready."""
    directory = home / name
    program = Program(home, "node", "run", "--dir", directory, "--listen", "127.0.0.1:0", "--json", *flags)
    return directory, program.json_line()


@pytest.fixture(scope="module")
def alice(home):
    """A node that speaks libp2p: its directory and what it said."""
    return start(home, "alice", "--libp2p")


@pytest.fixture(scope="module")
def bob(home):
    """Another one."""
    return start(home, "bob", "--libp2p")


def test_a_node_says_where_libp2p_reaches_it(home, alice):
    """
    In its first line and in its status, with its identity in libp2p's form.
    """
    directory, ready = alice
    _, status = run_json(home, "node", "status", "--dir", directory)
    assert status["libp2p_addresses"] == ready["libp2p_addresses"]
    (address,) = ready["libp2p_addresses"]
    assert address == f"{ready['addresses'][0]}/p2p/{status['libp2p']}"
    shown = run_program(home, "node", "status", "--dir", directory).stdout.decode()
    assert address in shown


def test_ping_and_peers_show_libp2p_peers(home, alice, bob):
    """
    A libp2p address is a peer for ``ping``; both sides list the other, with libp2p as the path.
    """
    code, result = run_json(home, "ping", bob[1]["libp2p_addresses"][0], "-c", "2", "--dir", alice[0])
    assert code == Exit.OK
    assert result["path"] == "libp2p"
    assert result["count"] == 2
    assert result["rtt_min_ms"] > 0
    for directory, other in ((alice[0], bob[1]), (bob[0], alice[1])):
        _, listed = run_json(home, "peers", "--dir", directory)
        (peer,) = listed["peers"]
        assert (peer["peer_id"], peer["path"], peer["connected"]) == (other["peer_id"], "libp2p", True)
        assert "libp2p" in run_program(home, "peers", "--dir", directory).stdout.decode()
    assert run_json(home, "ping", bob[1]["peer_id"], "-c", "1", "--dir", alice[0])[0] == Exit.OK


def test_errors_are_sentences(home, alice):
    """
    libp2p is off at that node; the address is of another kind; the peer takes no calls.
    """
    directory, ready = start(home, "carol")
    assert ready["libp2p_addresses"] == []
    code, result = run_json(home, "ping", alice[1]["libp2p_addresses"][0], "--dir", directory)
    assert code == Exit.MISUSE
    assert "its setting libp2p is off" in result["error"]["message"]
    code, result = run_json(home, "ping", "/ip4/127.0.0.1/tcp/1/p2p/12D3", "--dir", alice[0])
    assert code == Exit.MISUSE
    assert "QUIC, not TCP" in result["error"]["message"]
