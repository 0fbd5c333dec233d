"""``kontinuum up``: the main job, with nodes that die, with Ctrl-C on a terminal, with a killed parent."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers.programs import PROGRAM, WAIT_S, Program, environment, run_program, wait_until
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    """A home directory, which is also where temporary directories are made."""
    return tmp_path


def start(home, *arguments, **options):
    """Start ``kontinuum up`` with its temporary directories inside of ``home``."""
    (home / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [*PROGRAM, "up", *arguments],
        env={**environment(home), "TMPDIR": str(home / "tmp")},
        cwd=home,
        **options,
    )


def children_of(pid):
    """Return the process ids of the nodes of a running ``up``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                found.append(int(path.parent.name))
    return found


def is_alive(pid):
    """Say whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def left_behind(home):
    """Return what is left in the temporary directory."""
    return sorted(path.name for path in (home / "tmp").iterdir())


def test_five_nodes_do_all_their_work(home):
    """
    ``up --check --json``: every pair connected, every call answered, message and file verified, exit 0,
    nothing left behind, and quickly.
    """
    started = time.monotonic()
    process = start(home, "--check", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    summary = json.loads(output)
    assert process.returncode == Exit.OK, summary
    assert errors == b""
    assert tuple(summary) == schema.RESULTS["up"]
    assert {tuple(peer) for peer in summary["peers"]} == {schema.UP_PEER}
    assert (summary["nodes"], summary["nodes_alive"]) == (5, 5)
    assert (summary["pairs"], summary["pairs_connected"]) == (10, 10)
    assert (summary["calls_ok"], summary["calls_failed"]) == (20 * 51, 0)
    assert (summary["messages_sent"], summary["messages_verified"]) == (20, 20)
    assert (summary["dht_pairs"], summary["dht_resolved"]) == (20, 20)
    assert (summary["pubsub_published"], summary["pubsub_delivered"]) == (5 * 20, 5 * 20 * 4)
    assert summary["pubsub_delivery_ratio"] == 1.0
    assert (summary["file_bytes"], summary["file_receivers"], summary["file_verified"]) == (8 << 20, 4, True)
    assert summary["problems"] == []
    assert left_behind(home) == []
    # The goal is 10 s on a machine that does nothing else; tests may share theirs.
    assert time.monotonic() - started < 30


def test_a_file_and_a_directory_of_the_users_choice(home):
    """
    The user's file travels; kept directories hold the nodes, their logs, and what they received.
    """
    (home / "mine.txt").write_bytes(b"my own file\n" * 1000)
    done = run_program(
        home,
        "up",
        "--nodes",
        "2",
        "--file",
        "mine.txt",
        "--message",
        "hi",
        "--dir",
        "kept",
        "--check",
        timeout=60,
    )
    assert done.returncode == Exit.OK, done.stderr.decode()
    text = done.stdout.decode()
    assert "mine.txt" in text
    assert "1 of 1 pairs connected" in text
    assert "all is well" in text
    assert (home / "kept" / "received-2" / "mine.txt").read_bytes() == (home / "mine.txt").read_bytes()
    for index in (1, 2):
        assert (home / "kept" / f"node-{index}" / "identity.key").stat().st_mode & 0o777 == 0o600
        assert (home / "kept" / f"node-{index}.log").exists()
    again = run_program(
        home, "up", "--nodes", "2", "--file", "mine.txt", "--dir", "kept", "--check", timeout=60
    )
    assert again.returncode == Exit.OK, again.stderr.decode()


def kill_first_node(process, home):
    """Wait until node 2 of this run runs, kill it, and return its process id."""
    lock = wait_until(lambda: next(iter((home / "tmp").glob("*/node-2/lock")), None), "node 2")
    pid = wait_until(lambda: int(lock.read_text().strip() or 0), "its process id")
    assert pid in children_of(process.pid)
    wait_until((lock.parent / "control.sock").exists, "its control socket")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_node_that_is_killed_is_reported_truthfully(home):
    """
    One node dies in the run: it is named, its pairs are not connected, and the exit code is not 0.
    """
    process = start(home, "--check", "--json", "--nodes", "4", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    kill_first_node(process, home)
    output, errors = process.communicate(timeout=60)
    summary = json.loads(output)
    assert process.returncode == Exit.FAILURE
    assert b"Traceback" not in errors
    assert summary["ok"] is False
    assert (summary["nodes"], summary["nodes_alive"]) == (4, 3)
    assert summary["pairs_connected"] < summary["pairs"] == 6
    assert any("node 2" in problem for problem in summary["problems"])
    assert left_behind(home) == []


def test_a_killed_parent_takes_its_nodes_along(home):
    """
    kill -9 of ``up``: no node survives, and the next run removes what could not be removed then.
    """
    process = start(home, "--check", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(list((home / "tmp").glob("*/node-*/control.sock"))) >= 2, "two nodes")
    children = children_of(process.pid)
    assert len(children) >= 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_alive, children)), "the end of all nodes", 10)
    assert len(left_behind(home)) == 1
    process = start(home, "--check", "--json", "--nodes", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == Exit.OK
    assert left_behind(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_leaves_nothing(home, number):
    """
    Interrupted in the middle: all nodes end, the directory is gone, the summary says so, exit 130.
    """
    process = start(home, "--check", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: list((home / "tmp").glob("*/node-1/control.sock")), "the first node")
    children = children_of(process.pid)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == Exit.INTERRUPTED
    assert b"Traceback" not in errors
    assert json.loads(output)["ok"] is False
    assert not any(map(is_alive, children))
    assert left_behind(home) == []


def read_until(terminal, pattern, seen=b"", seconds=WAIT_S):
    """Read from a terminal until ``pattern`` was seen; return everything."""
    deadline = time.monotonic() + seconds
    while not re.search(pattern, seen):
        assert time.monotonic() < deadline, seen.decode("utf-8", "replace")
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                assert re.search(pattern, seen), seen.decode("utf-8", "replace")
    return seen


def test_on_a_terminal_it_stays_with_a_live_table_until_ctrl_c(home):
    """
    A person sees a table with rates that moves, a dead node in it, and one Ctrl-C ends everything cleanly.
    """
    ours, theirs = pty.openpty()
    process = start(
        home, "--nodes", "3", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    seen = read_until(ours, rb"3 of 3 pairs connected, [1-9]\d* calls per second")
    assert b"Ctrl-C ends the network" in seen
    children = children_of(process.pid)
    assert len(children) == 3
    kill_first_node(process, home)
    seen = read_until(ours, rb"killed by SIGKILL")
    read_until(ours, rb"1 of 3 pairs connected")
    os.write(ours, b"\x03")
    seen = read_until(ours, rb"after \d+\.\d s\r\n")
    assert process.wait(15) == Exit.FAILURE  # A node died, and the summary says so.
    assert b"Traceback" not in seen
    assert b"node 2" in seen
    assert not any(map(is_alive, children))
    assert left_behind(home) == []
    os.close(ours)


def test_ctrl_c_after_all_went_well_ends_with_zero(home):
    """
    Staying until Ctrl-C is the normal end on a terminal.
    """
    ours, theirs = pty.openpty()
    process = start(
        home, "--nodes", "2", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    read_until(ours, rb"1 of 1 pairs connected, [1-9]\d* calls per second")
    read_until(ours, rb"verified")
    os.write(ours, b"\x03")
    read_until(ours, rb"all is well after")
    assert process.wait(15) == Exit.OK
    os.close(ours)


def test_two_runs_do_not_share_a_kept_directory(home):
    """
    The second one is refused with the reason.
    """
    first = Program(home, "up", "--nodes", "2", "--dir", home / "kept", "--check", "--json")
    wait_until((home / "kept" / "node-1").exists, "the first run")
    second = run_program(home, "up", "--nodes", "2", "--dir", home / "kept", "--check")
    assert second.returncode == Exit.UNAVAILABLE
    assert b"in use" in second.stderr
    assert first.json_line()["ok"]
    first.process.wait(10)
    first.end()
