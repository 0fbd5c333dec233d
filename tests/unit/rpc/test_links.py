"""Which connection of a pair is used: both sides agree, whatever happens in which order."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kontinuum.identity import KeyPair
from kontinuum.rpc.links import (
    CONFIRM_TIMEOUT_S,
    FOLLOW_S,
    RETIRE_GRACE_S,
    RETIRE_MAX_S,
    RETIRED_PER_PEER_MAX,
    SIMULTANEOUS_S,
    Links,
)

SMALL, LARGE = sorted(KeyPair.from_seed(bytes([n]) * 32).peer_id for n in (1, 2))
NAMES = [KeyPair.from_seed(bytes([n]) * 32).peer_id for n in range(3, 12)]


@dataclass(eq=False)
class End:
    """One side's view of a connection."""

    id: int
    peer_id: bytes
    outbound: bool
    opened_at: float = 0.0
    is_busy: bool = False
    local_id: bytes = b""

    def __post_init__(self):
        self.local_id = self.local_id or (LARGE if self.peer_id == SMALL else SMALL)


def ends(directions, peer=LARGE):
    """Ends with ascending numbers: outbound ones for ``>``, inbound ones for ``<``."""
    return [End(number, peer, arrow == ">") for number, arrow in enumerate(directions)]


class TestRule:
    @pytest.mark.parametrize("local_is_small", [True, False])
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_of_two_simultaneous_dials_that_of_the_smaller_identity_is_used(self, local_is_small, order):
        """
        The rule does not depend on which one became known first.
        """
        local, peer = (SMALL, LARGE) if local_is_small else (LARGE, SMALL)
        links = Links(local)
        both = [End(1, peer, outbound=True), End(2, peer, outbound=False)]
        assert [links.add(both[index], 0.0) for index in order] == [True, False]
        assert links.current[peer].outbound is local_is_small

    def test_a_peer_that_dials_long_after_has_lost_the_older_connection(self):
        """
        Beyond SIMULTANEOUS_S the newer one is used, whoever dialled; up to it the identities decide.
        """
        for gap, winner in ((SIMULTANEOUS_S, "old"), (SIMULTANEOUS_S + 0.001, "new")):
            links = Links(SMALL)
            old, new = End(1, LARGE, outbound=True), End(2, LARGE, outbound=False, opened_at=gap)
            links.add(old, 0.0)
            links.add(new, gap)
            assert links.current[LARGE] is {"old": old, "new": new}[winner]

    def test_of_two_that_the_same_side_dialled_the_newer_is_used(self):
        """
        In both directions.
        """
        for direction in "<>":
            links = Links(SMALL)
            first, second = ends(direction * 2)
            links.add(second, 0.0)
            links.add(first, 0.0)
            assert links.current[LARGE] is second

    def test_peers_do_not_touch_each_other(self):
        """
        A second peer's connection changes nothing for the first.
        """
        links = Links(SMALL)
        third = KeyPair.from_seed(b"3" * 32).peer_id
        one, two = End(1, LARGE, outbound=True), End(2, third, outbound=False)
        assert links.add(one, 0.0)
        assert links.add(two, 0.0)
        assert links.remove(two)
        assert links.current == {LARGE: one}
        assert links.next_deadline(0.0) is None


