"""How nodes meet, keep one connection per pair, and bear with dead, hostile and many peers."""

import asyncio
import contextlib
import functools
import socket
from datetime import timedelta

import pytest

from helpers.nodes import eventually, happens, leftovers, pair, quiet_node, resident_bytes
from kontinuum import Contact, KeyPair, Multiaddr
from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import KontinuumError, PeerError, UnavailableError
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.errors import NoAddressError, PeerBackoffError
from kontinuum.node.events import PeerConnected, PeerLost
from kontinuum.node.introductions import CONTACTS, HELLO, encode_contacts
from kontinuum.rpc.links import RETIRE_GRACE_S, RETIRED_PER_PEER_MAX
from kontinuum.rpc.service import RpcService
from kontinuum.transport import CloseCode, Endpoint, TransportOptions
from kontinuum.transport.errors import (
    ConnectError,
    DialTimeoutError,
    NoCommonProtocolError,
    PeerRefusedError,
    WrongPeerError,
)


def contact_of(key_pair, addresses, **fields):
    """A contact of the network of ``quiet_node``."""
    at = SystemClock().utc()
    given = {
        "sequence": int(at.timestamp() * 1000),
        "issued_at": at,
        "proof": ProofOfWork(network_id("local"), key_pair.peer_id, 0),
        **fields,
    }
    return Contact.issue(key_pair, tuple(addresses), **given)


@contextlib.contextmanager
def black_holes(count):
    """Addresses that take packets and never answer."""
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        yield [Multiaddr.from_ip(*end.getsockname()) for end in ends]


def new_key():
    """A fresh identity."""
    return KeyPair.generate(SystemEntropy())


def seconds():
    """Now."""
    return asyncio.get_running_loop().time()


class TestDeadPeers:
    async def test_dead_peers_delay_nobody_else(self):
        """
        While a hundred dead peers are dialled, a live one is called as quickly as ever, and a node starts.
        """
        with black_holes(1) as [hole]:
            dead = [contact_of(new_key(), [hole]) for _ in range(100)]
            bootstrap = [contact.to_text() for contact in dead[:50]]
            async with quiet_node() as b:
                b.handler("echo")(lambda _peer, data: data)
                started = seconds()
                async with quiet_node(bootstrap=bootstrap, peers_wanted=64) as a:
                    assert seconds() - started < 2
                    calls = [asyncio.create_task(a.call(contact, "echo", timeout=3)) for contact in dead]
                    await asyncio.sleep(0)
                    before = seconds()
                    assert await a.call(b.contact, "echo", b"x") == b"x"
                    assert seconds() - before < 1
                    assert not any(call.done() for call in calls)
                    for call in calls:
                        call.cancel()
                    await asyncio.gather(*calls, return_exceptions=True)

    @pytest.mark.parametrize("position", [0, 1, 3, 15])
    async def test_a_live_address_among_dead_ones_is_found_quickly(self, position):
        """
        Addresses are raced: fifteen dead ones cost a bounded time, a few dead ones hardly any.
        """
        with black_holes(15) as holes:
            async with quiet_node(dial_timeout_s=10) as a, quiet_node() as b:
                b.handler("echo")(lambda _peer, data: data)
                addresses = [*holes[: min(position, 3)], *b.addresses, *holes[min(position, 3) : 15]]
                started = seconds()
                await a._neighbours.connection(b.peer_id, tuple(addresses))
                assert seconds() - started < 2
                assert await a.call(b.peer_id, "echo", b"x") == b"x"

    async def test_a_name_with_a_dead_and_a_live_address_is_raced(self, monkeypatch):
        """
        The first address of a DNS name may be dead; the second is tried beside it.
        """
        with black_holes(1) as [hole]:
            async with quiet_node(dial_timeout_s=10) as a, quiet_node() as b:

                async def resolve(address):
                    if address.kind == "dns4":
                        return [(hole.host, hole.port), b.endpoint.local_address]
                    return [(address.host, address.port)]

                monkeypatch.setattr("kontinuum.node.connector.resolve", resolve)
                started = seconds()
                await a._neighbours.connection(
                    b.peer_id, (Multiaddr.parse("/dns4/example.test/udp/1/quic-v1"),)
                )
                assert seconds() - started < 2

    async def test_a_peer_that_dials_us_ends_our_own_vain_dial(self):
        """
        A call to a peer at a dead address is answered as soon as that peer connects to us.
        """
        with black_holes(1) as [hole]:
            async with quiet_node(dial_timeout_s=30) as a, quiet_node() as b:
                b.handler("echo")(lambda _peer, data: data)
                a.add_contact(contact_of(b_key := new_key(), [hole]))
                async with quiet_node(key_pair=b_key) as c:
                    c.handler("echo")(lambda _peer, data: data)
                    call = asyncio.create_task(a.call(c.peer_id, "echo", b"x", timeout=10))
                    await asyncio.sleep(0.05)
                    assert not call.done()
                    await c.connect(a.contact)
                    async with asyncio.timeout(2):
                        assert await call == b"x"

    async def test_a_dead_peer_is_left_alone_for_a_while_and_found_when_it_lives(self):
        """
        Calls fail at once after a failure; a new contact, or the peer's own dial, ends that.
        """
        with black_holes(1) as [hole]:
            async with quiet_node(dial_timeout_s=0.2) as a, quiet_node() as b:
                key_pair = new_key()
                a.add_contact(contact_of(key_pair, [hole]))
                with pytest.raises(DialTimeoutError):
                    await a.call(key_pair.peer_id, "echo")
                started = seconds()
                with pytest.raises(PeerBackoffError) as caught:
                    await a.call(key_pair.peer_id, "echo")
                assert seconds() - started < 0.1
                assert 0 < caught.value.retry_after_s <= 1
                async with quiet_node(key_pair=key_pair) as c:
                    c.handler("echo")(lambda _peer, data: data)
                    assert await a.call(c.contact, "echo", b"x") == b"x"
                assert b.peers() == []


