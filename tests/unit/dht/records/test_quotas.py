"""Shares and rates: who may have how much held, and how often anybody may ask."""

import pytest

from helpers.dht_peers import key_pair
from kontinuum.base import MisuseError
from kontinuum.dht.events import Refusal
from kontinuum.dht.records.quotas import (
    PEER_BYTES_MAX,
    PEER_ENTRIES_MAX,
    PUTS_BURST_PEER,
    PUTS_BURST_PREFIX,
    PUTS_PER_S_PEER,
    RATES_MAX,
    Quotas,
    Rates,
    neighbourhoods,
)

STORE = 64 * 2**20
ENTRY = 1000
HOME = "192.168.1.7"


def peer_id(number: int):
    """Identities without contacts."""
    return key_pair(number).peer_id


def fill(quotas: Quotas, ips: list[str], first: int = 0, sizes: tuple[int, ...] = (9000, ENTRY)) -> int:
    """One new peer at each of these addresses takes all it can get, in the largest pieces that fit."""
    before = quotas.bytes
    for number, ip in enumerate(ips, first):
        for size in sizes:
            while quotas.refusal(peer_id(number), ip, size) is Refusal.NONE:
                quotas.take(peer_id(number), ip, size)
    return quotas.bytes - before


def test_a_peer_has_a_hundred_entries_and_a_mebibyte():
    """
    Whichever comes first; the byte that is one too much is refused.
    """
    quotas = Quotas(STORE)
    for _ in range(PEER_ENTRIES_MAX):
        assert quotas.refusal(peer_id(1), HOME, 10) is Refusal.NONE
        quotas.take(peer_id(1), HOME, 10)
    assert quotas.refusal(peer_id(1), HOME, 10) is Refusal.QUOTA

    quotas = Quotas(STORE)
    quotas.take(peer_id(1), HOME, PEER_BYTES_MAX - 10)
    assert quotas.refusal(peer_id(1), HOME, 10) is Refusal.NONE
    assert quotas.refusal(peer_id(1), HOME, 11) is Refusal.QUOTA


