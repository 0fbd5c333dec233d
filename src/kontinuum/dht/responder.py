"""What a node answers when it is asked: peers it knows, records it holds.

Source: libp2p specs, kad-dht/README.md, "RPC messages".
Differs:  a FIND_NODE key of exactly 32 bytes is a place in the key space itself, so that buckets can be
          refreshed; a PUT_VALUE or ADD_PROVIDER that is not kept says why (``refusal``).
Bounds:   k peers in a reply; what the store allows; PROVIDERS_PER_REPLY_MAX providers.
Trust:    the sender's identity is proven by the connection, everything else is hostile input.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from hashlib import shake_128
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.dht.events import Refusal
from kontinuum.dht.keys import key_of
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

if TYPE_CHECKING:
    from datetime import datetime

    from kontinuum.dht.events import Request
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.parts import Parts
    from kontinuum.dht.peer import Peer
    from kontinuum.messages.kad import KadPeer

PLACE_BYTES = 32
"""Bytes of a FIND_NODE key that is a place itself; peer ids have 34 or more. Our choice."""

PROVIDERS_PER_REPLY_MAX = 20
"""Providers that a reply names. Our choice: as many as closer peers. Of more, each reply names others."""

LOT_BYTES = 4
"""Bytes of hash by which one provider is put in order. Our choice: of 256, hardly two have the same."""


def target_of(message: KadMessage) -> KadKey:
    """The place in the key space that a request is about."""
    if message.type is MessageType.FIND_NODE and len(message.key) == PLACE_BYTES:
        return int.from_bytes(message.key)
    return key_of(message.key)


class Responder:
    """Answers requests from the table and the records of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answers = {
            MessageType.FIND_NODE: self._find_node,
            MessageType.GET_VALUE: self._get_value,
            MessageType.PUT_VALUE: self._put,
            MessageType.ADD_PROVIDER: self._add_provider,
            MessageType.GET_PROVIDERS: self._get_providers,
            MessageType.PING: self._ping,
        }
        self._choices = 0
        """How often there were more providers than a reply names."""
        self.own_contact = b""
        """Our contact's bytes, which replies carry: who asks shall not go on with an old one."""

    def answer(self, request: Request, at: datetime, now: float) -> KadMessage | None:
        """The reply; ``None`` refuses the request without one."""
        if not self._parts.config.server:
            return None
        message = request.message
        return self._answers[message.type](request, at, now)

    def _find_node(self, request: Request, _at: datetime, _now: float) -> KadMessage:
        closer = self._closer(request)
        return KadMessage(MessageType.FIND_NODE, closer_peers=closer, sender=self.own_contact)

    def _get_value(self, request: Request, at: datetime, _now: float) -> KadMessage:
        key = request.message.key
        value = self._parts.records.get(key, at)
        record = None if value is None else KadRecord(key, value)
        return KadMessage(
            MessageType.GET_VALUE,
            key=key,
            record=record,
            closer_peers=self._closer(request),
            sender=self.own_contact,
        )

    def _get_providers(self, request: Request, at: datetime, _now: float) -> KadMessage:
        key = request.message.key
        providers = self._parts.records.providers(key, at)
        if len(providers) > PROVIDERS_PER_REPLY_MAX:
            providers = self._choose(providers, request)
        return KadMessage(
            MessageType.GET_PROVIDERS,
            key=key,
            closer_peers=self._closer(request),
            provider_peers=tuple(peer.wire for peer in providers),
        )

    def _choose(self, providers: list[Peer], request: Request) -> list[Peer]:
        """As many as a reply names, by a hash that is another one for each holder, asker, key and reply.

        So each is named as often as any other, and none by its identity or by when it came.
        """
        self._choices += 1
        asked = bytes(self._parts.local) + bytes(request.sender) + self._choices.to_bytes(8)
        lots = shake_128(asked + request.message.key).digest(LOT_BYTES * len(providers))
        order = sorted(range(len(providers)), key=lambda at: lots[LOT_BYTES * at : LOT_BYTES * (at + 1)])
        return [providers[at] for at in order[:PROVIDERS_PER_REPLY_MAX]]

    def _ping(self, _request: Request, _at: datetime, _now: float) -> KadMessage:
        return KadMessage(MessageType.PING, sender=self.own_contact)

    def _closer(self, request: Request) -> tuple[KadPeer, ...]:
        k, table = self._parts.adaptation.k, self._parts.table
        closest = table.closest(target_of(request.message), k + 1)
        peers = [peer for peer in closest if peer.peer_id != request.sender][:k]
        return table.named(peers) if self._parts.config.rtt_hints else tuple([peer.wire for peer in peers])

    def _put(self, request: Request, at: datetime, now: float) -> KadMessage:
        message, record = request.message, request.message.record
        if record is None or record.key != message.key:
            refusal = Refusal.INVALID
        else:
            refusal = self._parts.records.put(
                record.key, record.value, sender=request.sender, ip=request.ip, at=at, now=now
            )
        return KadMessage(MessageType.PUT_VALUE, key=message.key, refusal=refusal)

    def _add_provider(self, request: Request, at: datetime, now: float) -> KadMessage:
        message = request.message
        refusal = Refusal.INVALID
        # Whoever provides says so itself: its contact is signed, and the connection proves that it is there.
        own = [peer for peer in message.provider_peers if peer.peer_id == request.sender.multihash]
        if own:
            try:
                provider = self._parts.admission.check(own[0].contact, at)
            except PeerError:
                provider = None
            if provider is not None and provider.peer_id == request.sender:
                refusal = self._parts.records.add_provider(
                    message.key, provider, ip=request.ip, at=at, now=now
                )
        return KadMessage(MessageType.ADD_PROVIDER, key=message.key, refusal=refusal)
