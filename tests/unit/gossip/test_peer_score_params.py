"""Parameters of the score: what is refused, and what the helpers work out."""

from dataclasses import fields, replace
from math import inf, nan

import pytest

from kontinuum.base.errors import MisuseError
from kontinuum.gossip.score_errors import ScoreParameterError
from kontinuum.gossip.score_params import (
    COUNTER_MAX,
    WEIGHT_MAX,
    PeerScoreParams,
    PeerScoreThresholds,
    TopicScoreParams,
    decay_of,
)

REWARDS = [
    (TopicScoreParams, "topic_weight"),
    (TopicScoreParams, "time_in_mesh_weight"),
    (TopicScoreParams, "first_message_deliveries_weight"),
    (PeerScoreParams, "app_specific_weight"),
]
PENALTIES = [
    (TopicScoreParams, "mesh_failure_penalty_weight"),
    (TopicScoreParams, "invalid_message_deliveries_weight"),
    (PeerScoreParams, "ip_colocation_factor_weight"),
    (PeerScoreParams, "behaviour_penalty_weight"),
    (PeerScoreParams, "slow_peer_weight"),
]
DECAYS = [
    (TopicScoreParams, "first_message_deliveries_decay"),
    (TopicScoreParams, "mesh_message_deliveries_decay"),
    (TopicScoreParams, "mesh_failure_penalty_decay"),
    (TopicScoreParams, "invalid_message_deliveries_decay"),
    (PeerScoreParams, "behaviour_penalty_decay"),
    (PeerScoreParams, "slow_peer_decay"),
    (PeerScoreParams, "decay_to_zero"),
]
POSITIVE = [
    (TopicScoreParams, "time_in_mesh_quantum_s"),
    (TopicScoreParams, "time_in_mesh_cap"),
    (TopicScoreParams, "first_message_deliveries_cap"),
    (TopicScoreParams, "mesh_message_deliveries_cap"),
    (TopicScoreParams, "mesh_message_deliveries_threshold"),
    (PeerScoreParams, "slow_peer_cap"),
    (PeerScoreParams, "ip_colocation_factor_threshold"),
    (PeerScoreParams, "decay_interval_s"),
]
NOT_NEGATIVE = [
    (TopicScoreParams, "mesh_message_deliveries_window_s"),
    (TopicScoreParams, "mesh_message_deliveries_activation_s"),
    (PeerScoreParams, "topic_score_cap"),
    (PeerScoreParams, "topic_reward_cap"),
    (PeerScoreParams, "behaviour_penalty_threshold"),
    (PeerScoreParams, "slow_peer_threshold"),
    (PeerScoreParams, "retain_score_s"),
    (PeerScoreThresholds, "accept_px_threshold"),
    (PeerScoreThresholds, "opportunistic_graft_threshold"),
]


def refused(kind, name, value):
    """Check that the parameter cannot have that value, and that the error names it."""
    with pytest.raises(ScoreParameterError) as refusal:
        kind(**{name: value})
    assert refusal.value.name == name
    assert isinstance(refusal.value, MisuseError)
    assert name in str(refusal.value)


@pytest.mark.parametrize(("kind", "name"), REWARDS)
def test_a_reward_is_no_penalty(kind, name):
    """
    Weights of rewards are from 0 to WEIGHT_MAX.
    """
    assert getattr(kind(**{name: 0.0}), name) == 0.0
    assert getattr(kind(**{name: WEIGHT_MAX}), name) == WEIGHT_MAX
    for value in (-0.001, 1.001 * WEIGHT_MAX, inf, nan):
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), PENALTIES)
def test_a_penalty_is_no_reward(kind, name):
    """
    Weights of penalties are from -WEIGHT_MAX to 0.
    """
    assert getattr(kind(**{name: 0.0}), name) == 0.0
    assert getattr(kind(**{name: -WEIGHT_MAX}), name) == -WEIGHT_MAX
    for value in (0.001, -1.001 * WEIGHT_MAX, -inf, nan):
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), DECAYS)
def test_a_decay_decays(kind, name):
    """
    A factor is between 0 and 1, neither included, also where the weight is 0.
    """
    assert getattr(kind(**{name: 0.5}), name) == 0.5
    for value in (0.0, 1.0, -0.5, 1.5, nan):
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), POSITIVE)
def test_a_cap_is_above_0(kind, name):
    """
    Caps, quanta and intervals are above 0 and at most COUNTER_MAX.
    """
    for value in (0.0, -1.0, 1.001 * COUNTER_MAX, inf, nan):
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), NOT_NEGATIVE)
def test_a_threshold_or_duration_is_not_negative(kind, name):
    """
    Where 0 means "at once" or "none", less is refused.
    """
    assert getattr(kind(**{name: 0.0}), name) == 0.0
    for value in (-0.001, inf, nan):
        refused(kind, name, value)


