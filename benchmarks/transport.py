"""Measure the public API against aioquic and against a Rust program of the same engine, side by side.

    python benchmarks/transport.py [--json] [--quick] [--only KEY,...] [--without NAME] [--engine] [--runs N]

Two processes per contestant on loopback, each on a core of its own where there are two. A round runs every
load as kontinuum, aioquic, rust, so that what else the machine does hits all three alike; figures are medians
over the rounds, and the ratios are what counts: see docs/performance.md.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import report
from peer_process import Peer, PeerFailedError, build_rust_peer, commands, cores, machine

IDLE_CONNECTIONS = 1000
"""Connections held open by the memory load. The issue's table."""

IDLE_NODES = {"kontinuum": (25, 40)}
"""Nodes on the two sides of the memory load: a pair of nodes shares one connection, so a thousand
connections take 25 nodes each joined to 40. The others open all of theirs from one endpoint to another."""

IDLE_SETTLE_S = 1.0
"""Seconds between the last handshake and the reading of memory."""

LOAD_TIMEOUT_S = 60.0
"""Seconds after which a load is given up: the slowest takes some 10 s."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    """Of every load that runs for a time."""
    bulk_less: dict[str, int]
    """MiB for whoever is slower by far; the rate does not depend on the amount."""
    bulk_mebibytes: int
    """MiB for all others."""
    idle_rounds: int
    budget_s: float
    """No round begins that would end later, as the last one took; the first always runs."""


FULL = Effort(5, 2.0, {"aioquic": 64}, 1024, idle_rounds=2, budget_s=float("inf"))
QUICK = Effort(3, 0.4, {"aioquic": 8}, 256, idle_rounds=1, budget_s=45.0)
"""On a busy machine fewer rounds fit into the budget; the report says how many there were."""

Samples = dict[str, dict[str, list[float]]]


def command_for(key: str, name: str, effort: Effort) -> str:
    """Give the line that makes a client run the load of ``key``."""
    match key:
        case "rpc_seq_per_s":
            return f"calls {effort.seconds} 1"
        case "rpc_50_per_s":
            return f"calls {effort.seconds} 50"
        case "rpc_500_per_s":
            return f"calls {effort.seconds} 500"
        case "bulk_mb_per_s":
            return f"bulk {effort.bulk_less.get(name, effort.bulk_mebibytes)}"
        case "handshakes_per_s":
            return f"handshakes {effort.seconds}"
        case _:
            raise AssertionError(key)


def rate(answer: dict) -> float:
    """Turn a client's answer into a rate: bytes into MB/s, anything else into counts per second."""
    if "bytes" in answer:
        return answer["bytes"] / answer["seconds"] / 1e6
    return answer["count"] / answer["seconds"]


def start_pair(name: str, stack: ExitStack, nodes: tuple[int, int] = (1, 1)) -> tuple[Peer, Peer]:
    """Start a server and a client of ``name``, which ``stack`` will end."""
    command = commands()[name]
    extra = [["--nodes", str(count)] if count > 1 else [] for count in nodes]
    server_core, client_core = cores()
    server = stack.enter_context(Peer(command, "serve", "0", *extra[0], core=server_core))
    client = stack.enter_context(Peer(command, "client", *server.ready["peers"], *extra[1], core=client_core))
    return server, client


def measure_rates(names: list[str], keys: list[str], effort: Effort, samples: Samples) -> None:
    """Run one round: every load on every contestant, with fresh processes."""
    with ExitStack() as stack:
        clients = {name: start_pair(name, stack)[1] for name in names}
        for key in keys:
            for name in names:
                answer = clients[name].ask(command_for(key, name, effort), LOAD_TIMEOUT_S)
                samples[name][key].append(rate(answer))
                say(f"  {name:10} {report.figure(samples[name][key][-1]):>10} {report.UNITS[key]}")


def measure_memory(names: list[str], samples: Samples) -> None:
    """Compare resident memory before and after a thousand idle connections; the larger side counts."""
    for name in names:
        with ExitStack() as stack:
            pair = start_pair(name, stack, IDLE_NODES.get(name, (1, 1)))
            client = pair[1]
            client.ask("calls 0.2 1", LOAD_TIMEOUT_S)  # What is loaded lazily must not count.
            before = [peer.resident_bytes() for peer in pair]
            opened = client.ask(f"idle {IDLE_CONNECTIONS}", LOAD_TIMEOUT_S)["connections"]
            time.sleep(IDLE_SETTLE_S)
            after = [peer.resident_bytes() for peer in pair]
        sides = [(late - early) / opened for early, late in zip(before, after, strict=True)]
        for side, value in zip(("server", "client"), sides, strict=True):
            samples[name][f"idle_conn_bytes_{side}"].append(value)
        samples[name]["idle_conn_bytes"].append(max(sides))
        say(f"  {name:10} {sides[0]:10,.0f} server {sides[1]:10,.0f} client, bytes per idle connection")


def say(text: str) -> None:
    """Tell the person how far we are; standard output is the report's."""
    print(text, file=sys.stderr, flush=True)


def versions() -> dict[str, str]:
    """Give the versions of what is compared."""
    found = {}
    for package in ("kontinuum", "aioquic"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON, the table on stderr")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: within 50 seconds")
    parser.add_argument("--only", help="measure only these, comma-separated: " + " ".join(report.UNITS))
    parser.add_argument("--without", action="append", default=[], choices=report.CONTESTANTS)
    parser.add_argument("--engine", action="store_true", help="the engine below the API as well")
    parser.add_argument("--runs", type=int, help="rounds; default 5, with --quick 3")
    parser.add_argument("--check", action="store_true", help="exit 1 if a figure misses what is wanted")
    arguments = parser.parse_args()
    arguments.keys = arguments.only.split(",") if arguments.only else list(report.UNITS)
    unknown = set(arguments.keys) - set(report.UNITS)
    if unknown:
        parser.error(f"--only: no such key: {', '.join(sorted(unknown))}")
    if arguments.runs is not None and arguments.runs < 1:
        parser.error("--runs: at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    effort = QUICK if arguments.quick else FULL
    names = [name for name in report.CONTESTANTS if name not in arguments.without]
    if arguments.engine:
        names.insert(0, "engine")
    rounds = arguments.runs or effort.rounds
    samples: Samples = {name: defaultdict(list) for name in names}
    try:
        if "rust" in names:
            build_rust_peer()
        began = time.monotonic()
        if "idle_conn_bytes" in arguments.keys:
            for _ in range(min(effort.idle_rounds, rounds)):
                measure_memory(names, samples)
        rates = [key for key in arguments.keys if key != "idle_conn_bytes"]
        done, round_s = 0, 0.0
        while rates and done < rounds and (not done or time.monotonic() - began + round_s < effort.budget_s):
            say(f"round {done + 1} of {rounds}")
            round_began = time.monotonic()
            measure_rates(names, rates, effort, samples)
            done, round_s = done + 1, time.monotonic() - round_began
    except PeerFailedError as error:
        say(f"benchmark failed: {error}")
        return 2
    method = {
        "rounds": done,
        "seconds_per_load": effort.seconds,
        "bulk_mebibytes": {name: effort.bulk_less.get(name, effort.bulk_mebibytes) for name in names},
        "idle_connections": IDLE_CONNECTIONS,
        "cores": cores(),
        "versions": versions(),
        "elapsed_s": round(time.monotonic() - began, 1),
    }
    result = report.build(samples, machine(), method)
    if arguments.json:
        say("\n" + report.table(result))
        print(json.dumps(result, indent=2))
    else:
        print(report.table(result))
    return 1 if arguments.check and not result["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
