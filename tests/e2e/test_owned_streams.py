"""Streams of messages whose owner is told what happens, over real sockets."""

import asyncio

from helpers.nodes import eventually, pair, quiet_node
from kontinuum.transport import CloseCode
from kontinuum.transport.owned_stream import OwnedMessageStream

PROTOCOL = "demo/standing"


class Owner:
    """Writes down what it is told; consumes at once unless told to hold."""

    def __init__(self, *, hold=False):
        self.messages, self.ends, self.rooms, self.hold = [], [], 0, hold

    def on_message(self, stream, message):
        self.messages.append(message)
        if not self.hold:
            stream.consume(len(message))

    def on_room(self, _stream):
        self.rooms += 1

    def on_end(self, stream):
        self.ends.append(stream)


def accept(node, owner):
    """Let ``owner`` have the streams that peers open."""
    taken = []
    node._rpc.add_acceptor(PROTOCOL, lambda stream: taken.append(OwnedMessageStream.adopt(stream, owner)))
    return taken


async def test_messages_arrive_in_order_and_the_end_is_told_once():
    """
    What was queued before the end arrives; both owners hear of an end once, the sender not of its own.
    """
    theirs, ours = Owner(), Owner()
    async with pair() as (a, b):
        accept(b, theirs)
        stream = await OwnedMessageStream.open(a.connection(b.peer_id), PROTOCOL, ours)
        for number in range(3000):
            stream.send_nowait(b"%d" % number)
        await stream.finish()
        await eventually(lambda: theirs.ends)

        assert theirs.messages == [b"%d" % number for number in range(3000)]
        assert stream.send_nowait(b"late") == 0
        assert len(theirs.ends) == 1
        assert ours.ends == []


async def test_who_does_not_consume_stops_the_sender_and_room_is_told_when_it_does():
    """
    Without consumption at most the stream's credit arrives; the rest waits here and is counted, and goes on
    when the peer has consumed.
    """
    theirs, ours = Owner(hold=True), Owner()
    async with pair() as (a, b):
        (streams,) = (accept(b, theirs),)
        stream = await OwnedMessageStream.open(a.connection(b.peer_id), PROTOCOL, ours)
        waiting = [stream.send_nowait(bytes(1024)) for _ in range(2000)][-1]
        assert waiting > 256 * 1024
        assert stream.want_room()
        await asyncio.sleep(0.2)
        assert len(theirs.messages) == 1024  # The credit: 1 MiB.
        assert ours.rooms == 0
        theirs.hold = False
        for message in theirs.messages[:]:
            streams[0].consume(len(message))
        await eventually(lambda: len(theirs.messages) == 2000)
        assert ours.rooms == 1


async def test_a_refused_stream_and_a_lost_connection_are_ends():
    """
    A peer that does not know the protocol refuses it with a code; a connection that ends takes streams along.
    """
    theirs, ours = Owner(), Owner()
    async with pair() as (a, b):
        refused = await OwnedMessageStream.open(a.connection(b.peer_id), "demo/unknown", ours)
        await eventually(lambda: ours.ends)
        assert refused.stopped_code == 5
        accept(b, theirs)
        stream = await OwnedMessageStream.open(a.connection(b.peer_id), PROTOCOL, ours)
        stream.send_nowait(b"x")
        await eventually(lambda: theirs.messages)
        b.connection(a.peer_id).close(CloseCode.NONE, "enough")
        await eventually(lambda: len(ours.ends) == 2 and theirs.ends)
        assert not stream.want_room()


async def test_a_standing_stream_does_not_keep_its_connection_from_making_room():
    """
    At the limit a connection with nothing but a standing stream is closed for a newcomer, who gets the place.
    """
    async with quiet_node(max_connections=1) as hub, quiet_node() as first, quiet_node() as second:
        accept(hub, Owner())
        await first.connect(hub.contact)
        stream = await OwnedMessageStream.open(first.connection(hub.peer_id), PROTOCOL, Owner())
        stream.send_nowait(b"here to stay")
        await eventually(lambda: hub.connection(first.peer_id)._streams)
        assert not hub.connection(first.peer_id).is_busy
        await second.connect(hub.contact)

        await eventually(lambda: hub.connection(first.peer_id) is None)
        assert hub.connection(second.peer_id) is not None
        assert hub.figures().evicted == 1
