"""Two real processes and a network that loses, delays, reorders, rebinds and dies."""

import asyncio
import functools
import hashlib
import random

import pytest

from helpers.nodes import NodeProcess, eventually, happens, quiet_node
from helpers.udp_link import UdpLink
from kontinuum import Contact
from kontinuum.base.errors import KontinuumError, UnavailableError
from kontinuum.node.events import PeerConnected, PeerLost
from kontinuum.transport import CloseKind
from kontinuum.transport.errors import ConnectionLostError

MIB = 2**20
IDLE = {"idle_timeout_s": 5.0, "keep_alive_s": 1.0}

pytestmark = pytest.mark.slow


def identity(peer):
    """Who a process is."""
    return Contact.from_text(peer.contact).peer_id


def noise(seed, count):
    """Bytes that no accident repeats."""
    return random.Random(seed).randbytes(count)  # noqa: S311 -- test data


async def test_everything_arrives_intact_over_a_bad_link():
    """
    5 % loss, reordering and 200 ms of round trip: calls, a stream of 1 MB and messages are whole.
    """
    data = noise(7, 10**6)
    async with (
        NodeProcess() as peer,
        UdpLink(peer.port, loss=0.05, delay_s=0.098, jitter_s=0.004, seed=11) as link,
        quiet_node() as node,
    ):
        await node.connect(identity(peer), address=link.address)

        async def calls():
            bodies = [noise(n, n * 20) for n in range(100)]
            call = functools.partial(node.call, identity(peer), "echo", timeout=90)
            answers = await asyncio.gather(*(call(body) for body in bodies))
            assert answers == bodies

        async def stream():
            async with await node.open_stream(identity(peer), "hash") as stream:
                for start in range(0, len(data), 65536):
                    await stream.write(data[start : start + 65536])
                await stream.finish()
                assert await stream.read_exactly(32) == hashlib.sha256(data).digest()

        async def messages():
            bodies = [noise(n, n * 20) for n in range(100)]
            async with await node.open_messages(identity(peer), "messages") as stream:

                async def send():
                    for body in bodies:
                        await stream.send(body)
                    await stream.finish()

                sending = asyncio.create_task(send())
                assert [body async for body in stream] == bodies
                await sending

        async with asyncio.timeout(90):
            await asyncio.gather(calls(), stream(), messages())
        assert link.counts["lost"] > 30
        assert len(node.endpoint.connections) == 1


async def test_the_connection_outlives_a_change_of_its_port():
    """
    A NAT gives us another port in the middle of calls and of a stream: nothing is lost, nobody reconnects.
    """
    async with NodeProcess() as peer, UdpLink(peer.port) as link, quiet_node(**IDLE) as node:
        node.handler("echo")(lambda _peer, data: data)
        await node.connect(identity(peer), address=link.address)
        watcher = node.events()
        running = True

        async def keep_calling():
            count = 0
            while running:
                assert await node.call(identity(peer), "echo", b"%d" % count, timeout=5) == b"%d" % count
                count += 1
            return count

        calls = [asyncio.create_task(keep_calling()) for _ in range(4)]
        digest = hashlib.sha256()
        async with await node.open_stream(identity(peer), "hash") as stream:
            for number in range(60):
                if number % 20 == 10:
                    before = link.far_port
                    link.rebind()
                    assert link.far_port != before
                await stream.write(bytes([number]) * 65536)
                digest.update(bytes([number]) * 65536)
            await stream.finish()
            async with asyncio.timeout(20):
                assert await stream.read_exactly(32) == digest.digest()
        running = False
        async with asyncio.timeout(10):
            assert min(await asyncio.gather(*calls)) > 3
        # Also in silence: the node's next word, a keep-alive, comes from yet another port.
        link.rebind()
        assert await node.call(identity(peer), "call back", b"x", timeout=5) == b"x"
        assert not [event for event in watcher._events if isinstance(event, (PeerLost, PeerConnected))]
        watcher.close()


async def test_a_silent_node_keeps_its_mapping_open():
    """
    An idle connection says something often enough, so that the peer can always reach us.
    """
    async with NodeProcess(**IDLE) as peer, UdpLink(peer.port) as link, quiet_node(**IDLE) as node:
        await node.connect(identity(peer), address=link.address)
        await node.call(identity(peer), "echo", b"x")
        carried = link.counts["carried"]
        watcher = node.events()
        with pytest.raises(TimeoutError):
            await happens(watcher, PeerLost, within_s=6.5)  # Longer than the idle timeout.
        assert 3 <= link.counts["carried"] - carried <= 60
        assert await node.call(identity(peer), "echo", b"on", timeout=2) == b"on"


