"""The pubsub streams of a peer: each rule that other implementations punish, against a scripted peer."""

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from helpers.identities import ALICE, BOB
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.pubsub_streams import (
    GREETING_PAUSE_S,
    PUBSUB_PROTOCOLS,
    REOPEN_FIRST_S,
    REOPENINGS_MAX,
    STEADY_S,
    VIOLATIONS_MAX,
    End,
    Greet,
    Joined,
    Left,
    Open,
    PubsubStreams,
    Read,
    Refuse,
    Release,
)

PEER, OTHER = ALICE.peer_id, BOB.peer_id
MESH, OLD, FLOOD = "/meshsub/1.2.0", "/meshsub/1.1.0", "/floodsub/1.0.0"
LATER = 10.0
"""Long after whatever a test did at 0: no pause is on any more."""


def joined(streams=None, *, inbound="in", now=0.0):
    """Streams with PEER, both open: ours is ``out``."""
    streams = streams or PubsubStreams()
    streams.on_protocols(PEER, {MESH}, now)
    streams.on_opened(PEER, "out", MESH, now)
    if inbound:
        streams.on_inbound(PEER, inbound, MESH, now)
    return streams


def run_until_quiet(streams, now):
    """All that is due, at the times at which it is; effects with their times."""
    done = []
    while (due := streams.next_deadline()) is not None:
        assert due > now
        now = due
        done += [(now, effect) for effect in streams.handle_timeout(now)]
    return done


class TestOpening:
    @pytest.mark.parametrize(
        ("spoken", "chosen"),
        [
            ({"/meshsub/1.3.0", MESH, OLD, FLOOD}, MESH),
            ({OLD, "/meshsub/1.0.0", FLOOD}, OLD),
            ({"/meshsub/1.0.0"}, "/meshsub/1.0.0"),
            ({FLOOD, "/ipfs/ping/1.0.0"}, FLOOD),
        ],
    )
    def test_the_best_common_protocol_is_opened(self, spoken, chosen):
        """
        What we both speak, ours in their order; newer ones of the peer are no matter.
        """
        assert PubsubStreams().on_protocols(PEER, spoken, 0.0) == [Open(PEER, chosen)]

    def test_who_speaks_no_pubsub_is_left_alone_until_it_does(self):
        """
        A push that brings a pubsub protocol opens the stream.
        """
        streams = PubsubStreams()
        assert streams.on_protocols(PEER, {"/ipfs/ping/1.0.0"}, 0.0) == []
        assert streams.on_protocols(PEER, {"/ipfs/ping/1.0.0", MESH}, 1.0) == [Open(PEER, MESH)]

    def test_a_peer_joins_when_our_stream_is_open(self):
        """
        Then RPCs can follow the proposal; what it says again changes nothing.
        """
        streams = PubsubStreams()
        streams.on_protocols(PEER, {MESH}, 0.0)
        assert not streams.is_joined(PEER)
        assert streams.on_protocols(PEER, {MESH}, 0.0) == []
        assert streams.on_opened(PEER, "out", MESH, 0.0) == [Joined(PEER, "out", MESH)]
        assert streams.is_joined(PEER)
        assert streams.on_protocols(PEER, {MESH, FLOOD}, 0.0) == []
        assert streams.next_deadline() is None

    def test_a_peer_that_opens_first_is_answered_before_it_has_identified_itself(self):
        """
        What it opened it speaks. Its RPCs are read when our stream is open, and none is lost: until then they
        wait on the stream.
        """
        streams = PubsubStreams()
        assert streams.on_inbound(PEER, "in", OLD, 0.0) == [Open(PEER, OLD)]
        assert streams.on_opened(PEER, "out", OLD, 0.0) == [Joined(PEER, "out", OLD), Read(PEER, "in")]

    def test_its_stream_after_ours_is_read_at_once_and_no_greeting_is_due(self):
        """
        The usual order: ours first, theirs when it comes.
        """
        streams = joined(inbound=None)
        assert streams.on_inbound(PEER, "in", MESH, LATER) == [Read(PEER, "in")]
        assert streams.next_deadline() is None

    def test_a_refused_protocol_falls_back_to_the_next_one(self):
        """
        What a peer says may be old. When all is refused, the peer leaves; a new word of it begins again.
        """
        streams = PubsubStreams()
        streams.on_protocols(PEER, {MESH, FLOOD}, 0.0)
        streams.on_opened(PEER, "one", MESH, 0.0)
        assert streams.on_refused(PEER, "one", MESH, LATER) == [End("one"), Open(PEER, FLOOD)]
        streams.on_opened(PEER, "two", FLOOD, LATER)
        assert streams.on_refused(PEER, "two", FLOOD, LATER) == [End("two"), Left(PEER)]
        assert not streams.is_joined(PEER)
        assert streams.on_protocols(PEER, {MESH}, 2 * LATER) == [Open(PEER, MESH)]

    def test_a_stream_that_nobody_wants_any_more_is_ended(self):
        """
        The peer was gone before our stream was open.
        """
        streams = PubsubStreams()
        streams.on_protocols(PEER, {MESH}, 0.0)
        assert streams.on_gone(PEER) == []
        assert streams.on_opened(PEER, "out", MESH, 0.0) == [End("out")]
        assert streams.on_open_failed(PEER, 0.0) == []


