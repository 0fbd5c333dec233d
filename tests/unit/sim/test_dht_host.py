"""The shell of an honest host: effects performed, rules enforced, a disk that outlives the process."""

from types import SimpleNamespace

import pytest

from helpers.dht_peers import peer
from kontinuum.dht.events import (
    Answer,
    Ask,
    Completed,
    Drop,
    FindPeers,
    Keep,
    Peers,
    Request,
    SelfChanged,
    Start,
    State,
    StateChanged,
)
from kontinuum.messages.kad import KadMessage, MessageType
from kontinuum.sim.chance import material, stream
from kontinuum.sim.dht_host import SAVE_FIRST_S, DhtHost
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.identities import Identity, time_of_day
from kontinuum.sim.network import Network
from kontinuum.sim.scenario import NetworkSettings
from kontinuum.sim.world import World

PING = KadMessage(MessageType.PING)
KEEP = Keep(b"/blake3/" + bytes(32), b"value", None, peer(1).peer_id, 2e9)


class Stub:
    """A machine that does what a test tells it."""

    def __init__(self):
        self.effects = []
        self.deadline = None
        self.events = []
        self.restored = []
        self.answers = 1

    def handle(self, event, _now):
        self.events.append(event)
        if isinstance(event, Request):
            return [Answer(event.ticket, PING)] * self.answers
        effects, self.effects = self.effects, []
        return effects

    def handle_timeout(self, _now):
        self.events.append("timeout")
        effects, self.effects = self.effects, []
        return effects

    def next_deadline(self):
        return self.deadline

    def restore(self, keeps, _now):
        self.restored = list(keeps)

    def saved_contacts(self):
        return [peer(1).contact]


class Built:
    """A host with a stub in it, and what completed there."""

    def __init__(self, number=0, world=None):
        self.completed = []
        self.world = world or World(Network(NetworkSettings(loss=0.0), stream(1, "network")))
        identity = Identity(material(1, "host", number), pow_bits=0)
        identity.move(f"20.0.0.{number + 1}", time_of_day(0.0))
        self.host = DhtHost(
            self.world,
            identity,
            region=0,
            ip=f"20.0.0.{number + 1}",
            access_s=0.001,
            build=lambda _host: Stub(),
            finished=self.completed.append,
        )
        self.world.add(self.host)
        self.host.boot([])

    @property
    def machine(self):
        """The stub that runs now."""
        return self.host.machine

    def perform(self, *effects):
        """Let the machine return effects."""
        self.machine.effects = list(effects)
        self.host.event(SelfChanged(self.host.peer.contact))


@pytest.fixture
def built():
    """One host."""
    return Built()


def test_a_machine_is_started_with_its_contact(built):
    """
    First who we are, then whom we know.
    """
    assert [SelfChanged(built.host.peer.contact), Start()] == built.machine.events


def test_a_request_is_answered_with_what_the_machine_says(built):
    """
    The answer goes back to whoever asked.
    """
    assert built.host.on_request(Built(1, built.world).host, PING) is PING


@pytest.mark.parametrize("answers", [0, 2])
def test_a_request_without_exactly_one_answer_is_a_broken_rule(built, answers):
    """
    Neither silence nor two answers.
    """
    built.machine.answers = answers
    with pytest.raises(InvariantError) as caught:
        built.host.on_request(Built(1, built.world).host, PING)

    assert caught.value.node == built.host.index


def test_requests_have_numbers_of_their_own_and_go_to_others(built):
    """
    A number twice, and a request to oneself, are broken rules.
    """
    built.perform(Ask(1, peer(1), PING, 1.0))
    with pytest.raises(InvariantError, match="number of its own"):
        built.perform(Ask(1, peer(1), PING, 1.0))
    with pytest.raises(InvariantError, match="nobody asks itself"):
        built.perform(Ask(2, built.host.peer, PING, 1.0))


def test_an_operation_completes_once(built):
    """
    Its outcome is handed on; a second one, or one that nobody asked for, is a broken rule.
    """
    over = Completed(5, Peers((), 0, 0, complete=True))
    built.host.command(FindPeers(operation=5, timeout_s=1.0, target=1))
    built.perform(over)

    assert built.completed == [over]
    assert not built.host.operations
    with pytest.raises(InvariantError, match="completes once"):
        built.perform(over)


def test_records_on_disk_outlive_a_crash(built):
    """
    What was kept is restored, what was dropped is not; an unknown drop is a broken rule.
    """
    other = Keep(b"/blake3/" + bytes(31) + b"x", b"other", None, peer(1).peer_id, 2e9)
    built.perform(KEEP, other, Drop(other.key, None))
    built.host.stop(silently=True)
    built.host.boot([])

    assert built.machine.restored == [(KEEP, None)]
    with pytest.raises(InvariantError, match="only what was kept"):
        built.perform(Drop(b"unknown", None))


def test_contacts_are_on_disk_after_a_while(built):
    """
    A crash in the first seconds loses them, a later one and an orderly end do not.
    """
    built.host.stop(silently=True)
    assert built.host.contacts == []
    built.host.boot([])
    built.world.run(SAVE_FIRST_S + 1)
    built.host.stop(silently=True)
    assert built.host.contacts == [peer(1).contact]
    built.host.contacts = []
    built.host.boot([])
    built.host.stop(silently=False)

    assert built.host.contacts == [peer(1).contact]


def test_a_machine_is_woken_at_its_deadline(built):
    """
    Not before, and not when it is later than it was.
    """
    built.machine.deadline = 5.0
    built.perform()
    built.machine.deadline = 7.0
    built.world.run(6.0)
    assert "timeout" not in built.machine.events
    built.machine.handle_timeout = lambda now: (
        setattr(built.machine, "deadline", None) or (built.machine.events.append(now) or [])
    )
    built.world.run(10.0)

    assert built.machine.events[-1] == 7.0


def test_a_deadline_that_does_not_pass_is_a_broken_rule(built):
    """
    After handle_timeout the next deadline is none, or later.
    """
    built.machine.deadline = 5.0
    built.perform()
    with pytest.raises(InvariantError, match="deadline is later"):
        built.world.run(10.0)


def test_state_is_known_and_unknown_effects_are_not(built):
    """
    The state that the machine tells is the host's; what is no effect is a broken rule.
    """
    built.perform(StateChanged(State.JOINED))

    assert built.host.state is State.JOINED
    with pytest.raises(InvariantError, match="every effect is known"):
        built.perform(SimpleNamespace())


def test_a_stopped_host_does_nothing(built):
    """
    No machine, no events, no operations.
    """
    built.host.command(FindPeers(operation=5, timeout_s=1.0, target=1))
    built.host.stop(silently=True)
    built.host.event(SelfChanged(built.host.peer.contact))
    built.host.on_wake()

    assert built.host.machine is None
    assert not built.host.operations
