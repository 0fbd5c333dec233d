"""The store of records: what it keeps, gives away, forgets and writes down."""

from datetime import timedelta

import pytest

from helpers.dht_peers import ip_of, peer
from helpers.identities import NOON
from helpers.records import MIB, contact_record, content, provide, put, signed, store
from kontinuum.dht.events import Drop, Keep, Refusal
from kontinuum.dht.records.entries import ENTRY_BYTES, PROVIDER_BYTES, STALE_MAX
from kontinuum.dht.records.quotas import PEER_ENTRIES_MAX
from kontinuum.dht.records.store import EXTEND_STEP_S, PROVIDERS_MAX, RECORD_LIFETIME_S
from kontinuum.identity import CONTACT_AGE_MAX_S, CONTACT_AHEAD_MAX_S
from kontinuum.wire.limits import KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ALICE, BOB, CAROL = 1, 2, 3


@pytest.mark.parametrize(
    "record", [contact_record(ALICE), content(7), signed(ALICE)], ids=["contact", "content", "signed"]
)
def test_what_was_put_is_found(record):
    """
    A valid record is kept, under its key only, and counted by its length.
    """
    key, value = record
    records = store()

    assert put(records, record, ALICE) is Refusal.NONE
    assert records.get(key, NOON) == value
    assert records.get(key + b"x", NOON) is None
    assert list(records.keys()) == [key]
    assert len(records) == 1
    assert records.figures().bytes == ENTRY_BYTES + len(key) + len(value)


def test_an_older_record_does_not_replace_a_newer_one():
    """
    Whatever order they come in, the newest stays.
    """
    records = store()

    assert put(records, signed(ALICE, 2), ALICE) is Refusal.NONE
    assert put(records, signed(ALICE, 1), BOB) is Refusal.OLDER
    assert put(records, signed(ALICE, 3), BOB) is Refusal.NONE
    assert put(records, signed(ALICE, 2), ALICE) is Refusal.OLDER
    assert records.get(*signed(ALICE)[:1], NOON) == signed(ALICE, 3)[1]
    assert len(records) == 1


def test_of_two_records_with_one_sequence_all_stores_keep_the_same():
    """
    The order in which two come to different holders does not matter.
    """
    first, second = signed(ALICE, value=b"a"), signed(ALICE, value=b"b")
    kept = set()
    for order in ((first, second), (second, first)):
        records = store()
        for record in order:
            put(records, record, ALICE)
        kept.add(records.get(first[0], NOON))

    assert len(kept) == 1


def test_a_record_goes_when_it_is_over():
    """
    A contact a day after it was issued, although it was sent again just before; get does not wait for expire.
    """
    records = store()
    key, value = contact_record(ALICE)
    end = NOON + timedelta(seconds=CONTACT_AGE_MAX_S)
    put(records, (key, value), ALICE)
    put(records, (key, value), BOB, at=end - HOUR)

    assert records.next_expiry() == end
    assert records.get(key, end - timedelta(seconds=1)) == value
    assert records.get(key, end) is None
    records.expire(end - timedelta(seconds=1))
    assert len(records) == 1
    records.expire(end)
    assert len(records) == records.figures().bytes == records.figures().accounts == 0
    assert records.next_expiry() is None
    assert records.effects()[-1] == Drop(key, None)


def test_content_is_held_two_days_after_it_was_last_sent():
    """
    What never becomes invalid is still forgotten when nobody sends it any more.
    """
    records = store()
    key, value = content(1)
    put(records, (key, value), ALICE)
    put(records, (key, value), ALICE, at=NOON + DAY)

    assert records.get(key, NOON + 3 * DAY - HOUR) == value
    assert records.get(key, NOON + 3 * DAY) is None


def test_a_record_from_the_future_is_not_given_away_when_our_clock_was_wrong():
    """
    Our clock ran ahead and was set right: what we took meanwhile is refused on read, until its time comes.
    """
    records = store()
    key, value = contact_record(ALICE)
    put(records, (key, value), ALICE)
    earlier = NOON - timedelta(seconds=CONTACT_AHEAD_MAX_S)

    assert records.get(key, earlier) == value
    assert records.get(key, earlier - timedelta(seconds=1)) is None


