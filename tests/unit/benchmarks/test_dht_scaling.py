"""The scaling benchmark of the DHT: the fitted line, the tables and the plots of a report."""

import importlib.util
import json
import math
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def scaling():
    """The module under test, loaded from its file: ``benchmarks`` is no package."""
    modules = {}
    for name in ("dht_memory", "dht_scaling_report"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        modules[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    yield modules["dht_scaling_report"]
    for name in modules:
        del sys.modules[name]


@pytest.fixture
def report():
    """A report that nobody measured."""
    hops = {
        "lookups": 10,
        "success_ratio": 1.0,
        "hops_most": 4,
        "requests_mean": 20.0,
        "latency_p50_s": 0.5,
        "latency_p99_s": 1.5,
        "table_mean": 100.0,
        "wall_s": 1.0,
        "peak_rss_bytes": 1,
    }
    churn = {
        "lookups": 10,
        "success_ratio": 0.99,
        "hops_mean": 2.0,
        "requests_mean": 20.0,
        "latency_p50_s": 0.5,
        "latency_p99_s": 1.5,
        "record_success_ratio": 1.0,
    }
    names = (
        "routing table",
        "routing table, 10 M nodes",
        "latency tiers",
        "peers saved over a restart",
        "connections",
        "record store, small records",
    )
    return {
        "memory": [
            {"name": name, "what": "x", "entries": 10, "bytes": 1024, "counted": name != names[1]}
            for name in names
        ],
        "hops": [{"nodes": nodes, "hops_mean": math.log10(nodes), **hops} for nodes in (100, 1000, 10_000)],
        "fit": {"base": 0.0, "per_doubling": math.log10(2), "deviation": 0.01},
        "hops_at_10m": 7.0,
        "churn_nodes": 1000,
        "python": "3.11",
        "churn": [{"session_median_s": session, **churn} for session in (None, 3600.0)],
    }


def test_the_line_goes_through_what_lies_on_one(scaling):
    """
    Hops that grow by a half per doubling are found again, with nothing missed; others say by how much.
    """
    fit = scaling.fitted([(nodes, 1.0 + 0.5 * math.log2(nodes)) for nodes in (512, 1024, 4096)])
    assert (fit.base, fit.per_doubling, fit.deviation) == pytest.approx((1.0, 0.5, 0.0), abs=1e-9)
    assert fit.at(2**20) == pytest.approx(11.0)
    assert scaling.fitted([(2, 1.0), (4, 3.0), (8, 2.0)]).deviation > 0.5


def test_every_plot_is_an_svg(scaling, report):
    """
    Each plot is one file of its own, and a report that went through JSON draws the same.
    """
    drawn = scaling.plots(report)
    assert all(name.startswith("dht-") for name in drawn)
    again = scaling.plots(json.loads(json.dumps(report)))
    for name, plot in drawn.items():
        ET.fromstring(plot.file())  # noqa: S314 -- we wrote it
        assert plot.file() == again[name].file()


def test_the_page_says_what_was_measured(scaling, report):
    """
    The seed document's figures stand beside ours; the sum leaves out what is no part of it; plots are linked.
    """
    page = scaling.page(report)
    for words in ("**7.0 hops**", "| 5 KiB |", "| 13.3 | 4.00 |", "| no churn |", "| 1 h |", "(1 KiB)"):
        assert words in page, words
    for name in scaling.plots(report):
        assert f"](images/{name}.svg)" in page