class TestOneConnection:
    async def test_simultaneous_dials_of_two_end_in_one_connection(self):
        """
        Thirty pairs dial each other at once and call all the while: one connection is left, no call fails.
        """
        await asyncio.gather(*(self._two_meet() for _ in range(30)))

    async def _two_meet(self):
        async with quiet_node() as a, quiet_node() as b:
            for node in (a, b):
                node.handler("echo")(lambda _peer, data: data)
            contacts = {a: a.contact, b: b.contact}
            await asyncio.gather(
                *(
                    one.call(contacts[other], "echo", b"%d" % n)
                    for n in range(5)
                    for one, other in ((a, b), (b, a))
                )
            )
            running = True

            async def keep_calling(one, other):
                count = 0
                while running:
                    assert await one.call(other.peer_id, "echo", b"x", timeout=5) == b"x"
                    count += 1
                    await asyncio.sleep(0.01)
                return count

            calls = [asyncio.create_task(keep_calling(*each)) for each in ((a, b), (b, a))]
            await eventually(
                lambda: len(a.endpoint.connections) == len(b.endpoint.connections) == 1, RETIRE_GRACE_S + 20
            )
            running = False
            assert min(await asyncio.gather(*calls)) > 0
            [ours], [theirs] = a.endpoint.connections.values(), b.endpoint.connections.values()
            assert ours.outbound != theirs.outbound
            assert ours.export_keying_material(b"t", b"", 16) == theirs.export_keying_material(b"t", b"", 16)

    @pytest.mark.slow
    async def test_five_nodes_that_all_dial_each_other_at_once(self):
        """
        Ten pairs, twenty dials, calls all the while: one connection per pair, every call answered.
        """
        async with contextlib.AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(quiet_node()) for _ in range(5)]
            for node in nodes:
                node.handler("echo")(lambda _peer, data: data)
            pairs = [(one, other) for one in nodes for other in nodes if one is not other]
            contacts = {node: node.contact for node in nodes}
            answers = await asyncio.gather(
                *(one.call(contacts[other], "echo", b"%d" % n) for n in range(20) for one, other in pairs)
            )
            assert len(answers) == 400
            running = True

            async def keep_calling(one, other):
                while running:
                    assert await one.call(other.peer_id, "echo", b"x", timeout=5) == b"x"
                    await asyncio.sleep(0.02)

            calls = [asyncio.create_task(keep_calling(*each)) for each in pairs]
            await eventually(
                lambda: all(len(node.endpoint.connections) == 4 for node in nodes), RETIRE_GRACE_S + 20
            )
            running = False
            await asyncio.gather(*calls)

    async def test_many_who_want_the_same_peer_share_one_dial(self):
        """
        A hundred calls at once make one connection; one who gives up does not end it for the others.
        """
        async with quiet_node() as a, quiet_node() as b:
            b.handler("echo")(lambda _peer, data: data)
            calls = [asyncio.create_task(a.call(b.contact, "echo", b"%d" % n)) for n in range(100)]
            await asyncio.sleep(0)
            calls[0].cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert results[1:] == [b"%d" % n for n in range(1, 100)]
            assert len(a.endpoint.connections) == len(b.endpoint.connections) == 1

    async def test_disconnecting_and_connecting_again(self):
        """
        Both sides hear of the end and of the new beginning, in order, fifty times.
        """
        async with quiet_node() as a, quiet_node() as b:
            b.handler("echo")(lambda _peer, data: data)
            ours, theirs = a.events(), b.events()
            for _ in range(50):
                assert await a.call(b.contact, "echo", b"x") == b"x"
                assert (await happens(ours, PeerConnected)).outbound
                assert not (await happens(theirs, PeerConnected)).outbound
                assert a.peers()[0].connected
                assert 0 < await a.ping(b.peer_id) < 5
                await a.disconnect(b.peer_id)
                assert (await happens(ours, PeerLost)).reason.code == CloseCode.NONE
                assert (await happens(theirs, PeerLost)).peer_id == a.peer_id
                assert not a.peers()[0].connected
            await a.disconnect(b.peer_id)

    async def test_events_end_with_the_node_and_are_bounded(self):
        """
        A watcher that does not read loses the oldest events and knows how many; one that waits is let go.
        """
        async with quiet_node() as a:
            lazy, waiting = a.events(), a.events()
            waiter = asyncio.create_task(anext(waiting))
            for number in range(1500):
                a._tell(PeerConnected(a.peer_id, ("127.0.0.1", number), outbound=True))
            assert lazy.dropped == 1500 - 1024
            assert (await anext(lazy)).address[1] == lazy.dropped
            assert (await waiter).address[1] == waiting.dropped
            waiting.close()
            waiter = asyncio.create_task(anext(a.events()))
            await asyncio.sleep(0)
        with pytest.raises(StopAsyncIteration):
            await waiter


