"""Messages that come in: known or new, true or forged, valid or not; and on to the others and to ourselves.

In this order, so that the cheap questions come first: do we want the topic, is the message in order, do we
know it, is it a replay; then the signatures of all that came at once; then the application.

Source:   libp2p specs, pubsub, "Message Signing", gossipsub v1.0 "Message Processing", v1.1 "Extended
          Validators" and "Peer Scoring" (who is rewarded and who pays).
Differs:  a forgery leaves no trace in the seen cache, and the same id with other bytes is looked at, so that
          nobody can silence an author by using his next sequence number; what implementations differ about
          costs the bearer nothing.
Bounds:   VALIDATIONS_MAX messages, VALIDATION_BYTES_MAX bytes wait for the application, each
          VALIDATION_TIMEOUT_S.
Trust:    all of it is hostile input.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.gossip.entry import Entry, State
from kontinuum.gossip.events import Deliver, Message, Validate, Verdict
from kontinuum.messages.pubsub_fields import message_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.gossip.forwarding import Forwarding
    from kontinuum.gossip.gossiping import Gossiping
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.signing import SignedBytes
    from kontinuum.identity import PeerId
    from kontinuum.messages.pubsub import WireMessage

VERIFY_MAX = 512
"""Signatures that are verified in one call. Our choice: 12 ms. Of a peer that is graylisted by them the rest
is dropped, unless somebody else brought it too, so that an RPC full of forgeries costs no more."""

VALIDATIONS_MAX = 8192
"""Messages for which the application has been asked and has not answered. Our choice. More are dropped, and
may be asked for again."""

VALIDATION_BYTES_MAX = 64 * 2**20
"""Their bytes. Our choice: as the message cache."""

VALIDATION_TIMEOUT_S = 15.0
"""Seconds after which an answer is not waited for. Our choice: above the 10 s that the shell gives a
validator."""

UNSOLICITED_PENALTY = 1.0
"""Offences (P7) for a message of a topic that we are not in. Our choice: no honest peer sends one."""

UNSOLICITED_PENALTY_MAX = 100
"""Of these messages, so many of a heartbeat count. Our choice: enough for the graylist."""

LEAVE_GRACE_S = 10.0
"""Seconds after we left a topic in which messages of it cost nothing, and keep what was promised: they may
have been on their way. Our choice: as the backoff after leaving."""


class Receiving:
    """Takes messages in."""

    def __init__(
        self,
        parts: Parts,
        gossiping: Gossiping,
        forwarding: Forwarding,
        verify: Callable[[Sequence[SignedBytes]], Sequence[bool]],
    ) -> None:
        self._parts = parts
        self._forwarding = forwarding
        self._gossiping = gossiping
        self._verify = verify
        self._fresh: list[tuple[Peer, WireMessage, Entry]] = []
        """New messages of this batch, to be verified."""
        self._pending: dict[bytes, tuple[Entry, float]] = {}
        """Messages that the application was asked about, and since when; the oldest first."""
        self._pending_bytes = 0
        self._left: dict[str, float] = {}
        """When we left topics, of late."""

    @property
    def pending(self) -> int:
        """Messages that wait for the application."""
        return len(self._pending)

    def take(self, peer: Peer, messages: Sequence[WireMessage], now: float) -> None:
        """A peer sent these. What is new waits for :meth:`finish`."""
        parts, known = self._parts, self._parts.seen.known
        joined, counters = parts.topics.joined, parts.counters
        bytes_max, own = parts.params.message_bytes_max, parts.own
        counters.messages_received += len(messages)
        for message in messages:
            author, seqno, topic, data, body, flaw = message
            if flaw is not None:
                self._take_flawed(peer, message)
                continue
            if topic not in joined:
                self._take_unsolicited(peer, topic, author + seqno, now)
                continue
            if author in own:
                counters.own_returned += 1
                continue
            message_id = author + seqno
            entry = known.get(message_id)
            if entry is not None and (isinstance(entry, State) or entry.state or entry.body == body):
                self._take_duplicate(peer, topic, entry, now)
            elif len(data) > bytes_max:
                counters.too_large += 1
                parts.promises.forgive(message_id, peer)
            elif parts.seen.is_replay(author, seqno):
                counters.replayed += 1
            elif joined[topic].validate and self._is_full:
                counters.throttled += 1
                parts.promises.forgive(message_id, peer)
            else:
                new = Entry(message_id, topic, body, peer)
                if entry is None:
                    parts.seen.reserve(new)
                self._fresh.append((peer, message, new))

    def finish(self, now: float) -> None:
        """Verify what is new in this batch, much at once, and go on with it."""
        while self._fresh:
            fresh, self._fresh = self._fresh[:VERIFY_MAX], self._fresh[VERIFY_MAX:]
            self._verify_some(fresh, now)
            if self._fresh:
                self._drop_graylisted()

    def judge(self, message_id: bytes, verdict: Verdict, now: float) -> None:
        """The application says what it thinks of a message."""
        found = self._pending.pop(message_id, None)
        if found is None:
            return  # It took too long.
        entry = found[0]
        self._pending_bytes -= len(entry.body)
        message, entry.message = entry.message, None
        if verdict is Verdict.ACCEPT and message is not None:
            self._valid(entry, message, now)
        elif verdict is Verdict.REJECT:
            self._parts.counters.rejected += 1
            entry.state = State.INVALID
            for peer in (entry.source, *entry.others):
                if peer is not None:
                    self._parts.scores.invalid(peer.peer_id, entry.topic)
            self._parts.seen.settle((entry,))
        else:
            self._parts.counters.ignored += 1
            entry.state = State.IGNORED
            self._parts.seen.settle((entry,))

    def left(self, topic: str, now: float) -> None:
        """We have left a topic: messages may be on their way still."""
        self._left[topic] = now

    def heartbeat(self, now: float) -> None:
        """Look back at how peers behaved, and wait no longer for what takes too long."""
        for peer in self._parts.peers.values():
            if peer.unsolicited:
                count = min(peer.unsolicited, UNSOLICITED_PENALTY_MAX)
                self._parts.penalize(peer, UNSOLICITED_PENALTY * count)
        for topic in [name for name, at in self._left.items() if at + LEAVE_GRACE_S <= now]:
            del self._left[topic]
        while self._pending:
            message_id, (_, since) = next(iter(self._pending.items()))
            if since + VALIDATION_TIMEOUT_S > now:
                break
            self._parts.counters.validations_expired += 1
            self.judge(message_id, Verdict.IGNORE, now)

    # --- inside ---

    def _verify_some(self, fresh: list[tuple[Peer, WireMessage, Entry]], now: float) -> None:
        valid = self._verify([(each.author[6:], each.signed_bytes, each.signature) for _, each, _ in fresh])
        large: dict[str, dict[bytes, Peer | None]] = {}
        new: list[tuple[WireMessage, Entry, PeerId]] = []
        for (peer, message, entry), is_valid in zip(fresh, valid, strict=True):
            author = self._author_of(message, now) if is_valid else None
            if author is None:
                self._forged(peer, entry)
            elif self._keep(peer, entry, now):
                entry.author = author
                new.append((message, entry, author))
                if len(message.data) >= self._parts.params.idontwant_threshold_bytes:
                    large.setdefault(message.topic, {})[entry.message_id] = peer
        for name, ids in large.items():
            self._gossiping.dont_want(self._parts.topics.joined[name], ids)
        for message, entry, author in new:
            self._accept(message, entry, author, now)

    def _drop_graylisted(self) -> None:
        """Who has shown enough by now is not verified further."""
        parts = self._parts
        kept: list[tuple[Peer, WireMessage, Entry]] = []
        for peer, message, entry in self._fresh:
            if not parts.is_graylisted(peer):
                kept.append((peer, message, entry))
                continue
            # Who brought the same bytes and is not graylisted must not lose them by having come second.
            entry.others = [other for other in entry.others if not parts.is_graylisted(other)]
            if entry.others:
                entry.source = entry.others.pop(0)
                kept.append((entry.source, message, entry))
                continue
            parts.counters.graylisted_unverified += 1
            if parts.seen.known.get(entry.message_id) is entry:
                parts.seen.discard(entry.message_id)
        self._fresh = kept

    @property
    def _is_full(self) -> bool:
        return len(self._pending) >= VALIDATIONS_MAX or self._pending_bytes >= VALIDATION_BYTES_MAX

    def _take_flawed(self, peer: Peer, message: WireMessage) -> None:
        counters = self._parts.counters
        if message.flaw is not None and message.flaw.is_blamed:
            counters.flawed += 1
            self._parts.scores.invalid(peer.peer_id, message.topic)
        else:
            counters.flawed_forgivably += 1

    def _take_unsolicited(self, peer: Peer, topic: str, message_id: bytes, now: float) -> None:
        self._parts.counters.unsolicited += 1
        left_at = self._left.get(topic)
        if left_at is None or left_at + LEAVE_GRACE_S <= now:
            peer.unsolicited += 1
        else:
            self._parts.promises.forgive(message_id, peer)  # We may have asked for it while we were in.

    def _take_duplicate(self, peer: Peer, topic: str, entry: Entry | State, now: float) -> None:
        parts = self._parts
        parts.counters.duplicates += 1
        if isinstance(entry, State):
            if entry is State.INVALID:
                parts.scores.invalid(peer.peer_id, topic)
        elif peer is not entry.source and peer not in entry.others:
            entry.others.append(peer)
            if entry.state is State.VALID:
                age_s = now - entry.at
                parts.scores.duplicate(peer.peer_id, topic, age_s, now)
                self._forwarding.observe(entry, age_s)

    def _author_of(self, message: WireMessage, now: float) -> PeerId | None:
        """Who signed a verified message; ``None`` if the key is nobody's."""
        seqno = int.from_bytes(message.seqno)
        try:
            return self._parts.seen.author(message.author, seqno, self._parts.unix_ns(now))
        except PeerError:
            return None

    def _forged(self, peer: Peer, entry: Entry) -> None:
        """The signature is wrong: forget the message, and whoever brought these bytes pays."""
        parts = self._parts
        if parts.seen.known.get(entry.message_id) is entry:
            parts.seen.discard(entry.message_id)
        for bearer in (peer, *entry.others):
            parts.counters.bad_signatures += 1
            parts.scores.invalid(bearer.peer_id, entry.topic)

    def _keep(self, peer: Peer, entry: Entry, now: float) -> bool:
        """Note that a verified message is known; false if it was known since it was read."""
        seen = self._parts.seen
        other = seen.known.get(entry.message_id)
        if other is not None and other is not entry and (isinstance(other, State) or other.state):
            self._take_duplicate(peer, entry.topic, other, now)
            return False
        entry.state = State.PENDING
        seen.keep(entry)
        return True

    def _accept(self, wire: WireMessage, entry: Entry, author: PeerId, now: float) -> None:
        """A message is new and true."""
        parts = self._parts
        parts.promises.keep(entry.message_id)
        source = entry.source
        if source is None:
            return
        message = Message(
            entry.topic,
            wire.data,
            author,
            int.from_bytes(wire.seqno),
            entry.message_id,
            source.peer_id,
        )
        if parts.topics.joined[entry.topic].validate:
            entry.message = message
            self._pending[entry.message_id] = entry, now
            self._pending_bytes += len(entry.body)
            parts.out.append(Validate(message))
        else:
            self._valid(entry, message, now)

    def _valid(self, entry: Entry, message: Message, now: float) -> None:
        """A message is valid: reward who brought it, send it on, deliver it."""
        parts, source = self._parts, entry.source
        parts.counters.accepted += 1
        entry.state, entry.at = State.VALID, now
        entry.field, entry.body = message_field(entry.body), b""
        if source is not None:
            parts.scores.first_delivery(source.peer_id, entry.topic, now)
        for peer in entry.others:
            parts.scores.duplicate(peer.peer_id, entry.topic, 0.0, now)
        parts.cache(entry)
        topic = parts.topics.joined.get(entry.topic)
        if topic is not None:
            self._forwarding.forward(topic, entry, now)
            parts.counters.delivered += 1
            parts.out.append(Deliver(message))
