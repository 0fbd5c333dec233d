"""What the pub/sub benchmark asks for, and how measured figures become verdicts and a table.

Source: the issue that built topics: its targets. The figures of others were measured on the same kind of
        machine, all nodes in one process: medians of three runs.
Pure:   no clock, process or file; ``gossip.py`` measures and prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

UNITS = {
    "router_msgs_per_s": "messages/s through one router, without signatures",
    "router_signed_msgs_per_s": "messages/s through one router, verified",
    "loopback_msgs_per_s": "messages/s delivered to 8 nodes that all publish",
    "verify_cpu_ratio": "share of that processor time that signatures take",
    "delivery_ratio_20": "of 20 messages/s, 20 nodes",
    "latency_p99_20_ms": "ms, 99th percentile, 20 nodes",
    "burst_delivery_ratio": "of 200 messages without a pause, 20 nodes",
    "burst_p99_ms": "ms, 99th percentile of that burst",
    "delivery_ratio_50": "of 20 messages/s, 50 nodes",
    "latency_p50_ms": "ms, median, 50 nodes",
    "latency_p99_ms": "ms, 99th percentile, 50 nodes",
    "duplicates_per_delivery": "copies too many for each delivery, 50 nodes",
    "publish_longest_ms": "ms, longest call of publish, 50 nodes",
}
"""Each key of the report and what it counts."""

GO_KEYS = (
    "delivery_ratio_20",
    "latency_p99_20_ms",
    "burst_delivery_ratio",
    "burst_p99_ms",
    "delivery_ratio_50",
    "latency_p50_ms",
    "latency_p99_ms",
    "duplicates_per_delivery",
)
"""Those that the program of go-libp2p gives, too."""

RATIOS = frozenset({"verify_cpu_ratio", "delivery_ratio_20", "burst_delivery_ratio", "delivery_ratio_50"})
"""Keys that are shown with their decimals."""

OTHERS = {
    "korium": {"delivery_ratio_20": 0.003, "delivery_ratio_50": 0.0014},
    "go-libp2p": {
        "delivery_ratio_20": 1.0,
        "latency_p99_20_ms": 6.4,
        "burst_delivery_ratio": 0.393,
        "burst_p99_ms": 86.0,
        "delivery_ratio_50": 1.0,
        "latency_p50_ms": 5.9,
        "latency_p99_ms": 12.8,
        "duplicates_per_delivery": 3.6,
    },
}
"""Korium 0.2.4, and go-libp2p-pubsub 0.16.0, where the program beside this file was not run."""

Samples = Mapping[str, Sequence[float]]
"""Every run's figure, by key."""

Figures = dict[str, float | None]
"""Medians; none where nothing was measured."""


@dataclass(frozen=True)
class Target:
    """One figure that the issue asks for: at least ``bound``, or below it."""

    key: str
    bound: float
    below: bool = False

    def verdict(self, measured: float | None) -> bool | None:
        """Tell if ``measured`` satisfies; none when it is none."""
        if measured is None:
            return None
        return measured < self.bound if self.below else measured >= self.bound


TARGETS = (
    Target("router_msgs_per_s", 25_000.0),
    Target("router_signed_msgs_per_s", 14_000.0),
    Target("loopback_msgs_per_s", 8_000.0),
    Target("delivery_ratio_20", 1.0),
    Target("burst_delivery_ratio", 1.0),
    Target("delivery_ratio_50", 1.0),
    Target("latency_p99_ms", 30.0, below=True),
)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of all lies, of those that were seen; -1 of none."""
    if not values:
        return -1.0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def delivery(took_ms: Sequence[Sequence[float]], messages: int) -> dict[str, float]:
    """What became of so many messages at nodes that should all have heard them.

    Args:
        took_ms: For each of the nodes, how long each message took that it has heard.
        messages: How many there were.
    """
    took = [value for node in took_ms for value in node]
    expected = messages * len(took_ms)
    return {
        "ratio": len(took) / expected if expected else 0.0,
        "p50_ms": quantile(took, 0.5),
        "p99_ms": quantile(took, 0.99),
    }


def medians(samples: Samples) -> Figures:
    """Reduce every key's runs to their median; a key without runs becomes none."""
    return {key: median(samples[key]) if samples.get(key) else None for key in UNITS}


def checks(figures: Figures) -> list[dict[str, object]]:
    """Hold the figures against :data:`TARGETS`, in that order."""
    return [
        {
            "key": target.key,
            "bound": target.bound,
            "below": target.below,
            "measured": figures[target.key],
            "passed": target.verdict(figures[target.key]),
        }
        for target in TARGETS
    ]


def build(samples: Samples, go: Samples, machine: object, method: object) -> dict[str, object]:
    """The whole report. The figures stand at its top level as well, under their keys."""
    figures = medians(samples)
    checked = checks(figures)
    go_figures = {key: value for key, value in medians(go).items() if key in GO_KEYS}
    return {
        **figures,
        "figures": figures,
        "go_libp2p": go_figures if any(go.values()) else None,
        "others": OTHERS,
        "samples": {key: list(samples.get(key, ())) for key in UNITS},
        "checks": checked,
        "passed": all(check["passed"] is not False for check in checked),
        "machine": machine,
        "method": method,
    }


def shown(key: str, value: float | None) -> str:
    """One figure for people."""
    if value is None:
        return "-"
    if key in RATIOS:
        return f"{value:.4f}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def table(report: Mapping[str, object]) -> str:
    """The report for people: ours, go-libp2p's, and what was asked for."""
    go = report["go_libp2p"] or OTHERS["go-libp2p"]
    source = "run beside" if report["go_libp2p"] else "as measured once"
    lines = [f"{'':52}{'kontinuum':>12}{'go-libp2p':>12}{'target':>12}   (go-libp2p: {source})"]
    targets = {target.key: target for target in TARGETS}
    for key, unit in UNITS.items():
        target = targets.get(key)
        wanted = "" if target is None else f"{'<' if target.below else '>='} {target.bound:,g}"
        verdict = (
            ""
            if target is None
            else {True: "", False: "  MISSED", None: "  not measured"}[target.verdict(report[key])]
        )
        lines.append(
            f"{unit:52}{shown(key, report[key]):>12}{shown(key, go.get(key)):>12}{wanted:>12}{verdict}"
        )
    return "\n".join(lines)
