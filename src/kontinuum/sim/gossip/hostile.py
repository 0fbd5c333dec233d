"""Attackers: many identities that each dial honest nodes, get into their meshes, and do harm.

Source:   Vyzovitis et al., "GossipSub: Attack-Resilient Message Propagation in the Filecoin and ETH2.0
          Networks", PL-TechRep-2020-001, section 4 (Sybil, eclipse, censor, cold boot, covert flash).
Differs:  attackers announce every message that they see (IHAVE) and never give it, which the report's do
          not: whoever asks them loses time.

- ``mute``: joins every mesh it can, announces what it sees, forwards and gives nothing. From the start it is
  the report's cold boot, later an eclipse.
- ``covert``: behaves like any node until ``attack_s``, then as ``mute``, all of them at once.
- ``censor``: behaves, but for the messages of the first publisher, which it swallows.
- ``ihave``, ``iwant``, ``graft``: floods of announcements of nothing, of requests for the same messages, of
  grafts in the time of backoff.
- ``forger``: sends messages of others with wrong signatures.

Pure:   no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.messages import pubsub_fields as tags
from kontinuum.messages.pubsub import decode
from kontinuum.sim.gossip.host import Host, RouterHost, unix_ns
from kontinuum.wire import protobuf

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.identity import PeerId

FLOOD_PART = 400
"""Entries of one RPC of a flood. Our choice: some 20 kB."""

SEEN_MAX = 500
"""Message ids that a mute attacker remembers to announce. Our choice: some seconds of traffic."""


class Sybil(Host):
    """An attacker without a router: ``mute``, and the floods.

    Further args:
        kind: Which behaviour.
        topic: Of the attack.
        rate: Entries of a flood for each victim and second.
        rng: Chance.
    """

    hostile = True

    def __init__(self, *args: object, kind: str, topic: str, rate: int, rng: Rng, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._kind = kind
        self._topic = topic
        self._rate = rate
        self._rng = rng
        self._subscription = tags.subscription_field(topic, subscribe=True)
        self._graft = tags.control_field([tags.graft_part(topic)])
        self._seen: dict[bytes, bytes] = {}
        """Ids of messages, and the messages."""
        self._news: list[bytes] = []
        self._next_tick = 0.0

    def on_connected(self, other: Host, *, outbound: bool) -> None:  # noqa: ARG002
        """Join, and graft at once."""
        self.world.send(self, other, self._subscription + self._graft)
        if self._next_tick <= self.world.now:
            self._next_tick = self.world.now + self._rng.uniform(0.1, 1.0)
            self.world.wake(self, self._next_tick)

    def on_rpc(self, sender: Host, data: bytes) -> None:  # noqa: ARG002
        """Remember what there is; answer nothing."""
        rpc = decode(data)
        for message in rpc.messages:
            message_id = message.message_id
            if message_id not in self._seen:
                self._seen[message_id] = message.body
                self._news.append(message_id)
        while len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def on_wake(self) -> None:
        """Once in a second: do harm to every victim."""
        self._next_tick = self.world.now + 1.0
        self.world.wake(self, self._next_tick)
        news, self._news = self._news[-SEEN_MAX:], []
        for index in list(self.ways):
            for rpc in self._harm(news):
                self.world.send(self, self.world.hosts[index], rpc)

    def _harm(self, news: list[bytes]) -> list[bytes]:
        match self._kind:
            case "ihave":
                parts = [
                    tags.ihave_part(self._topic, [self._invented() for _ in range(count)])
                    for count in _portions(self._rate)
                ]
            case "iwant":
                known = list(self._seen) or [self._invented()]
                parts = [
                    tags.iwant_part([known[i % len(known)] for i in range(count)])
                    for count in _portions(self._rate)
                ]
            case "graft":
                parts = [tags.graft_part(self._topic)] * min(self._rate, FLOOD_PART)
                return [tags.control_field(parts)]
            case "forger":
                bodies = list(self._seen.values())[-min(self._rate, 50) :]
                return (
                    [b"".join(tags.message_field(_forged(body, self._rng)) for body in bodies)]
                    if bodies
                    else []
                )
            case _:
                parts = [tags.ihave_part(self._topic, news), tags.graft_part(self._topic)]
                return [tags.control_field(parts)]
        return [tags.control_field([part]) for part in parts]

    def _invented(self) -> bytes:
        number = self._rng.below(1 << 62)
        return tags.AUTHOR_PREFIX + self.peer_id + number.to_bytes(8)


class Pretender(RouterHost):
    """An attacker with a router: behaves, but for what it swallows.

    Further args:
        from_s: When it begins.
        only: Swallows the messages of this author alone; of everybody without it.
    """

    hostile = True

    def __init__(
        self, *args: object, from_s: float = 0.0, only: PeerId | None = None, **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._from_s = from_s
        self._only = only

    def send(self, other: Host, data: bytes) -> None:
        """Leave out of an RPC what is swallowed."""
        if self.world.now >= self._from_s:
            data = swallow(data, self._only)
        if data:
            self.world.send(self, other, data)


def swallow(data: bytes, author: PeerId | None) -> bytes:
    """Return an RPC without its messages, or without those of one author."""
    kept = bytearray()
    wanted = None if author is None else tags.AUTHOR_PREFIX + author
    for tag, content, _ in protobuf.fields(data):
        if tag == tags.MESSAGE and (wanted is None or wanted in content[: len(wanted) + 4]):
            continue
        protobuf.write_octets(kept, tag, content)
    return bytes(kept)


def _forged(body: bytes, rng: Rng) -> bytes:
    """A message as it was, but for its sequence number: new, and its signature wrong."""
    at = body.index(tags.SEQNO_START) + len(tags.SEQNO_START)
    seqno = unix_ns(0.0) + rng.below(1 << 40)
    return body[:at] + seqno.to_bytes(8) + body[at + 8 :]


def _portions(count: int) -> list[int]:
    whole, rest = divmod(count, FLOOD_PART)
    return [FLOOD_PART] * whole + ([rest] if rest else [])
