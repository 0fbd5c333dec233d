"""A stream from its first byte to its end: both sides of a negotiation, deadlines, pauses, errors."""

import pytest

from helpers.identities import ALICE
from helpers.libp2p_streams import FakeConnection, FakeShell, FakeStream
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.conversation import (
    NEGOTIATION_TIMEOUT_S,
    PIECE_BYTES_MAX,
    Conversation,
    Talk,
)
from kontinuum.libp2p.errors import NegotiationError, PeerSilentError, UnsupportedProtocolError
from kontinuum.libp2p.multistream import HEADER_LINE, REFUSAL_LINE, line
from kontinuum.transport.errors import ConnectionLostError, StreamResetError
from kontinuum.wire import MalformedError

ECHO, OTHER = "/echo/1", "/other/1"


class Recorder(Talk):
    """Writes down what it is told."""

    def __init__(self, *, fail_on=None):
        self.said, self.agreed, self.ends, self.send_ends, self.rooms = [], 0, [], 0, 0
        self.fail_on = fail_on

    def on_agreed(self, _conversation):
        self.agreed += 1

    def on_data(self, _conversation, data):
        if data == self.fail_on:
            raise MalformedError("not that")
        self.said.append(data)

    def on_end(self, _conversation, error):
        self.ends.append(error)

    def on_send_end(self, _conversation):
        self.send_ends += 1

    def on_room(self, _conversation):
        self.rooms += 1


@pytest.fixture
def shell():
    """Virtual time."""
    return FakeShell()


@pytest.fixture
def connection():
    """A connection with Alice."""
    return FakeConnection(ALICE.peer_id)


def answered(shell, connection, talk):
    """A stream of the peer's, which may propose ECHO."""
    stream = FakeStream(connection, inbound=True)
    conversation = Conversation.answer(shell, stream, {ECHO: lambda _conversation: talk})
    return stream, conversation


def begun(shell, connection, talk, *, offers=(ECHO,), payload=b""):
    """A stream of ours."""
    stream = FakeStream(connection, inbound=False)
    return stream, Conversation.begin(shell, stream, offers, talk, payload)


class TestAnswering:
    def test_the_first_bytes_of_the_protocol_may_come_with_the_proposal(self, shell, connection):
        """
        The talk hears of the agreement first, then of what came behind it, then of what comes.
        """
        talk = Recorder()
        stream, conversation = answered(shell, connection, talk)
        stream.proposes(ECHO, b"first")
        stream.says(b"second")

        assert stream.taken() == HEADER_LINE + line(ECHO)
        assert (talk.agreed, talk.said) == (1, [b"first", b"second"])
        assert conversation.protocol == stream.protocol == ECHO
        assert conversation.is_agreed

    def test_what_came_before_we_listened_is_read(self, shell, connection):
        """
        A stream may bring everything, its end included, before it is answered.
        """
        talk, stream = Recorder(), FakeStream(connection, inbound=True)
        stream.unread += HEADER_LINE + line(ECHO) + b"all"
        stream._end = "finished"
        Conversation.answer(shell, stream, {ECHO: lambda _conversation: talk})

        assert (talk.said, talk.ends) == ([b"all"], [None])

    def test_who_refuses_all_is_refused_by_negotiation_alone(self, shell, connection):
        """
        An unknown protocol is declined and the stream stays; no multistream at all resets it with the code.
        """
        talk = Recorder()
        stream, _ = answered(shell, connection, talk)
        stream.proposes(OTHER)
        assert stream.taken() == HEADER_LINE + REFUSAL_LINE
        assert stream.is_untouched
        stream.says(b"\x04xyz!")

        assert (stream.reset_with, stream.stopped_with) == (
            StreamCode.NEGOTIATION_FAILED,
            StreamCode.NEGOTIATION_FAILED,
        )
        assert talk.agreed == 0
        assert shell.pending() == 0

    def test_a_peer_that_proposes_nothing_loses_the_stream(self, shell, connection):
        """
        NEGOTIATION_TIMEOUT_S, and not a moment before.
        """
        stream, _ = answered(shell, connection, Recorder())
        stream.says(HEADER_LINE)
        shell.advance(NEGOTIATION_TIMEOUT_S - 0.001)
        assert stream.is_untouched
        shell.advance(0.001)
        assert (stream.reset_with, stream.stopped_with) == (0, 0)

    def test_a_peer_that_ends_before_it_proposes(self, shell, connection):
        """
        Our half ends as well, and nothing is left.
        """
        over = []
        stream, conversation = answered(shell, connection, Recorder())
        conversation.when_over(lambda: over.append(True))
        stream.ends()

        assert stream.finished
        assert over == [True]
        assert shell.pending() == 0


