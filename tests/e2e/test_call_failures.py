"""Calls whose handler fails, by accident or on purpose: what its caller learns, and what it must not."""

import asyncio

import pytest

from helpers.handlers import echo
from helpers.nodes import pair
from kontinuum import CallError
from kontinuum.base.errors import KontinuumError
from kontinuum.rpc.errors import BusyError, RemoteError

SECRET = "swordfish-4711"


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
