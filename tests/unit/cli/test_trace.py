"""The path of a lookup as a tree."""

import io

from kontinuum.cli.trace import tree_text


def step(peer, via=None, started_ms=0.0, rtt_ms=1.0, hop=1, path=0, address="192.0.2.1"):
    """One request of a trace."""
    return {
        "type": "step",
        "peer_id": peer * 64,
        "address": address,
        "via": None if via is None else via * 64,
        "path": path,
        "hop": hop,
        "started_ms": started_ms,
        "rtt_ms": rtt_ms,
        "shared_bits": 7,
    }


def test_each_peer_stands_below_the_one_that_named_it():
    """
    In the order in which they were asked, with hop, round trip and path; a silent one is told as such.
    """
    steps = [
        step("c", via="a", started_ms=3.0, rtt_ms=None, hop=2),
        step("a", rtt_ms=0.25),
        step("b", started_ms=1.0, rtt_ms=1500.0, path=2),
        step("a", started_ms=5.0, rtt_ms=0.5),
    ]
    lines = tree_text("get something", steps, io.StringIO()).splitlines()
    assert lines == [
        "get something",
        "├── aaaaaaaa  hop 1  0.25 ms  0.50 ms  shares 7 bits  path 1  at 0.0 ms  192.0.2.1",
        "│   └── cccccccc  hop 2  no answer  shares 7 bits  path 1  at 3.0 ms  192.0.2.1",
        "└── bbbbbbbb  hop 1  1.50 s  shares 7 bits  path 3  at 1.0 ms  192.0.2.1",
    ]


def test_a_lookup_that_asked_nobody_says_so():
    """
    The tree is never empty.
    """
    assert "nobody was asked" in tree_text("x", [], io.StringIO())


def test_hostile_addresses_cannot_drive_the_terminal():
    """
    Control characters are shown, not obeyed; nor is markup.
    """
    text = tree_text("[red]x[/red]", [step("a", address="\x1b[2J[bold]y")], io.StringIO())
    assert "\x1b" not in text
    assert "[red]x[/red]" in text
    assert "\\x1b[2J[bold]y" in text
