"""All nodes in the order of their keys: buckets are slices, and the nearest are found."""

import pytest

from kontinuum.dht.keys import KEY_BITS, bucket_index
from kontinuum.sim.chance import stream
from kontinuum.sim.directory import Directory

RNG = stream(1, "directory")
KEYS = [RNG.below(1 << KEY_BITS) for _ in range(300)]


def test_a_bucket_is_a_slice():
    """
    The slice of a bucket holds exactly the nodes at its distances.
    """
    directory = Directory((key, key) for key in KEYS)
    local = KEYS[0]
    for index in range(KEY_BITS - 12, KEY_BITS):
        low, high = directory.bucket(local, index)
        found = {directory.at(place) for place in range(low, high)}

        assert found == {key for key in KEYS if key != local and bucket_index(key ^ local) == index}


@pytest.mark.parametrize("count", [1, 20, 299, 300, 400])
def test_the_nearest_are_those_of_a_full_search(count):
    """
    The same nodes in the same order as when all are sorted.
    """
    directory = Directory((key, key) for key in KEYS)
    for target in (*KEYS[:5], 0, (1 << KEY_BITS) - 1, RNG.below(1 << KEY_BITS)):
        assert directory.closest(target, count) == sorted(KEYS, key=lambda key: key ^ target)[:count]


def test_only_usable_ones_are_found():
    """
    With few usable ones the search goes as far as it must.
    """
    usable = set(KEYS[::50])
    directory = Directory((key, key) for key in KEYS)
    target = KEYS[1]

    assert directory.closest(target, 20, usable.__contains__) == sorted(usable, key=lambda key: key ^ target)


def test_an_empty_directory_finds_nobody():
    """
    And one with few finds all of them.
    """
    assert Directory().closest(5, 3) == []
    assert Directory([(7, "seven"), (4, "four")]).closest(5, 3) == ["four", "seven"]
