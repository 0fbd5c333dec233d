"""When a call is over before its handler is: deadlines, cancellation, callers that vanish."""

import asyncio
import contextvars

import pytest

from helpers.handlers import echo
from helpers.nodes import eventually, pair, quiet_node
from kontinuum import MisuseError
from kontinuum.rpc.errors import CallTimeoutError, RemoteError
from kontinuum.transport.errors import ConnectionLostError


class TestTime:
    async def test_the_deadline_travels_and_stops_the_handler(self):
        """
        When the caller's time is over the handler is cancelled, and the caller told.
        """
        async with pair() as (a, b):
            stopped = asyncio.Event()

            @b.handler("wait")
            async def wait(_peer, _data):
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()

            with pytest.raises(CallTimeoutError):
                await a.call(b.peer_id, "wait", timeout=0.05)
            async with asyncio.timeout(2):
                await stopped.wait()
            await eventually(lambda: b.figures().handlers == 0)

    async def test_a_time_below_a_millisecond_is_a_deadline_too(self):
        """
        It is not rounded down to "for ever" on the other side.
        """
        async with pair() as (a, b):
            stopped = asyncio.Event()

            @b.handler("wait")
            async def wait(_peer, _data):
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()

            connection = a.connection(b.peer_id)
            a.endpoint.native.call(connection.id, a.endpoint.next_token(), b"wait", 1, b"")
            a.endpoint.touch()
            async with asyncio.timeout(2):
                await stopped.wait()
            with pytest.raises(CallTimeoutError):
                await a.call(b.peer_id, "wait", timeout=0.0004)
            await eventually(lambda: b.figures().handlers == 0)
            assert connection.calls == 0

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("-inf")])
    async def test_a_time_out_that_is_no_time_is_refused(self, timeout):
        """
        Zero, negative and undefined times are the caller's mistake, and are called that.
        """
        async with pair() as (a, b):
            b.handler("echo")(echo)
            with pytest.raises((MisuseError, CallTimeoutError), match="time"):
                await a.call(b.peer_id, "echo", timeout=timeout)
            assert await a.call(b.peer_id, "echo", b"on") == b"on"

    async def test_a_very_long_time_out_is_bounded_by_the_peer(self):
        """
        An endless call works; the peer's own limit stops a handler that never ends.
        """
        async with pair(there={"call_timeout_s": 0.1, "call_timeout_max_s": 0.1}) as (a, b):
            b.handler("echo")(echo)

            @b.handler("wait")
            async def wait(_peer, _data):
                await asyncio.Event().wait()

            assert await a.call(b.peer_id, "echo", b"1", timeout=float("inf")) == b"1"
            assert await a.call(b.peer_id, "echo", b"1", timeout=1e30) == b"1"
            with pytest.raises(CallTimeoutError, match="handler"):
                await a.call(b.peer_id, "wait", timeout=1e9)

    async def test_the_time_out_covers_the_dial(self):
        """
        A call to a peer that does not answer ends when the caller said, not when the dial gives up.
        """
        async with quiet_node(dial_timeout_s=30) as a, quiet_node() as b:
            dead = b.contact
            await b.close()
            started = asyncio.get_running_loop().time()
            with pytest.raises(CallTimeoutError):
                await a.call(dead, "echo", timeout=0.2)
            assert asyncio.get_running_loop().time() - started < 2

    async def test_asyncio_works_in_the_first_step_of_a_handler(self):
        """
        Time-outs, task groups and the current task work before a handler has waited for anything.
        """
        async with pair() as (a, b):

            @b.handler("timeout")
            async def timed(_peer, _data):
                try:
                    async with asyncio.timeout(0.01):
                        await asyncio.Event().wait()
                except TimeoutError:
                    return b"timed out"

            @b.handler("group")
            async def grouped(_peer, data):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(asyncio.sleep(0, result=byte)) for byte in data]
                return bytes(task.result() for task in tasks)

            @b.handler("current")
            async def current(_peer, _data):
                task = asyncio.current_task()
                return str(isinstance(task, asyncio.Task) and task in asyncio.all_tasks()).encode()

            @b.handler("self-cancel")
            async def self_cancel(_peer, _data):
                asyncio.current_task().cancel()
                await asyncio.sleep(0)

            assert await a.call(b.peer_id, "timeout", timeout=3) == b"timed out"
            assert await a.call(b.peer_id, "group", b"abc", timeout=3) == b"abc"
            assert await a.call(b.peer_id, "current", timeout=3) == b"True"
            with pytest.raises(RemoteError):
                await a.call(b.peer_id, "self-cancel", timeout=3)


