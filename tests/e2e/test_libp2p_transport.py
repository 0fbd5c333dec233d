"""Connections by libp2p's certificates and their raw streams, over real sockets between two endpoints."""

import asyncio
import contextlib
import socket
import time

import pytest

from helpers.peers import new_key
from kontinuum import _native
from kontinuum.base.errors import MisuseError
from kontinuum.identity import KeyPair
from kontinuum.rpc.service import RpcService
from kontinuum.transport import ALPN, ALPN_LIBP2P, CloseKind, Endpoint, TransportOptions
from kontinuum.transport.errors import (
    BadCertificateError,
    CloseReason,
    ConnectionLostError,
    ExpiredCertificateError,
    HandshakeError,
    NoCommonProtocolError,
    NoKeyError,
    StreamClosedError,
    StreamEndedError,
    StreamOverflowError,
    StreamResetError,
    StreamStoppedError,
    UnfitKeyError,
    UnprovenIdentityError,
    UnsupportedIdentityError,
    WrongPeerError,
    connect_error,
)
from kontinuum.transport.options import RAW_BUFFER_MIN_BYTES

ALICE, BOB, CAROL = (KeyPair.from_seed(bytes([n] * 32)) for n in (1, 2, 3))
KIB = 1024


class Side:
    """One endpoint and what its floor above is told."""

    def __init__(self, key_pair, host="127.0.0.1", **options):
        self.rpc = RpcService()
        self.rpc.start()
        self.accepted, self.streams = asyncio.Queue(), asyncio.Queue()
        self.rpc.connection_opened = self.accepted.put_nowait
        self.rpc.on_raw_stream = lambda _connection, stream: self.streams.put_nowait(stream)
        options = {"libp2p": True, **options}
        self.endpoint = Endpoint(key_pair, (host, 0), self.rpc, TransportOptions(**options))
        self.address = ("127.0.0.1", self.endpoint.local_address[1])

    async def close(self):
        await self.rpc.close()
        await self.endpoint.close()


@contextlib.asynccontextmanager
async def sides(alice=(), bob=()):
    """Two endpoints on one loop."""
    both = Side(ALICE, **dict(alice)), Side(BOB, **dict(bob))
    try:
        yield both
    finally:
        for side in both:
            await side.close()


@contextlib.asynccontextmanager
async def connected(**options):
    """Two endpoints and alice's libp2p connection to bob."""
    async with sides(options, options) as (alice, bob):
        yield alice, bob, await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)


@contextlib.asynccontextmanager
async def both_ends(**options):
    """Both ends of a stream that carries one byte already, which the peer has read."""
    async with connected(**options) as (alice, bob, connection):
        ours = await connection.open_raw()
        await ours.write(b"!")
        async with asyncio.timeout(5):
            theirs = await bob.streams.get()
            assert await theirs.read_exactly(1) == b"!"
        yield ours, theirs, alice, bob


class Listener:
    """Writes down what it is told, and reads all there is."""

    def __init__(self):
        self.got, self.ended, self.error, self.rooms, self.send_ends = bytearray(), False, None, 0, 0

    def on_readable(self, stream):
        try:
            while data := stream.read_nowait():
                self.got += data
            self.ended |= data == b""
        except Exception as error:  # noqa: BLE001 -- what the test looks at
            self.error = error

    def on_room(self, _stream):
        self.rooms += 1

    def on_send_end(self, _stream):
        self.send_ends += 1


async def until(condition, within_s=5.0):
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- several conditions, one loop
            await asyncio.sleep(0.005)


