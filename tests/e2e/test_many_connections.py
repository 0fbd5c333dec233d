"""More connections than a node wants: who stays, who is refused, and what it costs."""

import asyncio
import contextlib
import functools

import pytest

from helpers.nodes import eventually, happens, pair, quiet_node, resident_bytes, seconds
from helpers.peers import new_key
from kontinuum.base.errors import UnavailableError
from kontinuum.node.events import PeerLost
from kontinuum.rpc.links import RETIRED_PER_PEER_MAX
from kontinuum.rpc.service import RpcService
from kontinuum.transport import CloseCode, Endpoint, TransportOptions
from kontinuum.transport.errors import ConnectError, PeerRefusedError


class TestMany:
    async def test_the_least_useful_idle_connection_makes_room(self):
        """
        At the limit the inbound one that was unused for longest goes; busy and dialled ones stay.
        """
        async with contextlib.AsyncExitStack() as stack:
            hub = await stack.enter_async_context(quiet_node(max_connections=5))
            gate = asyncio.Event()
            hub.handler("echo")(lambda _peer, data: data)

            @hub.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            friend = await stack.enter_async_context(quiet_node())
            await hub.connect(friend.contact)  # Dialled: wanted.
            busy, active, idle, idle_too, newcomer = [
                await stack.enter_async_context(quiet_node()) for _ in range(5)
            ]
            await busy.connect(hub.contact)
            call = asyncio.create_task(busy.call(hub.contact, "wait"))
            await active.connect(hub.contact)
            await idle.connect(hub.contact)
            await eventually(lambda: hub.connection(idle.peer_id))
            await idle_too.connect(hub.contact)
            await eventually(lambda: hub.connection(idle_too.peer_id))
            await asyncio.sleep(0.1)  # The introductions are over.
            for caller in (idle_too, active):
                assert await caller.call(hub.contact, "echo", b"x") == b"x"
            lost = idle.events()
            assert await newcomer.call(hub.contact, "echo", b"x") == b"x"
            assert (await happens(lost, PeerLost)).reason.code == CloseCode.EVICTED
            assert {peer.peer_id for peer in hub.peers() if peer.connected} == {
                node.peer_id for node in (friend, busy, active, idle_too, newcomer)
            }
            assert hub.figures().evicted == 1
            gate.set()
            assert await call == b""

    async def test_when_all_are_busy_the_newcomer_is_refused(self):
        """
        Nobody who works is thrown out; the newcomer learns why.
        """
        async with quiet_node(max_connections=1) as hub, quiet_node() as a, quiet_node() as b:
            gate = asyncio.Event()

            @hub.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            call = asyncio.create_task(a.call(hub.contact, "wait"))
            await eventually(lambda: hub.figures().handlers == 1)
            watcher = b.events()
            await b.connect(hub.contact)
            assert (await happens(watcher, PeerLost)).reason.code == CloseCode.FULL
            gate.set()
            assert await call == b""

    async def test_handshakes_from_one_address_are_limited_and_counted(self):
        """
        Beyond the burst an address must prove itself, beyond that it is refused; others notice nothing.
        """
        limits = {"handshakes_per_ip_per_s": 1.0, "handshakes_per_ip_burst": 5}
        async with pair(there=limits) as (a, b):
            b.handler("echo")(lambda _peer, data: data)
            async with contextlib.AsyncExitStack() as stack:
                others = [await stack.enter_async_context(quiet_node()) for _ in range(20)]
                results = await asyncio.gather(
                    *(other.connect(b.contact) for other in others), return_exceptions=True
                )
                refused = [result for result in results if isinstance(result, PeerRefusedError)]
                assert all(
                    isinstance(result, ConnectError) for result in results if isinstance(result, Exception)
                )
                counters = b.endpoint.native.counters()
                assert refused
                assert counters["handshakes_retried"] > 0
                assert counters["handshakes_refused"] >= len(refused)
                assert await a.call(b.peer_id, "echo", b"x") == b"x"

    async def test_one_identity_cannot_hold_many_connections(self):
        """
        A hundred connections of one peer: a few are kept, the rest is closed at once, others notice nothing.
        """
        async with pair() as (friend, hub):
            hub.handler("echo")(lambda _peer, data: data)
            rpc = RpcService()
            rpc.start()
            async with Endpoint(new_key(), ("127.0.0.1", 0), rpc) as flood:
                dials = [flood.dial(hub.peer_id, hub.endpoint.local_address) for _ in range(100)]
                await asyncio.gather(*dials)
                await eventually(lambda: len(hub.endpoint.connections) <= 2 + RETIRED_PER_PEER_MAX)
                await eventually(lambda: len(flood.connections) <= 1 + RETIRED_PER_PEER_MAX)
                [last] = [each for each in flood.connections.values() if each.id == max(flood.connections)]
                assert await rpc.call(last, "echo", b"x", 5) == b"x"
                assert await friend.call(hub.peer_id, "echo", b"x") == b"x"
            await rpc.close()

    @pytest.mark.slow
    async def test_two_thousand_connections_at_once(self):
        """
        Two thousand connections of one process begin at once. Those whose last packet the kernel drops are
        told so and come in when they try again. Each costs less than 150 kB on both sides together, another
        peer is served meanwhile, and all of it is given back.
        """
        count = 2000
        wide = TransportOptions(
            handshakes_per_ip_per_s=1e5,
            handshakes_per_ip_burst=100_000,
            half_open_max=4096,
            connections_max=4096,
        )
        rpcs = [RpcService() for _ in range(3)]
        for rpc in rpcs:
            rpc.add_handler("echo", lambda _peer, data: data)
            rpc.start()
        here = ("127.0.0.1", 0)
        async with (
            Endpoint(new_key(), here, rpcs[0], wide) as hub,
            Endpoint(new_key(), here, rpcs[1], wide) as flood,
            Endpoint(new_key(), here, rpcs[2], wide) as friend,
        ):
            line = await friend.dial(hub.peer_id, hub.local_address)
            before = resident_bytes()
            dial = functools.partial(flood.dial, hub.peer_id, hub.local_address, timeout_s=60)
            dials = [asyncio.create_task(dial()) for _ in range(count)]
            slowest = 0.0
            while not all(task.done() for task in dials):
                started = seconds()
                assert await rpcs[2].call(line, "echo", b"x", 30) == b"x"
                slowest = max(slowest, seconds() - started)
                await asyncio.sleep(0.01)
            await asyncio.gather(*dials)
            while (missing := count + 1 - len(hub.connections)) > 0:
                await eventually(lambda: hub.native.counters()["half_open"] == 0, within_s=20)
                missing = count + 1 - len(hub.connections)
                await asyncio.gather(*(dial() for _ in range(missing)))
            each = (resident_bytes() - before) / count
            assert each < 150_000, f"{each / 1000:.0f} kB"
            assert slowest < 5, f"{slowest:.2f} s"
            calls = [rpcs[1].call(one, "echo", b"x", 10) for one in list(flood.connections.values())]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert answers.count(b"x") >= count
            assert all(answer == b"x" or isinstance(answer, UnavailableError) for answer in answers)
            for connection in list(flood.connections.values()):
                connection.close()
            await eventually(lambda: len(hub.connections) == 1, within_s=20)
            assert await rpcs[2].call(line, "echo", b"x", 5) == b"x"
        for rpc in rpcs:
            await rpc.close()
