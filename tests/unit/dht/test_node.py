"""The machine of one node, joined with others by a queue."""

import pytest

from helpers.dht_net import Net
from helpers.dht_peers import contact, key_pair, peer
from kontinuum.base.entropy import Rng
from kontinuum.dht import events as ev
from kontinuum.dht.config import Defences
from kontinuum.dht.keys import key_of, key_of_peer
from kontinuum.dht.node import OPERATIONS_MAX
from kontinuum.dht.operation import Arrived, Surroundings
from kontinuum.dht.operations import GetOperation
from kontinuum.dht.records import blake3_key
from kontinuum.dht.refreshing import Refreshing
from kontinuum.dht.replication import REPLICATE_AFTER_S, Replication
from kontinuum.dht.routing_table import RoutingTable
from kontinuum.dht.search import Search, SearchSettings
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType


def content(value):
    """The key of a value that names itself."""
    return blake3_key(value), value


@pytest.fixture(scope="module")
def joined():
    """Thirty nodes that joined by the first."""
    net = Net(range(30))
    net.start()
    net.run(60)
    return net


def test_all_find_their_way_in_and_know_each_other(joined):
    """With fewer nodes than two buckets hold, everybody ends up in most tables."""
    assert all(machine.state is ev.State.JOINED for machine in joined.machines.values())
    assert min(len(machine.table) for machine in joined.machines.values()) >= 20


def test_the_closest_peers_are_found_by_everybody(joined):
    """A lookup ends with the k peers that are truly closest."""
    target = key_of_peer(key_pair(1000).peer_id)
    everybody = sorted(joined.machines, key=lambda number: key_of_peer(key_pair(number).peer_id) ^ target)
    for number in (0, 7, 29):
        outcome = joined.command(number, ev.FindPeers, target=target)
        expected = [key_pair(other).peer_id for other in everybody if other != number][:20]
        assert [found.peer_id for found in outcome.peers] == expected
        assert outcome.complete


def test_a_record_that_one_puts_another_gets(joined):
    """Twenty peers hold it afterwards."""
    key, value = content(b"a value")
    stored = joined.command(3, ev.Put, key=key, value=value)
    assert len(stored.holders) == 20
    assert stored.refused == ()
    found = joined.command(21, ev.Get, key=key)
    assert (found.value, found.rejected) == (value, 0)


def test_a_key_that_nobody_put_is_not_found(joined):
    """The search ends by itself."""
    found = joined.command(5, ev.Get, key=content(b"nobody has this")[0])
    assert (found.value, found.answers, found.complete) == (None, 0, True)


def test_providers_are_found(joined):
    """Two provide, a third one finds both."""
    key = content(b"a large file")[0]
    for number in (4, 9):
        assert joined.command(number, ev.Provide, key=key).holders
    outcome = joined.command(17, ev.FindProviders, key=key)
    assert {found.peer_id for found in outcome.peers} == {key_pair(4).peer_id, key_pair(9).peer_id}


def test_a_contact_that_was_published_is_resolved(joined):
    """Every node publishes its own by itself."""
    key = b"/contact/" + key_pair(11).peer_id
    found = joined.command(2, ev.Get, key=key)
    assert found.value == contact(11).encode()
    assert found.answers >= 3


def test_a_trace_tells_each_request(joined):
    """Steps say who named whom, on which path and after how many hops."""
    joined.steps.clear()
    outcome = joined.command(8, ev.FindPeers, target=key_of_peer(key_pair(2000).peer_id), trace=True)
    assert len(joined.steps) == outcome.requests
    assert {step.hop for step in joined.steps} >= {1}
    assert all(step.rtt_s is not None and 0 <= step.shared_bits < 256 for step in joined.steps)


def test_an_invalid_record_is_refused_before_it_leaves(joined):
    """The caller's own mistake costs no request."""
    outcome = joined.command(1, ev.Put, key=b"/blake3/" + bytes(32), value=b"not that")
    assert isinstance(outcome, ev.Refused)


def test_commands_beyond_the_bound_and_repeated_numbers_are_refused():
    """What is under way goes on."""
    net = Net([0, 1])
    net.start()
    machine = net.machines[0]
    command = ev.FindPeers(operation=5, timeout_s=1.0, target=1)
    assert not any(isinstance(effect, ev.Completed) for effect in machine.handle(command, net.now))
    again = machine.handle(command, net.now)
    assert isinstance(next(e for e in again if isinstance(e, ev.Completed)).outcome, ev.Refused)
    for number in range(OPERATIONS_MAX):
        effects = machine.handle(ev.FindPeers(operation=100 + number, timeout_s=1.0, target=1), net.now)
    beyond = next(effect for effect in effects if isinstance(effect, ev.Completed))
    assert isinstance(beyond.outcome, ev.Refused)
    below = machine.handle(ev.FindPeers(operation=-5, timeout_s=1.0, target=1), net.now)
    assert isinstance(next(e for e in below if isinstance(e, ev.Completed)).outcome, ev.Refused)


