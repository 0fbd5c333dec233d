"""Runs, comparisons and scenarios as tables: coloured on a terminal, plain text elsewhere.

Source:  no-color.org for ``NO_COLOR``, which rich obeys.
Trust:   texts come from scenario and result files; control characters are shown escaped.
"""

from __future__ import annotations

import io
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from kontinuum.cli.output import printable
from kontinuum.sim.clusters.scenario import ClusterScenario
from kontinuum.sim.gossip.scenario import GossipScenario
from kontinuum.sim.report.figures import KEY_FIGURES, flat, label, operation_rows
from kontinuum.sim.report.plots import KINDS
from kontinuum.sim.report.units import Unit, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from kontinuum.sim.clusters.result import ClusterResult
    from kontinuum.sim.compare import Change, Comparison
    from kontinuum.sim.gossip.result import GossipResult
    from kontinuum.sim.kinds import AnyScenario
    from kontinuum.sim.result import Result

PLAIN_COLUMNS = 120
"""Columns of a table that goes into a file or a pipe. Our choice: no line is broken for want of room."""

COUNTERS_SHOWN_MAX = 12
"""Counters of a run that the table shows, the largest; JSON and page have all. Our choice: a screen."""


def run_text(  # noqa: C901 -- one block after the other
    result: Result | GossipResult | ClusterResult, command: str
) -> str:
    """Return what a run found."""
    data = asdict(result)
    figures = flat(data)
    defences = result.defences.values()
    switched = "on" if all(defences) else "off" if not any(defences) else "partly on"
    title = f"{result.scenario}, seed {result.seed}, defences {switched}"
    blocks: list[RenderableType] = [_words(title, "bold")]
    if result.description:
        blocks.append(_words(result.description, "dim"))
    operations = _table(("operation", *_OPERATION_COLUMNS), numbers=len(_OPERATION_COLUMNS))
    for kind, *cells in operation_rows(data):
        operations.add_row(printable(KINDS.get(kind, kind)), *cells)
    if operations.row_count:
        blocks.append(operations)
    whole = _table(("whole run", ""), numbers=1)
    for name in KEY_FIGURES:
        if name in figures:
            whole.add_row(label(name), str(figures[name]))
    blocks.append(whole)
    expected = _table(("expected", ""))
    for words, held in data.get("expectations", {}).items():
        expected.add_row(words, "yes" if held else "NO")
    if expected.row_count:
        blocks.append(expected)
    for group, most in (
        ("measured", len(figures)),
        ("attack", len(figures)),
        ("counters", COUNTERS_SHOWN_MAX),
    ):
        values = [
            figure for figure in figures.values() if figure.name.startswith(f"{group}.") and figure.value
        ]
        if values:
            largest = (
                sorted(values, key=lambda figure: -figure.value)[:most] if most < len(values) else values
            )
            table = _table((group, ""), numbers=1)
            for figure in largest:
                table.add_row(printable(figure.name.partition(".")[2].replace("_", " ")), str(figure))
            blocks.append(table)
    blocks += [_words(f"event log {result.digest}", "dim"), _words(f"again: {command}", "dim")]
    return drawn(blocks)


_OPERATION_COLUMNS = ("count", "success", "hops", "requests", "median", "90 %", "99 %")


def compare_text(compared: Comparison) -> str:
    """Return what differs between two runs."""
    a, b = (
        f"{one['scenario']}, seed {one['seed']}, {one['nodes']} nodes" for one in (compared.a, compared.b)
    )
    blocks: list[RenderableType] = [_words(f"A  {a}", "bold"), _words(f"B  {b}", "bold")]
    if compared.settings:
        table = _table(("setting", "A", "B"))
        for setting in compared.settings:
            table.add_row(
                *(printable("-" if cell is None else cell) for cell in (setting.name, setting.a, setting.b))
            )
        blocks.append(table)
    if compared.figures:
        table = _table(("figure", "A", "B", "change", ""), numbers=3, words=1)
        for change in compared.figures:
            style = {True: "green", False: "red", None: ""}[change.better]
            table.add_row(printable(label(change.name)), *_cells(change), style=style)
        blocks.append(table)
    same = "the event logs are the same" if compared.same else "the event logs differ"
    blocks.append(_words(f"{same}; {compared.better} figures better, {compared.worse} worse", ""))
    return drawn(blocks)


def list_text(scenarios: Sequence[tuple[AnyScenario, str]]) -> str:
    """Return the scenarios at hand; each with its path."""
    table = _table(("scenario", "nodes", "work", "hostile", "what it shows"), numbers=3, words=1)
    for scenario, _path in scenarios:
        table.add_row(
            printable(scenario.name),
            text(scenario.nodes, Unit.COUNT),
            text(_work(scenario), Unit.COUNT),
            ", ".join(dict.fromkeys(group.kind for group in scenario.hostile)) or "-",
            printable(scenario.description),
        )
    return drawn([table])


def _work(scenario: AnyScenario) -> float:
    """Lookups of the DHT, messages of a topic, or what owners of clusters do."""
    if isinstance(scenario, ClusterScenario):
        acts = scenario.acts
        return acts.revocations + acts.rekeys + acts.orders
    if isinstance(scenario, GossipScenario):
        return scenario.workload.messages_per_s * scenario.duration_s
    work = scenario.workload
    return work.lookups + work.gets + work.resolves + work.provider_lookups


def drawn(blocks: Sequence[RenderableType]) -> str:
    """Return rich blocks as text: with colours if standard output is a terminal."""
    from rich.console import Console
    from rich.table import Table

    target, terminal = io.StringIO(), sys.stdout.isatty()
    console = Console(
        file=target,
        force_terminal=terminal,
        width=None if terminal else PLAIN_COLUMNS,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for before, block in zip([None, *blocks], blocks, strict=False):
        if before is not None and (isinstance(before, Table) or isinstance(block, Table)):
            console.print()
        console.print(block)
    return "\n".join(line.rstrip() for line in target.getvalue().rstrip().split("\n"))


def _cells(change: Change) -> list[str]:
    values = ["-" if value is None else str(change.figure(value)) for value in (change.a, change.b)]
    verdict = {True: "better", False: "worse", None: ""}[change.better]
    return [*values, change_text(change), verdict]


def change_text(change: Change) -> str:
    """Return a change for people: in points for ratios, in per cent for all else."""
    if change.difference is None:
        return "new" if change.a is None else "gone"
    unit = change.figure(0.0).unit
    if unit is Unit.RATIO:
        return f"{change.difference * 100:+.2f} points"
    if change.change is None:
        return f"{'+' if change.difference > 0 else ''}{change.figure(change.difference)}"
    return f"{change.change * 100:+.1f} %"


def _table(header: Sequence[str], *, numbers: int = 0, words: int = 0) -> Table:
    """Return an empty table; its last columns are ``numbers`` of numbers, then ``words`` of words."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    first = len(header) - numbers - words
    for column, name in enumerate(header):
        number = first <= column < first + numbers
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _words(words: str, style: str) -> RenderableType:
    from rich.text import Text

    return Text(printable(words), style=style, overflow="fold")
