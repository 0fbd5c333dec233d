"""Peers that are not who they should be, or say what is not true."""

import contextlib
from datetime import timedelta

import pytest

from helpers.nodes import eventually, pair, quiet_node, seconds
from helpers.peers import contact_of, new_key
from kontinuum import Multiaddr
from kontinuum.base.clock import SystemClock
from kontinuum.base.errors import KontinuumError, PeerError
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.errors import NoAddressError
from kontinuum.node.introductions import CONTACTS, HELLO, encode_contacts
from kontinuum.rpc.service import RpcService
from kontinuum.transport import Endpoint
from kontinuum.transport.errors import NoCommonProtocolError, WrongPeerError


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
