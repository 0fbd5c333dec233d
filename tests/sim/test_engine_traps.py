"""One regression test for each known trap of the engine below us, under virtual time.

Sources: the measured defects and pitfalls of noq-proto 1.4.0 that ADR 0001 and ADR 0003 describe.
"""

import pytest

from helpers.packet_net import CLOSED, CONNECTED, Application, Host, PacketNet

CREDIT = 1 << 20
"""Bytes that a sender may be ahead of a consumer (STREAM_CREDIT)."""
FRAMES = 1024
"""Frames that it may be ahead (STREAM_CREDIT / FRAME_COST_MIN)."""
BUSY = 2


class Pair:
    """Two connected endpoints and what sits on them."""

    def __init__(self, seed: int = 0, *, delay_s: float = 0.005, **settings: object) -> None:
        self.net = PacketNet(seed, delay_s=delay_s)
        self.alice, self.bob = self.net.host("alice", **settings), self.net.host("bob", **settings)
        self.ours, self.theirs = self.net.connect(self.alice, self.bob)
        self.near, self.far = Application(self.alice), Application(self.bob)
        self.token = 10**9

    def open(self, *, messages: bool) -> int:
        """A stream from alice to bob."""
        return self.alice.open(self.ours, messages=messages)

    def warm_up(self) -> None:
        """Send enough for a congestion window of thousands of small packets."""
        stream = self.open(messages=False)
        self.alice.native.write(self.ours, stream, bytes(8 << 20))
        self.alice.native.finish(self.ours, stream)
        self.net.run(until=lambda: stream in self.far.ended, for_s=60)
        assert self.alice.native.statistics(self.ours)["paths"][0]["cwnd"] > CREDIT

    def call_works(self) -> None:
        """Calls on the same connection go on."""
        self.token += 1
        self.alice.native.call(self.ours, self.token, b"echo", 0, b"still here?")
        self.net.run(until=lambda: self.token in self.near.replies, for_s=5)
        assert self.near.replies[self.token] == (0, b"still here?")

    def is_alive(self) -> bool:
        """Neither side saw an end."""
        return not self.alice.of(CLOSED) + self.bob.of(CLOSED)


# 1. A reader that pauses loses its connection once 2,048 chunks of a stream wait in noq-proto.


@pytest.mark.parametrize("messages", [False, True], ids=["bytes", "messages"])
@pytest.mark.parametrize("size", [1, 64, 1150, 1200, 65_536])
def test_a_reader_that_pauses_for_minutes_keeps_its_connection_and_gets_everything(size, messages):
    """
    While the reader pauses for three minutes the sender writes far more than 2,048 packets' worth, each write
    in a packet of its own: the sender is stopped, calls go on, and everything arrives when reading goes on.
    """
    pair = Pair()
    stream = pair.open(messages=messages)
    pair.net.run(0.1)
    pair.far.paused = True
    count = 3000 if size < 10_000 else 200
    writes = [n.to_bytes(4, "big")[-min(4, size) :].ljust(size, b".") for n in range(count)]
    for number, write in enumerate(writes):
        pair.alice.native.write(pair.ours, stream, write)
        pair.net.run(0.001)
        if number % 1000 == 500:
            pair.call_works()
    for _ in range(6):
        pair.net.run(30)
        pair.call_works()
    held = pair.bob.native.counters()["held_bytes"]
    assert held <= CREDIT + 65_536, "what a paused reader makes its side hold is bounded"
    if size < 1024:
        assert held <= FRAMES * size

    pair.far.resume()
    pair.alice.native.finish(pair.ours, stream)
    pair.net.run(until=lambda: stream in pair.far.ended, for_s=60)

    assert pair.is_alive()
    if messages:
        assert pair.far.messages[stream] == writes
    else:
        assert bytes(pair.far.data[stream]) == b"".join(writes)
    assert pair.bob.native.counters()["held_bytes"] == 0


