"""Two clusters meet: real nodes, real sockets, the real command line on both sides."""

import asyncio
import contextlib
import json
import re
import sys
import time
from dataclasses import replace

import pytest

from helpers.keys import NOON, OTHER_SEED, Family
from helpers.nodes import eventually, quiet_node
from helpers.programs import NodeProcess, Program, end_programs, environment, run_json, run_program
from helpers.terminal import Terminal
from kontinuum.clusters.book import Book
from kontinuum.clusters.meeting.code import MeetCode
from kontinuum.clusters.meeting.errors import NoInvitationError
from kontinuum.clusters.meeting.messages import PROTOCOL
from kontinuum.keys.backup.words import wordlist
from kontinuum.keys.bodies import Scope
from kontinuum.keys.derivation import RootSeed
from kontinuum.node import meeting as shell
from kontinuum.node.control import ControlServer
from kontinuum.node.meeting_operations import MeetingOperations
from kontinuum.node.operations import _with_family
from kontinuum.transport.errors import StreamResetError

pytestmark = pytest.mark.slow

PROGRAM = (sys.executable, "-m", "kontinuum.cli.main")


class Clusters:
    """As much of ``node.clusters`` as a meeting uses: the real book, and nothing that speaks to others."""

    def __init__(self, node, family, secret):
        self.node, self.signer = node, secret.signing()
        self.book = Book(family.chain, secret.path)

    def identify(self, peer):
        return self.node._neighbours.identify(peer)

    def who(self, peer):
        return self.book.judge(peer).member

    def trust(self, genesis, statements, name, how):
        self.book.merge_trust([self.book.trust_entry(genesis, name, how, self.signer, NOON)])
        self.book.merge(genesis.cluster, statements)
        return self.book.trusted_cluster(genesis.cluster)


class Side:
    """One node of one cluster, and its command line."""

    def __init__(self, home, node, family, secret):
        self.home, self.node, self.family, self.secret = home, node, family, secret
        self.operations = MeetingOperations(node)
        self.meeting = self.operations._meeting
        node._clusters = Clusters(node, family, secret)

    @property
    def trusted(self):
        return [(each.name, each.how) for each in self.node.clusters.book.trusted()]

    def command(self, *arguments):
        return [*PROGRAM, "meet", *map(str, arguments), "--dir", str(self.home)]

    async def program(self, *arguments):
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            env=environment(self.home),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@contextlib.asynccontextmanager
async def side(home, family, secret):
    """A node that listens on loopback and answers the command line."""
    home.mkdir()
    async with quiet_node(secret.signing()) as node:
        this = Side(home, node, family, secret)
        methods = {name: _with_family(method) for name, method in this.operations.methods().items()}
        async with ControlServer(home / "control.sock", methods):
            yield this


@pytest.fixture
async def sides(tmp_path):
    """The server of one cluster and the laptop of another."""
    a, b = Family(), Family(OTHER_SEED)
    async with (
        side(tmp_path / "a", a, a.server.epoch) as alice,
        side(tmp_path / "b", b, b.laptop.epoch) as bob,
    ):
        yield alice, bob


async def event(program):
    """The next object that a command writes."""
    async with asyncio.timeout(30):
        line = await program.stdout.readline()
    if not line:
        raise AssertionError((await program.stderr.read()).decode())
    return json.loads(line)


async def ended(program, stdin=None):
    """How a command ends: its code, what it wrote since, and its errors."""
    async with asyncio.timeout(30):
        out, errors = await program.communicate(stdin)
    assert b"Traceback" not in errors, errors.decode()
    return program.returncode, out.decode(), errors.decode()