class TestBeginning:
    def test_a_single_offer_and_its_payload_leave_at_once(self, shell, connection):
        """
        Optimistic: the talk may send before the peer has answered.
        """
        talk = Recorder()
        stream, conversation = begun(shell, connection, talk, payload=b"hello")
        assert stream.taken() == HEADER_LINE + line(ECHO) + b"hello"
        assert conversation.protocol == ECHO
        assert not conversation.is_agreed
        stream.agrees(ECHO, b"reply")

        assert conversation.is_agreed
        assert (talk.agreed, talk.said) == (1, [b"reply"])

    def test_several_offers_wait_for_the_answer(self, shell, connection):
        """
        The second one after a refusal, the payload after the agreement.
        """
        talk = Recorder()
        stream, conversation = begun(shell, connection, talk, offers=(OTHER, ECHO), payload=b"hello")
        assert stream.taken() == HEADER_LINE + line(OTHER)
        stream.declines()
        assert stream.taken() == line(ECHO)
        stream.says(line(ECHO))
        assert stream.taken() == b"hello"
        assert conversation.protocol == ECHO

    def test_a_refusal_is_an_end_with_its_reason(self, shell, connection):
        """
        The talk learns which protocol is not spoken; both halves are given up.
        """
        talk = Recorder()
        stream, conversation = begun(shell, connection, talk)
        stream.declines()

        assert isinstance(talk.ends[0], UnsupportedProtocolError)
        assert not conversation.is_agreed
        assert stream.reset_with == StreamCode.NEGOTIATION_FAILED

    @pytest.mark.parametrize(
        ("happens", "error"),
        [
            (lambda stream, _: stream.ends(), NegotiationError),
            (lambda stream, _: stream.gives_up(0x1002), StreamResetError),
            (lambda stream, _: stream.loses_connection(), ConnectionLostError),
            (lambda _, shell: shell.advance(NEGOTIATION_TIMEOUT_S), PeerSilentError),
        ],
    )
    def test_whatever_ends_it_before_the_answer_is_told_once(self, shell, connection, happens, error):
        """
        An end, a reset, a lost connection, silence: one word to the talk, and no timer is left.
        """
        talk = Recorder()
        stream, _ = begun(shell, connection, talk)
        happens(stream, shell)
        shell.advance(100)

        assert [type(each) for each in talk.ends] == [error]
        assert shell.pending() == 0


class TestTalking:
    def test_bytes_come_in_pieces_of_a_bounded_size(self, shell, connection):
        """
        A megabyte that waits does not come at once.
        """
        talk = Recorder()
        stream, _ = answered(shell, connection, talk)
        stream.proposes(ECHO)
        stream.says(bytes(3 * PIECE_BYTES_MAX + 1))

        assert [len(data) for data in talk.said] == [PIECE_BYTES_MAX] * 3 + [1]

    def test_a_paused_conversation_takes_nothing(self, shell, connection):
        """
        Neither what came behind the proposal nor what comes; all of it is there afterwards, in order.
        """
        talk = Recorder()
        talk.on_agreed = lambda conversation: conversation.pause()
        stream, conversation = answered(shell, connection, talk)
        stream.proposes(ECHO, b"first")
        stream.says(b"second")
        stream.ends()
        assert talk.said == []
        assert talk.ends == []
        assert bytes(stream.unread) == b"second"
        conversation.resume()

        assert (talk.said, talk.ends) == ([b"first", b"second"], [None])

    def test_the_end_of_the_peers_half_leaves_ours(self, shell, connection):
        """
        Whether ours ends then is for the protocol to say.
        """
        talk = Recorder()
        stream, _ = answered(shell, connection, talk)
        stream.proposes(ECHO)
        stream.ends()

        assert talk.ends == [None]
        assert stream.is_untouched

    def test_what_a_talk_cannot_read_ends_the_stream(self, shell, connection):
        """
        With the code of a violation, and the talk's own error.
        """
        talk = Recorder(fail_on=b"bad")
        stream, _ = answered(shell, connection, talk)
        stream.proposes(ECHO, b"good")
        stream.says(b"bad")
        stream.says(b"more")

        assert talk.said == [b"good"]
        assert isinstance(talk.ends[0], MalformedError)
        assert (stream.reset_with, stream.stopped_with) == (
            StreamCode.PROTOCOL_VIOLATION,
            StreamCode.PROTOCOL_VIOLATION,
        )

    def test_a_refused_half_says_nothing_more(self, shell, connection):
        """
        The peer's half is stopped, ours is as it was, and the talk is left alone.
        """
        talk, over = Recorder(), []
        stream, conversation = answered(shell, connection, talk)
        conversation.when_over(lambda: over.append(True))
        stream.proposes(ECHO)
        conversation.refuse(0x1005)
        stream.says(b"more")
        stream.gives_up()

        assert stream.stopped_with == 0x1005
        assert not stream.finished
        assert stream.reset_with is None
        assert (talk.said, talk.ends) == ([], [])
        assert over == [True]

    def test_a_deadline_replaces_the_one_before(self, shell, connection):
        """
        The agreement ends the first one; a new one counts from when it is set.
        """
        talk = Recorder()
        stream, conversation = answered(shell, connection, talk)
        stream.proposes(ECHO)
        shell.advance(100)
        assert stream.is_untouched
        conversation.set_deadline(5)
        shell.advance(4)
        conversation.set_deadline(5)
        shell.advance(4)
        assert stream.is_untouched
        shell.advance(1)
        assert isinstance(talk.ends[0], PeerSilentError)

    def test_room_and_refusal_of_ours_are_handed_on(self, shell, connection):
        """
        To the talk, before an answer came and after.
        """
        talk = Recorder()
        stream, _ = begun(shell, connection, talk)
        stream.waiting = 10
        assert stream.want_room()
        stream.reads_all()
        stream.refuses()

        assert (talk.rooms, talk.send_ends) == (1, 1)
        assert talk.ends == []

    def test_what_is_over_is_not_told_again(self, shell, connection):
        """
        Giving a stream up after its end resets our half and is no second end.
        """
        talk = Recorder()
        stream, conversation = answered(shell, connection, talk)
        stream.proposes(ECHO)
        stream.ends()
        conversation.abort(7)
        conversation.abort(7)

        assert talk.ends == [None]
        assert stream.reset_with == 7

    def test_when_over_of_what_is_over(self, shell, connection):
        """
        It is called at once.
        """
        over = []
        stream, conversation = answered(shell, connection, Recorder())
        stream.ends()
        conversation.when_over(lambda: over.append(True))
        assert over == [True]
