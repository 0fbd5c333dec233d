"""The host: who is asked who it is, who answers which stream, and what peers can make it hold."""

import pytest

from helpers.identities import ADDRESS, ALICE, BOB
from helpers.kad_messages import octets
from helpers.libp2p_messages import envelope, public_key, record_payload, sign_with
from helpers.libp2p_streams import FakeConnection, FakeRouter, FakeShell, FakeStream
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import UnavailableError
from kontinuum.identity import KeyPair, Multiaddr
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.connections import PER_PEER_MAX
from kontinuum.libp2p.errors import NotConnectedError
from kontinuum.libp2p.exchange import IDENTIFY, IDENTIFY_TIMEOUT_S, PUSH
from kontinuum.libp2p.frames import frame
from kontinuum.libp2p.host import IDENTITIES_MAX, STREAMS_PER_PEER_MAX, Host
from kontinuum.libp2p.identify import IdentityReader
from kontinuum.libp2p.multistream import HEADER_LINE, REFUSAL_LINE, line
from kontinuum.libp2p.peer_record import open_peer_record
from kontinuum.libp2p.ping import PING

PEER = BOB.peer_id
CAROL = KeyPair.from_seed(b"c" * 32)
HERE = Multiaddr.parse("/ip4/198.51.100.1/udp/4433/quic-v1")


def identity(key_pair=BOB, *, protocols=(PING, PUSH), sequence=1, record=None):
    """What a peer says of itself."""
    record = (
        envelope(key_pair, record_payload(key_pair, sequence, ADDRESS.encode())) if record is None else record
    )
    return frame(
        octets(1, public_key(key_pair))
        + octets(2, ADDRESS.encode())
        + b"".join(octets(3, protocol.encode()) for protocol in protocols)
        + octets(6, b"agent/1")
        + (octets(8, record) if record else b"")
    )


class Scene:
    """Alice's host, and connections of Bob's."""

    def __init__(self, router=None):
        self.shell, self.heard, self.addresses, self.sequences = FakeShell(), [], [HERE], iter(range(1, 100))
        self.host = Host(
            ALICE.peer_id,
            self.shell,
            sign=sign_with(ALICE),
            entropy=SystemEntropy(),
            addresses=lambda: self.addresses,
            sequence=lambda: next(self.sequences),
            agent="us/1",
            router=router,
            heard=self.heard.append,
        )

    def connects(self, peer_id=PEER):
        """A peer is connected; our question goes out."""
        connection = FakeConnection(peer_id)
        self.host.on_connection(connection)
        return connection

    def opens(self, connection):
        """It opens a stream."""
        stream = FakeStream(connection, inbound=True)
        self.host.on_raw_stream(connection, stream)
        return stream

    def identifies(self, connection, data):
        """It answers our newest question."""
        stream = self.shell.streams[-1]
        assert stream.connection is connection
        stream.agrees(IDENTIFY, data)
        stream.ends()
        return stream


@pytest.fixture
def scene():
    """A host without topics."""
    return Scene()


def said(data):
    """What a message of ours says."""
    reader = IdentityReader()
    reader.receive(data)
    return reader.finish()