async def test_a_killed_peer_is_noticed_within_the_idle_timeout():
    """
    SIGKILL in mid-transfer: the reader, the writer and the calls get clear errors, and the node goes on.
    """
    async with NodeProcess() as peer, NodeProcess() as other, quiet_node(**IDLE) as node:
        await node.connect(peer.contact)
        await node.connect(other.contact)
        watcher = node.events()

        async def read():
            stream = await node.open_stream(peer.contact, "source")
            while await stream.read():
                pass

        async def write():
            stream = await node.open_stream(peer.contact, "hash")
            while True:
                await stream.write(bytes(65536))

        async def call():
            while True:
                await node.call(peer.contact, "sleep", b"0.01")

        tasks = [asyncio.create_task(work()) for work in (read, write, call, call)]
        await eventually(lambda: node.connection(peer.contact).stats().received_bytes > MIB)
        started = asyncio.get_running_loop().time()
        await peer.kill()
        lost = await happens(watcher, PeerLost, within_s=8)
        assert lost.peer_id == identity(peer)
        assert lost.reason.kind is CloseKind.TIMED_OUT
        async with asyncio.timeout(2):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, ConnectionLostError) for result in results[:2]), results
        assert all(isinstance(result, UnavailableError) for result in results), results
        assert asyncio.get_running_loop().time() - started < 8
        assert await node.call(other.contact, "echo", b"on") == b"on"
        with pytest.raises(KontinuumError):
            await node.call(peer.contact, "echo", timeout=0.3)


async def test_a_cut_link_ends_the_connection_and_a_mended_one_is_used_again():
    """
    Minutes of silence look like a dead peer; when it is back the next call connects anew.
    """
    async with NodeProcess(**IDLE) as peer, UdpLink(peer.port) as link, quiet_node(**IDLE) as node:
        await node.connect(identity(peer), address=link.address)
        watcher = node.events()
        link.cut = True
        started = asyncio.get_running_loop().time()
        call = asyncio.create_task(node.call(identity(peer), "echo", b"x"))
        lost = await happens(watcher, PeerLost, within_s=10)
        assert lost.reason.kind is CloseKind.TIMED_OUT
        assert 4 < asyncio.get_running_loop().time() - started < 10
        with pytest.raises(ConnectionLostError):
            await call
        link.cut = False
        await node.connect(identity(peer), address=link.address)
        assert await node.call(identity(peer), "echo", b"on") == b"on"


async def test_a_peer_that_restarts_with_its_key_and_port_is_noticed():
    """
    Killed and started again: the new process dials, its connection takes the place of the dead one at once,
    whoever dialled the old one and whichever identity is smaller.
    """
    for seed in ("11" * 32, "22" * 32, "33" * 32, "44" * 32):
        async with quiet_node() as node, NodeProcess(seed=seed) as peer:
            node.handler("echo")(lambda _peer, data: data)
            await node.connect(peer.contact)
            assert await node.call(identity(peer), "echo", b"1") == b"1"
            former = set(node.endpoint.connections)
            await peer.kill()
            peer.fields.update(
                listen=f"127.0.0.1:{peer.port}", peers_wanted=1, bootstrap=[node.contact.to_text()]
            )
            watcher = node.events()
            await peer.start()
            started = asyncio.get_running_loop().time()
            await eventually(lambda: set(node.endpoint.connections) - former, within_s=5)  # noqa: B023
            while True:
                try:
                    assert await node.call(identity(peer), "echo", b"2", timeout=1) == b"2"
                except UnavailableError:
                    assert asyncio.get_running_loop().time() - started < 6
                else:
                    break
            assert asyncio.get_running_loop().time() - started < 6
            watcher.close()


async def test_a_restarted_peer_that_dials_nobody_says_that_the_connection_is_over():
    """
    Killed and started again with its key and port: the first packet of the old connection is answered with a
    stateless reset, and the next call dials anew, long before any time-out.
    """
    async with quiet_node() as node, NodeProcess(seed="55" * 32) as peer:
        await node.connect(peer.contact)
        assert await node.call(identity(peer), "echo", b"1") == b"1"
        await peer.kill()
        peer.fields.update(listen=f"127.0.0.1:{peer.port}")
        watcher = node.events()
        await peer.start()

        with pytest.raises(ConnectionLostError):
            await node.call(identity(peer), "echo", b"2", timeout=20)
        lost = await happens(watcher, PeerLost)

        assert lost.reason.kind == CloseKind.RESET
        assert await node.call(identity(peer), "echo", b"3") == b"3"


async def test_a_handler_that_blocks_the_loop_loses_no_connection():
    """
    Seven seconds without the loop, idle time-outs of five: the guard keeps all connections alive meanwhile.
    """
    short = {"idle_timeout_s": 5.0, "keep_alive_s": 1.0}
    async with NodeProcess(**short) as peer, quiet_node(**short) as a, quiet_node(**short) as b:
        for node in (a, b):
            await node.connect(peer.contact)
        watchers = [node.events() for node in (a, b)]
        block = asyncio.create_task(a.call(peer.contact, "block", b"7"))
        calls = [asyncio.create_task(b.call(peer.contact, "echo", b"%d" % n)) for n in range(50)]
        assert await block == b"blocked"
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(50)]
        for node, watcher in zip((a, b), watchers, strict=True):
            assert await node.call(peer.contact, "echo", b"on") == b"on"
            assert not [event for event in watcher._events if isinstance(event, PeerLost)]
