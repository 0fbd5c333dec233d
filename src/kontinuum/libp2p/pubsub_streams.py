"""The two pubsub streams of each peer: one that we open and write, one that it opens and writes.

Source:   libp2p specs, pubsub/README.md and pubsub/gossipsub/; go-libp2p-pubsub 0.16 (comm.go, pubsub.go)
          for what happens when a stream ends, and what we measured with it (docs/protocols/libp2p.md).
Differs:  nothing that a peer sees, but that a peer which breaks the framing too often is not listened to.
Bounds:   one stream in each direction is used; REOPENINGS_MAX attempts; one greeting or new stream of ours in
          GREETING_PAUSE_S; VIOLATIONS_MAX broken streams.
Trust:    the peer decides when its stream comes and ends. Whatever it does, it costs us one stream of our own
          and a greeting now and then.
Pure:     no I/O, clock or randomness.

The rules, each of which some implementation punishes when it is broken:

- On the stream that the peer opened we send nothing, not even its end, until the peer has ended its own half:
  go-libp2p takes an end there as the death of the peer, and forgets our topics.
- We never refuse the peer's half while it is the one in use: go-libp2p loses its writer without a word.
- A second stream of the peer replaces the first one.
- When the peer's stream comes again, the peer may have forgotten us: it is told all our topics again.
- When our own stream ends, the peer has forgotten us: a new one is opened, and it is told again.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from kontinuum.identity import PeerId
from kontinuum.libp2p.codes import StreamCode

PUBSUB_PROTOCOLS = ("/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0")
"""What we speak, the best first."""

REOPENINGS_MAX = 5
"""Attempts to open our stream again before the peer counts as gone. Our choice: some three seconds, as long
as go-libp2p-pubsub tries."""

REOPEN_FIRST_S = 0.1
"""Seconds before the first attempt; each later one waits twice as long. go-libp2p-pubsub: 100 ms."""

STEADY_S = 60.0
"""Seconds after which an open stream counts as steady, and its next end as the first one. Our choice."""

GREETING_PAUSE_S = 1.0
"""Seconds between two times that a peer is told all our topics, on the same stream or on a new one. Our
choice: it could otherwise have them, up to hundreds of kilobytes, for the price of a stream each time."""

VIOLATIONS_MAX = 3
"""Streams of a peer that break the framing before it is not listened to any more. Our choice."""

RETURN_S = 10.0
"""Seconds until a peer that was given up, for it did not read, is spoken to again. Our choice, as between our
own nodes."""

S = TypeVar("S")
"""A stream; the shell knows what it is."""


@dataclass(frozen=True, slots=True)
class Open:
    """Effect: open our stream to a peer, optimistically; answer by ``on_opened`` or ``on_open_failed``."""

    peer: PeerId
    protocol: str


@dataclass(frozen=True, slots=True)
class Joined(Generic[S]):
    """Effect: RPCs for the peer go onto this stream from now on, and it is told all our topics."""

    peer: PeerId
    stream: S
    protocol: str


@dataclass(frozen=True, slots=True)
class Greet:
    """Effect: the peer may have forgotten us; tell it all our topics again."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Read(Generic[S]):
    """Effect: take the RPCs that come on the peer's stream."""

    peer: PeerId
    stream: S


@dataclass(frozen=True, slots=True)
class Left:
    """Effect: no RPC can be exchanged with the peer any more."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Refuse(Generic[S]):
    """Effect: refuse the peer's half of its stream (STOP_SENDING), and leave our half alone."""

    stream: S
    code: int


@dataclass(frozen=True, slots=True)
class Release(Generic[S]):
    """Effect: end our half of a stream whose other half the peer has ended."""

    stream: S


@dataclass(frozen=True, slots=True)
class End(Generic[S]):
    """Effect: end our own stream after what was written."""

    stream: S


@dataclass(frozen=True, slots=True)
class Abandon(Generic[S]):
    """Effect: give our own stream up with all that waits on it."""

    stream: S


Effect: TypeAlias = Open | Joined[S] | Greet | Read[S] | Left | Refuse[S] | Release[S] | End[S] | Abandon[S]


