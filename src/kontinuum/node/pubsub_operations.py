"""What can be asked of a node about topics: its methods of the control socket.

Bounds:   BATCH_MAX messages of one request; what waits for a client that does not read is bounded by its
          subscription, and what it loses is told at the end.
Trust:    requests come from the node's owner; they are checked to help him. Topics and messages of peers are
          data; whoever shows them escapes them.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING, Any

from kontinuum.identity import PeerId
from kontinuum.node import control_params as given
from kontinuum.node.pubsub_metrics import bands, pubsub_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.gossip.events import Message
    from kontinuum.gossip.peer_score import PeerScoreSnapshot
    from kontinuum.gossip.snapshot import PeerSnapshot
    from kontinuum.node.control import Emit, Handler
    from kontinuum.node.node import Node

BATCH_MAX = 1000
"""Messages of one request. Our choice; more is refused."""

LOOK_INTERVAL_S = 0.02
"""Seconds between two looks at whether a peer of the topic has turned up. Our choice."""


class PubSubOperations:
    """The control methods of one node that begin with ``pubsub.``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name."""
        return {
            "pubsub.publish": self.publish,
            "pubsub.subscribe": self.subscribe,
            "pubsub.peers": self.peers,
            "pubsub.scores": self.scores,
        }

    async def publish(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Publish messages. ``{"topic", "messages": [base64, ...], "wait_s": 0}``.

        If nobody is known to be in the topic yet, it waits for so long until somebody is; the messages go to
        the first who come. ``peers`` is to how many the last one went.
        """
        given.only(params, "topic", "messages", "wait_s")
        topic = given.text(params, "topic")
        messages = [given.base64_bytes({"message": text}, "message") for text in _texts(params)]
        peers = 0
        wait_s = given.number(params, "wait_s", 0, 3600, 0)
        started, machine = time.monotonic(), self._node.pubsub.machine
        for data in messages:
            peers = await self._node.publish(topic, data)
        queued = machine.counters()["messages_queued"]
        while not peers and time.monotonic() < started + wait_s:
            await asyncio.sleep(LOOK_INTERVAL_S)
            # A node that passes messages on may have sent another one; but such a node stays, and sends ours.
            peers = int(machine.counters()["messages_queued"] > queued)
        return {
            "topic": topic,
            "messages": len(messages),
            "bytes": sum(map(len, messages)),
            "peers": peers,
            "elapsed_ms": round(1000 * (time.monotonic() - started), 3),
        }

    async def subscribe(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Tell messages as they come, until the request is cancelled, or until ``count`` of them came.

        ``{"topic", "own": false, "count": null, "messages_max": null, "drop": "oldest"}``. Events:
        ``subscribed``, ``message``.
        """
        given.only(params, "topic", "own", "count", "messages_max", "drop")
        topic = given.text(params, "topic")
        left = int(given.number(params, "count", 0, 2**53, 2**53))
        messages_max = params.get("messages_max")
        if messages_max is not None:
            messages_max = int(given.number(params, "messages_max", 1, 1_000_000, 1))
        subscription = self._node.subscribe(
            topic,
            own=params.get("own", False) is True,
            messages_max=messages_max,
            drop=params.get("drop", "oldest"),
        )
        told = 0
        async with subscription as messages:
            await emit({"type": "subscribed", "topic": topic})
            while told < left:
                message = await anext(messages, None)
                if message is None:  # The node stops.
                    break
                await emit(_message(message))
                told += 1
        return {"topic": topic, "messages": told, "dropped": subscription.dropped}

    async def peers(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """The topics of this node, and the peers that are in them. ``{"topic"}``: of one topic only."""
        given.only(params, "topic")
        topic = given.text(params, "topic") if "topic" in params else None
        pubsub = self._node.pubsub
        now = pubsub.machine.snapshot()
        of_topic = None if topic is None else set(pubsub.topic_peers(topic))
        return {
            "topics": [
                {
                    "topic": each.name,
                    "joined": each.joined,
                    "peers": each.peers,
                    "mesh": [str(peer) for peer in each.mesh],
                }
                for each in now.topics
                if topic in (None, each.name)
            ],
            "peers": [_peer(peer) for peer in now.peers if of_topic is None or peer.peer in of_topic],
        }

    async def scores(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """What each peer's score is made of, the worst first. ``{"peer"}``: of one peer only."""
        given.only(params, "peer")
        peer = PeerId.parse(given.text(params, "peer")) if "peer" in params else None
        pubsub = self._node.pubsub
        scores = sorted(pubsub.scores.inspect(), key=lambda each: each.score)
        thresholds = pubsub.thresholds
        return {
            "scores": [_score(each) for each in scores if peer in (None, each.peer)],
            "bands": bands(pubsub_snapshot(pubsub)),
            "thresholds": {
                "gossip": thresholds.gossip_threshold,
                "publish": thresholds.publish_threshold,
                "graylist": thresholds.graylist_threshold,
                "accept_px": thresholds.accept_px_threshold,
            },
        }


def _texts(params: dict[str, Any]) -> list[str]:
    """The messages: some of them may be empty."""
    value = params.get("messages")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise given.OperationError("misuse.bad_params", "messages is a list of base64 texts and is needed")
    if not 0 < len(value) <= BATCH_MAX:
        raise given.OperationError("misuse.bad_params", f"one request publishes 1 to {BATCH_MAX} messages")
    return value


def _message(message: Message) -> dict[str, Any]:
    return {
        "type": "message",
        "topic": message.topic,
        "author": str(message.author),
        "seqno": message.seqno,
        "data": base64.b64encode(message.data).decode(),
        "received_from": str(message.received_from),
    }


def _peer(peer: PeerSnapshot) -> dict[str, Any]:
    return {
        "peer_id": str(peer.peer),
        "protocol": peer.protocol.value,
        "outbound": peer.outbound,
        "address": peer.address,
        "score": round(peer.score, 3),
        "topics": peer.topics,
        "meshes": list(peer.meshes),
        "queued_bytes": peer.queued_bytes,
        "stalled_s": round(peer.stalled_s, 3),
    }


def _score(score: PeerScoreSnapshot) -> dict[str, Any]:
    return {
        "peer_id": str(score.peer),
        "connected": score.connected,
        "score": round(score.score, 3),
        "topics": round(score.topic_score, 3),
        "application": round(score.p5, 3),
        "colocation": round(score.p6, 3),
        "behaviour": round(score.p7, 3),
        "slow": round(score.slow_peer, 3),
    }
