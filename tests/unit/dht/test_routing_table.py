"""The routing table: who comes in, who stays, and who is named for a target."""

import pytest

from helpers.dht_peers import peer, peers, placed
from kontinuum.base.entropy import Rng
from kontinuum.dht.kbucket import WAITING_MAX
from kontinuum.dht.keys import bucket_index
from kontinuum.dht.routing_table import (
    CHECK_INTERVAL_S,
    FAILURE_SPACING_S,
    FAILURES_MAX,
    PREFIX_BUCKET_MAX,
    PREFIX_TABLE_MAX,
    PROVIDER_SHARE,
    QUESTIONABLE_AFTER_S,
    EntryRefusal,
    Full,
    Inserted,
    RefusedEntry,
    RoutingTable,
    Updated,
)

LOCAL = peer(0).key
K = 20
REFUSED_FULL = RefusedEntry(EntryRefusal.FULL)
REFUSED_CAPPED = RefusedEntry(EntryRefusal.CAPPED)


def in_bucket(index, count, first=1):
    """Real peers of one of the far buckets of LOCAL, beginning with number ``first``."""
    found, number = [], first
    while len(found) < count:
        if bucket_index(peer(number).key ^ LOCAL) == index:
            found.append(peer(number))
        number += 1
    return found


def table_of(members, *, k=K, now=0.0, **switches):
    """A table to which these were offered, one a second, from the addresses that they claim."""
    table = RoutingTable(LOCAL, k=k, **switches)
    for second, member in enumerate(members):
        table.offer(member, None, now + second)
    return table


def test_a_peer_that_is_offered_is_in_the_table():
    """
    It can be found by its identity and in the order of the table.
    """
    member = peer(1)
    table = RoutingTable(LOCAL, k=K)

    assert table.offer(member, member.ip, 5.0) == Inserted()

    assert member.peer_id in table
    assert len(table) == 1
    assert [member] == list(table)
    entry = table.get(member.peer_id)
    assert (entry.peer, entry.since, entry.seen_at, entry.failures) == (member, 5.0, 5.0, 0)
    assert table.get(peer(2).peer_id) is None


def test_we_are_not_in_our_own_table():
    """
    Our own contact, whoever sends it, is refused.
    """
    table = RoutingTable(LOCAL, k=K)

    assert not table.wants(peer(0))
    assert table.offer(peer(0), None, 0.0) == RefusedEntry(EntryRefusal.SELF)
    assert table.fill().refusals == {EntryRefusal.SELF: 1}


def test_the_order_is_by_bucket_and_then_by_who_was_seen_last():
    """
    Nearest bucket first; in a bucket the least recently seen first.
    """
    far, near = in_bucket(255, 3), in_bucket(254, 2)
    table = table_of([*far, *near])

    table.seen(far[0].peer_id, 10.0)

    assert [*near, far[1], far[2], far[0]] == list(table)


@pytest.mark.parametrize("count", [1, 7, 20, 60, 1000])
@pytest.mark.parametrize("near_bits", [0, 240, 249, 256])
def test_closest_is_what_sorting_everybody_gives(count, near_bits):
    """
    Gathering buckets in order gives the same peers in the same order as sorting the whole table would,
    wherever the target is: at our own place, beside us, or anywhere.
    """
    table = table_of(peers(500, 1))
    rng = Rng(near_bits * 1000 + count)

    for _ in range(20):
        target = LOCAL ^ (rng.below(1 << near_bits) if near_bits else 0)
        assert sorted(table, key=lambda member: member.key ^ target)[:count] == table.closest(target, count)


def test_nobody_is_named_who_failed_while_others_are_there():
    """
    A peer that did not answer is not asked and not named to others, until it answers again.
    """
    members = in_bucket(255, 3)
    table = table_of(members)
    sick = members[1]

    table.failed(sick.peer_id, 1.0)

    assert sick not in table.closest(sick.key, K)
    assert [sick] == table.doubtful()
    table.seen(sick.peer_id, 2.0)
    assert table.closest(sick.key, K)[0] is sick
    assert table.doubtful() == []


def test_when_all_failed_they_are_better_than_nobody():
    """
    After an outage of our own line the doubtful peers are the way back.
    """
    members = in_bucket(255, 3)
    table = table_of(members)

    for member in members:
        table.failed(member.peer_id, 1.0)

    assert sorted(members, key=lambda member: member.key) == table.closest(0, K)


