"""Measure topics: the router alone, and networks on loopback through the public API.

    python benchmarks/gossip.py [--json] [--quick] [--check] [--rounds N] [--build-go]

- messages per second through one router, with and without signatures (``gossip_router.py``);
- 8 nodes in two processes, each connected to each, all of which publish 256 bytes again and again: how many
  messages are delivered per second, to all of them together;
- 20 nodes with four random links each: messages of 256 bytes, 20 a second, and 200 without a pause: what part
  of them arrives;
- 50 nodes in four processes, the same load: how long messages take.

Beside it runs the same load through go-libp2p (``go_pubsub/``, all hosts in one process), if --build-go has
built it before. Processes share two cores. Every round starts fresh ones; figures are medians over rounds.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import gossip_report as report
import gossip_router
from peer_process import HERE, Peer, PeerFailedError, cores, machine

GO_SOURCE = HERE / "go_pubsub"
GO_PROGRAM = HERE.parent / "build" / "benchmarks" / "go-pubsub"

MESSAGE_BYTES = 256
"""Of each message, as in the figures of the others."""

RATE = 20
"""Messages a second of one publisher, as in the figures of the others."""

LINKS = 4
"""Nodes that each node dials, of those before it, as in the figures of the others."""

BURST = 200
"""Messages without a pause, as in the figures of the others."""

SETTLE_S = 15.0
"""Seconds in which all nodes must have their meshes; a second or two is usual."""

ARRIVE_S = 10.0
"""Seconds after the last message in which all must have arrived, as in the figures of the others."""

ASK_TIMEOUT_S = 120.0
"""Seconds after which a command is given up."""

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    router_messages: int
    exchange_s: float
    messages: int
    """That one publishes at RATE."""
    go_settle_s: float
    budget_s: float
    """No round begins that would end later, as the last one took; the first always runs."""


FULL = Effort(3, 20_000, 5.0, 200, 4.0, budget_s=float("inf"))
QUICK = Effort(1, 5_000, 2.0, 60, 2.0, budget_s=50.0)


class Network:
    """Processes full of nodes in one topic."""

    def __init__(self, peers: list[Peer]) -> None:
        self.peers = peers
        self._places: list[tuple[int, int]] = []
        """Process and number in it, of each node."""
        self._contacts: list[str] = []

    def open(self, split: tuple[int, ...], links: int | None, seed: int) -> None:
        """Start all nodes, link each to so many before it, or to all, and let them join."""
        for place, (peer, count) in enumerate(zip(self.peers, split, strict=True)):
            self._contacts += peer.ask(f"open {count}", ASK_TIMEOUT_S)["contacts"]
            self._places += [(place, index) for index in range(count)]
        rng = random.Random(seed)  # noqa: S311 -- which links, no secret
        for number in range(1, len(self._places)):
            wanted = number if links is None else min(links, number)
            contacts = [self._contacts[other] for other in rng.sample(range(number), wanted)]
            place, index = self._places[number]
            self.peers[place].ask(f"link {index} {' '.join(contacts)}", ASK_TIMEOUT_S)
        for peer in self.peers:
            peer.ask("join", ASK_TIMEOUT_S)
        for peer, count in zip(self.peers, split, strict=True):
            if peer.ask(f"settle {SETTLE_S}", ASK_TIMEOUT_S)["meshed"] < count:
                raise PeerFailedError(f"after {SETTLE_S} s a node has no mesh")

    def publish(self, messages: int, rate: float) -> tuple[dict[str, float], float]:
        """Let the first node publish; what became of it at all others, and the longest call."""
        published = self.peers[0].ask(f"publish 0 {messages} {rate} {MESSAGE_BYTES}", ASK_TIMEOUT_S)
        took: list[list[float]] = []
        for place, peer in enumerate(self.peers):
            skip = int(place == 0)  # Who published hears nothing.
            took += peer.ask(f"heard {messages} {ARRIVE_S} {skip}", ASK_TIMEOUT_S)["took_ms"][skip:]
        return report.delivery(took, messages), published["longest_ms"]

    def figures(self) -> dict[str, float]:
        """What all routers counted, together."""
        told = [peer.ask("figures", ASK_TIMEOUT_S) for peer in self.peers]
        return {key: sum(each[key] for each in told) for key in told[0]}


@contextmanager
def network(*split: int, links: int | None, seed: int = 1) -> Iterator[Network]:
    """Start a network that has its meshes; its end is the end of the processes."""
    command = [sys.executable, str(HERE / "gossip_peer.py")]
    places = [cores()[number % 2] for number in range(len(split))]
    with ExitStack() as stack:
        made = Network([stack.enter_context(Peer(command, "nodes", core=core)) for core in places])
        made.open(split, links, seed)
        yield made


def router_alone(effort: Effort, samples: Samples) -> None:
    """Measure the machine, without sockets."""
    for key, verified in (("router_msgs_per_s", False), ("router_signed_msgs_per_s", True)):
        samples[key].append(
            max(gossip_router.measure(count=effort.router_messages, verified=verified) for _ in range(3))
        )


def loopback(effort: Effort, samples: Samples) -> None:
    """Let eight nodes exchange messages as fast as they can."""
    with network(4, 4, links=None) as net:
        before = net.figures()
        seconds = effort.exchange_s
        asked = f"exchange {seconds} {MESSAGE_BYTES}"
        for peer in net.peers:
            peer.begin(asked)
        told = [peer.answer(ASK_TIMEOUT_S, asked) for peer in net.peers]
        after = net.figures()
    samples["loopback_msgs_per_s"].append(sum(each["heard"] / each["seconds"] for each in told))
    used = after["processor_s"] - before["processor_s"]
    samples["verify_cpu_ratio"].append((after["verify_s"] - before["verify_s"]) / used)


def twenty(effort: Effort, samples: Samples) -> None:
    """Measure what part of messages arrives: paced, and in a burst."""
    with network(10, 10, links=LINKS) as net:
        paced, _ = net.publish(effort.messages, RATE)
        burst, _ = net.publish(BURST, 0)
    samples["delivery_ratio_20"].append(paced["ratio"])
    samples["latency_p99_20_ms"].append(paced["p99_ms"])
    samples["burst_delivery_ratio"].append(burst["ratio"])
    samples["burst_p99_ms"].append(burst["p99_ms"])


def fifty(effort: Effort, samples: Samples) -> None:
    """Measure how long messages take among many."""
    with network(13, 13, 12, 12, links=LINKS) as net:
        before = net.figures()
        paced, longest_ms = net.publish(effort.messages, RATE)
        after = net.figures()
    samples["delivery_ratio_50"].append(paced["ratio"])
    samples["latency_p50_ms"].append(paced["p50_ms"])
    samples["latency_p99_ms"].append(paced["p99_ms"])
    samples["publish_longest_ms"].append(longest_ms)
    samples["duplicates_per_delivery"].append(
        (after["duplicates"] - before["duplicates"]) / max(1, after["accepted"] - before["accepted"])
    )


def go_libp2p(effort: Effort, samples: Samples) -> None:
    """Run the same loads through go-libp2p."""
    loads = {
        ("delivery_ratio_20", None, "latency_p99_20_ms"): (20, effort.messages, RATE),
        ("burst_delivery_ratio", None, "burst_p99_ms"): (20, BURST, 0),
        ("delivery_ratio_50", "latency_p50_ms", "latency_p99_ms"): (50, effort.messages, RATE),
    }
    for (ratio, p50, p99), (hosts, messages, rate) in loads.items():
        say(f"go-libp2p, {hosts} hosts, {messages} messages")
        settings = {
            "hosts": hosts,
            "links": LINKS,
            "messages": messages,
            "rate": rate,
            "bytes": MESSAGE_BYTES,
            "settle": f"{effort.go_settle_s}s",
            "wait": f"{ARRIVE_S if effort is FULL else 3}s",
        }
        command = [str(GO_PROGRAM), *(f"-{name}={value}" for name, value in settings.items())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True)
        told = json.loads(done.stdout)
        samples[ratio].append(told["ratio"])
        samples[p99].append(told["p99_ms"])
        if p50 is not None:
            samples[p50].append(told["p50_ms"])
            samples["duplicates_per_delivery"].append(told["duplicates_per_delivery"])


def build_go() -> None:
    """Compile the program of go-libp2p; says so on standard error."""
    if shutil.which("go") is None:
        raise PeerFailedError("the program of go-libp2p needs Go 1.26 (https://go.dev)")
    GO_PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    say("compiling benchmarks/go_pubsub; the first time this takes some minutes ...")
    command = ["go", "build", "-trimpath", "-o", str(GO_PROGRAM), "."]
    subprocess.run(command, cwd=GO_SOURCE, check=True, stdout=sys.stderr)


def go_is_built() -> bool:
    """Whether the program is there, and not older than its source."""
    sources = [path.stat().st_mtime for path in Path(GO_SOURCE).iterdir()]
    return GO_PROGRAM.exists() and GO_PROGRAM.stat().st_mtime >= max(sources)


def say(text: str) -> None:
    """Tell the person how far we are; standard output is the report's."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON, the table on stderr")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: within 60 seconds")
    parser.add_argument("--rounds", type=int, help="rounds; default 3, with --quick 1")
    parser.add_argument("--check", action="store_true", help="exit 1 if a figure misses its target")
    parser.add_argument("--build-go", action="store_true", help="compile what go-libp2p is measured with")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    effort = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or effort.rounds
    samples: Samples = defaultdict(list)
    go: Samples = defaultdict(list)
    began = time.monotonic()
    try:
        if arguments.build_go:
            build_go()
        with_go = go_is_built()
        say("the router alone")
        router_alone(effort, samples)
        done, round_s, first = 0, 0.0, time.monotonic()
        while done < rounds and (not done or time.monotonic() - first + round_s < effort.budget_s):
            say(f"round {done + 1} of {rounds}")
            round_began = time.monotonic()
            for measure in (loopback, twenty, fifty):
                measure(effort, samples)
            if with_go:
                go_libp2p(effort, go)
            done, round_s = done + 1, time.monotonic() - round_began
    except (PeerFailedError, subprocess.SubprocessError) as error:
        say(f"benchmark failed: {error}")
        return 2
    method = {
        "rounds": done,
        "messages": effort.messages,
        "messages_per_s": RATE,
        "message_bytes": MESSAGE_BYTES,
        "burst": BURST,
        "links": LINKS,
        "exchange_s": effort.exchange_s,
        "router_messages": effort.router_messages,
        "cores": cores(),
        "elapsed_s": round(time.monotonic() - began, 1),
    }
    result = report.build(samples, go, machine(), method)
    if arguments.json:
        say("\n" + report.table(result))
        print(json.dumps(result, indent=2))
    else:
        print(report.table(result))
    return 1 if arguments.check and not result["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
