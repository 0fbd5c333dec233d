"""``kontinuum chat``: three real processes, each in a terminal of its own."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from helpers.terminal import Terminal

pytestmark = pytest.mark.slow

KONTINUUM = str(Path(sys.executable).parent / "kontinuum")
COMMON = ["--network", "chat-test", "--pow-bits", "0", "--listen", "127.0.0.1:0", "--no-mdns"]


def chat(nick: str, *more: str, columns: int = 110, cwd: Path | None = None) -> Terminal:
    """Somebody at a terminal."""
    command = [KONTINUUM, "chat", "--room", "dev", "--nick", nick, *COMMON, *more]
    return Terminal(*command, columns=columns, cwd=cwd)


async def contact_on(terminal: Terminal) -> str:
    """The contact that the first lines show."""
    await terminal.see("you are in #dev")
    found = re.search(r"kontinuum:[A-Za-z0-9_-]{100,}", terminal.text)
    assert found, terminal.text
    return found[0]


async def test_three_people_talk(tmp_path):
    """
    Rooms, direct messages, a file, a spoofed name, a paste of several lines, escapes, and who leaves:
    as three people see it.
    """
    async with chat("alice", columns=600, cwd=tmp_path) as alice:
        contact = await contact_on(alice)
        async with (
            chat("bob", "--bootstrap", contact, cwd=tmp_path) as bob,
            chat("a1ice", "--bootstrap", contact, "--plain") as mallory,
        ):
            for terminal in (alice, bob):
                await terminal.see("#dev, 3 here")

            alice.type("good morning\r")
            await bob.see("good morning")
            await mallory.see("good morning")

            # Everybody but the two themselves sees that one name imitates the other.
            await bob.see("NOT")
            await alice.see("the names look alike")

            bob.type("/me waves\r")
            await alice.see("waves")

            bob.paste("first line\nsecond line")
            bob.type("\r")
            await alice.see("first line second line")
            mallory.type("\x1b[31mred\x1b[2J\r")
            await alice.see("\\x1b[31mred\\x1b[2J")

            bob.type("/dm alice#" + fingerprint(alice) + " only for you\r")
            await alice.see("only for you")
            await bob.see("to alice#")
            assert "only for you" not in mallory.text

            bob.type("/nosuch\r")
            await bob.see("there is no /nosuch")

            alice.type("/verify bob\r")
            await alice.see("compare this with bob#")
            bob.type("/verify alice#" + fingerprint(alice) + "\r")
            await bob.see("compare this with alice#")
            code = re.search(r"(?:\d{5} ){7}\d{5}", alice.text)
            assert code
            assert code[0] in bob.text
            alice.type("/verify bob ok\r")
            await alice.see("is verified")

            (tmp_path / "report.txt").write_text("all is well\n")
            alice.type("/send bob report.txt\r")
            await bob.see("/accept or /decline")
            bob.type("/accept\r")
            await alice.see("report.txt, verified")
            await bob.see("verified")
            assert (tmp_path / "kontinuum-downloads" / "report.txt").read_text() == "all is well\n"

            mallory.type("/quit\r")
            await alice.see("has left #dev, or is offline")
            await alice.see("#dev, 2 here")

            bob.type("/join other\r")
            await bob.see("#other, 1 here")
            bob.type("/quit\r")
            assert await asyncio.wait_for(bob.process.wait(), 20) == 0


def fingerprint(terminal: Terminal) -> str:
    """The digits of the person at a terminal, from its first line."""
    found = re.search(r"#dev.* \S+#([0-9a-f]{8})", terminal.screen.display[0])
    assert found, terminal.text
    return found[1]


async def test_what_was_said_earlier_can_be_scrolled_back_to():
    """
    Page Up shows older lines, and what comes meanwhile does not take them away.
    """
    async with chat("alice", columns=600) as alice:
        await contact_on(alice)
        for number in range(40):
            alice.type(f"line number {number} of many\r")
            await alice.see(f"line number {number} of many")
        assert "line number 0 of many" not in alice.text

        alice.type("\x1b[5~\x1b[5~\x1b[5~")
        await alice.see("line number 0 of many")
        alice.type("one more\r\x1b[A")
        await alice.see("line number 0 of many")


async def test_without_a_terminal_it_speaks_in_lines_and_json():
    """
    A program can take part; the end of its input ends it, with exit code 0.
    """
    program = await asyncio.create_subprocess_exec(
        KONTINUUM,
        "chat",
        "--room",
        "dev",
        "--nick",
        "robot",
        *COMMON,
        "--json",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )
    output, _ = await asyncio.wait_for(program.communicate(b"hello\n/xyzzy\n/dm nobody hi\n"), 40)
    events = [json.loads(line) for line in output.splitlines()]

    assert program.returncode == 0
    assert events[0]["type"] == "ready"
    assert [event["lines"] for event in events if event["type"] == "said"] == [["hello"]]
    warnings = " ".join(event["text"] for event in events if event["type"] == "warning")
    assert "/help" in warnings
    assert "nobody here is called nobody" in warnings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--room", "not a room"], "a room is named by"),
        (["--nick", "a b"], "a name has 1 to"),
        (["--bootstrap", "nonsense"], "bootstrap"),
    ],
)
async def test_wrong_options_are_told_at_once(options, words):
    """
    Exit code 2, one line, no traceback.
    """
    program = await asyncio.create_subprocess_exec(
        KONTINUUM, "chat", *options, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(program.communicate(), 40)

    assert program.returncode == 2
    assert words in errors.decode()
    assert "Traceback" not in errors.decode()
