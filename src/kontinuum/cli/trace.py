"""The path of a lookup as a tree: who named whom, and how fast each of them answered.

Source:  no-color.org for ``NO_COLOR``, which rich obeys.
Trust:   addresses are peers' own words; control characters are shown escaped.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TextIO

from kontinuum.cli.output import milliseconds, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.tree import Tree

PLAIN_COLUMNS = 120
"""Columns of a tree that goes into a file or a pipe. Our choice: no line is broken for want of room."""


def tree_text(title: str, steps: Sequence[Mapping[str, Any]], stream: TextIO) -> str:
    """Return the tree of a traced search, coloured if ``stream`` is a terminal.

    Args:
        title: What was looked for.
        steps: The events of the trace, as the node told them.
        stream: Where the text will go.
    """
    from rich.console import Console

    terminal = stream.isatty()
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=None if terminal else PLAIN_COLUMNS)
    console.print(tree(title, steps), soft_wrap=True)
    return out.getvalue().rstrip("\n")


def tree(title: str, steps: Sequence[Mapping[str, Any]]) -> Tree:
    """Return the tree: below a peer those that it was the first to name."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(printable(title), style="bold"))
    by_peer: dict[str, list[Mapping[str, Any]]] = {}
    for step in sorted(steps, key=lambda step: step["started_ms"]):
        by_peer.setdefault(step["peer_id"], []).append(step)
    branches: dict[str, Tree] = {}
    for peer_id, asked in by_peer.items():
        first = asked[0]
        parent = branches.get(first["via"] or "", root)
        branches[peer_id] = parent.add(_label(peer_id, asked))
    if not by_peer:
        root.add(Text("nobody was asked", style="dim"))
    return root


def _label(peer_id: str, asked: Sequence[Mapping[str, Any]]) -> Any:
    from rich.text import Text

    first = asked[0]
    times = [step["rtt_ms"] for step in asked]
    label = Text(peer_id[:8], style="bold")
    label.append(f"  hop {first['hop']}")
    for rtt_ms in times:
        if rtt_ms is None:
            label.append("  no answer", style="red")
        else:
            label.append(f"  {milliseconds(rtt_ms / 1000)}", style="green")
    label.append(f"  shares {first['shared_bits']} bits")
    label.append(f"  path {first['path'] + 1}  at {first['started_ms']:.1f} ms", style="dim")
    label.append(f"  {printable(str(first['address']))}", style="dim")
    return label
