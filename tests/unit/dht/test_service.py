"""The shell of the DHT, around a machine that does as it is told."""

import asyncio
from types import SimpleNamespace

import pytest

from helpers import dht_peers
from kontinuum.base.errors import MisuseError, UnavailableError
from kontinuum.dht import events as ev
from kontinuum.dht import service as service_module
from kontinuum.dht.events import Failure, State
from kontinuum.dht.service import ASKS_MAX, MALFORMED, REFUSED, DhtService
from kontinuum.messages.kad import KadMessage, MessageType, decode_prefixed, encode_prefixed
from kontinuum.rpc.errors import BusyError, CallError, CallTimeoutError, RemoteError, UnknownProtocolError
from kontinuum.transport.errors import ConnectError

PING = KadMessage(MessageType.PING)
PONG = KadMessage(MessageType.PING, sender=b"me")
ALICE, BOB = dht_peers.peer(1), dht_peers.peer(2)


class Machine:
    """Logs events, and answers each with the effects that the test has prepared."""

    def __init__(self):
        self.events = []
        self.effects = {}
        self.deadline = None
        self.timeouts = 0
        self.queues = []
        self.state = State.STARTING
        self.config = SimpleNamespace(server=True)
        self.adaptation = SimpleNamespace(queued=self.queues.append)

    def on(self, kind, *effects):
        """From now on these effects follow an event of that kind; functions get the event."""
        self.effects[kind] = effects

    def handle(self, event, _now):
        self.events.append(event)
        made = [effect(event) if callable(effect) else effect for effect in self.effects.get(type(event), ())]
        return [effect for effect in made if effect is not None]

    def handle_timeout(self, _now):
        self.timeouts += 1
        self.deadline = None
        return []

    def next_deadline(self):
        return self.deadline


class Rpc:
    """Takes calls; the test answers them."""

    def __init__(self):
        self.calls = []
        self.handler = None
        self.refuses = None

    def add_handler(self, _protocol, function):
        self.handler = function

    def begin_call(self, connection, _protocol, data, timeout_s, waiter):
        if self.refuses is not None:
            raise self.refuses
        self.calls.append((connection, decode_prefixed(data), timeout_s, waiter))


class Shell:
    """A service with all that it needs, started."""

    def __init__(self, connected=(ALICE, BOB)):
        self.machine, self.rpc = Machine(), Rpc()
        self.connections = {
            peer.peer_id: SimpleNamespace(remote_address=(f"192.0.2.{index}", 4433))
            for index, peer in enumerate(connected, 1)
        }
        self.kept, self.states, self.reached = [], [], []
        self.reach_error = None
        self.service = DhtService(
            self.machine,
            self.rpc,
            connection_of=self.connections.get,
            reach=self.reach,
            keep=self.kept.append,
            state_changed=self.states.append,
        )

    async def reach(self, contact):
        self.reached.append(contact)
        if self.reach_error is not None:
            raise self.reach_error
        return SimpleNamespace(remote_address=("198.51.100.1", 1))

    def start(self):
        self.service.start(ALICE.contact, seeds=[BOB.contact], saved=[])
        self.machine.events.clear()
        return self.service


def ask(number, peer=ALICE, message=PING):
    """A request with that number."""
    return ev.Ask(number, peer, message, 5.0)


async def test_a_request_is_answered_in_the_same_turn():
    """
    The reply goes out from the handler itself, and the sender is who and where the connection says.
    """
    shell = Shell()
    shell.start()
    shell.machine.on(ev.Request, lambda request: ev.Answer(request.ticket, PONG), ask(1, BOB))

    assert decode_prefixed(shell.rpc.handler(ALICE.peer_id, encode_prefixed(PING))) == PONG
    [request] = shell.machine.events
    assert (request.sender, request.ip, request.message) == (ALICE.peer_id, "192.0.2.1", PING)
    assert [call[1] for call in shell.rpc.calls] == [PING]


async def test_what_is_no_request_never_reaches_the_machine():
    """
    Its sender is told, and it is counted.
    """
    shell = Shell()
    service = shell.start()
    for data in (b"", b"\xff" * 9, encode_prefixed(PING) + b"x"):
        with pytest.raises(CallError) as told:
            shell.rpc.handler(ALICE.peer_id, data)
        assert told.value.code == MALFORMED
    assert shell.machine.events == []
    assert service.counts["malformed"] == 3


