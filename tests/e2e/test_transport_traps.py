"""The known traps of the engine that need real sockets and the loop; and what a connection shows."""

import asyncio
import json
import os
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from helpers.nodes import eventually
from kontinuum import _native
from kontinuum.identity import KeyPair
from kontinuum.rpc.service import RpcService
from kontinuum.transport import CloseKind, Connection, Endpoint, Stream, TransportOptions
from kontinuum.transport.errors import (
    ConnectError,
    ConnectionLostError,
    MessageTooLargeError,
    NoCommonProtocolError,
    WrongPeerError,
)

ALICE, BOB, CAROL = (KeyPair.from_seed(bytes([n] * 32)) for n in (1, 2, 3))
MORE, WANTS_WRITE = 1, 2
"""Flags of a pump: work is left over; the socket's buffer is full."""


class Side:
    """One endpoint with the floor above it."""

    def __init__(self, key_pair: KeyPair, **options: object) -> None:
        self.rpc = RpcService()
        self.rpc.start()
        self.accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self.rpc.connection_opened = self.accepted.put_nowait
        self.endpoint = Endpoint(key_pair, ("127.0.0.1", 0), self.rpc, TransportOptions(**options))

    async def close(self) -> None:
        await self.rpc.close()
        await self.endpoint.close()


@asynccontextmanager
async def pair(**options: object) -> AsyncIterator[tuple[Side, Side, Connection]]:
    """Two sides on one loop, and alice's connection to bob. Bob echoes calls."""
    alice, bob = Side(ALICE, **options), Side(BOB, **options)

    async def echo(_peer: object, data: bytes) -> bytes:
        return data

    bob.rpc.add_handler("echo", echo)
    try:
        yield alice, bob, await alice.endpoint.dial(BOB.peer_id, bob.endpoint.local_address)
    finally:
        await alice.close()
        await bob.close()


async def pump_bytes(bob: Side, connection: Connection, total: int) -> None:
    """Move ``total`` bytes to bob and compare them."""
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    block = os.urandom(65_536)

    async def sink(stream: Stream) -> None:
        received = 0
        while data := await stream.read_exactly(min(len(block), total - received)):
            assert data == block[: len(data)]
            received += len(data)
            if received == total:
                break
        done.set_result(received)

    bob.rpc.add_stream_handler("sink", sink, messages=False)
    async with await connection.open_stream("sink") as stream:
        for _ in range(total // len(block)):
            await stream.write(block)
        assert await asyncio.wait_for(done, 60) == total


async def test_batches_of_large_packets_are_not_lost_silently():
    """
    2. With packets of 8,952 bytes a batch stays below what one sendmsg takes (65,507 bytes): nothing is
    dropped and bulk arrives.
    """
    async with pair(mtu_max=8952) as (alice, bob, connection):
        await pump_bytes(bob, connection, 32 << 20)
        stats = connection.stats()
        assert stats.paths[0].mtu_bytes == 8952
        for side in (alice, bob):
            assert side.endpoint.native.counters()["batches_dropped"] == 0
        assert stats.lost_packets < stats.sent_packets / 20


async def test_a_local_close_fails_everything_that_waits_at_once():
    """
    4. Calls, readers, writers, and whoever waits for a stream or for the end: all are told when we close.
    """
    async with pair(streams_max=2) as (alice, bob, connection):
        never = asyncio.Event()

        async def wait(_peer: object, _data: bytes) -> bytes:
            await never.wait()
            return b""

        async def unread(_stream: Stream) -> None:
            await never.wait()

        bob.rpc.add_handler("wait", wait)
        bob.rpc.add_stream_handler("unread", unread, messages=False)
        stream = await connection.open_stream("unread")

        async def write() -> None:
            while True:
                await stream.write(bytes(65_536))

        waiting = [
            asyncio.create_task(alice.rpc.call(connection, "wait", b"", 60)),
            asyncio.create_task(stream.read()),
            asyncio.create_task(write()),
            asyncio.create_task(connection.open_stream("unread")),
        ]
        closed = asyncio.create_task(connection.wait_closed())
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in [*waiting, closed])

        connection.close(5, "enough")
        begun = time.monotonic()
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)

        assert time.monotonic() - begun < 0.5
        assert [type(result) for result in results] == [ConnectionLostError] * 4
        assert (await closed).kind is CloseKind.LOCAL
        assert (await (await bob.accepted.get()).wait_closed()).code == 5


