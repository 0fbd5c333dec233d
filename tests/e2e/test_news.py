"""What peers tell, and how often: floods of greetings, old bootstrap contacts, and the end of a node."""

import asyncio
import gc
import itertools
import logging
import threading
from datetime import timedelta

import pytest

from helpers.nodes import eventually, quiet_node, settings
from kontinuum import Contact, KeyPair, Multiaddr, Node
from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node import daemon, peer_store, saving
from kontinuum.node.data_dir import DataDir
from kontinuum.node.introductions import CONTACTS, HELLO
from kontinuum.rpc.errors import CallTimeoutError, InvalidTimeoutError
from kontinuum.transport.errors import DialTimeoutError

HOLE = Multiaddr.from_ip("192.0.2.1", 9)


def contact_of(key_pair, addresses=(HOLE,), *, age=timedelta(), sequence=1, network="local"):
    """A contact of some age."""
    return Contact.issue(
        key_pair,
        addresses,
        sequence=sequence,
        issued_at=SystemClock().utc() - age,
        proof=ProofOfWork(network_id(network), key_pair.peer_id, 0),
    )


def new_key():
    """A fresh identity."""
    return KeyPair.generate(SystemEntropy())


@pytest.fixture
def directory(tmp_path):
    """A data directory with a key."""
    path = tmp_path / "node"
    with DataDir.open(path, create=True) as opened:
        opened.create_key()
    return path


class TestFloods:
    async def test_two_hundred_greetings_cost_one_contact_and_one_save(self, directory, monkeypatch):
        """
        Each greeting carries a newer contact of the caller. All are answered, one is stored; the file is
        written once, by a worker thread, and another peer's calls do not wait for any of it.
        """
        saves, write = [], peer_store.write_atomically

        def slow_write(path, data):
            saves.append(path)
            gate.wait(2)
            write(path, data)

        gate = threading.Event()
        monkeypatch.setattr(peer_store, "write_atomically", slow_write)
        monkeypatch.setattr(saving, "SAVE_LOOK_S", 0.05)
        key_pair = new_key()
        async with (
            quiet_node(data_dir=directory) as hub,
            quiet_node(key_pair) as flood,
            quiet_node() as friend,
        ):
            await friend.connect(hub.contact)
            await flood.connect(hub.contact)
            await eventually(lambda: saves)  # The introductions are on their way to the disk.
            number = int(SystemClock().utc().timestamp() * 1000)
            hellos = [contact_of(key_pair, sequence=number + n).encode() for n in range(1, 201)]
            for hello in hellos:
                assert Contact.decode(await flood.call(hub.peer_id, HELLO, hello)).peer_id == hub.peer_id
                await friend.ping(hub.peer_id)
            stored = hub._neighbours.store.get(flood.peer_id).contact
            assert stored.encode() not in hellos  # The introduction itself was this minute's greeting.
            assert len(saves) == 1
            gate.set()
        assert 1 <= len(saves) <= 2

    async def test_much_news_does_not_keep_a_node_busy(self):
        """
        However often something is learned, the node looks after its peers every quarter of a second at most.
        """
        async with quiet_node() as hub:
            looks, look = [], hub._neighbours.links.handle_timeout
            hub._neighbours.links.handle_timeout = lambda now: looks.append(now) or look(now)
            contacts = [contact_of(new_key()) for _ in range(60)]
            for contact in contacts:
                hub.add_contact(contact)
                await asyncio.sleep(0.01)
            assert len(looks) >= 2
            assert all(b - a >= 0.24 for a, b in itertools.pairwise(looks))

    async def test_those_who_ask_for_contacts_share_one_reply(self):
        """
        Sixty calls in flight are answered with the same bytes.
        """
        async with quiet_node() as hub, quiet_node() as other:
            at = SystemClock().utc()
            for _ in range(100):
                hub._neighbours.store.add(contact_of(new_key()), at)
            await other.connect(hub.contact)
            replies = await asyncio.gather(*(other.call(hub.peer_id, CONTACTS) for _ in range(60)))
            assert len(set(replies)) <= 2  # A second may end in between.


