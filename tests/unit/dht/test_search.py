"""A search asks the right peers, ends, and cannot be steered by those whom it did not ask."""

from itertools import count

import pytest

from helpers.dht_peers import ip_of, peers, placed
from kontinuum.base.errors import MisuseError
from kontinuum.dht.patience import LATE_MAX_S
from kontinuum.dht.search import EXTENDED_REQUESTS_MAX, PREFIX_PEERS_MAX, Search, SearchSettings

ALL = peers(60)
ME = ALL[0].peer_id
TARGET = 0
"""Distances are keys then."""


def at(distance, number=None, **kwargs):
    """A peer at that distance from the target."""
    return placed(distance % 5000 if number is None else number, distance, **kwargs)


def searching(seeds, **settings):
    """A search that begins with ``seeds``."""
    tier_of = settings.pop("tier_of", None)
    return Search(TARGET, seeds, local=ME, settings=SearchSettings(**settings), tier_of=tier_of)


def keys(found):
    """Their distances."""
    return [peer.key for peer in found]


def test_a_search_without_anybody_to_ask_is_over_at_once():
    """
    An empty table finds nobody, and says so.
    """
    search = searching([])

    assert search.start(0.0) == []
    assert search.done
    assert search.closest(20) == []
    assert search.hops == 0


def test_alpha_requests_at_first_and_one_more_for_each_answer():
    """
    A sliding window: an answer leads to the next question, without waiting for the others.
    """
    search = searching([at(n) for n in range(100, 120)], alpha=3)

    assert keys(search.start(0.0)) == [100, 101, 102]
    assert keys(search.answered(at(101).peer_id, [at(50)], 0.1)) == [50]
    assert keys(search.answered(at(50).peer_id, [at(60)], 0.2)) == [60]


def test_all_of_the_closest_are_asked_at_once_when_nobody_nearer_comes():
    """
    Once alpha answers in a row brought nobody nearer, the rest of the k closest need not queue.
    """
    search = searching([at(n) for n in range(100, 112)], alpha=2, k=10)
    search.start(0.0)

    assert keys(search.answered(at(100).peer_id, [], 0.1)) == [102]
    assert keys(search.answered(at(101).peer_id, [], 0.1)) == [103, 104, 105, 106, 107, 108, 109]


def test_it_ends_when_the_k_closest_have_answered_and_not_before():
    """
    The last of the k closest decides, wherever it is in the order.
    """
    search = searching([at(1), at(2), at(3), at(4)], k=3, alpha=3)
    search.start(0.0)
    search.answered(at(1).peer_id, [], 0.1)
    search.answered(at(3).peer_id, [], 0.1)
    assert not search.done

    assert search.answered(at(2).peer_id, [], 0.2) == []
    assert search.done
    assert keys(search.closest(3)) == [1, 2, 3]


def test_a_peer_that_fails_is_replaced_by_the_next():
    """
    The k closest that are alive, not the k closest that somebody has heard of.
    """
    search = searching([at(1), at(2), at(3)], k=2, alpha=2)
    search.start(0.0)
    search.answered(at(1).peer_id, [], 0.1)

    assert keys(search.failed(at(2).peer_id, 0.1)) == [3]
    search.answered(at(3).peer_id, [], 0.1)
    assert search.done
    assert keys(search.closest(2)) == [1, 3]


def test_who_failed_is_not_asked_again():
    """
    Being named once more does not bring a dead peer back.
    """
    search = searching([at(1), at(2)], k=2, alpha=2)
    search.start(0.0)
    search.failed(at(2).peer_id, 0.1)

    assert search.answered(at(1).peer_id, [at(2)], 0.1) == []
    assert search.done


def test_a_slow_peer_frees_its_place_and_its_late_answer_counts():
    """
    Somebody else is asked meanwhile, and the search still ends with the slow one in it.
    """
    search = searching([at(1), at(2), at(3)], k=2, alpha=1, slow_after_s=1.0, late_after_s=3.0)
    assert keys(search.start(0.0)) == [1]
    assert search.next_deadline() == 1.0
    assert search.handle_timeout(0.9) == []

    assert keys(search.handle_timeout(1.0)) == [2]
    assert keys(search.answered(at(2).peer_id, [], 1.1)) == [3]
    search.answered(at(3).peer_id, [], 1.2)
    assert not search.done, "the slow one may be alive"
    assert search.next_deadline() == 3.0

    search.answered(at(1).peer_id, [], 2.9)
    assert search.done
    assert keys(search.closest(2)) == [1, 2]