def test_a_dead_seed_is_an_error_and_an_empty_network_a_state():
    """The state tells the truth, and a seed that comes back is found."""
    net = Net([0, 1, 2])
    net.dead = {0}
    net.give(1, ev.Start((contact(0),)))
    net.give(2, ev.Start())
    net.run(8)
    assert net.machines[1].state is ev.State.UNREACHABLE
    assert net.machines[2].state is ev.State.ALONE
    net.dead = set()
    net.give(0, ev.Start())
    net.run(20)
    assert net.machines[1].state is ev.State.JOINED


def test_a_saved_peer_is_enough_when_all_seeds_are_dead():
    """It survives all seeds being dead if any saved peer lives."""
    net = Net(range(4))
    net.dead = {0, 1}
    net.give(3, ev.Start())
    net.give(2, ev.Start((contact(0), contact(1)), (contact(3),)))
    net.run(2)
    assert net.machines[2].state is ev.State.JOINED


def test_somebody_who_comes_ends_being_alone():
    """A first node is joined once a second one asks it something."""
    net = Net([0, 1])
    net.give(0, ev.Start())
    assert net.machines[0].state is ev.State.ALONE
    net.give(1, ev.Start((contact(0),)))
    net.run(2)
    assert net.machines[0].state is ev.State.JOINED
    assert len(net.machines[0].table) == 1


def test_a_client_is_in_no_table_and_answers_nobody():
    """It asks all the same."""
    net = Net(range(3))
    net.add(3, server=False)
    net.start()
    net.run(10)
    assert all(key_pair(3).peer_id not in net.machines[number].table for number in range(3))
    key, value = content(b"for clients too")
    net.command(0, ev.Put, key=key, value=value)
    assert net.command(3, ev.Get, key=key).value == value
    request = ev.Request(1, key_pair(0).peer_id, "192.0.2.1", KadMessage(MessageType.PING))
    assert net.machines[3].handle(request, net.now) == [ev.Answer(1, None)]


def test_a_cancelled_operation_never_completes():
    """Late answers to it change nothing."""
    net = Net(range(5))
    net.start()
    net.give(0, ev.FindPeers(operation=77, timeout_s=30.0, target=12345))
    net.give(0, ev.Cancel(77))
    net.run(60)
    assert 77 not in net.completed


def test_answers_that_were_not_asked_for_change_nothing():
    """Neither an unknown number nor a second answer."""
    net = Net(range(5))
    net.start()
    machine = net.machines[0]
    before = len(machine.table)
    evil = KadMessage(MessageType.FIND_NODE, closer_peers=(peer(900).wire,))
    assert machine.handle(ev.Reply(10**9, evil, 0.01, "198.51.100.1"), net.now) == []
    assert machine.handle(ev.Failed(10**9, ev.Failure.TIMEOUT), net.now) == []
    assert len(machine.table) == before


@pytest.mark.parametrize("ping_first", [True, False], ids=["defended", "undefended"])
def test_who_does_not_answer_does_not_enter(ping_first):
    """Attack 16: a contact that only was told, on any way in, is not in the table without an answer."""
    net = Net(range(3), defences=Defences(ping_first=ping_first))
    net.start()
    machine = net.machines[0]
    ghosts = [peer(number) for number in (500, 501)]
    machine.handle(ev.Met(ghosts[0].contact, ghosts[0].ip), net.now)
    hello = KadMessage(MessageType.PING, sender=ghosts[1].wire.contact)
    net.give(0, ev.Request(9, ghosts[1].peer_id, ghosts[1].ip, hello))
    net.run(30)
    entered = [ghost.peer_id in machine.table for ghost in ghosts]
    assert entered == ([False, False] if ping_first else [True, True])


def test_a_contact_of_somebody_else_does_not_come_in_by_a_request():
    """Attack 3: the sender's contact counts only if the connection proves that identity."""
    net = Net(range(2))
    net.start()
    hello = KadMessage(MessageType.PING, sender=contact(600).encode())
    effects = net.machines[0].handle(ev.Request(1, key_pair(1).peer_id, "192.0.2.7", hello), net.now)
    assert not any(isinstance(effect, ev.Ask) for effect in effects)


