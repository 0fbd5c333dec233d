"""The score of peers: who is known, what is counted, what is bounded."""

from dataclasses import replace

import pytest

from kontinuum.gossip import peer_score, peer_stats
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.score_errors import ScoreEventError, TooManyApplicationScoresError
from kontinuum.gossip.score_params import COUNTER_MAX, PeerScoreParams, TopicScoreParams

PLAIN = PeerScoreParams(
    default_topic=TopicScoreParams(
        time_in_mesh_weight=1.0,
        time_in_mesh_quantum_s=1.0,
        mesh_message_deliveries_weight=-1.0,
        mesh_message_deliveries_threshold=3.0,
        mesh_message_deliveries_activation_s=2.0,
        mesh_failure_penalty_weight=-1.0,
    ),
    behaviour_penalty_threshold=0.0,
)
"""Terms that can be told apart without a calculator."""


def connected(params=PLAIN, peer="ann"):
    """The scores of a node to which one peer has just connected."""
    scores = PeerScore(params)
    assert scores.add_peer(peer, None, 0.0)
    return scores


def at(scores, *times):
    """Refresh at each of these times."""
    for now in times:
        scores.refresh(now)


def only_topic(scores):
    """What is known of the only peer in its only topic."""
    ((topic,),) = [peer.topics for peer in scores.inspect()]
    return topic


def test_a_new_peer_has_0():
    """
    Nothing is known of a new peer, so its score is 0.
    """
    assert connected().score("ann") == 0.0


def test_a_second_graft_does_not_start_the_time_in_the_mesh_anew():
    """
    A peer cannot put off P3 by grafting again and again.
    """
    scores = connected()
    scores.graft("ann", "t", 0.0)
    at(scores, 1.0, 2.0)
    scores.graft("ann", "t", 2.5)

    at(scores, 3.0)

    assert only_topic(scores).time_in_mesh_s == 3.0
    assert only_topic(scores).p3 == -9.0


def test_a_second_prune_costs_nothing():
    """
    What a peer lacked sticks to it once.
    """
    scores = connected()
    scores.graft("ann", "t", 0.0)
    at(scores, 1.0, 2.0, 3.0)

    scores.prune("ann", "t", 3.0)
    scores.prune("ann", "t", 3.0)

    assert scores.score("ann") == -9.0
    assert only_topic(scores).mesh_failure_penalty == 9.0


def test_p3_ends_with_the_mesh():
    """Outside of the mesh a peer owes no deliveries. go-libp2p-pubsub goes on; js-libp2p-gossipsub had it
    as a bug.
    """
    scores = connected()
    scores.graft("ann", "t", 0.0)
    at(scores, 1.0, 2.0, 3.0)
    scores.prune("ann", "t", 3.0)

    at(scores, 4.0)

    assert only_topic(scores).p3 == 0.0


def test_a_copy_counts_within_the_window_only():
    """attacks.md 25 and P3: a copy at the window's edge counts, a later one does not: it may be our own,
    sent back.
    """
    scores = connected()
    scores.graft("ann", "t", 0.0)

    scores.duplicate("ann", "t", 0.01, 0.0)
    scores.duplicate("ann", "t", 0.011, 0.0)

    assert only_topic(scores).mesh_message_deliveries == 1.0


def test_outside_of_the_mesh_no_delivery_counts_for_p3():
    """
    Gossip earns P2, but fills no mesh peer's duty.
    """
    scores = connected()

    scores.first_delivery("ann", "t", 0.0)
    scores.duplicate("ann", "t", 0.0, 0.0)

    assert only_topic(scores).mesh_message_deliveries == 0.0
    assert only_topic(scores).first_message_deliveries == 1.0


def test_a_duplicate_makes_no_topic():
    """
    Copies of messages say nothing of a peer that is in no mesh, so nothing is kept for them.
    """
    scores = connected()

    scores.duplicate("ann", "t", 0.0, 0.0)
    scores.prune("ann", "t", 0.0)

    assert scores.inspect()[0].topics == ()


def test_rounding_leaves_nothing_below_0():
    """
    A peer that was in three meshes and left them has 0, not -1e-17, which would keep it out of every mesh.
    """
    topics = {
        name: TopicScoreParams(time_in_mesh_weight=weight, time_in_mesh_quantum_s=1.0)
        for name, weight in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    }
    scores = connected(replace(PLAIN, topics=topics))
    for name in topics:
        scores.graft("ann", name, 0.0)
    at(scores, 1.0)
    assert scores.score("ann") == pytest.approx(0.6)

    for name in ("c", "a", "b"):
        scores.prune("ann", name, 1.0)
        assert scores.score("ann") >= 0.0

    assert scores.score("ann") == 0.0


@pytest.mark.parametrize("count", [-1, float("nan")])
def test_a_negative_offence_is_a_bug_of_the_caller(count):
    """
    Offences and drops cannot be taken back; the score is as before.
    """
    scores = connected()

    with pytest.raises(ScoreEventError):
        scores.behaviour_penalty("ann", count)
    with pytest.raises(ScoreEventError):
        scores.slow_peer("ann", count)

    assert scores.score("ann") == 0.0


def test_counters_stop_somewhere():
    """
    A million offences weigh what two million do.
    """
    scores = connected()

    scores.behaviour_penalty("ann", 10**400)
    once = scores.score("ann")
    scores.behaviour_penalty("ann", 1)

    assert once == scores.score("ann") == PLAIN.behaviour_penalty_weight * COUNTER_MAX**2


