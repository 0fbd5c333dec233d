"""Files between real processes: killed, resumed, refused, attacked."""

import asyncio
import contextlib
import hashlib
import os
import pty
import signal
import subprocess
import time

import pytest

from helpers.programs import (
    PROGRAM,
    NodeProcess,
    Program,
    end_programs,
    environment,
    run_json,
    run_program,
    wait_until,
)
from kontinuum import Node
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit
from kontinuum.node.config import NodeConfig
from kontinuum.transfer.incoming.journal import Journal, journal_name, part_name
from kontinuum.transfer.incoming.leftovers import PART_AGE_MAX_S
from kontinuum.transfer.messages import (
    LENGTH_BYTES,
    PROTOCOL,
    Answers,
    Begin,
    Chunk,
    Code,
    End,
    FileOffer,
    Offer,
    decode,
    encode,
)

pytestmark = pytest.mark.slow

BIG = 192 << 20
GONE = b"A" * 32
"""A peer that does not come back."""


@pytest.fixture(autouse=True)
def _end_programs():
    """Leave no command running, whatever happened."""
    yield
    end_programs()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def alice(home, request):
    """A running node of this test."""
    node = NodeProcess(home, f"a{hash(request.node.name)}")
    yield node
    node.stop()


@pytest.fixture
def bob(home, request):
    """Another running node of this test."""
    node = NodeProcess(home, f"b{hash(request.node.name)}")
    yield node
    node.stop()


@pytest.fixture
def target(tmp_path):
    """The directory that receives."""
    path = tmp_path / "in"
    path.mkdir()
    return path


def receiving(home, node, target, *options):
    """Start ``kontinuum receive`` and wait until it is ready."""
    program = Program(home, "receive", "--to", target, "--dir", node.directory, "--json", *options)
    ready = program.json_line()
    assert tuple(ready) == schema.EVENTS["ready"]
    return program, ready


def big_file(folder, name="big"):
    """Write a file that takes a while to travel."""
    path = folder / name
    with path.open("wb") as file:
        for _ in range(BIG >> 20):
            file.write(os.urandom(1 << 20))
    return path


