"""Attacks on stored records: each is refused, and each succeeds against a store without that defence."""

from datetime import timedelta

import pytest

from helpers.dht_peers import ip_of, key_pair, peer
from helpers.identities import NETWORK, NOON, contact_of
from helpers.records import MIB, contact_record, content, provide, put, signed, store
from kontinuum.dht.events import Refusal
from kontinuum.dht.records import Publications, SignedRecord, contact_key, signed_key
from kontinuum.identity import CONTACT_AHEAD_MAX_S, KeyPair

VICTIM, MALLORY = 1, 2
HOUR = timedelta(hours=1)


# --- 14: what does not belong there -------------------------------------------------------------------------


def from_the_future() -> tuple[bytes, bytes]:
    """The victim's own contact, dated so far ahead that no newer one would ever replace it."""
    ahead = NOON + timedelta(seconds=CONTACT_AHEAD_MAX_S + 1)
    pair = key_pair(VICTIM)
    return contact_key(pair.peer_id), contact_of(pair, issued_at=ahead).encode()


def by_somebody_else() -> tuple[bytes, bytes]:
    """What Mallory signed, under the victim's key."""
    return signed(VICTIM)[0], signed(MALLORY)[1]


def altered() -> tuple[bytes, bytes]:
    """The victim's record with another value: all else is its own."""
    key, value = signed(VICTIM, value=b"true")
    return key, value.replace(b"true", b"fake")


def under_another_name() -> tuple[bytes, bytes]:
    """What the victim said about something else."""
    return signed_key(peer(VICTIM).peer_id, b"bank"), signed(VICTIM, name=b"game")[1]


def wrong_content() -> tuple[bytes, bytes]:
    """Other bytes than the key names."""
    return content(1)[0], content(2)[1]


FORGERIES = [from_the_future, by_somebody_else, altered, under_another_name, wrong_content]


@pytest.mark.parametrize("validate", [True, False], ids=["defended", "undefended"])
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda made: made.__name__)
def test_a_value_that_does_not_belong_to_its_key(forgery, validate):
    """
    Refused, so that readers never get it; a store that does not validate gives it to everybody.
    """
    key, value = forgery()
    records = store(validate=validate)
    refusal = put(records, (key, value), MALLORY)

    assert (refusal, records.get(key, NOON)) == (
        (Refusal.INVALID, None) if validate else (Refusal.NONE, value)
    )


@pytest.mark.parametrize("validate", [True, False], ids=["defended", "undefended"])
def test_junk_over_a_valid_record(validate):
    """
    The victim's contact stays; a store that does not validate makes the victim unreachable.
    """
    key, value = contact_record(VICTIM)
    records = store(validate=validate)
    put(records, (key, value), VICTIM)
    put(records, (key, b"junk"), MALLORY)

    assert records.get(key, NOON) == (value if validate else b"junk")


@pytest.mark.parametrize("newest", [True, False], ids=["defended", "undefended"])
@pytest.mark.parametrize("record", [contact_record, signed], ids=["contact", "signed"])
def test_an_older_record_over_a_newer_one(record, newest):
    """
    Mallory kept what the victim said before, and sends it again: refused, unless the last one counts.
    """
    records = store(newest=newest)
    (key, old), (_, new) = record(VICTIM, 1), record(VICTIM, 2)
    put(records, (key, old), VICTIM)
    put(records, (key, new), VICTIM)
    refusal = put(records, (key, old), MALLORY)

    assert (refusal, records.get(key, NOON)) == ((Refusal.OLDER, new) if newest else (Refusal.NONE, old))


@pytest.mark.parametrize("newest", [True, False], ids=["defended", "undefended"])
def test_an_older_contact_of_a_provider(newest):
    """
    An address that a provider has left does not come back.
    """
    records = store(newest=newest)
    old, new = peer(VICTIM, sequence=1), peer(VICTIM, sequence=2)
    for contact in (new, old):
        records.add_provider(b"key", contact, ip=ip_of(VICTIM), at=NOON, now=0.0)

    assert records.providers(b"key", NOON) == [new if newest else old]