class _Peer(Generic[S]):
    """What is known of one peer."""

    __slots__ = (
        "failures",
        "greeted_at",
        "greeting_due",
        "had_inbound",
        "inbound",
        "is_read",
        "joined",
        "open_due",
        "opened_at",
        "opening",
        "outbound",
        "protocols",
        "violations",
    )

    def __init__(self) -> None:
        self.protocols: tuple[str, ...] = ()
        self.outbound: S | None = None
        self.opening = False
        self.opened_at = -math.inf
        self.open_due: float | None = None
        self.failures = 0
        self.inbound: S | None = None
        self.is_read = False
        self.had_inbound = False
        self.joined = False
        self.greeted_at = -math.inf
        self.greeting_due: float | None = None
        self.violations = 0

    @property
    def is_barred(self) -> bool:
        return self.violations >= VIOLATIONS_MAX

    @property
    def wants_stream(self) -> bool:
        """Our stream neither is there nor on its way, and there is something to open it for."""
        has_none = self.outbound is None and not self.opening and self.open_due is None
        return has_none and bool(self.protocols) and not self.is_barred


class PubsubStreams(Generic[S]):
    """The pubsub streams of all peers. Perform effects in order; every ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, _Peer[S]] = {}
        self._due: dict[PeerId, float] = {}

    def is_joined(self, peer_id: PeerId) -> bool:
        """RPCs are exchanged with the peer; what comes from another one is nothing."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.joined

    # --- what the peer speaks ---

    def on_protocols(self, peer_id: PeerId, spoken: Collection[str], now: float) -> list[Effect[S]]:
        """The peer has said what it speaks, for the first time or again."""
        peer = self._peers.setdefault(peer_id, _Peer())
        peer.protocols = tuple(protocol for protocol in PUBSUB_PROTOCOLS if protocol in spoken)
        if not peer.wants_stream:
            return []
        peer.failures = 0
        return self._open(peer_id, peer, now)

    def on_gone(self, peer_id: PeerId) -> list[Effect[S]]:
        """The last connection with the peer is over, and all streams with it."""
        self._due.pop(peer_id, None)
        peer = self._peers.pop(peer_id, None)
        return [] if peer is None else self._leave(peer_id, peer)

    # --- our stream ---

    def on_opened(self, peer_id: PeerId, stream: S, protocol: str, now: float) -> list[Effect[S]]:
        """Our stream is open, and the proposal on its way; RPCs may follow it."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.opening:
            return [End(stream)]
        peer.opening, peer.outbound, peer.opened_at = False, stream, now
        peer.joined = True
        peer.greeted_at, peer.greeting_due = now, None
        self._schedule(peer_id, peer)
        return [Joined(peer_id, stream, protocol), *self._read(peer_id, peer)]

    def on_open_failed(self, peer_id: PeerId, now: float) -> list[Effect[S]]:
        """Our stream could not be opened."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.opening:
            return []
        peer.opening = False
        return self._reopen(peer_id, peer, now)

    def on_refused(self, peer_id: PeerId, stream: S, protocol: str, now: float) -> list[Effect[S]]:
        """The peer does not speak the protocol of our stream, whatever it has said before."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.outbound is not stream:
            return []
        peer.outbound = None
        peer.protocols = tuple(other for other in peer.protocols if other != protocol)
        if peer.protocols:
            return [End(stream), *self._open(peer_id, peer, now)]
        return [End(stream), *self._leave(peer_id, peer)]

    def on_outbound_ended(self, peer_id: PeerId, stream: S, now: float) -> list[Effect[S]]:
        """The peer refuses our stream, has reset it, or its connection is over while another one lives."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.outbound is not stream:
            return []
        peer.outbound = None
        if now - peer.opened_at >= STEADY_S:
            peer.failures = 0
        return [End(stream), *self._reopen(peer_id, peer, now)]

    def on_unread(self, peer_id: PeerId, now: float) -> list[Effect[S]]:
        """The peer has read nothing for too long: what waits for it goes, and it is tried again later."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.outbound is None:
            return []
        stream, peer.outbound = peer.outbound, None
        peer.open_due = now + RETURN_S
        return [Abandon(stream), *self._leave(peer_id, peer)]

    # --- the peer's stream ---

    def on_inbound(self, peer_id: PeerId, stream: S, protocol: str, now: float) -> list[Effect[S]]:
        """The peer has opened a stream for a pubsub protocol."""
        peer = self._peers.setdefault(peer_id, _Peer())
        if peer.is_barred:
            return [Refuse(stream, StreamCode.PROTOCOL_VIOLATION)]
        effects: list[Effect[S]] = []
        if peer.inbound is not None:
            effects.append(Refuse(peer.inbound, StreamCode.SUPPLANTED))
        came_again, peer.had_inbound = peer.had_inbound, True
        peer.inbound, peer.is_read = stream, False
        if not peer.protocols:
            peer.protocols = (protocol,)  # It speaks what it has just opened, before it has said so.
        if peer.wants_stream:
            effects += self._open(peer_id, peer, now)
        elif peer.joined and came_again:
            effects += self._greet(peer_id, peer, now)
        return effects + self._read(peer_id, peer)

    def on_inbound_ended(self, peer_id: PeerId, stream: S) -> list[Effect[S]]:
        """The peer has finished or reset a stream of its own, be it the one in use or one before."""
        peer = self._peers.get(peer_id)
        if peer is not None and peer.inbound is stream:
            peer.inbound = None
        return [Release(stream)]

    def on_violation(self, peer_id: PeerId, stream: S) -> list[Effect[S]]:
        """What comes on the peer's stream is no RPC in a frame."""
        effects: list[Effect[S]] = [Refuse(stream, StreamCode.PROTOCOL_VIOLATION)]
        peer = self._peers.get(peer_id)
        if peer is None or peer.inbound is not stream:
            return effects
        peer.inbound = None
        peer.violations += 1
        if peer.is_barred:
            if peer.outbound is not None:
                effects.append(End(peer.outbound))
            peer.outbound, peer.opening, peer.open_due = None, False, None
            effects += self._leave(peer_id, peer)
        return effects

    # --- time ---

    def handle_timeout(self, now: float) -> list[Effect[S]]:
        """Open and greet again what is due."""
        effects: list[Effect[S]] = []
        for peer_id in [peer_id for peer_id, due in self._due.items() if due <= now]:
            peer = self._peers[peer_id]
            if peer.open_due is not None and peer.open_due <= now:
                peer.open_due = None
                effects += self._open(peer_id, peer, now)
            if peer.greeting_due is not None and peer.greeting_due <= now:
                effects += self._greet(peer_id, peer, now)
            self._schedule(peer_id, peer)
        return effects

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` wants to be called; ``None`` if only an event can change anything."""
        return min(self._due.values(), default=None)

    # --- inside ---

    def _open(self, peer_id: PeerId, peer: _Peer[S], now: float) -> list[Effect[S]]:
        """Open our stream, or do so later if the peer was told our topics a moment ago."""
        if not peer.protocols:
            return self._leave(peer_id, peer)
        if now < peer.greeted_at + GREETING_PAUSE_S:
            peer.open_due = peer.greeted_at + GREETING_PAUSE_S
            self._schedule(peer_id, peer)
            return []
        peer.opening = True
        return [Open(peer_id, peer.protocols[0])]

    def _reopen(self, peer_id: PeerId, peer: _Peer[S], now: float) -> list[Effect[S]]:
        peer.failures += 1
        if peer.failures > REOPENINGS_MAX or not peer.protocols:
            return self._leave(peer_id, peer)
        peer.open_due = now + REOPEN_FIRST_S * 2 ** (peer.failures - 1)
        self._schedule(peer_id, peer)
        return []

    def _greet(self, peer_id: PeerId, peer: _Peer[S], now: float) -> list[Effect[S]]:
        peer.greeting_due = None
        if peer.outbound is None:
            return []  # The next stream of ours begins with a greeting.
        allowed_at = peer.greeted_at + GREETING_PAUSE_S
        if now < allowed_at:
            peer.greeting_due = allowed_at
            self._schedule(peer_id, peer)
            return []
        peer.greeted_at = now
        return [Greet(peer_id)]

    def _read(self, peer_id: PeerId, peer: _Peer[S]) -> list[Effect[S]]:
        """Read the peer's stream once it has joined: the router takes nothing from strangers."""
        if peer.inbound is None or peer.is_read or not peer.joined:
            return []
        peer.is_read = True
        return [Read(peer_id, peer.inbound)]

    def _leave(self, peer_id: PeerId, peer: _Peer[S]) -> list[Effect[S]]:
        was_joined, peer.joined, peer.greeting_due = peer.joined, False, None
        self._schedule(peer_id, peer)
        return [Left(peer_id)] if was_joined else []

    def _schedule(self, peer_id: PeerId, peer: _Peer[S]) -> None:
        dues = [due for due in (peer.open_due, peer.greeting_due) if due is not None]
        if dues and self._peers.get(peer_id) is peer:
            self._due[peer_id] = min(dues)
        else:
            self._due.pop(peer_id, None)