class TestThePeersStream:
    """
    go-libp2p: an end of our half means that we are dead; a refusal of its half silences it.
    """

    def test_our_half_of_its_stream_stays_as_it_is_while_its_half_is_open(self):
        """
        Nothing that happens to our own stream, to identify or to time touches it.
        """
        streams = joined()
        effects = [
            *streams.on_protocols(PEER, {MESH, FLOOD}, LATER),
            *streams.on_outbound_ended(PEER, "out", LATER),
            *(effect for _, effect in run_until_quiet(streams, LATER)),
            *streams.on_opened(PEER, "again", MESH, 2 * LATER),
            *streams.on_refused(PEER, "again", MESH, 3 * LATER),
            *streams.on_protocols(PEER, set(), 4 * LATER),
        ]
        assert not [effect for effect in effects if isinstance(effect, (Release, Refuse))]
        assert not [effect for effect in effects if effect == End("in")]

    def test_our_half_is_released_when_the_peer_has_ended_its_own(self):
        """
        Not before, and whether or not the stream is the one in use: otherwise each leaves one behind.
        """
        streams = joined()
        assert streams.on_inbound_ended(PEER, "in") == [Release("in")]
        assert streams.is_joined(PEER)

        streams = joined()
        streams.on_inbound(PEER, "second", MESH, LATER)
        assert streams.on_inbound_ended(PEER, "in") == [Release("in")]
        assert streams.on_inbound_ended(PEER, "second") == [Release("second")]

    def test_a_second_stream_replaces_the_first(self):
        """
        The first one is refused with the code that says so, and our half of it is left alone.
        """
        streams = joined()
        effects = streams.on_inbound(PEER, "second", MESH, LATER)

        assert effects[0] == Refuse("in", StreamCode.SUPPLANTED)
        assert effects[-1] == Read(PEER, "second")
        assert Release("in") not in effects

    @pytest.mark.parametrize("ended_first", [True, False])
    def test_a_stream_that_comes_again_means_that_the_peer_is_greeted_again(self, ended_first):
        """
        It may have declared us dead and forgotten our topics: it is told all of them again.
        """
        streams = joined()
        if ended_first:
            streams.on_inbound_ended(PEER, "in")
        effects = streams.on_inbound(PEER, "second", MESH, LATER)

        assert effects[-2:] == [Greet(PEER), Read(PEER, "second")]

    def test_greetings_have_a_pause_and_none_is_lost(self):
        """
        A hundred streams in a second are one greeting at once and one when the pause is over: all our topics
        are not to be had for the price of a stream.
        """
        streams = joined()
        greetings = []
        for number in range(100):
            now = LATER + number / 100
            greetings += [
                now for effect in streams.on_inbound(PEER, number, MESH, now) if effect == Greet(PEER)
            ]
            assert streams.next_deadline() is None or streams.next_deadline() > now
        assert greetings == [LATER]
        assert run_until_quiet(streams, now) == [(LATER + GREETING_PAUSE_S, Greet(PEER))]

    def test_a_greeting_that_is_due_is_none_when_our_stream_comes_anew(self):
        """
        The new stream begins with one.
        """
        streams = joined()
        streams.on_inbound(PEER, "second", MESH, LATER)
        streams.on_inbound(PEER, "third", MESH, LATER)
        streams.on_outbound_ended(PEER, "out", LATER)
        assert run_until_quiet(streams, LATER) == [(LATER + GREETING_PAUSE_S, Open(PEER, MESH))]

    def test_a_stream_that_breaks_the_framing_is_refused_and_the_next_one_read(self):
        """
        As other implementations do: the stream goes, the connection stays.
        """
        streams = joined()
        assert streams.on_violation(PEER, "in") == [Refuse("in", StreamCode.PROTOCOL_VIOLATION)]
        assert streams.is_joined(PEER)
        assert Read(PEER, "second") in streams.on_inbound(PEER, "second", MESH, LATER)

    def test_who_breaks_it_again_and_again_is_not_listened_to_any_more(self):
        """
        VIOLATIONS_MAX streams, then the peer has left until it connects anew.
        """
        streams = joined(inbound=None)
        for number in range(VIOLATIONS_MAX):
            assert streams.is_joined(PEER)
            streams.on_inbound(PEER, number, MESH, LATER)
            effects = streams.on_violation(PEER, number)
        assert effects == [Refuse(number, StreamCode.PROTOCOL_VIOLATION), End("out"), Left(PEER)]
        assert streams.on_inbound(PEER, "more", MESH, LATER) == [
            Refuse("more", StreamCode.PROTOCOL_VIOLATION)
        ]
        assert streams.on_protocols(PEER, {MESH}, LATER) == []
        assert streams.next_deadline() is None

        streams.on_gone(PEER)
        assert streams.on_inbound(PEER, "more", MESH, LATER) == [Open(PEER, MESH)]

    def test_a_violation_of_a_stream_that_was_replaced_is_none_of_the_one_in_use(self):
        """
        It is refused, and counts for nothing.
        """
        streams = joined()
        streams.on_inbound(PEER, "second", MESH, LATER)
        for _ in range(VIOLATIONS_MAX):
            assert streams.on_violation(PEER, "in") == [Refuse("in", StreamCode.PROTOCOL_VIOLATION)]
        assert streams.is_joined(PEER)