@pytest.mark.parametrize("several", [True, False], ids=["defended", "undefended"])
def test_the_first_answer_is_not_the_answer(several):
    """Attack 15: one holder that gives an older record does not win; undefended, it does."""
    old, new = contact(700), contact(700, sequence=9)
    key = b"/contact/" + key_pair(700).peer_id
    net = Net(range(12), defences=Defences(newest_of_several=several))
    net.add(12, server=False)  # It holds nothing itself.
    net.start()
    net.run(30)
    net.command(0, ev.Put, key=key, value=new.encode())

    def nearest_lies(number, ask):
        if ask.message.type is MessageType.GET_VALUE and number == nearest:
            return KadMessage(MessageType.GET_VALUE, key=key, record=KadRecord(key, old.encode()))
        return None

    place = net.machines[12].table.closest(key_of(key), 1)[0]
    nearest = next(number for number in net.machines if key_pair(number).peer_id == place.peer_id)
    net.intercept = nearest_lies
    found = net.command(12, ev.Get, key=key)
    assert found.value == (new if several else old).encode()


@pytest.mark.parametrize("validate", [True, False], ids=["defended", "undefended"])
def test_a_record_of_another_key_is_no_answer(validate):
    """Attack 14 on read: valid somewhere else, and therefore nothing here; undefended, it is believed."""
    key, other = b"/contact/" + key_pair(700).peer_id, b"/contact/" + key_pair(701).peer_id
    net = Net(range(12), defences=Defences(validate_records=validate))
    net.add(12, server=False)
    net.start()
    net.run(30)
    foreign = KadRecord(other, contact(701).encode())
    under_ours = KadRecord(key, contact(701).encode())
    for record in (foreign, under_ours):
        net.intercept = lambda _number, ask, record=record: (
            KadMessage(MessageType.GET_VALUE, key=key, record=record)
            if ask.message.type is MessageType.GET_VALUE
            else None
        )
        believed = not validate and record is under_ours
        assert net.command(12, ev.Get, key=key).value == (record.value if believed else None)


def test_three_answers_on_one_path_are_not_enough():
    """A quorum on a single path could be one liar's friends; another path has to agree, or to end."""
    net = Net([0])
    key = b"/contact/" + key_pair(700).peer_id
    around = Surroundings(
        k=20,
        validators=net.machines[0].parts.validators,
        density=lambda _target, _closest: None,
        near=lambda _count: None,
        validate=True,
        newest=True,
        sender=b"",
    )
    people = [peer(number) for number in range(1, 31)]
    search = Search(key_of(key), people, local=key_pair(0).peer_id, settings=SearchSettings(paths=2))
    operation = GetOperation(search, around, 60.0, key=key, quorum=3, paths=2, local=None)
    asked = [one for one, _ in operation.start(0.0)]
    record = KadRecord(key, contact(700).encode())
    reply = KadMessage(MessageType.GET_VALUE, key=key, record=record)
    for path in (0, 1):
        for one in [one for one in asked if search.trace(one.peer_id)[1] == path][:3]:
            assert operation.outcome is None
            wants = operation.answered(Arrived(one, one.ip, reply, ()), 1.0, net.calendar(1.0))
            asked += [wanted for wanted, _ in wants]
            if path == 1:
                break
    assert operation.outcome.value == contact(700).encode()


def test_stale_holders_are_repaired():
    """Who gave an older record, or none, holds the newest one after a get."""
    key = b"/contact/" + key_pair(700).peer_id
    old, new = contact(700).encode(), contact(700, sequence=9).encode()
    net = Net(range(12))
    net.start()
    net.run(30)
    net.command(0, ev.Put, key=key, value=old)
    at = net.calendar(net.now)
    for number in (3, 4, 6):
        sender = key_pair(700).peer_id
        net.machines[number].records.put(key, new, sender=sender, ip="192.0.2.9", at=at, now=net.now)
    found = net.command(8, ev.Get, key=key, quorum=99)
    net.run(1)
    assert found.value == new
    holding = [machine.records.get(key, at) for number, machine in net.machines.items() if number != 8]
    assert holding.count(new) == len(holding)


@pytest.mark.parametrize("replicate", [True, False], ids=["defended", "undefended"])
def test_records_move_to_newcomers_and_to_successors_of_the_dead(replicate, monkeypatch):
    """Attack 20 in small: half of the nodes die, others come, and records are still there."""
    if not replicate:
        monkeypatch.setattr(Replication, "settle", lambda _self: None)
    net = Net(range(40), refresh_interval_s=120.0)
    net.start()
    net.run(60)
    values = [content(b"value %d" % number) for number in range(10)]
    for number, (key, value) in enumerate(values):
        net.command(number, ev.Put, key=key, value=value, keep=False)
    net.dead = set(range(20))
    for number in range(40, 60):
        net.add(number)
        net.give(number, ev.Start((contact(20),)))
        net.run(1)
    for key, value in values:
        assert net.command(45, ev.Get, key=key).value == value
    net.run(400)
    at = net.calendar(net.now)
    living = [machine for number, machine in net.machines.items() if number not in net.dead]
    holders = [sum(machine.records.get(key, at) == value for machine in living) for key, value in values]
    assert (min(holders) >= 12) == replicate, holders


