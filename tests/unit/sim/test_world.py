"""Virtual time and messages: who reaches whom, when, and what happens when nobody does."""

import pytest

from kontinuum.dht.events import Failure
from kontinuum.messages.kad import KadMessage, MessageType
from kontinuum.sim.chance import material, stream
from kontinuum.sim.host import SILENCE, Host
from kontinuum.sim.identities import Identity, time_of_day
from kontinuum.sim.nat import Nat
from kontinuum.sim.network import Network
from kontinuum.sim.scenario import NetworkSettings
from kontinuum.sim.world import World

PING = KadMessage(MessageType.PING, key=b"key")
TIMEOUT_S = 5.0
ONE_WAY_S = 0.003
"""Half of the two milliseconds in a region, and an access of one on either side."""


class Stub(Host):
    """Answers with what it is told to; remembers what it hears."""

    def __init__(self, world, number):
        identity = Identity(material(1, "stub", number), pow_bits=0)
        ip = f"20.0.0.{number + 1}"
        identity.move(ip, time_of_day(0.0))
        super().__init__(world, identity, region=0, ip=ip, access_s=0.001)
        self.reply = PING
        self.heard = []
        world.add(self)
        self.up()

    def on_request(self, sender, _message):
        self.heard.append((self.world.now, "request", sender.index))
        return self.reply

    def on_reply(self, request, _message, rtt_s, _ip):
        self.heard.append((self.world.now, "reply", request, rtt_s))

    def on_failed(self, request, reason):
        self.heard.append((self.world.now, "failed", request, reason))

    def on_wake(self):
        self.heard.append((self.world.now, "wake"))

    def ask(self, other, request=1, message=PING):
        self.world.ask(self, request, other.peer, message, TIMEOUT_S)


def world(**settings):
    """A network without chance."""
    still = {"loss": 0.0, "reorder": 0.0, "jitter": 0.0}
    return World(Network(NetworkSettings(**still | settings), stream(1, "network")))


@pytest.fixture
def pair():
    """Two hosts in one region."""
    here = world()
    return Stub(here, 0), Stub(here, 1)


def test_the_first_request_takes_a_round_trip_for_the_connection(pair):
    """
    One round trip to connect, one for the request; the measured one has no connecting in it.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(1.0)

    assert bob.heard == [(pytest.approx(3 * ONE_WAY_S), "request", 0)]
    assert alice.heard == [(pytest.approx(4 * ONE_WAY_S), "reply", 1, pytest.approx(2 * ONE_WAY_S))]


def test_a_connection_is_used_again_while_it_is_not_idle(pair):
    """
    The second request needs no connecting, in either direction; after a minute of silence it does.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(1.0)
    bob.ask(alice, 7)
    alice.world.run(2.0)
    assert bob.heard[-1] == (pytest.approx(1.0 + 2 * ONE_WAY_S), "reply", 7, pytest.approx(2 * ONE_WAY_S))
    alice.world.run(100.0)
    alice.ask(bob, 2)
    alice.world.run(101.0)

    assert alice.heard[-1][0] == pytest.approx(100.0 + 4 * ONE_WAY_S)


def test_nobody_there_is_unreachable_after_a_while(pair):
    """
    A dial to a host that is down fails with its reason.
    """
    alice, bob = pair
    bob.down(silently=True)
    alice.ask(bob)
    alice.world.run(10.0)

    assert alice.heard == [(3.0, "failed", 1, Failure.UNREACHABLE)]


def test_an_old_address_leads_to_nobody(pair):
    """
    A contact with the address of yesterday is unreachable.
    """
    alice, bob = pair
    bob.ip = "20.0.9.9"
    alice.ask(bob)
    alice.world.run(10.0)

    assert alice.heard == [(3.0, "failed", 1, Failure.UNREACHABLE)]


def test_a_silent_death_is_noticed_by_the_time_out(pair):
    """
    Over a connection that seems to be open, a request to a dead host takes its whole time.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(1.0)
    bob.down(silently=True)
    alice.ask(bob, 2)
    alice.world.run(10.0)

    assert alice.heard[-1] == (1.0 + TIMEOUT_S, "failed", 2, Failure.TIMEOUT)


def test_who_leaves_in_order_is_missed_sooner(pair):
    """
    A closed connection is dialled anew, in vain.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(1.0)
    bob.down(silently=False)
    alice.ask(bob, 2)
    alice.world.run(10.0)

    assert alice.heard[-1] == (4.0, "failed", 2, Failure.UNREACHABLE)


def test_a_request_under_way_to_a_host_that_dies_is_lost(pair):
    """
    What was meant for a dead host never reaches the one that comes back.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(2 * ONE_WAY_S)
    bob.down(silently=True)
    bob.up()
    alice.world.run(10.0)

    assert bob.heard == []
    assert alice.heard == [(TIMEOUT_S, "failed", 1, Failure.TIMEOUT)]


def test_a_reply_to_a_host_that_died_is_lost(pair):
    """
    A restarted host hears nothing of what it asked before.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(3.5 * ONE_WAY_S)
    alice.down(silently=True)
    alice.up()
    alice.world.run(10.0)

    assert alice.heard == []