class TestBootstrap:
    async def test_contacts_of_any_age_are_met(self):
        """
        A contact that was put into the settings long ago still leads to its peer; nobody is warned.
        """
        async with quiet_node(key := new_key()) as old:
            text = contact_of(key, old.addresses, age=timedelta(days=400)).to_text()
            async with quiet_node(bootstrap=[text], peers_wanted=1) as node:
                await eventually(lambda: node.connection(old.peer_id))

    async def test_a_contact_of_no_use_is_named_and_the_others_are_met(self, caplog):
        """
        Of another network: the node starts, says which one it is and what to do, and meets the others.
        """
        caplog.set_level(logging.WARNING, "kontinuum")
        foreign = contact_of(new_key(), network="elsewhere")
        async with quiet_node() as other:
            bootstrap = [foreign.to_text(), other.contact.to_text()]
            async with quiet_node(bootstrap=bootstrap) as node:
                assert [peer.peer_id for peer in node.peers()] == [other.peer_id]
        assert (
            f"contact 1 (of {foreign.peer_id.short}) is of no use: it belongs to another network"
            in caplog.text
        )
        assert "no bootstrap contact can be used" not in caplog.text

    async def test_when_none_is_of_use_that_is_said(self, caplog):
        """
        And the node runs: others may dial it. ``config check`` says the same.
        """
        caplog.set_level(logging.WARNING, "kontinuum")
        bad = [contact_of(new_key(), network="elsewhere").to_text() for _ in range(2)]
        async with quiet_node(bootstrap=bad) as node:
            assert node.peers() == []
        assert "no bootstrap contact can be used" in caplog.text
        assert (
            len([finding for finding in settings(bootstrap=bad).doubts() if finding.key == "bootstrap"]) == 3
        )

    async def test_too_little_work_is_said(self):
        """
        The network may have become stricter since.
        """
        weak = settings(bootstrap=[contact_of(new_key()).to_text()], pow_bits=20)
        assert "contact 1" in next(f.message for f in weak.doubts() if f.key == "bootstrap")


class TestEnd:
    async def test_after_the_end_everything_says_so(self):
        """
        A closed node does nothing more, and does not pretend to. Its counters can still be read.
        """
        async with quiet_node() as other:
            async with quiet_node() as node:
                await node.connect(other.contact)
            peer = other.peer_id
            for act in (
                lambda: node.connect(peer),
                lambda: node.disconnect(peer),
                lambda: node.call(peer, "x"),
                lambda: node.ping(peer),
                lambda: node.open_stream(peer, "x"),
                lambda: node.open_messages(peer, "x"),
            ):
                with pytest.raises(MisuseError, match="closed"):
                    await act()
            for act in (
                node.peers,
                lambda: node.connection(peer),
                lambda: node.add_contact(other.contact),
            ):
                with pytest.raises(MisuseError, match="closed"):
                    act()
            assert node.figures().outbound == 1
            async with asyncio.timeout(2):
                assert [event async for event in node.events()] == []

    async def test_a_dropped_watcher_is_forgotten_and_a_waiting_one_is_not(self):
        """
        A loop that was left costs nothing any more; a task that waits for an event gets it.
        """
        async with quiet_node() as node, quiet_node() as other:
            for _ in range(10):
                node.events()
            async with node.events() as watcher:
                assert len(node._watchers) >= 1
            with pytest.raises(StopAsyncIteration):
                await anext(watcher)
            del watcher
            gc.collect()
            assert len(node._watchers) == 0

            seen = []

            async def first():
                async for event in node.events():
                    seen.append(event.peer_id)
                    return

            asyncio.get_running_loop().create_task(first())  # Nobody else holds it.
            await asyncio.sleep(0)
            gc.collect()
            await node.connect(other.contact)
            await eventually(lambda: seen == [other.peer_id])
            gc.collect()
            assert len(node._watchers) == 0

    async def test_a_daemon_that_is_cancelled_as_its_node_starts_leaves_none(self):
        """
        In the very turn in which the start succeeded: nobody else could stop the node.
        """
        node = quiet_node()
        loop = asyncio.get_running_loop()
        task = loop.create_task(daemon._started(node, asyncio.Event()))
        start = Node._start

        async def and_cancel(self):
            await start(self)
            loop.call_soon(task.cancel)

        node._start = and_cancel.__get__(node)
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(MisuseError, match="closed"):
            node.peers()


class TestTimeouts:
    @pytest.mark.parametrize("timeout", [0, -1, float("nan")])
    async def test_no_time_is_misuse_connected_or_not(self, timeout):
        """
        Said before anybody is dialled.
        """
        async with quiet_node() as a, quiet_node() as b:
            b.handler("echo")(lambda _peer, data: data)
            with pytest.raises(InvalidTimeoutError):
                await a.call(b.contact, "echo", timeout=timeout)
            assert a.endpoint.connections == {}
            await a.connect(b.contact)
            with pytest.raises(InvalidTimeoutError):
                await a.call(b.peer_id, "echo", timeout=timeout)

    async def test_time_that_the_connection_took_is_a_time_out(self, monkeypatch):
        """
        Whether the connection failed in time or came too late.
        """
        async with quiet_node(dial_timeout_s=5) as a, quiet_node() as b:
            a.add_contact(contact_of(key := new_key(), [Multiaddr.from_ip("127.0.0.1", 9)]))
            with pytest.raises((CallTimeoutError, DialTimeoutError)):
                await a.call(key.peer_id, "echo", timeout=0.05)
            real = a._connection

            async def late(peer):
                connection = await real(peer)
                now = a.clock.monotonic
                monkeypatch.setattr(type(a.clock), "monotonic", lambda _: now() + 10)
                return connection

            a._connection = late
            with pytest.raises(CallTimeoutError):
                await a.call(b.contact, "echo", timeout=5)
