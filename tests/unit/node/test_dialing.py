"""In which order and when addresses are tried, and how long a failed peer is left alone; in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.entropy import Rng
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.node.dialing import (
    ATTEMPT_DELAY_S,
    ATTEMPTS_MAX,
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    BACK_OFF_PEERS_MAX,
    BackOff,
    Dial,
    GiveUp,
    Race,
)

PEER = KeyPair.from_seed(b"p" * 32).peer_id


def addresses(kinds):
    """One address for each letter: ``4`` and ``6`` are IP addresses, ``d`` and ``D`` names for them."""
    forms = {
        "4": "/ip4/192.0.2.1/udp/{}/quic-v1",
        "6": "/ip6/2001:db8::1/udp/{}/quic-v1",
        "d": "/dns4/example.test/udp/{}/quic-v1",
        "D": "/dns6/example.test/udp/{}/quic-v1",
    }
    return [Multiaddr.parse(forms[kind].format(port)) for port, kind in enumerate(kinds, 1)]


def ports(effects):
    """The ports that are dialled; 0 for giving up."""
    return [0 if isinstance(effect, GiveUp) else effect.address.port for effect in effects]


class TestRace:
    @pytest.mark.parametrize(
        ("kinds", "order"),
        [
            ("", [0]),
            ("4", [1]),
            ("444", [1, 2, 3]),
            ("4466", [1, 3, 2, 4]),
            ("6644", [1, 3, 2, 4]),
            ("4446", [1, 4, 2, 3]),
            ("6dD4", [1, 2, 3, 4]),
        ],
    )
    def test_families_alternate_and_the_first_choice_of_the_owner_comes_first(self, kinds, order):
        """
        RFC 8305, section 4.
        """
        race = Race(addresses(kinds))
        seen = ports(race.start(0.0))
        now = 0.0
        while (due := race.next_deadline()) is not None:
            now = due
            seen += ports(race.handle_timeout(now))
        assert seen == order

    def test_attempts_are_staggered_and_early_looks_do_nothing(self):
        """
        The next one begins ATTEMPT_DELAY_S later, not before.
        """
        race = Race(addresses("444"))
        assert ports(race.start(10.0)) == [1]
        assert race.handle_timeout(10.0 + ATTEMPT_DELAY_S - 0.001) == []
        assert ports(race.handle_timeout(10.0 + ATTEMPT_DELAY_S)) == [2]
        assert race.next_deadline() == 10.0 + 2 * ATTEMPT_DELAY_S

    def test_a_failure_brings_the_next_one_at_once(self):
        """
        And after the last failure the race is given up, once.
        """
        race = Race(addresses("444"))
        race.start(0.0)
        assert ports(race.on_failed(0.01)) == [2]
        assert ports(race.on_failed(0.02)) == [3]
        assert race.next_deadline() is None
        assert race.on_failed(0.03) == [GiveUp()]

    def test_no_more_than_a_few_at_once(self):
        """
        With sixteen dead addresses ATTEMPTS_MAX are in flight; each failure makes room for one.
        """
        race = Race(addresses("4" * 16))
        seen, now = ports(race.start(0.0)), 0.0
        while (due := race.next_deadline()) is not None:
            now = due
            seen += ports(race.handle_timeout(now))
        assert len(seen) == ATTEMPTS_MAX
        for _ in range(16 - ATTEMPTS_MAX):
            started = race.on_failed(now)
            assert len(started) == 1
            seen += ports(started)
        assert [race.on_failed(now) for _ in range(ATTEMPTS_MAX)] == [[]] * (ATTEMPTS_MAX - 1) + [[GiveUp()]]
        assert seen == list(range(1, 17))

    @given(kinds=st.text("46dD", max_size=16), fates=st.lists(st.booleans(), max_size=60))
    def test_every_address_is_tried_once_and_the_bounds_hold(self, kinds, fates):
        """
        Whenever attempts fail, each address has its turn exactly once, and the end comes exactly once.
        """
        race, now, seen, flying = Race(addresses(kinds)), 0.0, [], 0
        effects = race.start(now)
        fates = iter([*fates, *[True] * 40])
        for fails in fates:
            for effect in effects:
                if isinstance(effect, Dial):
                    flying += 1
                seen += ports([effect])
            assert flying <= ATTEMPTS_MAX
            if 0 in seen:
                break
            effects = []
            if fails and flying:
                flying -= 1
                effects = race.on_failed(now)
            elif (due := race.next_deadline()) is not None:
                now = max(now, due)
                effects = race.handle_timeout(now)
        assert sorted(seen) == list(range(len(kinds) + 1))


class TestBackOff:
    def test_the_wait_doubles_up_to_its_maximum_and_keeps_its_jitter(self):
        """
        Between half and the whole of 1, 2, 4 ... 300 seconds.
        """
        back_off, now = BackOff(Rng(1)), 0.0
        for failures in range(30):
            whole = min(BACK_OFF_FIRST_S * 2**failures, BACK_OFF_MAX_S)
            back_off.failed(PEER, now)
            wait_s = back_off.wait_s(PEER, now)
            assert whole / 2 <= wait_s <= whole
            assert back_off.waiting(now) == [PEER]
            now += wait_s
            assert back_off.wait_s(PEER, now) == 0.0
            assert back_off.waiting(now + 0.001) == []

    def test_it_does_not_overflow(self):
        """
        After a million failures the wait is still the maximum.
        """
        back_off = BackOff(Rng(1))
        back_off._failures[PEER] = (10**6, 0.0)
        back_off.failed(PEER, 5.0)
        assert BACK_OFF_MAX_S / 2 <= back_off.wait_s(PEER, 5.0) <= BACK_OFF_MAX_S

    def test_success_forgets(self):
        """
        The next failure counts as the first.
        """
        back_off = BackOff(Rng(1))
        for _ in range(5):
            back_off.failed(PEER, 0.0)
        back_off.forget(PEER)
        back_off.forget(PEER)
        assert back_off.wait_s(PEER, 0.0) == 0.0
        back_off.failed(PEER, 0.0)
        assert back_off.wait_s(PEER, 0.0) <= BACK_OFF_FIRST_S

    def test_waits_differ_between_nodes(self):
        """
        Nodes that lost the same peer do not come back all at once.
        """
        waits = set()
        for seed in range(50):
            back_off = BackOff(Rng(seed))
            back_off.failed(PEER, 0.0)
            waits.add(round(back_off.wait_s(PEER, 0.0), 2))
        assert len(waits) > 20

    def test_memory_is_bounded(self):
        """
        The oldest failure is forgotten.
        """
        back_off = BackOff(Rng(1))
        peers = [bytes([1]) + n.to_bytes(31) for n in range(BACK_OFF_PEERS_MAX + 10)]
        for peer in peers:
            back_off.failed(peer, 0.0)
        assert len(back_off._failures) == BACK_OFF_PEERS_MAX
        assert back_off.wait_s(peers[9], 0.0) == 0.0
        assert back_off.wait_s(peers[10], 0.0) > 0.0
