"""Peers on one address (P6): who shares one, what it costs, and that it ends. attacks.md 26."""

import pytest

from kontinuum.gossip.colocation import Colocation
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.score_params import LOCAL_NETWORKS, PeerScoreParams, PeerScoreThresholds

PARAMS = PeerScoreParams(ip_colocation_factor_weight=-2.0, ip_colocation_factor_threshold=3)


def peers(scores, number, ip):
    """Connect so many peers from one address."""
    names = [f"{ip} {count}" for count in range(number)]
    for name in names:
        assert scores.add_peer(name, ip, 0.0)
    return names


def test_a_nat_with_few_peers_costs_nothing():
    """
    Up to the threshold, peers behind one address have the score of any other.
    """
    scores = PeerScore(PARAMS)
    house = peers(scores, 3, "9.9.9.9")

    assert [scores.score(peer) for peer in house] == [0.0, 0.0, 0.0]


def test_too_many_pay_all_alike_and_no_longer_when_some_leave():
    """Each of n peers has the weight times (n - threshold)^2; the count falls with each that leaves, and
    the others on the node do not notice.
    """
    scores = PeerScore(PARAMS)
    crowd, other = peers(scores, 6, "9.9.9.9"), peers(scores, 1, "9.9.9.8")

    assert {scores.score(peer) for peer in crowd} == {-18.0}
    scores.remove_peer(crowd[0], 0.0)
    assert {scores.score(peer) for peer in crowd[1:]} == {-8.0}
    for peer in crowd[1:4]:
        scores.remove_peer(peer, 0.0)
    assert {scores.score(peer) for peer in crowd[4:]} == {0.0}
    assert scores.score(other[0]) == 0.0


def test_those_that_left_are_not_counted_although_their_score_is_kept():
    """
    An attacker that is gone leaves no debt to the next tenant of its address.
    """
    scores = PeerScore(PARAMS)
    for peer in peers(scores, 20, "9.9.9.9"):
        scores.behaviour_penalty(peer, 100)
        scores.remove_peer(peer, 1.0)

    scores.add_peer("new tenant", "9.9.9.9", 2.0)

    assert len(scores.inspect()) == 21
    assert scores.score("new tenant") == 0.0


def test_a_peer_that_moves_takes_its_count_along():
    """
    A connection that has another address now (a NAT rebinding) counts there, and only there.
    """
    scores = PeerScore(PARAMS)
    crowd = peers(scores, 4, "9.9.9.9")
    assert scores.score(crowd[0]) == -2.0

    scores.add_peer(crowd[0], "9.9.9.8", 1.0)

    assert [scores.score(peer) for peer in crowd] == [0.0, 0.0, 0.0, 0.0]
    for peer in crowd:
        scores.remove_peer(peer, 2.0)
    assert len(scores._colocation) == 0


def test_an_ipv6_site_is_a_64():
    """
    One host may take any address of its /64, so those are one; the next /64 is another one.
    """
    scores = PeerScore(PARAMS)
    for number in range(5):
        scores.add_peer(f"same {number}", f"2a00:1:2:3:{number}::1", 0.0)
    scores.add_peer("next door", "2a00:1:2:4::1", 0.0)

    assert scores.score("same 0") == -8.0
    assert scores.score("next door") == 0.0


def test_ipv4_in_ipv6_is_ipv4():
    """
    A dual-stack socket writes IPv4 addresses as IPv6 ones; they are neither one site nor another address.
    """
    scores = PeerScore(PARAMS)
    for number in range(4):
        scores.add_peer(f"mapped {number}", f"::ffff:9.9.9.{number}", 0.0)
    peers(scores, 3, "9.9.9.0")

    assert scores.score("mapped 0") == -2.0
    assert scores.score("mapped 1") == 0.0


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        None,
        "no address",
        "",
    ],
)
def test_loopback_and_lan_are_not_counted(ip):
    """
    A hundred nodes on one computer, on one LAN address, or behind relays do not pay.
    """
    scores = PeerScore(PeerScoreParams())

    assert {scores.score(peer) for peer in peers(scores, 100, ip)} == {0.0}
    assert scores.inspect()[0].peers_on_address == 0


@pytest.mark.parametrize("ip", ["9.9.9.9", "172.32.0.1", "100.128.0.1", "2a00:1::1", "126.255.255.255"])
def test_the_rest_of_the_internet_is_counted(ip):
    """
    The allow-list ends where the private networks end; a hundred peers on one address are graylisted.
    """
    scores = PeerScore(PeerScoreParams())

    for peer in peers(scores, 100, ip):
        assert scores.score(peer) < PeerScoreThresholds().graylist_threshold


def test_the_allow_list_is_a_setting():
    """
    Who knows a large NAT lists it; who trusts no LAN empties the list.
    """
    listed = Colocation(-1.0, 1, LOCAL_NETWORKS)
    strict = Colocation(-1.0, 1, [])
    for colocation in (listed, strict):
        colocation.join("192.168.1.1")

    assert listed.join("192.168.1.1").penalty == 0.0
    assert strict.join("192.168.1.1").penalty == -1.0
