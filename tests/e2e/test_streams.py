"""Streams, messages and datagrams between two nodes over real sockets."""

import asyncio
import contextlib

import pytest

from helpers.nodes import NodeProcess, eventually, leftovers, pair, quiet_node, resident_bytes
from kontinuum import MisuseError
from kontinuum.base.errors import KontinuumError
from kontinuum.transport import MESSAGE_BYTES_MAX
from kontinuum.transport.errors import (
    CloseCode,
    ConnectionLostError,
    MessageTooLargeError,
    StreamClosedError,
    StreamEndedError,
    StreamResetError,
    StreamStoppedError,
)

MIB = 2**20


@contextlib.asynccontextmanager
async def both_ends(*, messages=False, bidirectional=True):
    """Our end of a stream, the peer's end, and the two nodes."""
    async with pair() as (a, b):
        theirs, over = asyncio.get_running_loop().create_future(), asyncio.Event()

        async def serve(stream):
            theirs.set_result(stream)
            await over.wait()

        (b.message_handler if messages else b.stream_handler)("test")(serve)
        opening = (a.open_messages if messages else a.open_stream)(
            b.peer_id, "test", bidirectional=bidirectional
        )
        ours = await opening
        async with asyncio.timeout(5):
            stream = await theirs
        yield ours, stream, a, b
        over.set()