async def test_closing_the_endpoint_fails_dials_at_once():
    """
    4. A dial in progress ends when the endpoint closes, not when its time is up.
    """
    alice = Side(ALICE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dial = asyncio.create_task(alice.endpoint.dial(BOB.peer_id, silent.getsockname(), timeout_s=30))
        await asyncio.sleep(0.05)
        await alice.close()
        with pytest.raises(ConnectError):
            await asyncio.wait_for(dial, 1)


async def test_one_timer_serves_all_connections():
    """
    7. With fifty connections the loop holds one timer of the endpoint.
    """
    async with pair() as (alice, bob, _):
        for _n in range(50):
            await alice.endpoint.dial(BOB.peer_id, bob.endpoint.local_address)
        loop = asyncio.get_running_loop()

        def timers(side):
            return [
                handle
                for handle in loop._scheduled  # type: ignore[attr-defined]
                if handle._callback == side.endpoint._on_timer and not handle.cancelled()
            ]

        for side in (alice, bob):
            # One that is due at this moment is about to be set again.
            await eventually(lambda side=side: timers(side))
            assert len(timers(side)) == 1


def by_hand(*endpoints: _native.Endpoint, until: Callable[[], bool]) -> list[tuple[object, ...]]:
    """Drive endpoints with sockets without a loop."""
    events, end = [], time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        for endpoint in endpoints:
            events += endpoint.pump()[0] + endpoint.flush()[0]
    return events


def test_one_pump_takes_a_bounded_share():
    """
    8. However much waits in the socket, one pump receives two batches and says that there is more, so that
    the loop serves everything else in between.
    """
    alice, bob = (_native.Endpoint(key.seed, ("127.0.0.1", 0)) for key in (ALICE, BOB))
    connection = alice.connect(1, *bob.local_address, bob.public_key)
    by_hand(alice, bob, until=lambda: bob.counters()["connections"] == 1 and bob.counters()["half_open"] == 0)
    stream = alice.open(connection, 2, b"a/b", messages=True, bidirectional=False)
    assert stream is not None
    begun = bob.counters()
    sent = 0
    while sent < 300:  # The guards acknowledge meanwhile; ours must not receive, so be quicker than 100 ms.
        alice.write(connection, stream, b"x" * 40)
        alice.flush()
        sent += 1
    before = bob.counters()
    _, _, flags = bob.pump()
    after = bob.counters()
    assert after["receive_calls"] - before["receive_calls"] <= 2
    assert after["datagrams_received"] - before["datagrams_received"] <= 64
    received = after["datagrams_received"] - begun["datagrams_received"]
    assert flags & MORE or received < 64
    alice.shutdown()
    bob.shutdown()


async def test_a_full_socket_buffer_loses_nothing():
    """
    9. With the smallest send buffer that the kernel gives, bulk and calls arrive; and when the engine says
    that the buffer is full, the loop flushes as soon as the socket is writable, and then stops watching it.
    (Loopback never fills a send buffer: the queue behind it is tested in native/src/engine/socket.rs.)
    """
    async with pair() as (alice, bob, connection):
        for side in (alice, bob):
            with socket.socket(fileno=os.dup(side.endpoint.native.filenos()[0])) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        await pump_bytes(bob, connection, 4 << 20)
        assert await alice.rpc.call(connection, "echo", b"hi", 5) == b"hi"
        assert connection.close_reason is None

        endpoint = alice.endpoint
        endpoint._follow(WANTS_WRITE)
        assert endpoint._writing
        async with asyncio.timeout(1):
            while endpoint._writing:  # noqa: ASYNC110 -- the loop itself is what is observed
                await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_writer(endpoint._socket_fd)


@pytest.mark.slow
def test_a_handler_that_blocks_the_loop_loses_nothing():
    """
    10. A handler blocks its loop for three seconds, longer than the idle time-out of two: the guard keeps
    the connection alive, what was sent meanwhile is there afterwards, and the peer's next call is answered.
    """
    options = {"idle_timeout_s": 2.0, "keep_alive_s": 0.5}
    ready: threading.Event = threading.Event()
    address: list[tuple[str, int]] = []
    activations: list[int] = []
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        bob = Side(BOB, **options)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))

        def block(_peer: object, data: bytes) -> bytes:
            time.sleep(3)
            return data

        bob.rpc.add_handler("block", block)
        bob.rpc.add_handler("echo", lambda _peer, data: data)
        address.append(bob.endpoint.local_address)
        ready.set()
        await stopped.wait()
        activations.append(bob.endpoint.native.counters()["guard_activations"])
        await bob.close()

    async def dial() -> None:
        alice = Side(ALICE, **options)
        connection = await alice.endpoint.dial(BOB.peer_id, address[0])
        begun = time.monotonic()
        blocked = asyncio.create_task(alice.rpc.call(connection, "block", b"slow", 20))
        await asyncio.sleep(0.3)
        others = [asyncio.create_task(alice.rpc.call(connection, "echo", b"%d" % n, 20)) for n in range(50)]
        assert await blocked == b"slow"
        assert time.monotonic() - begun >= 2.9
        assert await asyncio.gather(*others) == [b"%d" % n for n in range(50)]
        assert connection.close_reason is None
        await alice.close()

    server = threading.Thread(target=asyncio.run, args=(serve(),))
    server.start()
    try:
        assert ready.wait(10)
        asyncio.run(dial())
    finally:
        stop[0]()
        server.join(10)
    assert activations[0] > 0