class TestIdentify:
    def test_we_ask_at_once_on_each_connection(self, scene):
        """
        The question is in the first packet; the answer is remembered, its record too.
        """
        connection = scene.connects()
        assert scene.shell.streams[0].taken() == HEADER_LINE + line(IDENTIFY)
        stream = scene.identifies(connection, identity())

        peer = scene.host.peers[PEER]
        assert peer.identity.agent_version == "agent/1"
        assert peer.identity.protocols == (PING, PUSH)
        assert open_peer_record(scene.host.record_of(PEER)).peer_id == PEER
        assert scene.heard == [connection]
        assert stream.finished
        assert scene.shell.pending() == 0

    def test_we_answer_in_the_turn_in_which_we_are_asked(self, scene):
        """
        Four questions at once get four answers, with where the peer is seen, signed; then our half ends.
        """
        connection = scene.connects()
        streams = [scene.opens(connection) for _ in range(4)]
        for stream in streams:
            stream.proposes(IDENTIFY)
        for stream in streams:
            answer = stream.taken().removeprefix(HEADER_LINE + line(IDENTIFY))
            ours = said(answer)
            assert ours.verify(ALICE.peer_id).addresses(ALICE.peer_id) == (HERE,)
            assert ours.observed == Multiaddr.from_ip(*connection.remote_address).encode()
            assert set(ours.protocols) == {IDENTIFY, PUSH, PING}
            assert (ours.agent_version, ours.protocol_version) == ("us/1", "kontinuum/1")
            assert open_peer_record(ours.signed_record).addresses == (HERE,)
            assert stream.finished
            stream.ends()
        assert scene.host.peers[PEER].streams == 0

    def test_the_record_is_sealed_again_when_addresses_change(self, scene):
        """
        With a greater number; otherwise it is the same one.
        """

        def record():
            stream = scene.opens(connection)
            stream.proposes(IDENTIFY)
            sealed = said(stream.taken().removeprefix(HEADER_LINE + line(IDENTIFY))).signed_record
            return open_peer_record(sealed)

        connection = scene.connects()
        first, again = record(), record()
        assert first == again
        scene.addresses.append(ADDRESS)
        moved = record()
        assert moved.addresses == (HERE, ADDRESS)
        assert moved.sequence > first.sequence

    def test_a_peer_that_names_another_key_is_not_believed(self, scene):
        """
        Nothing of what it says is kept, and the connection stays.
        """
        connection = scene.connects()
        scene.identifies(connection, identity(ALICE))

        assert scene.host.peers[PEER].identity is None
        assert scene.heard == [connection]
        assert connection.closed_with is None

    @pytest.mark.parametrize(
        "record",
        [
            envelope(ALICE, record_payload(ALICE, 9, ADDRESS.encode())),
            envelope(ALICE, record_payload(BOB, 9, ADDRESS.encode())),
            b"no record",
        ],
        ids=["another peer's", "signed by another", "none"],
    )
    def test_a_record_that_is_of_no_use_is_left_out(self, scene, record):
        """
        The rest of what the peer says counts.
        """
        scene.identifies(scene.connects(), identity(record=record))

        assert scene.host.record_of(PEER) == b""
        assert scene.host.peers[PEER].identity.agent_version == "agent/1"

    def test_of_two_records_the_newer_counts(self, scene):
        """
        An older one that comes later changes nothing.
        """
        scene.identifies(scene.connects(), identity(sequence=5))
        scene.identifies(scene.connects(), identity(sequence=4))
        assert open_peer_record(scene.host.record_of(PEER)).sequence == 5
        scene.identifies(scene.connects(), identity(sequence=6))
        assert open_peer_record(scene.host.record_of(PEER)).sequence == 6

    @pytest.mark.parametrize(
        "happens",
        [
            lambda _, stream: stream.declines(),
            lambda _, stream: stream.agrees(IDENTIFY, b"\xff" * 20),
            lambda scene, stream: (stream.agrees(IDENTIFY), scene.shell.advance(IDENTIFY_TIMEOUT_S)),
            lambda _, stream: stream.loses_connection(),
        ],
        ids=["it does not speak it", "no identify", "silence", "a lost connection"],
    )
    def test_a_peer_that_does_not_say_who_it_is(self, scene, happens):
        """
        Who waits for it is told, once.
        """
        connection = scene.connects()
        happens(scene, scene.shell.streams[0])
        scene.shell.advance(100)

        assert scene.heard == [connection]
        assert scene.host.peers[PEER].identity is None

    def test_who_has_no_stream_for_us(self, scene):
        """
        The question cannot be asked; who waits is told as well.
        """
        scene.shell.waiting = []
        connection = scene.connects()
        scene.shell.waiting[0][2](UnavailableError("none"))
        assert scene.heard == [connection]

    def test_who_speaks_when_it_is_to_listen(self, scene):
        """
        The answer to identify is ours alone.
        """
        stream = scene.opens(scene.connects())
        stream.proposes(IDENTIFY, b"what?")
        assert stream.stopped_with == StreamCode.PROTOCOL_VIOLATION


class TestPush:
    def test_a_push_changes_what_it_brings(self, scene):
        """
        New protocols; the agent stays.
        """
        connection = scene.connects()
        scene.identifies(connection, identity())
        stream = scene.opens(connection)
        stream.proposes(PUSH, frame(octets(3, b"/new/1")))
        stream.ends()

        peer = scene.host.peers[PEER]
        assert peer.identity.protocols == ("/new/1",)
        assert peer.identity.agent_version == "agent/1"
        assert stream.finished
        assert scene.heard == [connection], "it was no answer"

    def test_we_push_to_those_who_want_to_know(self, scene):
        """
        Once to each peer, on its older connection, with the message in the first packet.
        """
        scene.identifies(scene.connects(), identity())
        scene.identifies(scene.connects(), identity())
        scene.identifies(scene.connects(ALICE.peer_id), identity(ALICE, protocols=[PING]))
        before = len(scene.shell.streams)
        scene.host.push()

        (stream,) = scene.shell.streams[before:]
        assert stream.connection.peer_id == PEER
        assert said(stream.taken().removeprefix(HEADER_LINE + line(PUSH))).agent_version == "us/1"
        stream.agrees(PUSH)
        assert stream.finished
        stream.ends()
        assert scene.shell.pending() == 0


