"""Measure what a throughput figure hides: waiting under load, cost at rest, and time to start.

    python benchmarks/latency.py [--json] [--quick] [--check]

- the 99th percentile of a call while bulk flows on another connection of the same node;
- the share of a core that a node with 50 idle connections uses, keep-alives included;
- the time from the start of a process to a node that accepts connections, without proof of work;
- the time of ``import kontinuum``.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from peer_process import Peer, PeerFailedError, commands, cores, machine

IDLE_CONNECTIONS = 50
"""Connections of the node at rest. The issue that asked for these figures."""

REST_S = {"quick": 5.0, "full": 35.0}
"""Seconds at rest: the full run spans two keep-alives of 15 s."""

BULK_MEBIBYTES = {"quick": 1024, "full": 4096}
"""Sent beside the calls; calls are timed while it lasts."""

STARTS = 7
"""Processes started for the two start-up figures; their median counts."""

IMPORTS = {"import_s": "import kontinuum", "import_node_s": "from kontinuum import Node, NodeConfig"}
"""What a program that merely mentions the package pays, and what one that makes a node pays."""

TIMED = "from time import perf_counter; start = perf_counter(); {}; print(perf_counter() - start)"
"""A program that says how long a statement takes in a fresh interpreter."""


@dataclass(frozen=True)
class Bound:
    """A figure must stay below this."""

    key: str
    below: float
    unit: str
    what: str


BOUNDS = (
    Bound("loaded_p99_ms", 5.0, "ms", "99th percentile of a call beside bulk"),
    Bound("idle_core_percent", 1.0, "%", f"share of a core, {IDLE_CONNECTIONS} idle connections"),
    Bound("start_s", 0.5, "s", "process start to a listening node"),
    Bound("import_s", 0.3, "s", "import kontinuum"),
)
"""The issue's bounds; the 99th percentile is meant beside 1 GB/s, or what the machine can do."""


def pair(stack: ExitStack, server_nodes: int, client_nodes: int) -> tuple[Peer, Peer]:
    """Start a server and a client process with so many nodes each."""
    command = commands()["kontinuum"]
    server_core, client_core = cores()
    server = stack.enter_context(Peer(command, "serve", "0", "--nodes", str(server_nodes), core=server_core))
    contacts = server.ready["peers"]
    client = stack.enter_context(
        Peer(command, "client", *contacts, "--nodes", str(client_nodes), core=client_core)
    )
    return server, client


def under_load(effort: str) -> dict[str, float]:
    """Time calls to one node while bulk flows to another; both live in the same process."""
    with ExitStack() as stack:
        answer = pair(stack, 2, 1)[1].ask(f"mixed {BULK_MEBIBYTES[effort]} 10", timeout_s=120.0)
    figures = {f"{state}_{key}": answer[state][key] for state in ("calm", "loaded") for key in answer[state]}
    return {**figures, "bulk_mb_per_s": answer["bulk_mb_per_s"]}


def at_rest(effort: str) -> dict[str, float]:
    """Let one node with 50 connections do nothing, and read what that cost."""
    with ExitStack() as stack:
        server, client = pair(stack, 1, IDLE_CONNECTIONS)
        client.ask(f"idle {IDLE_CONNECTIONS}", timeout_s=60.0)
        time.sleep(1.0)
        before, began = server.processor_s(), time.monotonic()
        time.sleep(REST_S[effort])
        used, elapsed = server.processor_s() - before, time.monotonic() - began
    return {"idle_core_percent": 100.0 * used / elapsed, "idle_seconds": elapsed}


def start_up(_effort: str) -> dict[str, float]:
    """Start nodes and bare interpreters in fresh processes."""
    whole, node = [], []
    for _ in range(STARTS):
        with Peer(commands()["kontinuum"], "serve", "0", core=cores()[0]) as peer:
            whole.append(peer.start_s)
            node.append(peer.ready["node_start_s"])
    imports = {
        key: median(run(TIMED.format(statement)) for _ in range(STARTS)) for key, statement in IMPORTS.items()
    }
    return {"start_s": median(whole), "node_start_s": median(node), **imports}


def run(program: str) -> float:
    """Run a program in a fresh interpreter and take the number that it prints."""
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


MEASUREMENTS: tuple[Callable[[str], dict[str, float]], ...] = (start_up, under_load, at_rest)


def verdicts(figures: dict[str, float]) -> list[dict[str, object]]:
    """Hold the figures against :data:`BOUNDS`."""
    return [
        {
            "key": bound.key,
            "below": bound.below,
            "unit": bound.unit,
            "measured": figures[bound.key],
            "passed": figures[bound.key] < bound.below,
        }
        for bound in BOUNDS
    ]


def table(figures: dict[str, float]) -> str:
    """Lay the figures out as plain text."""
    lines = []
    for bound in BOUNDS:
        word = "ok" if figures[bound.key] < bound.below else "MISSED"
        lines.append(
            f"{bound.what:44}{figures[bound.key]:10.3f} {bound.unit:3} below {bound.below:g}  {word}"
        )
    calm, loaded = (
        " / ".join(f"{figures[f'{state}_{key}_ms']:.3f}" for key in ("p50", "p99", "max"))
        for state in ("calm", "loaded")
    )
    lines += [
        f"{'bulk beside the calls':44}{figures['bulk_mb_per_s']:10.0f} MB/s",
        f"{'a call without bulk: p50 / p99 / max':44}  {calm} ms",
        f"{'a call beside bulk: p50 / p99 / max':44}  {loaded} ms",
        f"{'of the start, the node itself':44}{figures['node_start_s']:10.3f} s",
        f"{'import of Node and NodeConfig':44}{figures['import_node_s']:10.3f} s",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON, the table on stderr")
    parser.add_argument("--quick", action="store_true", help="shorter runs, some 15 seconds")
    parser.add_argument("--check", action="store_true", help="exit 1 if a figure misses its bound")
    arguments = parser.parse_args()
    effort = "quick" if arguments.quick else "full"
    figures: dict[str, float] = {}
    try:
        for measure in MEASUREMENTS:
            print(f"{measure.__name__} ...", file=sys.stderr, flush=True)
            figures.update(measure(effort))
    except (PeerFailedError, subprocess.CalledProcessError) as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 2
    checks = verdicts(figures)
    if arguments.json:
        print("\n" + table(figures), file=sys.stderr)
        print(json.dumps({"kontinuum": figures, "checks": checks, "machine": machine()}, indent=2))
    else:
        print(table(figures))
    return 0 if not arguments.check or all(row["passed"] for row in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
