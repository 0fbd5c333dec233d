"""Settings of the router: the specification's defaults, and relations that are checked when they are made."""

from math import inf, nan

import pytest

from helpers.gossip_net import router
from kontinuum.gossip import events as ev
from kontinuum.gossip.errors import BadParamsError
from kontinuum.gossip.params import GossipParams
from kontinuum.wire.limits import PUBSUB_DATA_BYTES_MAX


def test_the_defaults_are_the_specifications():
    """
    gossipsub v1.0, "Parameters", v1.1, "Overview of New Parameters"; what they leave open as go.
    """
    params = GossipParams()

    assert (params.D, params.D_low, params.D_high, params.D_lazy) == (6, 4, 12, 6)
    assert (params.D_score, params.D_out) == (4, 2)
    assert (params.heartbeat_interval_s, params.fanout_ttl_s, params.seen_ttl_s) == (1.0, 60.0, 120.0)
    assert (params.mcache_len, params.mcache_gossip) == (5, 3)
    assert (params.prune_backoff_s, params.unsubscribe_backoff_s) == (60.0, 10.0)
    assert (params.flood_publish, params.gossip_factor) == (True, 0.25)
    assert (params.max_ihave_length, params.max_ihave_messages, params.iwant_followup_s) == (5000, 10, 3.0)
    assert (params.gossip_retransmission, params.prune_peers) == (3, 16)
    assert (params.idontwant_threshold_bytes, params.idontwant_ttl) == (1024, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"D": 3},
        {"D": 13},
        {"D_low": 7},
        {"D_low": 0},
        {"D_high": 5},
        {"D_score": 13},
        {"D_score": -1},
        {"D_out": 4},
        {"D": 4, "D_out": 3},
        {"D_out": -1},
        {"D": 0},
        {"D_lazy": -1},
        {"mcache_gossip": 6},
        {"mcache_gossip": 0},
        {"gossip_factor": 1.1},
        {"gossip_factor": -0.1},
        {"gossip_factor": nan},
        {"prune_backoff_s": 0},
        {"prune_backoff_s": 4000},
        {"unsubscribe_backoff_s": 4000},
        {"prune_backoff_max_s": nan},
        {"heartbeat_interval_s": 0},
        {"heartbeat_interval_s": inf},
        {"heartbeat_interval_s": nan},
        {"heartbeat_initial_delay_s": -1},
        {"seen_ttl_s": 0},
        {"iwant_followup_s": 0},
        {"fanout_ttl_s": -1},
        {"publish_wait_s": nan},
        {"gossip_retransmission": 0},
        {"max_ihave_length": 0},
        {"max_ihave_messages": 0},
        {"max_idontwant_messages": 0},
        {"idontwant_ttl": 0},
        {"opportunistic_graft_ticks": 0},
        {"opportunistic_graft_peers": -1},
        {"direct_connect_ticks": 0},
        {"eager_peers": 0},
        {"message_bytes_max": 0},
        {"message_bytes_max": PUBSUB_DATA_BYTES_MAX + 1},
        {"rpc_bytes_target": PUBSUB_DATA_BYTES_MAX + 1},
        {"queue_bytes_max": 64 * 1024},
        {"mcache_bytes_max": 64 * 1024},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong):
    """
    When they are made, not when the mesh is empty.
    """
    with pytest.raises(BadParamsError):
        GossipParams(**wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"D": 0, "D_low": 0, "D_high": 0, "D_out": 0, "D_score": 0},
        {"D": 4, "D_low": 4, "D_high": 4, "D_out": 2, "D_score": 4},
        {"message_bytes_max": PUBSUB_DATA_BYTES_MAX},
        {"publish_wait_s": 0, "heartbeat_initial_delay_s": 0, "gossip_factor": 0, "D_lazy": 0},
    ],
    ids=str,
)
def test_settings_at_their_limits(right):
    """
    A bootstrapper without a mesh among them (v1.1, "Recommendations for Network Operators").
    """
    machine = router(params=GossipParams(**right))

    assert machine.next_deadline() == 0.0
    machine.handle(ev.Subscribe("room"), 0.0)
    for now in range(3):
        machine.handle_timeout(float(now))