def test_the_edges_of_validity_are_those_of_get():
    """
    What get would not give is not kept, to the second.
    """
    end = NOON + timedelta(seconds=CONTACT_AGE_MAX_S)

    for at, expected in (
        (end - timedelta(seconds=1), Refusal.NONE),
        (end, Refusal.INVALID),
        (NOON - timedelta(seconds=CONTACT_AHEAD_MAX_S), Refusal.NONE),
        (NOON - timedelta(seconds=CONTACT_AHEAD_MAX_S + 1), Refusal.INVALID),
    ):
        records = store()
        assert put(records, contact_record(ALICE), ALICE, at=at) is expected
        assert (records.get(contact_record(ALICE)[0], at) is not None) == (expected is Refusal.NONE)


def test_an_ended_record_does_not_hinder_a_new_one():
    """
    A record that is over is gone for its successor, even one with a lower sequence.
    """
    records = store()
    put(records, signed(ALICE, 9, expires_at=NOON + HOUR), ALICE)

    assert put(records, signed(ALICE, 1), ALICE, at=NOON + HOUR) is Refusal.NONE
    assert records.get(signed(ALICE)[0], NOON + HOUR) == signed(ALICE, 1)[1]
    assert len(records) == 1


@pytest.mark.parametrize("validate", [True, False])
def test_no_store_takes_what_is_too_long(validate):
    """
    The limits of keys and values hold even where nothing else is checked.
    """
    records = store(validate=validate)

    assert put(records, (b"", b"v"), ALICE) is Refusal.INVALID
    assert put(records, (b"k" * (KAD_KEY_BYTES_MAX + 1), b"v"), ALICE) is Refusal.INVALID
    assert put(records, content(1, KAD_VALUE_BYTES_MAX + 1), ALICE) is Refusal.INVALID
    assert put(records, content(1, KAD_VALUE_BYTES_MAX), ALICE) is Refusal.NONE


def test_when_a_record_was_sent_last():
    """
    Holders send on what nobody has sent for a while: any put counts, and so does our own round.
    """
    records = store()
    key, _ = contact_record(ALICE)

    assert records.received_at(key) is None
    put(records, contact_record(ALICE), ALICE, now=10.0)
    assert records.received_at(key) == 10.0
    put(records, contact_record(ALICE), BOB, now=20.0)
    assert records.received_at(key) == 20.0
    records.touch(key, 30.0)
    records.touch(b"unknown", 30.0)
    assert records.received_at(key) == 30.0


# --- whom an entry counts to ---


def accounts(records) -> dict[int, tuple[int, int]]:
    """Bytes and entries of the first peers, those that have some."""
    used = {number: records._entries.quotas.used(peer(number).peer_id) for number in range(10)}
    return {number: account for number, account in used.items() if account[1]}


def test_an_entry_counts_to_who_sent_it():
    """
    Whatever the record says about its owner: who passes it on pays, until the owner comes itself.
    """
    records = store()
    put(records, signed(ALICE), BOB)
    assert list(accounts(records)) == [BOB]
    put(records, signed(ALICE), ALICE)
    assert list(accounts(records)) == [ALICE]
    put(records, signed(ALICE), BOB)
    assert list(accounts(records)) == [ALICE]
    put(records, signed(ALICE, 2), BOB)
    assert list(accounts(records)) == [BOB]


def test_content_counts_to_who_sent_it_last():
    """
    Who keeps it alive pays for it; who has no room left does not prolong it.
    """
    records = store()
    record = content(0)
    put(records, record, ALICE)
    for number in range(PEER_ENTRIES_MAX):
        put(records, content(1000 + number), CAROL)

    assert put(records, record, CAROL, at=NOON + DAY) is Refusal.NONE
    assert accounts(records)[ALICE][1] == 1
    assert records.get(record[0], NOON + timedelta(seconds=RECORD_LIFETIME_S)) is None
    assert put(records, record, BOB, at=NOON + DAY) is Refusal.NONE
    assert ALICE not in accounts(records)
    assert records.get(record[0], NOON + timedelta(seconds=RECORD_LIFETIME_S)) is not None


