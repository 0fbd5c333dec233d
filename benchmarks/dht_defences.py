"""What is each defence of the DHT for? Hostile scenarios with all of them, without any, and without each.

Runs ``scenarios/dht-*.toml`` (one process for each core) and prints a table: the share of honest lookups that
succeeded, and for an honest network what each defence costs. ``--out DIR`` writes ``dht-defences.json``,
``dht-defences.md`` and ``images/dht-defences.svg``; ``--quick`` takes smaller networks, to see that it works.
``--only`` runs some scenarios, ``--from FILE`` adds the others as they were measured before.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path

from kontinuum.dht.config import Defences
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Bars, bars
from kontinuum.sim.report.units import Unit
from kontinuum.sim.run import run
from kontinuum.sim.scenario import Scenario, Workload, load

SCENARIOS = Path(__file__).parents[1] / "scenarios"

HOSTILE = ("sybil", "ground", "poison", "eclipse")
"""Scenarios with attackers that run without each defence; ``honest`` comes before them: the same network
without any."""

AIMED = {"flood": "quotas", "crowd": "prefix_caps", "unworked": "verify_contacts", "mute": "ping_first"}
"""Scenarios in which no other defence stands behind one, and that one: they run with all, without any, and
without that."""

HONEST = Scenario(
    name="dht-honest",
    nodes=1000,
    settle_s=20.0,
    duration_s=60.0,
    workload=Workload(lookups=500, records=20, gets=300, contacts=20, resolves=100),
)

QUICK_NODES = 150

DEFENCES = tuple(field.name for field in fields(Defences))

ON, OFF = "all on", "all off"


@dataclass(frozen=True)
class Outcome:
    """One run."""

    scenario: str
    defences: str
    """``all on``, ``all off``, or the one that is off."""
    success_ratio: float
    hops_mean: float
    latency_p50_s: float
    latency_p99_s: float
    requests_per_lookup: float
    digest: str


def chosen(name: str) -> Defences:
    if name in (ON, OFF):
        return Defences() if name == ON else Defences.none()
    return replace(Defences(), **{name: False})


def one(scenario: str, defences: str, nodes: int | None) -> Outcome:
    what = HONEST if scenario == "honest" else load(SCENARIOS / f"dht-{scenario}.toml")
    result = run(what, nodes=nodes, defences=chosen(defences))
    operations = result.operations.values()
    done = sum(each.count for each in operations) or 1
    return Outcome(
        scenario,
        defences,
        result.success_ratio,
        result.hops_mean,
        result.latency_p50_s,
        result.latency_p99_s,
        sum(each.requests_mean * each.count for each in operations) / done,
        result.digest,
    )


def switched(scenario: str) -> tuple[str, ...]:
    """What a scenario runs with."""
    return (ON, OFF, AIMED[scenario]) if scenario in AIMED else (ON, OFF, *DEFENCES)


def measured(scenarios: tuple[str, ...], nodes: int | None) -> list[Outcome]:
    jobs = [(scenario, name) for scenario in scenarios for name in switched(scenario)]
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = [pool.submit(one, scenario, name, nodes) for scenario, name in jobs]
        for (scenario, name), future in zip(jobs, running, strict=True):
            outcome = future.result()
            print(f"{scenario:9} {name:18} {outcome.success_ratio:7.1%}", file=sys.stderr, flush=True)
            outcomes.append(outcome)
    return outcomes


def page(outcomes: list[Outcome]) -> str:
    """Both tables, as Markdown."""
    broad = [each for each in outcomes if each.scenario not in AIMED]
    aimed = [each for each in outcomes if each.scenario in AIMED]
    return "\n".join(text for text in (broad and table(broad), aimed and aimed_table(aimed)) if text)


def aimed_table(outcomes: list[Outcome]) -> str:
    """Markdown: a row for each scenario that is aimed at one defence."""
    by = {(each.scenario, each.defences): each for each in outcomes}
    rows = [
        "| scenario | defence | all on | without it | all off | median, on | without it |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario in dict.fromkeys(each.scenario for each in outcomes):
        name = AIMED[scenario]
        on, off, alone = (by[scenario, chosen] for chosen in (ON, OFF, name))
        rows.append(
            f"| {scenario} | `{name}` | {on.success_ratio:.1%} | {alone.success_ratio:.1%} | "
            f"{off.success_ratio:.1%} | {on.latency_p50_s:.2f} s | {alone.latency_p50_s:.2f} s |"
        )
    return "\n".join(rows) + "\n"


def table(outcomes: list[Outcome]) -> str:
    """Markdown: a row for each choice of defences, a column for each scenario."""
    scenarios = list(dict.fromkeys(each.scenario for each in outcomes))
    by = {(each.scenario, each.defences): each for each in outcomes}
    rows = [
        "| defences | " + " | ".join(scenarios) + " |",
        "|---|" + "---|" * len(scenarios),
    ]
    for name in dict.fromkeys(each.defences for each in outcomes):
        cells = []
        for scenario in scenarios:
            ratio = by[scenario, name].success_ratio
            hurt = by[scenario, ON].success_ratio - ratio > 0.02
            cells.append(f"**{ratio:.1%}**" if hurt else f"{ratio:.1%}")
        label = name if name in (ON, OFF) else f"without `{name}`"
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    rows += ["", "| all on | " + " | ".join(scenarios) + " |", "|---|" + "---|" * len(scenarios)]
    for title, value in (
        ("hops, mean", lambda each: f"{each.hops_mean:.2f}"),
        ("latency, median", lambda each: f"{each.latency_p50_s:.2f} s"),
        ("latency, 99th percentile", lambda each: f"{each.latency_p99_s:.2f} s"),
        ("requests for each lookup", lambda each: f"{each.requests_per_lookup:.1f}"),
        ("requests, all off", None),
    ):
        cells = [
            f"{by[s, OFF].requests_per_lookup:.1f}" if value is None else value(by[s, ON]) for s in scenarios
        ]
        rows.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def picture(outcomes: list[Outcome]) -> str:
    scenarios = list(dict.fromkeys(each.scenario for each in outcomes))
    by = {(each.scenario, each.defences): each for each in outcomes}
    kinds = [Bars(name, [by[scenario, name].success_ratio for scenario in scenarios]) for name in (ON, OFF)]
    axis = Axis("success", Unit.RATIO, low=0.0, high=1.0)
    return bars("Honest lookups that succeeded", axis, scenarios, kinds).file()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the results into this directory")
    parser.add_argument("--quick", action="store_true", help=f"networks of {QUICK_NODES} nodes")
    parser.add_argument("--only", help="scenarios, separated by commas; none if empty")
    parser.add_argument("--from", dest="before", type=Path, help="take the other scenarios from this file")
    arguments = parser.parse_args()
    scenarios = ("honest", *HOSTILE, *AIMED)
    if arguments.only is not None:
        scenarios = tuple(filter(None, arguments.only.split(",")))
    outcomes = measured(scenarios, QUICK_NODES if arguments.quick else None)
    if arguments.before is not None:
        before = [Outcome(**each) for each in json.loads(arguments.before.read_text())]
        outcomes += [each for each in before if each.scenario not in scenarios]
        order = ("honest", *HOSTILE, *AIMED)
        outcomes.sort(key=lambda each: order.index(each.scenario))
    print(page(outcomes), end="")
    if arguments.out is not None:
        (arguments.out / "images").mkdir(parents=True, exist_ok=True)
        report = json.dumps([asdict(each) for each in outcomes], indent=1)
        (arguments.out / "dht-defences.json").write_text(report + "\n")
        (arguments.out / "dht-defences.md").write_text(page(outcomes))
        (arguments.out / "images" / "dht-defences.svg").write_text(picture(outcomes))


if __name__ == "__main__":
    main()