def test_a_restarted_host_is_dialled_again(pair):
    """
    It has forgotten the connection; one more round trip makes a new one.
    """
    alice, bob = pair
    alice.ask(bob)
    alice.world.run(1.0)
    bob.down(silently=True)
    bob.up()
    alice.ask(bob, 2)
    alice.world.run(2.0)

    assert alice.heard[-1][:3] == (pytest.approx(1.0 + 4 * ONE_WAY_S), "reply", 2)


@pytest.mark.parametrize(
    ("reply", "ends"),
    [(None, (4 * ONE_WAY_S, Failure.REFUSED)), (SILENCE, (TIMEOUT_S, Failure.TIMEOUT))],
)
def test_refusal_and_silence_are_told_apart(pair, reply, ends):
    """
    A refusal comes at once, silence takes the whole time.
    """
    alice, bob = pair
    bob.reply = reply
    alice.ask(bob)
    alice.world.run(10.0)

    assert alice.heard == [(pytest.approx(ends[0]), "failed", 1, ends[1])]


def test_an_answer_that_comes_too_late_is_a_time_out(pair):
    """
    Who thinks for longer than the time-out might as well be silent.
    """
    alice, bob = pair
    bob.think_s = TIMEOUT_S
    alice.ask(bob)
    alice.world.run(20.0)

    assert [kind for _, kind, *_ in alice.heard] == ["failed"]


@pytest.mark.parametrize("nat", [Nat.RESTRICTED, Nat.SYMMETRIC])
def test_a_host_behind_a_nat_is_reached_over_connections_that_it_opened(pair, nat):
    """
    Strangers cannot dial it; whom it has dialled can ask it, until the connection is idle.
    """
    alice, bob = pair
    bob.nat = nat
    alice.ask(bob, 1)
    alice.world.run(10.0)
    assert alice.heard.pop()[3] is Failure.UNREACHABLE
    bob.ask(alice)
    alice.world.run(20.0)
    alice.ask(bob, 2)
    alice.world.run(30.0)
    assert alice.heard.pop()[1:3] == ("reply", 2)
    alice.world.run(200.0)
    alice.ask(bob, 3)
    alice.world.run(210.0)

    assert alice.heard.pop()[3] is Failure.UNREACHABLE


def test_a_full_cone_is_as_good_as_public(pair):
    """
    Everybody can dial through it.
    """
    alice, bob = pair
    bob.nat = Nat.FULL_CONE
    alice.ask(bob)
    alice.world.run(1.0)

    assert alice.heard[0][1] == "reply"


def test_a_partition_is_a_time_out_for_those_connected_and_unreachable_for_others(pair):
    """
    Until it heals.
    """
    alice, bob = pair
    bob.region = 1
    alice.ask(bob, 1)
    alice.world.run(1.0)
    alice.world.network.cut(("dallas",))
    carol = Stub(alice.world, 2)
    alice.ask(bob, 2)
    carol.ask(bob, 3)
    alice.world.run(10.0)
    assert alice.heard[-1][2:] == (2, Failure.TIMEOUT)
    assert carol.heard[-1][2:] == (3, Failure.UNREACHABLE)
    alice.world.network.heal(("dallas",))
    carol.ask(bob, 4)
    alice.world.run(20.0)

    assert carol.heard[-1][1:3] == ("reply", 4)


def test_a_repeated_request_gets_one_reply():
    """
    A duplicate is delivered, and its answer dropped.
    """
    here = world(duplicate=1.0)
    alice, bob = Stub(here, 0), Stub(here, 1)
    alice.ask(bob)
    here.run(1.0)

    assert len(bob.heard) == 2
    assert len(alice.heard) == 1


def test_only_the_last_wish_to_be_woken_counts(pair):
    """
    An earlier time replaces a later one.
    """
    alice, _ = pair
    alice.world.wake(alice, 5.0)
    alice.world.wake(alice, 2.0)
    alice.world.run(10.0)

    assert alice.heard == [(2.0, "wake")]


def test_the_digest_tells_runs_apart():
    """
    The same events give the same digest, others another one.
    """

    def digest(key, count):
        here = world()
        alice, bob = Stub(here, 0), Stub(here, 1)
        for _ in range(count):
            alice.ask(bob, 1, KadMessage(MessageType.FIND_NODE, key=key))
        here.run(1.0)
        return here.digest

    assert digest(b"a", 1) == digest(b"a", 1)
    assert len({digest(b"a", 1), digest(b"b", 1), digest(b"a", 2), digest(b"a", 0)}) == 4


def test_events_can_be_told_as_text():
    """
    Each event is a line with the number of its host.
    """
    lines = []
    here = World(world().network, tell=lambda host, line: lines.append((host, line)))
    alice, bob = Stub(here, 0), Stub(here, 1)
    alice.ask(bob)
    bob.down(silently=False)
    alice.ask(bob, 2)
    here.wake(alice, 0.5)
    here.run(10.0)

    assert [host for host, _ in lines] == [0, 0, 0]
    assert "timer" in lines[0][1]
    assert "failed request" in lines[1][1]


def test_messages_can_pass_their_codec():
    """
    With ``encode`` hosts get what the wire carries.
    """
    here = World(world().network, encode=True)
    alice, bob = Stub(here, 0), Stub(here, 1)
    alice.ask(bob)
    here.run(1.0)

    assert alice.heard[0][1] == "reply"