class TestCancellation:
    async def test_cancelling_a_call_cancels_its_handler(self):
        """
        The handler sees CancelledError and can clean up; the connection lives.
        """
        async with pair() as (a, b):
            begun, seen = asyncio.Event(), asyncio.Event()
            b.handler("echo")(echo)

            @b.handler("wait")
            async def wait(_peer, _data):
                begun.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    seen.set()
                    raise

            call = asyncio.create_task(a.call(b.peer_id, "wait"))
            await begun.wait()
            call.cancel()
            async with asyncio.timeout(2):
                await seen.wait()
            with pytest.raises(asyncio.CancelledError):
                await call
            await eventually(lambda: b.figures().handlers == 0)
            assert a.connection(b.peer_id).calls == b.connection(a.peer_id).calls == 0
            assert await a.call(b.peer_id, "echo", b"on") == b"on"

    async def test_a_call_that_is_cancelled_at_once_is_heard_by_its_handler(self):
        """
        Request and cancellation arrive together: every handler that began is told that it is over.
        """
        async with pair() as (a, b):
            begun, ended = [], []

            @b.handler("wait")
            async def wait(_peer, _data):
                begun.append(1)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    ended.append(1)
                    raise

            @b.handler("echo")
            async def answer(_peer, data):
                return data

            connection = a.connection(b.peer_id)
            for _ in range(20):
                tokens = [a.endpoint.next_token() for _ in range(10)]
                for token in tokens:
                    a.endpoint.native.call(connection.id, token, b"wait", 60_000, b"")
                a.endpoint._flush_now()
                for token in tokens:
                    a.endpoint.native.cancel(connection.id, token)
                a.endpoint._flush_now()
                assert await a.call(b.peer_id, "echo", b"on", timeout=3) == b"on"
            await eventually(lambda: b.figures().handlers == 0)
            assert len(begun) == len(ended)

    async def test_a_caller_that_vanishes_stops_its_handlers(self):
        """
        When the connection ends, whatever works for it is cancelled.
        """
        async with pair() as (a, b):
            begun, seen = asyncio.Event(), asyncio.Event()

            @b.handler("wait")
            async def wait(_peer, _data):
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    seen.set()

            call = asyncio.create_task(a.call(b.peer_id, "wait"))
            await begun.wait()
            await a.disconnect(b.peer_id)
            with pytest.raises(ConnectionLostError):
                await call
            async with asyncio.timeout(2):
                await seen.wait()
            await eventually(lambda: b.figures().handlers == 0)

    async def test_handlers_do_not_see_each_others_context(self):
        """
        What a handler sets in a context variable is gone with it, for plain handlers too.
        """
        variable = contextvars.ContextVar("variable", default="clean")
        async with pair() as (a, b):

            @b.handler("plain")
            def plain(_peer, data):
                before = variable.get()
                variable.set(data.decode())
                return before.encode()

            @b.handler("coroutine")
            async def coroutine(_peer, data):
                before = variable.get()
                variable.set(data.decode())
                await asyncio.sleep(0)
                assert variable.get() == data.decode()
                return before.encode()

            for name in ("coroutine", "plain", "coroutine", "plain"):
                answers = await asyncio.gather(*(a.call(b.peer_id, name, b"dirty%d" % n) for n in range(5)))
                assert set(answers) == {b"clean"}, name
