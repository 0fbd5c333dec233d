"""What is left, and what still arrives, when handlers, streams, connections and nodes end."""

import asyncio
import contextlib

import pytest

from helpers.nodes import eventually, pair, quiet_node
from kontinuum import MisuseError
from kontinuum.rpc.errors import BusyError, CallTimeoutError, RemoteError
from kontinuum.transport.errors import ConnectionLostError


class UnusualError(BaseException):
    """What no ``except Exception`` catches."""


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [UnusualError, GeneratorExit])
async def test_a_handler_may_raise_anything_and_cripples_nothing(waits, error):
    """
    Its caller is told that it failed; further calls are answered as before, and nothing counts as at work.
    """
    async with pair() as (a, b):

        @b.handler("bad")
        async def bad(_peer, _data):
            if waits:
                await asyncio.sleep(0)
            raise error

        @b.handler("good")
        async def good(_peer, data):
            return data

        for _ in range(3):
            with pytest.raises(RemoteError):
                await a.call(b.peer_id, "bad", timeout=5)
        calls = [a.call(b.peer_id, "good", b"%d" % n, timeout=5) for n in range(50)]

        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(50)]
        assert b.connection(a.peer_id).calls == 0
        assert not b.endpoint.flush_scheduled or await eventually(lambda: not b.endpoint.flush_scheduled)


async def test_a_plain_handler_may_return_an_awaitable_now_and_then():
    """
    Each result is taken for what it is; one awaitable does not make all later results wrong.
    """
    async with pair() as (a, b):

        async def later(data):
            await asyncio.sleep(0)
            return b"later " + data

        @b.handler("mixed")
        def mixed(_peer, data):
            return later(data) if data == b"wait" else b"now " + data

        answers = [await a.call(b.peer_id, "mixed", data) for data in (b"x", b"wait", b"y", b"wait", b"z")]

        assert answers == [b"now x", b"later wait", b"now y", b"later wait", b"now z"]