class TestRetirement:
    def test_the_one_who_decides_waits_for_the_grace_and_for_what_runs(self):
        """
        Not before RETIRE_GRACE_S, not while busy, but after RETIRE_MAX_S in any case.
        """
        links = Links(SMALL)
        kept, retired = ends("><")
        links.add(kept, 0.0)
        links.add(retired, 0.0)
        retired.is_busy = True
        assert links.next_deadline(0.0) == RETIRE_GRACE_S
        assert links.handle_timeout(RETIRE_GRACE_S) == []
        assert links.next_deadline(RETIRE_GRACE_S) > RETIRE_GRACE_S
        assert links.handle_timeout(RETIRE_MAX_S - 0.001) == []
        assert links.handle_timeout(RETIRE_MAX_S) == [retired]
        assert links.next_deadline(RETIRE_MAX_S) is None

    def test_an_idle_one_goes_after_the_grace(self):
        """
        And only once.
        """
        links = Links(SMALL)
        for end in ends("><"):
            links.add(end, 0.0)
        assert links.handle_timeout(RETIRE_GRACE_S - 0.001) == []
        assert [end.outbound for end in links.handle_timeout(RETIRE_GRACE_S)] == [False]
        assert links.handle_timeout(RETIRE_GRACE_S) == []

    def test_the_one_who_follows_leaves_it_alone(self):
        """
        Until the other side must have closed it, were it alive.
        """
        links = Links(LARGE)
        for end in ends("><", peer=SMALL):
            links.add(end, 0.0)
        assert links.handle_timeout(FOLLOW_S - 0.001) == []
        assert len(links.handle_timeout(FOLLOW_S)) == 1
        assert CONFIRM_TIMEOUT_S < RETIRE_GRACE_S < RETIRE_MAX_S < FOLLOW_S

    def test_a_retired_one_takes_over(self):
        """
        When the one in use ends the peer is not lost.
        """
        links = Links(SMALL)
        kept, retired = ends("><")
        links.add(kept, 0.0)
        links.add(retired, 0.0)
        assert not links.remove(kept)
        assert links.current == {LARGE: retired}
        assert links.handle_timeout(1000.0) == []
        assert links.remove(retired)
        assert not links.remove(retired)

    def test_a_peer_cannot_keep_more_than_a_few(self):
        """
        Beyond RETIRED_PER_PEER_MAX the oldest go at once, busy or not.
        """
        links = Links(SMALL)
        many = ends("<" * (RETIRED_PER_PEER_MAX + 101))
        for end in many:
            end.is_busy = True
            links.add(end, 0.0)
        assert links.handle_timeout(0.0) == many[:100]
        assert links.handle_timeout(0.0) == []
        assert links.current[LARGE] is many[-1]


class TestOtherNames:
    def test_a_connection_moves_to_the_new_name_of_its_peer(self):
        """
        The old one is not connected any more.
        """
        links = Links(SMALL)
        (link,) = ends(">")
        links.add(link, 0.0)
        links.rename(link, NAMES[0], 1.0)
        assert (links.current, link.peer_id) == ({NAMES[0]: link}, NAMES[0])
        assert links.next_deadline(1.0) is None
        assert links.remove(link)

    def test_another_connection_under_the_old_name_keeps_it(self):
        """
        Whoever has the old key may have made it; so a retired one takes over there.
        """
        for renamed, left in ((0, 1), (1, 0)):
            links = Links(SMALL)
            both = ends("><")
            for link in both:
                links.add(link, 0.0)
            links.rename(both[renamed], NAMES[0], 1.0)
            assert links.current == {NAMES[0]: both[renamed], LARGE: both[left]}
            assert links.handle_timeout(1000.0) == []

    def test_it_joins_a_connection_that_the_new_name_has(self):
        """
        By the rules for any two of one pair: the loser is retired, not closed.
        """
        links = Links(SMALL)
        old, new = End(1, LARGE, outbound=True), End(2, NAMES[0], outbound=True, local_id=SMALL)
        links.add(old, 0.0)
        links.add(new, 0.0)
        links.rename(old, NAMES[0], 5.0)
        assert links.current == {NAMES[0]: new}
        assert links.handle_timeout(5.0 + RETIRE_GRACE_S - 0.001) == []
        assert links.handle_timeout(5.0 + RETIRE_GRACE_S) == [old]

    @pytest.mark.parametrize("direction", "<>")
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_connection_that_shows_who_we_are_now_takes_the_place_of_a_former_one(self, direction, order):
        """
        Whoever dialled, and in whichever order they come. We close the former one, and only when it is idle.
        """
        links = Links(LARGE)
        former = End(1, NAMES[0], direction == ">", local_id=SMALL, is_busy=True)
        both = [former, End(2, NAMES[0], outbound=True, local_id=LARGE)]
        for index in order:
            links.add(both[index], 0.0)
        assert links.current == {NAMES[0]: both[1]}
        assert links.handle_timeout(RETIRE_MAX_S + FOLLOW_S) == []
        former.is_busy = False
        assert links.handle_timeout(RETIRE_MAX_S + FOLLOW_S) == [former]


@dataclass(eq=False)
class Wire:
    """A connection between the two: what each side knows of it, and what is on its way."""

    dialler: int
    ends: list = field(default_factory=lambda: [None, None])
    gone: list = field(default_factory=lambda: [False, False])
    broken: bool = False
    arriving: list = field(default_factory=list)
    names: tuple = ()