def test_the_end_does_not_wait_for_ever():
    """
    A peer that is silent for long counts as dead, though its answer would count as long as the search runs.
    """
    search = searching([at(1), at(2), at(3)], k=2, alpha=2, slow_after_s=1.0, late_after_s=2.0)
    search.start(0.0)
    search.answered(at(2).peer_id, [], 0.5)
    assert keys(search.handle_timeout(1.0)) == [3]
    search.answered(at(3).peer_id, [], 1.5)
    assert not search.done

    assert search.handle_timeout(2.0) == []
    assert search.done
    assert keys(search.closest(2)) == [2, 3]


def test_as_long_as_nobody_has_answered_it_waits():
    """
    Late answers are better than none.
    """
    search = searching([at(1), at(2)], k=2, alpha=2, slow_after_s=1.0, late_after_s=2.0)
    search.start(0.0)
    search.handle_timeout(1.0)
    search.handle_timeout(2.0)
    assert not search.done
    assert search.next_deadline() is None

    assert keys(search.answered(at(2).peer_id, [at(3)], 4.0)) == [3]
    search.answered(at(3).peer_id, [], 4.1)
    assert search.done
    assert keys(search.closest(2)) == [2, 3]


def test_a_slow_peer_that_fails_leaves_nothing_to_wait_for():
    """
    Whoever was asked meanwhile takes its place at once.
    """
    search = searching([at(1), at(2), at(3)], k=2, alpha=3, slow_after_s=1.0)
    search.start(0.0)
    search.answered(at(2).peer_id, [], 0.1)
    search.handle_timeout(1.0)
    search.answered(at(3).peer_id, [], 1.1)

    assert search.failed(at(1).peer_id, 5.0) == []
    assert search.done
    assert keys(search.closest(2)) == [2, 3]


def test_answers_that_nobody_asked_for_change_nothing():
    """
    Neither a stranger nor a peer that we know but did not ask can steer a search; nor can a second answer.
    """
    search = searching([at(5), at(6), at(7), at(8)], alpha=2)
    search.start(0.0)

    assert search.answered(at(99).peer_id, [at(1)], 0.1) == []
    assert search.answered(at(7).peer_id, [at(1)], 0.1) == []
    assert search.failed(at(8).peer_id, 0.1) == []
    assert keys(search.answered(at(5).peer_id, [], 0.1)) == [7]
    assert search.answered(at(5).peer_id, [at(1)], 0.2) == []
    assert search.failed(at(5).peer_id, 0.2) == []
    assert keys(search.closest(9)) == [5]


def test_only_the_k_closest_of_an_answer_count():
    """
    An answer of a thousand peers is as good as one of k.
    """
    search = searching([at(900)], k=3, alpha=1)
    search.start(0.0)
    asked = search.answered(at(900).peer_id, [at(n) for n in range(800, 10, -1)], 0.1)

    assert keys(asked) == [11]
    assert [len(path.order) for path in search._paths] == [4]


def test_we_are_never_asked_ourselves():
    """
    Our own contact comes back in most answers.
    """
    search = searching([at(3)], k=3)
    search.start(0.0)

    assert search.answered(at(3).peer_id, [ALL[0]], 0.1) == []
    assert search.done


def test_paths_share_no_peer():
    """
    Each path asks others, the nearest in turn, and what one learns the others do not.
    """
    search = searching([at(n) for n in range(100, 120)], alpha=2, paths=3)

    first = search.start(0.0)
    assert keys(first) == [100, 101, 102, 103, 104, 105]
    assert [search.trace(peer.peer_id) for peer in first] == [(None, path, 1) for path in (0, 1, 2, 0, 1, 2)]

    (asked,) = search.answered(at(101).peer_id, [at(7)], 0.1)
    assert asked.key == 7
    assert search.trace(asked.peer_id) == (at(101).peer_id, 1, 2)
    assert [asked.peer_id in path.known for path in search._paths] == [False, True, False]


def test_a_peer_that_two_paths_know_is_asked_by_one_and_counts_for_both():
    """
    Disjoint paths must not ask everybody near the target several times.
    """
    search = searching([at(8), at(9)], k=3, alpha=1, paths=2)
    search.start(0.0)
    search.answered(at(8).peer_id, [at(1)], 0.1)

    assert search.answered(at(9).peer_id, [at(1)], 0.2) == []
    assert not search.done
    search.answered(at(1).peer_id, [], 0.3)
    assert search.done
    assert search.requests == 3


