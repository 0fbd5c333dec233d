"""How k follows churn and alpha congestion: bounded, slowly, and for a reason."""

from itertools import pairwise

import pytest

from kontinuum.dht.adaptive import (
    INTERVAL_S,
    QUEUE_LONG,
    TOGETHER_MIN,
    Adaptation,
)
from kontinuum.dht.config import ALPHA, ALPHA_MAX, ALPHA_MIN, K_MAX, K_MIN, K

RTT_S = 0.05


def live(adaptation, hours, *, dead=0.0, per_interval=20, start=0.0, known=True, how="unreachable"):
    """So many hours of requests, of which a share finds the peer dead; returns every (k, alpha) seen."""
    seen, owed, now = [], 0.0, start
    while now < start + hours * 3600:
        for number in range(per_interval):
            at = now + number * INTERVAL_S / per_interval
            owed += dead
            if owed >= 1.0:
                owed -= 1.0
                getattr(adaptation, how)(at, known=known)
            else:
                adaptation.answered(at, RTT_S, known=known)
            seen.append((adaptation.k, adaptation.alpha))
        now += INTERVAL_S
    return seen


def burst(adaptation, now, *, timeouts=0, unreachable=0, answers=0):
    """One interval in which this happened, and the first event after it."""
    for _ in range(answers):
        adaptation.answered(now, RTT_S)
    for _ in range(timeouts):
        adaptation.timed_out(now)
    for _ in range(unreachable):
        adaptation.unreachable(now)
    adaptation.answered(now + INTERVAL_S, RTT_S)


def test_both_begin_at_rest():
    """
    A new node has seen nothing, and takes the usual values.
    """
    adaptation = Adaptation()

    assert (adaptation.k, adaptation.alpha) == (K, ALPHA)
    assert adaptation.why().k_wanted == pytest.approx(K)


def test_usual_churn_changes_nothing():
    """
    One peer in ten found dead is what k at rest is for.
    """
    assert {(K, ALPHA)} == set(live(Adaptation(), 5, dead=0.1))


def test_k_grows_with_churn_up_to_its_bound():
    """
    With a third of the peers dead k is at its largest within a quarter of an hour, one step at a time.
    """
    seen = live(Adaptation(), 0.25, dead=0.33)

    ks = [k for k, _ in seen]
    assert ks[-1] == K_MAX
    assert max(abs(one - other) for one, other in pairwise(ks)) <= 1
    assert max(k for k, _ in live(Adaptation(), 10, dead=0.9)) == K_MAX


