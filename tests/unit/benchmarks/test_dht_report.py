"""The report of the DHT benchmark: percentiles, medians, verdicts, and the shape of its JSON."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks"

KEYS = [
    "lookups_per_s",
    "lookups_one_per_s",
    "resolves_per_s",
    "search_per_s",
    "search_one_path_per_s",
    "machine_per_s",
    "entry_bytes",
    "peer_bytes",
    "join_all_s",
    "join_p50_ms",
    "join_p99_ms",
    "publish_p50_ms",
    "publish_p99_ms",
    "resolve_p50_ms",
    "resolve_p99_ms",
    "put_p50_ms",
    "put_p99_ms",
    "get_p50_ms",
    "get_p99_ms",
    "failed",
]


@pytest.fixture(scope="module")
def modules():
    """The modules under test, loaded from their files: ``benchmarks`` is no package."""
    loaded = {}
    for name in ("dht_report", "dht_table", "dht_lookups"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        loaded[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    yield loaded
    for name in loaded:
        del sys.modules[name]


@pytest.fixture(scope="module")
def report(modules):
    """The report alone."""
    return modules["dht_report"]


def runs(**figures):
    """One run in which every target is met, but for ``figures``."""
    good = {"lookups_per_s": 600.0, "search_per_s": 4000.0, "resolve_p50_ms": 2.0, "failed": 0.0}
    return {key: [value] for key, value in {**dict.fromkeys(KEYS, 1.0), **good, **figures}.items()}


def test_the_report_has_the_keys_that_were_promised(report):
    """
    Whoever reads the JSON finds every figure under its name, and those of the others under the same names.
    """
    result = json.loads(json.dumps(report.build(runs(), {}, {})))

    assert list(result["figures"]) == KEYS
    assert all(isinstance(value, float) for value in result["figures"].values())
    assert set(result["others"]) == {"korium", "go-libp2p"}
    assert all(set(figures) <= set(KEYS) for figures in result["others"].values())
    assert {"checks", "passed", "samples", "machine", "method"} < set(result)


@pytest.mark.parametrize(
    ("key", "met", "missed"),
    [
        ("lookups_per_s", 500.0, 499.0),
        ("search_per_s", 3000.0, 2999.0),
        ("resolve_p50_ms", 2.49, 2.5),
        ("failed", 0.0, 1.0),
    ],
)
def test_a_target_counts_from_its_bound_on(report, key, met, missed):
    """
    "At least" includes the bound, "below" does not; one missed target fails the whole.
    """
    assert report.build(runs(**{key: met}), {}, {})["passed"] is True
    result = report.build(runs(**{key: missed}), {}, {})
    assert result["passed"] is False
    assert [row["key"] for row in result["checks"] if not row["passed"]] == [key]


def test_what_was_not_measured_is_neither_passed_nor_failed(report):
    """
    A figure without a run is none, and the whole does not count as passed.
    """
    result = report.build({}, {}, {})

    assert set(result["figures"].values()) == {None}
    assert {row["passed"] for row in result["checks"]} == {None}
    assert result["passed"] is False


def test_a_figure_is_a_median_but_failures_add_up(report):
    """
    One run that the machine disturbed changes nothing; one operation that failed does.
    """
    result = report.build(runs() | {"put_p50_ms": [3.0, 4.0, 900.0], "failed": [0.0, 1.0, 0.0]}, {}, {})

    assert result["figures"]["put_p50_ms"] == 4.0
    assert result["figures"]["failed"] == 1.0


def test_percentiles_are_values_that_were_seen(report):
    """
    Of a hundred operations the slowest but one is the 99th percentile; of one, it is both; of none, nothing.
    """
    assert report.percentiles("get", [float(number) for number in range(100)]) == {
        "get_p50_ms": 50.0,
        "get_p99_ms": 99.0,
    }
    assert report.percentiles("get", [7.0]) == {"get_p50_ms": 7.0, "get_p99_ms": 7.0}
    assert report.percentiles("get", []) == {}


def test_the_table_names_what_was_missed(report):
    """
    A reader of the plain text sees every figure, those of the others beside it, and the verdicts.
    """
    text = report.table(report.build(runs(resolve_p50_ms=2.6), {}, {}))

    assert text.count("MISSED") == 1
    assert text.count("  ok") == 3
    for unit in report.UNITS.values():
        assert unit in text
    assert "2.60        2.70" in text


def test_the_machine_is_measured_by_lookups_that_come_to_their_end(modules):
    """
    A lookup without sockets asks the k closest at least, and gives a rate for each way of driving it.
    """
    lookups = modules["dht_lookups"]
    lookups.TARGETS, lookups.RUNS = 3, 1

    figures = lookups.measure(60)

    assert figures["search_requests"] >= 20
    assert figures["search_one_path_requests"] >= 20
    assert figures["machine_requests"] >= 20
    assert min(figures.values()) > 0