def test_the_table_knows_the_newest_contact_of_a_peer():
    """
    A newer contact replaces the older; the older does not come back.
    """
    old, new = peer(1, None, 1), peer(1, "198.51.99.1", 2)
    table = table_of([old])

    assert table.wants(new)
    assert table.offer(new, None, 1.0) == Updated()
    assert not table.wants(old)
    assert table.offer(old, None, 2.0) == Updated()

    assert [new] == list(table)
    assert table.get(new.peer_id).seen_at == 2.0


def test_a_round_trip_is_remembered():
    """
    What was measured last is told by the entry.
    """
    table = table_of([peer(1)])

    table.seen(peer(1).peer_id, 1.0, 0.05)

    assert table.get(peer(1).peer_id).rtt_s == 0.05


def test_strangers_change_nothing():
    """
    Being seen, failing or being removed means nothing for a peer that is not in the table.
    """
    table = table_of(peers(5, 1))
    before = list(table)

    table.seen(peer(99).peer_id, 1.0, 0.1)
    assert table.failed(peer(99).peer_id, 1.0) is None
    assert table.failed(peer(0).peer_id, 1.0) is None
    table.remove(peer(99).peer_id)

    assert before == list(table)


def test_a_full_bucket_asks_for_a_ping_of_its_oldest_peer_if_that_was_not_seen_lately():
    """
    Kademlia 2002, section 2.2: the least recently seen peer is pinged, and stays if it answers.
    """
    *members, newcomer = in_bucket(255, 4)
    table = table_of(members, k=3)

    assert not table.wants(newcomer)
    assert table.offer(newcomer, None, QUESTIONABLE_AFTER_S - 1.0) == REFUSED_FULL
    assert table.offer(newcomer, None, QUESTIONABLE_AFTER_S) == Full(members[0])

    table.seen(members[0].peer_id, QUESTIONABLE_AFTER_S)
    assert set(members) == set(table)
    assert table.fill().waiting == 1


def test_many_newcomers_cause_one_ping():
    """
    However many want into a full bucket, its oldest peer is pinged once in CHECK_INTERVAL_S.
    """
    *members, _ = in_bucket(255, 4)
    table = table_of(members, k=3)
    late = QUESTIONABLE_AFTER_S + 10.0

    offers = [table.offer(newcomer, None, late) for newcomer in in_bucket(255, 50, first=1000)]

    assert [Full(members[0])] == [offer for offer in offers if isinstance(offer, Full)]
    newcomer = in_bucket(255, 1, first=3000)[0]
    assert table.offer(newcomer, None, late + CHECK_INTERVAL_S - 0.1) == REFUSED_FULL
    assert table.offer(newcomer, None, late + CHECK_INTERVAL_S) == Full(members[0])


def test_a_doubtful_peer_is_pinged_at_once_for_a_newcomer():
    """
    Whoever has failed is the one whose place may be free.
    """
    *members, newcomer = in_bucket(255, 4)
    table = table_of(members, k=3)
    table.failed(members[1].peer_id, 5.0)

    assert table.wants(newcomer)
    assert table.offer(newcomer, None, 6.0) == Full(members[1])


def test_who_waits_gets_the_place_of_a_peer_that_fails():
    """
    With somebody in the replacement cache one failure is enough; the newest that waits is the candidate.
    """
    *members, first, second = in_bucket(255, 5)
    table = table_of(members, k=3)
    table.offer(first, None, 10.0)
    table.offer(second, None, 11.0)

    assert table.failed(members[1].peer_id, 12.0) is second
    assert members[1].peer_id not in table
    assert second.peer_id not in table  # Not before it answers a ping.
    assert table.failed(second.peer_id, 13.0) is first
    assert table.offer(first, None, 14.0) == Inserted()
    assert [members[0], members[2], first] == list(table)


def test_a_peer_for_whose_place_nobody_waits_goes_after_several_failures():
    """
    FAILURES_MAX in a row, and no earlier; one answer in between and the count begins anew.
    """
    member = peer(1)
    table = table_of([member])
    times = [10.0 * number for number in range(FAILURES_MAX)]

    for now in times[:-1]:
        assert table.failed(member.peer_id, now) is None
    table.seen(member.peer_id, 50.0)
    for now in times:
        assert member.peer_id in table
        table.failed(member.peer_id, 100.0 + now)

    assert member.peer_id not in table
    assert list(table) == []
    assert table.fill().sizes == {}


def test_requests_that_failed_together_are_one_failure():
    """
    Three lookups that asked the same dead peer at once have found out one thing.
    """
    member = peer(1)
    table = table_of([member])

    for _ in range(10):
        table.failed(member.peer_id, 10.0)
        table.failed(member.peer_id, 10.0 + FAILURE_SPACING_S - 0.1)

    assert table.get(member.peer_id).failures == 1


