"""What strangers can do to a routing table with its defences, and what they could without (attacks 16 to 19).

Every attacker here passed what comes before the table: valid contacts, proofs of work, answered pings.
"""

import pytest

from helpers.dht_peers import ip_of, peer, peers, placed
from kontinuum.base.entropy import Rng
from kontinuum.dht.keys import bucket_index
from kontinuum.dht.routing_table import (
    PREFIX_BUCKET_MAX,
    PREFIX_TABLE_MAX,
    PROVIDER_SHARE,
    QUESTIONABLE_AFTER_S,
    Full,
    RoutingTable,
)

K = 20
VICTIM = peer(0).key
HONEST = peers(600, 1)
ATTACKERS = peers(600, 10_000)
CHOSEN = (1 << 255) - 1
"""A place with every bit but the first: the victim of attackers who choose theirs."""


def honest_table(**switches):
    """The victim's table after it has met the honest network, an hour ago."""
    table = RoutingTable(VICTIM, k=K, **switches)
    for member in HONEST:
        table.offer(member, member.ip, 0.0)
    return table


def far_of(table):
    """Those of the table that are in the far buckets, where most lookups begin: enough peers to fill them."""
    return [member for member in table if bucket_index(member.key ^ VICTIM) >= 252]


def share_of(table, members):
    """Which part of the table is theirs."""
    theirs = {member.peer_id for member in members}
    return sum(member.peer_id in theirs for member in table) / len(table)


@pytest.mark.parametrize(("prefer_old", "succeeds"), [(True, False), (False, True)])
def test_newcomers_cannot_push_out_peers_that_answer(prefer_old, succeeds):
    """
    Eclipse of a node that runs: 600 attackers, each from a network of its own, contact it again and again.
    With prefer_old every honest peer that answers its ping stays; without it the far buckets are theirs.
    """
    table = honest_table(prefer_old=prefer_old)
    before = {member.peer_id for member in table}

    for turn in range(5):
        now = 3600.0 + turn * QUESTIONABLE_AFTER_S
        for attacker in ATTACKERS:
            match table.offer(attacker, attacker.ip, now):
                case Full(oldest):
                    table.seen(oldest.peer_id, now)  # It lives, and answers the ping.

    after = {member.peer_id for member in table}
    theirs = share_of(far_of(table), ATTACKERS)
    assert (not before <= after) is succeeds
    assert theirs == 1.0 if succeeds else theirs == 0.0


@pytest.mark.parametrize(("prefer_old", "succeeds"), [(True, False), (False, True)])
def test_the_peers_that_go_first_are_not_those_known_for_longest(prefer_old, succeeds):
    """
    Half of the table has died. Attackers get their places, and only theirs: with prefer_old, whoever has been
    there for long and answers keeps its place.
    """
    table = honest_table(prefer_old=prefer_old)
    alive = {member.peer_id for member in table if member.peer_id[0] % 2}
    now = 3600.0

    for turn in range(40):
        for attacker in ATTACKERS[turn::40]:
            now += 20.0
            match table.offer(attacker, attacker.ip, now):
                case Full(oldest) if oldest.peer_id in alive:
                    table.seen(oldest.peer_id, now)
                case Full(oldest):
                    candidate = table.failed(oldest.peer_id, now)
                    if candidate is not None:
                        table.offer(candidate, candidate.ip, now)

    lost = [peer_id for peer_id in alive if peer_id not in table]
    assert bool(lost) is succeeds
    assert (share_of(far_of(table), ATTACKERS) > 0.95) is succeeds


@pytest.mark.parametrize(("prefix_caps", "succeeds"), [(True, False), (False, True)])
def test_one_24_cannot_fill_the_table_of_a_new_node(prefix_caps, succeeds):
    """
    Eclipse of a node that has just joined: all addresses of one /24 contact it before anybody else does.
    With caps they get PREFIX_TABLE_MAX places and PREFIX_BUCKET_MAX of a bucket; without, they are the table,
    and honest peers find its far buckets full.
    """
    table = RoutingTable(VICTIM, k=K, prefix_caps=prefix_caps)
    for number, attacker in enumerate(ATTACKERS):
        table.offer(attacker, f"8.8.8.{number % 256}", 0.0)
    for member in HONEST:
        table.offer(member, member.ip, 1.0)

    theirs = sum(member.peer_id in {attacker.peer_id for attacker in ATTACKERS} for member in table)
    assert (theirs > PREFIX_TABLE_MAX) is succeeds
    assert (share_of(far_of(table), ATTACKERS) == 1.0) is succeeds
    if prefix_caps:
        for index in range(256):
            bucket = [member for member in table if bucket_index(member.key ^ VICTIM) == index]
            assert sum(member in ATTACKERS for member in bucket) <= PREFIX_BUCKET_MAX