async def test_two_clusters_meet_by_text_with_words_compared_by_a_script(sides):
    """
    One shows a code, the other reads it from standard input; each gets the other's words through a pipe and
    trusts; far below a minute.
    """
    alice, bob = sides
    began = time.monotonic()
    shown = await alice.program("show", "--name", "bob", "--words-from", "-", "--json")
    code = await event(shown)
    joined = await bob.program("join", "-", "--as", "Bob", "--words-from", "-", "--json")
    joined.stdin.write(code["code"].lower().encode() + b"\n")
    seen_by_bob, words_of_bob = await event(joined), await event(joined)
    seen_by_alice, words_of_alice = await event(shown), await event(shown)
    joined.stdin.write((" ".join(words_of_alice["words"]) + "\n").encode())
    shown.stdin.write((", ".join(words_of_bob["words"]).upper() + "\n").encode())
    trusted = [await event(joined), await event(shown)]

    assert [(await ended(each))[0] for each in (joined, shown)] == [0, 0]
    assert words_of_alice == words_of_bob
    assert len(words_of_alice["words"]) == 4
    assert set(words_of_alice["words"]) <= set(wordlist())
    assert [each["type"] for each in (code, seen_by_alice, words_of_alice, trusted[0])] == [
        "code",
        "peer",
        "words",
        "trusted",
    ]
    assert seen_by_alice["calls_itself"] == "Bob"
    assert seen_by_alice["cluster"] == bob.family.chain.cluster.hex()
    assert seen_by_alice["root"] == bytes(bob.family.root.public).hex()
    assert (seen_by_alice["place"], seen_by_alice["label"]) == ("/0/0", "laptop")
    assert [each["label"] for each in seen_by_bob["nodes"]] == ["steward", "laptop", "phone", "server"]
    assert "secret" not in seen_by_bob
    assert (alice.trusted, bob.trusted) == ([("bob", "meet")], [("server", "meet")])
    assert alice.node.clusters.book.resolve("bob:laptop") == bob.node.peer_id
    assert time.monotonic() - began < 60


async def test_people_at_terminals_see_the_code_and_the_words_and_say_yes(sides):
    """
    The QR code fits a terminal of 80 columns; the same words stand on both screens; each is asked once. Names
    of the other side cannot drive the terminal.
    """
    alice, bob = sides
    async with Terminal(*alice.command("show"), columns=80, lines=70) as shown:
        await shown.see("Ctrl-C ends it")
        text = re.search(r"KMEET1:[A-Z2-7\s]+", shown.text)[0].split("\n\n")[0]
        assert shown.text.count("█") > 100
        async with Terminal(*bob.command("join", "--as", "\x1b[2JBob\u202e"), columns=80, lines=40) as joined:
            await joined.see("which may take several lines")
            joined.type("\r".join(line.strip() for line in text.splitlines()) + "\r")
            for screen in (joined, shown):
                await screen.see("do you trust it? [y/N]")
            words = [
                re.search(r"^ {4}([a-z]+ [a-z]+ [a-z]+ [a-z]+) *$", screen.text, re.MULTILINE)[1]
                for screen in (joined, shown)
            ]
            assert words[0] == words[1]
            assert "\\x1b[2JBob\\u202e" in shown.text
            joined.type("y\r")
            shown.type("y\r")
            assert await joined.process.wait() == 0
            assert await shown.process.wait() == 0
    assert (alice.trusted, bob.trusted) == ([("jbob", "meet")], [("server", "meet")])


async def test_who_says_no_trusts_nobody_and_the_other_side_is_free(sides):
    """
    One declines, the other trusts: each decides for himself.
    """
    alice, bob = sides
    async with Terminal(*alice.command("show", "--no-qr"), columns=300) as shown:
        await shown.see("Ctrl-C ends it")
        code = re.search(r"KMEET1:[A-Z2-7]+", shown.text)[0]
        joined = await bob.program("join", code, "--yes", "--json")
        assert (await ended(joined))[0] == 0
        await shown.see("do you trust it? [y/N]")
        shown.type("\r")
        assert await shown.process.wait() == 1
        await shown.see("nothing was changed on this side")
    assert (alice.trusted, bob.trusted) == ([], [("server", "meet")])


