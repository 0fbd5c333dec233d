"""What holds of every score, whatever the parameters and whatever peers do, in whatever order.

After Kumar, von Hippel, Manolios and Nita-Rotaru, "Formal model-driven analysis of resilience of GossipSub
to attacks from misbehaving peers" (IEEE S&P 2024): good behaviour never costs, bad behaviour never pays,
equals are equal.
"""

from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.peer_score_model import Both
from helpers.peer_score_stories import PEERS, TOPICS, all_params, lives_of, stories, tell
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.score_params import COUNTER_MAX, WEIGHT_MAX, PeerScoreParams, TopicScoreParams

ROUNDING = 1e-9


def last_of(params, story):
    """Both, after the whole story."""
    return list(tell(params, story))[-1][0]


@given(params=all_params(), story=stories)
def test_rewards_are_capped_and_penalties_are_penalties(params, story):
    """P1 and P2 are from 0 to their caps, the other terms at most 0, and topics together at most their
    cap. No reward hides a penalty: the score is at most what can be earned, less each penalty in full
    (CVE-2022-47547).
    """
    for told, _ in tell(params, story):
        for peer in told.scores.inspect():
            for topic in peer.topics:
                its = told.model.topic_params(topic.topic)
                p1_max = its.topic_weight * its.time_in_mesh_weight * its.time_in_mesh_cap
                p2_max = its.first_message_deliveries_weight * its.first_message_deliveries_cap
                assert 0.0 <= topic.p1 <= p1_max + ROUNDING
                assert 0.0 <= topic.p2 <= its.topic_weight * p2_max + ROUNDING
                assert topic.p3 <= 0.0
                assert topic.p3b <= 0.0
                assert topic.p4 <= 0.0
            assert peer.p6 <= 0.0
            assert peer.p7 <= 0.0
            assert params.slow_peer_weight * params.slow_peer_cap <= peer.slow_peer <= 0.0
            if params.topic_reward_cap:
                penalties = sum(topic.penalties for topic in peer.topics) + peer.p6 + peer.p7 + peer.slow_peer
                assert peer.score <= params.topic_reward_cap + penalties + peer.p5 + ROUNDING
            if params.topic_score_cap:
                assert peer.topic_score <= params.topic_score_cap
                assert peer.score <= params.topic_score_cap + peer.p5 + ROUNDING


GOOD = ("first_delivery", "duplicate")
BAD = ("invalid", "behaviour_penalty", "slow_peer", "prune", "remove_peer")


@given(params=all_params(), story=stories)
def test_at_once_good_never_costs_and_bad_never_pays(params, story):
    """A delivery raises a peer's score or leaves it; an offence, leaving a mesh and leaving lower it or
    leave it; a GRAFT changes nothing. Nothing of that touches the score of a peer on another address.
    """
    told = Both(params)
    for place, peer in enumerate(PEERS):
        told.tell("add_peer", peer, value=f"9.9.9.{place}")
    for kind, *what in story:
        before = {peer: told.scores.score(peer) for peer in PEERS}
        if kind == "tick":
            told.tick()
            continue
        if kind not in (*GOOD, *BAD, "graft"):
            continue
        told.tell(kind, *what)
        for peer in PEERS:
            now = told.scores.score(peer)
            if peer != what[0] or kind == "graft":
                assert now == before[peer]
            elif kind in GOOD:
                assert now >= before[peer] - ROUNDING
            else:
                assert now <= before[peer] + ROUNDING


@given(
    params=all_params(),
    story=stories,
    data=st.data(),
    kind=st.sampled_from(["first_delivery", "invalid", "behaviour_penalty", "slow_peer"]),
    topic=st.sampled_from(TOPICS),
)
def test_in_the_end_good_never_costs_and_bad_never_pays(params, story, data, kind, topic):
    """Of two peers whose stories differ by one delivery or one offence, somewhere, the better one has the
    better score from then on, while both are connected.
    """
    story = [
        event for event in story if event[0] != "add_peer"
    ]  # All stay where they are, or leave for good.
    place = data.draw(st.integers(0, len(story)))
    more = (kind, "ann", topic, 1.0)
    shorter, longer = Both(params), Both(params)
    for number, event in enumerate([*story[:place], more, *story[place:]]):
        for told in (shorter, longer):
            if number == 0:
                told.tell("add_peer", "ann", value="9.9.9.9")
            if event is more and told is shorter:
                continue
            if event[0] == "tick":
                told.tick()
            elif event[0] != "wait":
                told.tell(*event)
        with_it, without_it = longer.scores.score("ann"), shorter.scores.score("ann")
        if "ann" not in longer.model.connected_peers():
            break
        if kind == "first_delivery":
            assert with_it >= without_it - ROUNDING
        else:
            assert with_it <= without_it + ROUNDING


