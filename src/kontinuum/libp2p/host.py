"""All libp2p connections of a node: who speaks what, and who answers which stream.

Source:   libp2p specs, connections/README.md, identify/README.md, ping/ping.md; go-libp2p 0.51 for the order
          of things: both sides identify each other at once, and only then does go open its pubsub stream.
Bounds:   STREAMS_PER_PEER_MAX streams of a peer; those of the modules for each protocol.
Trust:    a peer has proven who it is; all that it says is a claim, and a wrong word costs it a stream.
Pure:     no I/O or clock of its own: ``service`` runs it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.base.log import RoomLogger
from kontinuum.identity import BadAddressError, Multiaddr, PeerId
from kontinuum.libp2p.codes import StreamCode
from kontinuum.libp2p.connections import Connections
from kontinuum.libp2p.conversation import Conversation, Talk
from kontinuum.libp2p.errors import NotConnectedError
from kontinuum.libp2p.exchange import IDENTIFY, PUSH, Hearer, Teller
from kontinuum.libp2p.identify import Identity, encode_identity
from kontinuum.libp2p.peer_record import open_peer_record, seal_peer_record
from kontinuum.libp2p.ping import PING, PING_BYTES, PingAnswer, PingRequest
from kontinuum.libp2p.pubsub import Pubsub, Router

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.base.entropy import Entropy
    from kontinuum.libp2p.conversation import Shell
    from kontinuum.libp2p.peer_record import Sign
    from kontinuum.transport import Connection, RawStream

PROTOCOL_VERSION = "kontinuum/1"
"""What identify says of the network's protocols; others show it and decide nothing by it."""

STREAMS_PER_PEER_MAX = 64
"""Streams of one peer on which we listen at once, over all its connections. Our choice: a peer needs some
five; go-libp2p takes some dozens. A further one is reset."""

_log = RoomLogger("libp2p")


@dataclass(slots=True)
class Peer:
    """A connected peer, and what it has said of itself."""

    peer_id: PeerId
    identity: Identity | None = None
    """Its own words; ``None`` until it has said them."""
    signed_record: bytes = b""
    """Its newest signed peer record, checked; empty if it gave none."""
    record_sequence: int = -1
    streams: int = 0
    """Its streams on which we listen."""

    def on_stream_over(self) -> None:
        """We do not listen on one of them any more."""
        self.streams -= 1


IDENTITIES_MAX = 8
"""Identities of ours that connections may show, the present one among them. Our choice; connections that show
an older one are told who we are now, and may not like it."""