class TestOurStream:
    """
    When it ends, the peer has forgotten us: a new one, and all our topics on it.
    """

    def test_it_is_opened_again_and_the_peer_told_again(self):
        """
        The peer stays joined meanwhile: its own stream is as good as before.
        """
        streams = joined()
        assert streams.on_outbound_ended(PEER, "out", LATER) == [End("out")]
        assert streams.is_joined(PEER)
        assert run_until_quiet(streams, LATER) == [(LATER + REOPEN_FIRST_S, Open(PEER, MESH))]
        assert streams.on_opened(PEER, "again", MESH, LATER + 0.2) == [Joined(PEER, "again", MESH)]

    def test_each_attempt_waits_twice_as_long_and_then_the_peer_has_left(self):
        """
        Exactly REOPENINGS_MAX attempts.
        """
        streams, now, waits = joined(), LATER, []
        effects = streams.on_outbound_ended(PEER, "out", now)
        while Left(PEER) not in effects:
            ((then, effect),) = run_until_quiet(streams, now)
            assert effect == Open(PEER, MESH)
            waits.append(then - now)
            now = then
            effects = streams.on_open_failed(PEER, now)
        assert waits == pytest.approx([REOPEN_FIRST_S * 2**n for n in range(REOPENINGS_MAX)])
        assert streams.next_deadline() is None
        assert not streams.is_joined(PEER)

    def test_a_peer_that_takes_and_ends_each_stream_is_told_our_topics_once_in_a_pause(self):
        """
        Streams that open and end at once are failures as well; each of them would be a greeting.
        """
        streams, now, told = joined(), LATER, [0.0]
        effects = streams.on_outbound_ended(PEER, "out", now)
        while Left(PEER) not in effects:
            ((now, _),) = run_until_quiet(streams, now)
            streams.on_opened(PEER, now, MESH, now)
            told.append(now)
            effects = streams.on_outbound_ended(PEER, now, now)
        assert len(told) == REOPENINGS_MAX + 1
        assert all(later - earlier >= GREETING_PAUSE_S for earlier, later in pairwise(told))

    def test_a_stream_that_lasted_begins_the_count_anew(self):
        """
        Ends that lie far apart are not a peer that refuses us.
        """
        streams, now = joined(), 0.0
        stream = "out"
        for number in range(3 * REOPENINGS_MAX):
            now += STEADY_S
            streams.on_outbound_ended(PEER, stream, now)
            ((now, effect),) = run_until_quiet(streams, now)
            assert effect == Open(PEER, MESH)
            stream = number
            streams.on_opened(PEER, stream, MESH, now)
        assert streams.is_joined(PEER)

    def test_who_was_given_up_comes_back_by_its_own_stream(self):
        """
        A peer that has left and opens a stream is tried again.
        """
        streams = joined(inbound=None)
        streams.on_protocols(PEER, set(), LATER)
        assert streams.on_outbound_ended(PEER, "out", LATER) == [End("out"), Left(PEER)]
        assert streams.on_inbound(PEER, "in", OLD, 2 * LATER) == [Open(PEER, OLD)]

    def test_a_peer_that_gives_pubsub_up_meanwhile_has_left(self):
        """
        When the time to try again comes, there is nothing to try.
        """
        streams = joined()
        streams.on_outbound_ended(PEER, "out", LATER)
        assert streams.on_protocols(PEER, set(), LATER) == []
        assert run_until_quiet(streams, LATER) == [(LATER + REOPEN_FIRST_S, Left(PEER))]

    def test_what_happens_to_an_old_stream_is_no_matter(self):
        """
        Its end may be told after its successor was opened.
        """
        streams = joined()
        streams.on_outbound_ended(PEER, "out", LATER)
        run_until_quiet(streams, LATER)
        streams.on_opened(PEER, "again", MESH, LATER + 1)
        assert streams.on_outbound_ended(PEER, "out", 2 * LATER) == []
        assert streams.on_refused(PEER, "out", MESH, 2 * LATER) == []
        assert streams.is_joined(PEER)