@pytest.mark.parametrize("size", [1, 64, 60_000])
def test_handlers_that_pause_for_minutes_keep_the_connection_and_answer_every_call(size):
    """
    Thousands of calls to handlers that do not answer for minutes: the streams allowed are used up, the rest
    waits at the caller, and all are answered in the end.
    """
    pair = Pair()
    pair.far.silent = True
    count = 3000 if size < 1000 else 150
    for token in range(count):
        pair.alice.native.call(
            pair.ours, token, b"echo", 0, token.to_bytes(4, "big")[-size:].ljust(size, b".")
        )
        if token % 10 == 0:
            pair.net.run(0.001)
    pair.net.run(180)
    assert len(pair.far.calls) == 64

    pair.far.resume()
    pair.net.run(until=lambda: len(pair.near.replies) == count, for_s=60)
    assert pair.is_alive()


@pytest.mark.parametrize("messages", [False, True], ids=["bytes", "messages"])
@pytest.mark.parametrize("size", [1, 64, 1200])
@pytest.mark.parametrize("reading", [True, False], ids=["reading", "paused"])
def test_one_lost_packet_before_thousands_of_small_ones_loses_nothing(size, messages, reading):
    """
    One packet is lost, and for two seconds, in which thousands of small ones follow, nobody knows: they wait
    behind the gap, and the credit keeps them fewer than the engine's 2,048 chunks.
    """
    pair = Pair(keep_alive_s=100, idle_timeout_s=300)
    pair.warm_up()
    stream = pair.open(messages=messages)
    pair.alice.native.write(pair.ours, stream, b"first")
    pair.net.run(0.1)
    pair.far.paused = not reading

    link = pair.net.link(pair.alice.addresses[0], pair.bob.addresses[0])
    lost: list[float] = []

    def drop(datagram: bytes) -> bool:
        if not lost and len(datagram) > 28:
            lost.append(pair.net.now)
            return True
        return False

    link.drop = drop
    writes = [n.to_bytes(4, "big")[-min(4, size) :].ljust(size, b".") for n in range(5000)]
    # All writes within the round trip in which the loss cannot be known yet.
    link.delay_s = 2.0
    for write in writes:
        pair.alice.native.write(pair.ours, stream, write)
        pair.net.run(0.0001)
    assert lost
    link.delay_s = 0.005
    pair.net.run(5)
    pair.far.resume()
    pair.alice.native.finish(pair.ours, stream)
    pair.net.run(until=lambda: stream in pair.far.ended, for_s=60)

    assert pair.is_alive()
    if messages:
        assert pair.far.messages[stream] == [b"first", *writes]
    else:
        assert bytes(pair.far.data[stream]) == b"first" + b"".join(writes)


# 3. Paths: tests/sim/test_engine_multipath.py. 2, 7-10 need sockets: tests/e2e/test_transport_traps.py.


# 4. A local close produced no event, and whoever waited was never told.


def test_a_local_close_is_told_at_once_and_once():
    """
    Closing emits the end of the connection in the same instant, before any packet is answered; later commands
    find it closed. The peer gets the code and the reason.
    """
    pair = Pair()
    pair.alice.native.call(pair.ours, 5, b"echo", 0, b"never answered")
    pair.alice.native.close(pair.ours, 77, "done")
    pair.net.run(0)
    assert [event[1:] for event in pair.alice.of(CLOSED)] == [(pair.ours, None, 0, 77, "done")]
    for act in (
        lambda: pair.alice.native.call(pair.ours, 6, b"echo", 0, b""),
        lambda: pair.alice.open(pair.ours),
        lambda: pair.alice.native.send_datagram(pair.ours, b"x"),
    ):
        with pytest.raises(BrokenPipeError):
            act()
    pair.net.run(60)
    assert len(pair.alice.of(CLOSED)) == 1
    assert [event[3:] for event in pair.bob.of(CLOSED)] == [(1, 77, "done")]
    for host in (pair.alice, pair.bob):
        assert host.native.counters()["connections"] == 0


