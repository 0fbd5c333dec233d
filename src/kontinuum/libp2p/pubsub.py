"""The pubsub streams of libp2p peers, between ``pubsub_streams`` (the rules) and the router above.

Source:   libp2p specs, pubsub/README.md: RPCs with their length in front, on a stream of each side.
Bounds:   PUBSUB_RPC_BYTES_MAX an RPC; what the router has not seen yet keeps its stream from being read, so
          that QUIC makes the peer wait. What is sent waits in the router, which knows what can be dropped.
Trust:    an RPC is handed on as it came; the router judges it.
Pure:     no I/O or clock of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.conversation import Conversation, Talk
from kontinuum.libp2p.errors import UnsupportedProtocolError
from kontinuum.libp2p.frames import FrameReader, frame
from kontinuum.libp2p.pubsub_streams import (
    PUBSUB_PROTOCOLS,
    Abandon,
    Effect,
    End,
    Greet,
    Joined,
    Left,
    Open,
    PubsubStreams,
    Read,
    Refuse,
    Release,
)
from kontinuum.transport.stream import SEND_HIGH_WATER_BYTES
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import PUBSUB_RPC_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kontinuum.base.errors import KontinuumError
    from kontinuum.identity import PeerId
    from kontinuum.libp2p.conversation import Shell, Timer
    from kontinuum.transport import Connection, RawStream


class Router(Protocol):
    """The floor above: whom peers join, and who gets their RPCs. None of this may raise or wait."""

    def joined(self, peer_id: PeerId, stream: SendingStream) -> None:
        """RPCs for a peer go onto ``stream`` from now on; tell it all our topics."""

    def left(self, peer_id: PeerId, stream: SendingStream) -> None:
        """No RPC can be exchanged with it any more."""

    def greet(self, peer_id: PeerId) -> None:
        """It may have forgotten our topics: tell it all of them again."""

    def received(self, peer_id: PeerId, rpc: bytes, consumed: Callable[[int], None]) -> None:
        """An RPC, protobuf bytes; ``consumed`` is to be called with its length when it was looked at."""

    def writable(self, peer_id: PeerId, stream: SendingStream, waiting_bytes: int) -> None:
        """So many bytes wait on the stream, and there is room for more."""


class SendingStream(Talk):
    """Our stream to one peer."""

    room_bytes = SEND_HIGH_WATER_BYTES
    """Bytes that it takes before it counts as full."""

    def __init__(self, owner: Pubsub, connection: Connection, protocol: str) -> None:
        self.peer_id = connection.peer_id
        self.protocol = protocol
        """The protocol id."""
        self.outbound = connection.outbound
        """We dialled the connection."""
        self.address: str | None = connection.remote_address[0]
        """The peer's IP address."""
        self.conversation: Conversation
        self._owner = owner

    @property
    def is_open(self) -> bool:
        """Something can be sent."""
        return self.conversation.stream.can_send

    def send(self, rpc: bytes) -> int:
        """Queue an RPC; returns the bytes that wait now. After the end nothing happens."""
        return self.conversation.stream.send_nowait(frame(rpc))

    def call_when_low(self) -> bool:
        """Have the router's ``writable`` called once; false if there is room already."""
        return self.conversation.stream.want_room()

    def close(self) -> None:
        """End it after what was queued."""
        self.conversation.finish()

    # --- called by the conversation ---

    def on_room(self, _conversation: Conversation) -> None:
        """Less than half of the room is used."""
        self._owner.router.writable(self.peer_id, self, self.room_bytes // 2)

    def on_send_end(self, conversation: Conversation) -> None:
        """The peer refuses it, or the connection is gone."""
        self._owner.on_outbound_ended(conversation)

    def on_end(self, conversation: Conversation, error: KontinuumError | None) -> None:
        """The half on which nothing comes is over; a matter only if the peer never agreed."""
        if isinstance(error, UnsupportedProtocolError):
            self._owner.on_refused(conversation, self.protocol)
        elif not conversation.is_agreed:
            self._owner.on_outbound_ended(conversation)


class ReceivingStream(Talk):
    """The stream of one peer to us. Nothing is ever sent on it."""

    def __init__(self, owner: Pubsub) -> None:
        self._owner = owner
        self._frames = FrameReader(PUBSUB_RPC_BYTES_MAX)
        self._unseen_bytes = 0
        self.conversation: Conversation

    def on_agreed(self, conversation: Conversation) -> None:
        """Wait until our own stream is open: the router takes nothing from strangers."""
        self.conversation = conversation
        conversation.stream.standing = True
        conversation.pause()
        self._owner.on_inbound(conversation)

    def on_data(self, conversation: Conversation, data: bytes) -> None:
        """Frames, of which each is an RPC."""
        received, peer_id = self._owner.received, conversation.peer_id
        self._frames.push(data)
        try:
            while (rpc := self._frames.pop()) is not None:
                if rpc and received(peer_id, rpc, self._on_consumed):
                    self._unseen_bytes += len(rpc)
        except MalformedError:
            self._owner.on_violation(conversation)
        if self._unseen_bytes:
            conversation.pause()

    def on_end(self, conversation: Conversation, _error: KontinuumError | None) -> None:
        """The peer has ended its half."""
        self._owner.on_inbound_ended(conversation)

    def _on_consumed(self, length: int) -> None:
        self._unseen_bytes -= length
        if not self._unseen_bytes:
            self.conversation.resume()


class Pubsub:
    """The pubsub streams of all libp2p peers.

    Args:
        shell: Clock, timers, opening of streams.
        router: The floor above.
        connection_of: The connection with a peer to open streams on.
    """

    def __init__(
        self, shell: Shell, router: Router, connection_of: Callable[[PeerId], Connection | None]
    ) -> None:
        self.router = router
        self._shell = shell
        self._connection_of = connection_of
        self._rules: PubsubStreams[Conversation] = PubsubStreams()
        self._senders: dict[PeerId, SendingStream] = {}
        self._opened: dict[Conversation, SendingStream] = {}
        """A stream of ours between its opening and what the rules say of it."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._closing = False

    @property
    def talks(self) -> Mapping[str, Callable[[Conversation], Talk]]:
        """What to do with streams that peers open."""
        return dict.fromkeys(PUBSUB_PROTOCOLS, lambda _conversation: ReceivingStream(self))

    # --- for the host ---

    def use_protocols(self, peer_id: PeerId, spoken: Collection[str]) -> None:
        """A peer has said what it speaks."""
        self._perform(self._rules.on_protocols(peer_id, spoken, self._shell.now()))

    def lose(self, peer_id: PeerId) -> None:
        """The last connection with a peer is over."""
        self._perform(self._rules.on_gone(peer_id))

    def forsake(self, peer_id: PeerId) -> None:
        """The peer does not read: drop what waits for it, and try again later."""
        self._perform(self._rules.on_unread(peer_id, self._shell.now()))

    def close(self) -> None:
        """Open nothing any more. What was queued still leaves."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()

    # --- for the streams ---

    def received(self, peer_id: PeerId, rpc: bytes, consumed: Callable[[int], None]) -> bool:
        """An RPC came. Returns whether the router has it, and will say when it was looked at."""
        if self._closing or not self._rules.is_joined(peer_id):
            return False
        self.router.received(peer_id, rpc, consumed)
        return True

    def on_inbound(self, conversation: Conversation) -> None:
        """A peer has opened a stream."""
        self._perform(
            self._rules.on_inbound(
                conversation.peer_id, conversation, conversation.protocol, self._shell.now()
            )
        )

    def on_inbound_ended(self, conversation: Conversation) -> None:
        """A peer has ended its half of its stream."""
        self._perform(self._rules.on_inbound_ended(conversation.peer_id, conversation))

    def on_violation(self, conversation: Conversation) -> None:
        """A peer's stream has something else on it than RPCs."""
        self._perform(self._rules.on_violation(conversation.peer_id, conversation))

    def on_refused(self, conversation: Conversation, protocol: str) -> None:
        """A peer does not speak the protocol of our stream."""
        now = self._shell.now()
        self._perform(self._rules.on_refused(conversation.peer_id, conversation, protocol, now))

    def on_outbound_ended(self, conversation: Conversation) -> None:
        """Our stream is over, and not by us."""
        now = self._shell.now()
        self._perform(self._rules.on_outbound_ended(conversation.peer_id, conversation, now))

    # --- inside ---

    def _perform(self, effects: list[Effect[Conversation]]) -> None:  # noqa: C901 -- one branch for each effect
        if self._closing:
            return
        for effect in effects:
            match effect:
                case Open(peer_id, protocol):
                    self._open(peer_id, protocol)
                case Joined(peer_id, conversation, _):
                    sender = self._senders[peer_id] = self._opened.pop(conversation)
                    self.router.joined(peer_id, sender)
                case Greet(peer_id):
                    self.router.greet(peer_id)
                case Left(peer_id):
                    self.router.left(peer_id, self._senders.pop(peer_id))
                case Read(_, conversation):
                    conversation.resume()
                case Refuse(conversation, code):
                    conversation.refuse(code)
                case Release(conversation):
                    conversation.finish()
                case End(conversation):
                    conversation.finish()
                    if conversation.is_agreed:  # rust-libp2p drops a stream that is refused before.
                        conversation.refuse(StreamCode.CANCELLED)
                case Abandon(conversation):
                    conversation.abort(StreamCode.CANCELLED)
        self._arm()

    def _open(self, peer_id: PeerId, protocol: str) -> None:
        def failed(_error: Any = None) -> None:
            self._perform(self._rules.on_open_failed(peer_id, self._shell.now()))

        connection = self._connection_of(peer_id)
        if connection is None:
            self._shell.call_soon(failed)
            return

        def opened(stream: RawStream) -> None:
            stream.standing = True
            sender = SendingStream(self, stream.connection, protocol)
            conversation = Conversation.begin(self._shell, stream, [protocol], sender)
            sender.conversation = conversation
            now = self._shell.now()
            self._opened[conversation] = sender
            self._perform(self._rules.on_opened(peer_id, conversation, protocol, now))
            self._opened.pop(conversation, None)

        self._shell.open_stream(connection, opened, failed)

    def _arm(self) -> None:
        due = self._rules.next_deadline()
        if self._timer is not None:
            if due is not None and due >= self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_at = due
            self._timer = self._shell.call_later(max(0.0, due - self._shell.now()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._perform(self._rules.handle_timeout(self._shell.now()))
