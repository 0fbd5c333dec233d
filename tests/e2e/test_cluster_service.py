"""The shell of the machine of clusters over real sockets: endpoints on loopback, no nodes around them."""

import asyncio
import contextlib

import pytest

from helpers.cluster_net import Home
from helpers.keys import NOON
from helpers.nodes import eventually
from kontinuum.base.entropy import Rng
from kontinuum.base.errors import UnavailableError
from kontinuum.clusters import events as ev
from kontinuum.clusters.book import Book
from kontinuum.clusters.machine import ClusterMachine
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import VERSION, Heads, Hello, Statements, decode, encode
from kontinuum.clusters.service import PROTOCOL, ClusterService
from kontinuum.clusters.tags import EXPORTER_BYTES, EXPORTER_LABEL, hello_tag
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author
from kontinuum.keys.bodies import Scope
from kontinuum.keys.chain import Chain
from kontinuum.rpc.service import RpcService
from kontinuum.transport import CloseCode, Endpoint


class Host:
    """An endpoint with the protocol, if it has a cluster, and nothing else."""

    def __init__(self, key, home=None, branch=None):
        self.key, self.home, self.branch = key, home, branch
        self.rpc = RpcService()
        self.effects = []
        self.closed = {}
        self.connections = []
        self.full_disk = False
        if home is not None:
            self.book = Book(home.copy(), branch.path)
            machine = ClusterMachine(self.book, key.peer_id, rng=Rng(1))
            self.service = ClusterService(machine, rpc=self.rpc, on_effect=self._on_effect)
            self.rpc.connection_opened = self._on_opened
        self.rpc.connection_closed = self._on_closed

    def _on_effect(self, effect, connection):
        if self.full_disk and isinstance(effect, ev.Save):
            raise UnavailableError("no space left on device")
        self.effects.append((effect, connection))

    def _on_opened(self, connection):
        if self.service.opened(connection):
            self.connections.append(connection)

    def _on_closed(self, connection, reason):
        self.closed[connection] = reason
        if self.home is not None:
            self.service.closed(connection)

    async def __aenter__(self):
        self.rpc.start()
        self.endpoint = Endpoint(self.key, ("127.0.0.1", 0), self.rpc)
        if self.home is not None:
            self.service.start()
        return self

    async def __aexit__(self, *_):
        if self.home is not None:
            await self.service.close()
        await self.rpc.close()
        await self.endpoint.close()

    async def dial(self, other):
        """Connect to another one."""
        return await self.endpoint.dial(other.endpoint.peer_id, other.endpoint.local_address)

    def of(self, kind):
        """Effects of one kind that the shell passed on."""
        return [effect for effect, _ in self.effects if isinstance(effect, kind)]

    def met(self):
        """Sessions on which messages go either way."""
        return [session for session in self.service.machine.sessions() if session.met]

    def judges(self, peer_id):
        """What it thinks of a key."""
        return self.book.judge(peer_id).judgement

    def statements(self, act, secret):
        """What a pen writes, into a copy."""
        chain = Chain(self.home.chain.genesis)
        chain.merge(self.book.own)
        before = len(chain)
        result = act(Author(chain, secret))
        return tuple(chain)[before:], result


@contextlib.asynccontextmanager
async def hosts(count):
    """Nodes of one cluster, each connected with each and greeted."""
    home = Home.found(1, count)
    async with contextlib.AsyncExitStack() as stack:
        made = [
            await stack.enter_async_context(Host(epoch.signing(), home, branch))
            for branch, epoch in home.secrets
        ]
        for index, host in enumerate(made):
            for other in made[:index]:
                await host.dial(other)
        await eventually(lambda: all(len(host.met()) == count - 1 for host in made))
        yield made


async def test_a_revocation_cuts_the_sessions_of_its_key_on_all_nodes():
    """
    The thief's connections close with REVOKED, and a new one of his too; the others' stay.
    """
    async with hosts(3) as (one, other, thief):
        said, _ = one.statements(
            lambda author: author.revoke(thief.branch.path, Scope.PLACE, NOON), one.home.root
        )
        effects = one.service.feed(ev.Said(one.home.id, said))
        assert [type(effect) for effect in effects[:2]] == [ev.Save, ev.Lost]
        await eventually(lambda: len(thief.closed) == 2)

        assert {reason.code for reason in thief.closed.values()} == {CloseCode.REVOKED}
        assert other.judges(thief.key.peer_id) is Judgement.OUT_OF_USE
        assert len(other.met()) == 1
        assert len(other.of(ev.Save)) == 1
        await thief.dial(other)
        await eventually(lambda: len(thief.closed) == 3)
        assert other.of(ev.Cut)[-1].code == CloseCode.REVOKED


async def test_a_node_that_rekeys_keeps_its_sessions():
    """
    They go over to the new key on the other side; a connection that is made later shows it at once.
    """
    async with hosts(3) as (one, other, third):
        said, moved = one.statements(lambda author: author.rekey(NOON), one.branch)
        new = moved.secret.signing()
        one.endpoint.adopt(new)
        one.service.feed(ev.Moved(said, new, one.key.peer_id))
        await eventually(lambda: other.of(ev.Renamed) and third.of(ev.Renamed))

        ((renamed, connection),) = [each for each in other.effects if isinstance(each[0], ev.Renamed)]
        assert (renamed.old, renamed.new) == (one.key.peer_id, new.peer_id)
        assert connection in other.connections
        assert not one.closed
        assert not other.closed
        await one.dial(other)
        await eventually(lambda: len(other.met()) == 3)
        assert len(other.of(ev.Renamed)) == 1