def digest(path):
    """Return a hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def part_of(target, bytes_min):
    """Return the partial file once it has so many bytes."""
    return next((path for path in target.glob(".*.part") if path.stat().st_size >= bytes_min), None)


def test_several_files_are_sent_and_verified(home, alice, bob, target, tmp_path):
    """
    Several files, an empty one among them, arrive; the JSON of both sides has the documented keys.
    """
    paths = []
    for name, size in [("empty", 0), ("small", 10), ("medium", 3 << 20)]:
        paths.append(tmp_path / name)
        paths[-1].write_bytes(os.urandom(size))
    program, ready = receiving(home, bob, target, "--once")
    code, sent = run_json(home, "send", *paths, ready["contact"], "--dir", alice.directory)
    assert (code, tuple(sent)) == (Exit.OK, schema.RESULTS["send"])
    assert [file["code"] for file in sent["files"]] == ["stored"] * 3
    assert {tuple(file) for file in sent["files"]} == {schema.FILE}
    lines = [program.json_line() for _ in range(3)]
    assert [line["type"] for line in lines] == ["offer", "session", "end"]
    assert [tuple(line) for line in lines[:2]] == [schema.EVENTS["offer"], schema.EVENTS["session"]]
    assert tuple(lines[2]) == schema.RESULTS["receive"]
    assert lines[1]["files"] == sent["files"]
    assert program.process.wait(10) == Exit.OK
    for path in paths:
        assert (target / path.name).read_bytes() == path.read_bytes()
    program.end()


def test_partial_files_that_nobody_continued_go_when_receiving_begins(home, alice, bob, target, tmp_path):
    """
    The command tidies up after peers that never came back; what was written lately stays.
    """
    journal = Journal(GONE, 5, 0, "").encode()
    for name, age_s in (("old", PART_AGE_MAX_S + 60), ("young", PART_AGE_MAX_S - 3600)):
        for path, data in ((part_name(GONE, name), b"hel"), (journal_name(GONE, name), journal)):
            (target / path).write_bytes(data)
            os.utime(target / path, (time.time() - age_s,) * 2)
    (tmp_path / "new").write_bytes(b"hello")
    program, ready = receiving(home, bob, target, "--once")
    assert run_json(home, "send", tmp_path / "new", ready["contact"], "--dir", alice.directory)[0] == Exit.OK

    assert program.process.wait(10) == Exit.OK
    left = {part_name(GONE, "young"), journal_name(GONE, "young"), "new"}
    assert {path.name for path in target.iterdir()} == left


def test_two_commands_without_any_node_are_enough(home, target, tmp_path):
    """
    ``receive`` without a node shows a contact line; ``send`` needs nothing but that line.
    """
    (tmp_path / "note").write_bytes(b"hello")
    program = Program(home, "receive", "--to", target, "--json", "--once")
    ready = program.json_line()
    done = run_program(home, "send", tmp_path / "note", ready["contact"])
    assert done.returncode == Exit.OK, done.stderr.decode()
    assert b"verified" in done.stdout
    assert program.process.wait(10) == Exit.OK
    assert (target / "note").read_bytes() == b"hello"
    program.end()


def test_on_a_terminal_a_bar_shows_how_far_it_is(home, alice, bob, target, tmp_path):
    """
    A person sees name, sizes and rate on standard error; the result stands alone on standard output.
    """
    path = big_file(tmp_path)
    _, ready = receiving(home, bob, target)
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "send", str(path), ready["contact"], "--dir", str(alice.directory)]
    with subprocess.Popen(
        command, env={**environment(home), "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error.
            while block := os.read(ours, 65536):
                seen += block
        output = process.stdout.read()
    os.close(ours)
    assert process.returncode == Exit.OK
    assert b"big" in seen
    assert b"MiB/s" in seen or b"MB/s" in seen
    assert b"\x1b" not in output
    assert b"big: sent 192.0 MiB, verified" in output


def test_nothing_is_overwritten_and_nothing_leaves_the_directory(home, alice, bob, target, tmp_path):
    """
    An existing file stays as it is, and the sender is told with exit code 4.
    """
    (tmp_path / "f").write_bytes(b"new")
    (target / "f").write_bytes(b"old")
    program, ready = receiving(home, bob, target)
    code, sent = run_json(home, "send", tmp_path / "f", ready["contact"], "--dir", alice.directory)
    assert (code, sent["files"][0]["code"]) == (Exit.PEER, "exists")
    assert (target / "f").read_bytes() == b"old"
    code, output, errors = program.end(signal.SIGINT)
    assert code == Exit.INTERRUPTED
    assert b"Traceback" not in errors + output


async def hostile_session(contact, names):
    """Offer hostile names over a real connection; return the answers."""
    config = NodeConfig(network="t", pow_bits=4, listen="127.0.0.1:0")
    async with Node(config) as node:
        stream = await node.open_stream(contact, PROTOCOL)
        await stream.write(encode(Offer(tuple(FileOffer(name, 5) for name in names))))
        length = int.from_bytes(await stream.read_exactly(LENGTH_BYTES), "big")
        answers = decode(await stream.read_exactly(length))
        # A sender that ignores the answers gets nowhere either.
        await stream.write(encode(Begin(0, 0)) + encode(Chunk(5)) + b"owned" + encode(End(b"x" * 32)))
        assert isinstance(answers, Answers)
        return [answer.code for answer in answers.answers]


async def test_a_hostile_sender_cannot_leave_the_directory(home, bob, target):
    """
    Paths, hidden files, devices and deceiving names of a real peer are refused; nothing appears anywhere.
    """
    names = ["../escaped", "/tmp/escaped", "a/b", ".bashrc", "..", "NUL", "a\x00b", "x.\u202egpj", "n" * 300]
    program, ready = await asyncio.to_thread(receiving, home, bob, target)
    assert set(await hostile_session(ready["contact"], names)) == {Code.BAD_NAME}
    assert list(target.iterdir()) == []
    assert not (target.parent / "escaped").exists()
    assert await hostile_session(ready["contact"], ["good"]) == [Code.STORED]
    await asyncio.to_thread(program.end)
    assert [path.name for path in target.iterdir() if not path.name.startswith(".")] == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 70 MiB of our own: 6 MiB above the reserve."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(mounted)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_a_disk_without_room_refuses_before_anything_travels(home, alice, bob, small_disk, tmp_path):
    """
    A file that does not fit is refused in the answer, with exit code 4; one that fits arrives.
    """
    for name, size in [("large", 8 << 20), ("fits", 1 << 20)]:
        (tmp_path / name).write_bytes(os.urandom(size))
    program, ready = receiving(home, bob, small_disk)
    files = [tmp_path / "large", tmp_path / "fits"]
    code, sent = run_json(home, "send", *files, ready["contact"], "--dir", alice.directory)
    assert (code, [file["code"] for file in sent["files"]]) == (Exit.PEER, ["no_space", "stored"])
    assert [path.name for path in small_disk.iterdir()] == ["fits"]
    program.end(signal.SIGINT)


@pytest.mark.parametrize("victim", ["sender", "receiver", "command"])
def test_killed_in_the_middle_it_continues_and_the_file_is_the_same(
    home, alice, bob, target, tmp_path, victim
):
    """
    kill -9 of the sending node, the receiving node or the sending command in mid-transfer: the next run
    continues where it stopped and the file is identical.
    """
    path = big_file(tmp_path)
    program, ready = receiving(home, bob, target)
    sending = Program(home, "send", path, ready["contact"], "--dir", alice.directory, "--json")
    wait_until(lambda: part_of(target, 16 << 20), "16 MiB of the file")
    match victim:
        case "sender":
            alice.kill()
        case "receiver":
            bob.kill()
        case "command":
            sending.kill()
    assert not (target / path.name).exists()
    if victim != "command":
        # The side that lives notices by itself, at the latest when the connection has timed out.
        sending.kill()
    if victim == "sender":
        alice.start()
    if victim == "receiver":
        program.kill()
        bob.start()
        program, ready = receiving(home, bob, target)
    code, sent = run_json(home, "send", path, ready["contact"], "--dir", alice.directory, timeout=120)
    assert code == Exit.OK, sent
    assert sent["files"][0]["resumed_from"] >= 16 << 20
    assert digest(target / path.name) == digest(path)
    assert [each.name for each in target.iterdir()] == [path.name]
    program.end(signal.SIGINT)


def test_a_source_that_changed_after_the_interruption_is_sent_anew(home, alice, bob, target, tmp_path):
    """
    The old beginning is not mixed with the new file.
    """
    path = big_file(tmp_path)
    program, ready = receiving(home, bob, target)
    sending = Program(home, "send", path, ready["contact"], "--dir", alice.directory, "--json")
    wait_until(lambda: part_of(target, 16 << 20), "16 MiB of the file")
    sending.end(signal.SIGINT)
    with path.open("r+b") as file:
        file.write(b"changed")
    code, sent = run_json(home, "send", path, ready["contact"], "--dir", alice.directory, timeout=120)
    assert (code, sent["files"][0]["resumed_from"]) == (Exit.OK, 0)
    assert digest(target / path.name) == digest(path)
    program.end(signal.SIGINT)
