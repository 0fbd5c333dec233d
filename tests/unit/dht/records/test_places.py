"""Records are found by where they lie in the key space."""

from hypothesis import given
from hypothesis import strategies as st

from kontinuum.dht.keys import KEY_BITS, key_of
from kontinuum.dht.records.places import Places

MAX_DISTANCE = (1 << KEY_BITS) - 1
KEYS = [b"/x/%d" % number for number in range(300)]


def placed(keys):
    """Places of these records."""
    places = Places()
    for key in keys:
        places.add(key)
    return places


@given(place=st.integers(0, MAX_DISTANCE), bits=st.integers(0, KEY_BITS), less=st.integers(0, 2**32))
def test_around_a_place_are_those_within_the_radius(place, bits, less):
    """
    As a look at every record would find, without one.
    """
    radius = max(0, (1 << bits) - 1 - less)

    found = placed(KEYS).within(place, radius)

    wanted = {key: key_of(key) for key in KEYS if key_of(key) ^ place <= radius}
    assert dict(found) == wanted
    assert [own for _, own in found] == sorted(wanted.values())


def test_what_is_gone_is_not_found():
    """
    Removing takes the right one, and only it.
    """
    places = placed(KEYS)
    for key in KEYS[::2]:
        places.remove(key)

    assert len(places) == 150
    assert {key for key, _ in places.within(0, MAX_DISTANCE)} == set(KEYS[1::2])


def test_a_look_at_a_few_records_does_not_touch_the_others(monkeypatch):
    """
    With ten thousand records a look around a place hashes none of them.
    """
    places = placed(b"/x/%d" % number for number in range(10_000))
    monkeypatch.setattr("kontinuum.dht.records.places.sha256", None)

    assert 1 < len(places.within(key_of(b"/x/1"), MAX_DISTANCE >> 8)) < 100
