"""Ping, both ways, against a scripted peer."""

from collections import Counter

import pytest

from helpers.identities import ALICE
from helpers.libp2p_streams import FakeConnection, FakeShell, FakeStream
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.conversation import Conversation
from kontinuum.libp2p.errors import PeerSilentError, PingError, UnsupportedProtocolError
from kontinuum.libp2p.ping import (
    ANSWERS_PER_PEER_MAX,
    PING,
    PING_BYTES,
    PING_IDLE_S,
    PING_TIMEOUT_S,
    PingAnswer,
    PingRequest,
)
from kontinuum.transport.stream import SEND_HIGH_WATER_BYTES

PAYLOAD = bytes(range(PING_BYTES))


class Answering:
    """A peer that pings us, on as many streams as it likes."""

    def __init__(self):
        self.shell, self.connection = FakeShell(), FakeConnection(ALICE.peer_id)
        self.counter = Counter()

    def stream(self):
        """It opens one more."""
        stream = FakeStream(self.connection, inbound=True)
        talks = {PING: lambda _conversation: PingAnswer(self.counter)}
        Conversation.answer(self.shell, stream, talks)
        stream.proposes(PING)
        stream.taken()
        return stream


class TestAnswer:
    def test_each_ping_is_echoed_in_any_pieces(self):
        """
        Whole pings only; several may come on one stream, and an end is answered by an end at once.
        """
        stream = Answering().stream()
        stream.says(PAYLOAD[:10])
        assert stream.taken() == b""
        stream.says(PAYLOAD[10:] + PAYLOAD + PAYLOAD[:1])
        assert stream.taken() == PAYLOAD * 2
        stream.says(PAYLOAD[1:])
        assert stream.taken() == PAYLOAD
        stream.ends()
        assert stream.finished

    def test_a_peer_has_so_many_streams(self):
        """
        One more is reset with the code; when one ends, or is lost, there is room again.
        """
        peer = Answering()
        streams = [peer.stream() for _ in range(ANSWERS_PER_PEER_MAX)]
        assert peer.stream().reset_with == StreamCode.RESOURCE_LIMIT
        streams[0].ends()
        streams[1].gives_up()
        again = [peer.stream() for _ in range(ANSWERS_PER_PEER_MAX)]
        assert [stream.reset_with for stream in again] == [None] * ANSWERS_PER_PEER_MAX
        peer.connection.is_lost()
        assert not peer.counter

    def test_a_stream_on_which_nobody_pings_is_reset(self):
        """
        PING_IDLE_S after its beginning, or after the last whole ping.
        """
        peer = Answering()
        idle = peer.stream()
        peer.shell.advance(PING_IDLE_S)
        assert idle.reset_with == 0
        stream = peer.stream()
        peer.shell.advance(PING_IDLE_S - 1)
        stream.says(PAYLOAD)
        peer.shell.advance(PING_IDLE_S - 1)
        assert stream.is_untouched
        stream.says(PAYLOAD[:5])
        peer.shell.advance(1)
        assert (stream.reset_with, stream.stopped_with) == (0, 0)
        assert not peer.counter

    def test_who_does_not_read_its_echoes_is_not_read(self):
        """
        A peer that sends and never reads stops itself, and goes on when it reads.
        """
        stream = Answering().stream()
        stream.waiting = SEND_HIGH_WATER_BYTES + 1
        stream.says(PAYLOAD)
        stream.says(PAYLOAD)
        assert stream.taken() == PAYLOAD
        assert bytes(stream.unread) == PAYLOAD
        stream.reads_all()
        assert stream.taken() == PAYLOAD


class Asking:
    """A ping of ours."""

    def __init__(self):
        self.shell, self.outcomes = FakeShell(), []
        self.stream = FakeStream(FakeConnection(ALICE.peer_id), inbound=False)
        request = PingRequest(PAYLOAD, self.shell.now, self.outcomes.append)
        Conversation.begin(self.shell, self.stream, [PING], request, PAYLOAD)


class TestRequest:
    def test_a_ping_takes_one_round_trip(self):
        """
        It leaves with the proposal; its time is that of the echo, and our half ends then.
        """
        ping = Asking()
        assert bytes(ping.stream.sent).endswith(PAYLOAD)
        ping.shell.advance(0.02)
        ping.stream.agrees(PING, PAYLOAD[:7])
        assert ping.outcomes == []
        ping.shell.advance(0.01)
        ping.stream.says(PAYLOAD[7:])
        assert ping.outcomes == [pytest.approx(0.03)]
        assert ping.stream.finished
        ping.stream.ends()
        ping.shell.advance(1000)
        assert len(ping.outcomes) == 1

    @pytest.mark.parametrize(
        ("happens", "error"),
        [
            (lambda ping: ping.stream.agrees(PING, b"x" * 32), PingError),
            (lambda ping: ping.stream.agrees(PING, PAYLOAD + b"x"), PingError),
            (lambda ping: (ping.stream.agrees(PING), ping.stream.ends()), PingError),
            (lambda ping: ping.stream.declines(), UnsupportedProtocolError),
            (lambda ping: (ping.stream.agrees(PING), ping.shell.advance(PING_TIMEOUT_S)), PeerSilentError),
        ],
        ids=["other bytes", "too many bytes", "an end", "a refusal", "silence"],
    )
    def test_whatever_else_comes_is_an_error(self, happens, error):
        """
        Once, and the stream is over.
        """
        ping = Asking()
        happens(ping)
        ping.shell.advance(1000)

        assert [type(outcome) for outcome in ping.outcomes] == [error]
        assert not ping.stream.can_send

    def test_wrong_bytes_are_a_violation(self):
        """
        The peer is told why its stream ends.
        """
        ping = Asking()
        ping.stream.agrees(PING, b"x")
        assert ping.stream.reset_with == StreamCode.PROTOCOL_VIOLATION
