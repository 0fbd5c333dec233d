"""What counts against peers that left: kept for long enough, bounded, and not washed off by churn."""

from dataclasses import replace

import pytest

from kontinuum.gossip import retained_scores
from kontinuum.gossip.peer_score import PeerScore
from kontinuum.gossip.score_params import PeerScoreParams, PeerScoreThresholds, TopicScoreParams, decay_of

PARAMS = PeerScoreParams(
    behaviour_penalty_threshold=0.0, behaviour_penalty_decay=decay_of(60.0), retain_score_s=100.0
)


def offender(scores, peer, offences, now=0.0):
    """A peer that comes, offends so many times, and goes."""
    scores.add_peer(peer, "9.9.9.9", now)
    scores.behaviour_penalty(peer, offences)
    scores.remove_peer(peer, now)


def test_a_bad_score_survives_a_reconnection():
    """
    A peer that was graylisted and comes back is graylisted.
    """
    scores = PeerScore(PARAMS)
    offender(scores, "ann", 20)
    assert scores.score("ann") == -4000.0

    scores.add_peer("ann", "9.9.9.9", 99.0)

    assert scores.score("ann") == -4000.0 < PeerScoreThresholds().graylist_threshold


def test_a_kept_score_does_not_decay():
    """
    As the specification has it: time heals only those who are there.
    """
    scores = PeerScore(PARAMS)
    offender(scores, "ann", 5)
    scores.add_peer("bob", None, 0.0)

    for now in range(1, 60):
        scores.refresh(float(now))

    assert scores.score("ann") == -250.0


def test_rewards_are_lost_with_the_connection():
    """
    A good peer that comes back begins at 0, as anybody; nothing is kept of it.
    """
    scores = PeerScore(PARAMS)
    scores.add_peer("ann", None, 0.0)
    scores.graft("ann", "t", 0.0)
    scores.first_delivery("ann", "t", 0.0)
    assert scores.score("ann") == 1.0

    scores.remove_peer("ann", 0.0)

    assert scores.score("ann") == 0.0
    assert scores.inspect() == ()
    scores.add_peer("ann", None, 1.0)
    assert scores.score("ann") == 0.0


def test_rewards_do_not_wash_off_penalties():
    """A peer whose score is positive in all, but that has something against it, still has that when it
    comes back. go-libp2p-pubsub forgets it.
    """
    scores = PeerScore(replace(PARAMS, default_topic=TopicScoreParams(first_message_deliveries_weight=50.0)))
    scores.add_peer("ann", None, 0.0)
    scores.first_delivery("ann", "t", 0.0)
    scores.behaviour_penalty("ann", 1)
    assert scores.score("ann") == 40.0

    scores.remove_peer("ann", 0.0)
    scores.add_peer("ann", None, 1.0)

    assert scores.score("ann") == -10.0


def test_it_is_kept_for_the_retention_time():
    """
    Until then it counts, from then on it does not.
    """
    for now, score in ((99.9, -10.0), (100.0, 0.0)):
        scores = PeerScore(PARAMS)
        offender(scores, "ann", 1)
        scores.add_peer("ann", None, now)
        assert scores.score("ann") == score


def test_it_is_kept_until_it_would_have_decayed():
    """Waiting outside is never quicker than waiting inside: a large counter is kept for longer than the
    retention time.
    """
    away, stays = PeerScore(PARAMS), PeerScore(PARAMS)
    stays.add_peer("ann", None, 0.0)
    stays.behaviour_penalty("ann", 1000)
    offender(away, "ann", 1000)
    away.add_peer("bob", None, 0.0)

    now = 0.0
    while stays.score("ann") < 0.0:
        now += 1.0
        assert away.score("ann") < 0.0
        stays.refresh(now)
        away.refresh(now)

    assert now > PARAMS.retain_score_s
    away.refresh(now + 1.0)
    away.refresh(now + 2.0)
    assert away.score("ann") == 0.0
    assert [peer.peer for peer in away.inspect()] == ["bob"]


def test_the_slowest_and_the_quickest_decay_end_a_record():
    """
    Also with the smallest and the largest factor there is a time at which a record ends.
    """
    for decay, to_zero in ((5e-324, 5e-324), (5e-324, 0.5), (1.0 - 2**-53, 5e-324), (1.0 - 2**-53, 0.5)):
        scores = PeerScore(replace(PARAMS, behaviour_penalty_decay=decay, decay_to_zero=to_zero))
        offender(scores, "ann", 1e6)
        assert scores.score("ann") < 0.0
        scores.add_peer("ann", None, 1e300)
        assert scores.score("ann") == 0.0


def test_no_retention_is_a_choice():
    """
    With a retention time of 0 nothing is kept.
    """
    scores = PeerScore(replace(PARAMS, retain_score_s=0.0))

    offender(scores, "ann", 20)

    assert scores.score("ann") == 0.0


def test_deliveries_in_the_mesh_are_lost_with_the_connection():
    """Who comes back owes the mesh what a new peer owes: nobody lives on old deliveries, kept fresh by
    staying away.
    """
    scores = PeerScore(PARAMS)
    scores.add_peer("ann", None, 0.0)
    scores.graft("ann", "t", 0.0)
    scores.first_delivery("ann", "t", 0.0)
    scores.invalid("ann", "t")
    scores.remove_peer("ann", 0.0)

    scores.add_peer("ann", None, 50.0)

    ((topic,),) = [peer.topics for peer in scores.inspect()]
    assert (topic.invalid_message_deliveries, topic.mesh_message_deliveries) == (1.0, 0.0)


