"""Latency tiers: which networks are near, learnt from few round trips."""

from itertools import pairwise

import pytest

from kontinuum.base.entropy import Rng
from kontinuum.dht.tiers import (
    PREFIXES_MAX,
    RECLUSTER_INTERVAL_S,
    TIERS_MAX,
    Tiers,
    tier_borders,
)


def ip_of(number):
    """An address in a /16 of its own."""
    return f"{20 + number // 256}.{number % 256}.1.1"


def tiers_of(*rtts_s, now=0.0):
    """Tiers that know one network for each round trip."""
    tiers = Tiers()
    for number, rtt_s in enumerate(rtts_s):
        tiers.observe(ip_of(number), rtt_s, now)
    return tiers


def around(rng, *centres_s, noise=0.15, each=30):
    """Round trips near each of the centres."""
    return [centre * rng.uniform(1 - noise, 1 + noise) for centre in centres_s for _ in range(each)]


def test_at_first_everybody_is_alike():
    """
    Without a round trip there is one tier, and every address is in it.
    """
    tiers = Tiers()

    assert len(tiers) == 1
    assert tiers.tier("8.8.8.8") == 0
    assert tiers.figures().sizes == (0,)


def test_two_distances_make_two_tiers():
    """
    A near and a far network are told apart as soon as both are known, whichever of their hosts is meant.
    """
    tiers = tiers_of(0.01, 0.2)

    assert len(tiers) == 2
    assert tiers.tier("20.0.99.99") == 0
    assert tiers.tier("20.1.99.99") == 1


@pytest.mark.parametrize("centres_s", [(0.05,), (0.02, 0.1), (0.02, 0.06, 0.18), (0.005, 0.03, 0.09, 0.3)])
def test_tiers_are_the_distances_that_there_are(centres_s):
    """
    Noise of some 15 % makes no tiers of its own, and each true distance gets one.
    """
    borders = tier_borders(around(Rng(1), *centres_s))

    assert len(borders) == len(centres_s) - 1
    for (left, right), border in zip(pairwise(centres_s), borders, strict=True):
        assert left * 1.15 < border < right * 0.85


def test_a_peer_without_an_address_is_as_far_as_an_unknown_one():
    """
    A contact that has names only does not seem nearer than those that say where they are.
    """
    tiers = tiers_of(0.01, 0.2)

    assert len(tiers) == 2
    assert tiers.tier(None) == tiers.tier("99.99.0.1") == 1


def test_there_are_no_more_than_seven_tiers():
    """
    However round trips spread, from a millisecond to an hour.
    """
    rng = Rng(2)

    borders = tier_borders([10 ** rng.uniform(-3, 3.5) for _ in range(1000)])

    assert len(borders) == TIERS_MAX - 1
    assert borders == sorted(set(borders))


def test_tiers_do_not_depend_on_the_order_of_what_was_measured():
    """
    The same networks give the same tiers, so that a run can be repeated.
    """
    rng = Rng(3)
    rtts = [rng.uniform(0.001, 0.4) for _ in range(200)]

    assert tier_borders(rtts) == tier_borders(rng.sample(rtts, 200))


@pytest.mark.parametrize("rtt_s", [0.0, -1.0, 1e-9, 0.0005])
def test_below_a_millisecond_all_are_the_same(rtt_s):
    """
    Loopback and a local network are one tier, and a clock that jumps breaks nothing.
    """
    assert tier_borders([rtt_s, 0.0009, 0.001]) == []


def test_a_network_that_is_not_known_is_in_the_middle():
    """
    Neither preferred to those that are known to be near, nor put behind those that are known to be far.
    """
    tiers = tiers_of(0.002, 0.02, 0.2)
    tiers.refresh(RECLUSTER_INTERVAL_S)

    assert len(tiers) == 3
    assert tiers.tier("99.99.1.1") == 1


def test_a_network_that_becomes_slow_changes_its_tier():
    """
    Round trips are smoothed: one outlier changes nothing, lasting slowness does, without a new clustering.
    """
    tiers = tiers_of(0.01, 0.2)

    tiers.observe(ip_of(0), 0.1, 1.0)
    assert tiers.tier(ip_of(0)) == 0
    for _ in range(30):
        tiers.observe(ip_of(0), 0.1, 2.0)

    assert tiers.tier(ip_of(0)) == 1


def test_tiers_are_made_anew_in_intervals():
    """
    Between two clusterings the borders stay, unless twice as many networks are known.
    """
    tiers = tiers_of(0.01, 0.2)
    before = tiers.figures().borders_s

    tiers.observe(ip_of(2), 0.003, 1.0)
    assert tiers.figures().borders_s == before
    tiers.observe(ip_of(2), 0.003, RECLUSTER_INTERVAL_S)
    after = tiers.figures().borders_s
    assert after != before
    for number in (3, 4):
        tiers.observe(ip_of(number), 0.9, RECLUSTER_INTERVAL_S + 1.0)
        assert tiers.figures().borders_s == after
    tiers.observe(ip_of(5), 0.9, RECLUSTER_INTERVAL_S + 1.0)
    assert tiers.figures().borders_s != after


def test_the_network_that_was_not_measured_for_longest_goes():
    """
    PREFIXES_MAX networks are remembered; who is measured again stays.
    """
    tiers = Tiers()
    for number in range(PREFIXES_MAX):
        tiers.observe(ip_of(number), 0.05, 0.0)
    tiers.observe(ip_of(0), 0.05, 1.0)
    tiers.observe(ip_of(PREFIXES_MAX), 0.05, 1.0)

    assert tiers.figures().prefixes == PREFIXES_MAX
    assert "20.0" in tiers._rtts
    assert "20.1" not in tiers._rtts


def test_figures_count_each_network_once():
    """
    The sizes of the tiers add up to the networks that are known.
    """
    tiers = tiers_of(*around(Rng(4), 0.02, 0.2), now=0.0)
    tiers.refresh(RECLUSTER_INTERVAL_S)

    figures = tiers.figures()

    assert figures.prefixes == 60
    assert figures.sizes == (30, 30)
    assert len(figures.borders_s) == 1


def test_ipv6_networks_are_told_apart_by_their_32():
    """
    What a provider has is one network.
    """
    tiers = Tiers()
    tiers.observe("2a00:1450::1", 0.01, 0.0)
    tiers.observe("2a02:1450::1", 0.3, 0.0)

    assert tiers.tier("2a00:1450:ffff::9") == 0
    assert tiers.tier("2a02:1450:ffff::9") == 1
