"""What a person sees of a meeting, and says to it: whom he met, which words, whether he trusts.

Trust:    names and labels come from the other side: they are shown escaped and cut. Nothing is trusted
          without a yes, or an option that says so; nobody is asked without a terminal.
"""

from __future__ import annotations

import sys
import termios
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.meeting_code import fingerprint
from kontinuum.cli.output import fields, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NODES_LISTED_MAX = 12
"""Nodes that are shown to a person. Our choice: they fit a screen; the number of all is told."""

LABEL_CHARS_MAX = 32
"""Characters of a foreign name or label that are shown. Our choice; a longer one is cut."""

WORDS_BYTES_MAX = 1024
"""Bytes that are read for the other side's words. Our choice; more is none."""


class Decision:
    """How it is decided whether to trust.

    Args:
        yes: Trust whomever we meet.
        words_from: Trust if this file or pipe (``-``: standard input) has the same words; read when ours are
            known.

    Raises:
        CliError: Nothing is given and nobody can be asked, or both are.
    """

    def __init__(self, *, yes: bool, words_from: Path | None) -> None:
        self._yes = yes
        self._words_from = words_from
        if yes and words_from is not None:
            raise CliError("--yes and --words-from exclude each other", family=Exit.MISUSE, code="usage")
        if not yes and words_from is None and not can_ask():
            raise CliError(
                "somebody has to compare the words, and there is no terminal to ask on",
                family=Exit.MISUSE,
                code="nobody_to_ask",
                hint="--words-from FILE reads the other side's words; --yes trusts whoever comes",
            )

    def trusts(self, words: str) -> bool:
        """Whether to trust whom we met.

        Args:
            words: The words on this side.

        Raises:
            CliError: The words of the other side are others.
        """
        if self._yes:
            return True
        if self._words_from is None:
            sys.stderr.write("Does the other side read the same words, and do you trust it? [y/N] ")
            sys.stderr.flush()
            # What was typed or pasted before the question is no answer to it.
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
            return sys.stdin.readline().strip().lower() in {"y", "yes"}
        if _plain(_read(self._words_from)) != _plain(words):
            raise CliError(
                "the other side has other words: somebody may stand between you; nothing is trusted",
                family=Exit.PEER,
                code="words_differ",
                hint="meet again with a new code, and look at each other's screens",
            )
        return True


def can_ask() -> bool:
    """Whether there is a person at a terminal, who wants no JSON."""
    return bool(sys.stdin and sys.stdin.isatty()) and not state.output.json


def words_of(peer: Mapping[str, Any]) -> str:
    """The words that people compare."""
    from kontinuum.keys.backup.words import wordlist

    listed = wordlist()
    return " ".join(listed[number] for number in peer["word_numbers"])


def show_peer(peer: Mapping[str, Any], name: str, words: str) -> None:
    """Show whom we met, and what it means to trust it."""
    shown = {key: peer[key] for key in peer if key not in {"meeting", "word_numbers"}}
    nodes = [f"{each['place']} {cut(each['label'])}".rstrip() for each in peer["nodes"][:NODES_LISTED_MAX]]
    more = peer["nodes_total"] - len(nodes)
    text = fields(
        {
            "calls itself": cut(peer["calls_itself"]) or "-",
            "cluster": fingerprint(peer["cluster"]),
            "root key": fingerprint(peer["root"]),
            "this node": f"{peer['place']} {cut(peer['label'])}  key {peer['key'][:16]}",
            "its nodes": ", ".join(nodes) + (f" and {more} more" if more > 0 else ""),
            "known as": peer["known_as"] or "-",
        }
    )
    state.output.event(shown, text)
    state.output.event({"type": "words", "words": words.split()}, f"\n    {words}\n")
    state.output.note(
        f"If you trust it, all nodes of your cluster know every node of that one as {name}:LABEL,\n"
        f"also those that its root adds later, until: kontinuum cluster untrust {name}"
    )


def cut(text: str) -> str:
    """A foreign name, escaped and not too long."""
    escaped = printable(text)
    return escaped if len(escaped) <= LABEL_CHARS_MAX else escaped[: LABEL_CHARS_MAX - 1] + "…"


def _plain(words: str) -> list[str]:
    return "".join(letter if letter.isalpha() else " " for letter in words.lower()).split()


def _read(source: Path) -> str:
    if str(source) == "-":
        return sys.stdin.readline(WORDS_BYTES_MAX)
    with source.open(encoding="utf-8", errors="replace") as file:
        return file.readline(WORDS_BYTES_MAX)
