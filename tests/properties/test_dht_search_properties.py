"""Whatever the network does to a search: it ends, keeps its bounds, and misses nobody whom it heard of."""

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.dht_network import Network
from kontinuum.dht.search import EXTENDED_REQUESTS_MAX

PEERS_MAX = 60
PATIENCE_S = 5.0
"""As long as requests take at most."""

SHARE = st.floats(0, 0.5)


@st.composite
def hostile_networks(draw):
    """Small networks in which everything happens."""
    return Network(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(1, 120)),
        k=draw(st.integers(1, 20)),
        liars=draw(SHARE),
        ground=draw(st.integers(0, 30)),
        dead=draw(SHARE),
        loss=draw(SHARE),
        repeat=draw(SHARE),
        slow=draw(SHARE),
        forged=draw(SHARE),
        crowded=draw(st.booleans()),
        alive=1,
    )


def keep_bounds(run, alpha, k):
    """No search may do more than its settings say, nor ask anybody twice."""
    assert run.search.done
    assert run.search.requests == len(run.asked)
    assert len(set(run.asked)) == len(run.asked), "a peer was asked twice, or by two paths"
    assert run.most_in_flight <= max(alpha, k)
    assert run.most_known <= PEERS_MAX


@settings(max_examples=150, deadline=None)
@given(net=hostile_networks(), paths=st.integers(1, 5), alpha=st.integers(1, 5), tiers=st.booleans())
def test_it_ends_within_its_bounds_and_asks_nobody_twice(net, paths, alpha, tiers):
    """
    However answers are lost, delayed, repeated or forged, and whoever lies.
    """
    run = net.search(net.target, paths=paths, alpha=alpha, tiers=tiers, peers_max=PEERS_MAX)

    keep_bounds(run, alpha, net.k)
    assert run.search.requests <= paths * PEERS_MAX
    assert all(0 <= run.search.trace(peer_id)[1] < paths for _, peer_id in run.asked)


@settings(max_examples=100, deadline=None)
@given(net=hostile_networks(), paths=st.integers(1, 4), radius_bits=st.integers(230, 256))
def test_an_extended_search_ends_within_its_bounds_too(net, paths, radius_bits):
    """
    It asks a peer at most once for each place, and no more than its own budget.
    """
    first = []

    def extend(search):
        first.append(search.requests)
        return (1 << radius_bits) - 1

    run = net.search(net.target, paths=paths, extend=extend, peers_max=PEERS_MAX)

    keep_bounds(run, 3, net.k)
    assert run.search.requests <= first[0] + EXTENDED_REQUESTS_MAX


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    peers=st.integers(2, 400),
    paths=st.integers(1, 4),
    tiers=st.booleans(),
    slow=SHARE,
    repeat=SHARE,
    forged=SHARE,
)
def test_among_honest_peers_it_finds_exactly_the_closest_of_the_whole_network(
    seed, peers, paths, tiers, slow, repeat, forged
):
    """
    However late and in whatever order they answer.
    """
    net = Network(seed, peers, slow=slow, repeat=repeat, forged=forged)
    client = net.client()
    run = net.search(net.target, client=client, paths=paths, tiers=tiers, late_after_s=PATIENCE_S)

    expected = [peer for peer in net.closest(net.target, net.k + 1) if peer is not client][: net.k]
    assert run.search.closest(net.k) == expected


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    peers=st.integers(2, 300),
    paths=st.integers(1, 4),
    liars=SHARE,
    dead=SHARE,
    slow=SHARE,
)
def test_nobody_who_was_named_and_lives_is_missing_from_the_closest(seed, peers, paths, liars, dead, slow):
    """
    It ends only when the k closest that live have answered: of those it heard of, dead and lying peers
    hide none.
    """
    net = Network(seed, peers, liars=liars, dead=dead, slow=slow, alive=1)
    client = net.client()
    run = net.search(net.target, client=client, paths=paths, late_after_s=PATIENCE_S)

    alive = {peer for peer in run.named if peer.peer_id not in net.dead and peer is not client}
    named = sorted(alive, key=lambda peer: peer.key ^ net.target)[: net.k]
    found = run.search.closest(net.k)
    assert len(found) >= len(named)
    assert all(
        ours.key ^ net.target <= theirs.key ^ net.target for ours, theirs in zip(found, named, strict=False)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), paths=st.integers(1, 3))
def test_the_same_network_gives_the_same_search(seed, paths):
    """
    A search is a function of what it is told.
    """

    def once():
        net = Network(seed, 80, liars=0.2, dead=0.2, slow=0.2, loss=0.2, repeat=0.2, alive=1)
        return net.search(net.target, paths=paths, tiers=True).asked

    assert once() == once()
