"""How nodes meet, and keep one connection per pair."""

import asyncio
import contextlib

import pytest

from helpers.nodes import eventually, happens, leftovers, quiet_node
from kontinuum.node.events import PeerConnected, PeerLost
from kontinuum.rpc.links import RETIRE_GRACE_S
from kontinuum.transport import CloseCode


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
