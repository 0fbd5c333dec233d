"""The pubsub streams of a peer on a transport without a network, against a scripted peer.

What may never be done to a stream is checked on the stream itself; who decides it has its own tests
(``test_pubsub_streams``).
"""

import pytest

from helpers.identities import ALICE
from helpers.libp2p_streams import HELLO, FakeConnection, FakeRouter, FakeShell, FakeStream
from kontinuum.base.errors import UnavailableError
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.conversation import NEGOTIATION_TIMEOUT_S, Conversation
from kontinuum.libp2p.frames import frame
from kontinuum.libp2p.multistream import HEADER_LINE, line
from kontinuum.libp2p.pubsub import Pubsub
from kontinuum.libp2p.pubsub_streams import (
    GREETING_PAUSE_S,
    PUBSUB_PROTOCOLS,
    REOPEN_FIRST_S,
    RETURN_S,
    VIOLATIONS_MAX,
)
from kontinuum.wire.limits import PUBSUB_RPC_BYTES_MAX

PEER = ALICE.peer_id
MESH, FLOOD = "/meshsub/1.2.0", "/floodsub/1.0.0"


class Scene:
    """Our pubsub and one peer."""

    def __init__(self):
        self.shell, self.router = FakeShell(), FakeRouter()
        self.connection = FakeConnection(PEER)
        self.pubsub = Pubsub(self.shell, self.router, lambda _peer: self.connection)

    @property
    def ours(self):
        """Our newest stream."""
        return self.shell.streams[-1]

    def opens(self, protocol=MESH, data=b""):
        """The peer opens its stream, and we agree."""
        stream = FakeStream(self.connection, inbound=True)
        Conversation.answer(self.shell, stream, self.pubsub.talks)
        stream.proposes(protocol, data)
        assert stream.taken() == HEADER_LINE + line(protocol)
        return stream

    def meets(self):
        """The usual beginning: both have their streams."""
        self.pubsub.use_protocols(PEER, {MESH, FLOOD})
        self.ours.agrees(MESH)
        theirs = self.opens()
        self.shell.advance(10)
        return theirs


@pytest.fixture
def scene():
    """A peer that is connected, and nothing else so far."""
    return Scene()


