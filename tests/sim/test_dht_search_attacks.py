"""What hostile peers can do to a search, with each defence on and off.

A model network: peers name peers, nothing else. ``kontinuum.sim`` runs the same attacks on whole nodes.
"""

import pytest

from helpers.dht_network import ModelPeer, Network
from kontinuum.dht.density import Density
from kontinuum.dht.search import Search, SearchSettings

K = 20


def finds_holders(net, target, **settings):
    """Most of the honest peers that are really closest to the target are among those found."""
    client = net.client()
    run = net.search(target, client=client, **settings)
    honest = {peer.peer_id for peer in net.closest(target) if peer is not client} - net.liars
    return 2 * len(honest & {peer.peer_id for peer in run.search.closest(K)}) >= len(honest)


def success(net, lookups, **settings):
    """The share of lookups that find the holders."""
    return sum(finds_holders(net, net.random_key(), **settings) for _ in range(lookups)) / lookups


@pytest.mark.slow
@pytest.mark.parametrize(("paths", "low", "high"), [(1, 0.9, 0.985), (3, 0.995, 1.0)])
def test_a_fifth_of_the_network_lies(paths, low, high):
    """
    They name only each other and look nearby, so that they are asked first: one path is led astray too often,
    three are not.
    """
    net = Network(7, 3000, liars=0.2, fast_liars=True)

    assert low <= success(net, 300, paths=paths, tiers=True) <= high


@pytest.mark.slow
@pytest.mark.parametrize(("paths", "low", "high"), [(1, 0.0, 0.9), (3, 0.97, 1.0)])
def test_half_of_the_network_lies(paths, low, high):
    """
    Beyond what is promised, the paths still make the difference.
    """
    net = Network(7, 3000, liars=0.5)

    assert low <= success(net, 150, paths=paths) <= high


def stores_and_finds(seed, *, density, liars=0.2, ground=100):
    """One node stores at the peers it finds, another looks for them: how many honest ones have both met."""
    net = Network(seed, 2000, liars=liars, ground=ground)
    target, ends = net.target, []
    for _ in range(2):
        known = Density()
        for _ in range(8):
            place = net.random_key()
            found = net.search(place).search.closest(K)
            known.observe(place, [peer.key ^ place for peer in found])
        radius = None

        def extend(search, known=known):
            nonlocal radius
            radius = known.suspicious(target, [peer.key ^ target for peer in search.closest(K)])
            return radius

        search = net.search(target, paths=3, extend=extend if density else None).search
        found = search.closest(K) if radius is None else search.outermost(64)
        ends.append({peer.peer_id for peer in found} - net.liars)
    return len(ends[0] & ends[1])


@pytest.mark.slow
@pytest.mark.parametrize("density", [False, True])
def test_a_hundred_ids_ground_next_to_a_key(density):
    """
    Without a look at the density all copies go to the attacker; with it, both ends meet at honest peers, with
    another fifth of the network lying besides.
    """
    met = [stores_and_finds(seed, density=density) for seed in range(40)]

    if density:
        assert sum(honest >= 3 for honest in met) >= 39
    else:
        assert met == [0] * 40


@pytest.mark.parametrize("caps", [False, True])
def test_ids_ground_next_to_a_key_from_one_network(caps):
    """
    Who has one /24 only is not let in among the closest at all.
    """
    for seed in range(5):
        net = Network(seed, 1000, ground=100, ground_ip=lambda number: f"8.8.8.{number % 250}")
        found = net.search(net.target, paths=3, prefix_caps=caps).search.closest(K)
        honest = [peer for peer in found if peer.peer_id not in net.liars]
        assert len(honest) == (18 if caps else 0)


@pytest.mark.parametrize("known_by", ["identity", "address"])
def test_one_identity_under_two_hundred_addresses_fills_nothing(known_by):
    """
    Two hundred addresses of one peer are one peer; who knew peers by address would know two hundred.
    """
    seeds = [ModelPeer(number, 1 << 200 + number) for number in range(3)]
    names = [99 if known_by == "identity" else 99 + number for number in range(200)]
    stuffed = [ModelPeer(name, 5, f"20.0.{number}.1") for number, name in enumerate(names)]
    search = Search(0, seeds, local=b"", settings=SearchSettings(k=3, alpha=3))
    asked = search.start(0.0)
    while asked:
        one = asked.pop(0)
        asked += search.answered(one.peer_id, stuffed, 0.1)

    assert search.done
    found = [peer.key for peer in search.closest(3)]
    assert found == ([5, 1 << 200, 1 << 201] if known_by == "identity" else [5, 5, 5])


@pytest.mark.parametrize("addresses", [1, 200])
def test_one_identity_under_many_addresses_is_asked_once(addresses):
    """
    An answer that names one peer again and again names one peer.
    """
    seeds = [ModelPeer(number, 1 << 200 + number) for number in range(3)]
    stuffed = [ModelPeer(99, 5, f"20.0.{number}.1") for number in range(addresses)]
    search = Search(0, seeds, local=b"", settings=SearchSettings(k=3, alpha=3))
    search.start(0.0)

    asked = search.answered(seeds[0].peer_id, stuffed[:1], 0.1)
    asked += search.answered(seeds[1].peer_id, stuffed[-20:], 0.1)
    assert len(asked) == 1
    search.answered(asked[0].peer_id, stuffed[:20], 0.2)
    search.answered(seeds[2].peer_id, [], 0.3)
    assert search.done
    assert [peer.key for peer in search.closest(3)] == [5, 1 << 200, 1 << 201]


@pytest.mark.parametrize("extra", [0, 1000])
def test_an_answer_of_a_thousand_peers_takes_no_more_room_than_one_of_k(extra):
    """
    Limit, limit and more, flood: only the k closest of an answer are remembered.
    """
    net = Network(1, 2000)
    seed, *named = net.peers
    settings = SearchSettings(k=K, peers_max=50)
    search = Search(net.target, [seed], local=b"", settings=settings)
    search.start(0.0)
    search.answered(seed.peer_id, named[: K + extra], 0.1)

    assert len(search._paths[0].order) == K + 1
