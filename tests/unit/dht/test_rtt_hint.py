"""What others tell of round trips: useful where we know nothing, and worth nothing to a liar."""

import pytest

from helpers.dht_net import Net
from helpers.dht_peers import key_pair, peer, peers
from kontinuum.dht import events as ev
from kontinuum.dht.config import K
from kontinuum.dht.kbucket import Entry
from kontinuum.dht.rtt_hint import HINT_MAX_US, HINT_MIN_US, expected_s, hint_us
from kontinuum.dht.search import Search, SearchSettings
from kontinuum.dht.tiers import Tiers
from kontinuum.messages.kad import KadMessage, KadPeer, MessageType

NEAR, FAR = "20.0.0.1", "30.0.0.1"
UNKNOWN = "40.0.0.1"


@pytest.fixture
def tiers():
    """Four networks at 10 ms and four at 300 ms: two tiers."""
    measured = Tiers()
    for number in range(4):
        measured.observe(f"20.{number}.0.1", 0.01, 0.0)
        measured.observe(f"30.{number}.0.1", 0.3, 0.0)
    assert len(measured) == 2
    return measured


@pytest.mark.parametrize(
    ("rtt_s", "told_us"),
    [
        (None, 0),
        (0.0, 0),
        (1e-9, HINT_MIN_US),
        (0.001, 1024),
        (0.0014, 1024),
        (0.0015, 2048),
        (0.1, 131_072),
        (1.0, 1_048_576),
        (60.0, HINT_MAX_US),
        (1e9, HINT_MAX_US),
    ],
)
def test_a_round_trip_is_told_as_the_nearest_power_of_two(rtt_s, told_us):
    """
    As exact as tiers are, and no more.
    """
    assert hint_us(rtt_s) == told_us


def test_both_ways_are_added_and_absurd_claims_cut():
    """
    What is not told is not there; no number on the wire lets a peer wait for more than the largest hint.
    """
    named = [KadPeer(b"a", rtt_us=20_000), KadPeer(b"b"), KadPeer(b"c", rtt_us=2**31 - 1)]

    assert expected_s(named, 0.1) == pytest.approx({b"a": 0.12, b"c": 0.1 + HINT_MAX_US / 1e6})


def test_a_reply_tells_what_was_measured():
    """
    Peers to which nothing was measured are named without a hint, as the same object each time.
    """
    net = Net([0])
    net.give(0, ev.Start())
    table = net.machines[0].table
    for one in peers(K, 2):
        table.offer(one, one.ip, 0.0)
    table.seen(peer(2).peer_id, 1.0, 0.05)
    request = ev.Request(7, peer(1).peer_id, peer(1).ip, KadMessage(MessageType.FIND_NODE, key=bytes(32)))

    def named():
        effects = net.machines[0].handle(request, net.now)
        return {found.peer_id: found for found in effects[0].message.closer_peers}

    first, second = named(), named()
    assert first[peer(2).wire.peer_id].rtt_us == hint_us(0.05) > 0
    assert first[peer(2).wire.peer_id] is second[peer(2).wire.peer_id]
    assert first[peer(3).wire.peer_id] is peer(3).wire


def test_who_has_moved_is_named_by_its_new_contact():
    """
    A hint does not keep an old contact alive.
    """
    entry = Entry(peer(5), None, 0.0)
    entry.measured(0.05)
    assert entry.named().contact == peer(5).wire.contact
    entry.peer = peer(5, sequence=2)

    assert entry.named().contact == peer(5, sequence=2).wire.contact
    assert entry.named().rtt_us == hint_us(0.05)


def test_our_own_measurement_outranks_every_hint(tiers):
    """
    A claim counts only for networks that we know nothing of.
    """
    assert tiers.tier(NEAR, 10.0) == tiers.tier(NEAR) == 0
    assert tiers.tier(FAR, 0.001) == tiers.tier(FAR) == 1
    assert tiers.tier(UNKNOWN, 0.011) == 0
    assert tiers.tier(UNKNOWN, 0.5) == tiers.tier(UNKNOWN) == 1


@pytest.mark.parametrize(("liar_rtt_s", "tier"), [(0.3, 1), (0.01, 0)], ids=["far liar", "near liar"])
def test_nobody_looks_nearer_than_who_praises_it(tiers, liar_rtt_s, tier):
    """
    The round trip to whoever claims something was measured by us, and is always added.
    """
    claim = [KadPeer(b"friend", rtt_us=1)]

    assert tiers.tier(UNKNOWN, expected_s(claim, liar_rtt_s)[b"friend"]) == tier


@pytest.mark.parametrize("lies", [False, True])
def test_a_liar_gains_the_order_and_nothing_else(tiers, lies):
    """
    Its friends are asked first among equals; the search asks the honest all the same, and finds them.
    """
    liar = peer(1)
    friends, honest = peers(10, 2), peers(10, 100)
    target = honest[0].key
    rtts_s = expected_s([KadPeer(one.wire.peer_id, rtt_us=1) for one in friends], 0.001) if lies else {}
    search = Search(
        target,
        [liar],
        local=key_pair(0).peer_id,
        settings=SearchSettings(k=20, prefix_caps=False),
        tier_of=lambda one, told_s: tiers.tier(one.ip, told_s),
    )
    (asked,) = search.start(0.0)
    wanted = search.answered(asked.peer_id, [*friends, *honest], 0.001, rtts_s=rtts_s)
    order = []
    while wanted:
        one = wanted.pop(0)
        order.append(one)
        wanted += search.answered(one.peer_id, [], 0.1)

    assert search.done
    assert set(search.closest(20)) == {*friends, *honest}
    assert search.closest(1) == [honest[0]]
    assert set(order) == {*friends, *honest}


def test_a_peer_that_is_told_to_be_near_is_asked_before_its_equals(tiers):
    """
    What hints are for.
    """
    far, near = peer(10), peer(11)
    search = Search(
        0,
        [peer(1)],
        local=key_pair(0).peer_id,
        settings=SearchSettings(k=20, alpha=1),
        tier_of=lambda one, told_s: tiers.tier(one.ip, told_s),
    )
    search.start(0.0)
    ordered = sorted((far, near), key=lambda one: one.key)
    told = expected_s([KadPeer(ordered[0].wire.peer_id, rtt_us=262_144)], 0.01)
    told |= expected_s([KadPeer(ordered[1].wire.peer_id, rtt_us=1024)], 0.01)
    (first,) = search.answered(peer(1).peer_id, [far, near], 0.01, rtts_s=told)

    assert ordered[1].key < ordered[0].key << 2, "about equally close"
    assert first is ordered[1]