class TestStreams:
    def test_a_peer_has_so_many_streams(self, scene):
        """
        One more is reset with the code; one that ends makes room. Another peer's are others.
        """
        connection = scene.connects()
        streams = [scene.opens(connection) for _ in range(STREAMS_PER_PEER_MAX)]
        assert scene.opens(connection).reset_with == StreamCode.RESOURCE_LIMIT
        assert scene.opens(scene.connects(ALICE.peer_id)).reset_with is None
        streams[0].gives_up()
        assert scene.opens(connection).reset_with is None
        assert scene.opens(connection).stopped_with == StreamCode.RESOURCE_LIMIT
        connection.is_lost()
        assert scene.host.peers[PEER].streams == 0

    def test_unknown_protocols_are_declined(self, scene):
        """
        Without topics, those of pubsub too.
        """
        stream = scene.opens(scene.connects())
        stream.proposes("/meshsub/1.2.0")
        assert stream.taken() == HEADER_LINE + REFUSAL_LINE

    def test_a_peer_has_so_many_connections(self, scene):
        """
        One more is closed at once, and asked nothing.
        """
        for _ in range(PER_PEER_MAX):
            scene.connects()
        asked = len(scene.shell.streams)
        assert scene.connects().closed_with == StreamCode.RESOURCE_LIMIT
        assert len(scene.shell.streams) == asked

    def test_a_stream_of_a_connection_that_was_refused(self, scene):
        """
        Or of one that is over already: it is reset.
        """
        connection = FakeConnection(PEER)
        assert scene.opens(connection).reset_with == StreamCode.RESOURCE_LIMIT

    def test_the_last_connection_takes_all_along(self, scene):
        """
        A peer is known as long as it has one.
        """
        first, second = scene.connects(), scene.connects()
        scene.host.on_closed(first)
        assert PEER in scene.host.peers
        scene.host.on_closed(second)
        assert scene.host.peers == {}
        assert scene.host.record_of(PEER) == b""


class TestPing:
    def test_a_ping_of_ours_goes_to_the_older_connection(self, scene):
        """
        With its bytes in the first packet.
        """
        outcomes, connection = [], scene.connects()
        scene.connects()
        scene.host.ping(PEER, outcomes.append)
        stream = scene.shell.streams[-1]
        assert stream.connection is connection
        payload = stream.taken().removeprefix(HEADER_LINE + line(PING))
        scene.shell.advance(0.25)
        stream.agrees(PING, payload)
        assert outcomes == [0.25]

    def test_who_is_not_connected_cannot_be_pinged(self, scene):
        """
        It is said at once.
        """
        outcomes = []
        scene.host.ping(PEER, outcomes.append)
        assert isinstance(outcomes[0], NotConnectedError)


class TestTopics:
    def test_a_peer_that_speaks_of_topics_joins(self):
        """
        By what it says of itself; it leaves with its last connection.
        """
        router = FakeRouter()
        scene = Scene(router)
        connection = scene.connects()
        scene.identifies(connection, identity(protocols=["/meshsub/1.1.0"]))
        assert router.joins == ["/meshsub/1.1.0"]
        connection.is_lost()
        scene.host.on_closed(connection)
        scene.shell.advance(100)
        assert router.lefts == ["/meshsub/1.1.0"]
        assert scene.host.pubsub is not None

    def test_a_push_may_bring_topics(self):
        """
        A program that begins to speak of them later.
        """
        router = FakeRouter()
        scene = Scene(router)
        connection = scene.connects()
        scene.identifies(connection, identity())
        assert router.joins == []
        stream = scene.opens(connection)
        stream.proposes(PUSH, frame(octets(3, b"/floodsub/1.0.0")))
        stream.ends()
        assert router.joins == ["/floodsub/1.0.0"]
        scene.host.close()


class TestAnotherIdentity:
    def test_each_connection_is_told_whom_it_was_shown(self):
        """
        The former identity where that was shown, by its own signed record; the present one elsewhere.
        """
        scene = Scene()
        scene.host.adopt(CAROL.peer_id, sign_with(CAROL))
        for local_id, expected in ((ALICE.peer_id, ALICE), (CAROL.peer_id, CAROL), (BOB.peer_id, CAROL)):
            connection = FakeConnection(PEER)
            connection.local_id = local_id
            reader = IdentityReader()
            reader.receive(scene.host._message(connection))
            record = open_peer_record(reader.finish().signed_record)
            assert record.peer_id == expected.peer_id

    def test_few_former_identities_are_kept(self):
        """
        IDENTITIES_MAX; with what was signed for them.
        """
        scene = Scene()
        for number in range(2 * IDENTITIES_MAX):
            key_pair = KeyPair.from_seed(bytes([number]) * 32)
            scene.host.adopt(key_pair.peer_id, sign_with(key_pair))
            connection = FakeConnection(PEER)
            connection.local_id = key_pair.peer_id
            scene.host._message(connection)
        assert len(scene.host._signers) == IDENTITIES_MAX
        assert len(scene.host._sealed) <= IDENTITIES_MAX