def test_a_dial_that_is_given_up_ends_with_one_event():
    """
    Closing a connection whose handshake is on its way tells its end under its token, and nothing is left.
    """
    net = PacketNet(delay_s=0.05)
    alice, bob = net.host("alice"), net.host("bob")
    for at in (0.0, 0.05, 0.099, 0.1):
        connection = net.dial(alice, bob, token=3)
        net.run(at)
        alice.events.clear()
        alice.native.close(connection, 0, "given up")
        net.run(30)
        ends = alice.of(CLOSED)
        assert len(ends) == 1
        assert not alice.of(CONNECTED)
        assert net.hosts["bob"].native.counters()["connections"] == 0
        assert net.hosts["bob"].native.counters()["half_open"] == 0


# 5. Readable and writable are told once: whoever forgets a paused stream never hears of it again.


def test_what_waits_is_told_again_when_it_can_go_on():
    """
    A writer that hit the high-water mark is woken once the reader goes on; a reader that paused in the middle
    finds the rest.
    """
    pair = Pair()
    stream = pair.open(messages=False)
    pair.net.run(0.1)
    pair.far.paused = True
    total = 0
    for _ in range(100):
        queued = pair.alice.native.write(pair.ours, stream, bytes(65_536))
        total += 65_536
        if queued > pair.alice.native.SEND_HIGH_WATER_BYTES:
            break
        pair.net.run(0.05)
    assert pair.alice.native.want_writable(pair.ours, stream)
    pair.net.run(10)
    assert not pair.alice.of(5)
    assert total <= CREDIT + pair.alice.native.SEND_HIGH_WATER_BYTES + 2 * 65_536

    # Reads of a part: no event is due for bytes that are there, and none is needed.
    first = pair.bob.native.read(pair.theirs, stream, 1000)
    assert first is not None
    assert len(first) == 1000
    pair.far.resume()
    pair.net.run(until=lambda: bool(pair.alice.of(5)), for_s=1)
    pair.alice.native.finish(pair.ours, stream)
    pair.net.run(until=lambda: stream in pair.far.ended, for_s=10)
    assert len(pair.far.data[stream]) + 1000 == total
    assert len(pair.alice.of(5)) == 1


# 6. A stream that is not read to its end, or stopped, keeps its place for ever.


@pytest.mark.parametrize("lossy", [False, True])
def test_stream_credit_does_not_leak(lossy):
    """
    With four streams at a time, 10,000 calls and streams pass one after the other: answered, refused,
    cancelled before and after the request arrived, reset, stopped and unread ones among them.
    """
    pair = Pair(streams_max=4, delay_s=0.001)
    if lossy:
        pair.net.both(pair.alice.addresses[0], pair.bob.addresses[0], loss=0.02)
    native, count = pair.alice.native, 2_000 if lossy else 10_000
    answered: list[int] = []
    for n in range(count):
        match n % 10:
            case 0 | 1 | 2 | 3:
                native.call(pair.ours, n, b"echo", 0, b"x")
                answered.append(n)
            case 4:  # cancelled at once, and cancelled on its way
                native.call(pair.ours, n, b"echo", 0, b"x")
                if n % 20 == 4:
                    pair.net.run(0.0015)
                native.cancel(pair.ours, n)
            case 5:  # refused: its body is longer than a name allows
                native.call(pair.ours, n, b"n" * 129, 0, b"x")
            case 6 | 7 | 8:
                stream = native.open(pair.ours, n, b"a/b", messages=n % 4 == 0, bidirectional=n % 3 == 0)
                pair.net.run(until=lambda n=n, s=stream: s is not None or n in pair.near.opened, for_s=30)
                stream = stream if stream is not None else pair.near.opened[n]
                native.write(pair.ours, stream, b"data" * 100)
                if n % 10 == 6:
                    native.finish(pair.ours, stream)
                elif n % 10 == 7:
                    native.reset(pair.ours, stream, 1)
                else:
                    pair.net.run(0.004)
                    native.finish(pair.ours, stream)
                native.stop(pair.ours, stream, 1)
            case 9:  # both sides change their minds
                stream = native.open(pair.ours, n, b"a/b", messages=False, bidirectional=True)
                pair.net.run(until=lambda n=n, s=stream: s is not None or n in pair.near.opened, for_s=30)
                stream = stream if stream is not None else pair.near.opened[n]
                native.write(pair.ours, stream, b"data")
                pair.net.run(0.003)
                pair.bob.native.reset(pair.theirs, stream, 2)
                pair.bob.native.stop(pair.theirs, stream, 2)
                native.reset(pair.ours, stream, 2)
                native.stop(pair.ours, stream, 2)
        close_what_was_accepted(pair.bob, pair.theirs, pair.far)
        if n % 7 == 0:
            pair.net.run(0.003)
    pair.net.run(until=lambda: all(n in pair.near.replies for n in answered), for_s=120)
    for _ in range(20):
        pair.call_works()
    assert pair.is_alive()


