"""Our mesh of each topic: who is taken in, who is sent away, and what the heartbeat puts right.

Source:   libp2p specs, gossipsub v1.0 ("GRAFT", "PRUNE", "Mesh maintenance") and v1.1 ("PRUNE Backoff and
          Peer Exchange", "Outbound Mesh Quotas", "Heartbeat Maintenance", "Opportunistic Grafting").
Differs:  a mesh that is too small grafts a newcomer at once (as rust); the quota of outbound connections is
          filled before too many are pruned, so a heartbeat ends with D_low to D_high peers where that is
          possible; a first GRAFT that may have crossed our PRUNE on its way costs nothing.
Bounds:   D_high, plus outbound connections that graft between two heartbeats.
Trust:    GRAFT and PRUNE are hostile input; see ``backoff``.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from enum import Enum
from math import ceil
from typing import TYPE_CHECKING

from kontinuum.messages.pubsub_fields import graft_part, prune_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.gossip.exchange import PeerExchange
    from kontinuum.gossip.parts import Parts
    from kontinuum.gossip.peers import Peer
    from kontinuum.gossip.topics import Topic
    from kontinuum.messages.pubsub import Prune

GRAFT_CROSSING_S = 1.0
"""A first GRAFT within so many seconds of a PRUNE may have been on its way before. Our choice: go counts two
offences for it."""

GRAFT_PENALTY = 1.0
"""Offences (P7) for a GRAFT during backoff; twice that shortly after the PRUNE. As go."""

STALLED_S = 2.0
"""Seconds for which a peer's stream has taken nothing, after which it is not grafted. Our choice."""

BACKOFF_ABSURD_S = 24 * 3600
"""A PRUNE that asks for more seconds than that is an offence. Our choice: nobody's default is above
minutes."""

BACKOFF_PENALTY = 1.0
"""Offences for it. Our choice."""

BACKOFF_EXPIRE_TICKS = 15
"""Heartbeats between two looks at which backoffs are over. As go."""


class Refusal(Enum):
    """Why a peer does not come into a mesh."""

    UNFIT = "its score is negative, or it belongs into no mesh of the topic"
    BACKOFF = "it grafts too early"
    FULL = "there are D_high already"
    """The only one with which we name others (v1.1: PX is for oversubscription)."""