class TestBytes:
    async def test_bytes_arrive_in_order_and_whole(self):
        """
        Five megabytes in writes of odd sizes come out as they went in.
        """
        async with both_ends() as (ours, theirs, *_):
            blocks = [bytes([n % 251]) * (n * 37 % 70_001) for n in range(150)]

            async def send():
                for block in blocks:
                    await ours.write(block)
                await ours.finish()

            sending = asyncio.create_task(send())
            received = bytearray()
            while data := await theirs.read(10_007):
                assert len(data) <= 10_007
                received += data
            await sending
            assert received == b"".join(blocks)
            assert await theirs.read() == b""
            await theirs.write(b"thanks")
            assert await ours.read_exactly(6) == b"thanks"

    async def test_an_end_before_the_bytes_that_were_asked_for(self):
        """
        What came is in the error.
        """
        async with both_ends() as (ours, theirs, *_):
            await ours.write(b"abc")
            await ours.finish()
            with pytest.raises(StreamEndedError) as caught:
                await theirs.read_exactly(4)
            assert caught.value.partial == b"abc"
            assert await theirs.read_exactly(0) == b""

    async def test_a_finished_half_takes_no_more_and_the_other_lives(self):
        """
        Writing after finish is misuse; finishing twice is not; the peer may go on.
        """
        async with both_ends() as (ours, theirs, *_):
            await ours.finish()
            await ours.finish()
            with pytest.raises(StreamClosedError):
                await ours.write(b"x")
            await theirs.write(b"still")
            assert await ours.read_exactly(5) == b"still"

    async def test_reset_and_stop_carry_their_codes(self):
        """
        The other side learns the code; nothing else of the connection is touched.
        """
        async with both_ends() as (ours, theirs, a, b):
            ours.reset(77)
            with pytest.raises(StreamResetError) as reset:
                await theirs.read()
            ours.stop(78)
            await eventually(lambda: not theirs.can_send)
            with pytest.raises(StreamStoppedError) as stopped:
                await theirs.write(b"x")
            assert (reset.value.code, stopped.value.code) == (77, 78)
            assert await a.ping(b.peer_id) < 5

    @pytest.mark.parametrize("count", [0, -1])
    async def test_a_read_of_nothing_is_misuse_and_not_the_end(self, count):
        """
        It would look like the end of the stream.
        """
        async with both_ends() as (ours, theirs, *_):
            await ours.write(b"abc")
            with pytest.raises(MisuseError):
                await theirs.read(count)
            assert await theirs.read_exactly(3) == b"abc"

    async def test_two_readers_or_writers_at_once_are_misuse(self):
        """
        The second one is told; the first one gets its bytes.
        """
        async with both_ends() as (ours, theirs, *_):
            first = asyncio.create_task(theirs.read())
            await asyncio.sleep(0)
            with pytest.raises(MisuseError):
                await theirs.read()
            await ours.write(b"for the first")
            assert await first == b"for the first"

    async def test_a_cancelled_read_loses_nothing(self):
        """
        The bytes are there for the next one.
        """
        async with both_ends() as (ours, theirs, *_):
            for number in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await theirs.read()
                await ours.write(b"%02d" % number)
                assert await theirs.read_exactly(2) == b"%02d" % number

    async def test_one_way_streams(self):
        """
        Bytes go one way; the other way is misuse on both sides.
        """
        async with both_ends(bidirectional=False) as (ours, theirs, *_):
            await ours.write(b"one way")
            await ours.finish()
            assert await theirs.read_exactly(7) == b"one way"
            with pytest.raises(MisuseError):
                await theirs.write(b"x")
            with pytest.raises(MisuseError):
                await ours.read()

    async def test_with_finishes_on_success_and_resets_on_failure(self):
        """
        The peer sees a clean end only when the block ended well.
        """
        async with pair() as (a, b):
            seen = asyncio.Queue()

            @b.stream_handler("test")
            async def serve(stream):
                try:
                    while data := await stream.read():
                        await seen.put(data)
                    await seen.put("end")
                except StreamResetError:
                    await seen.put("reset")

            async with await a.open_stream(b.peer_id, "test") as stream:
                await stream.write(b"good")
            with contextlib.suppress(ZeroDivisionError):
                async with await a.open_stream(b.peer_id, "test") as stream:
                    await stream.write(b"bad")
                    assert await seen.get() == b"good"
                    assert await seen.get() == "end"
                    assert await seen.get() == b"bad"
                    raise ZeroDivisionError
            assert await seen.get() == "reset"

    async def test_a_stream_that_nobody_serves_is_refused(self):
        """
        Both halves end with a code; calls of that name are no streams and messages are no bytes.
        """
        async with pair() as (a, b):
            b.handler("call")(lambda _peer, data: data)
            b.message_handler("messages")(lambda _stream: None)
            for name in ("call", "messages", "nope"):
                stream = await a.open_stream(b.peer_id, name)
                with pytest.raises(StreamResetError) as caught:
                    await stream.read()
                assert caught.value.code == 5
                stream.close()
            assert await a.call(b.peer_id, "call", b"x") == b"x"

    async def test_a_failing_stream_handler_resets_its_stream_and_nothing_else(self):
        """
        The peer learns that it is over, not why.
        """
        async with pair() as (a, b):

            @b.stream_handler("test")
            async def serve(stream):
                await stream.read()
                raise ValueError("secret")

            stream = await a.open_stream(b.peer_id, "test")
            await stream.write(b"x")
            with pytest.raises(StreamResetError):
                await stream.read()
            stream.close()
            assert await a.ping(b.peer_id) < 5
            await eventually(lambda: b.figures().handlers == 0)

    async def test_a_thousand_streams_one_after_the_other(self):
        """
        Far more than may be open at once: each frees its place, none is left on either side.
        """
        async with pair() as (a, b):

            @b.stream_handler("echo")
            async def serve(stream):
                while data := await stream.read():
                    await stream.write(data)

            async def one(number):
                async with await a.open_stream(b.peer_id, "echo") as stream:
                    await stream.write(b"%d" % number)
                    await stream.finish()
                    assert await stream.read_exactly(len(b"%d" % number)) == b"%d" % number

            for start in range(0, 1000, 100):
                await asyncio.gather(*(one(start + offset) for offset in range(100)))
            await eventually(lambda: b.figures().handlers == 0)
            await eventually(
                lambda: not a.connection(b.peer_id).is_busy and not b.connection(a.peer_id).is_busy
            )

    async def test_an_open_that_is_cancelled_while_it_waits_costs_no_stream(self):
        """
        Opens beyond the peer's limit wait; given up, they do not use up a place when it comes.
        """
        async with pair(there={"max_streams": 4}) as (a, b):
            gate, served = asyncio.Event(), []

            @b.stream_handler("hold")
            async def serve(stream):
                served.append(stream)
                await gate.wait()

            streams = [await a.open_stream(b.peer_id, "hold") for _ in range(4)]
            waiting = [asyncio.create_task(a.open_stream(b.peer_id, "hold")) for _ in range(8)]
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            gate.set()
            for stream in streams:
                stream.close()
            b.handler("echo")(lambda _peer, data: data)
            async with asyncio.timeout(5):
                for _ in range(20):
                    stream = await a.open_stream(b.peer_id, "hold")
                    stream.close()
                assert await a.call(b.peer_id, "echo", b"on") == b"on"