class TestHandshake:
    @pytest.mark.parametrize("post_quantum", [True, False], ids=["two packets", "one packet"])
    @pytest.mark.parametrize("alpn", [ALPN, ALPN_LIBP2P])
    async def test_both_protocols_are_served_by_one_socket(self, alpn, post_quantum):
        """
        Whichever the dialler asks for, both know whom they speak with and by which protocol.
        """
        async with sides({"post_quantum": post_quantum}) as (alice, bob):
            connection = await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=alpn)
            other = await bob.accepted.get()

            assert (connection.peer_id, other.peer_id) == (BOB.peer_id, ALICE.peer_id)
            assert (connection.alpn, other.alpn) == (alpn, alpn)
            group = "X25519MLKEM768" if post_quantum else "X25519"
            assert (connection.key_exchange, other.key_exchange) == (group, group)

    async def test_an_endpoint_speaks_libp2p_only_when_told(self):
        """
        One that was not told dials nobody by it, and tells who dials it at once.
        """
        async with sides({}, {"libp2p": False}) as (alice, bob):
            begun = time.monotonic()
            with pytest.raises(NoCommonProtocolError):
                await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)
            assert time.monotonic() - begun < 2
            with pytest.raises(MisuseError, match="libp2p=True"):
                await bob.endpoint.dial(ALICE.peer_id, alice.address, alpn=ALPN_LIBP2P)

    @pytest.mark.parametrize("post_quantum", [True, False], ids=["two packets", "one packet"])
    async def test_an_unknown_protocol_is_told_at_once(self, post_quantum):
        """
        Also where the ClientHello spans two packets and the address is not proven (facts: traps 3.1, 3.2).
        """
        async with sides({"post_quantum": post_quantum}) as (alice, bob):
            begun = time.monotonic()
            with pytest.raises(NoCommonProtocolError):
                await alice.endpoint.dial(BOB.peer_id, bob.address, alpn="other/9")
            assert time.monotonic() - begun < 2

    async def test_another_identity_than_the_dialled_is_refused(self):
        """
        Whoever answers there and is somebody else: the dialler learns so, and the right one still gets in.
        """
        async with sides() as (alice, bob):
            with pytest.raises(WrongPeerError):
                await alice.endpoint.dial(CAROL.peer_id, bob.address, alpn=ALPN_LIBP2P)
            assert bob.accepted.empty()
            await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)

    async def test_who_must_prove_its_address_first_gets_in(self):
        """
        Beyond half_open_max both packets of the hello are answered by a Retry each, and the dial goes on.
        """
        async with sides({}, {"half_open_max": 1}) as (alice, bob):
            loop = asyncio.get_running_loop()
            counters = bob.endpoint.native.counters
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hanging:
                hanging.setblocking(False)  # noqa: FBT003 -- the standard library's signature
                await loop.sock_sendto(hanging, first_packet(), bob.address)
                await until(lambda: counters()["half_open"] == 1)

                connection = await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)

            assert counters()["handshakes_retried"] >= 1
            assert connection.alpn == ALPN_LIBP2P

    async def test_a_dual_stack_socket_shows_ipv4_as_ipv4(self):
        """
        A socket on ``[::]`` dials and is dialled by IPv4; no address of a peer is a mapped one (trap 3.11).
        """
        async with sides({"host": "::"}, {"host": "::"}) as (alice, bob):
            connection = await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)
            other = await bob.accepted.get()
            assert connection.remote_address == bob.address
            assert other.remote_address == alice.address
            assert connection.stats().paths[0].address == bob.address

            six = ("::1", bob.address[1])
            over_six = await alice.endpoint.dial(BOB.peer_id, six, alpn=ALPN_LIBP2P)
            assert over_six.remote_address == six

    @pytest.mark.parametrize(
        ("alert", "error"),
        [
            (42, WrongPeerError),
            (43, UnsupportedIdentityError),
            (45, ExpiredCertificateError),
            (46, BadCertificateError),
            (48, UnprovenIdentityError),
            (49, UnfitKeyError),
            (80, HandshakeError),  # What go-libp2p says instead of 120.
            (116, NoKeyError),
            (120, NoCommonProtocolError),
        ],
    )
    @pytest.mark.parametrize("kind", [CloseKind.OUR_TRANSPORT, CloseKind.PEER_TRANSPORT])
    def test_each_alert_is_an_error_of_its_own(self, kind, alert, error):
        """
        Whichever side gave up; native/tests/libp2p_handshake.rs has who sends which alert when.
        """
        assert type(connect_error(CloseReason(kind, 0x100 + alert, "words"))) is error


def first_packet():
    """What a dialler of the old protocol sends first, and then nothing."""
    engine = _native.Endpoint(new_key().seed, None, {})
    engine.connect(1, "192.0.2.1", 4433, BOB.peer_id)
    _, outgoing, _ = engine.drive(0.0)
    return outgoing[0][1][0]