async def test_other_words_trust_nobody(sides):
    """
    The words that came from the other side are not ours: the command says what that means and ends so.
    """
    alice, bob = sides
    shown = await alice.program("show", "--words-from", "-", "--json")
    code = await event(shown)
    joined = await bob.program("join", code["code"], "--yes", "--json")
    assert (await ended(joined))[0] == 0
    await event(shown)
    await event(shown)
    returned, out, _ = await ended(shown, b"zoo zoo zoo zoo\n")

    assert returned == 4
    assert json.loads(out)["error"]["code"] == "words_differ"
    assert alice.trusted == []


async def test_nobody_is_asked_without_a_terminal(sides):
    """
    Before any code is shown, the command says which options decide.
    """
    for arguments in (("show",), ("join", "KMEET1:AAAA"), ("show", "--json")):
        returned, out, errors = await ended(await sides[0].program(*arguments), b"")
        assert returned == 2
        assert "KMEET1:" not in out
        assert "--words-from" in out + errors
    assert sides[0].meeting._host.code is None


async def test_a_used_code_is_refused_and_so_is_one_after_ctrl_c(sides):
    """
    The second who comes hears that nobody waits; so does who comes after the command was interrupted.
    """
    alice, bob = sides
    shown = await alice.program("show", "--yes", "--json")
    code = (await event(shown))["code"]
    assert (await ended(await bob.program("join", code, "--yes", "--json")))[0] == 0
    assert (await ended(shown))[0] == 0

    interrupted = await alice.program("show", "--yes", "--json")
    second = (await event(interrupted))["code"]
    interrupted.send_signal(2)
    assert (await ended(interrupted))[0] == 130
    await eventually(lambda: alice.meeting._host.code is None)

    for each in (code, second):
        returned, out, _ = await ended(await bob.program("join", each, "--yes", "--json"))
        assert returned == 3
        assert json.loads(out)["error"]["code"] == "no_invitation"


async def test_mistakes_with_the_code_are_told_before_anybody_is_dialled(sides):
    """
    A slip, another text, a code of our own cluster, a name that cannot be one.
    """
    alice, bob = sides
    code = alice.meeting.invite().text()
    slip = code[:40] + ("A" if code[40] != "A" else "B") + code[41:]
    for arguments, stdin, word in [
        (("join", slip), b"", "mistyped_code"),
        (("join", "-"), b"hello\n\n", "meet_code"),
        (("join", "-"), b"", "meet_code"),
        (("join", code, "--name", "home"), b"", "bad_name"),
        (("join", code, "--image", "x.png"), b"", "usage"),
    ]:
        returned, out, _ = await ended(await bob.program(*arguments, "--yes", "--json"), stdin)
        assert returned in {2, 4}
        assert json.loads(out)["error"]["code"] == word
    returned, out, _ = await ended(await alice.program("join", code, "--yes", "--json"), b"")
    assert json.loads(out)["error"]["code"] == "own_cluster"
    assert alice.meeting._host.code is not None


async def test_one_code_at_a_time(sides):
    """
    A second command is told so, and the first goes on.
    """
    alice, _ = sides
    shown = await alice.program("show", "--yes", "--json")
    await event(shown)
    returned, out, _ = await ended(await alice.program("show", "--yes", "--json"))

    assert (returned, json.loads(out)["error"]["code"]) == (2, "invitation_open")
    assert alice.meeting._host.code is not None
    shown.kill()
    await shown.wait()


async def test_pictures_of_the_code_are_private_and_gone_at_the_end(sides, tmp_path):
    """
    PNG, SVG and page hold the code while it is good, for their owner only; nothing is overwritten.
    """
    alice, bob = sides
    files = {kind: tmp_path / f"code.{kind}" for kind in ("png", "svg", "html")}
    options = ("--png", files["png"], "--svg", files["svg"], "--page", files["html"])
    shown = await alice.program("show", *options, "--yes", "--json")
    code = (await event(shown))["code"]

    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.values())
    page = files["html"].read_text()
    assert code in re.sub(r"[^A-Z2-7:1]", "", page)
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|<link|<img", page)
    assert files["svg"].read_text().count("<path") >= 1
    again = await bob.program("show", *options, "--yes", "--json")
    assert json.loads((await ended(again))[1])["error"]["code"] == "already_exists"
    assert (await ended(await bob.program("join", code, "--yes", "--json")))[0] == 0
    assert (await ended(shown))[0] == 0
    assert not any(path.exists() for path in files.values())