async def test_a_parcel_reaches_the_place_that_it_is_for():
    """
    Of two that are connected; and nobody who is not.
    """
    async with hosts(3) as (one, other, third):
        assert one.service.feed(ev.ParcelSent(other.branch.path.place, b"sealed" * 10_000))
        await eventually(lambda: other.of(ev.Handed))
        assert other.of(ev.Handed)[0].data == b"sealed" * 10_000
        assert third.of(ev.Handed) == []
        assert one.service.feed(ev.ParcelSent(one.branch.path.place, b"x")) == []


async def test_what_cannot_be_saved_is_told_to_nobody_and_to_the_user():
    """
    The disk is full: the call fails, and the statements do not leave the node.
    """
    async with hosts(2) as (one, other):
        said, _ = one.statements(lambda author: author.checkpoint(NOON), one.home.root)
        sent = other.service.machine.counts["received_bytes"]
        one.full_disk = True
        with pytest.raises(UnavailableError):
            one.service.feed(ev.Said(one.home.id, said))
        assert other.service.machine.counts["received_bytes"] == sent
        assert one.service.counts["faults"] == 1


async def test_a_peer_without_the_protocol_is_left_alone():
    """
    The stream is refused there; the connection is as good as any.
    """
    home = Home.found(1, 1)
    branch, epoch = home.secrets[0]
    async with Host(KeyPair.from_seed(bytes(32))) as plain, Host(epoch.signing(), home, branch) as host:
        connection = await host.dial(plain)
        await eventually(lambda: not connection._streams)
        assert host.connections == [connection]
        assert not host.closed


async def test_another_stream_of_the_dialler_takes_the_place_of_the_one_before():
    """
    And who was dialled cannot open any: there is one stream for each connection.
    """
    async with hosts(2) as (one, other):
        (connection,) = other.connections
        before = one.service.machine.counts["received_bytes"]
        stream = await connection.open_messages(PROTOCOL)
        await eventually(lambda: one.service.machine.counts["refused_late"] or one.met() == [])
        assert stream.can_send
        assert one.service.machine.counts["received_bytes"] == before
        (theirs,) = one.connections
        refused = await theirs.open_messages(PROTOCOL)
        await eventually(lambda: not refused.can_send)


async def test_while_much_waits_for_a_peer_it_is_not_listened_to(monkeypatch):
    """
    Questions are answered one after the other, as fast as their answers are read.
    """
    monkeypatch.setattr("kontinuum.clusters.sessions.MEMBER_WORK_MAX", 1_000_000)
    monkeypatch.setattr("kontinuum.clusters.recognition.MEMBER_WORK_MAX", 1_000_000)
    home = Home.found(1, 2)
    author = Author(home.chain, home.root)
    for _ in range(300):
        author.checkpoint(NOON)
    (branch, epoch), (_, theirs) = home.secrets
    async with Host(theirs.signing()) as greedy, Host(epoch.signing(), home, branch) as host:
        connection = await greedy.dial(host)
        stream = await connection.open_messages(PROTOCOL)
        exporter = connection.export_keying_material(EXPORTER_LABEL, b"", EXPORTER_BYTES)
        await stream.send(encode(Hello(VERSION, hello_tag(exporter, home.id, dialler=True))))
        await eventually(host.met)
        questions = 60
        for _ in range(questions):
            await stream.send(encode(Heads(home.id, (), is_answer=True)))
        counts = host.service.machine.counts
        await eventually(lambda: counts["received_bytes"] > 80)
        await asyncio.sleep(0.3)
        assert counts["received_bytes"] < questions * 41 / 2
        assert host.service.counts["unread"] == 0
        answers = 0
        while answers < questions:
            message = await stream.receive()
            answers += isinstance(decode(message), Statements) and len(message) > 50_000
        assert host.met()


async def test_a_peer_that_does_not_read_loses_its_stream(monkeypatch):
    """
    What waits for it is bounded; others go on.
    """
    monkeypatch.setattr("kontinuum.clusters.service.OUTBOX_BYTES_MAX", 100_000)
    home = Home.found(1, 2)
    (branch, epoch), (_, theirs) = home.secrets
    async with Host(theirs.signing()) as deaf, Host(epoch.signing(), home, branch) as host:
        connection = await deaf.dial(host)
        stream = await connection.open_messages(PROTOCOL)
        exporter = connection.export_keying_material(EXPORTER_LABEL, b"", EXPORTER_BYTES)
        await stream.send(encode(Hello(VERSION, hello_tag(exporter, home.id, dialler=True))))
        await eventually(host.met)
        place = home.secrets[1][0].path.place
        for _ in range(40):
            host.service.feed(ev.ParcelSent(place, bytes(100_000)))
        assert host.service.counts["unread"] == 1
        assert not host.met()
        assert not host.closed


async def test_a_fault_in_one_effect_does_not_save_a_thief_from_another():
    """
    Whatever fails on the way, what comes after it is done: the session of the revoked key is cut.
    """
    async with hosts(2) as (one, thief):
        perform = one._on_effect

        def faulty(effect, connection):
            perform(effect, connection)
            if type(effect) is not ev.Cut:
                raise RuntimeError("a fault of ours")

        one.service._on_effect = faulty
        said, _ = one.statements(
            lambda author: author.revoke(thief.branch.path, Scope.PLACE, NOON), one.home.root
        )
        with pytest.raises(UnavailableError):
            one.service.feed(ev.Said(one.home.id, said))
        await eventually(lambda: thief.closed)
        assert {reason.code for reason in thief.closed.values()} == {CloseCode.REVOKED}