def test_every_number_is_checked():
    """
    No parameter is missing in the tables of this module.
    """
    tables = [*REWARDS, *PENALTIES, *DECAYS, *POSITIVE, *NOT_NEGATIVE]
    elsewhere = {
        "mesh_message_deliveries_weight",  # below, with P3b
        "gossip_threshold",
        "publish_threshold",
        "graylist_threshold",  # below, in their order
        "topics",
        "default_topic",
        "ip_colocation_factor_allow_list",  # no numbers
    }
    names = {
        field.name
        for kind in (TopicScoreParams, PeerScoreParams, PeerScoreThresholds)
        for field in fields(kind)
    }
    assert names == {name for _, name in tables} | elsewhere


def test_leaving_a_mesh_costs_what_staying_did():
    """
    P3b is at least as heavy as P3: otherwise a mute peer would gain by leaving.
    """
    TopicScoreParams(mesh_message_deliveries_weight=-2.0, mesh_failure_penalty_weight=-2.0)
    with pytest.raises(ScoreParameterError, match="gain by leaving"):
        TopicScoreParams(mesh_message_deliveries_weight=-2.0, mesh_failure_penalty_weight=-1.0)
    with pytest.raises(ScoreParameterError, match="mesh_message_deliveries_weight"):
        TopicScoreParams(mesh_message_deliveries_weight=1.0)


def test_enough_deliveries_can_be_counted():
    """
    The cap of mesh deliveries is at least the threshold; otherwise every mesh peer would always lack some.
    """
    with pytest.raises(ScoreParameterError, match="at least mesh_message_deliveries_threshold"):
        TopicScoreParams(mesh_message_deliveries_cap=2.0, mesh_message_deliveries_threshold=3.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gossip_threshold": 1.0},
        {"publish_threshold": -499.0},
        {"graylist_threshold": -999.0},
        {"gossip_threshold": nan},
        {"publish_threshold": nan},
        {"graylist_threshold": nan},
    ],
)
def test_thresholds_are_in_order(wrong):
    """
    0 >= gossip >= publish >= graylist.
    """
    with pytest.raises(ScoreParameterError):
        PeerScoreThresholds(**wrong)


def test_topics_cannot_be_changed_behind_the_checks():
    """
    The parameters keep topics of their own, and may be copied with changes like any dataclass.
    """
    topics = {"a": TopicScoreParams()}
    params = PeerScoreParams(topics=topics)
    topics["b"] = TopicScoreParams()

    assert list(params.topics) == ["a"]
    assert replace(params, retain_score_s=1.0).topics == params.topics


@pytest.mark.parametrize(
    ("duration_s", "interval_s", "to_zero"), [(60.0, 1.0, 0.01), (3600.0, 12.0, 0.1), (1.0, 1.0, 0.01)]
)
def test_decay_of_reaches_0_in_time(duration_s, interval_s, to_zero):
    """
    A counter of 1 arrives at the limit after the duration, and not an interval before.
    """
    factor = decay_of(duration_s, interval_s, to_zero)
    ticks = round(duration_s / interval_s)

    assert factor**ticks == pytest.approx(to_zero)
    assert factor ** (ticks - 1) > to_zero


def test_decay_of_knows_go_s_numbers():
    """
    The factors that go-libp2p-pubsub's ScoreParameterDecay gives for ten minutes and an hour.
    """
    assert decay_of(600.0) == pytest.approx(0.992354, abs=1e-6)
    assert decay_of(3600.0) == pytest.approx(0.998722, abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [(0.0,), (-1.0,), (nan,), (inf,), (1e-9,), (60.0, 0.0), (60.0, 1.0, 0.0), (60.0, 1.0, 1.0)]
)
def test_decay_of_refuses_what_does_not_decay(wrong):
    """
    No time, no interval, no limit, or a factor that rounds to 0 or 1.
    """
    with pytest.raises(ScoreParameterError):
        decay_of(*wrong)


@pytest.mark.parametrize("rate", [0.0, 0.1, -1.0, nan, inf])
def test_a_topic_too_slow_to_judge_by_is_refused(rate):
    """
    ``expecting`` wants a rate at which a mesh peer's share says something within half an hour.
    """
    with pytest.raises(ScoreParameterError, match="messages_per_s"):
        TopicScoreParams.expecting(rate)


def test_off_is_off():
    """
    ``off`` has no weight left, each weight alone makes it "on", and its thresholds are never crossed.
    """
    off = PeerScoreParams.off()

    assert off.is_off
    assert not replace(off, app_specific_weight=1.0).is_off
    for name in ("ip_colocation_factor_weight", "behaviour_penalty_weight", "slow_peer_weight"):
        assert not replace(off, **{name: -1.0}).is_off
    assert not replace(off, default_topic=TopicScoreParams()).is_off
    assert not replace(off, topics={"a": TopicScoreParams()}).is_off
    assert not PeerScoreParams().is_off
    never = PeerScoreThresholds.off()
    assert never.gossip_threshold == never.publish_threshold == never.graylist_threshold == -inf
    assert never.accept_px_threshold == 0.0
