"""Chance, churn and clocks: reproducible, and distributed as the sources say."""

from math import log

import pytest

from kontinuum.sim.chance import exponential, lognormal, material, normal, stream, weibull
from kontinuum.sim.churn import Churn
from kontinuum.sim.clocks import skew_s
from kontinuum.sim.scenario import ChurnSettings, ClockSettings

HOUR = 3600.0
DRAWS = 4000


def test_a_stream_follows_from_seed_purpose_and_number():
    """
    The same arguments give the same numbers, others give others.
    """
    draw = stream(1, "network").below(2**60)

    assert draw == stream(1, "network").below(2**60)
    assert (
        len({draw, *(stream(*a).below(2**60) for a in [(2, "network"), (1, "churn"), (1, "network", 1)])})
        == 4
    )
    assert material(1, "host", 7) == material(1, "host", 7) != material(1, "host", 8)


@pytest.mark.parametrize(
    ("draw", "median"),
    [
        (lambda rng: exponential(rng, 10.0), 10.0 * log(2)),
        (lambda rng: weibull(rng, 10.0, 0.5), 10.0 * log(2) ** 2),
        (lambda rng: lognormal(rng, 5.0, 0.7), 5.0),
        (lambda rng: 1 + normal(rng, 0.1), 1.0),
    ],
)
def test_medians_are_right(draw, median):
    """
    Half of many draws lie below the median of the distribution.
    """
    rng = stream(1, "test")
    below = sum(draw(rng) < median for _ in range(DRAWS)) / DRAWS

    assert below == pytest.approx(0.5, abs=0.03)


def test_sessions_are_as_long_as_those_of_ipfs():
    """
    87.6 % shorter than 8 hours and 2.5 % longer than 24 hours, as measured.
    """
    churn = Churn(ChurnSettings(model="ipfs"), stream(1, "churn"))
    sessions = [churn.session_s() for _ in range(DRAWS)]

    assert sum(s < 8 * HOUR for s in sessions) / DRAWS == pytest.approx(0.876, abs=0.02)
    assert sum(s > 24 * HOUR for s in sessions) / DRAWS == pytest.approx(0.025, abs=0.01)


def test_whoever_is_there_stays_longer_than_whoever_comes():
    """
    Long sessions are met more often: what remains of them is longer than a fresh session in the median.
    """
    churn = Churn(ChurnSettings(model="ipfs"), stream(1, "churn"))
    fresh = sorted(churn.session_s() for _ in range(DRAWS))
    remaining = sorted(churn.remaining_s() for _ in range(DRAWS))

    assert remaining[DRAWS // 2] > 2 * fresh[DRAWS // 2]


def test_a_memoryless_distribution_has_no_memory():
    """
    With exponential sessions, what remains is distributed as a fresh session.
    """
    churn = Churn(ChurnSettings(model="exponential", median_session_s=100.0), stream(1, "churn"))
    remaining = [churn.remaining_s() for _ in range(DRAWS)]

    assert sum(remaining) / DRAWS == pytest.approx(100.0 / log(2), rel=0.06)


def test_absence_is_as_long_as_the_share_of_those_offline_says():
    """
    A quarter offline: a third of a session away for each session.
    """
    churn = Churn(
        ChurnSettings(model="exponential", median_session_s=60.0, offline_share=0.25), stream(1, "churn")
    )
    away = sum(churn.away_s() for _ in range(DRAWS)) / DRAWS

    assert away == pytest.approx(60.0 / log(2) / 3, rel=0.08)


def test_clocks_are_as_wrong_as_the_scenario_says():
    """
    Right without settings; around the deviation, or quite wrong.
    """
    rng = stream(1, "clock")

    assert skew_s(ClockSettings(), rng) == 0.0
    skews = sorted(skew_s(ClockSettings(skew_s=10.0), rng) for _ in range(DRAWS))
    assert skews[round(DRAWS * 0.841)] == pytest.approx(10.0, rel=0.1)
    wrong = [skew_s(ClockSettings(wrong_share=0.5, wrong_s=99.0), rng) for _ in range(DRAWS)]
    assert set(wrong) == {0.0, 99.0}
