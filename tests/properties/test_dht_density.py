"""The network's size is estimated well, honest neighbourhoods are not suspected, and crowded ones are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.dht.density import OBSERVATIONS_MAX, OBSERVATIONS_MIN, PEERS_MIN, Density, chance_of

SPACE = 1 << 256
RNG = random.Random(5)  # noqa: S311 -- always the same


def honest(peers, k=20):
    """Distances of the k closest of so many evenly spread peers."""
    distance, found = 0.0, []
    for _ in range(k):
        distance += RNG.expovariate(peers)
        found.append(int(distance * SPACE))
    return found


def crowded(peers, crowd, within):
    """The k closest where a crowd sits, evenly, nearer than the honest peer of that number (from 0)."""
    everybody = honest(peers)
    everybody += [int(RNG.random() * everybody[within]) for _ in range(crowd)]
    return sorted(everybody)[:20]


def seasoned(peers, lookups=10, k=20):
    """What a node knows after some lookups of random places."""
    density = Density()
    for _ in range(lookups):
        density.observe(RNG.getrandbits(256), honest(peers, k))
    return density


@pytest.mark.parametrize("peers", [1_000, 10_000_000])
def test_the_size_of_the_network_follows_from_a_few_lookups(peers):
    """
    Of a hundred nodes, each with the lookups of one refresh, hardly any is wrong by more than a third.
    """
    estimates = sorted(seasoned(peers).estimate() / peers for _ in range(100))

    assert estimates[2] > 0.75
    assert estimates[97] < 1.33
    assert 0.93 < estimates[50] < 1.07


@pytest.mark.parametrize(
    ("lookups", "k"), [(OBSERVATIONS_MIN, 10), (OBSERVATIONS_MIN, 20), (10, 20), (32, 30)]
)
def test_fewer_than_one_honest_lookup_in_a_thousand_is_suspected(lookups, k):
    """
    The promise of CHANCE_MIN, even right after the first estimate: 200 nodes, 100 lookups each.
    """
    alarms = 0
    for _ in range(200):
        density = seasoned(50_000, lookups, k)
        alarms += sum(density.suspicious(0, honest(50_000, k)) is not None for _ in range(100))

    assert alarms < 20


def test_a_crowd_that_leaves_no_honest_peer_among_the_closest_is_noticed():
    """
    However it is spread: right next to the key, or as evenly as the nearest honest peer allows.
    """
    adjacent = [crowded(10_000, 20, within=0) for _ in range(200)]
    tight = [[distance >> 8 for distance in honest(10_000)] for _ in range(200)]

    for neighbourhoods in (adjacent, tight):
        noticed = sum(seasoned(10_000).suspicious(0, found) is not None for found in neighbourhoods)
        assert noticed >= 198


def test_the_radius_holds_as_many_honest_peers_as_a_record_has_holders():
    """
    k of them are to be expected within it, as far as the estimate is right.
    """
    density = seasoned(10_000, OBSERVATIONS_MAX)
    radius = density.suspicious(0, crowded(10_000, 100, within=0))

    assert radius is not None
    assert 15 < radius / SPACE * 10_000 < 26


def test_nothing_is_suspicious_before_there_is_an_estimate_or_when_all_peers_are_holders():
    """
    Too few lookups, or too few peers found.
    """
    assert seasoned(1000, OBSERVATIONS_MIN - 1).estimate() is None
    assert seasoned(1000, OBSERVATIONS_MIN - 1).suspicious(0, [1] * 20) is None
    assert seasoned(1000).suspicious(0, [1] * (PEERS_MIN - 1)) is None
    assert Density().suspicious(0, []) is None


def test_a_few_ids_next_to_a_key_cause_no_alarm():
    """
    They harm nobody, so they must not be able to make every lookup dear.
    """
    density = seasoned(1000)
    neighbourhood = sorted([*honest(1000, 17), 0, 1, 2])

    assert density.suspicious(0, neighbourhood) is None


def test_a_key_under_attack_does_not_spoil_the_estimate():
    """
    However often it is looked up, its neighbourhood counts once, and not at all when it is judged itself.
    """
    density = seasoned(1000, 8)
    before = density.estimate()
    attacked = RNG.getrandbits(256)
    crowd = [number << 220 for number in range(1, 21)]
    for _ in range(100):
        density.observe(attacked, crowd)

    assert len(density._observations) == 9
    assert 0.8 * before < density.estimate() < 1.25 * before
    assert density.suspicious(attacked, crowd) is not None


def test_only_the_latest_lookups_count_and_useless_ones_do_not():
    """
    A network grows and shrinks; a lookup that found next to nobody says nothing about it.
    """
    density = seasoned(1000, OBSERVATIONS_MAX)
    for _ in range(OBSERVATIONS_MAX):
        density.observe(RNG.getrandbits(256), honest(64_000))
    assert len(density._observations) == OBSERVATIONS_MAX
    assert density.estimate() > 48_000

    density.observe(1, [])
    density.observe(1, [5] * (PEERS_MIN - 1))
    density.observe(1, [0] * 20)
    assert len(density._observations) == OBSERVATIONS_MAX


@given(number=st.integers(1, 40), share=st.floats(0.0, 0.99))
def test_the_chance_is_the_upper_tail_of_the_poisson_distribution(number, share):
    """
    Compared with one minus the lower tail, where that is exact enough.
    """
    expected = number * share
    chance = chance_of(number, expected)

    lower, term = 0.0, 2.718281828459045**-expected
    for count in range(number):
        lower += term
        term *= expected / (count + 1)
    assert chance == pytest.approx(1 - lower, abs=1e-9)