@given(params=all_params(), story=stories)
def test_a_peer_that_does_nothing_is_forgiven_and_forgotten(params, story):
    """Out of all meshes and idle, each term goes towards 0 with each decay, never away from it, and is 0
    in the end.
    """
    told = last_of(params, story)
    for peer in PEERS:
        for topic in TOPICS:
            told.tell("prune", peer, topic)

    def terms():
        return {
            (peer.peer, topic.topic, term): getattr(topic, term)
            for peer in told.scores.inspect()
            if peer.connected
            for topic in peer.topics
            for term in ("p1", "p2", "p3", "p3b", "p4")
        } | {
            (peer.peer, term): getattr(peer, term)
            for peer in told.scores.inspect()
            if peer.connected
            for term in ("p7", "slow_peer")
        }

    before = terms()
    for _ in range(100):  # Ten thousand times 0.8^100 is less than a millionth.
        told.tick()
        now = terms()
        for key, value in now.items():
            assert abs(value) <= abs(before[key])
        before = now

    for peer in told.scores.inspect():
        if peer.connected:
            assert peer.topics == ()
            assert peer.score == peer.p5 + peer.p6


@given(
    params=all_params(),
    before=lives_of("ann") | stories,
    gap=st.sampled_from([0, 1, 3, 10, 40]),
    after=lives_of("ann") | stories,
    address=st.sampled_from(["9.9.9.9", "2a00:1:2:3::1", None]),
)
def test_nobody_gains_by_leaving(params, before, gap, after, address):
    """A peer that disconnects for a while never has a better score, from its return on, than if it had
    only left the meshes and kept still: whatever it did before, does afterwards, and however long it is
    away.
    """
    stayed, left = Both(params), Both(params)
    for told in (stayed, left):
        told.tell("add_peer", "ann", value=address)
        for kind, *what in before:
            if kind == "tick":
                for _ in range(what[0]):
                    told.tick()
            elif kind != "wait" and (kind, what[0]) not in {("add_peer", "ann"), ("remove_peer", "ann")}:
                told.tell(kind, *what)
    for topic in TOPICS:
        stayed.tell("prune", "ann", topic)
    left.tell("remove_peer", "ann")
    for told in (stayed, left):
        for _ in range(gap):
            told.now += params.decay_interval_s
            told.scores.refresh(told.now)
    left.tell("add_peer", "ann", value=address)

    assert left.scores.score("ann") <= stayed.scores.score("ann") + ROUNDING
    for kind, *what in after:
        for told in (stayed, left):
            if kind == "tick":
                told.now += params.decay_interval_s
                told.scores.refresh(told.now)
            elif kind != "wait":
                told.tell(kind, *what)
        if "ann" in left.model.connected_peers():
            assert left.scores.score("ann") <= stayed.scores.score("ann") + ROUNDING


@given(params=all_params(), story=stories)
def test_equals_have_equal_scores(params, story):
    """
    Two peers of which the same was seen have the same score, to the last bit.
    """
    scores, now = PeerScore(params), 0.0
    for peer in ("one", "two"):
        scores.add_peer(peer, None, now)
    for kind, *what in story:
        if kind == "tick":
            now += params.decay_interval_s
            scores.refresh(now)
        for peer in ("one", "two"):
            topic, value = (what[1], what[-1]) if len(what) > 1 else ("a", 1.0)
            match kind:
                case "graft" | "prune" | "first_delivery":
                    getattr(scores, kind)(peer, topic, now)
                case "duplicate":
                    scores.duplicate(peer, topic, value, now)
                case "invalid":
                    scores.invalid(peer, topic)
                case "behaviour_penalty" | "slow_peer" | "set_application_score":
                    getattr(scores, kind)(peer, value)
                case "remove_peer":
                    scores.remove_peer(peer, now)
                case "add_peer":
                    scores.add_peer(peer, None, now)
        assert scores.score("one") == scores.score("two")


@st.composite
def extreme_params(draw):
    """Parameters at the ends of what is allowed."""
    weight = st.sampled_from([0.0, WEIGHT_MAX])
    cap = st.sampled_from([1e-300, COUNTER_MAX])
    decay = st.sampled_from([5e-324, 0.5, 1.0 - 2**-53])
    heavy = -draw(weight)
    topic = TopicScoreParams(
        topic_weight=draw(weight),
        time_in_mesh_weight=draw(weight),
        time_in_mesh_quantum_s=draw(cap),
        time_in_mesh_cap=draw(cap),
        first_message_deliveries_weight=draw(weight),
        first_message_deliveries_decay=draw(decay),
        first_message_deliveries_cap=draw(cap),
        mesh_message_deliveries_weight=heavy,
        mesh_message_deliveries_decay=draw(decay),
        mesh_message_deliveries_cap=COUNTER_MAX,
        mesh_message_deliveries_threshold=draw(cap),
        mesh_message_deliveries_activation_s=0.0,
        mesh_failure_penalty_weight=-WEIGHT_MAX if heavy else -draw(weight),
        mesh_failure_penalty_decay=draw(decay),
        invalid_message_deliveries_weight=-draw(weight),
        invalid_message_deliveries_decay=draw(decay),
    )
    return PeerScoreParams(
        default_topic=topic,
        topic_score_cap=draw(st.sampled_from([0.0, WEIGHT_MAX])),
        topic_reward_cap=draw(st.sampled_from([0.0, 1e-300, WEIGHT_MAX])),
        app_specific_weight=draw(weight),
        ip_colocation_factor_weight=-draw(weight),
        ip_colocation_factor_threshold=1,
        behaviour_penalty_weight=-draw(weight),
        behaviour_penalty_threshold=draw(weight),
        behaviour_penalty_decay=draw(decay),
        slow_peer_weight=-draw(weight),
        slow_peer_threshold=draw(weight),
        slow_peer_cap=draw(cap),
        slow_peer_decay=draw(decay),
        decay_interval_s=draw(st.sampled_from([1.0, COUNTER_MAX])),
        decay_to_zero=draw(st.sampled_from([5e-324, 0.5, 1.0 - 2**-53])),
        retain_score_s=draw(st.sampled_from([0.0, WEIGHT_MAX])),
    )