def test_what_nobody_refreshed_for_an_hour_is_sent_to_all_who_should_hold_it():
    """One holder is enough, and need not be one of the nearest."""
    net = Net(range(24))
    net.start()
    net.run(60)
    key, value = content(b"held by one")
    farthest = max(range(24), key=lambda number: key_of(key) ^ key_of_peer(key_pair(number).peer_id))
    at, sender = net.calendar(net.now), key_pair(1).peer_id
    net.machines[farthest].records.put(key, value, sender=sender, ip="192.0.2.9", at=at, now=net.now)
    net.run(REPLICATE_AFTER_S - 120)
    assert sum(machine.records.get(key, at) == value for machine in net.machines.values()) == 1
    net.run(300)
    assert sum(machine.records.get(key, at) == value for machine in net.machines.values()) >= 20


def test_after_a_timeout_the_next_deadline_is_later():
    """The promise of every machine, kept while a network joins."""
    net = Net(range(6))
    net.start()
    for _ in range(200):
        net.run(0.7)
        for machine in net.machines.values():
            machine_effects = machine.handle_timeout(net.now)
            due = machine.next_deadline()
            assert due is None or due > net.now, (due, net.now, machine_effects)


def test_an_empty_table_does_not_keep_the_loop_busy():
    """Looking around with nobody to ask is over at once, all of it: no deadline is left in this moment."""
    net = Net([0])
    machine = net.machines[0]
    net.give(0, ev.Start())
    machine._joining.answered()
    machine._refreshing.all(net.now)
    machine.handle_timeout(net.now)
    due = machine.next_deadline()
    assert due is None or due > net.now
    assert machine._refreshing.settled


def test_an_outage_of_our_own_line_costs_no_peer():
    """Nobody answers for an hour; afterwards the node is back, the first one of a network as well."""
    net = Net(range(12), refresh_interval_s=300.0)
    net.start()
    net.run(60)
    before = len(net.machines[0].table)
    others = set(range(1, 12))
    net.cut = {0}
    net.run(3600)
    assert net.machines[0].state is ev.State.UNREACHABLE
    assert all(net.machines[number].state is ev.State.JOINED for number in others)
    net.cut = set()
    net.run(600)
    assert net.machines[0].state is ev.State.JOINED
    assert len(net.machines[0].table) >= before - 1
    assert sum(key_pair(0).peer_id in net.machines[number].table for number in others) >= 10


class TestAnotherIdentity:
    def test_its_contact_is_published_and_the_former_one_no_more(self):
        """What was published under the former one goes on, and all is sent again from the new place."""
        net = Net(range(8))
        net.start()
        net.run(60)
        machine = net.machines[3]
        key, value = content(b"kept")
        assert net.command(3, ev.Put, key=key, value=value).holders
        net.run(10)
        effects = machine.handle(ev.Adopted(contact(103)), net.now)
        effects += machine.handle_timeout(net.now)
        assert (machine.parts.local, machine.parts.key) == (
            key_pair(103).peer_id,
            key_of_peer(key_pair(103).peer_id),
        )
        assert len(machine.table) == 7
        assert len(machine._publications) == 2
        assert machine._publications.value(b"/contact/" + key_pair(103).peer_id) == contact(103).encode()
        assert machine._publications.value(b"/contact/" + key_pair(3).peer_id) is None
        asked = [effect.message for effect in effects if isinstance(effect, ev.Ask)]
        assert asked
        assert all(message.sender == contact(103).encode() for message in asked)
        targets = [message.key for message in asked]
        assert key_of(key).to_bytes(32) in targets

    def test_a_peer_that_gave_up_its_identity_is_not_named_any_more(self):
        """To nobody who asks."""
        net = Net(range(5))
        net.start()
        net.run(60)
        machine, gone = net.machines[0], key_pair(4).peer_id
        assert gone in machine.table
        machine.handle(ev.Renounced(gone), net.now)
        assert gone not in machine.table
        assert len(machine.table) == 3


def test_who_looks_around_from_another_place_ends_at_that():
    """Not at the former one."""
    here, there = (key_of_peer(key_pair(number).peer_id) for number in (1, 2))
    refreshing = Refreshing(here, RoutingTable(here, k=20), interval_s=600.0)
    refreshing.move(there)
    refreshing.all(0.0)
    places = []
    while not refreshing.settled:
        places.append(refreshing.due(0.0, Rng(1)))
        refreshing.ended(0.0)
    assert places[-1] == there
