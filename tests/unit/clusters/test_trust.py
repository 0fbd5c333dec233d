"""Whom a cluster trusts: entries that anybody of ours may write, and that fall with their author."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.keys import NOON, OTHER_SEED, SEED, Family, later
from kontinuum.base.errors import MisuseError, PeerError
from kontinuum.clusters import trust as room
from kontinuum.clusters.errors import BadNameError
from kontinuum.clusters.trust import (
    TRUST_SEQUENCE_MAX,
    TRUSTED_MAX,
    How,
    TrustEntry,
    TrustList,
    decode_entries,
    encode_entries,
    how_text,
)
from kontinuum.identity import BadSignatureError, KeyPair
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.genesis import Genesis
from kontinuum.wire import cbor
from kontinuum.wire.errors import WrongVersionError

OWN = Family(SEED).chain.cluster
GENESIS = Genesis.issue(OTHER_SEED.cluster())
AUTHORS = [KeyPair.from_seed(bytes([number] * 32)) for number in range(1, 5)]


def entry(author=0, sequence=1, *, trusted=True, genesis=GENESIS, name="bob", how=How.MEET):
    """What one of our nodes says."""
    return TrustEntry.issue(
        AUTHORS[author], OWN, genesis, name=name, trusted=trusted, how=how, sequence=sequence, at=NOON
    )


def test_an_entry_is_read_as_it_was_written():
    """
    The bytes of an entry give the entry back, and are the only ones that do.
    """
    said = entry(how=How.TRANSITION)

    assert said == TrustEntry.decode(said.encode())
    assert how_text(said.how) == "transition"
    assert how_text(200) == "unknown"


@pytest.mark.parametrize("field", range(10))
def test_a_changed_entry_is_refused(field):
    """
    Whatever field of an entry is changed, it does not bear its author's signature any more.
    """
    fields = cbor.decode(entry().encode())
    other = cbor.decode(
        TrustEntry.issue(
            AUTHORS[1],
            Family(OTHER_SEED).chain.cluster,
            Family(SEED).chain.genesis,
            name="eve",
            trusted=False,
            how=How.GIVEN,
            sequence=2,
            at=later(1),
        ).encode()
    )
    changed = {**fields, field: other[field]} if field else {**fields, 0: 2}

    with pytest.raises((BadSignatureError, PeerError)):
        TrustEntry.decode(cbor.encode(changed))


def test_a_newer_version_is_refused_by_name():
    """
    An entry of a newer program is not guessed at.
    """
    fields = cbor.decode(entry().encode())

    with pytest.raises(WrongVersionError, match="version 2"):
        TrustEntry.decode(cbor.encode({**fields, 0: 2}))


@pytest.mark.parametrize("name", ["", "Bob", "1bob", "home", "kontinuum", "b b", "b" * 33, "bob:"])
def test_names_that_mean_something_else_are_refused(name):
    """
    A cluster has a short name of small letters, and none that means something else.
    """
    with pytest.raises(BadNameError):
        entry(name=name)


@pytest.mark.parametrize("sequence", [-1, TRUST_SEQUENCE_MAX + 1])
def test_a_number_out_of_range_is_refused(sequence):
    """
    Numbers fit a signed column of 64 bits.
    """
    with pytest.raises(MisuseError):
        entry(sequence=sequence)


def test_the_latest_word_counts_whoever_says_it():
    """
    Of what our nodes say about a cluster, the highest number counts.
    """
    listed = TrustList([entry(0, 1), entry(1, 2, trusted=False), entry(2, 3, name="robert")])

    assert listed.in_effect(lambda _: True)[GENESIS.cluster].name == "robert"
    assert listed.next_sequence(GENESIS.cluster) == 4


def test_a_no_wins_a_tie_and_then_the_lesser_author():
    """
    Two nodes that speak at once are read alike everywhere; in doubt nobody is trusted.
    """
    both = TrustList([entry(0, 5), entry(1, 5, trusted=False)])
    lesser, greater = sorted(AUTHORS[:2], key=lambda each: each.peer_id)
    same = TrustList([entry(AUTHORS.index(greater), 5, name="b"), entry(AUTHORS.index(lesser), 5, name="a")])

    assert not both.in_effect(lambda _: True)[GENESIS.cluster].trusted
    assert same.in_effect(lambda _: True)[GENESIS.cluster].name == "a"


def test_what_a_revoked_author_said_falls_and_what_was_said_before_counts_again():
    """
    A stolen node takes trust away, with the highest number there is; its revocation undoes that.
    """
    listed = TrustList([entry(0, 1), entry(1, TRUST_SEQUENCE_MAX, trusted=False)])
    stolen = AUTHORS[1].peer_id

    assert not listed.in_effect(lambda _: True)[GENESIS.cluster].trusted
    assert listed.in_effect(lambda author: author != stolen)[GENESIS.cluster].trusted


def test_numbers_that_are_used_up_are_told():
    """
    Nothing can be said beyond the highest number; the message says what helps.
    """
    with pytest.raises(MisuseError, match="revoke"):
        TrustList([entry(0, TRUST_SEQUENCE_MAX)]).next_sequence(GENESIS.cluster)


@settings(max_examples=60, deadline=None)
@given(
    said=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), st.sampled_from(["a", "b"])),
        max_size=6,
    ),
    data=st.data(),
)
def test_the_list_is_the_same_in_whatever_order_entries_come(said, data):
    """
    Nodes that hear the same entries, in any order and several times, have the same list.
    """
    entries = [entry(author, number, trusted=yes, name=name) for author, number, yes, name in said]
    shuffled = data.draw(st.permutations(entries + entries))

    assert list(TrustList(entries)) == list(TrustList(shuffled))


def test_one_author_can_fill_only_his_share(monkeypatch):
    """
    An author has so many entries; another one's still find room.
    """
    monkeypatch.setattr(room, "TRUSTED_MAX", 3)
    geneses = [Genesis.issue(RootSeed(bytes([number] * 32)).cluster()) for number in range(10, 15)]
    listed = TrustList()

    taken = [listed.add(entry(0, genesis=genesis)) for genesis in geneses]

    assert taken == [True, True, True, False, False]
    assert listed.add(entry(1, genesis=geneses[4]))
    assert TRUSTED_MAX == 256


def test_a_full_list_makes_room_by_what_counts_no_longer(monkeypatch):
    """
    A list that a thief filled takes new entries as soon as he is revoked.
    """
    monkeypatch.setattr(room, "TRUST_ENTRIES_MAX", 3)
    geneses = [Genesis.issue(RootSeed(bytes([number] * 32)).cluster()) for number in range(10, 14)]
    listed = TrustList(entry(0, genesis=genesis) for genesis in geneses[:3])
    thief = AUTHORS[0].peer_id

    assert not listed.add(entry(1, genesis=geneses[3]))
    assert listed.add(entry(1, genesis=geneses[3]), lambda author: author != thief)
    assert len(listed) == 1


def test_lists_travel_in_messages_that_are_not_too_long():
    """
    Any number of entries is cut into lists, and read back.
    """
    geneses = [Genesis.issue(RootSeed(bytes([number] * 32)).cluster()) for number in range(100, 103)]
    listed = TrustList(
        entry(author, genesis=genesis) for author, genesis in itertools.product((0, 1), geneses)
    )

    encoded = encode_entries(listed)

    assert list(listed) == [each for data in encoded for each in decode_entries(data)]
    assert encode_entries([]) == []
    for wrong in (cbor.encode({}), cbor.encode([1]), cbor.encode([b"x"])):
        with pytest.raises(PeerError):
            decode_entries(wrong)