class Meshes:
    """The meshes of all topics that we are in."""

    def __init__(self, parts: Parts, exchange: PeerExchange) -> None:
        self._parts = parts
        self._exchange = exchange
        self._outbound: list[Peer] = []
        """Peers that we dialled, during a heartbeat."""

    # --- what our own program does, and who comes and goes ---

    def join(self, topic: Topic, now: float) -> None:
        """We are in the topic now: make a mesh, of the fanout's peers first (JOIN)."""
        fanout = topic.fanout or {}
        fit = [peer for peer in self._fit(topic, now) if peer in fanout][: self._parts.params.D]
        for peer in fit:
            self._graft(topic, peer, now)
        self._fill(topic, self._parts.params.D, now)

    def leave(self, topic: Topic, now: float) -> None:
        """We are about to leave the topic: tell the mesh (LEAVE)."""
        seconds = self._parts.params.unsubscribe_backoff_s
        for peer in list(topic.mesh or ()):
            self._prune(topic, peer, now, seconds=seconds)

    def came(self, topic: Topic, peer: Peer, now: float) -> None:
        """A peer has come into a topic."""
        mesh = topic.mesh
        if mesh is not None and len(mesh) < self._parts.params.D_low and self._is_fit(topic, peer, now):
            self._graft(topic, peer, now)

    def gone(self, topic: Topic, peer: Peer, now: float) -> None:
        """A peer is not in the topic any more; it knows that itself."""
        if topic.mesh is not None and peer in topic.mesh:
            del topic.mesh[peer]
            self._parts.scores.prune(peer.peer_id, topic.name, now)
        if topic.fanout is not None:
            topic.fanout.pop(peer, None)

    def exclude(self, peer: Peer, now: float) -> None:
        """A peer is direct from now on: no mesh has it."""
        for topic in list(peer.topics.values()):
            if topic.mesh is not None and peer in topic.mesh:
                self._prune(topic, peer, now, exchange=False)

    # --- what peers say ---

    def handle_graft(self, peer: Peer, names: Sequence[str], now: float) -> None:
        """A peer has taken us into its mesh of these topics."""
        parts = self._parts
        parts.counters.graft_received += len(names)
        score = parts.score(peer)
        for name in names:
            topic = parts.topics.joined.get(name)
            if topic is None or topic.mesh is None or peer in topic.mesh:
                continue  # Of unknown topics nothing is said: v1.1, "Spam Protection Measures".
            refusal = self._refusal(topic, peer, score, now)
            if refusal is not None:
                parts.counters.grafts_refused += 1
                others = self._exchange.choose(topic, peer) if refusal is Refusal.FULL else ()
                backoff_s = parts.backoff.add(name, peer.peer_id, None, now)
                self._tell_prune(topic, peer, backoff_s, others)
                continue
            topic.mesh[peer] = None
            parts.scores.graft(peer.peer_id, name, now)

    def handle_prune(self, peer: Peer, prunes: Sequence[Prune], now: float) -> None:
        """A peer has taken us out of its mesh of these topics."""
        parts = self._parts
        parts.counters.prune_received += len(prunes)
        for name, peers, backoff_s in prunes:
            if backoff_s is not None and backoff_s > BACKOFF_ABSURD_S:
                parts.penalize(peer, BACKOFF_PENALTY)
            topic = parts.topics.joined.get(name)
            if topic is None or topic.mesh is None:
                continue
            if peer in topic.mesh:
                del topic.mesh[peer]
                parts.scores.prune(peer.peer_id, name, now)
            peer.outbox.withdraw_control(graft_part(name))  # It would come during the backoff.
            parts.backoff.add(name, peer.peer_id, backoff_s or None, now)
            if peers:
                self._exchange.handle(peer, name, peers)

    # --- time ---

    def heartbeat(self, tick: int, now: float) -> None:
        """Put all meshes right."""
        parts, params = self._parts, self._parts.params
        if tick % BACKOFF_EXPIRE_TICKS == 0:
            parts.backoff.expire(now)
        negative = {peer for peer in parts.peers.values() if parts.score(peer) < 0}
        self._outbound = [peer for peer in parts.peers.values() if peer.outbound]
        for topic in parts.topics.joined.values():
            mesh = topic.mesh
            if mesh is None or not topic.peers:
                continue
            if negative:
                for peer in [peer for peer in mesh if peer in negative]:
                    self._prune(topic, peer, now, exchange=False)
            if len(mesh) < params.D_low:
                self._fill(topic, params.D, now)
            elif sum(peer.outbound for peer in mesh) < params.D_out:
                self._fill_outbound(topic, now)
            if tick % params.opportunistic_graft_ticks == 0 and len(mesh) > 1:
                self._improve(topic, now)
            if len(mesh) > params.D_high:
                self._prune_to_d(topic, now)

    def _fill(self, topic: Topic, target: int, now: float) -> None:
        missing = target - len(topic.mesh or ())
        if missing > 0:
            for peer in self._parts.rng.sample(self._fit(topic, now), missing):
                self._graft(topic, peer, now)

    def _fill_outbound(self, topic: Topic, now: float) -> None:
        missing = self._parts.params.D_out - sum(peer.outbound for peer in topic.mesh or ())
        fit = [peer for peer in self._outbound if peer in topic.peers and self._is_fit(topic, peer, now)]
        for peer in self._parts.rng.sample(fit, missing):
            self._graft(topic, peer, now)

    def _prune_to_d(self, topic: Topic, now: float) -> None:
        """Keep the best D_score, of the rest as many outbound ones as D_out wants, and others by lot."""
        params, rng = self._parts.params, self._parts.rng
        mesh = list(topic.mesh or ())
        ranked = rng.sample(mesh, len(mesh))
        ranked.sort(key=self._parts.score, reverse=True)
        best, rest = ranked[: params.D_score], ranked[params.D_score :]
        rest = rng.sample(rest, len(rest))
        kept = best + rest[: params.D - len(best)]
        spare = [peer for peer in rest[params.D - len(best) :] if peer.outbound]
        missing = params.D_out - sum(peer.outbound for peer in kept)
        for peer in spare[: max(0, missing)]:
            # In place of the last that is not outbound: those chosen by lot come behind the best.
            index = max(at for at, each in enumerate(kept) if not each.outbound)
            kept[index] = peer
        keep = set(kept)
        for peer in mesh:
            if peer not in keep:
                self._prune(topic, peer, now)

    def _improve(self, topic: Topic, now: float) -> None:
        """Graft some that are better than the median of a mesh that is not good enough.

        Into a full mesh, too: it is pruned to D then, and keeps the best.
        """
        parts = self._parts
        mesh = topic.mesh or {}
        median = sorted(map(parts.score, mesh))[len(mesh) // 2]
        if median >= parts.thresholds.opportunistic_graft_threshold:
            return
        better = [peer for peer in self._fit(topic, now) if parts.score(peer) > median]
        for peer in parts.rng.sample(better, parts.params.opportunistic_graft_peers):
            self._graft(topic, peer, now)

    # --- inside ---

    def _fit(self, topic: Topic, now: float) -> list[Peer]:
        """Whom we could graft."""
        return [peer for peer in topic.peers if self._is_fit(topic, peer, now)]

    def _is_fit(self, topic: Topic, peer: Peer, now: float) -> bool:
        return (
            peer.protocol.has_mesh
            and not peer.is_direct
            and peer not in (topic.mesh or ())
            and not peer.outbox.is_stalled(now - STALLED_S)
            and not self._parts.backoff.blocks(topic.name, peer.peer_id, now)
            and self._parts.score(peer) >= 0
        )

    def _refusal(self, topic: Topic, peer: Peer, score: float, now: float) -> Refusal | None:
        """Why a peer that we have not asked may not come into the mesh; ``None`` if it may."""
        parts = self._parts
        if peer.is_direct or not peer.protocol.has_mesh or peer not in topic.peers:
            return Refusal.UNFIT
        if parts.backoff.is_active(topic.name, peer.peer_id, now):
            self._offended(topic, peer, now)
            return Refusal.BACKOFF
        if score < 0:
            return Refusal.UNFIT
        is_full = len(topic.mesh or ()) >= parts.params.D_high
        return Refusal.FULL if is_full and not peer.outbound else None

    def _offended(self, topic: Topic, peer: Peer, now: float) -> None:
        parts = self._parts
        since_s = parts.backoff.offend(topic.name, peer.peer_id, now, GRAFT_CROSSING_S)
        if since_s is not None:
            is_flood = since_s < parts.params.graft_flood_threshold_s
            parts.penalize(peer, 2 * GRAFT_PENALTY if is_flood else GRAFT_PENALTY)

    def _graft(self, topic: Topic, peer: Peer, now: float) -> None:
        """Take a peer into the mesh."""
        if topic.mesh is None:
            return
        topic.mesh[peer] = None
        self._parts.scores.graft(peer.peer_id, topic.name, now)
        self._parts.control(peer, graft_part(topic.name))
        self._parts.counters.graft_sent += 1

    def _prune(
        self, topic: Topic, peer: Peer, now: float, *, seconds: float | None = None, exchange: bool = True
    ) -> None:
        """Send a peer of the mesh away."""
        if topic.mesh is not None:
            del topic.mesh[peer]
        self._parts.scores.prune(peer.peer_id, topic.name, now)
        peer.outbox.withdraw_control(graft_part(topic.name))
        others = self._exchange.choose(topic, peer) if exchange and seconds is None else ()
        self._tell_prune(topic, peer, self._parts.backoff.add(topic.name, peer.peer_id, seconds, now), others)

    def _tell_prune(
        self, topic: Topic, peer: Peer, seconds: float, others: Sequence[tuple[bytes, bytes]]
    ) -> None:
        if peer.protocol.has_backoff:
            part = prune_part(topic.name, others, ceil(seconds))
        else:
            part = prune_part(topic.name)
        self._parts.control(peer, part)
        self._parts.counters.prune_sent += 1
