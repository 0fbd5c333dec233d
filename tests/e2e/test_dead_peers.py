"""Peers and addresses that do not answer: they delay nobody, and are found when they live again."""

import asyncio

import pytest

from helpers.nodes import quiet_node, seconds
from helpers.peers import black_holes, contact_of, new_key
from kontinuum import Multiaddr
from kontinuum.node.errors import PeerBackoffError
from kontinuum.transport.errors import DialTimeoutError


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