def test_leaving_in_debt_to_the_mesh_is_a_prune():
    """
    Who disconnects from a mesh in which it delivered too little has P3b, as if it had been pruned.
    """
    topic = TopicScoreParams(
        mesh_message_deliveries_weight=-1.0,
        mesh_message_deliveries_threshold=3.0,
        mesh_message_deliveries_activation_s=1.0,
        mesh_failure_penalty_weight=-2.0,
    )
    scores = PeerScore(replace(PARAMS, default_topic=topic))
    scores.add_peer("ann", None, 0.0)
    scores.graft("ann", "t", 0.0)
    for now in (1.0, 2.0):
        scores.refresh(now)
    assert scores.score("ann") == -9.0

    scores.remove_peer("ann", 2.0)

    assert scores.score("ann") == -18.0


@pytest.fixture
def small(monkeypatch):
    """A table of 20 records, of which 18 are left when there are more."""
    monkeypatch.setattr(retained_scores, "RETAINED_MAX", 20)
    monkeypatch.setattr(retained_scores, "RETAINED_KEPT", 18)


@pytest.mark.usefixtures("small")
def test_churn_does_not_wash_off_a_bad_score():
    """
    However many lesser offenders come and go, the worst records stay, and the table stays within its bound.
    """
    scores = PeerScore(PARAMS)
    offender(scores, "bad", 50)

    for number in range(1000):
        if number == 500:
            offender(scores, "worst", 100)
        offender(scores, f"newcomer {number}", 1 + number % 40, now=number / 1000)
        assert len(scores._retained) <= retained_scores.RETAINED_MAX

    assert scores.score("worst") == -100_000.0
    assert scores.score("bad") == -25_000.0


@pytest.mark.usefixtures("small")
def test_of_equal_records_the_one_that_ends_first_goes():
    """
    Beyond the bound a tenth goes: those with the least against them, of equals those that would end first.
    """
    scores = PeerScore(PARAMS)
    offender(scores, "light", 1, now=50.0)
    for number in range(20):
        offender(scores, f"equal {number}", 2, now=float(number))

    kept = [peer.peer for peer in scores.inspect()]

    assert len(kept) == 18
    assert set(kept) == {f"equal {number}" for number in range(2, 20)}


@pytest.mark.usefixtures("small")
def test_records_end_also_where_some_were_dropped():
    """
    After the bound was met, what is left still ends in its time.
    """
    scores = PeerScore(PARAMS)
    scores.add_peer("here", None, 0.0)
    for number in range(30):
        offender(scores, f"peer {number}", 1, now=float(number))

    scores.refresh(128.5)
    assert [peer.peer for peer in scores.inspect()] == ["here", "peer 29"]
    scores.refresh(129.5)

    assert [peer.peer for peer in scores.inspect()] == ["here"]


def test_the_bound_is_met_at_full_size():
    """
    The table holds RETAINED_MAX records, and one more makes it drop a tenth.
    """
    scores = PeerScore(PARAMS)
    for number in range(retained_scores.RETAINED_MAX):
        offender(scores, number, 1)
    assert len(scores._retained) == retained_scores.RETAINED_MAX

    offender(scores, "one more", 1)

    assert len(scores._retained) == retained_scores.RETAINED_KEPT


class TestAnotherName:
    def test_the_score_goes_along_good_or_bad(self):
        """
        With the place at the address; the old name is not connected any more.
        """
        scores = PeerScore(PARAMS)
        scores.add_peer("ann", "9.9.9.9", 0.0)
        scores.graft("ann", "t", 0.0)
        scores.first_delivery("ann", "t", 0.0)
        scores.set_application_score("ann", 7.0)
        before = scores.score("ann")
        scores.rename("ann", "eve", 0.0)
        assert (scores.score("eve"), scores.score("ann")) == (before, 0.0)
        (inspected,) = scores.inspect()
        assert (inspected.peer, inspected.connected, inspected.peers_on_address) == ("eve", True, 1)

    def test_nobody_washes_itself_by_another_name(self):
        """
        What counts against it is there under both, also after it has gone and come back by the old one.
        """
        scores = PeerScore(PARAMS)
        scores.add_peer("ann", "9.9.9.9", 0.0)
        scores.behaviour_penalty("ann", 20)
        scores.rename("ann", "eve", 0.0)
        assert scores.score("eve") == scores.score("ann") == -4000.0
        scores.add_peer("ann", "9.9.9.9", 1.0)
        assert scores.score("ann") == -4000.0

    def test_what_was_known_of_the_new_name_stays_if_it_is_worse(self):
        """
        Of each counter the worse one, not the sum.
        """
        for ann, eve in ((20, 5), (5, 20)):
            scores = PeerScore(PARAMS)
            offender(scores, "eve", eve)
            scores.add_peer("ann", "9.9.9.9", 1.0)
            scores.behaviour_penalty("ann", ann)
            scores.rename("ann", "eve", 1.0)
            assert scores.score("eve") == -4000.0

    @pytest.mark.parametrize("connected", [True, False])
    def test_a_second_name_inherits_what_counts_against_the_first(self, connected):
        """
        Whether or not it is connected already: also invalid messages of a topic, but no merit.
        """
        params = replace(PARAMS, default_topic=TopicScoreParams())
        scores = PeerScore(params)
        scores.add_peer("ann", "9.9.9.9", 0.0)
        scores.behaviour_penalty("ann", 10)
        scores.invalid("ann", "t")
        bad = scores.score("ann")
        scores.graft("ann", "t", 0.0)
        scores.first_delivery("ann", "t", 0.0)
        if connected:
            scores.add_peer("eve", "9.9.9.8", 0.0)
        scores.inherit("eve", "ann", 0.0)
        scores.inherit("eve", "nobody", 0.0)
        if not connected:
            scores.add_peer("eve", "9.9.9.8", 1.0)
        assert scores.score("eve") == bad < 0
