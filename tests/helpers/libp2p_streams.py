"""Streams without a network: our end as ``RawStream`` has it, the other end in the hands of a test."""

import heapq
from itertools import count

from kontinuum.libp2p.multistream import HEADER_LINE, REFUSAL_LINE, line
from kontinuum.transport.errors import CloseKind, CloseReason, ConnectionLostError, StreamResetError

HELLO = b"all our topics"
"""What FakeRouter says to who joins."""

LOST = CloseReason(CloseKind.TIMED_OUT, 0, "")


class FakeConnection:
    """What conversations need of a connection."""

    def __init__(self, peer_id, *, outbound=True, port=4001):
        self.peer_id, self.outbound = peer_id, outbound
        self.local_id = None
        self.remote_address = ("192.0.2.7", port)
        self.closed_with = None
        self.streams = []

    def close(self, code=0, _reason=""):
        self.closed_with = code

    def is_lost(self):
        """All of its streams learn that it is over."""
        for stream in self.streams:
            stream.loses_connection()


class FakeStream:
    """One stream. What we do with it is written down; ``says``, ``ends`` and so on are the peer's doing."""

    def __init__(self, connection, *, inbound):
        self.connection, self.inbound = connection, inbound
        connection.streams.append(self)
        self.protocol, self.standing = "", False
        self.sent = bytearray()
        self.finished, self.reset_with, self.stopped_with = False, None, None
        self.can_send, self.can_receive = True, True
        self.waiting = 0
        """Bytes that ``send_nowait`` says are waiting."""
        self.room_wanted = False
        self.unread = bytearray()
        self._end = None
        self._listener = None
        self._seen = 0

    # --- as RawStream ---

    def listen(self, listener):
        self._listener = listener

    def read_nowait(self, bytes_max):
        if self.unread:
            data = bytes(self.unread[:bytes_max])
            del self.unread[:bytes_max]
            return data
        if isinstance(self._end, Exception):
            self.can_receive = False
            raise self._end
        if self._end is not None:
            self.can_receive = False
            return b""
        return None

    def send_nowait(self, data):
        if not self.can_send:
            return 0
        self.sent += data
        return self.waiting

    def want_room(self):
        self.room_wanted = self.can_send and self.waiting > 0
        return self.room_wanted

    def finish_nowait(self):
        if self.can_send:
            self.can_send, self.finished = False, True

    def reset(self, code=0):
        if self.can_send:
            self.can_send, self.reset_with = False, code

    def stop(self, code=0):
        if self.can_receive:
            self.can_receive, self.stopped_with = False, code
            self.unread.clear()

    # --- the peer's doing ---

    def says(self, data):
        """It sends bytes."""
        if self.can_receive:
            self.unread += data
            self._listener.on_readable(self)

    def ends(self):
        """It finishes its half."""
        self._finish("finished")

    def gives_up(self, code=0):
        """It resets its half."""
        self._finish(StreamResetError(code))

    def refuses(self):
        """It refuses our half."""
        self.can_send = False
        self._listener.on_send_end(self)

    def reads_all(self):
        """It has read all that waited."""
        self.waiting = 0
        if self.room_wanted:
            self.room_wanted = False
            self._listener.on_room(self)

    def loses_connection(self):
        """The connection is gone."""
        could_send, self.can_send = self.can_send, False
        self._finish(ConnectionLostError(LOST))
        if could_send and self._listener is not None:
            self._listener.on_send_end(self)

    def taken(self):
        """What we have sent since this was asked last."""
        new = bytes(self.sent[self._seen :])
        self._seen = len(self.sent)
        return new

    @property
    def is_untouched(self):
        """We have neither ended nor refused anything of it."""
        return not self.finished and self.reset_with is None and self.stopped_with is None

    def _finish(self, end):
        if self._end is None:
            self._end = end
            if self._listener is not None and (self.can_receive or self.unread):
                self._listener.on_readable(self)

    # --- both ends of a negotiation ---

    def proposes(self, protocol, rest=b""):
        """It proposes a protocol on a stream of its own."""
        self.says(HEADER_LINE + line(protocol) + rest)

    def agrees(self, protocol, rest=b""):
        """It agrees to what we proposed."""
        self.says(HEADER_LINE + line(protocol) + rest)

    def declines(self):
        """It refuses what we proposed."""
        self.says(HEADER_LINE + REFUSAL_LINE)


class FakeTimer:
    """Can be cancelled."""

    def __init__(self, callback):
        self.callback = callback

    def cancel(self):
        self.callback = None


class FakeShell:
    """Virtual time; streams open at once, or when the test says so, or never."""

    def __init__(self):
        self.time, self.timers, self.streams = 0.0, [], []
        self.waiting = None
        """A list: openings wait in it as (connection, opened, failed)."""
        self._number = count()

    def now(self):
        return self.time

    def call_later(self, delay_s, callback):
        timer = FakeTimer(callback)
        heapq.heappush(self.timers, (self.time + delay_s, next(self._number), timer))
        return timer

    def call_soon(self, callback):
        return self.call_later(0.0, callback)

    def open_stream(self, connection, opened, failed):
        if self.waiting is not None:
            self.waiting.append((connection, opened, failed))
            return
        stream = FakeStream(connection, inbound=False)
        self.streams.append(stream)
        opened(stream)

    def advance(self, seconds):
        """Let time pass, and what is due happen."""
        end = self.time + seconds
        while self.timers and self.timers[0][0] <= end:
            self.time, _, timer = heapq.heappop(self.timers)
            if timer.callback is not None:
                timer.callback()
        self.time = end

    def pending(self):
        """Timers that will still be called."""
        return sum(timer.callback is not None for _, _, timer in self.timers)


class FakeRouter:
    """Says HELLO to whom it is told to, as the real one does."""

    def __init__(self):
        self.joins, self.lefts, self.rpcs, self.rooms = [], [], [], []
        self.streams, self.consumers = {}, []
        self.is_slow = False

    def joined(self, peer_id, stream):
        self.joins.append(stream.protocol)
        self.streams[peer_id] = stream
        stream.send(HELLO)

    def left(self, peer_id, stream):
        assert self.streams.pop(peer_id) is stream
        self.lefts.append(stream.protocol)

    def greet(self, peer_id):
        self.streams[peer_id].send(HELLO)

    def received(self, peer_id, rpc, consumed):
        assert peer_id in self.streams, "the router takes nothing from strangers"
        self.rpcs.append(rpc)
        if self.is_slow:
            self.consumers.append((consumed, len(rpc)))
        else:
            consumed(len(rpc))

    def writable(self, peer_id, stream, waiting_bytes):
        assert self.streams[peer_id] is stream
        self.rooms.append(waiting_bytes)

    def consumes(self):
        """It has looked at all it was given."""
        consumers, self.consumers = self.consumers, []
        for consumed, length in consumers:
            consumed(length)
