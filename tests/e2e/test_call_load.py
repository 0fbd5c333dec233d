"""Many calls at once: bounds on handlers and streams, and nothing left behind."""

import asyncio
import contextlib
import gc

import pytest

from helpers.handlers import echo
from helpers.nodes import eventually, leftovers, pair, quiet_node
from kontinuum.base.errors import KontinuumError
from kontinuum.rpc.errors import BusyError


class TestLoad:
    async def test_handlers_per_peer_are_bounded(self):
        """
        The handler beyond the limit is answered BUSY at once; others' calls and later ones work.
        """
        async with pair(there={"handlers_per_peer_max": 5}) as (a, b), quiet_node() as c:
            gate = asyncio.Event()
            b.handler("echo")(echo)

            @b.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            calls = [asyncio.create_task(a.call(b.peer_id, "wait")) for _ in range(5)]
            await eventually(lambda: b.figures().handlers == 5)
            with pytest.raises(BusyError):
                await a.call(b.peer_id, "echo")
            assert await c.call(b.contact, "echo", b"c") == b"c"
            gate.set()
            await asyncio.gather(*calls)
            assert await a.call(b.peer_id, "echo", b"a") == b"a"

    async def test_handlers_of_all_peers_are_bounded(self):
        """
        The total bounds calls and streams together.
        """
        async with pair(there={"handlers_max": 4, "handlers_per_peer_max": 4}) as (a, b), quiet_node() as c:
            gate = asyncio.Event()

            @b.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            @b.stream_handler("wait")
            async def wait_stream(_stream):
                await gate.wait()

            calls = [asyncio.create_task(node.call(b.contact, "wait")) for node in (a, c) for _ in range(2)]
            await eventually(lambda: b.figures().handlers == 4)
            with pytest.raises(BusyError):
                await c.call(b.peer_id, "wait")
            stream = await c.open_stream(b.peer_id, "wait")
            with pytest.raises(KontinuumError, match="code 2"):
                await stream.read()
            gate.set()
            await asyncio.gather(*calls)
            await eventually(lambda: b.figures().handlers == 0)

    async def test_five_hundred_in_flight_over_sixty_four_streams(self):
        """
        Calls beyond the peer's streams wait their turn; all are answered, each with its own reply.
        """
        async with pair() as (a, b):
            most = 0

            @b.handler("count")
            async def count(_peer, data):
                nonlocal most
                most = max(most, b.figures().handlers)
                await asyncio.sleep(0.001)
                return data[::-1]

            async with asyncio.timeout(20):
                answers = await asyncio.gather(
                    *(a.call(b.peer_id, "count", n.to_bytes(4)) for n in range(500))
                )
            assert answers == [n.to_bytes(4)[::-1] for n in range(500)]
            assert most <= 64

    async def test_cancelling_calls_that_wait_for_a_stream_frees_their_place(self):
        """
        Calls that never got a stream are forgotten when they are cancelled; their handler never runs.
        """
        async with pair() as (a, b):
            gate, begun = asyncio.Event(), []

            @b.handler("wait")
            async def wait(_peer, data):
                begun.append(data)
                await gate.wait()

            first = [asyncio.create_task(a.call(b.peer_id, "wait", b"first")) for _ in range(64)]
            await eventually(lambda: len(begun) >= 60)
            second = [asyncio.create_task(a.call(b.peer_id, "wait", b"second")) for _ in range(100)]
            await asyncio.sleep(0)
            for call in second:
                call.cancel()
            await asyncio.gather(*second, return_exceptions=True)
            gate.set()
            await asyncio.gather(*first)
            b.handler("echo")(echo)
            assert await a.call(b.peer_id, "echo", b"on") == b"on"
            assert begun == [b"first"] * 64

    async def test_a_thousand_failing_calls_leave_nothing_behind(self):
        """
        After errors of all sorts no call, handler, task or stream is left, and memory is given back.
        """
        async with pair() as (a, b):

            @b.handler("fail")
            async def fail(_peer, _data):
                await asyncio.sleep(0)
                raise ValueError

            @b.handler("wait")
            async def wait(_peer, _data):
                await asyncio.Event().wait()

            before = leftovers()

            async def one(number):
                with contextlib.suppress(KontinuumError):
                    await a.call(b.peer_id, ("fail", "wait", "nope")[number % 3], bytes(100), timeout=0.05)

            for _ in range(10):
                await asyncio.gather(*(one(number) for number in range(100)))
            await eventually(lambda: b.figures().handlers == 0)
            await eventually(lambda: not leftovers(before))
            assert a.connection(b.peer_id).calls == b.connection(a.peer_id).calls == 0
            await eventually(lambda: a.connection(b.peer_id).stats().held_bytes == 0)
            gc.collect()