class TestMessages:
    @pytest.mark.parametrize("size", [0, 1, 65_536, MESSAGE_BYTES_MAX])
    async def test_messages_arrive_whole(self, size):
        """
        Empty ones and the longest as well, in order.
        """
        async with both_ends(messages=True) as (ours, theirs, *_):
            for number in range(3):
                await ours.send(bytes([number]) * size)
                assert await theirs.receive() == bytes([number]) * size
            await ours.finish()
            assert await theirs.receive() is None
            assert await theirs.receive() is None

    async def test_a_message_that_is_too_long_is_refused_here(self):
        """
        Nothing is sent of it, and the stream can still be used.
        """
        async with both_ends(messages=True) as (ours, theirs, *_):
            with pytest.raises(MessageTooLargeError):
                await ours.send(bytes(MESSAGE_BYTES_MAX + 1))
            await ours.send(b"short")
            assert await theirs.receive() == b"short"

    async def test_what_came_before_the_connection_ended_is_not_lost(self):
        """
        Messages that arrived are handed out first, then the loss is told.
        """
        async with both_ends(messages=True) as (ours, theirs, a, b):
            for number in range(5):
                await ours.send(b"%d" % number)
            await eventually(lambda: len(theirs._messages) == 5)
            await a.disconnect(b.peer_id)
            await eventually(lambda: theirs.connection.close_reason)
            assert [await theirs.receive() for _ in range(5)] == [b"%d" % n for n in range(5)]
            with pytest.raises(ConnectionLostError):
                await theirs.receive()

    async def test_two_receivers_at_once_are_misuse(self):
        """
        As with bytes.
        """
        async with both_ends(messages=True) as (ours, theirs, *_):
            first = asyncio.create_task(theirs.receive())
            await asyncio.sleep(0)
            with pytest.raises(MisuseError):
                await theirs.receive()
            await ours.send(b"x")
            assert await first == b"x"


class TestLoss:
    @pytest.mark.parametrize("closer", ["us", "them"])
    async def test_a_lost_connection_wakes_everyone_who_waits(self, closer):
        """
        Readers, writers, receivers, openers and callers get ConnectionLostError, whoever closed.
        """
        async with pair() as (a, b):
            gate = asyncio.Event()

            async def wait(*_):
                await gate.wait()

            b.handler("wait")(wait)
            b.stream_handler("wait")(wait)
            b.message_handler("wait")(wait)
            readers = [await a.open_stream(b.peer_id, "wait") for _ in range(3)]
            messages = await a.open_messages(b.peer_id, "wait")
            writer = await a.open_stream(b.peer_id, "wait")

            async def write():
                while True:
                    await writer.write(bytes(65536))

            waiters = [asyncio.create_task(stream.read()) for stream in readers]
            waiters += [asyncio.create_task(messages.receive()), asyncio.create_task(write())]
            waiters += [asyncio.create_task(a.call(b.peer_id, "wait")) for _ in range(100)]
            fill = [asyncio.create_task(a.open_stream(b.peer_id, "wait")) for _ in range(50)]
            waiters += [asyncio.create_task(a.connection(b.peer_id).wait_closed())]
            await eventually(lambda: writer._writable is not None)
            assert not any(task.done() for task in waiters)
            if closer == "us":
                await a.disconnect(b.peer_id)
            else:
                await b.disconnect(a.peer_id)
            async with asyncio.timeout(5):
                results = await asyncio.gather(*waiters, return_exceptions=True)
                opened = await asyncio.gather(*fill, return_exceptions=True)
            assert all(isinstance(result, ConnectionLostError) for result in results[:-1])
            assert results[-1].code == CloseCode.NONE
            assert sum(isinstance(result, ConnectionLostError) for result in opened) > 0
            for act in (lambda: writer.write(b"x"), readers[0].read, lambda: messages.send(b"x")):
                with pytest.raises(ConnectionLostError):
                    await act()
            await writer.finish()
            writer.close()
            gate.set()
            await eventually(lambda: b.figures().handlers == 0)

    async def test_closing_a_node_in_the_middle_of_everything_leaves_nothing(self):
        """
        Calls and streams of both sides end with errors of ours; no task stays.
        """
        before = leftovers()
        async with quiet_node() as a:
            async with quiet_node() as b:
                began = asyncio.Event()

                @b.handler("wait")
                async def wait(_peer, _data):
                    began.set()
                    await asyncio.Event().wait()

                @b.stream_handler("wait")
                async def stream_wait(stream):
                    while await stream.read():
                        pass

                async def storm():
                    with contextlib.suppress(KontinuumError):
                        while True:
                            await a.call(b.contact, "wait", timeout=0.02)

                async def drain():
                    with contextlib.suppress(KontinuumError):
                        async with await a.open_stream(b.contact, "wait") as stream:
                            while True:
                                await stream.write(bytes(1000))
                                await asyncio.sleep(0)

                calls = [asyncio.create_task(a.call(b.contact, "wait")) for _ in range(20)]
                others = [asyncio.create_task(work()) for work in (storm, drain) for _ in range(5)]
                async with asyncio.timeout(5):
                    await began.wait()
            async with asyncio.timeout(5):
                results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, KontinuumError) for result in results), results
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await eventually(lambda: not leftovers(before))


