"""What waits to be sent to one peer: by importance, bounded in bytes and in age.

Nobody ever waits for a peer. Control goes first (subscriptions, GRAFT, PRUNE, IDONTWANT), then our own
messages, then those we forward, then gossip (IHAVE, IWANT, and messages that were asked for). What is over a
bound is dropped and counted; the ids of dropped messages are remembered, so that the next heartbeat can
announce them.

Source:   our own; go-libp2p-pubsub has an urgent queue, rust-libp2p one with two priorities.
Bounds:   ``bytes_max`` of messages and gossip, CONTROL_BYTES_MAX of control; the AGE_* of their kinds.
Trust:    a peer that reads slowly, or never, costs its own messages.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeAlias

from kontinuum.messages.pubsub_fields import control_field

if TYPE_CHECKING:
    from kontinuum.gossip.counters import Counters

CONTROL_BYTES_MAX = 4 * 2**20
"""Bytes of subscriptions and control messages that wait for one peer. Our choice: a greeting with 10,000
topics has 2.7 MB. Beyond it the peer is told nothing true any more, so the router asks for the end of its
connection."""

OWN_AGE_MAX_S = 30.0
"""Seconds that a message of our own waits. Our choice: we are its only source."""

FORWARD_AGE_MAX_S = 5.0
"""Seconds that a message of another one waits. Our choice: as long as it can be asked for (mcache_len)."""

GOSSIP_AGE_MAX_S = 3.0
"""Seconds that gossip waits. Our choice: later a promise is broken anyway."""

MISSED_MAX = 5000
"""Ids of dropped messages that are remembered. As max_ihave_length. Further ones are not announced."""

Item: TypeAlias = tuple[float, bytes, bytes]
"""When it is too old; a field of an RPC, or a part of a control field; the message's id, or empty bytes for a
part of a control field. One item is shared by the queues of all peers that it goes to."""


class Outbox:
    """The queues of one peer.

    Args:
        room_bytes: What its stream takes now.
        rpc_bytes: Bytes up to which several things share an RPC.
        bytes_max: Bytes of messages and gossip that may wait.
        counters: Where drops are counted.
    """

    __slots__ = (
        "_bytes_max",
        "_control",
        "_control_bytes",
        "_counters",
        "_rpc_bytes",
        "_subscriptions",
        "bytes",
        "dont_want",
        "dropped",
        "forward",
        "gossip",
        "is_marked",
        "is_overflown",
        "missed",
        "own",
        "room_bytes",
        "stalled_since",
    )

    def __init__(self, room_bytes: int, *, rpc_bytes: int, bytes_max: int, counters: Counters) -> None:
        self.room_bytes = room_bytes
        self.is_marked = False
        """Something was put in since the last :meth:`flush`."""
        self.own: deque[Item] = deque()
        self.forward: deque[Item] = deque()
        self.gossip: deque[Item] = deque()
        self.bytes = 0
        """What waits in these three."""
        self.dont_want: dict[bytes, int] = {}
        """Ids of messages that the peer does not want (IDONTWANT), with the heartbeat until which that
        holds."""
        self.missed: dict[bytes, None] = {}
        """Ids of messages that were dropped and not announced yet."""
        self.dropped = 0
        """Messages that were dropped since somebody set it to 0."""
        self.is_overflown = False
        """More control messages waited than may; some are lost."""
        self.stalled_since: float | None = None
        """Since when something has been waiting and nothing was sent."""
        self._subscriptions: deque[bytes] = deque()
        self._control: OrderedDict[bytes, None] = OrderedDict()
        self._control_bytes = 0
        self._rpc_bytes = rpc_bytes
        self._bytes_max = bytes_max
        self._counters = counters

    def __len__(self) -> int:
        """How many things wait."""
        messages = len(self.own) + len(self.forward) + len(self.gossip)
        return messages + len(self._subscriptions) + len(self._control)

    def is_stalled(self, since: float) -> bool:
        """Whether something has been waiting since then, or longer, and nothing was sent."""
        return self.stalled_since is not None and self.stalled_since <= since

    # --- putting in. ``Forwarding`` does it itself: it is done for each message and each peer of a mesh

    def put_subscription(self, field: bytes) -> None:
        """Tell it before all else."""
        if self._has_control_room(field):
            self._subscriptions.append(field)

    def put_control(self, part: bytes) -> None:
        """Tell it next; in the order of the calls, and the same thing once."""
        if part in self._control:
            self._control.move_to_end(part)
        elif self._has_control_room(part):
            self._control[part] = None

    def forget_control(self) -> None:
        """The stream was opened anew: what waited to be told of topics and meshes is told anew, or over."""
        self._subscriptions.clear()
        self._control.clear()
        self._control_bytes = 0

    def withdraw_control(self, part: bytes) -> None:
        """Do not tell it, if it still waits."""
        if part in self._control:
            del self._control[part]
            self._control_bytes -= len(part)

    def put_own(self, item: Item) -> None:
        """A message of our own."""
        self._put(self.own, item)

    def put_forward(self, item: Item) -> None:
        """A message of another one."""
        self._put(self.forward, item)

    def put_gossip(self, item: Item) -> None:
        """Gossip, or a message that was asked for."""
        self._put(self.gossip, item)

    def shrink(self) -> None:
        """Drop the least important, of that the newest, until what waits is within its bound."""
        for queue in (self.gossip, self.forward, self.own):
            while queue and self.bytes > self._bytes_max:
                item = queue.pop()
                self.bytes -= len(item[1])
                self._counters.dropped_queue_full += 1
                self._missed(item)

    @property
    def bytes_max(self) -> int:
        """What may wait."""
        return self._bytes_max

    def _put(self, queue: deque[Item], item: Item) -> None:
        queue.append(item)
        self.bytes += len(item[1])
        if self.bytes > self._bytes_max:
            self.shrink()

    def _has_control_room(self, part: bytes) -> bool:
        if self._control_bytes + len(part) > CONTROL_BYTES_MAX:
            self.is_overflown = True
            self._counters.dropped_control += 1
            return False
        self._control_bytes += len(part)
        return True

    def _missed(self, item: Item) -> None:
        message_id = item[2]
        if message_id:
            self.dropped += 1
            if len(self.missed) < MISSED_MAX:
                self.missed[message_id] = None

    # --- taking out ---

    def flush(self, now: float) -> list[bytes]:
        """The RPCs that are to be sent now: as many as the stream takes."""
        self.is_marked = False
        rpcs: list[bytes] = []
        while self.room_bytes > 0:
            rpc = self._next_rpc(now)
            if not rpc:
                break
            self.room_bytes -= len(rpc)
            rpcs.append(rpc)
        if rpcs or not len(self):
            self.stalled_since = None if not len(self) else now
        elif self.stalled_since is None:
            self.stalled_since = now
        return rpcs

    def expire(self, now: float) -> None:
        """Drop what is too old; :meth:`flush` does that too, but not while the stream takes nothing."""
        for queue in (self.own, self.forward, self.gossip):
            while queue and queue[0][0] < now:
                item = queue.popleft()
                self.bytes -= len(item[1])
                self._counters.dropped_too_old += 1
                self._missed(item)

    def _next_rpc(self, now: float) -> bytes:
        limit = self._rpc_bytes
        fields: list[bytes] = []
        parts: list[bytes] = []
        size = 0
        if self._control_bytes:
            size = self._take_control(fields, parts)
        for queue in (self.own, self.forward, self.gossip):
            while queue:
                item = queue[0]
                expires_at, content, message_id = item
                if message_id in self.dont_want:
                    self._counters.idontwant_honoured += 1
                elif expires_at < now:
                    self._counters.dropped_too_old += 1
                    self._missed(item)
                elif size and size + len(content) > limit:
                    return _rpc(fields, parts)
                else:
                    (fields if message_id else parts).append(content)
                    size += len(content)
                queue.popleft()
                self.bytes -= len(content)
        return _rpc(fields, parts)

    def _take_control(self, fields: list[bytes], parts: list[bytes]) -> int:
        size = 0
        subscriptions, control = self._subscriptions, self._control
        while subscriptions and (not size or size + len(subscriptions[0]) <= self._rpc_bytes):
            fields.append(subscriptions.popleft())
            size += len(fields[-1])
        while control and not subscriptions:
            part = next(iter(control))
            if size and size + len(part) > self._rpc_bytes:
                break
            del control[part]
            parts.append(part)
            size += len(part)
        self._control_bytes -= size
        return size


def _rpc(fields: list[bytes], parts: list[bytes]) -> bytes:
    if parts:
        fields.append(control_field(parts))
    return b"".join(fields) if len(fields) != 1 else fields[0]