class BothSides(RuleBasedStateMachine):
    """Two peers dial, are heard, close and lose connections in any order; news travel for up to a second."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.peers = [SMALL, LARGE]
        self.used = []
        self.links = (Links(SMALL), Links(LARGE))
        self.wires = []
        self.ids = [0, 0]

    @precondition(lambda self: len(self.wires) < 7)
    @rule(side=st.integers(0, 1))
    def dial(self, side):
        wire = Wire(side, names=tuple(self.peers))
        self.wires.append(wire)
        self._open(wire, side)
        wire.arriving.append((self.now, "open"))

    @precondition(lambda self: any(wire.arriving for wire in self.wires))
    @rule(data=st.data())
    def arrive(self, data):
        self._arrive(data.draw(st.sampled_from([wire for wire in self.wires if wire.arriving])))

    @rule(seconds=st.floats(0.0, 4.0))
    def pass_time(self, seconds):
        self._until(self.now + seconds)

    @precondition(lambda self: len(self.used) < len(NAMES))
    @rule(side=st.integers(0, 1))
    def go_by_another_name(self, side):
        """
        One side proves it on each connection; the other hears of it later, and in the order of each.
        """
        self.peers[side] = self.links[side].local = NAMES[len(self.used)]
        self.used.append(self.peers[side])
        for wire in self.wires:
            if wire.ends[side] is not None:
                wire.ends[side].local_id = self.peers[side]
                wire.arriving.append((self.now, ("renamed", 1 - side, self.peers[side])))

    @rule(data=st.data(), busy=st.booleans(), side=st.integers(0, 1))
    def change_load(self, data, busy, side):
        known = [wire.ends[side] for wire in self.wires if wire.ends[side] is not None]
        if known:
            data.draw(st.sampled_from(known)).is_busy = busy

    @precondition(lambda self: any(not wire.broken for wire in self.wires))
    @rule(data=st.data(), side=st.integers(0, 1))
    def lose(self, data, side):
        wire = data.draw(st.sampled_from([wire for wire in self.wires if not wire.broken]))
        if wire.ends[side] is not None and not wire.gone[side]:
            wire.broken = True
            self._close(wire, side)

    def _open(self, wire, side):
        self.ids[side] += 1
        # Who accepts has another name by now, it may be: that is proved at once.
        end = End(self.ids[side], wire.names[1 - side], wire.dialler == side, self.now)
        end.local_id = self.peers[side]
        if self.peers[side] != wire.names[side]:
            wire.arriving.append((self.now, ("renamed", 1 - side, self.peers[side])))
        wire.ends[side] = end
        self.links[side].add(end, self.now)

    def _close(self, wire, side):
        wire.gone[side] = True
        self.links[side].remove(wire.ends[side])
        wire.arriving.append((self.now, 1 - side))

    def _arrive(self, wire):
        _, news = wire.arriving.pop(0)
        if isinstance(news, tuple):
            _, side, name = news
            if not wire.gone[side] and wire.ends[side] is not None:
                self.links[side].rename(wire.ends[side], name, self.now)
        elif news == "open":
            # The acceptor hears of it even if the dialler has closed it meanwhile.
            self._open(wire, 1 - wire.dialler)
        elif not wire.gone[news]:
            wire.gone[news] = True
            self.links[news].remove(wire.ends[news])

    def _until(self, end):
        while self.now < end:
            self.now = min(end, self.now + 0.5)
            for wire in self.wires:
                while wire.arriving and wire.arriving[0][0] <= self.now - 0.5:
                    self._arrive(wire)
            for side in (0, 1):
                for closed in self.links[side].handle_timeout(self.now):
                    wire = next(wire for wire in self.wires if wire.ends[side] is closed)
                    self._close(wire, side)

    def teardown(self):
        """
        In the end both use the same connection, and it is the only one. Only the network makes them lose it.
        """
        self._until(self.now + FOLLOW_S + 5)
        left = [wire for wire in self.wires if not any(wire.gone)]
        assert len(left) <= 1
        if self.wires and not any(wire.broken for wire in self.wires):
            assert len(left) == 1, "they closed one each"
        for side in (0, 1):
            current = list(self.links[side].current.values())
            assert current == [wire.ends[side] for wire in left]


TestBothSides = BothSides.TestCase
TestBothSides.settings = settings(max_examples=80, stateful_step_count=20)
