"""Calls between two nodes over real sockets: what goes there and what comes back."""

import asyncio
import contextlib
import functools

import pytest

from helpers.handlers import echo
from helpers.nodes import pair
from kontinuum import MisuseError
from kontinuum.rpc.errors import CallTooLargeError, RemoteError, UnknownProtocolError
from kontinuum.transport import MESSAGE_BYTES_MAX

MIB = 2**20


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