def test_a_peers_own_word_makes_room_among_what_it_passed_on():
    """
    A holder that brought others' records still gets its own contact in: the oldest of those go.
    """
    records = store()
    for number in range(PEER_ENTRIES_MAX):
        assert put(records, content(number), ALICE) is Refusal.NONE

    assert put(records, content(PEER_ENTRIES_MAX), ALICE) is Refusal.QUOTA
    assert put(records, contact_record(ALICE), ALICE) is Refusal.NONE
    assert records.get(content(0)[0], NOON) is None
    assert records.get(content(1)[0], NOON) is not None
    assert records.figures().evicted == 1
    assert accounts(records)[ALICE][1] == PEER_ENTRIES_MAX


def test_what_somebody_else_sent_too_does_not_go():
    """
    Being first to bring a record gives nobody the power to take it away from those who bring it later.
    """
    records = store()
    shared, old, newer = content(0), signed(BOB, 1), signed(BOB, 2)
    put(records, shared, ALICE)
    put(records, shared, BOB)
    put(records, old, BOB)
    put(records, newer, ALICE)
    put(records, shared, ALICE)
    for number in range(1, PEER_ENTRIES_MAX - 1):
        assert put(records, content(number), ALICE) is Refusal.NONE
    for number in range(PEER_ENTRIES_MAX):
        put(records, signed(ALICE, name=bytes([number + 1])), ALICE, now=1000.0 + number)

    assert records.get(shared[0], NOON) == shared[1]
    assert records.get(newer[0], NOON) == newer[1]
    assert records.figures().evicted == PEER_ENTRIES_MAX - 2


def test_no_room_is_made_in_vain():
    """
    Where its own word does not fit at all, nothing that the peer passed on goes for it.
    """
    records = store(bytes_max=100_000)
    assert put(records, content(0), ALICE) is Refusal.NONE
    before = accounts(records), records.figures().bytes

    assert put(records, signed(ALICE, value=bytes(20_000)), ALICE) is Refusal.FULL
    assert put(records, signed(BOB, value=bytes(20_000)), BOB) is Refusal.FULL
    assert (accounts(records), records.figures().bytes) == before
    assert records.get(content(0)[0], NOON) is not None


def test_a_newer_record_that_does_not_fit_leaves_the_old_one():
    """
    Refusing changes nothing: neither what is held nor what it counts.
    """
    records = store(bytes_max=100_000)
    put(records, signed(ALICE, 1), ALICE)
    before = accounts(records), records.figures().bytes

    assert put(records, signed(ALICE, 2, value=bytes(20_000)), BOB) is Refusal.FULL
    assert records.get(signed(ALICE)[0], NOON) == signed(ALICE, 1)[1]
    assert (accounts(records), records.figures().bytes) == before


def test_replacing_does_not_count_twice():
    """
    A peer at its limit can still say something newer.
    """
    records = store()
    for number in range(PEER_ENTRIES_MAX):
        put(records, signed(ALICE, name=bytes([number + 1])), ALICE)

    assert put(records, signed(ALICE, name=b"\xff"), ALICE, now=500.0) is Refusal.QUOTA
    assert put(records, signed(ALICE, 2, name=b"\x01", value=b"longer"), ALICE, now=500.0) is Refusal.NONE


# --- providers ---


def test_providers_are_those_who_came_in_the_order_they_came():
    """
    Saying it again moves nobody forward; each is there once, with its newest contact.
    """
    records = store()
    for number in (ALICE, BOB, CAROL, ALICE):
        assert provide(records, b"key", number) is Refusal.NONE
    newer = peer(BOB, sequence=2)
    assert records.add_provider(b"key", newer, ip=ip_of(BOB), at=NOON, now=0.0) is Refusal.NONE
    assert provide(records, b"key", BOB) is Refusal.OLDER

    found = records.providers(b"key", NOON)
    assert found == [peer(ALICE), newer, peer(CAROL)]
    assert len(records) == 3
    assert records.figures().bytes == sum(
        ENTRY_BYTES + PROVIDER_BYTES + 3 + len(each.wire.contact) for each in found
    )
    assert records.providers(b"other", NOON) == []
    assert list(records.keys()) == []