class TestWrongPeers:
    async def test_another_key_than_the_expected_one(self):
        """
        Whoever answers at the address is refused when it does not hold the key; it learns that too.
        """
        async with quiet_node() as a, quiet_node() as b:
            with pytest.raises(WrongPeerError):
                await a.connect(new_key().peer_id, address=b.endpoint.local_address)
            assert a.endpoint.connections == {}
            await eventually(lambda: not b.endpoint.connections)

    async def test_an_unknown_protocol_ends_at_once(self):
        """
        Not in a time-out.
        """
        async with quiet_node() as a, quiet_node() as b:
            started = seconds()
            with pytest.raises(NoCommonProtocolError):
                await a.endpoint.dial(b.peer_id, b.endpoint.local_address, alpn="nope/1")
            assert seconds() - started < 2

    async def test_contacts_that_must_not_be_believed(self):
        """
        Expired, from the future, of another network, without work, forged: refused, and not kept.
        """
        at = SystemClock().utc()
        key_pair, somewhere = new_key(), [Multiaddr.parse("/ip4/127.0.0.1/udp/9/quic-v1")]
        foreign = ProofOfWork(network_id("elsewhere"), key_pair.peer_id, 0)
        bad = [
            contact_of(key_pair, somewhere, issued_at=at - timedelta(hours=25)),
            contact_of(key_pair, somewhere, issued_at=at + timedelta(minutes=5)),
            contact_of(key_pair, somewhere, proof=foreign),
        ]
        async with quiet_node() as a, quiet_node(pow_bits=20) as strict:
            for contact in bad:
                with pytest.raises(PeerError):
                    a.add_contact(contact)
                with pytest.raises(PeerError):
                    await a.call(contact, "echo")
            with pytest.raises(PeerError):
                strict.add_contact(contact_of(key_pair, somewhere))
            text = contact_of(key_pair, somewhere).to_text()
            for position in range(15, len(text), 7):
                forged = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
                with pytest.raises(KontinuumError):
                    a.add_contact(forged)
            assert a.peers() == strict.peers() == []
            with pytest.raises(NoAddressError):
                await a.connect(key_pair.peer_id)

    async def test_hostile_introductions_cost_nothing(self):
        """
        Giant lists, forged contacts, other networks, garbage and silence: nothing is learned, nothing breaks.
        """
        hole = [Multiaddr.parse("/ip4/127.0.0.1/udp/9/quic-v1")]
        foreign = new_key()
        answers = [
            b"",
            b"\xff" * 1000,
            bytes(2**20),
            b"\x9a\xff\xff\xff\xff",
            b"\x9b" + b"\xff" * 8,
            b"\x81" * 100_000,
            encode_contacts(
                [contact_of(foreign, hole, proof=ProofOfWork(network_id("x"), foreign.peer_id, 0))]
            ),
            b"\x81\x58\x20" + bytes(32),
        ]
        liars = set()
        async with quiet_node(peers_wanted=4) as victim:
            for answer in answers:
                async with hostile_node(answer) as liar:
                    watcher = victim.events()
                    await victim.connect(liar.peer_id, address=liar.local_address)
                    await eventually(lambda: liar.asked >= 2, within_s=5)
                    assert {peer.peer_id for peer in victim.peers()} <= {liar.peer_id, *liars}
                    liars.add(liar.peer_id)
                    watcher.close()
            async with quiet_node() as honest:
                assert (await victim.connect(honest.contact)).connected
                for data in answers:
                    await honest.call(victim.contact, HELLO, data)
                    await honest.call(victim.contact, CONTACTS, data)
                assert len(await honest.call(victim.contact, CONTACTS)) < 40_000
                await eventually(
                    lambda: {peer.peer_id for peer in victim.peers()} == {honest.peer_id, *liars}
                )

    async def test_a_peer_cannot_speak_for_others_in_its_greeting(self):
        """
        A greeting is one's own contact; another's is ignored there.
        """
        async with pair() as (a, b):
            other = contact_of(new_key(), [Multiaddr.parse("/ip4/127.0.0.1/udp/9/quic-v1")])
            await a.call(b.peer_id, HELLO, other.encode())
            assert other.peer_id not in {peer.peer_id for peer in b.peers()}


