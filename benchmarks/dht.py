"""Measure the DHT: its machine alone, and 50 nodes on loopback through the public API.

    python benchmarks/dht.py [--json] [--quick] [--check] [--rounds N]

- lookups per second of the search and of the whole machine, without sockets (``dht_lookups.py``), and the
  bytes of a routing table entry (``dht_table.py``);
- two processes of 25 nodes, which join one after the other: how long that takes, and publishing a contact,
  finding a peer by its key, storing and fetching a record of 256 bytes, one at a time, by all nodes in turn;
- one node in a process of its own, 49 in the other: how many lookups and found peers per second.

A network is warm when all of its nodes are connected, which 50 nodes are soon. Each process has a core of its
own where there are two. Every round starts fresh processes; figures are medians over the rounds.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import dht_lookups
import dht_report as report
import dht_table
from kontinuum import Contact
from peer_process import HERE, Peer, PeerFailedError, cores, machine

IN_FLIGHT = 16
"""Lookups at once of the two rates: a node that serves programs, and more gets no more out of a core."""

RECORD_BYTES = 256
"""Of each record, as in the figures of the others."""

SETTLE_S = 20.0
"""Seconds in which all nodes must be connected; a second or two is usual."""

ASK_TIMEOUT_S = 120.0
"""Seconds after which a command is given up."""


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    seconds: float
    """Of every load that runs for a time."""
    operations: int
    """Of each kind that is timed one at a time, in each process."""
    network: int
    """Peers of the network of the machine alone."""
    budget_s: float
    """No round begins that would end later, as the last one took; the first always runs."""


FULL = Effort(5, 3.0, 200, 1000, budget_s=float("inf"))
QUICK = Effort(3, 1.0, 100, 400, budget_s=42.0)
"""On a busy machine fewer rounds fit into the budget; the report says how many there were."""

Samples = dict[str, list[float]]


class Network:
    """Processes full of nodes that know each other."""

    def __init__(self, peers: list[Peer]) -> None:
        self.peers = peers
        self.identities = ""
        """Of all nodes, as one text."""
        self.join_s = 0.0
        self.joins_ms: list[float] = []
        self.failed = 0

    def open(self, split: tuple[int, ...]) -> None:
        """Start all nodes, and let them meet."""
        contacts: list[str] = []
        began = time.perf_counter()
        for peer, count in zip(self.peers, split, strict=True):
            opened = peer.ask(f"open {count} {''.join(contacts[:1])}", ASK_TIMEOUT_S)
            self.joins_ms += opened["ms"]
            contacts += opened["contacts"]
        self.join_s = time.perf_counter() - began
        self.identities = " ".join(str(Contact.from_text(contact).peer_id) for contact in contacts)
        for peer in self.peers:
            connected = peer.ask(f"settle {SETTLE_S} {sum(split) - 1}", ASK_TIMEOUT_S)["connections"]
            if min(connected) < sum(split) - 1:
                raise PeerFailedError(f"after {SETTLE_S} s a node is connected to {min(connected)} others")

    def timed(self, *commands: str) -> list[float]:
        """Let each process run its command, one after the other; what all operations took, in ms."""
        took: list[float] = []
        for peer, command in zip(self.peers, commands, strict=True):
            answer = peer.ask(command, ASK_TIMEOUT_S)
            self.failed += answer["failed"]
            took += answer["ms"]
        return took

    def rate(self, command: str) -> float:
        """Let the first process run a load for a time; operations per second."""
        answer = self.peers[0].ask(command, ASK_TIMEOUT_S)
        return answer["count"] / answer["seconds"]


@contextmanager
def network(*split: int) -> Iterator[Network]:
    """Start a warm network, with so many nodes in each process; its end is the end of the processes."""
    command = [sys.executable, str(HERE / "dht_peer.py")]
    with ExitStack() as stack:
        made = Network(
            [stack.enter_context(Peer(command, "nodes", core=core)) for core in cores()[: len(split)]]
        )
        made.open(split)
        yield made


def latencies(effort: Effort, samples: Samples) -> None:
    """Time single operations in a network of two equal processes."""
    with network(report.NODES // 2, report.NODES - report.NODES // 2) as net:
        publish = net.timed("publish", "publish")
        find = f"resolve {effort.operations} {net.identities}"
        net.timed(find, find)  # What is loaded lazily must not count.
        resolve = net.timed(find, find)
        put, keys = [], []
        for peer in net.peers:
            answer = peer.ask(f"put {effort.operations} {RECORD_BYTES}", ASK_TIMEOUT_S)
            net.failed += answer["failed"]
            put += answer["ms"]
            keys.append(" ".join(answer["keys"]))
        get = net.timed(*(f"get {theirs}" for theirs in reversed(keys)))  # What the others have stored.
    samples["join_all_s"].append(net.join_s)
    samples["failed"].append(net.failed)
    all_took = {"join": net.joins_ms, "publish": publish, "resolve": resolve, "put": put, "get": get}
    for operation, took in all_took.items():
        for key, value in report.percentiles(operation, took).items():
            samples[key].append(value)


def rates(effort: Effort, samples: Samples) -> None:
    """Load one node that has a process of its own."""
    with network(1, report.NODES - 1) as net:
        net.timed("publish", "publish")
        net.rate(f"lookups 0.3 {IN_FLIGHT}")  # What is loaded lazily must not count.
        samples["lookups_one_per_s"].append(net.rate(f"lookups {effort.seconds} 1"))
        samples["lookups_per_s"].append(net.rate(f"lookups {effort.seconds} {IN_FLIGHT}"))
        samples["resolves_per_s"].append(net.rate(f"resolves {effort.seconds} {IN_FLIGHT} {net.identities}"))
        samples["failed"].append(net.failed)


def without_sockets(effort: Effort, samples: Samples) -> None:
    """Measure the machine, and what a table's entry weighs."""
    alone = dht_lookups.measure(effort.network)
    for key in ("search_per_s", "search_one_path_per_s", "machine_per_s"):
        samples[key].append(alone[key])
    peers, peers_bytes, tables, tables_bytes = dht_table.weigh_network(effort.network)
    samples["entry_bytes"].append(tables_bytes / sum(len(table) for table in tables))
    samples["peer_bytes"].append(peers_bytes / len(peers))


def say(text: str) -> None:
    """Tell the person how far we are; standard output is the report's."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON, the table on stderr")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: within 60 seconds")
    parser.add_argument("--rounds", type=int, help="rounds; default 5, with --quick at most 3")
    parser.add_argument("--check", action="store_true", help="exit 1 if a figure misses its target")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    effort = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or effort.rounds
    samples: Samples = defaultdict(list)
    began = time.monotonic()
    try:
        say("the machine alone")
        without_sockets(effort, samples)
        done, round_s, first = 0, 0.0, time.monotonic()
        while done < rounds and (not done or time.monotonic() - first + round_s < effort.budget_s):
            say(f"round {done + 1} of {rounds}")
            round_began = time.monotonic()
            latencies(effort, samples)
            rates(effort, samples)
            done, round_s = done + 1, time.monotonic() - round_began
    except PeerFailedError as error:
        say(f"benchmark failed: {error}")
        return 2
    method = {
        "nodes": report.NODES,
        "rounds": done,
        "seconds_per_load": effort.seconds,
        "operations": 2 * effort.operations,
        "record_bytes": RECORD_BYTES,
        "in_flight": IN_FLIGHT,
        "machine_peers": effort.network,
        "cores": cores(),
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