@pytest.mark.parametrize(
    ("ips", "part"),
    [
        (["20.1.1.1"], 0.027),
        (["20.1.1.1", "20.1.1.200"] * 50, 0.045),
        ([f"20.1.{n}.1" for n in range(200)] * 5, 0.102),
        (["2001:4860:1:1::1", "2001:4860:1:ffff::1"] * 50, 0.045),
        ([f"2001:4860:{n:x}::1" for n in range(200)] * 5, 0.102),
    ],
    ids=["one peer", "one /24", "one /16", "one /48", "one /32"],
)
def test_a_network_gets_its_share_and_no_more(ips, part):
    """
    However many identities it has; elsewhere nobody notices.
    """
    quotas = Quotas(STORE // 4)
    taken = fill(quotas, ips, sizes=(9000, ENTRY, 100))

    assert 0.9 * part < taken / quotas.bytes_max <= part
    assert quotas.refusal(peer_id(0), ips[0], ENTRY) is Refusal.QUOTA
    assert quotas.refusal(peer_id(5000), "30.1.1.1", 64 * 1024) is Refusal.NONE


def test_there_is_always_room_for_a_newcomer_from_elsewhere():
    """
    Five hundred /16 that take all they can leave room for the first record of the next one, and a few more.
    """
    quotas = Quotas(STORE)
    fill(quotas, [f"{20 + n // 200}.{n % 200}.{m}.1" for n in range(500) for m in range(3)])

    assert 0.9 < quotas.bytes / STORE < 1
    assert fill(quotas, ["200.1.1.1"], first=5000, sizes=(ENTRY,)) >= 2 * ENTRY


def test_a_neighbour_is_not_shut_out_at_once():
    """
    Nine greedy identities of a /24 leave room for the honest peer between them.
    """
    quotas = Quotas(STORE)
    fill(quotas, ["20.1.1.1"] * 9)

    assert fill(quotas, ["20.1.1.9"], first=5000, sizes=(ENTRY,)) >= 5 * ENTRY


def test_a_share_shrinks_before_the_store_is_full():
    """
    Who has its share keeps it when others come, and gets no more of it until there is room again.
    """
    quotas = Quotas(STORE)
    for _ in range(50):
        quotas.take(peer_id(0), "20.1.1.1", 9000)
    fill(quotas, [f"{30 + n}.1.1.1" for n in range(100)], first=1)

    assert quotas.used(peer_id(0)) == (50 * 9000, 50)
    assert quotas.refusal(peer_id(0), "20.1.1.1", ENTRY) is Refusal.QUOTA
    for _ in range(50):
        quotas.give(peer_id(0), "20.1.1.1", 9000)
    assert quotas.refusal(peer_id(0), "20.1.1.1", 9000) is Refusal.NONE


def test_a_store_without_any_room_is_a_mistake():
    """
    The part that is taken of nothing is no number.
    """
    with pytest.raises(MisuseError):
        Quotas(0)


def test_full_and_quota_are_told_apart():
    """
    Who holds something already is at its share; who holds nothing hears that the store is full.
    """
    quotas = Quotas(10_000)
    quotas.take(peer_id(1), "20.1.1.1", 500)

    assert quotas.refusal(peer_id(1), "20.1.1.1", 5_000) is Refusal.QUOTA
    assert quotas.refusal(peer_id(2), "30.1.1.1", 5_000) is Refusal.FULL


def test_addresses_that_mean_nothing_belong_to_no_network():
    """
    At home all peers share one prefix, so each counts for itself there; so does one whose address is unknown.
    """
    assert neighbourhoods(HOME) == neighbourhoods("") == neighbourhoods("::1") == ()
    assert neighbourhoods("20.1.2.3") == ("20.1", "20.1.2")
    assert neighbourhoods("2001:4860:1:2::3") == ("2001:4860", "2001:4860:0001")


def test_accounts_go_with_their_last_entry():
    """
    Memory is for those who have something here.
    """
    quotas = Quotas(STORE)
    for number in range(50):
        quotas.take(peer_id(number), f"20.1.{number}.1", 10)
    for number in range(50):
        quotas.give(peer_id(number), f"20.1.{number}.1", 10)

    assert (quotas.bytes, len(quotas)) == (0, 0)


def test_a_peer_may_send_a_burst_and_then_one_a_second():
    """
    What it did not use comes back with time, up to one burst; refused ones cost nothing.
    """
    rates = Rates()

    def allowed(now: float, tries: int) -> int:
        return sum(rates.allow(peer_id(1), HOME, now) for _ in range(tries))

    assert allowed(0.0, 451) == PUTS_BURST_PEER
    assert allowed(0.5, 10) == 0
    assert allowed(10.0, 100) == 10 * PUTS_PER_S_PEER
    assert allowed(10_000.0, 451) == PUTS_BURST_PEER


def test_the_peers_of_one_network_share_a_rate():
    """
    More identities do not make a /24 louder, and others are not concerned.
    """
    rates = Rates()
    allowed = sum(rates.allow(peer_id(number), f"20.1.1.{number % 200}", 0.0) for number in range(1000))

    assert allowed == PUTS_BURST_PREFIX
    assert not rates.allow(peer_id(2000), "20.1.1.1", 0.0)
    assert rates.allow(peer_id(2000), "20.1.2.1", 0.0)


def test_rates_are_forgotten_when_they_mean_nothing_any_more():
    """
    Who has been quiet for long enough may send a whole burst, as one who was never heard of.
    """
    rates = Rates()
    for number in range(100):
        rates.allow(peer_id(number), HOME, float(number))
    assert len(rates) <= 3
    rates.allow(peer_id(0), HOME, 1000.0)
    assert len(rates) == 1


def test_the_memory_for_rates_is_bounded_and_no_way_out():
    """
    A flood of identities makes us forget quiet ones, never the one that goes on sending.
    """
    rates = Rates()
    loud, sent = peer_id(0), 0
    for number in range(2 * RATES_MAX):
        rates.allow(
            peer_id(number % 1000 + 1), f"{20 + number % 100}.{number // 256 % 256}.{number % 256}.1", 0.0
        )
        sent += rates.allow(loud, HOME, 0.0)

    assert len(rates) <= RATES_MAX
    assert sent == PUTS_BURST_PEER