def test_the_trace_tells_who_named_a_peer_and_how_far_from_our_table_it_is():
    """
    This is what a user sees of a search.
    """
    search = searching([at(50)], k=2, alpha=1)
    search.start(0.0)
    search.answered(at(50).peer_id, [at(20)], 0.1)
    search.answered(at(20).peer_id, [at(10)], 0.2)
    search.answered(at(10).peer_id, [], 0.3)

    assert search.trace(at(50).peer_id) == (None, 0, 1)
    assert search.trace(at(10).peer_id) == (at(20).peer_id, 0, 3)
    assert search.hops == 3


def test_among_equally_near_peers_the_faster_tier_is_asked_first():
    """
    Within two bits of distance nothing is lost by asking the nearby one; beyond that distance decides.
    """
    seeds = [at(0b1000), at(0b1010), at(0b110000), at(0b1000000)]
    tiers = {0b1000: 2, 0b1010: 1, 0b110000: 0, 0b1000000: 0}
    search = searching(seeds, alpha=2, tier_of=lambda peer, _expected_s: tiers[peer.key])
    plain = searching(seeds, alpha=2)

    assert keys(search.start(0.0)) == [0b110000, 0b1010]
    assert keys(plain.start(0.0)) == [0b1000, 0b1010]


def test_more_or_fewer_requests_in_flight_from_now_on():
    """
    Congestion takes effect on searches that run already.
    """
    search = searching([at(n) for n in range(100, 130)], alpha=2)
    search.start(0.0)
    search.set_alpha(4)

    assert keys(search.answered(at(100).peer_id, [at(90)], 0.1)) == [90, 102, 103]


def test_finish_ends_it_early():
    """
    Who has what it looked for asks nobody more, and late answers change nothing.
    """
    search = searching([at(1), at(2), at(3)], alpha=2)
    search.start(0.0)
    search.answered(at(1).peer_id, [], 0.1)
    search.finish()

    assert search.done
    assert search.next_deadline() is None
    assert search.answered(at(2).peer_id, [at(0)], 0.2) == []
    assert keys(search.closest(9)) == [1]


def test_one_network_does_not_hold_all_the_closest():
    """
    Beyond so many peers of one /24 the search looks for others; without caps it does not.
    """
    crowd = [at(n, ip=f"8.8.8.{n}") for n in range(1, 9)]
    seeds = [*crowd, at(100), at(101)]

    def closest(**settings):
        search = searching(seeds, k=4, alpha=4, **settings)
        asked = search.start(0.0)
        while asked:
            asked = [more for peer in asked for more in search.answered(peer.peer_id, [], 0.1)]
        assert search.done
        return keys(search.closest(4))

    assert PREFIX_PEERS_MAX == 2
    assert closest() == [1, 2, 100, 101]
    assert closest(prefix_caps=False) == [1, 2, 3, 4]


def test_the_address_that_an_answer_came_from_counts_not_the_one_claimed():
    """
    A contact may name any address; what was seen decides who is whose neighbour.
    """
    search = searching([at(n) for n in range(1, 6)], k=4, alpha=4)
    search.start(0.0)
    for n in range(1, 4):
        search.answered(at(n).peer_id, [], 0.1, ip="8.8.8.8")
    search.answered(at(4).peer_id, [], 0.1, ip=ip_of(4))

    assert not search.done
    search.answered(at(5).peer_id, [], 0.1, ip=ip_of(5))
    assert keys(search.closest(4)) == [1, 2, 4, 5]


def test_a_newer_contact_replaces_the_older_one_until_the_peer_is_asked():
    """
    A peer that has moved is asked where it is now.
    """
    moved, stayed = at(3, sequence=2), at(3)
    search = searching([at(2), stayed], alpha=1, k=3)
    search.start(0.0)

    (asked,) = search.answered(at(2).peer_id, [moved], 0.1)
    assert asked is moved


def test_an_extended_search_looks_beside_the_crowd():
    """
    It asks for places in the parts of the region where the target is not, and asks nobody of the crowd.
    """
    crowd = [at(n) for n in range(1, 5)]
    far = [at(n) for n in (0x900, 0xA00)]
    search = searching([*crowd, *far], k=4, alpha=4)
    search.start(0.0)
    for peer in crowd:
        search.answered(peer.peer_id, crowd, 0.1)
    assert search.done
    assert search.place == TARGET

    assert keys(search.extend(0xFF)) == [0x900, 0xA00]
    assert search.place == 0x80
    assert not search.done
    assert keys(search.answered(at(0x900).peer_id, [at(0x90), *crowd], 0.2)) == [0x90]


