"""The second wave: who gets a message at once, and who a moment later if he lacks it still."""

import pytest

from helpers.gossip_bench import Bench
from helpers.gossip_net import peer_id
from kontinuum.gossip import events as ev
from kontinuum.gossip import forwarding
from kontinuum.gossip.forwarding import MOMENT_FIRST_S, MOMENT_MAX_S, MOMENT_MIN_S
from kontinuum.gossip.params import GossipParams
from kontinuum.messages.pubsub_fields import idontwant_part


def meshed(count=7, **kwargs):
    """A bench with so many peers in the mesh."""
    bench = Bench(**kwargs)
    for number in range(1, count + 1):
        bench.connect(number, mesh=True)
    bench.hush()
    return bench


def got(bench):
    """Which peers were sent a message since the last call."""
    return [number for number in range(1, 20) if bench.heard(number).messages]


def test_some_get_it_at_once_and_the_rest_a_moment_later():
    """
    In turn: the next message begins with others.
    """
    bench = meshed()
    bench.say(1, bench.message())
    first = got(bench)
    bench.run(0.019)
    assert got(bench) == []
    bench.run(0.025)
    later = got(bench)

    assert first == [2, 3, 4]
    assert later == [5, 6, 7]
    bench.say(1, bench.message())
    assert got(bench) == [3, 4, 5]


def test_who_sent_it_meanwhile_does_not_get_it():
    """
    Nor who says that he has it, nor who is gone.
    """
    bench = meshed()
    message = bench.message()
    bench.say(1, message)
    assert got(bench) == [2, 3, 4]
    bench.say(5, message)
    message_id = bench.all(ev.Deliver)[0].message.message_id
    bench.tell(6, idontwant_part([message_id]))
    bench.run(0.09)

    assert got(bench) == [7]
    assert bench.count("forwards_saved") == 2


def test_who_sent_it_before_it_was_valid_does_not_get_it_either():
    """
    Not even at once.
    """
    bench = meshed(validate=True)
    message = bench.message()
    for number in (1, 2, 3):
        bench.say(number, message)
    (effect,) = bench.all(ev.Validate)
    bench.give(ev.Validated(effect.message.message_id, ev.Verdict.ACCEPT))

    assert got(bench) == [4, 5, 6]


def test_a_large_message_goes_to_one_at_once():
    """
    The others hear of it by IDONTWANT, and tell in time when they have it from another one.
    """
    bench = meshed()
    bench.say(1, bench.message(data=bytes(2000)))

    assert got(bench) == [2]
    bench.run(0.09)
    assert got(bench) == [3, 4, 5, 6, 7]


def test_a_small_mesh_gets_everything_at_once():
    """
    And any mesh, if it is set so.
    """
    bench = meshed(4)
    bench.say(1, bench.message())
    assert got(bench) == [2, 3, 4]

    bench = meshed(params=GossipParams(eager_peers=12, eager_peers_large=12))
    bench.say(1, bench.message(), bench.message(data=bytes(2000)))
    assert got(bench) == [2, 3, 4, 5, 6, 7]


def test_the_moment_follows_what_is_observed():
    """
    Quick copies make it short, late ones long, both within bounds.
    """
    bench = meshed()
    moments = []
    for delay_s in (0.0005, 0.9):
        for _ in range(120):
            message = bench.message()
            bench.say(1, message)
            bench.run(delay_s)
            bench.say(2, message)
        moments.append(bench.router._forwarding._small.moment_s)

    assert moments == [MOMENT_MIN_S, MOMENT_MAX_S]
    assert bench.router._forwarding._large.moment_s == MOMENT_FIRST_S


def test_large_messages_have_a_moment_of_their_own():
    """
    IDONTWANT tells of it before the copies do.
    """
    bench = meshed()
    for _ in range(120):
        bench.say(1, bench.message(data=bytes(2000)))
        bench.run(0.0005)
        bench.tell(3, idontwant_part([bench.all(ev.Deliver)[-1].message.message_id]))

    assert bench.router._forwarding._large.moment_s == MOMENT_MIN_S
    assert bench.router._forwarding._small.moment_s == MOMENT_FIRST_S


def test_no_more_wait_than_may(monkeypatch):
    """
    More go to all at once.
    """
    monkeypatch.setattr(forwarding, "LATER_MAX", 2)
    bench = meshed()
    bench.say(1, bench.message(), bench.message())
    bench.hush()
    bench.say(1, bench.message())

    assert got(bench) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("protocol", [ev.Protocol.FLOODSUB, ev.Protocol.MESHSUB_1_2])
def test_floodsub_and_direct_peers_get_everything(protocol):
    """
    Without any mesh; floodsub peers as long as we would publish to them.
    """
    bench = meshed(1, params=GossipParams(direct_peers=(peer_id(9),)))
    number = 9 if protocol is ev.Protocol.MESHSUB_1_2 else 8
    bench.connect(number, protocol=protocol, mesh=False)
    bench.say(1, bench.message())
    assert got(bench) == [number]
    bench.say(number, bench.message())
    assert got(bench) == [1]

    bench.give(ev.SetApplicationScore(peer_id(number), -2000.0))
    bench.say(1, bench.message())
    assert got(bench) == ([9] if number == 9 else [])