async def test_a_request_may_be_refused_without_a_word():
    """
    The machine answers None, or fails, or the connection is gone: an error code, and nothing else.
    """
    shell = Shell()
    shell.start()

    def fail(_event):
        raise ZeroDivisionError

    for effect in (lambda request: ev.Answer(request.ticket, None), fail):
        shell.machine.on(ev.Request, effect)
        with pytest.raises(CallError) as told:
            shell.rpc.handler(ALICE.peer_id, encode_prefixed(PING))
        assert told.value.code == REFUSED
    with pytest.raises(CallError):
        shell.rpc.handler(dht_peers.peer(3).peer_id, encode_prefixed(PING))


async def test_a_reply_reaches_the_machine_in_the_turn_in_which_it_comes():
    """
    With its number, the time that it took and where it came from; what follows is sent at once.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(7))
    shell.machine.on(ev.Reply, ask(8, BOB))
    service.feed(ev.NetworkChanged())
    [(_, message, timeout_s, waiter)] = shell.rpc.calls
    assert (message, timeout_s, service.asks, waiter.done()) == (PING, 5.0, 1, False)

    waiter.set_result(encode_prefixed(PONG))

    reply = shell.machine.events[-1]
    assert (reply.request, reply.message, reply.ip) == (7, PONG, "192.0.2.1")
    assert 0 <= reply.rtt_s < 1
    assert len(shell.rpc.calls) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CallTimeoutError("late"), Failure.TIMEOUT),
        (BusyError("busy"), Failure.REFUSED),
        (UnknownProtocolError("no"), Failure.REFUSED),
        (RemoteError(101, "no"), Failure.REFUSED),
        (UnavailableError("gone"), Failure.UNREACHABLE),
    ],
)
async def test_why_there_is_no_answer(error, reason):
    """
    Each error of a call means one thing to the machine, whether it comes at once or later.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(1))
    service.feed(ev.NetworkChanged())
    shell.rpc.calls[0][3].set_exception(error)
    shell.rpc.refuses = error
    service.feed(ev.NetworkChanged())

    failures = [event for event in shell.machine.events if isinstance(event, ev.Failed)]
    assert failures == [ev.Failed(1, reason)] * 2
    assert service.asks == 0


async def test_an_answer_that_is_none():
    """
    Bytes that are no message count as a failure of that peer.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(1))
    service.feed(ev.NetworkChanged())
    shell.rpc.calls[0][3].set_result(b"\xff\xff")
    assert shell.machine.events[-1] == ev.Failed(1, Failure.MALFORMED)


async def test_a_failure_at_once_waits_until_the_effects_are_performed():
    """
    Effects keep their order: what a failing first one leads to comes after the second.
    """
    shell = Shell()
    service = shell.start()
    shell.rpc.refuses = UnavailableError("gone")
    kept = ev.Drop(b"key", None)
    shell.machine.on(ev.NetworkChanged, ask(1), kept)
    shell.machine.on(ev.Failed, lambda _event: shell.kept.append("failed") or None)
    service.feed(ev.NetworkChanged())
    assert shell.kept == [kept, "failed"]


async def test_an_unconnected_peer_is_connected_first():
    """
    The contact of the request says where; one that cannot be reached is told as such.
    """
    shell = Shell(connected=())
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(1, BOB))
    service.feed(ev.NetworkChanged())
    await asyncio.sleep(0.01)
    assert shell.reached == [BOB.contact]
    [(_, _, timeout_s, waiter)] = shell.rpc.calls
    assert 4.5 < timeout_s <= 5.0
    waiter.set_result(encode_prefixed(PONG))
    assert shell.machine.events[-1].ip == "198.51.100.1"

    shell.reach_error = ConnectError("nobody")
    service.feed(ev.NetworkChanged())
    await asyncio.sleep(0.01)
    assert shell.machine.events[-1] == ev.Failed(1, Failure.UNREACHABLE)


async def test_requests_beyond_the_limit_wait_for_their_turn():
    """
    At the limit, one more waits; the machine hears how many wait, and they are sent in order.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, *(ask(number) for number in range(ASKS_MAX + 2)))
    service.feed(ev.NetworkChanged())
    assert (service.asks, service.queued, len(shell.rpc.calls)) == (ASKS_MAX, 2, ASKS_MAX)
    assert shell.machine.queues[-1] == 2

    for _ in range(2):
        shell.rpc.calls.pop(0)[3].set_result(encode_prefixed(PONG))

    assert (service.asks, service.queued) == (ASKS_MAX, 0)
    assert shell.machine.queues[-1] == 0
    shell.rpc.calls[-1][3].set_result(encode_prefixed(PONG))
    assert shell.machine.events[-1].request == ASKS_MAX + 1


