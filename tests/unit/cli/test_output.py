"""What a command writes, and how it ends."""

import json

import pytest

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError
from kontinuum.cli.errors import CliError, Exit, family_of, from_control
from kontinuum.cli.output import Output, columns, printable, size_text
from kontinuum.transfer.errors import TransferInterruptedError


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (MisuseError("x"), Exit.MISUSE),
        (PeerError("x"), Exit.PEER),
        (UnavailableError("x"), Exit.UNAVAILABLE),
        (OSError(28, "full"), Exit.UNAVAILABLE),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (RuntimeError("bug"), Exit.FAILURE),
        (from_control("peer.remote", "x"), Exit.PEER),
        (from_control("misuse.source_file", "x"), Exit.MISUSE),
        (from_control("unavailable.dial_timeout", "x"), Exit.UNAVAILABLE),
        (from_control("connection_lost", "x"), Exit.UNAVAILABLE),
        (from_control("unknown_method", "x"), Exit.MISUSE),
        (from_control("internal", "x"), Exit.FAILURE),
    ],
)
def test_the_exit_code_says_who_must_act(error, family):
    """
    Misuse, the network and the peer have exit codes of their own, also through the control socket.
    """
    assert family_of(error) == family


def test_an_error_is_one_line_and_a_hint(capsys):
    """
    People get the message and what to do; nothing goes to standard output.
    """
    assert Output().error(TransferInterruptedError("gone")) == Exit.UNAVAILABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kontinuum: file transfer interrupted: gone\n  hint: ")


def test_an_error_is_json_for_programs(capsys):
    """
    Programs get code, family, message and hint on standard output.
    """
    Output(json=True).error(CliError("no", family=Exit.MISUSE, code="x", hint="h"))
    captured = capsys.readouterr()
    expected = {"error": {"code": "x", "family": "misuse", "message": "no", "hint": "h"}}
    assert json.loads(captured.out) == expected
    assert captured.err == ""


def test_hostile_text_cannot_drive_the_terminal(capsys):
    """
    Control characters and direction marks from a peer are shown, not obeyed.
    """
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\x1b[2Jb\\u202ec\\n"
    Output().error(PeerError("\x1b]0;owned\x07"))
    assert "\x1b" not in capsys.readouterr().err


def test_columns_are_aligned_and_sizes_readable():
    """
    Tables are for people and for awk; sizes have binary units.
    """
    assert columns([["a", "bb"], ["ccc", "d"]], ["X", "Y"]) == "X    Y\na    bb\nccc  d"
    assert [size_text(n) for n in (0, 1023, 1024, 8 << 20, 3 << 30, 5 << 40, 7 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "8.0 MiB",
        "3.0 GiB",
        "5.0 TiB",
        "7168.0 TiB",
    ]