def test_a_provider_counts_as_long_as_its_contact_is_fresh():
    """
    Whoever finds it could not use an old contact.
    """
    records = store()
    end = NOON + timedelta(seconds=CONTACT_AGE_MAX_S)
    provide(records, b"key", ALICE)

    assert records.providers(b"key", end - timedelta(seconds=1)) == [peer(ALICE)]
    assert records.providers(b"key", end) == []
    assert provide(records, b"key", BOB, at=end) is Refusal.INVALID
    records.expire(end)
    assert len(records) == records.figures().bytes == 0
    assert records.effects()[-1] == Drop(b"key", peer(ALICE).peer_id)


def test_the_key_of_providers_has_its_limits():
    """
    Any bytes can be provided, but neither none nor endlessly many.
    """
    records = store()

    assert provide(records, b"", ALICE) is Refusal.INVALID
    assert provide(records, bytes(KAD_KEY_BYTES_MAX + 1), ALICE) is Refusal.INVALID
    assert provide(records, bytes(KAD_KEY_BYTES_MAX), ALICE) is Refusal.NONE


def test_one_network_does_not_fill_the_providers_of_a_key():
    """
    Of 256 places one /24 gets 26, and there is one for each newcomer from elsewhere to the last.
    """
    records = store()
    same = [provide(records, b"key", number, ip="20.1.1.7", now=number) for number in range(40)]
    assert same.count(Refusal.NONE) == 26
    assert same[-1] is Refusal.QUOTA

    others = [provide(records, b"key", number, now=number) for number in range(100, 400)]
    assert others.count(Refusal.NONE) == PROVIDERS_MAX - 26
    assert others[-1] is Refusal.FULL
    assert len(records.providers(b"key", NOON)) == PROVIDERS_MAX
    assert provide(records, b"key", 100, now=1000.0) is Refusal.NONE, "who is there may say it again"


# --- disk ---


def test_every_change_is_told_to_the_disk():
    """
    What is new and what replaced something is kept, what is gone is dropped; refusals write nothing.
    """
    records = store()
    key, value = signed(ALICE)
    put(records, (key, value), ALICE)
    put(records, (key, value), ALICE)
    put(records, (key, b"junk"), BOB)
    provide(records, b"key", BOB)

    assert records.changed
    kept, provided = records.effects()
    end_s = (NOON + timedelta(seconds=RECORD_LIFETIME_S)).timestamp()
    assert kept == Keep(key, value, None, peer(ALICE).peer_id, end_s, ip_of(ALICE))
    assert (provided.provider, provided.value) == (peer(BOB).peer_id, peer(BOB).wire.contact)
    assert not records.changed
    assert records.effects() == []


def test_a_longer_life_is_written_down_in_steps():
    """
    Holders send records around every hour; the disk hears of it when an hour is won, not each time.
    """
    records = store()
    put(records, content(1), ALICE)
    records.effects()
    step = timedelta(seconds=EXTEND_STEP_S)

    put(records, content(1), ALICE, at=NOON + step - timedelta(seconds=1))
    assert records.effects() == []
    put(records, content(1), ALICE, at=NOON + step)
    (keep,) = records.effects()
    assert keep.expires_at_s == (NOON + step).timestamp() + RECORD_LIFETIME_S


def restored(effects, at=NOON, bytes_max=64 * MIB, **defences):
    """A store made from what was written."""
    records = store(bytes_max, **defences)
    for keep in effects:
        provider = next((peer(n) for n in range(40) if peer(n).peer_id == keep.provider), None)
        records.restore(keep, provider, at)
    return records


def test_what_was_written_comes_back():
    """
    Records, providers, ends and accounts are as before, and nothing has to be written for it.
    """
    records = store()
    for record in (contact_record(ALICE), signed(BOB), content(1)):
        put(records, record, ALICE)
    provide(records, b"key", BOB)
    again = restored(records.effects())

    assert again.effects() == []
    assert list(again.keys()) == list(records.keys())
    assert again.providers(b"key", NOON) == [peer(BOB)]
    assert accounts(again) == accounts(records)
    assert again.figures().bytes == records.figures().bytes
    assert again.next_expiry() == records.next_expiry()
    assert again.received_at(content(1)[0]) == float("-inf"), "nobody has sent it in this run"


