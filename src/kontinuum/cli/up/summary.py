"""What is known about a running network, and the verdict on it.

Bounds:   the nodes of one plan; one entry for each ordered pair.
Trust:    what the nodes' own control sockets say, and what was computed here from the files themselves.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kontinuum.cli.output import columns, printable, size_text

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    nodes: int
    file: Path | None
    """The file that travels; ``None``: a generated one."""
    message: bytes
    directory: Path | None
    """Where the nodes live; ``None``: in temporary directories."""
    stay: bool
    """Whether the network stays until Ctrl-C."""
    timeout_s: float


@dataclass(slots=True)
class PairState:
    """How one node sees another one."""

    connected: bool = False
    path: str = ""
    rtt_ms: float | None = None
    calls_ok: int = 0
    calls_failed: int = 0
    resolve_ms: float | None = None
    """What finding it by its key took, through the DHT alone; ``None`` before it was found."""
    round_ok: int = 0
    """Answered calls of the newest round."""
    round_ms: float = 0.0
    """What they took together."""


@dataclass(slots=True)
class NodeState:
    """One node."""

    index: int
    """From 0; people see it from 1."""
    phase: str = "starting"
    """``starting``, ``running``, ``stopped``, or how it died."""
    alive: bool = False
    peer_id: str = ""
    address: str = ""
    pid: int = 0
    pairs: dict[int, PairState] = field(default_factory=dict)
    """By the index of the other node."""
    file: str = ""
    """``""``, ``sending``, ``sent``, ``receiving``, ``verified``, or what went wrong."""
    file_done: int = 0
    published: int = 0
    """Messages of the topic that this node has published."""
    awaited: int = 0
    """Messages of others that it should have heard."""
    heard: int = 0
    """Those of them that it has."""

    @property
    def resolved(self) -> int:
        """Others that this node has found by their key."""
        return sum(pair.resolve_ms is not None for pair in self.pairs.values())

    @property
    def calls_ok(self) -> int:
        """Calls that this node made and that were answered."""
        return sum(pair.calls_ok for pair in self.pairs.values())

    @property
    def calls_failed(self) -> int:
        """Calls that this node made in vain."""
        return sum(pair.calls_failed for pair in self.pairs.values())

    @property
    def calls_per_s(self) -> float:
        """Rate of this node's own calls in the newest round; it makes them one after another."""
        spent_ms = sum(pair.round_ms for pair in self.pairs.values())
        return 1000 * sum(pair.round_ok for pair in self.pairs.values()) / spent_ms if spent_ms else 0.0