@given(params=extreme_params(), story=stories, value=st.sampled_from([1.0, 1e308, float("inf")]))
def test_no_score_is_infinite_or_no_number(params, story, value):
    """
    With the largest and smallest parameters and counts, every score is a number, and nothing raises.
    """
    told = Both(params)
    for event in story:
        match event:
            case ("tick", count):
                for _ in range(count):
                    told.tick()
            case ("behaviour_penalty" | "slow_peer" as kind, peer, _, _):
                told.tell(kind, peer, value=value)
            case ("set_application_score", peer, _, sign):
                told.tell("set_application_score", peer, value=sign * COUNTER_MAX / 2)
            case (kind, *what) if kind != "wait":
                told.tell(kind, *what)
        for peer in PEERS:
            assert isfinite(told.scores.score(peer))
    for peer in told.scores.inspect():
        assert isfinite(peer.score)


@given(params=all_params(), story=stories)
def test_strangers_change_nothing(params, story):
    """
    Whatever is reported of a peer that never connected, the scores of all are what they were.
    """
    told = last_of(params, story)
    for topic in TOPICS:
        told.scores.prune("ann", topic, told.now)  # Whatever its score is, it must stay.
    before = told.scores.inspect()

    for topic in TOPICS:
        told.scores.graft("stranger", topic, told.now)
        told.scores.first_delivery("stranger", topic, told.now)
        told.scores.duplicate("stranger", topic, 0.0, told.now)
        told.scores.invalid("stranger", topic)
        told.scores.prune("stranger", topic, told.now)
    told.scores.behaviour_penalty("stranger", 5)
    told.scores.slow_peer("stranger", 5)
    told.scores.remove_peer("stranger", told.now)

    assert told.scores.inspect() == before
    assert told.scores.score("stranger") == 0.0


@given(params=all_params(), story=stories)
def test_topics_that_do_not_count_change_nothing(params, story):
    """
    In a topic without parameters nothing is earned and nothing lost, and nothing is remembered of it.
    """
    told = last_of(replace(params, default_topic=None), story)
    before = told.scores.inspect()

    for peer in PEERS:
        told.scores.graft(peer, "c", told.now)
        told.scores.first_delivery(peer, "c", told.now)
        told.scores.duplicate(peer, "c", 0.0, told.now)
        told.scores.invalid(peer, "c")
        told.scores.prune(peer, "c", told.now)

    assert told.scores.inspect() == before


@given(story=stories)
def test_switched_off_everybody_has_0(story):
    """
    With scoring off each score is 0 at all times, nothing is kept, and nothing wants to be refreshed.
    """
    for told, _ in tell(PeerScoreParams.off(), story):
        for peer in PEERS:
            assert told.scores.score(peer) == 0.0
        assert told.scores.inspect() == ()
        assert told.scores.next_refresh is None


@given(params=all_params(), story=stories, often=st.integers(1, 5))
def test_a_refresh_that_is_not_due_does_nothing(params, story, often):
    """
    Early and repeated refreshes change no score and no deadline; after one, the next is due later.
    """
    for told, _ in tell(params, story):
        before, due = told.scores.inspect(), told.scores.next_refresh
        for _ in range(often):
            told.scores.refresh(told.now)
        assert told.scores.inspect() == before
        assert told.scores.next_refresh == due
        assert due is None or due > told.now


@pytest.mark.parametrize("late", [0.0, 0.3, 1.0, 7.5])
def test_a_late_refresh_is_one_refresh(late):
    """
    However late we are, counters decay once, and the next decay is due within an interval.
    """
    params = PeerScoreParams(behaviour_penalty_decay=0.5, behaviour_penalty_threshold=0.0)
    scores = PeerScore(params)
    scores.add_peer("ann", None, 0.0)
    scores.behaviour_penalty("ann", 8)

    scores.refresh(1.0 + late)

    assert scores.inspect()[0].behaviour_penalty == 4.0
    assert 1.0 + late < scores.next_refresh <= 2.0 + late
