"""Who is pinged and who enters the table."""

import pytest

from helpers.dht_peers import contact, key_pair, peer, peers
from helpers.identities import contact_of
from kontinuum.dht.membership import (
    PINGS_MAX,
    PINGS_PER_PREFIX_MAX,
    RECHECK_EVERY_S,
    RENOUNCED_MAX,
    SILENCE_PEERS,
    Membership,
)
from kontinuum.dht.peer import Peer
from kontinuum.dht.routing_table import FAILURES_MAX, RoutingTable
from kontinuum.identity import KeyPair, Multiaddr

HERE = peer(0)


@pytest.fixture
def table():
    """An empty table of peer 0."""
    return RoutingTable(HERE.key, k=20)


def membership(table, *, ping_first=True):
    """A membership that tells nobody."""
    ignore = lambda _peer, _now: None  # noqa: E731
    return Membership(table, ping_first=ping_first, joined=ignore, left=ignore)


def test_a_newcomer_is_pinged_once_and_enters_when_it_answers(table):
    """Being told of again does not ask again."""
    members, newcomer = membership(table), peer(1)
    assert members.consider(newcomer, newcomer.ip, 0.0) == [newcomer]
    assert members.consider(newcomer, newcomer.ip, 0.0) == []
    assert newcomer.peer_id not in table
    members.answered(newcomer, newcomer.ip, 1.0, 0.02)
    assert newcomer.peer_id in table


def test_pings_in_flight_are_bounded_and_a_place_is_free_after_an_answer_or_a_failure(table):
    """A flood of newcomers costs PINGS_MAX requests."""
    members = membership(table)
    asked = [one for one in peers(PINGS_MAX + 40, 1) if members.consider(one, one.ip, 0.0)]
    assert len(asked) == PINGS_MAX
    members.answered(asked[0], asked[0].ip, 1.0, 0.02)
    members.failed(asked[1], 1.0)
    late = [one for one in peers(50, 500) if members.consider(one, one.ip, 1.0)]
    assert len(late) == 2


def test_a_network_of_dead_peers_takes_few_places(table):
    """Of one /24 only so many are pinged at once."""
    members = membership(table)
    crowd = [peer(number, f"20.1.2.{number}") for number in range(1, 100)]
    assert sum(bool(members.consider(one, one.ip, 0.0)) for one in crowd) == PINGS_PER_PREFIX_MAX
    members.failed(crowd[0], 5.0)
    assert sum(bool(members.consider(one, one.ip, 5.0)) for one in crowd[50:]) == 1


def test_a_peer_that_answers_nobody_is_not_pinged(table):
    """Clients, and contacts without an address."""
    pair = KeyPair.from_seed(b"q" * 32)
    address = Multiaddr.parse("/ip4/20.9.9.9/udp/1/quic-v1")
    for fields in ({"addresses": []}, {"addresses": [address], "capabilities": ["dht-client"]}):
        made = contact_of(pair, **fields)
        assert membership(table).consider(Peer(made, made.encode()), "20.9.9.9", 0.0) == []


def test_who_looks_around_takes_in_nobody_else(table):
    """Neither who comes by itself nor who answers on the way; only the end of lookups, and our candidates."""
    members = membership(table)
    members.look_around()
    unasked, on_the_way, at_the_end, candidate = peers(4, 1)
    assert members.consider(unasked, unasked.ip, 0.0) == []
    for one in (on_the_way, at_the_end):
        members.answered(one, one.ip, 0.0, 0.02, searched=True)
    members.answered(candidate, candidate.ip, 0.0, 0.02)
    members.found([at_the_end], 1.0)
    assert sorted(table, key=lambda one: one.peer_id) == sorted(
        [at_the_end, candidate], key=lambda one: one.peer_id
    )
    members.settle()
    assert members.consider(unasked, unasked.ip, 2.0) == [unasked]


def test_what_a_peer_was_seen_at_counts_when_it_stands_at_the_end(table):
    """Not what its contact claims."""
    members = membership(table)
    members.look_around()
    crowd = peers(9, 1)
    for one in crowd:
        members.answered(one, "20.1.2.3", 0.0, 0.02, searched=True)
    members.found(crowd, 1.0)
    assert len(table) < len(crowd)