async def test_a_picture_of_the_code_is_read_with_the_extra_camera(sides, tmp_path):
    """
    The PNG that one side wrote is what the other side scans; a picture without a code is told.
    """
    pytest.importorskip("cv2")
    alice, bob = sides
    picture = tmp_path / "code.png"
    shown = await alice.program("show", "--png", picture, "--yes", "--json")
    await event(shown)
    other = tmp_path / "other.png"
    other.write_bytes(b"no picture")
    returned, out, _ = await ended(await bob.program("join", "--image", other, "--yes", "--json"))
    assert (returned, json.loads(out)["error"]["code"]) == (2, "bad_image")

    assert (await ended(await bob.program("join", "--image", picture, "--yes", "--json")))[0] == 0
    assert (await ended(shown))[0] == 0
    assert alice.trusted


async def test_a_node_is_found_by_its_key_where_the_addresses_are_of_no_use(sides):
    """
    A code with a dead address, or none: the contact that the guest has from elsewhere leads to the node.
    """
    alice, bob = sides
    dead = replace(alice.node.addresses[0], port=1)
    for addresses in ((dead,), ()):
        alice.meeting.withdraw()
        code = replace(alice.meeting.invite(), addresses=addresses)
        alice.meeting._host._open.code = code
        bob.node.add_contact(alice.node.contact)
        waiting = asyncio.create_task(alice.meeting.wait())

        pending = await bob.meeting.join(MeetCode.parse(code.text()))

        assert pending.met.numbers == (await waiting).met.numbers
        await bob.node.disconnect(alice.node.peer_id)


async def test_two_who_come_at_once_make_one_meeting(sides, tmp_path):
    """
    The slower one is told, whichever it is; the host meets exactly one.
    """
    alice, bob = sides
    third = Family(RootSeed(bytes(range(64, 96))))
    async with side(tmp_path / "c", third, third.server.epoch) as carol:
        code = alice.meeting.invite()
        waiting = asyncio.create_task(alice.meeting.wait())
        both = await asyncio.gather(bob.meeting.join(code), carol.meeting.join(code), return_exceptions=True)
        met = (await waiting).met

    failures = [each for each in both if isinstance(each, Exception)]
    winners = [each for each in both if not isinstance(each, Exception)]
    assert [type(each) for each in failures] == [NoInvitationError]
    assert [each.met.numbers for each in winners] == [met.numbers]


async def test_a_message_that_never_comes_ends(sides, monkeypatch):
    """
    A stream on which nothing is said is closed, and the invitation stays.
    """
    monkeypatch.setattr(shell, "REQUEST_S", 0.1)
    alice, bob = sides
    alice.meeting.invite()
    await bob.node.connect(alice.node.contact)
    async with await bob.node.open_messages(alice.node.peer_id, PROTOCOL) as stream:
        async with asyncio.timeout(5):
            with pytest.raises(StreamResetError):
                await stream.receive()
    assert alice.meeting._host.code is not None


async def test_nobody_comes(sides, monkeypatch):
    """
    After its time the command is told, and another code can be shown; a meeting that nobody decided is over.
    """
    monkeypatch.setattr(shell, "INVITATION_S", 0.1)
    alice, bob = sides
    alice.meeting.invite()
    with pytest.raises(shell.InvitationOverError):
        await alice.meeting.wait()
    code = alice.meeting.invite()
    monkeypatch.setattr(shell, "INVITATION_S", 30)
    monkeypatch.setattr(shell, "CONFIRM_S", 0)
    waiting = asyncio.create_task(alice.meeting.wait())
    pending = await bob.meeting.join(code)
    await waiting

    with pytest.raises(shell.NoMeetingError):
        bob.meeting.confirm(pending.meeting, "alice")
    with pytest.raises(shell.NoMeetingError):
        bob.meeting.confirm("0" * 16, "alice")
    assert bob.trusted == []


