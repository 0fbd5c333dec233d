"""Each term of the score is what the specification's formula makes of all that ever happened.

The model (tests/helpers/peer_score_model.py) replays the whole list of events for each number;
``PeerScore`` keeps counters and remembers scores. They must agree after every event.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from helpers.peer_score_model import without
from helpers.peer_score_stories import (
    PEERS,
    all_params,
    stories,
    stories_of_p1,
    stories_of_p2,
    stories_of_p3,
    stories_of_p3b,
    stories_of_p4,
    stories_of_p5,
    stories_of_p6,
    stories_of_p7,
    stories_of_slow_peers,
    tell,
)


def agrees(number):
    """Equal but for rounding."""
    return pytest.approx(number, rel=1e-9, abs=1e-9)


def check(params, story, expected):
    """``expected(model, peer)`` is the score of each connected peer at all times."""
    told = None
    for told, about in tell(params, story):
        connected = told.model.connected_peers()
        for peer in [about] if about else PEERS:
            if peer in connected:
                assert told.scores.score(peer) == agrees(expected(told.model, peer)), (
                    peer,
                    told.model.events,
                )
    for peer in told.model.connected_peers():
        assert told.scores.score(peer) == agrees(expected(told.model, peer)), (peer, told.model.events)


def over_topics(term, weight):
    """The sum of one term over the topics of a peer."""

    def expected(model, peer):
        total = 0.0
        for topic in model.topics(peer):
            params = model.topic_params(topic)
            total += params.topic_weight * getattr(params, weight) * getattr(model, term)(peer, topic)
        for cap in (model.params.topic_reward_cap, model.params.topic_score_cap):
            total = min(cap, total) if cap else total
        return total

    return expected


@given(params=all_params(), story=stories_of_p1 | stories)
def test_p1_is_the_time_in_the_mesh(params, story):
    """
    P1: whole quanta since the GRAFT as of the last decay, capped; nothing outside of the mesh.
    """
    weight = "time_in_mesh_weight"
    check(without(params, weight), story, over_topics("p1", weight))


@given(params=all_params(), story=stories_of_p2 | stories)
def test_p2_is_first_deliveries(params, story):
    """
    P2: a counter of messages brought first, capped when it grows, decaying, lost with the connection.
    """
    weight = "first_message_deliveries_weight"
    check(without(params, weight), story, over_topics("p2", weight))


@given(params=all_params(), story=stories_of_p3 | stories)
def test_p3_is_the_squared_deficit_of_mesh_deliveries(params, story):
    """
    P3: the squared deficit of a mesh peer that has been there long enough; copies count within the window.
    """
    p3, p3b = "mesh_message_deliveries_weight", "mesh_failure_penalty_weight"
    silent = without(params, p3, p3b)

    def expected(model, peer):
        return over_topics("p3", p3)(model, peer) + over_topics("p3b", p3b)(model, peer)

    check(silent, story, expected)


@given(params=all_params(), story=stories_of_p3b | stories)
def test_p3b_is_what_was_lacking_when_the_mesh_was_left(params, story):
    """
    P3b: the squared deficit at each PRUNE and at the end of a connection, added up, decaying.
    """
    weight = "mesh_failure_penalty_weight"
    check(without(params, weight), story, over_topics("p3b", weight))


@given(params=all_params(), story=stories_of_p4 | stories)
def test_p4_is_the_square_of_invalid_messages(params, story):
    """
    P4: the square of a counter of invalid messages that outlives the connection.
    """
    weight = "invalid_message_deliveries_weight"
    check(without(params, weight), story, over_topics("p4", weight))


@given(params=all_params(), story=stories_of_p5 | stories)
def test_p5_is_the_application_s_number(params, story):
    """
    P5: what the application said last, whether the peer was connected or not.
    """
    weight = "app_specific_weight"
    check(
        without(params, weight), story, lambda model, peer: model.params.app_specific_weight * model.p5(peer)
    )


@given(params=all_params(), story=stories_of_p6 | stories)
def test_p6_is_the_square_of_peers_too_many_on_one_address(params, story):
    """
    P6: peers connected from one address, those on the allow-list left out; it falls when they leave.
    """
    weight = "ip_colocation_factor_weight"
    check(without(params, weight), story, lambda model, peer: getattr(model.params, weight) * model.p6(peer))


@given(params=all_params(), story=stories_of_p7 | stories)
def test_p7_is_the_square_of_offences_above_the_threshold(params, story):
    """
    P7: a counter of offences, over the threshold, squared; it outlives the connection.
    """
    weight = "behaviour_penalty_weight"
    check(without(params, weight), story, lambda model, peer: getattr(model.params, weight) * model.p7(peer))


@given(params=all_params(), story=stories_of_slow_peers | stories)
def test_slow_peers_pay_for_each_drop_above_the_threshold(params, story):
    """
    The slow peer's penalty: a counter of drops, capped, over the threshold; it outlives the connection.
    """
    weight = "slow_peer_weight"
    check(
        without(params, weight), story, lambda model, peer: getattr(model.params, weight) * model.slow(peer)
    )


@given(params=all_params(), story=stories)
@settings(max_examples=50)
def test_the_score_is_the_sum_with_topics_capped(params, story):
    """
    TopicCap of all topics' terms, and the four others: the whole formula at once.
    """
    check(params, story, lambda model, peer: model.score(peer))


@given(params=all_params(), story=stories)
@settings(max_examples=50)
def test_the_snapshot_tells_each_term(params, story):
    """
    What people are shown is the same numbers: each counter, each weighted term, and they add up to the score.
    """
    told = list(tell(params, story))[-1][0]
    model, connected = told.model, told.model.connected_peers()
    shown = {snapshot.peer: snapshot for snapshot in told.scores.inspect() if snapshot.connected}

    assert set(shown) == set(connected)
    for peer, snapshot in shown.items():
        assert snapshot.p5 == agrees(params.app_specific_weight * model.p5(peer))
        assert snapshot.p6 == agrees(params.ip_colocation_factor_weight * model.p6(peer))
        assert snapshot.p7 == agrees(params.behaviour_penalty_weight * model.p7(peer))
        assert snapshot.slow_peer == agrees(params.slow_peer_weight * model.slow(peer))
        parts = (snapshot.topic_score, snapshot.p5, snapshot.p6, snapshot.p7, snapshot.slow_peer)
        assert snapshot.score == agrees(sum(parts))
        topics = {topic.topic: topic for topic in snapshot.topics}
        for name in model.topics(peer):
            topic, its = topics.get(name), model.topic_params(name)
            for term, weight in (
                ("p1", its.time_in_mesh_weight),
                ("p2", its.first_message_deliveries_weight),
                ("p3", its.mesh_message_deliveries_weight),
                ("p3b", its.mesh_failure_penalty_weight),
                ("p4", its.invalid_message_deliveries_weight),
            ):
                value = its.topic_weight * weight * getattr(model, term)(peer, name)
                assert (getattr(topic, term) if topic else 0.0) == agrees(value)
            assert (topic.rewards if topic else 0.0) == agrees(model.rewards(peer, name))
            assert (topic.penalties if topic else 0.0) == agrees(model.penalties(peer, name))


@given(params=all_params(), story=stories)
@settings(max_examples=50)
def test_nothing_needs_to_be_asked_for(params, story):
    """
    Scores that nobody asked for on the way are the same: what is remembered is dropped whenever it must be.
    """
    told = list(tell(params, story))[-1][0]

    for peer in told.model.connected_peers():
        assert told.scores.score(peer) == agrees(told.model.score(peer))


@given(params=all_params(), story=stories)
@settings(max_examples=50)
def test_a_peer_that_left_has_what_it_would_come_back_with(params, story):
    """The score of a peer that is not connected is the one that it has when it is back, from an address of
    its own.
    """
    told = list(tell(replace(params, retain_score_s=1e6), story))[-1][0]
    away = [peer for peer in PEERS if peer not in told.model.connected_peers()]

    for peer in away:
        before = told.scores.score(peer)
        told.tell("add_peer", peer, value=None)
        assert before == agrees(told.scores.score(peer)) == agrees(told.model.score(peer))