async def test_a_caller_that_gives_up_at_once_is_heard_by_the_handler():
    """
    The request and its cancellation arrive together: the handler still learns that it was cancelled.
    """
    async with pair() as (a, b):
        heard = asyncio.Event()

        @b.handler("slow")
        async def slow(_peer, _data):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard.set()
                raise

        for _ in range(20):
            heard.clear()
            call = asyncio.create_task(a.call(b.peer_id, "slow"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await eventually(lambda: not b.figures().handlers)


async def test_what_was_finished_arrives_although_the_node_leaves():
    """
    A node that writes, finishes and closes has not lost its last bytes.
    """
    async with quiet_node() as b:
        received = asyncio.get_running_loop().create_future()

        @b.stream_handler("sink")
        async def sink(stream):
            size = 0
            try:
                while data := await stream.read():
                    size += len(data)
            except ConnectionLostError:
                size = -size
            received.set_result(size)

        async with quiet_node() as a:
            stream = await a.open_stream(b.contact, "sink")
            await stream.write(bytes(200_000))
            await stream.finish()
        async with asyncio.timeout(5):
            assert await received == 200_000


async def test_a_silent_peer_does_not_hold_a_leaving_node_up(monkeypatch):
    """
    Closing waits for acknowledgements only for so long.
    """
    monkeypatch.setattr("kontinuum.transport.endpoint.CLOSE_DRAIN_S", 0.2)
    async with quiet_node() as b, quiet_node() as a:

        @b.stream_handler("sink")
        async def sink(_stream):
            await asyncio.sleep(60)

        stream = await a.open_stream(b.contact, "sink")
        await stream.write(bytes(100_000))
        b.endpoint.loop.remove_reader(b.endpoint.native.filenos()[0])
        b.endpoint.loop.remove_reader(b.endpoint.native.filenos()[1])
        await stream.finish()
        async with asyncio.timeout(5):
            await a.close()


async def test_the_cap_holds_under_a_burst_and_the_idle_make_room():
    """
    Twelve peers dial a node for three at once: it never keeps more, and whoever comes later still gets in.
    """
    async with contextlib.AsyncExitStack() as stack:
        small = await stack.enter_async_context(quiet_node(max_connections=3))
        others = [await stack.enter_async_context(quiet_node()) for _ in range(12)]

        await asyncio.gather(*(other.connect(small.contact) for other in others), return_exceptions=True)
        await eventually(lambda: len(small.endpoint.connections) <= 3)

        late = await stack.enter_async_context(quiet_node())
        await late.connect(small.contact)
        assert await late.ping(small.peer_id) < 5
        await eventually(lambda: len(small.endpoint.connections) <= 3)


async def test_an_opener_that_is_cancelled_when_its_turn_comes_gives_the_stream_back():
    """
    Not one of the places for streams is lost, whenever the opener was cancelled.
    """
    async with pair(there={"max_streams": 1}) as (a, b):
        open_now = []

        @b.stream_handler("hold")
        async def hold(stream):
            open_now.append(stream)
            await stream.read()
            open_now.remove(stream)

        for turns in range(12):
            first = await a.open_stream(b.peer_id, "hold")
            second = asyncio.create_task(a.open_stream(b.peer_id, "hold"))
            await asyncio.sleep(0.01)
            await first.finish()
            first.stop()
            for _ in range(turns):
                await asyncio.sleep(0)
            second.cancel()
            done = (await asyncio.gather(second, return_exceptions=True))[0]
            if not isinstance(done, asyncio.CancelledError):
                done.close()

        async with asyncio.timeout(5):
            last = await a.open_stream(b.peer_id, "hold")
        last.close()


async def test_thousands_of_calls_that_wait_can_be_given_up_cheaply():
    """
    A peer that answers nothing cannot make our own time-outs expensive; then it is as if nothing had been.
    """
    async with pair(there={"max_streams": 1}) as (a, b):
        free = asyncio.Event()

        @b.handler("stuck")
        async def stuck(_peer, _data):
            await free.wait()

        calls = [asyncio.create_task(a.call(b.peer_id, "stuck", timeout=0.5)) for _ in range(5000)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, CallTimeoutError | BusyError) for result in results)

        free.set()
        assert await a.ping(b.peer_id) < 5


@pytest.mark.parametrize("name", ["", "x" * 129, "\ud800"])
async def test_a_bad_protocol_name_is_refused_where_it_is_given(name):
    """
    For calls, streams and handlers alike, before anything is sent.
    """
    async with pair() as (a, b):
        with pytest.raises(MisuseError):
            await a.call(b.peer_id, name)
        with pytest.raises(MisuseError):
            await a.open_stream(b.peer_id, name)
        with pytest.raises(MisuseError):
            b.handler(name)(lambda _peer, data: data)


async def test_a_second_writer_is_refused_before_its_bytes_are_taken():
    """
    What raised was not sent, so that trying again sends it once.
    """
    async with pair() as (a, b):
        received, go = [], asyncio.Event()

        @b.message_handler("sink")
        async def sink(stream):
            await go.wait()
            received.extend([len(message) async for message in stream])

        stream = await a.open_messages(b.peer_id, "sink")
        results = []

        async def send():
            try:
                await stream.send(bytes(400_000))
            except MisuseError:
                results.append("refused")
            else:
                results.append("sent")

        sends = [asyncio.create_task(send()) for _ in range(8)]
        await eventually(lambda: "refused" in results)
        go.set()
        await asyncio.gather(*sends)
        await stream.finish()

        await eventually(lambda: len(received) == results.count("sent"))


async def test_an_address_that_is_none_is_misuse_and_leaves_nothing():
    """
    The dial never began.
    """
    async with pair() as (a, b):
        with pytest.raises(MisuseError):
            await a.endpoint.dial(b.peer_id, ("no address", 1))
        with pytest.raises(MisuseError):
            await a.endpoint.dial(b.peer_id, ("127.0.0.1", 70_000))
        assert a.endpoint._dials == {}
