"""One stream with a libp2p peer: first both agree on a protocol, then they speak it.

No task waits for a stream: what comes is handed on in the turn of the loop in which it comes, so that
thousands of peers cost thousands of small objects, and a slow one costs nobody time.

Bounds:   PIECE_BYTES_MAX at once; a deadline ends the conversation in which the peer says nothing.
Trust:    the peer decides what comes and when; every conversation ends by a deadline or with its connection.
Pure:     no I/O of its own; the stream, the clock and the timers are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.errors import NegotiationError, PeerSilentError
from kontinuum.libp2p.multistream import Dialler, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kontinuum.identity import PeerId
    from kontinuum.transport import Connection, RawStream

PIECE_BYTES_MAX = 64 * 1024
"""Bytes that are taken from a stream at once. Our choice: some hundred small messages, before others have
their turn."""

NEGOTIATION_TIMEOUT_S = 10.0
"""Seconds within which both must have agreed on a protocol. go-libp2p: 10. Then the stream is reset."""


class Timer(Protocol):
    """Something that will be called unless it is cancelled."""

    def cancel(self) -> None:
        """Do not call it."""


class Shell(Protocol):
    """What a conversation needs of the event loop."""

    def now(self) -> float:
        """Monotonic seconds."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` after so many seconds."""

    def call_soon(self, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in the next turn of the loop."""

    def open_stream(
        self,
        connection: Connection,
        opened: Callable[[RawStream], None],
        failed: Callable[[KontinuumError], None],
    ) -> None:
        """Open a stream; one of the two is called, in this turn or a later one."""


class Talk:
    """What is said on a stream. Does nothing; each protocol does what it has to do otherwise."""

    def on_agreed(self, conversation: Conversation) -> None:
        """Both speak ``conversation.protocol`` now. Of an optimistic one, the peer has agreed."""

    def on_data(self, conversation: Conversation, data: bytes) -> None:
        """Bytes of the protocol came. A PeerError that is raised ends the conversation."""

    def on_end(self, conversation: Conversation, error: KontinuumError | None) -> None:
        """The peer's half is over: finished if there is no error. Called once, and last of all.

        It may end without an agreement, with the error that says why.
        """

    def on_send_end(self, conversation: Conversation) -> None:
        """Nothing can be sent any more: the peer refuses it, or the connection is gone."""

    def on_room(self, conversation: Conversation) -> None:
        """There is room to send again, as was asked for by ``stream.want_room``."""


class Conversation:
    """A stream, and how far it has come. Made by :meth:`answer` or :meth:`begin`; it lives by itself."""

    __slots__ = (
        "_has_ended",
        "_machine",
        "_over",
        "_paused",
        "_rest",
        "_shell",
        "_talk",
        "_talks",
        "_timer",
        "protocol",
        "stream",
    )

    def __init__(self, shell: Shell, stream: RawStream, machine: Listener | Dialler) -> None:
        self._shell = shell
        self.stream = stream
        self.protocol = ""
        """What both agreed on, or what was proposed optimistically."""
        self._machine: Listener | Dialler | None = machine
        self._talks: Mapping[str, Callable[[Conversation], Talk]] = {}
        self._talk: Talk | None = None
        self._timer: Timer | None = None
        self._paused = False
        self._rest = b""
        self._has_ended = False
        self._over: Callable[[], None] | None = None

    @classmethod
    def answer(
        cls, shell: Shell, stream: RawStream, talks: Mapping[str, Callable[[Conversation], Talk]]
    ) -> Conversation:
        """Take a stream that the peer has opened; ``talks`` is what we speak, looked at when it proposes."""
        conversation = cls(shell, stream, Listener(talks))
        conversation._talks = talks
        conversation._start()
        return conversation

    @classmethod
    def begin(
        cls, shell: Shell, stream: RawStream, offers: Sequence[str], talk: Talk, payload: bytes = b""
    ) -> Conversation:
        """Propose protocols on a stream of ours. With a single one, ``talk`` may send at once."""
        dialler = Dialler(offers, payload)
        conversation = cls(shell, stream, dialler)
        conversation._talk = talk
        if dialler.is_optimistic:
            conversation.protocol = offers[0]
        stream.send_nowait(dialler.start())
        conversation._start()
        return conversation

    @property
    def peer_id(self) -> PeerId:
        """With whom."""
        return self.stream.connection.peer_id

    @property
    def is_agreed(self) -> bool:
        """The peer speaks the protocol: it has said so."""
        return self._machine is None

    def set_deadline(self, seconds: float | None) -> None:
        """End it in so many seconds, in place of the deadline before; ``None``: never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None and not self._has_ended:
            self._timer = self._shell.call_later(seconds, self._on_deadline)

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the peer's half is over, or refused; at once if it is already."""
        if self._has_ended:
            callback()
        else:
            self._over = callback

    def pause(self) -> None:
        """Take nothing from the stream until :meth:`resume`: QUIC makes the peer wait."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self.on_readable(self.stream)

    def abort(self, code: int, error: KontinuumError | None = None) -> None:
        """Give up both halves with ``code``. The talk's end is told if it was not yet."""
        self.stream.reset(code)
        self.stream.stop(code)
        self._end(error)

    def finish(self) -> None:
        """End our half after what was sent."""
        self.stream.finish_nowait()

    def refuse(self, code: int) -> None:
        """Take nothing any more of the peer's half, leave ours as it is, and tell the talk nothing more."""
        self.stream.stop(code)
        self._mark_ended()

    # --- called by the stream ---

    def on_readable(self, _stream: RawStream) -> None:
        """Bytes, the end, or an error."""
        while not self._paused and not self._has_ended:
            try:
                data = self._rest or self.stream.read_nowait(PIECE_BYTES_MAX)
            except KontinuumError as error:
                self._end(error)
                return
            self._rest = b""
            if data is None:
                return
            if not data:
                self._on_finished()
                return
            early = self._machine is not None
            try:
                self._on_data(data)
            except PeerError as error:
                self.abort(StreamCode.NEGOTIATION_FAILED if early else StreamCode.PROTOCOL_VIOLATION, error)

    def on_room(self, _stream: RawStream) -> None:
        """There is room to send again."""
        if self._talk is not None:
            self._talk.on_room(self)

    def on_send_end(self, _stream: RawStream) -> None:
        """Nothing can be sent any more."""
        if self._talk is not None:
            self._talk.on_send_end(self)

    # --- inside ---

    def _start(self) -> None:
        self.set_deadline(NEGOTIATION_TIMEOUT_S)
        self.stream.listen(self)
        self.on_readable(self.stream)

    def _on_data(self, data: bytes) -> None:
        machine = self._machine
        if machine is None:
            if self._talk is not None:
                self._talk.on_data(self, data)
            return
        if answer := machine.receive(data):
            self.stream.send_nowait(answer)
        if machine.protocol is None:
            return
        self._machine, self._rest = None, machine.rest()
        self.protocol = self.stream.protocol = machine.protocol
        self.set_deadline(None)
        if self._talk is None:
            self._talk = self._talks[machine.protocol](self)
        self._talk.on_agreed(self)

    def _on_finished(self) -> None:
        if self._machine is None:
            self._end(None)
        else:
            self._end(NegotiationError("the peer ended the stream before anything was agreed on"))
            self.stream.finish_nowait()

    def _on_deadline(self) -> None:
        self._timer = None
        self.abort(0, PeerSilentError(f"{self.peer_id.short} did not go on with a stream in time"))

    def _end(self, error: KontinuumError | None) -> None:
        if self._has_ended:
            return
        self._mark_ended()
        if self._talk is not None:
            self._talk.on_end(self, error)

    def _mark_ended(self) -> None:
        self._has_ended = True
        self.set_deadline(None)
        over, self._over = self._over, None
        if over is not None:
            over()