@dataclass(slots=True)
class Summary:
    """The whole network."""

    nodes: list[NodeState]
    file_name: str = ""
    file_bytes: int = 0
    file_digest: str = ""
    file_receivers: int = 0
    file_verified_by: int = 0
    file_s: float = 0.0
    messages_sent: int = 0
    messages_verified: int = 0
    elapsed_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What went wrong, in order, in words."""
    interrupted: bool = False
    complete: bool = False
    """Whether the plan was carried out to its end."""

    @property
    def pairs(self) -> int:
        """Unordered pairs of all nodes of the plan, dead ones included."""
        return len(self.nodes) * (len(self.nodes) - 1) // 2

    @property
    def pairs_connected(self) -> int:
        """Pairs of living nodes that both say they are connected."""
        return sum(
            self.sees(node, other) and self.sees(other, node)
            for node in self.nodes
            for other in self.nodes[node.index + 1 :]
        )

    @staticmethod
    def sees(node: NodeState, other: NodeState) -> bool:
        """Whether both live and ``node`` says that it is connected to ``other``."""
        pair = node.pairs.get(other.index)
        return node.alive and other.alive and pair is not None and pair.connected

    @property
    def dht_pairs(self) -> int:
        """Ordered pairs of all nodes of the plan: who is to find whom."""
        return 2 * self.pairs

    @property
    def dht_resolved(self) -> int:
        """Pairs in which the one has found the other by its key, through the DHT alone."""
        return sum(node.resolved for node in self.nodes)

    @property
    def pubsub_published(self) -> int:
        """Messages that nodes published to the topic."""
        return sum(node.published for node in self.nodes)

    @property
    def pubsub_delivered(self) -> int:
        """How often one of them was heard by another node."""
        return sum(node.heard for node in self.nodes)

    @property
    def pubsub_delivery_ratio(self) -> float:
        """The same, as a part of how often it should have been; 0 before anything was published."""
        awaited = sum(node.awaited for node in self.nodes)
        return self.pubsub_delivered / awaited if awaited else 0.0

    @property
    def calls_ok(self) -> int:
        """Answered calls of all nodes."""
        return sum(node.calls_ok for node in self.nodes)

    @property
    def calls_failed(self) -> int:
        """Calls in vain of all nodes."""
        return sum(node.calls_failed for node in self.nodes)

    @property
    def calls_per_s(self) -> float:
        """The rate of the newest round: all living nodes call at the same time."""
        return sum(node.calls_per_s for node in self.nodes if node.alive)

    @property
    def file_verified(self) -> bool:
        """Whether every other node has the file, byte for byte."""
        return self.file_receivers > 0 and self.file_verified_by == self.file_receivers

    @property
    def ok(self) -> bool:
        """Whether everything was done and nothing failed."""
        return (
            self.complete
            and not self.problems
            and self.pairs_connected == self.pairs
            and self.dht_resolved == self.dht_pairs
            and self.calls_ok > 0
            and self.calls_failed == 0
            and self.file_verified
            and self.messages_verified == self.messages_sent > 0
            and self.pubsub_delivery_ratio == 1.0
        )

    def to_json(self) -> dict[str, Any]:
        """Return the summary for programs; the keys are documented in ``docs/cli.md``."""
        return {
            "ok": self.ok,
            "nodes": len(self.nodes),
            "nodes_alive": sum(node.alive for node in self.nodes),
            "pairs": self.pairs,
            "pairs_connected": self.pairs_connected,
            "calls_ok": self.calls_ok,
            "calls_failed": self.calls_failed,
            "messages_sent": self.messages_sent,
            "messages_verified": self.messages_verified,
            "dht_pairs": self.dht_pairs,
            "dht_resolved": self.dht_resolved,
            "pubsub_published": self.pubsub_published,
            "pubsub_delivered": self.pubsub_delivered,
            "pubsub_delivery_ratio": round(self.pubsub_delivery_ratio, 6),
            "file_bytes": self.file_bytes,
            "file_blake3": self.file_digest,
            "file_receivers": self.file_receivers,
            "file_verified": self.file_verified,
            "elapsed_s": round(self.elapsed_s, 3),
            "problems": list(self.problems),
            "peers": [
                {
                    "peer_id": node.peer_id,
                    "address": node.address,
                    "state": node.phase,
                    "alive": node.alive,
                    "connected": sum(self.sees(node, other) for other in self.nodes),
                    "calls_ok": node.calls_ok,
                    "calls_failed": node.calls_failed,
                    "rtt_ms": mean_rtt_ms(node),
                    "resolved": node.resolved,
                    "published": node.published,
                    "heard": node.heard,
                    "file": node.file or None,
                }
                for node in self.nodes
            ],
        }


def mean_rtt_ms(node: NodeState) -> float | None:
    """Return the mean round-trip time from this node to the others."""
    times = [pair.rtt_ms for pair in node.pairs.values() if pair.rtt_ms is not None]
    return round(sum(times) / len(times), 3) if times else None


def rows(summary: Summary) -> list[list[str]]:
    """Return one row per node, under :data:`HEADER`."""
    table = []
    for node in summary.nodes:
        rtt = mean_rtt_ms(node)
        paths = sorted({pair.path for pair in node.pairs.values() if pair.path})
        connected = sum(summary.sees(node, other) for other in summary.nodes)
        rate = node.calls_per_s if node.alive else 0
        done = f"{size_text(node.file_done)} " if node.file == "receiving" else ""
        table.append(
            [
                str(node.index + 1),
                node.peer_id[:8] or "-",
                node.phase,
                host_and_port(node.address) or "-",
                f"{connected}/{len(summary.nodes) - 1}",
                ",".join(paths) or "-",
                "-" if rtt is None else f"{rtt:.2f} ms",
                f"{node.resolved}/{len(summary.nodes) - 1}",
                f"{100 * node.heard / node.awaited:.4g}%" if node.awaited else "-",
                f"{rate:.0f}",
                str(node.calls_ok) + (f" ({node.calls_failed} failed)" if node.calls_failed else ""),
                done + node.file or "-",
            ]
        )
    return table


def host_and_port(multiaddr: str) -> str:
    """Return ``127.0.0.1:4433`` for ``/ip4/127.0.0.1/udp/4433/quic-v1``; another text as it is."""
    parts = multiaddr.split("/")
    return f"{parts[2]}:{parts[4]}" if len(parts) == 6 else multiaddr


HEADER = (
    "NODE",
    "PEER",
    "STATE",
    "ADDRESS",
    "PEERS",
    "PATH",
    "RTT",
    "FOUND",
    "HEARD",
    "CALLS/S",
    "CALLS",
    "FILE",
)
"""Columns of the table."""


def text(summary: Summary) -> str:
    """Return the summary for people."""
    lines = [columns(rows(summary), list(HEADER)), ""]
    lines.append(f"{summary.pairs_connected} of {summary.pairs} pairs connected")
    lines.append(f"{summary.calls_ok} calls answered, {summary.calls_failed} failed")
    times = sorted(
        pair.resolve_ms
        for node in summary.nodes
        for pair in node.pairs.values()
        if pair.resolve_ms is not None
    )
    median = f", {times[len(times) // 2]:.2f} ms in the median" if times else ""
    lines.append(f"{summary.dht_resolved} of {summary.dht_pairs} found by key through the DHT alone{median}")
    lines.append(f"message: {summary.messages_verified} of {summary.messages_sent} verified by BLAKE3")
    lines.append(
        f"topic: {summary.pubsub_published} messages published, heard {summary.pubsub_delivered} times, "
        f"{100 * summary.pubsub_delivery_ratio:.4g} % delivered"
    )
    rate = ""
    if summary.file_s > 0:
        rate = f", {size_text(int(summary.file_bytes * summary.file_verified_by / summary.file_s))}/s in all"
    lines.append(
        f"file {printable(summary.file_name)}, {size_text(summary.file_bytes)}: verified by BLAKE3 at "
        f"{summary.file_verified_by} of {summary.file_receivers} receivers{rate}"
    )
    lines += [f"problem: {printable(problem)}" for problem in summary.problems]
    verdict = "all is well" if summary.ok else "interrupted" if summary.interrupted else "NOT all is well"
    lines.append(f"{verdict} after {summary.elapsed_s:.1f} s")
    return "\n".join(lines)
