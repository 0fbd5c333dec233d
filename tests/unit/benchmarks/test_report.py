"""The report of the transport benchmark: medians, ratios, verdicts, and the shape of its JSON."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "benchmarks" / "report.py"

KEYS = [
    "rpc_seq_per_s",
    "rpc_50_per_s",
    "rpc_500_per_s",
    "bulk_mb_per_s",
    "handshakes_per_s",
    "idle_conn_bytes",
]


@pytest.fixture(scope="module")
def report():
    """The module under test, loaded from its file: ``benchmarks`` is no package."""
    spec = importlib.util.spec_from_file_location("benchmark_report", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def runs(**figures):
    """One run of every key at 100, but for ``figures``."""
    return {key: [figures.get(key, 100.0)] for key in KEYS}


def build(report, ours=None, aioquic=None, rust=None):
    """The report of the contestants that took part."""
    samples = {"kontinuum": ours, "aioquic": aioquic, "rust": rust}
    return report.build({name: value for name, value in samples.items() if value is not None}, {}, {})


def passed(result, key, against):
    """The verdict of one row."""
    return next(row["passed"] for row in result["checks"] if (row["key"], row["against"]) == (key, against))


def test_the_report_has_the_objects_and_keys_that_were_promised(report):
    """
    Whoever reads the JSON finds three contestants and the ratios, each with all six keys.
    """
    result = json.loads(json.dumps(build(report, runs(), runs(), runs())))

    for name in ("kontinuum", "aioquic", "rust"):
        assert list(result[name]) == KEYS
        assert all(isinstance(value, float) for value in result[name].values())
    assert list(result["ratios"]) == KEYS
    assert all({"aioquic", "rust"} == set(row) for row in result["ratios"].values())
    assert {"checks", "passed", "samples", "machine", "method"} < set(result)


def test_a_figure_is_the_median_of_its_runs(report):
    """
    One run that the machine disturbed changes nothing.
    """
    ours = runs() | {"bulk_mb_per_s": [900.0, 3.0, 1000.0]}

    assert build(report, ours)["kontinuum"]["bulk_mb_per_s"] == 900.0


def test_a_ratio_is_ours_divided_by_theirs(report):
    """
    Above one means that we have more of it, whatever is counted.
    """
    result = build(report, runs(rpc_seq_per_s=450.0), runs(), runs(rpc_seq_per_s=600.0))

    assert result["ratios"]["rpc_seq_per_s"] == {"aioquic": 4.5, "rust": 0.75}


@pytest.mark.parametrize(
    ("key", "against", "at_bound", "below"),
    [
        ("rpc_seq_per_s", "aioquic", 450.0, 449.0),
        ("rpc_seq_per_s", "rust", 70.0, 69.0),
        ("rpc_50_per_s", "aioquic", 1800.0, 1799.0),
        ("rpc_500_per_s", "aioquic", 5000.0, 4999.0),
        ("bulk_mb_per_s", "aioquic", 2500.0, 2499.0),
        ("bulk_mb_per_s", "rust", 80.0, 79.0),
        ("handshakes_per_s", "aioquic", 600.0, 599.0),
    ],
)
def test_a_factor_counts_from_its_bound_on(report, key, against, at_bound, below):
    """
    The table says "at least": exactly that passes, anything less does not.
    """
    assert passed(build(report, runs(**{key: at_bound}), runs(), runs()), key, against) is True
    assert passed(build(report, runs(**{key: below}), runs(), runs()), key, against) is False


def test_memory_must_stay_below_its_bound(report):
    """
    The table says "below": the bound itself is too much.
    """
    assert passed(build(report, runs(idle_conn_bytes=59_999.0)), "idle_conn_bytes", None) is True
    assert passed(build(report, runs(idle_conn_bytes=60_000.0)), "idle_conn_bytes", None) is False


def test_every_row_of_the_table_is_held(report):
    """
    All eight requirements appear, so that none can be dropped unnoticed.
    """
    result = build(report, runs(), runs(), runs())

    assert len(result["checks"]) == 8
    assert result["passed"] is False  # Equal to aioquic everywhere: by far not enough.


def test_what_was_not_measured_is_neither_passed_nor_failed(report):
    """
    A left-out contestant gives empty figures and verdicts, and the whole does not count as passed.
    """
    result = build(report, runs(), aioquic=runs())

    assert result["rust"]["rpc_seq_per_s"] is None
    assert result["ratios"]["rpc_seq_per_s"]["rust"] is None
    assert passed(result, "rpc_seq_per_s", "rust") is None
    assert result["passed"] is False


def test_a_contestant_that_did_nothing_gives_no_ratio(report):
    """
    Dividing by zero would claim the infinite; we claim nothing.
    """
    assert build(report, runs(), runs(rpc_50_per_s=0.0))["ratios"]["rpc_50_per_s"]["aioquic"] is None


def test_the_whole_passes_when_every_row_does(report):
    """
    Factors far above the table and little memory: passed.
    """
    ours = {key: [1e6] for key in KEYS} | {"idle_conn_bytes": [40_000.0]}

    assert build(report, ours, runs(), runs())["passed"] is True


def test_the_table_names_what_was_missed(report):
    """
    A reader of the plain text sees the verdicts without counting.
    """
    text = report.table(build(report, runs(idle_conn_bytes=61_000.0), runs(), runs()))

    assert text.count("MISSED") + text.count("  ok") == 8
    assert "idle connection" in text
    assert "at least 4.5x" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (1234567.0, "1,234,567")],
)
def test_a_figure_shows_the_digits_that_mean_something(report, value, text):
    """
    Three digits or so: more would pretend to know what the next run contradicts.
    """
    assert text == report.figure(value)