def test_k_follows_the_share_of_dead_peers():
    """
    Some churn gives some growth: with 15 % dead k is between rest and bound, and stays there.
    """
    seen = live(Adaptation(), 3, dead=0.15)

    settled = {k for k, _ in seen[len(seen) // 2 :]}
    assert settled <= {23, 24, 25}


def test_k_returns_to_rest_when_churn_is_over():
    """
    Slowly: it takes about two hours, and nothing swings.
    """
    adaptation = Adaptation()
    live(adaptation, 0.5, dead=0.33)

    ks = [k for k, _ in live(adaptation, 2.5, dead=0.1, start=1800.0)]

    assert ks[0] == K_MAX
    assert abs(ks[-1] - K) <= 1
    assert ks == sorted(ks, reverse=True)


def test_k_falls_below_rest_only_in_a_network_that_has_proven_calm():
    """
    An hour without a dead peer takes one step, half a day reaches the smallest k, and no less.
    """
    adaptation = Adaptation()

    live(adaptation, 1.1)
    assert adaptation.k >= K - 1
    live(adaptation, 12, start=2 * 3600)
    assert adaptation.k == K_MIN


def test_one_failed_lookup_swings_nothing():
    """
    Korium's k and alpha followed every failed lookup. Ours wait for more than one burst.
    """
    adaptation = Adaptation()

    burst(adaptation, 0.0, unreachable=5, answers=10)

    assert (adaptation.k, adaptation.alpha) == (K, ALPHA)


def test_alpha_falls_when_timeouts_come_together():
    """
    More timeouts than answers in one interval: we are too slow ourselves, and asking more makes it worse.
    """
    adaptation = Adaptation()

    burst(adaptation, 0.0, timeouts=TOGETHER_MIN, answers=TOGETHER_MIN - 1)

    assert adaptation.alpha == ALPHA - 1
    assert adaptation.why().congested_intervals == 1
    burst(adaptation, 20.0, timeouts=10)
    burst(adaptation, 40.0, timeouts=10)
    assert adaptation.alpha == ALPHA_MIN


def test_a_few_timeouts_among_answers_are_no_congestion():
    """
    Single peers that do not answer are dead, not slow.
    """
    adaptation = Adaptation()

    burst(adaptation, 0.0, timeouts=TOGETHER_MIN, answers=TOGETHER_MIN)
    burst(adaptation, 20.0, timeouts=TOGETHER_MIN - 1)

    assert adaptation.alpha == ALPHA
    assert adaptation.why().congested_intervals == 0


def test_alpha_falls_when_our_own_queue_is_long():
    """
    One that was long for a moment only counts too; a short one does not.
    """
    adaptation = Adaptation()

    adaptation.answered(0.0, RTT_S)
    adaptation.queued(QUEUE_LONG - 1)
    adaptation.answered(INTERVAL_S, RTT_S)
    assert adaptation.alpha == ALPHA
    adaptation.queued(QUEUE_LONG)
    adaptation.queued(0)
    adaptation.answered(2 * INTERVAL_S, RTT_S)
    assert adaptation.alpha == ALPHA - 1
    adaptation.answered(3 * INTERVAL_S, RTT_S)
    assert adaptation.alpha == ALPHA - 1
    assert adaptation.why().queue == 0


def test_alpha_returns_after_congestion():
    """
    One step, half a minute after the last congested interval.
    """
    adaptation = Adaptation()
    burst(adaptation, 0.0, timeouts=10)

    alphas = [alpha for _, alpha in live(adaptation, 0.05, dead=0.1, start=10.0)]

    assert alphas[0] == ALPHA_MIN
    assert alphas[-1] == ALPHA


def test_alpha_rises_while_single_peers_fail_and_others_answer():
    """
    With a third of the peers dead, more requests in flight save the time that waiting for them costs.
    """
    adaptation = Adaptation()

    live(adaptation, 0.5, dead=0.35, how="timed_out")

    assert adaptation.alpha == ALPHA_MAX
    live(adaptation, 0.5, start=1800.0)
    assert adaptation.alpha == ALPHA


def test_an_outage_of_our_own_line_is_not_taken_for_churn():
    """
    Nobody answers at all: that says nothing about the peers.
    """
    adaptation = Adaptation()

    for number in range(100):
        for _ in range(20):
            adaptation.unreachable(number * INTERVAL_S)

    assert adaptation.k == K
    assert adaptation.why().dead_share == pytest.approx(0.1)
    assert adaptation.why().silent_intervals > 90


def test_dead_peers_that_others_named_do_not_count_as_churn():
    """
    A hostile reply is full of peers that do not exist: k stays, and alpha does not rise.
    """
    adaptation = Adaptation()

    seen = live(adaptation, 1, dead=0.4, known=False)

    assert {(K, ALPHA)} == set(seen)


def test_it_can_be_switched_off():
    """
    Then both stay, and why tells what would be.
    """
    adaptation = Adaptation(15, 4, adaptive=False)

    seen = live(adaptation, 1, dead=0.4)
    burst(adaptation, 4000.0, timeouts=20)

    assert {(15, 4)} == set(seen)
    assert adaptation.why().dead_share > 0.3
    assert adaptation.why().k_wanted > 15
    assert adaptation.why().rtt_s == pytest.approx(RTT_S)
    assert adaptation.why().congested_intervals == 1


def test_nothing_happens_without_requests():
    """
    Silence of a day, then one answer: no jump.
    """
    adaptation = Adaptation()
    adaptation.answered(0.0, RTT_S)
    adaptation.answered(86_400.0, RTT_S)

    assert K - 1 <= adaptation.k <= K
    assert adaptation.alpha == ALPHA