def close_what_was_accepted(host: Host, connection: int, application: Application) -> None:
    """End our half of every stream that the peer opened, as a handler that is done."""
    for stream in application.accepted:
        host.native.finish(connection, stream)
        host.native.stop(connection, stream, 0)
    application.accepted.clear()


# libp2p.md 3.1-3.3: hellos of two packets.


@pytest.mark.parametrize("post_quantum", [True, False], ids=["hybrid", "X25519"])
@pytest.mark.parametrize("alpn", [b"kontinuum/1", b"nope/1"])
def test_an_alpn_is_agreed_or_refused_within_a_round_trip_however_long_the_hello(post_quantum, alpn):
    """
    A ClientHello of one packet or two, with a known ALPN: connected. With an unknown one: both sides get TLS
    alert 120 within one round trip, instead of a time-out.
    """
    net = PacketNet(delay_s=0.05)
    alice = net.host("alice", post_quantum=post_quantum)
    bob = net.host("bob")
    net.dial(alice, bob, token=9, alpn=alpn)
    net.run(0)
    assert len(net.log) == (2 if post_quantum else 1), "a hybrid hello needs two packets"
    if alpn == b"kontinuum/1":
        net.run(until=lambda: bool(bob.of(CONNECTED)), for_s=0.2)
        assert alice.of(CONNECTED)[0][5] == ("X25519MLKEM768" if post_quantum else "X25519")
        return
    net.run(until=lambda: bool(alice.of(CLOSED)), for_s=0.101)
    (ours,) = alice.of(CLOSED)
    assert ours[2:5] == (9, 2, 0x100 + 120)
    net.run(20)
    assert len(alice.of(CLOSED)) == 1
    # A hello that came again meanwhile is refused again.
    assert {event[2:5] for event in bob.of(CLOSED)} == {(None, 3, 0x100 + 120)}
    assert bob.native.counters()["half_open"] == bob.native.counters()["connections"] == 0


def test_both_packets_of_a_post_quantum_hello_leave_at_once():
    """
    Towards a black hole the second packet of the hello leaves in the same instant as the first, not after the
    27 ms for which the pacer would hold it back.
    """
    net = PacketNet()
    alice, bob = net.host("alice"), net.host("bob")
    net.both(alice.addresses[0], bob.addresses[0], cut=True)
    net.dial(alice, bob)
    net.run(0.2)
    assert [packet.at for packet in net.log][:2] == [0.0, 0.0]
    assert net.log[2].at > 0.02, "the next one is a repetition"


@pytest.mark.parametrize("lost", range(6))
def test_a_post_quantum_handshake_survives_the_loss_of_any_packet(lost):
    """
    Whichever of the first packets is lost, in either direction, the handshake is done within two seconds.
    """
    net = PacketNet(delay_s=0.02)
    alice, bob = net.host("alice"), net.host("bob")
    seen = iter(range(1000))
    for one, other in ((alice, bob), (bob, alice)):
        net.link(one.addresses[0], other.addresses[0]).drop = lambda _: next(seen) == lost
    net.dial(alice, bob)
    net.run(until=lambda: bool(alice.of(CONNECTED)) and bool(bob.of(CONNECTED)), for_s=2)