class TestDatagrams:
    async def test_datagrams_arrive_and_have_a_limit(self):
        """
        One packet each; what fits no packet is refused.
        """
        async with pair() as (a, b):
            got = asyncio.Queue()
            b._rpc.on_datagram = lambda *event: got.put_nowait(event[1])
            connection = a.connection(b.peer_id)
            for data in (b"", b"x", bytes(1000)):
                connection.send_datagram(data)
                async with asyncio.timeout(5):
                    assert await got.get() == data
            with pytest.raises(MessageTooLargeError):
                connection.send_datagram(bytes(70_000))
            await a.disconnect(b.peer_id)
            with pytest.raises(ConnectionLostError):
                connection.send_datagram(b"x")

    async def test_a_flood_of_datagrams_that_nobody_takes_costs_nothing(self):
        """
        They are dropped; calls go on.
        """
        async with pair() as (a, b):
            connection = a.connection(b.peer_id)
            for _ in range(50):
                for _ in range(100):
                    connection.send_datagram(bytes(1000))
                await asyncio.sleep(0)
            assert await a.ping(b.peer_id) < 5


@pytest.mark.slow
class TestBackPressure:
    @pytest.mark.parametrize("kind", ["bytes", "small bytes", "messages", "small messages"])
    async def test_a_reader_that_sleeps_stops_the_sender(self, kind):
        """
        Memory of both processes stays bounded, and when the reader wakes everything arrives.
        """
        messages, block = "messages" in kind, bytes(64 if "small" in kind else 65536)
        async with NodeProcess() as peer, quiet_node() as a:
            await a.connect(peer.contact)
            opening = a.open_messages if messages else a.open_stream
            stream = await opening(peer.contact, "held")
            send = stream.send if messages else stream.write
            before = resident_bytes(), int(await a.call(peer.contact, "memory"))
            sent = 0

            async def pump():
                nonlocal sent
                while True:
                    await send(block)
                    sent += 1

            sending = asyncio.create_task(pump())
            last = -1
            while sent != last:  # Until nothing moves for a while.
                last = sent
                await asyncio.sleep(0.3)
            after = resident_bytes(), int(await a.call(peer.contact, "memory"))
            assert sent * len(block) < 8 * MIB
            assert after[0] - before[0] < 24 * MIB
            assert after[1] - before[1] < 24 * MIB
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            # The write that was cancelled while it waited is queued whole.
            await a.call(peer.contact, "release")
            await stream.finish()
            async with asyncio.timeout(20):
                total = int.from_bytes(
                    (await stream.receive()) if messages else (await stream.read_exactly(8))
                )
            assert total in ((sent, sent + 1) if messages else (sent * len(block), (sent + 1) * len(block)))
            stream.close()