@pytest.mark.parametrize(
    "keep",
    [
        Keep(signed(ALICE)[0], b"junk", None, peer(1).peer_id, 2e9),
        Keep(signed(ALICE)[0], signed(BOB)[1], None, peer(1).peer_id, 2e9),
        Keep(*signed(ALICE), None, peer(1).peer_id, NOON.timestamp()),
        Keep(*signed(ALICE, expires_at=NOON), None, peer(1).peer_id, 2e9),
        Keep(b"key", b"", peer(999).peer_id, peer(999).peer_id, 2e9),
        Keep(b"", peer(1).wire.contact, peer(1).peer_id, peer(1).peer_id, 2e9),
    ],
    ids=["junk", "another's", "ended", "expired", "unverified provider", "no key"],
)
def test_what_is_wrong_on_disk_is_dropped(keep):
    """
    The disk is no more trusted than a stranger; what is refused is removed from it.
    """
    records = restored([keep])

    assert len(records) == records.figures().bytes == 0
    assert records.effects() == [Drop(keep.key, keep.provider)]


def test_a_forged_end_does_not_prolong_a_record():
    """
    Nothing from disk is held for longer than what is sent now.
    """
    records = restored([Keep(*content(1), None, peer(1).peer_id, float("inf"))])

    assert records.next_expiry() == NOON + timedelta(seconds=RECORD_LIFETIME_S)


def test_what_we_learned_since_is_newer_than_the_disk():
    """
    Restoring after the first puts does not bring old things back, and drops nothing.
    """
    records = store()
    put(records, signed(ALICE, 2), ALICE)
    provide(records, b"key", BOB)
    records.effects()
    records.restore(Keep(*signed(ALICE, 1), None, peer(1).peer_id, 2e9), None, NOON)
    records.restore(
        Keep(b"key", peer(BOB).wire.contact, peer(BOB).peer_id, peer(BOB).peer_id, 2e9), peer(BOB), NOON
    )

    assert records.get(signed(ALICE)[0], NOON) == signed(ALICE, 2)[1]
    assert records.effects() == []


@pytest.mark.parametrize("quotas", [True, False])
def test_a_smaller_store_takes_back_what_fits(quotas):
    """
    The caps hold for what comes from disk as well; the rest is removed there.
    """
    written = [Keep(*content(n, 1000), None, peer(n).peer_id, 2e9, ip_of(n)) for n in range(60)]
    written += [Keep(b"key", b"", peer(n).peer_id, peer(n).peer_id, 2e9, ip_of(n)) for n in range(60)]
    records = restored(written, bytes_max=200_000, quotas=quotas)

    assert 0 < records.figures().bytes <= 200_000
    assert len(records) < len(written)
    assert len(records.effects()) == len(written) - len(records)


def test_the_providers_of_a_key_are_shared_after_a_restart_too():
    """
    A forged disk cannot give one network more than its places.
    """
    records = store()
    for number in range(40):
        keep = Keep(b"key", b"", peer(number).peer_id, peer(number).peer_id, 2e9, "20.1.1.7")
        records.restore(keep, peer(number), NOON)

    assert len(records.providers(b"key", NOON)) == 26


# --- bounds of the books ---


def test_the_queue_of_ends_is_bounded():
    """
    An owner that says something newer every second does not make us remember all it ever said.
    """
    records = store(quotas=False)
    for sequence in range(1000):
        put(records, signed(ALICE, sequence, expires_at=NOON + timedelta(seconds=1000 + sequence)), ALICE)

    assert len(records._entries._ends) <= 2 * len(records) + STALE_MAX
    assert records.next_expiry() == NOON + timedelta(seconds=1999)
    records.expire(NOON + timedelta(seconds=1998))
    assert len(records) == 1


def test_refusals_are_counted_by_reason():
    """
    Whoever runs a node sees why records are refused.
    """
    records = store(bytes_max=100_000)
    put(records, signed(ALICE, 2), ALICE)
    put(records, signed(ALICE, 1), ALICE)
    put(records, (b"/x/y", b""), ALICE)
    put(records, content(1, 20_000), BOB)
    for _ in range(200):
        put(records, signed(ALICE, 2), ALICE)

    figures = records.figures()
    assert figures.refused[Refusal.OLDER] == figures.refused[Refusal.INVALID] == 1
    assert figures.refused[Refusal.FULL] == 1
    assert figures.refused[Refusal.BUSY] > 50
    assert (figures.values, figures.stored) == (1, 1)
    assert figures.repeated > 100
