"""``kontinuum sim``."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import JsonOption
from kontinuum.cli.sim.files import complete

app = typer.Typer(
    help="Whole networks in virtual time: the code of a node, thousands of times.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Switch(StrEnum):
    """Whether all defences are on."""

    ON = "on"
    OFF = "off"


ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="A TOML file, or the name of one in scenarios/.",
        autocompletion=complete,
    ),
]

SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Another seed than the scenario's.")
]

NodesOption = Annotated[
    int | None,
    typer.Option("--nodes", "-n", min=2, max=1_000_000, help="Another number of honest nodes."),
]

DefencesOption = Annotated[
    Switch | None,
    typer.Option("--defences", help="All defences of the DHT on or off, whatever the scenario says."),
]

ScoringOption = Annotated[
    Switch | None,
    typer.Option("--scoring", help="Peer scores of topics on or off, whatever the scenario says."),
]

ResultArgument = Annotated[Path, typer.Argument(help="What `kontinuum sim run --out` wrote.")]


@app.command("run")
def run(  # noqa: PLR0917 -- typer passes by name
    scenario: ScenarioArgument,
    seed: SeedOption = None,
    nodes: NodesOption = None,
    defences: DefencesOption = None,
    scoring: ScoringOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the result as JSON.")] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Write every event, one line each. Gigabytes.")
    ] = None,
    _json: JsonOption = False,
) -> None:
    """Run a scenario and report what it found.

    The same scenario, seed and code give the same run, event for event: the digest says so.
    """
    from contextlib import ExitStack

    from kontinuum.cli.sim.files import open_events, scenario_path, shown, writable, write
    from kontinuum.cli.sim.progress import SimulationBar
    from kontinuum.sim.kinds import load
    from kontinuum.sim.kinds import run as simulate
    from kontinuum.sim.report.page import page

    output = state.output
    path = scenario_path(scenario)
    loaded = load(path)
    for file in (html, out, events):
        writable(file)
    options = _options(
        loaded.seed if seed is None else seed,
        loaded.nodes if nodes is None else nodes,
        defences=defences,
        scoring=scoring,
    )
    command = shlex.join(["kontinuum", "sim", "run", shown(path), *options])
    with ExitStack() as stack:
        log = None if events is None else stack.enter_context(open_events(events))
        bar = stack.enter_context(SimulationBar(output, loaded.name))
        result = simulate(
            loaded,
            seed=seed,
            nodes=nodes,
            defences=None if defences is None else defences is Switch.ON,
            scoring=None if scoring is None else scoring is Switch.ON,
            progress=bar.update,
            events=log,
            command=command,
        )
    if out is not None:
        write(out, result.to_json(indent=1) + "\n")
    if html is not None:
        write(html, page(result, command=command))
    from dataclasses import asdict

    from kontinuum.cli.sim.tables import run_text

    output.result(asdict(result), "" if output.json else run_text(result, command))


def _options(seed: int, nodes: int, **switches: Switch | None) -> list[str]:
    given = [(f"--{name}", switch.value) for name, switch in switches.items() if switch is not None]
    switched = [word for option in given for word in option]
    return ["--seed", str(seed), "--nodes", str(nodes), *switched]


@app.command("compare")
def compare(a: ResultArgument, b: ResultArgument, _json: JsonOption = False) -> None:
    """Show what differs between two runs: settings, figures, and whether for the better."""
    from kontinuum.cli.sim.files import read_result
    from kontinuum.cli.sim.tables import compare_text
    from kontinuum.sim.compare import compare as compare_results

    compared = compare_results(read_result(a), read_result(b))
    state.output.result(compared.to_json(), compare_text(compared))


@app.command("list")
def list_scenarios(_json: JsonOption = False) -> None:
    """List the scenarios at hand."""
    from kontinuum.cli.sim.files import known, shown
    from kontinuum.cli.sim.tables import list_text
    from kontinuum.sim.kinds import load

    loaded = [(load(path), shown(path)) for path in known().values()]
    entries = [
        {
            "name": scenario.name,
            "path": path,
            "description": scenario.description,
            "nodes": scenario.nodes,
            "seed": scenario.seed,
            "kind": getattr(scenario, "kind", "dht"),
            "hostile": [group.kind for group in scenario.hostile],
        }
        for scenario, path in loaded
    ]
    if not entries:
        state.output.note("no scenarios here; `kontinuum sim run` takes the path of a TOML file")
    state.output.result({"scenarios": entries}, list_text(loaded) if entries else "")


@app.command("replay")
def replay(result: ResultArgument, _json: JsonOption = False) -> None:
    """Do a run again, from its result alone, and say whether it did the same, event for event."""
    from kontinuum.cli.sim.files import read_result
    from kontinuum.cli.sim.progress import SimulationBar
    from kontinuum.sim.kinds import from_dict
    from kontinuum.sim.kinds import run as simulate

    before = read_result(result)
    scenario = from_dict(before["settings"])
    with SimulationBar(state.output, scenario.name) as bar:
        again = simulate(scenario, progress=bar.update)
    same = again.digest == before["digest"]
    words = "the same, event for event" if same else "another run: the code has changed since"
    data = {
        "same": same,
        "scenario": again.scenario,
        "seed": again.seed,
        "nodes": again.nodes,
        "digest": again.digest,
        "digest_before": before["digest"],
        "wall_s": again.wall_s,
    }
    state.output.result(data, f"{words}\nbefore  {before['digest']}\nnow     {again.digest}")
    if not same:
        raise typer.Exit(Exit.FAILURE)
