"""Calls between two nodes over real sockets."""

import asyncio
import contextlib
import contextvars
import functools
import gc

import pytest

from helpers.nodes import eventually, leftovers, pair, quiet_node
from kontinuum import CallError, Contact, MisuseError, PeerId
from kontinuum.base.errors import KontinuumError
from kontinuum.node.errors import NoAddressError, UnknownPeerError
from kontinuum.rpc.errors import (
    BusyError,
    CallTimeoutError,
    CallTooLargeError,
    RemoteError,
    UnknownProtocolError,
)
from kontinuum.transport import MESSAGE_BYTES_MAX
from kontinuum.transport.errors import ConnectionLostError

MIB = 2**20
SECRET = "swordfish-4711"


async def echo(_peer, data):
    """What comes goes back."""
    return data


class TestAnswers:
    async def test_handlers_get_the_caller_and_its_bytes_and_their_result_is_the_reply(self):
        """
        Coroutine and plain handlers know who calls; many protocols live side by side.
        """
        async with pair() as (a, b):
            for number in range(50):
                b.handler(f"many/{number}")(
                    functools.partial(lambda number, _peer, _data: b"%d" % number, number)
                )

            @b.handler("who/plain")
            def plain(peer, data):
                return peer + data

            @b.handler("who/coroutine")
            async def coroutine(peer, data):
                await asyncio.sleep(0)
                return peer + data

            assert await a.call(b.peer_id, "who/plain", b"!") == a.peer_id + b"!"
            assert await a.call(b.peer_id, "who/coroutine", b"?") == a.peer_id + b"?"
            answers = await asyncio.gather(*(a.call(b.peer_id, f"many/{n}") for n in range(50)))
            assert answers == [b"%d" % n for n in range(50)]

    async def test_both_sides_of_one_connection_may_call(self):
        """
        The side that was dialled calls back over the same connection.
        """
        async with pair() as (a, b):
            a.handler("echo")(echo)
            assert await b.call(a.peer_id, "echo", b"back") == b"back"
            assert len(a.endpoint.connections) == len(b.endpoint.connections) == 1

    async def test_callables_of_every_sort_are_handlers(self):
        """
        A wrapped coroutine function, an object with an async call and a partial work like a bare function.
        """

        def wrapped(function):
            @functools.wraps(function)
            def inner(*arguments):
                return function(*arguments)

            return inner

        class Handler:
            async def __call__(self, _peer, data):
                await asyncio.sleep(0)
                return data

            async def method(self, _peer, data):
                return data

        async with pair() as (a, b):
            kinds = {
                "wrapped": wrapped(echo),
                "object": Handler(),
                "method": Handler().method,
                "partial": functools.partial(echo),
            }
            for name, function in kinds.items():
                b.handler(name)(function)
                assert await a.call(b.peer_id, name, b"x", timeout=3) == b"x", name

    @pytest.mark.parametrize("result", [b"", None, bytearray(b"ab"), memoryview(b"ab")])
    async def test_a_result_may_be_any_sort_of_bytes_or_nothing(self, result):
        """
        Bytes, a bytearray, a view, or nothing at all.
        """
        async with pair() as (a, b):
            b.handler("x")(lambda _peer, _data: result)
            assert await a.call(b.peer_id, "x", timeout=3) == bytes(result or b"")

    @pytest.mark.parametrize("result", ["text", 5, {"a": 1}, [b"x"], object()])
    async def test_a_result_that_is_no_bytes_is_a_failure_of_the_handler(self, result):
        """
        The caller gets a typed error and the node goes on.
        """
        async with pair() as (a, b):

            async def coroutine(_peer, _data):
                return result

            b.handler("plain")(lambda _peer, _data: result)
            b.handler("coroutine")(coroutine)
            b.handler("echo")(echo)
            for name in ("plain", "coroutine"):
                with pytest.raises(RemoteError) as caught:
                    await a.call(b.peer_id, name, timeout=3)
                assert caught.value.code == 2
            assert await a.call(b.peer_id, "echo", b"on") == b"on"

    async def test_one_protocol_has_one_handler_and_a_name_has_bounds(self):
        """
        A second handler, an empty name and one of 129 bytes are refused; 128 bytes work.
        """
        async with pair() as (a, b):
            b.handler("echo")(echo)
            b.handler("é" * 64)(echo)
            for name in ("echo", "", "x" * 129, "é" * 65):
                with pytest.raises(MisuseError):
                    b.handler(name)(echo)
            for name in ("", "x" * 129):
                with pytest.raises(MisuseError):
                    await a.call(b.peer_id, name)
            assert await a.call(b.peer_id, "é" * 64, b"1") == b"1"

    async def test_an_unknown_protocol_is_named_in_the_error(self):
        """
        The caller learns which protocol the peer does not know.
        """
        async with pair() as (a, b):
            with pytest.raises(UnknownProtocolError, match="no/such"):
                await a.call(b.peer_id, "no/such")