def test_an_extended_search_goes_from_part_to_part_and_ends():
    """
    A peer may be asked once for each place; those that did not answer for one are not asked for the next.
    """
    search = searching([at(1), at(0x90), at(0x60), at(0x900)], k=1, alpha=1)
    search.start(0.0)
    search.answered(at(1).peer_id, [], 0.1)

    places, wanted = [], search.extend(0xFF)
    while not search.done:
        (peer,) = wanted
        places.append((search.place, peer.key))
        if peer.key == 0x60:
            wanted = search.failed(peer.peer_id, 0.2)
        else:
            wanted = search.answered(peer.peer_id, [], 0.2)

    assert places == [(0x80, 0x90), (0x40, 0x60), (0x40, 0x90), (0x20, 0x90), (0x10, 0x90)]
    assert keys(search.outermost(9)) == [0x90, 1]
    assert keys(search.outermost(1)) == [0x90]
    assert keys(search.closest(9)) == [1, 0x90]
    assert search.trace(at(1).peer_id) == (None, 0, 1)


def test_an_extended_search_has_a_bound_of_its_own():
    """
    A crowd without end costs so many requests and no more.
    """
    search = searching([at(1 << 200)], k=2, alpha=2)
    wanted = search.start(0.0)
    wanted = search.answered(wanted[0].peer_id, [], 0.1) or search.extend((1 << 100) - 1)
    numbers = count(10)
    while not search.done:
        peer = wanted.pop()
        number = next(numbers)
        nearer = placed(number, search.place ^ (1 << 99 >> number // 10) + number)
        wanted += search.answered(peer.peer_id, [nearer], 0.2)
        assert search.requests <= 1 + EXTENDED_REQUESTS_MAX


def moved_on():
    """An extended search at its second place, for which 0x300 is asked; 0x900 is late for the first one."""
    search = searching([at(1), at(0x900), at(0x300)], k=1, alpha=1)
    search.start(0.0)
    search.answered(at(1).peer_id, [], 0.1)
    (late,) = search.extend(0xFF)
    assert late.key == 0x300
    search.handle_timeout(0.1 + LATE_MAX_S)
    search.answered(at(0x900).peer_id, [], 2.2)
    return search


def test_a_late_answer_counts_after_the_search_has_moved_on():
    """
    Whoever was too slow for one place of an extended search is found all the same, with those it names.
    """
    search = moved_on()
    assert search.place != 0x80
    assert at(0x300) not in search.closest(9)

    assert search.answered(at(0x300).peer_id, [at(0x41)], 2.3) == []
    assert 0x300 in keys(search.closest(9))
    assert search.answered(at(0x300).peer_id, [at(0x40)], 2.3) == [], "and once only"
    assert keys(search.answered(at(0x900).peer_id, [], 2.4)) == [0x41]


def test_who_owes_an_answer_is_not_asked_again():
    """
    One question at a time: its answer could not be told from that to the next one.
    """
    search = moved_on()
    assert search.awaits(at(0x300).peer_id)

    asked = search.answered(at(0x900).peer_id, [at(0x300)], 2.3)
    assert 0x300 not in keys(asked)


def test_who_is_looked_for_is_waited_for_longest():
    """
    A short patience passes over a peer on the way, not over the one at the target itself.
    """
    wanted = at(0, 77)
    search = searching([wanted, at(1), at(2)], k=2, alpha=3, slow_after_s=0.3, late_after_s=0.5)
    search.start(0.0)
    assert keys(search.handle_timeout(0.3)) == [2]
    search.answered(at(2).peer_id, [], 0.4)
    search.handle_timeout(0.5)
    assert not search.done
    assert search.next_deadline() == LATE_MAX_S

    search.answered(wanted.peer_id, [], 1.9)
    assert search.done
    assert keys(search.closest(2)) == [0, 2]


def test_senseless_settings_are_refused():
    """
    Nothing can be found with them.
    """
    for wrong in ({"k": 0}, {"alpha": 0}, {"paths": 0}, {"peers_max": 5}):
        with pytest.raises(MisuseError):
            SearchSettings(**wrong)
