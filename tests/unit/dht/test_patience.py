"""How long a lookup waits follows how long answers take."""

import pytest

from kontinuum.dht.patience import ANSWERS_MIN, LATE_MAX_S, LATE_MIN_S, SLOW_SHARE, Patience


def after(*times_s):
    """Patience after answers that took so long."""
    patience = Patience()
    for took_s in times_s:
        patience.answered(took_s)
    return patience


def test_before_much_is_known_it_waits_longest():
    """
    A few quick answers say nothing about the others.
    """
    assert after().late_after_s == LATE_MAX_S
    assert after(*[0.001] * (ANSWERS_MIN - 1)).late_after_s == LATE_MAX_S
    assert after(*[0.001] * ANSWERS_MIN).late_after_s == LATE_MIN_S


@pytest.mark.parametrize(
    ("times_s", "late_s"),
    [
        ([0.2, 0.4] * 100, 0.7),
        ([0.001] * 200, LATE_MIN_S),
        ([1.5, 0.1] * 100, LATE_MAX_S),
        ([60.0], LATE_MAX_S),
    ],
    ids=["mean and four deviations", "at the least", "at the most", "an absurd one"],
)
def test_it_waits_for_the_mean_and_four_deviations(times_s, late_s):
    """
    As TCP does before it sends again, within bounds.
    """
    patience = after(*times_s)

    assert patience.late_after_s == pytest.approx(late_s, abs=0.02)
    assert patience.slow_after_s == SLOW_SHARE * patience.late_after_s


def test_one_who_answers_late_moves_it_little_and_not_for_long():
    """
    Each answer is one of some sixty; no single one can make lookups slow.
    """
    patience = after(*[0.4] * 200)
    patience.answered(30.0)
    assert LATE_MIN_S < patience.late_after_s < 0.6
    for _ in range(200):
        patience.answered(0.4)
    assert patience.late_after_s == LATE_MIN_S


def test_a_fifth_of_hasty_liars_do_not_make_it_hasty():
    """
    One in five answers at once: whoever is honest and far away is still waited for.
    """
    patience = after(*[0.4, 0.4, 0.0, 0.4, 0.4] * 60)

    assert patience.late_after_s > 0.8