class Host:
    """Speaks libp2p with all peers that are connected.

    Args:
        peer_id: Who we are.
        shell: Clock, timers, opening of streams.
        sign: The signature by our key over exactly these bytes.
        entropy: Makes the bytes of pings.
        addresses: Where others can reach us, now.
        sequence: A number that grows, for our peer records: Unix seconds, say.
        agent: Our name and version, as others show it.
        router: The router of pubsub; without one we speak none.
        heard: Told when a peer has said who it is on a connection, or has failed to.
    """

    def __init__(
        self,
        peer_id: PeerId,
        shell: Shell,
        *,
        sign: Sign,
        entropy: Entropy,
        addresses: Callable[[], Sequence[Multiaddr]],
        sequence: Callable[[], int],
        agent: str,
        router: Router | None = None,
        heard: Callable[[Connection], None] = lambda _connection: None,
    ) -> None:
        self.connections: Connections[Connection] = Connections()
        self.peers: dict[PeerId, Peer] = {}
        self._peer_id = peer_id
        self._shell = shell
        self._signers = {peer_id: sign}
        """By identity: the present one, and former ones that connections still show."""
        self._entropy = entropy
        self._addresses = addresses
        self._sequence = sequence
        self._agent = agent
        self._tell_heard = heard
        self._sealed: dict[PeerId, tuple[tuple[Multiaddr, ...], bytes]] = {}
        self._answering: Counter[PeerId] = Counter()
        self._talks: dict[str, Callable[[Conversation], Talk]] = {
            IDENTIFY: lambda conversation: Teller(lambda: self._message(conversation.stream.connection)),
            PUSH: lambda _conversation: Hearer(self._on_push),
            PING: lambda _conversation: PingAnswer(self._answering),
        }
        self.pubsub: Pubsub | None = None
        if router is not None:
            self.pubsub = Pubsub(shell, router, self.connections.current)
            self._talks |= self.pubsub.talks

    @property
    def protocols(self) -> tuple[str, ...]:
        """What we speak when we are asked."""
        return tuple(self._talks)

    # --- what the endpoint tells ---

    def on_connection(self, connection: Connection) -> None:
        """A peer is connected: ask who it is."""
        if not self.connections.add(connection):
            connection.close(StreamCode.RESOURCE_LIMIT, "too many connections with one peer")
            return
        self.peers.setdefault(connection.peer_id, Peer(connection.peer_id))
        self._converse(
            connection,
            IDENTIFY,
            lambda: Hearer(self._on_identity),
            failed=lambda _error: self._tell_heard(connection),
        )

    def on_closed(self, connection: Connection) -> None:
        """A connection is over."""
        if self.connections.remove(connection):
            del self.peers[connection.peer_id]
            if self.pubsub is not None:
                self.pubsub.lose(connection.peer_id)

    def on_raw_stream(self, connection: Connection, stream: RawStream) -> None:
        """A peer opened a stream: answer at once, which it needs within its first round trip."""
        peer = self.peers.get(connection.peer_id)
        if peer is None or peer.streams >= STREAMS_PER_PEER_MAX:
            stream.reset(StreamCode.RESOURCE_LIMIT)
            stream.stop(StreamCode.RESOURCE_LIMIT)
            return
        peer.streams += 1
        Conversation.answer(self._shell, stream, self._talks).when_over(peer.on_stream_over)

    # --- what the node wants ---

    def ping(self, peer_id: PeerId, done: Callable[[float | KontinuumError], None]) -> None:
        """Measure a round trip; ``done`` is told its seconds, or what went wrong."""
        connection = self.connections.current(peer_id)
        if connection is None:
            done(NotConnectedError(f"there is no libp2p connection with {peer_id.short}"))
            return
        payload = self._entropy.token(PING_BYTES)
        self._converse(
            connection, PING, lambda: PingRequest(payload, self._shell.now, done), payload, failed=done
        )

    def adopt(self, peer_id: PeerId, sign: Sign) -> None:
        """Another identity is ours from now on. On a connection we remain who we were in its handshake."""
        self._signers.pop(peer_id, None)
        self._signers[peer_id] = sign
        self._peer_id = peer_id
        if len(self._signers) > IDENTITIES_MAX:
            oldest = next(iter(self._signers))
            del self._signers[oldest]
            self._sealed.pop(oldest, None)

    def push(self) -> None:
        """Tell all peers that want to know who we are now: our addresses or protocols have changed."""
        for peer in self.peers.values():
            connection = self.connections.current(peer.peer_id)
            if connection is not None and peer.identity is not None and PUSH in peer.identity.protocols:
                self._converse(connection, PUSH, lambda: Teller(None), self._message(connection))

    def record_of(self, peer_id: PeerId) -> bytes:
        """The signed peer record of a connected peer; empty if it gave none."""
        peer = self.peers.get(peer_id)
        return b"" if peer is None else peer.signed_record

    def close(self) -> None:
        """Open nothing any more."""
        if self.pubsub is not None:
            self.pubsub.close()

    # --- inside ---

    def _converse(
        self,
        connection: Connection,
        protocol: str,
        make_talk: Callable[[], Talk],
        payload: bytes = b"",
        *,
        failed: Callable[[KontinuumError], None] = lambda _error: None,
    ) -> None:
        """Begin to speak ``protocol`` on a stream of ours, with ``payload`` in the first packet."""

        def opened(stream: RawStream) -> None:
            Conversation.begin(self._shell, stream, [protocol], make_talk(), payload)

        self._shell.open_stream(connection, opened, failed)

    def _message(self, connection: Connection) -> bytes:
        """Who we are, and where this peer is seen."""
        addresses = tuple(self._addresses())
        local_id = connection.local_id if connection.local_id in self._signers else self._peer_id
        sealed = self._sealed.get(local_id)
        if sealed is None or sealed[0] != addresses:
            sign = self._signers[local_id]
            record = seal_peer_record(local_id, self._sequence(), addresses, sign)
            sealed = self._sealed[local_id] = (addresses, record)
        try:
            observed = Multiaddr.from_ip(*connection.remote_address)
        except BadAddressError:
            observed = None
        return encode_identity(
            local_id,
            addresses=addresses,
            protocols=self.protocols,
            observed=observed,
            protocol_version=PROTOCOL_VERSION,
            agent_version=self._agent,
            signed_record=sealed[1],
        )

    def _on_identity(self, conversation: Conversation, outcome: Identity | KontinuumError) -> None:
        """A peer has answered who it is, or not."""
        if (peer := self._heard(conversation, outcome)) is not None and isinstance(outcome, Identity):
            self._use(peer, outcome, outcome.signed_record)
        self._tell_heard(conversation.stream.connection)

    def _on_push(self, conversation: Conversation, outcome: Identity | KontinuumError) -> None:
        """A peer says what has changed."""
        if (peer := self._heard(conversation, outcome)) is not None and isinstance(outcome, Identity):
            self._use(peer, (peer.identity or Identity()).updated_by(outcome), outcome.signed_record)

    def _heard(self, conversation: Conversation, outcome: Identity | KontinuumError) -> Peer | None:
        if isinstance(outcome, KontinuumError):
            peer = conversation.peer_id.short
            _log.debug("a peer did not say who it is", peer=peer, reason=str(outcome))
        return self.peers.get(conversation.peer_id)

    def _use(self, peer: Peer, identity: Identity, record: bytes) -> None:
        peer.identity = identity
        self._use_record(peer, record)
        if self.pubsub is not None:
            self.pubsub.use_protocols(peer.peer_id, identity.protocols)

    def _use_record(self, peer: Peer, data: bytes) -> None:
        if not data:
            return
        try:
            record = open_peer_record(data)
        except PeerError as error:
            _log.debug("a peer record is of no use", peer=peer.peer_id.short, reason=str(error))
            return
        if record.peer_id == peer.peer_id and record.sequence >= peer.record_sequence:
            peer.signed_record, peer.record_sequence = data, record.sequence
