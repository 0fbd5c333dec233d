"""Counts by duration."""

import pytest

from kontinuum.dht.histogram import BOUNDS_S, Histogram


def test_each_duration_is_counted_below_its_bound():
    """
    A bound counts what took at most as long; the last bucket takes the rest.
    """
    histogram = Histogram()
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1], 1e9):
        histogram.observe(seconds)

    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-2:] == [1, 1]
    assert histogram.count == 5
    assert histogram.total_s == pytest.approx(1e9 + BOUNDS_S[-1] + 2.01 * BOUNDS_S[0])


def test_quantiles_are_bounds():
    """
    Half of them were below the median's bound; without any there is none.
    """
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    for _ in range(99):
        histogram.observe(0.002)
    histogram.observe(1e9)

    assert histogram.quantile(0.5) == 0.0025
    assert histogram.quantile(0.99) == 0.0025
    assert histogram.quantile(1.0) == float("inf")