def test_a_bucket_takes_two_peers_of_a_24():
    """
    PREFIX_BUCKET_MAX of one /24, by the address that they were seen at; other networks are still welcome.
    """
    members = in_bucket(255, PREFIX_BUCKET_MAX + 2)
    table = RoutingTable(LOCAL, k=K)

    offers = [table.offer(member, "8.8.8.1", 0.0) for member in members[:-1]]

    assert [Inserted()] * PREFIX_BUCKET_MAX + [REFUSED_CAPPED] == offers
    assert not table.wants(members[-1], "8.8.8.200")
    assert table.wants(members[-1], "8.8.9.1")


def test_a_table_takes_ten_peers_of_a_24():
    """
    PREFIX_TABLE_MAX of one /24 over all buckets.
    """
    table = RoutingTable(0, k=K)

    offers = [table.offer(placed(number, 1 << number), "8.8.8.1", 0.0) for number in range(20)]

    assert [Inserted()] * PREFIX_TABLE_MAX + [REFUSED_CAPPED] * 10 == offers
    assert len(table) == PREFIX_TABLE_MAX


@pytest.mark.parametrize("network", ["8.8.{}.1", "2a00:1450:{:x}::1"])
def test_a_provider_gets_half_of_a_bucket(network):
    """
    A /16 or /32, with as many smaller networks as it likes, leaves the other half to others.
    """
    *members, stranger = in_bucket(255, K + 1)
    table = RoutingTable(LOCAL, k=K)

    for number, member in enumerate(members, 1):
        table.offer(member, network.format(number), 0.0)

    assert len(table) == PROVIDER_SHARE * K
    assert table.offer(stranger, "9.9.9.9", 0.0) == Inserted()


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "fe80::1", "fd00::1"])
def test_peers_of_our_own_network_are_not_capped(ip):
    """
    On loopback and in private networks all peers share a prefix, and whoever is there is one of us.
    """
    table = RoutingTable(LOCAL, k=K)

    for member in in_bucket(255, K):
        assert table.offer(member, ip, 0.0) == Inserted()


def test_a_peer_does_not_escape_the_caps_by_moving():
    """
    It comes in from one network, then appears in another that has its share: that is refused, and nothing
    changes.
    """
    first, second, mover = in_bucket(255, 3)
    table = RoutingTable(LOCAL, k=K)
    table.offer(first, "8.8.8.1", 0.0)
    table.offer(second, "8.8.8.2", 0.0)
    table.offer(mover, "9.9.9.9", 0.0)

    assert table.offer(mover, "8.8.8.3", 1.0) == REFUSED_CAPPED

    assert table.get(mover.peer_id).prefix == "9.9.9"


def test_a_claim_does_not_replace_where_a_peer_was_seen():
    """
    Offered again without an address, a peer keeps counting for the network that it answered from.
    """
    member = peer(1)
    table = RoutingTable(LOCAL, k=K)
    table.offer(member, "8.8.8.1", 0.0)

    table.offer(member, None, 1.0)

    assert table.get(member.peer_id).prefix == "8.8.8"


def test_a_candidate_that_the_caps_refuse_is_not_named():
    """
    The replacement for a peer fits into the bucket, counted without the peer that leaves.
    """
    one, two, other, waiting = in_bucket(255, 4)
    table = RoutingTable(LOCAL, k=3)
    table.offer(one, "8.8.8.1", 0.0)
    table.offer(two, "8.8.8.2", 0.0)
    table.offer(other, "9.9.9.9", 0.0)
    assert table.offer(waiting, "8.8.8.3", 1.0) == REFUSED_FULL

    assert table.failed(other.peer_id, 2.0) is None
    assert other.peer_id in table
    assert table.failed(one.peer_id, 3.0) is waiting


def test_a_smaller_k_drops_nobody_who_answers():
    """
    Korium cut its buckets from the front, where the best peers are. Ours only stop growing.
    """
    members = in_bucket(255, 10)
    newcomer = in_bucket(255, 1, first=500)[0]
    table = table_of(members, k=10)

    assert table.set_k(5) == []

    assert members == list(table)
    assert table.offer(newcomer, None, 20.0) == REFUSED_FULL
    assert table.failed(members[0].peer_id, 30.0) is None  # The bucket is larger than it should be anyway.
    for member in members[:6]:
        table.remove(member.peer_id)
    assert table.offer(newcomer, None, 40.0) == Inserted()


def test_a_larger_k_names_candidates_for_the_new_places():
    """
    Whoever waits is to be pinged, as many as there are places.
    """
    *members, first, second, third = in_bucket(255, 6)
    table = table_of(members, k=3)
    for newcomer in (first, second, third):
        table.offer(newcomer, None, 10.0)

    assert [third, second] == table.set_k(5)
    assert table.set_k(5) == []
    assert table.k == 5


