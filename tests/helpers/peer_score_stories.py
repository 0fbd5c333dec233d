"""Random parameters of scores and random stories of peers, for property tests."""

from ipaddress import ip_network

from hypothesis import strategies as st

from helpers.peer_score_model import Both
from kontinuum.gossip.score_params import PeerScoreParams, TopicScoreParams

PEERS = ["ann", "bob", "cyd"]
TOPICS = ["a", "b", "c"]
"""The last one is not configured."""
ADDRESSES = [
    "9.9.9.9",
    "9.9.9.8",
    "2a00:1:2:3::1",
    "2a00:1:2:3:ffff::2",
    "2a00:1:2:4::1",
    "192.0.2.7",
    None,
]
"""Two hosts, two of one /64, another /64, an address on the allow-list, and a relayed peer."""

LISTED = (ip_network("192.0.2.0/24"),)
weights = st.sampled_from([0.25, 1.0, 7.5])
decays = st.sampled_from([0.2, 0.45, 0.8])
caps = st.sampled_from([0.5, 2.0, 3.5, 10.0])
seconds = st.sampled_from([0.25, 0.5, 1.0, 2.0, 5.0])


@st.composite
def topic_params(draw):
    """Parameters with which terms start and end within a few events."""
    threshold = draw(st.sampled_from([0.5, 1.5, 3.0]))
    p3 = draw(weights)
    return TopicScoreParams(
        topic_weight=draw(weights),
        time_in_mesh_weight=draw(weights),
        time_in_mesh_quantum_s=draw(seconds),
        time_in_mesh_cap=draw(caps),
        first_message_deliveries_weight=draw(weights),
        first_message_deliveries_decay=draw(decays),
        first_message_deliveries_cap=draw(caps),
        mesh_message_deliveries_weight=-p3,
        mesh_message_deliveries_decay=draw(decays),
        mesh_message_deliveries_cap=threshold + draw(caps),
        mesh_message_deliveries_threshold=threshold,
        mesh_message_deliveries_window_s=0.01,
        mesh_message_deliveries_activation_s=draw(seconds),
        mesh_failure_penalty_weight=-p3 - draw(weights),
        mesh_failure_penalty_decay=draw(decays),
        invalid_message_deliveries_weight=-draw(weights),
        invalid_message_deliveries_decay=draw(decays),
    )


@st.composite
def all_params(draw):
    """Two topics that count, perhaps all others, too."""
    return PeerScoreParams(
        topics={"a": draw(topic_params()), "b": draw(topic_params())},
        default_topic=draw(st.none() | topic_params()),
        topic_score_cap=draw(st.sampled_from([0.0, 3.0, 20.0])),
        topic_reward_cap=draw(st.sampled_from([0.0, 2.0, 15.0])),
        app_specific_weight=draw(weights),
        ip_colocation_factor_weight=-draw(weights),
        ip_colocation_factor_threshold=draw(st.sampled_from([1, 2])),
        ip_colocation_factor_allow_list=LISTED,
        behaviour_penalty_weight=-draw(weights),
        behaviour_penalty_threshold=draw(st.sampled_from([0.0, 1.5])),
        behaviour_penalty_decay=draw(decays),
        slow_peer_weight=-draw(weights),
        slow_peer_threshold=draw(st.sampled_from([0.0, 1.5])),
        slow_peer_cap=draw(st.sampled_from([4.0, 100.0])),
        slow_peer_decay=draw(decays),
        decay_interval_s=draw(st.sampled_from([1.0, 2.0])),
        retain_score_s=draw(st.sampled_from([3.0, 12.0])),
    )