@pytest.mark.parametrize("validate", [True, False], ids=["defended", "undefended"])
def test_what_came_while_our_clock_ran_ahead_is_refused_on_read(validate):
    """
    Put at a time at which it was valid, read after our clock was set right: refused again.
    """
    records = store(validate=validate)
    key, value = from_the_future()
    assert put(records, (key, value), MALLORY, at=NOON + HOUR) is Refusal.NONE

    assert records.get(key, NOON) == (None if validate else value)


@pytest.mark.parametrize("validate", [True, False], ids=["defended", "undefended"])
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda made: made.__name__)
def test_a_forged_disk(forgery, validate):
    """
    Writing into our files is no way in: what comes from disk is checked like what is sent.
    """
    key, value = forgery()
    unchecked = store(validate=False)
    put(unchecked, (key, value), MALLORY)
    records = store(validate=validate)
    for keep in unchecked.effects():
        records.restore(keep, None, NOON)

    assert (records.get(key, NOON) is None) == validate


def test_a_small_order_key_owns_nothing():
    """
    A key for which anybody can make signatures is no identity, so nothing can be said under it.
    """
    record = SignedRecord.issue(
        KeyPair.from_seed(b"m" * 32), b"n", b"v", network_id=NETWORK, sequence=1, expires_at=NOON + HOUR
    )
    records = store()
    for weak in (bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"):
        assert put(records, (b"/signed/" + weak + b"/n", record.encode()), MALLORY) is Refusal.INVALID
        assert put(records, (b"/contact/" + weak, contact_record(MALLORY)[1]), MALLORY) is Refusal.INVALID


# --- 18: filling --------------------------------------------------------------------------------------------

SMALL = MIB
"""A store that attackers of these tests can fill."""


def honest(records) -> list[bytes]:
    """A hundred honest peers, each with a contact here. Returns their keys."""
    for number in range(100, 200):
        assert put(records, contact_record(number), number) is Refusal.NONE
    return [contact_record(number)[0] for number in range(100, 200)]


def lost(records, keys) -> int:
    """How many of these records are not here any more."""
    return sum(records.get(key, NOON) is None for key in keys)


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
@pytest.mark.parametrize(
    "attacker",
    [
        lambda _n: (MALLORY, "99.1.1.1"),
        lambda n: (1000 + n % 300, "99.1.1.1"),
        lambda n: (1000 + n % 300, f"99.1.{n % 250}.1"),
        lambda n: (1000 + n % 300, f"2a01:4f8:{n % 250:x}::1"),
        lambda n: (1000 + n % 300, f"{60 + n % 30}.{n % 10}.1.1"),
    ],
    ids=["one peer", "one /24", "one /16", "one /32", "300 networks"],
)
def test_a_flood_of_records(attacker, quotas):
    """
    Whoever sends as much as it can gets its share; of others nothing is lost, and newcomers still come in.
    """
    records = store(SMALL, quotas=quotas)
    keys = honest(records)
    for number in range(3000):
        sender, ip = attacker(number)
        put(records, content(number, 2000), sender, ip=ip, now=number * 0.05)
    newcomer = put(records, contact_record(200), 200, now=200.0)

    assert records.figures().bytes <= SMALL
    assert newcomer is Refusal.NONE
    if quotas:
        assert lost(records, keys) == 0
        assert records.figures().evicted == 0
    else:
        assert lost(records, keys) == len(keys)


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
def test_451_requests_in_a_minute(quotas):
    """
    That many, even of refused ones, once evicted everybody's data; now they are refused and evict nothing.
    """
    records = store(SMALL, quotas=quotas)
    keys = honest(records)
    results = [put(records, content(number, 4000), MALLORY, now=number * 60 / 451) for number in range(451)]

    if quotas:
        assert lost(records, keys) == 0
        assert results.count(Refusal.BUSY) > 250
    else:
        assert lost(records, keys) == len(keys)


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
def test_a_full_store_forgets_nobody(quotas):
    """
    There is no least recently used one to be pushed out: the old records are read by nobody and stay.
    """
    records = store(SMALL, quotas=quotas)
    keys = honest(records)
    for number in range(1000, 5000):
        sender = number % 1000 + 1000
        put(
            records,
            content(number, 1000),
            sender,
            ip=f"{20 + sender % 80}.{sender % 250}.1.1",
            now=number / 10,
        )

    assert lost(records, keys) == (0 if quotas else len(keys))


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
def test_a_quota_cannot_be_passed_by_replacing_or_sending_again(quotas):
    """
    Growing one's records, or having others' counted elsewhere by sending them again, wins no byte.
    """
    records = store(quotas=quotas)
    for number in range(150):
        name = bytes([number + 1])
        put(records, signed(MALLORY, 1, name=name), MALLORY, now=number * 10.0)
        put(records, signed(MALLORY, 2, name=name, value=bytes(20_000)), MALLORY, now=number * 10.0)
    for number in range(150):
        put(records, content(number, 20_000), MALLORY, now=10_000.0 + number * 10.0)
    used, entries = records._entries.quotas.used(peer(MALLORY).peer_id)

    assert (used <= MIB and entries <= 100) == quotas


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
def test_false_providers_of_a_key(quotas):
    """
    One network says hundreds of times that it provides a key: readers still find the honest ones, and first.
    """
    records = store(quotas=quotas)
    provide(records, b"key", VICTIM)
    for number in range(1000, 1300):
        provide(records, b"key", number, ip="99.1.1.1", now=float(number))
    assert provide(records, b"key", 3, now=2000.0) is Refusal.NONE
    found = records.providers(b"key", NOON)

    assert found[0] == peer(VICTIM)
    assert (len(found) < 30) == quotas


@pytest.mark.parametrize("quotas", [True, False], ids=["defended", "undefended"])
def test_a_restart_wins_nothing(quotas):
    """
    What a network holds is known after a restart: it does not get its share twice.
    """
    records = store(SMALL, quotas=quotas)
    for first in (0, 1000):
        for number in range(first, first + 1000):
            put(records, content(number, 500), 1000 + number % 300, ip="99.1.1.1", now=float(number))
        again = store(SMALL, quotas=quotas)
        for keep in records.effects():
            again.restore(keep, None, NOON) if hasattr(keep, "value") else None
        records = again

    assert (records.figures().bytes < 0.05 * SMALL) == quotas


# --- 20: churn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", [True, False], ids=["with disk", "without"])
@pytest.mark.parametrize("republish", [True, False], ids=["republished", "never again"])
def test_half_of_the_holders_restart_within_a_minute(disk, republish):
    """
    Those with a disk have everything at once; what others forgot comes back when the owner publishes again.
    """
    key, value = contact_record(VICTIM)
    holders = [store() for _ in range(20)]
    ours = Publications()
    ours.add_contact(peer(VICTIM).contact, now=0.0, at=NOON)

    def publish(now: float) -> None:
        for due in ours.due(now):
            assert due == key
            for holder in holders:
                put(holder, (key, value), VICTIM, at=NOON + timedelta(seconds=now), now=now)
            ours.published(due, now)

    publish(0.0)
    for number in range(0, 20, 2):
        restarted = store()
        for keep in holders[number].effects() if disk else ():
            restarted.restore(keep, None, NOON + timedelta(minutes=1))
        holders[number] = restarted
    if republish:
        publish(ours.next_deadline())
    holding = sum(holder.get(key, NOON + HOUR) == value for holder in holders)

    assert holding == (20 if disk or republish else 10)


@pytest.mark.parametrize("republish", [True, False], ids=["republished", "never again"])
def test_all_holders_are_replaced_within_a_day(republish):
    """
    However many come and go, a record is found as long as its owner publishes it.
    """
    key, value = signed(VICTIM)
    holders = [store() for _ in range(20)]
    ours = Publications()
    ours.add(key, value, now=0.0, at=NOON, expires_at=NOON + timedelta(days=2))
    for hour in range(1, 40):
        now = hour * 3600.0
        if republish or hour == 1:
            for due in ours.due(now):
                for holder in holders:
                    put(holder, (key, value), VICTIM, at=NOON + timedelta(seconds=now), now=now)
                ours.published(due, now)
        holders[hour % 20] = store()

    assert any(holder.get(key, NOON + timedelta(hours=40)) == value for holder in holders) == republish