def test_topics_of_a_peer_are_bounded():
    """Beyond TOPICS_PER_PEER_MAX a topic earns nothing, an invalid message there is an offence, and topics
    that were configured still count.
    """
    scores = connected(replace(PLAIN, topics={"ours": TopicScoreParams()}))
    for number in range(peer_stats.TOPICS_PER_PEER_MAX):
        scores.graft("ann", f"t{number}", 0.0)
    before = scores.score("ann")

    scores.first_delivery("ann", "one more", 0.0)
    scores.graft("ann", "one more", 0.0)
    assert scores.score("ann") == before
    scores.invalid("ann", "one more")
    scores.first_delivery("ann", "ours", 0.0)

    (peer,) = scores.inspect()
    assert peer.behaviour_penalty == 1.0
    assert len(peer.topics) == peer_stats.TOPICS_PER_PEER_MAX + 1
    assert scores.score("ann") == before + PLAIN.behaviour_penalty_weight + 1.0


def test_topics_in_which_nothing_is_left_are_forgotten():
    """
    A peer's table has only topics with something in it, so refreshing costs nothing for the others.
    """
    scores = connected()
    scores.first_delivery("ann", "t", 0.0)
    scores.graft("ann", "mesh", 0.0)

    at(scores, *range(1, 200))

    assert [topic.topic for topic in scores.inspect()[0].topics] == ["mesh"]


def test_peers_are_bounded(monkeypatch):
    """
    One peer too many is refused, and not scored; when another one leaves there is room.
    """
    monkeypatch.setattr(peer_score, "PEERS_MAX", 2)
    scores = PeerScore(PLAIN)
    assert scores.add_peer("ann", "9.9.9.9", 0.0)
    assert scores.add_peer("bob", "9.9.9.9", 0.0)

    assert not scores.add_peer("cyd", "9.9.9.9", 0.0)
    assert scores.add_peer("ann", "9.9.9.9", 0.0)
    scores.remove_peer("bob", 0.0)

    assert scores.add_peer("cyd", "9.9.9.9", 0.0)


def test_the_application_rates_whom_it_likes():
    """
    P5 holds before a peer connects, while it is connected, and after; 0 takes it back.
    """
    scores = PeerScore(replace(PLAIN, app_specific_weight=2.0))

    scores.set_application_score("ann", 3.0)
    assert scores.score("ann") == 6.0
    scores.add_peer("ann", None, 0.0)
    assert scores.score("ann") == 6.0
    scores.set_application_score("ann", -3.0)
    assert scores.score("ann") == -6.0
    scores.remove_peer("ann", 0.0)
    assert scores.score("ann") == -6.0
    scores.set_application_score("ann", 0.0)
    assert scores.score("ann") == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.001 * COUNTER_MAX, -1.001 * COUNTER_MAX])
def test_the_application_s_number_is_checked(value):
    """
    Not a number, or too large a one: refused, and the old one stays.
    """
    scores = connected()
    scores.set_application_score("ann", 1.0)

    with pytest.raises(ScoreEventError):
        scores.set_application_score("ann", value)

    assert scores.score("ann") == 1.0


def test_the_application_s_numbers_are_bounded(monkeypatch):
    """
    One rating too many is refused; known ones can be changed, and taken back to make room.
    """
    monkeypatch.setattr(peer_score, "APPLICATION_SCORES_MAX", 2)
    scores = PeerScore(PLAIN)
    scores.set_application_score("ann", 1.0)
    scores.set_application_score("bob", 1.0)

    with pytest.raises(TooManyApplicationScoresError):
        scores.set_application_score("cyd", 1.0)
    scores.set_application_score("bob", 2.0)
    scores.set_application_score("ann", 0.0)
    scores.set_application_score("cyd", 1.0)

    assert [scores.score(peer) for peer in ("ann", "bob", "cyd")] == [0.0, 2.0, 1.0]


def test_without_peers_nothing_is_due():
    """An idle node is not woken for scores: the deadline comes with the first peer and goes with the last
    record.
    """
    scores = PeerScore(PLAIN)
    assert scores.next_refresh is None
    scores.add_peer("ann", None, 5.0)
    assert scores.next_refresh == 6.0
    scores.remove_peer("ann", 5.5)

    scores.refresh(6.0)

    assert scores.next_refresh is None


def test_refreshes_keep_their_rhythm():
    """
    A timer that comes a little late does not slow down the decay.
    """
    scores = connected()

    scores.refresh(1.2)
    assert scores.next_refresh == 2.0
    scores.refresh(7.9)

    assert scores.next_refresh == 8.9


def test_what_people_see_names_all_terms():
    """
    The snapshot of a peer has its address's crowd, its counters and the weighted terms.
    """
    scores = PeerScore(replace(PLAIN, ip_colocation_factor_threshold=1))
    scores.add_peer("ann", "9.9.9.9", 0.0)
    scores.add_peer("bob", "9.9.9.9", 0.0)
    scores.behaviour_penalty("ann", 2)
    scores.slow_peer("ann", 13)
    scores.invalid("ann", "t")
    scores.set_application_score("ann", 0.5)

    ann, bob = scores.inspect()

    assert (ann.peer, bob.peer) == ("ann", "bob")
    assert (ann.connected, ann.peers_on_address) == (True, 2)
    assert (ann.behaviour_penalty, ann.slow_peer_penalty) == (2.0, 13.0)
    assert (ann.topic_score, ann.p5, ann.p6, ann.p7, ann.slow_peer) == (-100.0, 0.5, -5.0, -40.0, -3.0)
    assert ann.score == scores.score("ann") == -147.5
    assert bob.score == -5.0