class TestRawStreams:
    async def test_bytes_arrive_as_they_were_sent_in_both_directions(self):
        """
        Nothing is added, nothing lost; the end of one half leaves the other one open.
        """
        async with both_ends() as (ours, theirs, *_):
            blocks = [bytes([n % 251]) * (n * 37 % 70_001) for n in range(150)]

            async def send():
                for block in blocks:
                    await ours.write(block)
                await ours.finish()

            sending = asyncio.create_task(send())
            received = bytearray()
            while data := await theirs.read(10_007):
                assert len(data) <= 10_007
                received += data
            await sending
            assert received == b"".join(blocks)
            assert await theirs.read() == b""
            await theirs.write(b"thanks")
            theirs.finish_nowait()
            assert await ours.read_exactly(6) == b"thanks"
            assert await ours.read() == b""

    async def test_small_reads_come_out_of_what_was_read_before(self):
        """
        A length, then a body, then the rest: however they arrived, and also after the peer's end.
        """
        async with both_ends() as (ours, theirs, *_):
            await ours.write(b"\x05hello\x00rest")
            await ours.finish()
            await until(lambda: theirs.read_nowait(1) == b"\x05")
            assert await theirs.read_exactly(5) == b"hello"
            assert theirs.read_nowait(1) == b"\0"
            with pytest.raises(StreamEndedError) as caught:
                await theirs.read_exactly(5)
            assert caught.value.partial == b"rest"
            assert theirs.read_nowait() == b""
            for read in (theirs.read, theirs.read_exactly):
                with contextlib.suppress(StreamEndedError):
                    assert await read(1) == b""
            with pytest.raises(MisuseError):
                await theirs.read(0)

    async def test_a_stream_without_a_byte_is_told_by_its_end(self):
        """
        The peer hears of a stream that was opened and finished; not of one that was only opened.
        """
        async with connected() as (_, bob, connection):
            stream = await connection.open_raw()
            await asyncio.sleep(0.1)
            assert bob.streams.empty()
            await stream.finish()
            async with asyncio.timeout(5):
                assert await (await bob.streams.get()).read() == b""

    async def test_each_act_has_its_code_and_leaves_the_other_half_alone(self):
        """
        Reset and stop, by either side: the peer gets the code, and what goes the other way goes on.
        """
        async with both_ends() as (ours, theirs, *_):
            ours.reset(0x1001)
            with pytest.raises(StreamResetError) as reset:
                await theirs.read()
            assert reset.value.code == 0x1001
            await theirs.write(b"still")
            assert await ours.read_exactly(5) == b"still"

            ours.stop(0x1002)
            await until(lambda: theirs.stopped_code is not None)
            with pytest.raises(StreamStoppedError) as stopped:
                await theirs.write(b"x")
            assert stopped.value.code == 0x1002
            assert theirs.send_nowait(b"x") == 0
            with pytest.raises(StreamClosedError):
                await ours.read()
            assert ours.connection.close_reason is None

    async def test_a_reader_that_stops_stops_the_sender_and_loses_nothing(self):
        """
        With large writes QUIC's flow control holds the sender; it goes on when the reader does.
        """
        async with both_ends() as (ours, theirs, *_):
            block = bytes(range(256)) * 1024
            waiting = 0
            while waiting < 8 * KIB * KIB:
                waiting = ours.send_nowait(block)
                await asyncio.sleep(0)
            sent = ours.connection.stats().sent_bytes
            await asyncio.sleep(0.3)
            assert ours.connection.stats().sent_bytes - sent < 100_000
            assert theirs.connection.stats().held_bytes < 300_000
            assert ours.connection.close_reason is None

            ours.finish_nowait()
            received = 0
            while data := await theirs.read():
                received += len(data)
            assert received % len(block) == 0
            assert received > 8 * KIB * KIB

    @pytest.mark.parametrize("size", [1, 64])
    async def test_many_small_packets_to_a_reader_that_stops_cost_the_stream_at_most(self, size):
        """
        Thousands of packets of one stream, each by itself: the connection and its other streams live.
        """
        async with both_ends(raw_buffer_max=512 * KIB) as (ours, theirs, _, bob):
            packets = 6000 if size == 1 else 20_000
            endpoint = ours.connection.endpoint
            for n in range(packets):
                ours.send_nowait(bytes([n % 251]) * size)
                endpoint._flush_now()
                if n % 64 == 0:
                    await asyncio.sleep(0)
                if not ours.can_send:
                    break
            if size == 1:
                assert await theirs.read_exactly(packets) == bytes(n % 251 for n in range(packets))
            else:
                await until(lambda: not ours.can_send)
                assert ours.stopped_code == 0x1002
                with pytest.raises(StreamOverflowError):
                    await theirs.read()
                await theirs.write(b"too fast")  # What we send on the same stream still arrives.
                assert await ours.read_exactly(8) == b"too fast"
            assert ours.connection.close_reason is None
            other = await ours.connection.open_raw()
            await other.write(b"other")
            assert await (await bob.streams.get()).read_exactly(5) == b"other"

    async def test_a_listener_is_told_what_happens(self):
        """
        Bytes, ends and room without a task: what a machine with thousands of streams needs.
        """
        async with both_ends() as (ours, theirs, *_):
            us, them = Listener(), Listener()
            ours.listen(us)
            theirs.listen(them)
            while ours.send_nowait(bytes(64 * KIB)) < 512 * KIB:
                pass
            assert ours.want_room()
            ours.send_nowait(b"end")
            ours.finish_nowait()
            await until(lambda: them.ended)
            assert them.got.endswith(b"end")
            assert len(them.got) % (64 * KIB) == 3
            assert us.rooms <= 1
            theirs.reset(7)
            await until(lambda: us.error is not None)
            assert isinstance(us.error, StreamResetError)

    async def test_room_is_told_once_and_can_be_waited_for(self):
        """
        The sender learns when little waits; where there is room already it need not ask.
        """
        async with both_ends() as (ours, theirs, *_):
            listener = Listener()
            ours.listen(listener)
            assert not ours.want_room()
            while ours.send_nowait(bytes(256 * KIB)) < 12 * KIB * KIB:
                pass
            assert ours.want_room()
            waiting = asyncio.create_task(ours.writable())
            await asyncio.sleep(0.05)
            assert (listener.rooms, waiting.done()) == (0, False)
            with pytest.raises(MisuseError, match="two tasks"):
                await ours.writable()
            theirs.listen(Listener())
            theirs._listener.on_readable(theirs)
            await asyncio.wait_for(waiting, 10)
            assert listener.rooms == 1

    async def test_the_end_of_the_connection_is_told_to_everybody(self):
        """
        A local close emits no event of the engine: readers, writers and listeners hear of it nevertheless.
        """
        async with both_ends() as (ours, theirs, *_):
            second = await ours.connection.open_raw()
            listener = Listener()
            second.listen(listener)
            reading = asyncio.create_task(ours.read())
            await asyncio.sleep(0)
            ours.connection.close(0, "")
            with pytest.raises(ConnectionLostError):
                await asyncio.wait_for(reading, 1)
            assert isinstance(listener.error, ConnectionLostError)
            assert listener.send_ends == 1
            assert ours.send_nowait(b"x") == 0
            with pytest.raises(ConnectionLostError):
                await ours.writable()
            with pytest.raises(ConnectionLostError):
                await asyncio.wait_for(theirs.read(), 5)
            assert theirs.connection.close_reason.code == 0

    async def test_streams_of_the_other_protocol_are_a_misuse(self):
        """
        Raw streams are libp2p's; calls, framed streams and messages are ours.
        """
        async with sides() as (alice, bob):
            libp2p = await alice.endpoint.dial(BOB.peer_id, bob.address, alpn=ALPN_LIBP2P)
            ours = await alice.endpoint.dial(BOB.peer_id, bob.address)
            with pytest.raises(MisuseError):
                await ours.open_raw()
            for opening in (libp2p.open_stream, libp2p.open_messages):
                with pytest.raises(MisuseError):
                    await opening("a/b")
            assert libp2p.close_reason is None

    async def test_as_many_streams_as_agreed_and_the_next_one_waits(self):
        """
        A peer may have 256 streams open; the next opening waits until some have ended.
        """
        async with connected() as (_, bob, connection):
            streams = [await asyncio.wait_for(connection.open_raw(), 5) for _ in range(256)]
            for stream in streams:
                stream.send_nowait(b"x")
            waiting = asyncio.create_task(connection.open_raw())
            theirs = [await bob.streams.get() for _ in streams]
            assert not waiting.done()
            for stream in streams + theirs:
                stream.close()
            await asyncio.wait_for(waiting, 5)
            assert len(connection._streams) == 1

    async def test_a_standing_stream_does_not_make_its_connection_busy(self):
        """
        Whoever keeps a stream open for as long as the connection says so.
        """
        async with both_ends() as (ours, theirs, *_):
            assert ours.connection.is_busy
            ours.standing = theirs.standing = True
            assert not ours.connection.is_busy


class TestOptions:
    def test_a_buffer_that_honest_senders_would_fill_is_a_misuse(self):
        """
        What is read ahead of a reader must fit several times.
        """
        TransportOptions(raw_buffer_max=RAW_BUFFER_MIN_BYTES)
        with pytest.raises(MisuseError, match="raw_buffer_max"):
            TransportOptions(raw_buffer_max=RAW_BUFFER_MIN_BYTES - 1)

    def test_libp2p_is_off_unless_asked_for(self):
        """
        A node that was not told speaks its own protocol only.
        """
        assert not TransportOptions().libp2p