async def test_a_wrong_pin_and_an_unknown_alpn_have_errors_of_their_own():
    """
    The dialler learns which of the two it was, within a round trip and not by a time-out.
    """
    async with pair() as (alice, bob, _):
        begun = time.monotonic()
        with pytest.raises(WrongPeerError):
            await alice.endpoint.dial(CAROL.peer_id, bob.endpoint.local_address)
        with pytest.raises(NoCommonProtocolError):
            await alice.endpoint.dial(BOB.peer_id, bob.endpoint.local_address, alpn="nope/1")
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("post_quantum", [True, False])
async def test_a_connection_shows_its_key_exchange_and_its_figures(post_quantum):
    """
    Both sides show the same key exchange; the figures of connection and path grow with the traffic.
    """
    async with pair(post_quantum=post_quantum) as (alice, bob, connection):
        other = await bob.accepted.get()
        expected = "X25519MLKEM768" if post_quantum else "X25519"
        assert (connection.key_exchange, other.key_exchange) == (expected, expected)
        assert (connection.alpn, other.peer_id) == ("kontinuum/1", ALICE.peer_id)
        before = connection.stats()
        for _ in range(20):
            await alice.rpc.call(connection, "echo", bytes(10_000), 10)
        stats = connection.stats()
        assert stats.sent_bytes - before.sent_bytes > 200_000
        assert stats.received_bytes - before.received_bytes > 200_000
        (path,) = stats.paths
        assert path.address == bob.endpoint.local_address
        assert not path.backup
        assert 0 < path.rtt_s < 1
        assert path.cwnd_bytes >= 2400
        assert 1200 <= path.mtu_bytes <= 1452
        assert stats.held_bytes == 0


async def test_datagrams_arrive_or_are_refused():
    """
    A datagram arrives whole; one that fits no packet is refused before it is sent.
    """
    async with pair() as (_, bob, connection):
        got: asyncio.Queue[bytes] = asyncio.Queue()
        bob.rpc.on_datagram = lambda _connection, data: got.put_nowait(data)
        for data in (b"", b"one", b"x" * 1000):
            connection.send_datagram(data)
            assert await asyncio.wait_for(got.get(), 5) == data
        with pytest.raises(MessageTooLargeError):
            connection.send_datagram(bytes(2000))


async def test_both_ends_derive_the_same_secret_and_another_label_another():
    """
    The exporter (RFC 8446, section 7.5) binds to the connection, the label and the context.
    """
    async with pair() as (alice, bob, connection):
        other = await bob.accepted.get()
        secret = connection.export_keying_material(b"label", b"context", 32)
        assert len(secret) == 32
        assert other.export_keying_material(b"label", b"context", 32) == secret
        assert other.export_keying_material(b"other", b"context", 32) != secret
        assert other.export_keying_material(b"label", b"other", 32) != secret
        second = await alice.endpoint.dial(BOB.peer_id, bob.endpoint.local_address)
        assert second.export_keying_material(b"label", b"context", 32) != secret


async def test_qlog_and_key_log_are_written_only_when_asked_for(tmp_path):
    """
    With the options each connection has a qlog file, and the key log has mode 0600 and TLS 1.3 secrets;
    without them nothing is written.
    """
    (tmp_path / "qlog").mkdir()
    keylog = tmp_path / "keys"
    async with pair(qlog_dir=tmp_path / "qlog", keylog_path=keylog) as (alice, _, connection):
        await alice.rpc.call(connection, "echo", b"hi", 5)
    files = list((tmp_path / "qlog").iterdir())
    assert len(files) >= 2
    for file in files:
        first = file.read_bytes().lstrip(b"\x1e").split(b"\n")[0]
        assert "qlog" in json.dumps(json.loads(first)).lower()
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600
    labels = {line.split()[0] for line in keylog.read_text().splitlines()}
    assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= labels

    quiet = tmp_path / "quiet"
    quiet.mkdir()
    async with pair() as (alice, _, connection):
        await alice.rpc.call(connection, "echo", b"hi", 5)
    assert list(quiet.iterdir()) == []


async def test_a_key_log_that_others_could_read_is_closed_to_them(tmp_path):
    """
    Whoever reads the key log reads the traffic: a file that is there already becomes 0600 too.
    """
    keylog = tmp_path / "keys"
    keylog.write_text("# older\n")
    keylog.chmod(0o644)
    await Side(ALICE, keylog_path=keylog).close()
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600
    assert keylog.read_text() == "# older\n"