peers, topics = st.sampled_from(PEERS), st.sampled_from(["a", "a", "b", "c"])
ages = st.sampled_from([0.0, 0.01, 0.02, 5.0])
counts = st.sampled_from([0.5, 1.0, 3.0])
ticks = st.tuples(st.just("tick"), st.sampled_from([1, 1, 1, 2, 5, 30]))
waits = st.tuples(st.just("wait"), st.sampled_from([0.25, 0.5]))
rewards = st.tuples(st.sampled_from(["graft", "first_delivery", "first_delivery"]), peers, topics)
copies = st.tuples(st.just("duplicate"), peers, topics, ages)
penalties = st.tuples(st.sampled_from(["prune", "invalid"]), peers, topics)
offences = st.tuples(st.sampled_from(["behaviour_penalty", "slow_peer"]), peers, st.just(""), counts)
opinions = st.tuples(st.just("set_application_score"), peers, st.just(""), st.sampled_from([-2.0, 0.0, 1.5]))
arrivals = st.tuples(st.just("add_peer"), peers, st.just(""), st.sampled_from(ADDRESSES))
departures = st.tuples(st.just("remove_peer"), peers)
returns = st.tuples(peers, st.sampled_from([1, 5]), st.sampled_from(ADDRESSES)).map(
    lambda what: [("remove_peer", what[0]), ("tick", what[1]), ("add_peer", what[0], "", what[2])]
)
"""A peer leaves and is back after some decays."""


def made_of(*kinds):
    """Stories of these kinds of events, and of returns."""
    parts = [kind.map(lambda event: [event]) for kind in kinds]
    # With fewer than 15, hypothesis would mostly try five.
    chapters = st.lists(st.one_of([*parts, returns]), min_size=15, max_size=45)
    return chapters.map(lambda told: [event for chapter in told for event in chapter])


stories = made_of(
    ticks, ticks, rewards, rewards, copies, penalties, offences, opinions, arrivals, departures, waits
)


def happenings(*kinds, who=peers):
    """Events of these kinds, in one topic."""
    return st.tuples(st.sampled_from(kinds), who, st.just("a"))


stories_of_p1 = made_of(ticks, ticks, waits, happenings("graft", "graft", "prune"))
stories_of_p2 = made_of(ticks, happenings("first_delivery"), happenings("graft", "invalid"))
stories_of_p3 = made_of(
    ticks, ticks, copies, happenings("graft", "first_delivery"), happenings("prune", "graft", "invalid")
)
stories_of_p3b = made_of(ticks, ticks, happenings("graft", "graft", "prune", "first_delivery"))
stories_of_p4 = made_of(ticks, happenings("invalid", "invalid", "first_delivery"))
stories_of_p5 = made_of(ticks, opinions, rewards)
stories_of_p6 = made_of(arrivals, departures)
stories_of_p7 = made_of(ticks, offences.map(lambda what: ("behaviour_penalty", *what[1:])))
stories_of_slow_peers = made_of(ticks, offences.map(lambda what: ("slow_peer", *what[1:])))
"""Stories in which one term has much to do."""


def lives_of(peer):
    """Stories of one peer in one topic, without returns: in and out of the mesh, good and bad messages."""
    what = happenings(
        "graft", "graft", "prune", "first_delivery", "first_delivery", "invalid", who=st.just(peer)
    )
    return st.lists(what | ticks, min_size=5, max_size=30)


def may_come_back(both, peer):
    """Whether it is clear that a peer's record is still kept, or is no longer: not near its end."""
    left = both.model.left(peer)
    if left is None:
        return True
    unclear = 2.0 * both.model.params.decay_interval_s
    return abs(both.now - both.model.forgotten_at(peer, left)) > unclear


def tell(params, story):
    """Tell it to both, all peers connected; after each event comes the peer that it was about, or None."""
    both = Both(params)
    for peer in PEERS:
        both.tell("add_peer", peer, value="9.9.9.9")
        both.tell("graft", peer, "a")
        yield both, peer
    for kind, *what in story:
        if kind == "tick":
            for _ in range(what[0]):
                both.tick()
        elif kind == "wait":
            both.wait(what[0])
        elif kind != "add_peer" or may_come_back(both, what[0]):
            both.tell(kind, *what)
        yield both, what[0] if what[0] in PEERS else None