def test_stale_buckets_are_those_in_which_nothing_was_looked_up():
    """
    From the farthest to the one of our nearest peer; those looked up lately are left out.
    """
    near = placed(1, LOCAL ^ 1 << 252)
    table = table_of([near])

    assert table.stale(0.0, 1800.0) == [255, 254, 253, 252]
    table.touched(254, 100.0)
    assert table.stale(200.0, 1800.0) == [255, 253, 252]
    assert table.stale(1900.0, 1800.0) == [255, 254, 253, 252]
    assert RoutingTable(LOCAL, k=K).stale(0.0, 1800.0) == []


@pytest.mark.parametrize("index", [0, 1, 100, 255])
def test_a_random_key_falls_into_its_bucket(index):
    """
    And the same seed gives the same keys.
    """
    table = RoutingTable(LOCAL, k=K)
    rng, again = Rng(7), Rng(7)

    keys = [table.random_key(index, rng) for _ in range(50)]

    assert {bucket_index(key ^ LOCAL) for key in keys} == {index}
    assert [table.random_key(index, again) for _ in range(50)] == keys


def test_the_longest_known_come_first():
    """
    What is saved for the next start begins with the peers that have proven to stay.
    """
    members = peers(10, 1)
    table = table_of(members)
    for member in reversed(members):
        table.seen(member.peer_id, 100.0)

    assert members == table.oldest()


def test_the_bounds_hold_when_every_bucket_is_flooded():
    """
    k peers in each bucket and WAITING_MAX in its replacement cache, and not one more, whatever is offered.
    """
    k, buckets = 2, range(8, 28)
    table = RoutingTable(0, k=k)
    numbers = iter(range(1000))

    for index in buckets:
        for step in range(k + WAITING_MAX + 2):
            table.offer(placed(next(numbers), (1 << index) + step), None, 0.0)

    figures = table.fill()
    assert figures.sizes == dict.fromkeys(buckets, k)
    assert figures.peers == len(table) == k * len(buckets)
    assert figures.waiting == WAITING_MAX * len(buckets)


def test_an_empty_bucket_costs_nothing():
    """
    A bucket whose last peer left is forgotten.
    """
    table = table_of([peer(1)])

    table.remove(peer(1).peer_id)

    assert table._buckets == {}
    assert table._occupied == 0
    assert table.closest(LOCAL, K) == []


class TestAnotherPlace:
    def test_the_peers_stand_in_the_buckets_around_it(self):
        """
        All that find a place are there, with what we know of them; and lookups go by the new place.
        """
        table = table_of(peers(60, 1))
        before = {member.peer_id: table.get(member.peer_id) for member in table}
        doubtful = next(iter(table))
        table.failed(doubtful.peer_id, 100.0)
        place = peer(500).key

        table.move(place)

        assert 20 <= len(table) <= len(before)
        for member in table:
            assert table.get(member.peer_id) is before[member.peer_id]
            assert member in table.closest(member.key, 1) or member is doubtful
        assert table.doubtful() == ([doubtful] if doubtful.peer_id in table else [])
        assert sum(table.fill().sizes.values()) == len(table)
        for index, size in table.fill().sizes.items():
            assert size <= K
            assert size == sum(bucket_index(member.key ^ place) == index for member in table)
        nearest = table.closest(place, 10)
        assert nearest == sorted(table, key=lambda member: member.key ^ place)[:10]

    def test_of_too_many_those_stay_who_have_been_there_for_longest(self):
        """
        Our former neighbours all share one bucket of the new place.
        """
        members = [*in_bucket(254, 15), *in_bucket(253, 15)]
        table = table_of(members, prefix_caps=False)
        table.move(LOCAL ^ (1 << 255))
        assert set(table) == set(members[:K])
        assert table.size(255) == K

    def test_a_network_has_no_more_than_its_share_there_either(self):
        """
        Peers of one /24 that stood in several buckets.
        """
        crowd = [peer(number, f"20.1.2.{number % 250}") for number in range(1, 60)]
        table = table_of(crowd)
        table.move(LOCAL ^ (1 << 255))
        for index in table.fill().sizes:
            members = [member for member in table if bucket_index(member.key ^ LOCAL ^ (1 << 255)) == index]
            assert len(members) <= PREFIX_BUCKET_MAX

    def test_who_stands_there_already_is_ourselves(self):
        """
        An own contact of tomorrow that somebody told is no peer.
        """
        member = peer(7)
        table = table_of([member])
        table.move(member.key)
        assert len(table) == 0
        assert table.closest(member.key, 1) == []