class _Liar:
    """A peer that answers introductions with bytes of its choice."""

    def __init__(self, endpoint):
        self.peer_id, self.local_address = endpoint.peer_id, endpoint.local_address
        self.asked = 0


@contextlib.asynccontextmanager
async def hostile_node(answer):
    """A peer whose every introduction is ``answer``."""
    rpc = RpcService()
    rpc.start()
    key_pair = new_key()
    async with Endpoint(key_pair, ("127.0.0.1", 0), rpc) as endpoint:
        liar = _Liar(endpoint)

        def hello(_peer, _data):
            liar.asked += 1
            # The greeting must be right for the dialler to go on and ask for others.
            return contact_of(key_pair, [Multiaddr.from_ip(*endpoint.local_address)]).encode()

        def contacts(_peer, _data):
            liar.asked += 1
            return answer

        rpc.add_handler(HELLO, hello)
        rpc.add_handler(CONTACTS, contacts)
        yield liar
        await rpc.close()


class TestMany:
    async def test_the_least_useful_idle_connection_makes_room(self):
        """
        At the limit the inbound one that was unused for longest goes; busy and dialled ones stay.
        """
        async with contextlib.AsyncExitStack() as stack:
            hub = await stack.enter_async_context(quiet_node(max_connections=5))
            gate = asyncio.Event()
            hub.handler("echo")(lambda _peer, data: data)

            @hub.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            friend = await stack.enter_async_context(quiet_node())
            await hub.connect(friend.contact)  # Dialled: wanted.
            busy, active, idle, idle_too, newcomer = [
                await stack.enter_async_context(quiet_node()) for _ in range(5)
            ]
            await busy.connect(hub.contact)
            call = asyncio.create_task(busy.call(hub.contact, "wait"))
            await active.connect(hub.contact)
            await idle.connect(hub.contact)
            await eventually(lambda: hub.connection(idle.peer_id))
            await idle_too.connect(hub.contact)
            await eventually(lambda: hub.connection(idle_too.peer_id))
            await asyncio.sleep(0.1)  # The introductions are over.
            for caller in (idle_too, active):
                assert await caller.call(hub.contact, "echo", b"x") == b"x"
            lost = idle.events()
            assert await newcomer.call(hub.contact, "echo", b"x") == b"x"
            assert (await happens(lost, PeerLost)).reason.code == CloseCode.EVICTED
            assert {peer.peer_id for peer in hub.peers() if peer.connected} == {
                node.peer_id for node in (friend, busy, active, idle_too, newcomer)
            }
            assert hub.figures().evicted == 1
            gate.set()
            assert await call == b""

    async def test_when_all_are_busy_the_newcomer_is_refused(self):
        """
        Nobody who works is thrown out; the newcomer learns why.
        """
        async with quiet_node(max_connections=1) as hub, quiet_node() as a, quiet_node() as b:
            gate = asyncio.Event()

            @hub.handler("wait")
            async def wait(_peer, _data):
                await gate.wait()

            call = asyncio.create_task(a.call(hub.contact, "wait"))
            await eventually(lambda: hub.figures().handlers == 1)
            watcher = b.events()
            await b.connect(hub.contact)
            assert (await happens(watcher, PeerLost)).reason.code == CloseCode.FULL
            gate.set()
            assert await call == b""

    async def test_handshakes_from_one_address_are_limited_and_counted(self):
        """
        Beyond the burst an address must prove itself, beyond that it is refused; others notice nothing.
        """
        limits = {"handshakes_per_ip_per_s": 1.0, "handshakes_per_ip_burst": 5}
        async with pair(there=limits) as (a, b):
            b.handler("echo")(lambda _peer, data: data)
            async with contextlib.AsyncExitStack() as stack:
                others = [await stack.enter_async_context(quiet_node()) for _ in range(20)]
                results = await asyncio.gather(
                    *(other.connect(b.contact) for other in others), return_exceptions=True
                )
                refused = [result for result in results if isinstance(result, PeerRefusedError)]
                assert all(
                    isinstance(result, ConnectError) for result in results if isinstance(result, Exception)
                )
                counters = b.endpoint.native.counters()
                assert refused
                assert counters["handshakes_retried"] > 0
                assert counters["handshakes_refused"] >= len(refused)
                assert await a.call(b.peer_id, "echo", b"x") == b"x"

    async def test_one_identity_cannot_hold_many_connections(self):
        """
        A hundred connections of one peer: a few are kept, the rest is closed at once, others notice nothing.
        """
        async with pair() as (friend, hub):
            hub.handler("echo")(lambda _peer, data: data)
            rpc = RpcService()
            rpc.start()
            async with Endpoint(new_key(), ("127.0.0.1", 0), rpc) as flood:
                dials = [flood.dial(hub.peer_id, hub.endpoint.local_address) for _ in range(100)]
                await asyncio.gather(*dials)
                await eventually(lambda: len(hub.endpoint.connections) <= 2 + RETIRED_PER_PEER_MAX)
                await eventually(lambda: len(flood.connections) <= 1 + RETIRED_PER_PEER_MAX)
                [last] = [each for each in flood.connections.values() if each.id == max(flood.connections)]
                assert await rpc.call(last, "echo", b"x", 5) == b"x"
                assert await friend.call(hub.peer_id, "echo", b"x") == b"x"
            await rpc.close()

    @pytest.mark.slow
    async def test_two_thousand_connections_at_once(self):
        """
        Two thousand connections of one process begin at once. Those whose last packet the kernel drops are
        told so and come in when they try again. Each costs less than 150 kB on both sides together, another
        peer is served meanwhile, and all of it is given back.
        """
        count = 2000
        wide = TransportOptions(
            handshakes_per_ip_per_s=1e5,
            handshakes_per_ip_burst=100_000,
            half_open_max=4096,
            connections_max=4096,
        )
        rpcs = [RpcService() for _ in range(3)]
        for rpc in rpcs:
            rpc.add_handler("echo", lambda _peer, data: data)
            rpc.start()
        here = ("127.0.0.1", 0)
        async with (
            Endpoint(new_key(), here, rpcs[0], wide) as hub,
            Endpoint(new_key(), here, rpcs[1], wide) as flood,
            Endpoint(new_key(), here, rpcs[2], wide) as friend,
        ):
            line = await friend.dial(hub.peer_id, hub.local_address)
            before = resident_bytes()
            dial = functools.partial(flood.dial, hub.peer_id, hub.local_address, timeout_s=60)
            dials = [asyncio.create_task(dial()) for _ in range(count)]
            slowest = 0.0
            while not all(task.done() for task in dials):
                started = seconds()
                assert await rpcs[2].call(line, "echo", b"x", 30) == b"x"
                slowest = max(slowest, seconds() - started)
                await asyncio.sleep(0.01)
            await asyncio.gather(*dials)
            while (missing := count + 1 - len(hub.connections)) > 0:
                await eventually(lambda: hub.native.counters()["half_open"] == 0, within_s=20)
                missing = count + 1 - len(hub.connections)
                await asyncio.gather(*(dial() for _ in range(missing)))
            each = (resident_bytes() - before) / count
            assert each < 150_000, f"{each / 1000:.0f} kB"
            assert slowest < 5, f"{slowest:.2f} s"
            calls = [rpcs[1].call(one, "echo", b"x", 10) for one in list(flood.connections.values())]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert answers.count(b"x") >= count
            assert all(answer == b"x" or isinstance(answer, UnavailableError) for answer in answers)
            for connection in list(flood.connections.values()):
                connection.close()
            await eventually(lambda: len(hub.connections) == 1, within_s=20)
            assert await rpcs[2].call(line, "echo", b"x", 5) == b"x"
        for rpc in rpcs:
            await rpc.close()


class TestMesh:
    async def test_five_nodes_with_one_bootstrap_know_each_other(self):
        """
        Peers learn of each other from peers: within seconds everyone is connected with everyone, once.
        """
        before = leftovers()
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(quiet_node(peers_wanted=8))
            bootstrap = [first.contact.to_text()]
            others = [quiet_node(peers_wanted=8, bootstrap=bootstrap) for _ in range(4)]
            await asyncio.gather(*(stack.enter_async_context(node) for node in others))
            nodes = [first, *others]
            await eventually(
                lambda: all(sum(peer.connected for peer in node.peers()) == 4 for node in nodes), within_s=5
            )
            await eventually(
                lambda: all(len(node.endpoint.connections) == 4 for node in nodes), RETIRE_GRACE_S + 10
            )
        await eventually(lambda: not leftovers(before))