async def test_operations_end_with_their_outcome_and_are_timed():
    """
    Each waits for its own; steps of a trace go to who asked for them.
    """
    shell = Shell()
    service = shell.start()
    outcome = ev.Stored((), (), 0, 0)
    step = ev.Step(2, ALICE, None, 0, 1, 0.0, 0.1, 5)
    shell.machine.on(ev.Provide, step, ev.Completed(2, outcome))
    steps = []
    first = asyncio.create_task(service.operate(ev.Put(operation=1, timeout_s=5, key=b"k", value=b"v")))
    await asyncio.sleep(0)
    assert await service.operate(ev.Provide(operation=2, timeout_s=5, key=b"k"), steps.append) is outcome
    assert steps == [step]
    assert not first.done()
    assert service.latencies["Provide"].count == 1

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert shell.machine.events[-1] == ev.Cancel(1)


async def test_a_command_that_the_machine_cannot_take_fails():
    """
    Whoever waits gets the error instead of waiting for ever.
    """
    shell = Shell()
    service = shell.start()

    def refuse(_event):
        raise MisuseError("too many keys")

    shell.machine.on(ev.Provide, refuse)
    with pytest.raises(MisuseError, match="too many"):
        await service.operate(ev.Provide(operation=1, timeout_s=5, key=b"k"))


async def test_closing_fails_what_is_under_way():
    """
    Operations, waits for the network and dials end; nothing is fed or sent afterwards.
    """
    shell = Shell(connected=())
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(1))
    service.feed(ev.NetworkChanged())
    waiting = asyncio.create_task(service.operate(ev.Provide(operation=1, timeout_s=5, key=b"k")))
    settling = asyncio.create_task(service.settled())
    await asyncio.sleep(0)
    await service.close()
    with pytest.raises(UnavailableError):
        await waiting
    assert await settling is State.STARTING
    with pytest.raises(UnavailableError):
        await service.operate(ev.Provide(operation=2, timeout_s=5, key=b"k"))
    events = len(shell.machine.events)
    service.feed(ev.NetworkChanged())
    assert len(shell.machine.events) == events


async def test_a_fault_costs_one_event_and_a_pause(monkeypatch):
    """
    A machine that fails at an event takes the next one; one that fails at a deadline is asked again later.
    """
    monkeypatch.setattr(service_module, "FAULT_PAUSE_S", 0.05)
    shell = Shell()
    service = shell.start()
    machine = shell.machine

    def fail(_event):
        raise ZeroDivisionError

    machine.on(ev.NetworkChanged, fail)
    service.feed(ev.NetworkChanged())
    service.feed(ev.Cancel(1))
    assert machine.events[-1] == ev.Cancel(1)

    calls = []

    def fail_late(_now):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        machine.deadline = None
        return []

    machine.handle_timeout = fail_late
    machine.deadline = 0.0
    service.feed(ev.Cancel(1))
    await asyncio.sleep(0.02)
    assert len(calls) == 1
    await asyncio.sleep(0.08)
    assert len(calls) == 2
    await service.close()


async def test_the_deadline_is_kept():
    """
    One timer: the machine is woken at its next deadline, which may become earlier.
    """
    shell = Shell()
    service = shell.start()
    now = asyncio.get_running_loop().time()
    shell.machine.deadline = now + 60
    service.feed(ev.Cancel(1))
    shell.machine.deadline = now + 0.02
    service.feed(ev.Cancel(1))
    await asyncio.sleep(0.01)
    assert shell.machine.timeouts == 0
    await asyncio.sleep(0.03)
    assert shell.machine.timeouts == 1
    await service.close()


async def test_a_dead_seed_is_remembered_until_it_answers():
    """
    Which of our user's contacts do not answer can be told.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ask(1, BOB))
    service.feed(ev.NetworkChanged())
    shell.rpc.calls.pop()[3].set_exception(CallTimeoutError("late"))
    assert service.dead_seeds == {BOB.peer_id}
    service.feed(ev.NetworkChanged())
    shell.rpc.calls.pop()[3].set_result(encode_prefixed(PONG))
    assert service.dead_seeds == set()


async def test_a_client_answers_nobody():
    """
    Without a handler, peers are told that the protocol is not there.
    """
    shell = Shell()
    shell.machine.config.server = False
    shell.start()
    assert shell.rpc.handler is None


async def test_where_it_stands_is_told():
    """
    States go to the node, records to the disk.
    """
    shell = Shell()
    service = shell.start()
    shell.machine.on(ev.NetworkChanged, ev.StateChanged(State.ALONE), ev.Drop(b"k", None))
    service.feed(ev.NetworkChanged())
    shell.machine.state = State.ALONE
    assert await service.settled() is State.ALONE
    assert (shell.states, shell.kept) == ([State.ALONE], [ev.Drop(b"k", None)])
