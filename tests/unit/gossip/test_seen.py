"""Which messages are known, and which are too old to be new."""

from helpers.dht_peers import key_pair
from helpers.gossip_net import START_NS
from kontinuum.gossip.entry import Entry, State
from kontinuum.gossip.seen import AHEAD_MAX_NS, TIME_MIN_NS, Seen

SECOND = 10**9


def author(number):
    """A multihash."""
    return key_pair(number).peer_id.multihash


def put(seen, number, seqno, unix_ns=START_NS):
    """A verified message of an author."""
    seen.author(author(number), seqno, unix_ns)
    entry = Entry(author(number) + seqno.to_bytes(8), "room", b"", None)
    seen.keep(entry)
    return entry


def is_replay(seen, number, seqno):
    """As the router asks."""
    return seen.is_replay(author(number), seqno.to_bytes(8))


def test_an_id_is_known_for_its_time():
    """
    From when it came to the first heartbeat after seen_ttl.
    """
    seen = Seen(120.0)
    entry = put(seen, 1, START_NS)
    seen.tick(1.0, START_NS)

    seen.tick(120.9, START_NS)
    assert seen.known[entry.message_id] is entry
    seen.tick(121.0, START_NS)
    assert len(seen) == 0


def test_what_is_reserved_and_given_up_leaves_nothing():
    """
    A forgery must not take the place of the true message, now or later.
    """
    seen = Seen(120.0)
    entry = Entry(author(1) + bytes(8), "room", b"forged", None)
    seen.reserve(entry)
    seen.discard(entry.message_id)

    assert len(seen) == 0
    seen.tick(1.0, START_NS)
    seen.tick(500.0, START_NS)
    assert not is_replay(seen, 1, 0)


def test_when_a_message_does_not_matter_any_more_its_end_is_remembered():
    """
    The entry itself is let go; one that is known again by then stays.
    """
    seen = Seen(120.0)
    entry = put(seen, 1, START_NS)
    entry.state = State.VALID

    seen.settle((entry, Entry(bytes(46), "room", b"", None)))

    assert seen.known == {entry.message_id: State.VALID}


def test_what_was_forgotten_is_not_new():
    """
    A replay after seen_ttl is refused, and whatever the author wrote before it; what he writes later is new.
    """
    seen = Seen(120.0)
    put(seen, 1, START_NS)
    seen.tick(1.0, START_NS)
    seen.tick(200.0, START_NS + 200 * SECOND)

    assert is_replay(seen, 1, START_NS)
    assert is_replay(seen, 1, START_NS - 5)
    assert not is_replay(seen, 1, START_NS + 1)
    assert not is_replay(seen, 2, START_NS)


def test_an_author_who_draws_numbers_by_lot_has_no_floor():
    """
    js-libp2p does: one number that is no time is enough to know.
    """
    for odd in (5, TIME_MIN_NS - 1, START_NS + AHEAD_MAX_NS + 1, 2**64 - 1):
        seen = Seen(120.0)
        put(seen, 1, START_NS)
        put(seen, 1, odd)
        seen.tick(1.0, START_NS)
        seen.tick(500.0, START_NS)

        assert len(seen) == 0
        assert not is_replay(seen, 1, START_NS)


def test_a_floor_is_never_in_the_future():
    """
    A node whose clock was ahead and is put right is heard at once.
    """
    seen = Seen(120.0, ids_max=1)
    put(seen, 1, START_NS + 50 * SECOND)
    put(seen, 2, START_NS)
    seen.tick(1.0, START_NS + SECOND)

    assert len(seen) == 0
    assert is_replay(seen, 1, START_NS + SECOND)
    assert not is_replay(seen, 1, START_NS + 2 * SECOND)


def test_ids_and_authors_are_bounded():
    """
    Of too many the oldest go; authors who are heard of stay.
    """
    seen = Seen(120.0, ids_max=10, authors_max=2)
    for number in range(12):
        put(seen, 1, START_NS + number)
        seen.tick(float(number), START_NS + SECOND)
    assert len(seen) == 10
    assert is_replay(seen, 1, START_NS + 1)

    put(seen, 2, START_NS)
    put(seen, 1, START_NS + 50)
    put(seen, 3, START_NS)
    assert is_replay(seen, 1, START_NS + 1)
    put(seen, 4, START_NS)
    put(seen, 5, START_NS)
    assert not is_replay(seen, 1, START_NS + 1)


def test_an_author_is_checked_once_and_is_the_same_afterwards():
    """
    Making a PeerId costs more than all else that a message costs here.
    """
    seen = Seen(120.0)

    assert seen.author(author(1), START_NS, START_NS) is seen.author(author(1), START_NS + 1, START_NS)
    assert seen.author(author(1), 1, START_NS) == key_pair(1).peer_id