def test_the_end_of_all_connections():
    """
    The peer has left, once, and nothing of it is kept; other peers are as they were.
    """
    streams = joined()
    streams.on_protocols(OTHER, {MESH}, 0.0)
    streams.on_opened(OTHER, "other", MESH, 0.0)
    streams.on_outbound_ended(PEER, "out", LATER)

    assert streams.on_gone(PEER) == [Left(PEER)]
    assert streams.on_gone(PEER) == []
    assert streams.next_deadline() is None
    assert streams.handle_timeout(2 * LATER) == []
    assert streams.is_joined(OTHER)


class Anything(RuleBasedStateMachine):
    """Whatever a peer does in whatever order: the rules hold, and what it can make us do is bounded."""

    def __init__(self):
        super().__init__()
        self.streams, self.now, self.number = PubsubStreams(), 0.0, 0
        self.opening = None
        self.ours, self.ours_ended = [], set()
        self.theirs, self.their_ended, self.refused, self.released = [], set(), set(), set()
        self.reading = None
        self.joined, self.barred = False, False
        self.told = []

    def perform(self, effects, *, violation_of=None):
        """Do what the shell would, and check each act against the rules."""
        for effect in effects:
            match effect:
                case Open(_, protocol):
                    assert self.opening is None
                    assert all(stream in self.ours_ended for stream in self.ours), (
                        "one stream of ours at a time"
                    )
                    assert protocol in PUBSUB_PROTOCOLS
                    self.opening = protocol
                case Joined(_, stream, _):
                    assert stream == self.ours[-1]
                    self.joined = True
                    self.told.append(self.now)
                case Greet():
                    assert self.joined
                    assert self.ours[-1] not in self.ours_ended
                    self.told.append(self.now)
                case Read(_, stream):
                    assert self.joined
                    assert stream not in self.refused
                    assert stream == self.theirs[-1]
                    self.reading = stream
                case Left():
                    assert self.joined
                    self.joined = False
                case Refuse(stream, code):
                    if code == StreamCode.SUPPLANTED:
                        assert stream != self.theirs[-1], "the stream in use is refused for a reason only"
                    else:
                        assert stream == violation_of or self.streams._peers[PEER].is_barred
                    self.refused.add(stream)
                case Release(stream):
                    assert stream in self.their_ended, (
                        "our half of the peer's stream stays while its half is open"
                    )
                    self.released.add(stream)
                case End(stream):
                    assert stream in self.ours
                    self.ours_ended.add(stream)
        assert all(later - earlier >= GREETING_PAUSE_S - 1e-9 for earlier, later in pairwise(self.told))

    @rule(spoken=st.sets(st.sampled_from([*PUBSUB_PROTOCOLS, "/other"])))
    def say_protocols(self, spoken):
        self.perform(self.streams.on_protocols(PEER, spoken, self.now))

    @precondition(lambda self: self.opening is not None)
    @rule(success=st.booleans())
    def answer_open(self, success):
        protocol, self.opening = self.opening, None
        if not success:
            self.perform(self.streams.on_open_failed(PEER, self.now))
            return
        self.number += 1
        self.ours.append(f"ours {self.number}")
        self.perform(self.streams.on_opened(PEER, self.ours[-1], protocol, self.now))

    @precondition(lambda self: self.ours)
    @rule(refused=st.booleans(), which=st.integers(0, 3), protocol=st.sampled_from(PUBSUB_PROTOCOLS))
    def end_ours(self, refused, which, protocol):
        stream = self.ours[-1 - which % len(self.ours)]
        if refused:
            self.perform(self.streams.on_refused(PEER, stream, protocol, self.now))
        else:
            self.perform(self.streams.on_outbound_ended(PEER, stream, self.now))

    @rule(protocol=st.sampled_from(PUBSUB_PROTOCOLS))
    def open_theirs(self, protocol):
        self.number += 1
        self.theirs.append(f"theirs {self.number}")
        self.perform(self.streams.on_inbound(PEER, self.theirs[-1], protocol, self.now))

    @precondition(lambda self: set(self.theirs) - self.their_ended)
    @rule(which=st.integers(0, 5))
    def end_theirs(self, which):
        open_ones = [stream for stream in self.theirs if stream not in self.their_ended]
        stream = open_ones[which % len(open_ones)]
        self.their_ended.add(stream)
        self.perform(self.streams.on_inbound_ended(PEER, stream))

    @precondition(lambda self: self.reading is not None)
    @rule()
    def break_framing(self):
        stream, self.reading = self.reading, None
        self.perform(self.streams.on_violation(PEER, stream), violation_of=stream)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 5.0, 100.0]))
    def wait(self, seconds):
        end = self.now + seconds
        while (due := self.streams.next_deadline()) is not None and due <= end:
            assert due >= self.now
            self.now = due
            self.perform(self.streams.handle_timeout(due))
        self.now = end
        assert self.streams.handle_timeout(end) == []

    @rule()
    def lose_the_connection(self):
        self.perform(self.streams.on_gone(PEER))
        self.opening = self.reading = None
        self.ours_ended.update(self.ours)
        self.their_ended.update(self.theirs)
        self.told.clear()
        assert not self.joined

    @invariant()
    def what_it_says_of_itself_is_true(self):
        assert self.streams.is_joined(PEER) == self.joined
        assert len(self.streams._peers) <= 1
        assert len(self.streams._due) <= 1


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