def test_a_peer_in_doubt_is_asked_until_it_answers_or_goes(table):
    """Nothing else would ever ask it."""
    members, doubted, living = membership(table), peer(1), peer(2)
    for one in (doubted, living):
        members.answered(one, one.ip, 0.0, 0.02)
    assert members.next_deadline() is None
    now = 10.0
    members.failed(doubted, now)
    for _ in range(FAILURES_MAX - 1):
        members.answered(living, living.ip, now, 0.02)
        now = members.next_deadline()
        assert now is not None
        assert members.recheck(now - 1) == []
        assert members.recheck(now) == [doubted]
        members.failed(doubted, now)
    assert doubted.peer_id not in table
    assert members.recheck(now + 2 * RECHECK_EVERY_S) == []
    assert members.next_deadline() is None


def test_when_nobody_answers_nobody_goes(table):
    """It may be our own line: failures of several peers without an answer between count for none of them."""
    members = membership(table)
    known = peers(SILENCE_PEERS + 4, 1)
    for one in known:
        members.answered(one, one.ip, 0.0, 0.02)
    for now in (10.0, 20.0, 30.0, 40.0):
        for one in known:
            members.failed(one, now)
    assert members.silence
    gone = [one for one in known if one.peer_id not in table]
    assert len(gone) < SILENCE_PEERS
    members.answered(known[-1], known[-1].ip, 50.0, 0.02)
    assert not members.silence


def test_the_next_candidate_follows_one_that_is_dead():
    """A place that is free goes to whoever answers, however many of those that waited are gone."""
    table = RoutingTable(HERE.key, k=20)
    members = membership(table)
    half = [one for one in peers(400, 1) if (one.key ^ HERE.key).bit_length() == 256][:24]
    for one in half:
        members.answered(one, one.ip, 0.0, 0.02)
    assert len(table) == 20
    gone = half[0]
    first = members.failed(gone, 10.0)
    assert len(first) == 1
    second = members.failed(first[0], 16.0)
    assert len(second) == 1
    assert second != first


def test_without_the_defence_whoever_is_told_of_enters(table):
    """What ping_first is for."""
    newcomer = peer(1)
    assert membership(table, ping_first=False).consider(newcomer, newcomer.ip, 0.0) == []
    assert newcomer.peer_id in table


def test_a_newer_contact_takes_the_place_of_the_older_one(table):
    """It is signed by the same peer, which is in the table already."""
    members, older = membership(table), peer(1)
    members.answered(older, older.ip, 0.0, 0.02)
    newer = peer(1, None, 2)
    assert members.consider(newer, newer.ip, 1.0) == []
    assert table.get(key_pair(1).peer_id).peer is newer
    assert newer.contact == contact(1, None, 2)


def test_an_identity_that_was_given_up_is_gone_and_does_not_come_back(table):
    """Neither by an answer of before nor by anybody's word."""
    gone = []
    members = Membership(
        table, ping_first=True, joined=lambda _peer, _now: None, left=lambda peer, _now: gone.append(peer)
    )
    for one in peers(2, 1):
        members.answered(one, one.ip, 0.0, 0.02)
    members.renounced(peer(1).peer_id, 1.0)
    members.renounced(peer(9).peer_id, 1.0)
    members.answered(peer(1), peer(1).ip, 2.0, 0.02)
    members.answered(peer(9), peer(9).ip, 2.0, 0.02)
    for one in members.consider(peer(1), peer(1).ip, 3.0):
        members.answered(one, one.ip, 3.0, 0.02)
    assert list(table) == [peer(2)]
    assert gone == [peer(1)]


def test_identities_that_were_given_up_are_bounded(table):
    """The oldest is forgotten, and would fail when it is asked."""
    members = membership(table)
    for number in range(RENOUNCED_MAX + 1):
        members.renounced(number.to_bytes(32), 0.0)
    assert len(members._renounced) == RENOUNCED_MAX