@pytest.mark.parametrize("network", ["8.8.{}.1", "2a00:1450:{:x}::1"])
@pytest.mark.parametrize(("prefix_caps", "succeeds"), [(True, False), (False, True)])
def test_one_provider_cannot_fill_a_bucket(prefix_caps, succeeds, network):
    """
    Whoever has a /16 or an IPv6 /32 has as many /24 or /48 as it likes: half of each bucket at most.
    """
    table = RoutingTable(VICTIM, k=K, prefix_caps=prefix_caps)
    for number, attacker in enumerate(ATTACKERS):
        table.offer(attacker, network.format(number % 250 + 1), 0.0)
    for member in HONEST:
        table.offer(member, member.ip, 1.0)

    shares = [
        share_of([member for member in table if bucket_index(member.key ^ VICTIM) == index], ATTACKERS)
        for index in range(252, 256)
    ]
    assert (max(shares) > PROVIDER_SHARE) is succeeds
    assert (min(shares) == 1.0) is succeeds


@pytest.mark.parametrize(("prefix_caps", "succeeds"), [(True, False), (False, True)])
def test_ids_ground_next_to_us_do_not_own_our_neighbourhood(prefix_caps, succeeds):
    """
    100 ids ground next to the victim, from one /24, are nearer than every honest peer. With caps a few of
    them get in, and the honest neighbours are still among those that the victim names for its own place.
    """
    table = RoutingTable(CHOSEN, k=K, prefix_caps=prefix_caps)
    rng = Rng(1)
    ground = [placed(10_000 + number, CHOSEN ^ (1 + rng.below(1 << 230))) for number in range(100)]
    for number, attacker in enumerate(ground):
        table.offer(attacker, f"8.8.8.{number}", 0.0)
    for member in HONEST:
        table.offer(member, member.ip, 1.0)

    named = table.closest(CHOSEN, K)

    assert (share_of(named, ground) == 1.0) is succeeds
    if prefix_caps:
        assert share_of(named, ground) <= PREFIX_TABLE_MAX / K


@pytest.mark.parametrize(("prefix_caps", "succeeds"), [(True, False), (False, True)])
def test_the_replacement_cache_is_not_one_networks(prefix_caps, succeeds):
    """
    Newcomers of one /24 hammer full buckets. With caps one of them waits per bucket, beside honest newcomers,
    so that the place of a peer that dies is not certainly theirs.
    """
    table = honest_table(prefix_caps=prefix_caps)
    late = peers(200, 5000)
    for member in late:
        table.offer(member, member.ip, 10.0)
    for number, attacker in enumerate(ATTACKERS):
        table.offer(attacker, f"8.8.8.{number % 256}", 20.0)

    theirs = {attacker.peer_id for attacker in ATTACKERS}
    waiting = [
        [peer_id in theirs for peer_id in (newcomer.peer_id for newcomer, _ in bucket.waiting)]
        for bucket in table._buckets.values()
        if bucket.waiting
    ]
    assert any(all(bucket) and len(bucket) > 1 for bucket in waiting) is succeeds
    if prefix_caps:
        assert all(sum(bucket) <= 1 for bucket in waiting)


def test_one_identity_under_many_addresses_is_one_peer():
    """
    Newer and newer contacts of one peer, each with another address, take one place in the table.
    """
    table = RoutingTable(VICTIM, k=K)
    for number in range(1, 50):
        contact = peer(1, ip_of(number), number)
        table.offer(contact, contact.ip, float(number))

    assert [peer(1, ip_of(49), 49)] == list(table)
    assert [peer(1, ip_of(49), 49)] == table.closest(VICTIM, K)


def test_a_flood_of_newcomers_costs_few_pings():
    """
    10,000 offers in a minute to a table whose peers are all questionable: one ping in ten seconds and bucket
    at most, and the replacement caches keep their bound.
    """
    table = honest_table()
    pings = 0
    for number in range(10_000):
        now = 3600.0 + number * 0.006
        pings += isinstance(table.offer(ATTACKERS[number % 600], None, now), Full)

    figures = table.fill()
    assert pings <= 6 * len(figures.sizes)
    assert figures.waiting <= 10 * len(figures.sizes)
