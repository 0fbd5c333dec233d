"""What a person types into a chat."""

from pathlib import Path

import pytest

from kontinuum.cli.chat.lines import (
    HELP,
    Accept,
    Act,
    Direct,
    Help,
    Join,
    Leave,
    LineError,
    Nick,
    Peers,
    Quit,
    Say,
    SendFile,
    Verify,
    parse_line,
)
from kontinuum.cli.chat.wire import ROOM_BYTES_MAX, TEXT_BYTES_MAX


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("hello", Say("hello")),
        ("two\nlines", Say("two\nlines")),
        ("//etc is a path", Say("/etc is a path")),
        ("/me waves", Act("waves")),
        ("/join #Dev", Join("dev")),
        ("/leave", Leave(None)),
        ("/leave dev", Leave("dev")),
        ("/peers", Peers()),
        ("/dm bob are you there?", Direct("bob", "are you there?")),
        ("/nick bob", Nick("bob")),
        ("/send bob /tmp/a file.txt", SendFile("bob", Path("/tmp/a file.txt"))),
        ("/accept", Accept(None)),
        ("/accept bob", Accept("bob")),
        ("/decline bob", Accept("bob", yes=False)),
        ("/verify bob", Verify("bob", confirmed=False)),
        ("/verify bob ok", Verify("bob", confirmed=True)),
        ("/quit", Quit()),
        ("/help", Help()),
    ],
)
def test_each_command_is_understood(line, parsed):
    """
    Every command of the help, and words that are none.
    """
    assert parse_line(line) == parsed


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("   ", "nothing was typed"),
        ("/jion dev", "did you mean /join"),
        ("/xyzzy", "see /help"),
        ("/join", "a room is named by"),
        ("/join a/b", "a room is named by"),
        ("/join " + "r" * (ROOM_BYTES_MAX + 1), "a room is named by"),
        ("/dm bob", "/dm NAME WORDS"),
        ("/send bob", "/send NAME FILE"),
        ("/me", "/me WORDS"),
        ("/nick", "a name has 1 to"),
        ("/nick a b", "a name has 1 to"),
        ("/nick a\u202eb", "a name has 1 to"),
        ("/verify bob yes", "/verify NAME ok"),
        ("x" * (TEXT_BYTES_MAX + 1), "/send NAME FILE"),
    ],
)
def test_what_cannot_be_done_says_what_to_type(line, advice):
    """
    Nothing is sent, and the error says what would work.
    """
    with pytest.raises(LineError, match=advice.replace("/", r"\/")):
        parse_line(line)


def test_the_longest_text_and_the_longest_room_are_allowed():
    """
    Limits are met, not missed by one.
    """
    assert parse_line("x" * TEXT_BYTES_MAX) == Say("x" * TEXT_BYTES_MAX)
    assert parse_line("/join " + "r" * ROOM_BYTES_MAX) == Join("r" * ROOM_BYTES_MAX)


def test_the_help_names_every_command():
    """
    A command that the help does not show would never be found.
    """
    for command in [
        "join",
        "leave",
        "peers",
        "dm",
        "nick",
        "me",
        "send",
        "accept",
        "decline",
        "verify",
        "quit",
    ]:
        assert f"/{command}" in HELP


def test_the_home_of_nobody():
    """
    A path below the home of an account that does not exist is refused, and the chat goes on.
    """
    with pytest.raises(LineError, match="home"):
        parse_line("/send bob ~nobody-of-that-name/file")
