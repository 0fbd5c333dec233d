"""Run every scenario of topics, with scoring and without, and write what came of it.

    python benchmarks/gossip_scenarios.py --out docs [--only NAME ...]

Writes ``gossip-scenarios.json`` and two pictures in ``images/``. With ``--only``, the other figures stay as
they are in the file. Everything but the times follows from the scenarios and their seeds; some ten minutes.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from kontinuum.sim.gossip.run import run
from kontinuum.sim.gossip.scenario import GossipScenario
from kontinuum.sim.kinds import load
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Line, cumulative, distribution, lines
from kontinuum.sim.report.units import Unit

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"

KEPT = (
    "nodes",
    "hostile",
    "published",
    "delivery_ratio",
    "worst_delivery_ratio",
    "latency_p50_s",
    "latency_p99_s",
    "duplicates_per_delivery",
    "bytes_sent_per_byte_delivered",
    "wall_s",
    "peak_rss_bytes",
    "digest",
    "attack",
    "latencies_s",
    "series",
)

WITHOUT = {"gossip-large": "idontwant"}
"""What is off in the second run of a scenario that has no attackers; of the others it is scoring."""


def runs(scenario: GossipScenario):
    """Each run of a scenario: what is off in it, and its changed settings."""
    yield "", scenario
    switch = "scoring" if scenario.hostile else WITHOUT.get(scenario.name)
    if switch:
        yield switch, replace(scenario, gossip=replace(scenario.gossip, **{switch: False}))


def measure(names: list[str], found: dict) -> dict:
    """Run the scenarios; what was found before stays for the others."""
    for path in sorted(SCENARIOS.glob("gossip-*.toml")):
        if names and path.stem not in names:
            continue
        for off, scenario in runs(load(path)):
            data = json.loads(run(scenario).to_json())
            key = f"{path.stem} without {off}" if off else path.stem
            found[key] = {name: data[name] for name in KEPT}
            found[key]["latencies_s"] = [round(one, 4) for one in data["latencies_s"][::5]]
            found[key]["series"] = {
                name: [round(one, 4) for one in values] for name, values in data["series"].items()
            }
            print(
                f"{key:42} delivered {data['delivery_ratio']:.4f}  p99 {data['latency_p99_s']:.2f} s  "
                f"duplicates {data['duplicates_per_delivery']:.2f}  {data['wall_s']:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return dict(sorted(found.items()))


def pictures(found: dict, folder: Path) -> None:
    """Draw how long deliveries took, and what an attack did over time."""
    curves = [
        Line(name.removeprefix("gossip-"), cumulative(one["latencies_s"]))
        for name, one in found.items()
        if name in ("gossip-1k", "gossip-churn", "gossip-coldboot", "gossip-flood")
    ]
    axis = Axis("from publishing to delivery", Unit.SECONDS, log=True)
    (folder / "gossip-latency.svg").write_text(distribution("Latency of deliveries", axis, curves).file())
    ratios = [
        Line(
            label,
            list(zip(found[name]["series"]["at_s"], found[name]["series"]["delivery_ratio"], strict=True)),
        )
        for label, name in (("with scoring", "gossip-flood"), ("without", "gossip-flood without scoring"))
        if name in found
    ]
    plot = lines(
        "Delivered in time under a flood",
        Axis("simulated time", Unit.SECONDS),
        Axis("share", Unit.RATIO, low=0.0, high=1.0),
        ratios,
    )
    (folder / "gossip-flood.svg").write_text(plot.file())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the report")
    parser.add_argument("--only", nargs="*", default=[], help="scenarios to run")
    arguments = parser.parse_args()
    path = arguments.out / "gossip-scenarios.json"
    found = json.loads(path.read_text()) if arguments.only and path.exists() else {}
    for name in arguments.only or sorted(one.stem for one in SCENARIOS.glob("gossip-*.toml")):
        found = measure([name], found)
        path.write_text(json.dumps(found, separators=(",", ": ")) + "\n")
    pictures(found, arguments.out / "images")


if __name__ == "__main__":
    main()
