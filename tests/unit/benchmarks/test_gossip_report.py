"""The report of the pub/sub benchmark: delivery, medians, verdicts, and the shape of its JSON."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"

PROMISED = (
    "router_msgs_per_s",
    "router_signed_msgs_per_s",
    "loopback_msgs_per_s",
    "delivery_ratio_20",
    "burst_delivery_ratio",
    "latency_p99_ms",
)


@pytest.fixture(scope="module")
def report():
    """The module under test, loaded from its file: ``benchmarks`` is no package."""
    spec = importlib.util.spec_from_file_location("gossip_report", FOLDER / "gossip_report.py")
    module = sys.modules["gossip_report"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gossip_report"]


GOOD = {
    "router_msgs_per_s": 26_000.0,
    "router_signed_msgs_per_s": 15_000.0,
    "loopback_msgs_per_s": 9_000.0,
    "delivery_ratio_20": 1.0,
    "burst_delivery_ratio": 1.0,
    "delivery_ratio_50": 1.0,
    "latency_p99_ms": 12.0,
}


def runs(**figures):
    """One run in which every target is met, but for ``figures``."""
    return {key: [value] for key, value in {**GOOD, **figures}.items()}


def test_the_report_has_the_keys_that_were_promised(report):
    """
    At its top level, whoever reads the JSON; go-libp2p's figures beside them, under the same names.
    """
    go = {"delivery_ratio_20": [1.0], "burst_delivery_ratio": [0.5]}
    result = json.loads(json.dumps(report.build(runs(), go, {}, {})))
    assert {key: result[key] for key in PROMISED} == {key: GOOD[key] for key in PROMISED}
    assert result["go_libp2p"]["burst_delivery_ratio"] == 0.5
    assert result["passed"] is True
    assert all(set(figures) <= set(report.UNITS) for figures in result["others"].values())


def test_without_its_program_go_libp2p_has_no_figures_but_those_of_before(report):
    """
    The table says which they are.
    """
    result = report.build(runs(), {}, {}, {})
    assert result["go_libp2p"] is None
    assert "as measured once" in report.table(result)
    assert "run beside" in report.table(report.build(runs(), {"burst_delivery_ratio": [0.4]}, {}, {}))


@pytest.mark.parametrize(
    ("key", "missed"),
    [
        ("router_msgs_per_s", 24_999.0),
        ("router_signed_msgs_per_s", 13_999.0),
        ("loopback_msgs_per_s", 7_999.0),
        ("delivery_ratio_20", 0.9999),
        ("burst_delivery_ratio", 0.9999),
        ("delivery_ratio_50", 0.9999),
        ("latency_p99_ms", 30.0),
    ],
)
def test_each_target_is_held_against_its_figure(report, key, missed):
    """
    One that is missed is enough, and the table shows which.
    """
    result = report.build(runs(**{key: missed}), {}, {}, {})
    assert result["passed"] is False
    assert [check["key"] for check in result["checks"] if check["passed"] is False] == [key]
    assert report.table(result).count("MISSED") == 1


def test_what_was_not_measured_fails_nothing_and_is_said(report):
    """
    A run that was cut short still has a report.
    """
    result = report.build({}, {}, {}, {})
    assert result["passed"] is True
    assert result["latency_p99_ms"] is None
    assert "not measured" in report.table(result)


def test_figures_are_medians_of_all_runs(report):
    """
    The samples stand beside them.
    """
    result = report.build({**runs(), "latency_p99_ms": [5.0, 50.0, 7.0]}, {}, {}, {})
    assert result["latency_p99_ms"] == 7.0
    assert result["samples"]["latency_p99_ms"] == [5.0, 50.0, 7.0]


def test_delivery_counts_what_every_node_should_have_heard(report):
    """
    A message that one of two nodes has not heard is half lost; if nobody heard any there is no latency.
    """
    assert report.delivery([[1.0, 2.0], [3.0]], 2) == {"ratio": 0.75, "p50_ms": 2.0, "p99_ms": 3.0}
    assert report.delivery([[], []], 2) == {"ratio": 0.0, "p50_ms": -1.0, "p99_ms": -1.0}
    assert report.delivery([], 2)["ratio"] == 0.0