class TestOurStream:
    def test_proposal_and_topics_share_the_first_write(self, scene):
        """
        A peer learns our topics with the first packet of our stream, before it has answered.
        """
        scene.pubsub.use_protocols(PEER, {MESH})

        assert scene.ours.taken() == HEADER_LINE + line(MESH) + frame(HELLO)
        assert scene.ours.standing
        assert scene.router.joins == [MESH]

    def test_a_protocol_that_is_refused_after_all(self, scene):
        """
        The next one that the peer speaks is tried, with all our topics; the router hears of the new stream.
        """
        scene.pubsub.use_protocols(PEER, {MESH, FLOOD})
        scene.ours.declines()
        scene.shell.advance(GREETING_PAUSE_S)

        assert scene.ours.taken() == HEADER_LINE + line(FLOOD) + frame(HELLO)
        scene.ours.declines()
        assert scene.router.joins == [MESH, FLOOD]
        assert scene.router.lefts == [FLOOD]

    @pytest.mark.parametrize("ending", ["refuses", "loses"])
    def test_a_stream_that_ends_comes_again_with_all_our_topics(self, scene, ending):
        """
        The peer has forgotten us: a new stream, the greeting on it, and nothing on the old one.
        """
        scene.meets()
        old = scene.ours
        if ending == "refuses":
            old.refuses()
        else:
            old.loses_connection()
        assert scene.router.lefts == []
        scene.shell.advance(REOPEN_FIRST_S)

        assert scene.ours is not old
        assert scene.ours.taken() == HEADER_LINE + line(MESH) + frame(HELLO)
        assert len(scene.router.joins) == 2

    def test_the_half_on_which_nothing_comes_is_no_matter(self, scene):
        """
        Some implementations end it, some say something there: ours goes on.
        """
        scene.meets()
        scene.ours.taken()
        scene.ours.says(b"noise")
        scene.ours.ends()
        scene.router.streams[PEER].send(b"rpc")

        assert scene.ours.taken() == frame(b"rpc")
        assert scene.ours.is_untouched

    def test_a_peer_that_does_not_answer_the_proposal(self, scene):
        """
        The stream is given up and tried again.
        """
        scene.pubsub.use_protocols(PEER, {MESH})
        first = scene.ours
        scene.shell.advance(NEGOTIATION_TIMEOUT_S + REOPEN_FIRST_S)
        assert first.reset_with == 0
        assert scene.ours is not first

    def test_a_stream_that_cannot_be_opened_is_tried_again(self, scene):
        """
        A peer that allows no stream now; or no connection is there any more.
        """
        scene.shell.waiting = []
        scene.pubsub.use_protocols(PEER, {MESH})
        _, _, failed = scene.shell.waiting.pop()
        failed(UnavailableError("none"))
        connection, scene.connection = scene.connection, None
        scene.shell.advance(REOPEN_FIRST_S)
        assert scene.shell.waiting == []
        scene.connection, scene.shell.waiting = connection, None
        scene.shell.advance(2 * REOPEN_FIRST_S)

        assert scene.router.joins == [MESH]

    def test_room_is_asked_for_and_told(self, scene):
        """
        What the router needs to know of a slow peer: how much waits, and when it is less.
        """
        scene.meets()
        stream = scene.router.streams[PEER]
        scene.ours.waiting = 300_000
        assert stream.send(b"rpc") == 300_000
        assert stream.call_when_low()
        scene.ours.reads_all()
        assert scene.router.rooms == [stream.room_bytes // 2]
        assert stream.is_open
        assert (stream.outbound, stream.address, stream.protocol) == (True, "192.0.2.7", MESH)
        stream.close()
        assert scene.ours.finished

    def test_a_peer_that_reads_nothing_is_given_up_and_tried_later(self, scene):
        """
        What waits for it is dropped at once; after RETURN_S it gets another stream.
        """
        scene.meets()
        scene.ours.waiting = 300_000
        given_up = scene.ours
        scene.pubsub.forsake(PEER)
        assert given_up.reset_with == 0
        assert scene.router.lefts == [MESH]
        scene.shell.advance(RETURN_S - 0.1)
        assert scene.ours is given_up
        scene.shell.advance(0.1)
        assert len(scene.router.joins) == 2


class TestThePeersStream:
    def test_nothing_is_ever_done_to_it(self, scene):
        """
        Messages, trouble with our stream, new protocols, a peer that does not read, time, our own end: our
        half of its stream carries nothing but the agreement, and neither half is ended, reset or refused.
        """
        theirs = scene.meets()
        theirs.says(frame(b"one") + frame(b"two"))
        scene.ours.refuses()
        scene.shell.advance(GREETING_PAUSE_S)
        scene.ours.declines()
        scene.shell.advance(GREETING_PAUSE_S)
        scene.ours.declines()
        scene.pubsub.use_protocols(PEER, {MESH})
        scene.shell.advance(GREETING_PAUSE_S)
        scene.ours.agrees(MESH)
        scene.pubsub.forsake(PEER)
        scene.shell.advance(RETURN_S)
        scene.ours.agrees(MESH)
        scene.shell.advance(1000)
        theirs.says(frame(b"three"))
        scene.router.streams[PEER].close()
        scene.pubsub.close()

        assert scene.router.rpcs == [b"one", b"two", b"three"]
        assert theirs.taken() == b""
        assert theirs.is_untouched
        assert theirs.standing

    def test_what_comes_before_our_stream_is_open_waits_on_it(self, scene):
        """
        The router hears of the peer first; nothing is lost.
        """
        scene.shell.waiting = []
        theirs = scene.opens(data=frame(b"early"))
        theirs.says(frame(b"more"))
        theirs.ends()
        assert scene.router.rpcs == []
        ((connection, opened, _),) = scene.shell.waiting
        opened(FakeStream(connection, inbound=False))

        assert scene.router.joins == [MESH]
        assert scene.router.rpcs == [b"early", b"more"]
        assert theirs.finished

    def test_our_half_ends_with_its_half_and_not_before(self, scene):
        """
        Whether it finishes or resets its own: then nobody needs ours, and the stream is forgotten.
        """
        for ending in (FakeStream.ends, FakeStream.gives_up):
            theirs = scene.meets() if ending is FakeStream.ends else scene.opens()
            assert not theirs.finished
            ending(theirs)
            assert theirs.finished
            assert theirs.reset_with is None

    def test_a_second_stream_replaces_the_first(self, scene):
        """
        The first is refused with the code that says so, our half of it is left alone; the second one counts.
        """
        first = scene.meets()
        scene.ours.taken()
        second = scene.opens(data=frame(b"new"))
        first.says(frame(b"old"))

        assert first.stopped_with == StreamCode.SUPPLANTED
        assert not first.finished
        assert first.reset_with is None
        assert scene.router.rpcs == [b"new"]
        assert second.is_untouched
        assert scene.ours.taken() == frame(HELLO), "it may have forgotten us"

    def test_a_stream_that_comes_again_is_greeted_on_ours(self, scene):
        """
        All our topics, on the stream that is open already.
        """
        scene.meets().gives_up()
        scene.ours.taken()
        scene.opens()

        assert scene.ours.taken() == frame(HELLO)
        assert len(scene.shell.streams) == 1

    def test_what_the_router_has_not_seen_keeps_the_stream_from_being_read(self, scene):
        """
        Back-pressure: a piece at a time, and QUIC makes the peer wait.
        """
        theirs = scene.meets()
        scene.router.is_slow = True
        theirs.says(frame(b"one") + frame(b"two"))
        theirs.says(frame(b"three"))
        assert scene.router.rpcs == [b"one", b"two"]
        assert bytes(theirs.unread) == frame(b"three")
        scene.router.consumes()
        assert scene.router.rpcs == [b"one", b"two", b"three"]

    def test_the_largest_rpc_is_taken_and_a_larger_one_refused(self, scene):
        """
        By its length alone; the connection and our half stay, and what came before it counts.
        """
        theirs = scene.meets()
        theirs.says(frame(bytes(PUBSUB_RPC_BYTES_MAX)))
        assert [len(rpc) for rpc in scene.router.rpcs] == [PUBSUB_RPC_BYTES_MAX]
        theirs.says(frame(b"last") + frame(bytes(PUBSUB_RPC_BYTES_MAX + 1))[:4])

        assert scene.router.rpcs[1:] == [b"last"]
        assert theirs.stopped_with == StreamCode.PROTOCOL_VIOLATION
        assert not theirs.finished
        assert theirs.reset_with is None
        assert scene.router.lefts == []

    def test_who_breaks_the_framing_again_and_again_has_left(self, scene):
        """
        Until it connects anew, neither of us speaks to the other.
        """
        theirs = scene.meets()
        for _ in range(VIOLATIONS_MAX):
            assert scene.router.lefts == []
            theirs.says(b"\xff" * 10)
            theirs = scene.opens()
            scene.shell.advance(10)
        assert scene.router.lefts == [MESH]
        assert scene.shell.streams[0].finished
        assert theirs.stopped_with == StreamCode.PROTOCOL_VIOLATION
        scene.pubsub.use_protocols(PEER, {MESH})
        scene.shell.advance(100)
        assert len(scene.shell.streams) == 1

    def test_what_comes_after_the_peer_has_left_is_nothing(self, scene):
        """
        A peer that speaks no pubsub any more may still send: the router does not hear of it.
        """
        theirs = scene.meets()
        scene.pubsub.use_protocols(PEER, set())
        scene.ours.refuses()
        assert scene.router.lefts == [MESH]
        theirs.says(frame(b"one"))

        assert scene.router.rpcs == []
        assert theirs.is_untouched

    def test_empty_frames_are_nothing(self, scene):
        """
        They are taken, and the router does not hear of them.
        """
        theirs = scene.meets()
        theirs.says(frame(b"") * 100 + frame(b"one"))
        assert scene.router.rpcs == [b"one"]


def test_the_end_of_the_last_connection(scene):
    """
    The peer has left, and nothing is opened again.
    """
    scene.meets()
    scene.connection.is_lost()
    scene.pubsub.lose(PEER)
    scene.shell.advance(1000)

    assert scene.router.lefts == [MESH]
    assert len(scene.shell.streams) == 1
    assert scene.shell.pending() == 0


def test_after_the_end_nothing_is_opened(scene):
    """
    What was queued may still leave; peers and time cause nothing more.
    """
    scene.meets()
    scene.pubsub.close()
    scene.ours.refuses()
    scene.opens()
    scene.shell.advance(1000)

    assert len(scene.shell.streams) == 1
    assert scene.router.rpcs == []
    assert set(scene.pubsub.talks) == set(PUBSUB_PROTOCOLS)