async def test_a_flood_of_wrong_secrets_withdraws_the_code_and_says_so(sides, monkeypatch):
    """
    The waiting command ends with the reason.
    """
    monkeypatch.setattr("kontinuum.clusters.meeting.machine.FAILURES_MAX", 1)
    alice, bob = sides
    code = alice.meeting.invite()
    waiting = asyncio.create_task(alice.meeting.wait())
    with pytest.raises(NoInvitationError):
        await bob.meeting.join(replace(code, secret=bytes(16)))
    with pytest.raises(shell.InvitationOverError, match="somebody tries codes"):
        await waiting


async def test_a_revoked_node_meets_nobody_by_a_chain_that_says_so(sides):
    """
    Neither shows a code nor takes one.
    """
    alice, bob = sides
    code = alice.meeting.invite()
    bob.family.author(bob.family.root).revoke(bob.family.steward.branch.path, Scope.PLACE, NOON)

    returned, out, _ = await ended(await bob.program("join", code.text(), "--yes", "--json"))
    assert (returned, json.loads(out)["error"]["code"]) == (4, "revoked_key")
    returned, out, _ = await ended(await bob.program("show", "--yes", "--json"))
    assert json.loads(out)["error"]["code"] == "revoked_key"


def test_real_nodes_call_each_other_by_name_after_they_met(tmp_path):
    """
    Two clusters from nothing, two node processes, one code on a pipe: well below a minute, and each reaches
    the other's node by its name.
    """
    began, nodes = time.monotonic(), {}
    for name in ("a", "b"):
        root = tmp_path / f"{name}.root"
        for command in (
            ("keys", "new-root", root, "--unprotected"),
            ("cluster", "init", "--root", root, "--label", "server", "--unprotected", "--dir", name),
        ):
            assert run_program(tmp_path, *command).returncode == 0
        nodes[name] = NodeProcess(tmp_path, name)
    try:
        shown = Program(tmp_path, "meet", "show", "--name", "bob", "--yes", "--dir", "a", "--json")
        code = shown.json_line()["code"]
        returned, trusted = run_json(
            tmp_path, "meet", "join", "-", "--name", "alice", "--yes", "--dir", "b", input=code.encode()
        )
        assert (returned, trusted["name"], trusted["how"]) == (0, "alice", "meet")
        seen = [shown.json_line()["type"] for _ in range(3)]
        assert seen == ["peer", "words", "trusted"]
        for here, there, peer in (("a", "bob:server", "b"), ("b", "alice:server", "a")):
            returned, pinged = run_json(tmp_path, "ping", there, "--count", "1", "--dir", here)
            assert (returned, pinged["peer_id"]) == (0, nodes[peer].peer_id)
        assert time.monotonic() - began < 60
    finally:
        end_programs()
        for node in nodes.values():
            node.stop()


async def test_a_node_without_a_cluster_is_told_how_to_get_one(sides):
    """
    And a command without a node, how to start one.
    """
    alice, bob = sides
    alice.node._clusters = None
    returned, out, _ = await ended(await alice.program("show", "--yes", "--json"))
    assert (returned, json.loads(out)["error"]["code"]) == (2, "cluster_off")
    assert "kontinuum cluster init" in out
    bob.home = bob.home / "nowhere"
    returned, out, _ = await ended(
        await asyncio.create_subprocess_exec(
            *bob.command("show", "--yes", "--json"), stdout=-1, stderr=-1, stdin=-1
        )
    )
    assert (returned, json.loads(out)["error"]["code"]) == (3, "not_running")