class TestSizes:
    async def test_requests_and_replies_of_exactly_one_mebibyte(self):
        """
        The limit itself passes, in both directions.
        """
        async with pair() as (a, b):
            b.handler("echo")(echo)
            data = bytes(range(256)) * (MIB // 256)
            assert MESSAGE_BYTES_MAX == MIB
            assert await a.call(b.peer_id, "echo", data) == data

    async def test_one_byte_beyond_is_a_typed_error_and_never_looks_like_a_reply(self):
        """
        A request that is too long is refused here; a reply that is too long arrives as an error.
        """
        async with pair() as (a, b):
            called = []
            b.handler("note")(lambda _peer, data: called.append(data))
            b.handler("long")(lambda _peer, _data: bytes(MIB + 1))
            with pytest.raises(CallTooLargeError):
                await a.call(b.peer_id, "note", bytes(MIB + 1))
            assert called == []
            with pytest.raises(RemoteError) as caught:
                await a.call(b.peer_id, "long", timeout=5)
            assert caught.value.code == 2
            assert await a.call(b.peer_id, "note", b"on") == b""
            assert b.figures().calls[("incoming", "failed")] == 1

    async def test_a_late_handler_cannot_add_to_a_reply_that_is_on_its_way(self):
        """
        A handler that catches its cancellation and still answers: one whole reply arrives, nothing more.
        """
        async with pair(there={"call_timeout_s": 0.05, "call_timeout_max_s": 0.05}) as (a, b):

            @b.handler("stubborn")
            async def stubborn(_peer, _data):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
                return bytes(MIB)

            replies = await asyncio.gather(*(a.call(b.peer_id, "stubborn", timeout=10) for _ in range(20)))
            assert all(reply == bytes(MIB) for reply in replies)


class TestFailures:
    @pytest.mark.parametrize("kind", ["plain", "coroutine", "later"])
    @pytest.mark.parametrize(
        "error",
        [
            ValueError(SECRET),
            KeyError(SECRET),
            ExceptionGroup(SECRET, [OSError(SECRET)]),
            StopIteration(SECRET),
            TimeoutError(SECRET),
            KontinuumError(SECRET),
            RemoteError(500, SECRET),
            BusyError(SECRET),
            asyncio.CancelledError(SECRET),
            RecursionError(SECRET),
            AssertionError(SECRET),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_whatever_a_handler_raises_stays_with_its_node(self, kind, error):
        """
        The caller gets RemoteError without a word of the exception, at once, and the node goes on.
        """
        async with pair() as (a, b):

            async def coroutine(_peer, _data):
                raise error

            async def later(_peer, _data):
                await asyncio.sleep(0)
                raise error

            def plain(_peer, _data):
                raise error

            b.handler("fail")({"plain": plain, "coroutine": coroutine, "later": later}[kind])
            b.handler("echo")(echo)
            with pytest.raises(RemoteError) as caught:
                await a.call(b.peer_id, "fail", timeout=3)
            told = f"{caught.value} {caught.value!r} {caught.value.text} {caught.value.__cause__}"
            assert caught.value.code == 2
            assert SECRET not in told
            assert type(error).__name__ not in told.replace("RemoteError", "")
            assert await a.call(b.peer_id, "echo", b"on", timeout=3) == b"on"

    @pytest.mark.parametrize("code", [100, 404, 999])
    async def test_a_call_error_carries_its_code_and_text(self, code):
        """
        A handler tells its caller something on purpose.
        """
        async with pair() as (a, b):

            @b.handler("refuse")
            async def refuse(_peer, _data):
                raise CallError(code, "not on Sundays")

            with pytest.raises(RemoteError, match="not on Sundays") as caught:
                await a.call(b.peer_id, "refuse")
            assert (caught.value.code, caught.value.text) == (code, "not on Sundays")

    @pytest.mark.parametrize(
        ("text", "arrives"),
        [
            ("é" * 300, "é" * 128),
            ("x" * 256, "x" * 256),
            ("a" + "é" * 300, "a" + "é" * 127),
            ("\ud800!", "?!"),
        ],
    )
    async def test_a_long_or_broken_text_arrives_cut_but_whole(self, text, arrives):
        """
        At most 256 bytes travel, no character is cut in two, and what is no text still gives an answer.
        """
        async with pair() as (a, b):

            @b.handler("refuse")
            def refuse(_peer, _data):
                raise CallError(500, text)

            with pytest.raises(RemoteError) as caught:
                await a.call(b.peer_id, "refuse", timeout=3)
            assert (caught.value.code, caught.value.text) == (500, arrives)

    @pytest.mark.parametrize("code", [0, 2, 99, 1000, -1, 2**64, 100.5, "100", True, None])
    async def test_a_code_of_the_protocol_or_no_code_at_all_is_the_handlers_failure(self, code):
        """
        Codes outside 100 to 999 cannot be chosen: the caller sees a failure, not a faked status.
        """
        async with pair() as (a, b):

            @b.handler("refuse")
            def refuse(_peer, _data):
                raise CallError(code, SECRET)

            with pytest.raises(RemoteError) as caught:
                await a.call(b.peer_id, "refuse", timeout=3)
            assert caught.value.code == 2
            assert SECRET not in str(caught.value)


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


class TestNames:
    async def test_every_form_of_naming_a_peer_works(self):
        """
        The identity, both of its texts, the contact and its text mean the same peer.
        """
        async with quiet_node() as a, quiet_node() as b:
            b.handler("echo")(echo)
            forms = [b.contact.to_text(), b.contact, b.peer_id, b.peer_id.hex(), b.peer_id.libp2p]
            for form in (*forms, b.peer_id.hex().upper()):
                assert await a.call(form, "echo", b"x") == b"x"
                assert (await a.connect(form)).peer_id == b.peer_id
            assert len(a.endpoint.connections) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "hello",
            "00",
            "g" * 64,
            "0" * 64,
            "01" + "0" * 62,
            "12D3KooW",
            "kontinuum:",
            "kontinuum:AAAA",
            "é" * 64,
        ],
    )
    async def test_a_text_that_names_nobody_is_the_callers_mistake(self, text):
        """
        It is refused with an error of ours, at once.
        """
        async with quiet_node() as a:
            for act in (a.connect, a.ping, functools.partial(a.call, protocol="x"), a.disconnect):
                with pytest.raises(KontinuumError):
                    await act(text)

    @pytest.mark.parametrize("peer", [None, 5, b"x" * 32, ["a"]])
    async def test_what_is_no_name_at_all_is_misuse(self, peer):
        """
        A wrong type gives an error that says what is expected.
        """
        async with quiet_node() as a:
            with pytest.raises(UnknownPeerError):
                await a.call(peer, "x")

    async def test_oneself_and_strangers(self):
        """
        A node does not dial itself, not even at a given address; an unknown identity has no address.
        """
        async with quiet_node() as a, quiet_node() as b:
            for peer in (a.peer_id, a.contact, a.peer_id.hex()):
                with pytest.raises(UnknownPeerError):
                    await a.connect(peer)
                with pytest.raises(UnknownPeerError):
                    await a.connect(peer, address=a.endpoint.local_address)
            with pytest.raises(NoAddressError):
                await a.call(b.peer_id, "x")
            assert (await a.connect(b.peer_id, address=b.endpoint.local_address)).connected
            assert isinstance(b.contact, Contact)
            assert isinstance(a.peer_id, PeerId)
