"""Measure the gossip router alone: how many messages a second go through one machine.

Each is decoded, found new, verified, cached, forwarded to the mesh (six peers of eight), and delivered.
``python benchmarks/gossip_router.py`` prints a table; ``measure`` is for a benchmark of the whole.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.dht_peers import key_pair
from helpers.gossip_net import peer_id, unix_ns
from kontinuum.base.entropy import Rng
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.router import Router
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds
from kontinuum.gossip.signing import signer, verify
from kontinuum.messages.pubsub_fields import (
    SIGNING_PREFIX,
    control_field,
    graft_part,
    message_field,
    signed_body,
    subscription_field,
    unsigned_body,
)

PEERS, MESH, TOPIC = 8, 6, "benchmark"


def make_router(*, verified):
    """A router with eight peers in its topic, six of them in its mesh."""
    local = key_pair(0)
    router = Router(
        local.peer_id,
        GossipParams(),
        scores=PeerScore(PeerScoreParams()),
        thresholds=PeerScoreThresholds(),
        rng=Rng(1),
        sign=signer(local),
        verify=verify if verified else lambda signed: [True] * len(signed),
        unix_ns=unix_ns,
    )
    router.handle_timeout(0.0)
    router.handle(ev.Subscribe(TOPIC), 0.0)
    hello = subscription_field(TOPIC, subscribe=True)
    for number in range(1, PEERS + 1):
        in_mesh = number <= MESH
        rpc = hello + (control_field([graft_part(TOPIC)]) if in_mesh else b"")
        peer = peer_id(number)
        router.handle(ev.PeerConnected(peer, ev.Protocol.MESHSUB_1_2, outbound=False), 0.0)
        router.handle(ev.RpcReceived(peer, rpc), 0.0)
    assert MESH <= len(router.mesh_peers(TOPIC)) <= MESH + 1, router.mesh_peers(TOPIC)
    return router


def make_rpcs(count, size, authors=16):
    """RPCs of one message each, by several authors."""
    start = unix_ns(0.0)
    rpcs = []
    for index in range(count):
        pair = key_pair(1000 + index % authors)
        unsigned = unsigned_body(pair.peer_id.multihash, (start + index).to_bytes(8), TOPIC, os.urandom(size))
        rpcs.append(message_field(signed_body(unsigned, signer(pair)(SIGNING_PREFIX + unsigned))))
    return rpcs


def measure(*, count=20_000, size=256, verified, batch=32, rate=20_000, copies=1):
    """Messages per second of CPU through one machine.

    The machine's time goes on as if ``rate`` messages came in a second, so that heartbeats, second waves and
    gossip are in the figure; ``copies`` is how many peers bring each message, ``batch`` how many come at
    once.
    """
    router = make_router(verified=verified)
    rpcs = make_rpcs(count, size)
    peers = [peer_id(1 + index % MESH) for index in range(count)]
    now, sent, delivered = 0.1, 0, 0
    started = time.process_time()
    for at in range(0, count, batch):
        now += batch / rate
        due = router.next_deadline()
        effects = router.handle_timeout(now) if due <= now else []
        events = [
            ev.RpcReceived(peers[(index + copy) % count], rpcs[index])
            for copy in range(copies)
            for index in range(at, min(at + batch, count))
        ]
        effects += router.handle_batch(events, now)
        room = {}
        for effect in effects:
            if type(effect) is ev.Send:
                sent += 1
                room[effect.peer] = None
            elif type(effect) is ev.Deliver:
                delivered += 1
        router.handle_batch([ev.Writable(peer, ev.SEND_ROOM_BYTES) for peer in room], now)
    seconds = time.process_time() - started
    assert delivered == count, (delivered, count, router.counters())
    return count / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    count = 5_000 if arguments.quick else 20_000
    figures = {}
    for name, settings in {
        "router_msgs_per_s": {"verified": False},
        "router_signed_msgs_per_s": {"verified": True},
        "router_msgs_per_s_one_by_one": {"verified": False, "batch": 1},
        "router_signed_msgs_per_s_one_by_one": {"verified": True, "batch": 1},
        "router_msgs_per_s_3_copies": {"verified": False, "copies": 3},
    }.items():
        figures[name] = round(max(measure(count=count, **settings) for _ in range(3)))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:40} {figure:8,}")


if __name__ == "__main__":
    main()
