"""Any bytes are an RPC in its bounds whose messages survive their own bytes, or a PeerError, nothing else."""

import json
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.base.entropy import Rng
from kontinuum.gossip import events as ev
from kontinuum.gossip.params import GossipParams
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.router import Router
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds
from kontinuum.gossip.signing import signer, verify
from kontinuum.identity import KeyPair
from kontinuum.messages.pubsub import decode, encode
from kontinuum.messages.pubsub_fields import control_field, graft_part, subscription_field

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "pubsub_rpcs.json").read_text())
SEEDS = [bytes.fromhex(row["rpc"]) for row in GOLDEN]
TOPIC = "room"
LOCAL, ALICE, BOB = (KeyPair.from_seed(seed * 32) for seed in (b"l", b"a", b"b"))


def fuzz(data: bytes) -> None:
    """One input as an RPC; then as what a peer says to a router that has it in its mesh, which goes on."""
    try:
        rpc = decode(data)
    except PeerError:
        pass
    else:
        again = encode(rpc)
        assert len(again) <= len(data)
        read = decode(again)
        assert encode(read) == again
        assert read == rpc._replace(messages=tuple(m for m in rpc.messages if m.flaw is None), skipped=0)
    router = Router(
        LOCAL.peer_id,
        GossipParams(),
        scores=PeerScore(PeerScoreParams()),
        thresholds=PeerScoreThresholds(),
        rng=Rng(0),
        sign=signer(LOCAL),
        verify=verify,
        unix_ns=lambda now: 1_767_355_200 * 10**9 + int(now * 1e9),
    )
    router.handle_timeout(0.0)
    router.handle(ev.Subscribe(TOPIC), 0.0)
    hello = subscription_field(TOPIC, subscribe=True) + control_field([graft_part(TOPIC)])
    for peer in (ALICE.peer_id, BOB.peer_id):
        router.handle(ev.PeerConnected(peer, ev.Protocol.MESHSUB_1_2, outbound=False), 0.0)
        router.handle(ev.RpcReceived(peer, hello), 0.0)
    router.handle(ev.RpcReceived(ALICE.peer_id, data), 0.5)
    for now in (1.0, 2.0, 3.0):
        router.handle_timeout(now)
        assert router.next_deadline() > now
    assert router.handle(ev.Publish(TOPIC, b"on it goes", 1), 4.0)
