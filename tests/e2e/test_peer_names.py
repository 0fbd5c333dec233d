"""How a peer is named in a call, and which names mean nobody."""

import functools

import pytest

from helpers.handlers import echo
from helpers.nodes import quiet_node
from kontinuum import Contact, PeerId
from kontinuum.base.errors import KontinuumError
from kontinuum.node.errors import NoAddressError, UnknownPeerError


class TestNames:
    async def test_every_form_of_naming_a_peer_works(self):
        """
        The identity, both of its texts, the contact and its text mean the same peer.
        """
        async with quiet_node() as a, quiet_node() as b:
            b.handler("echo")(echo)
            forms = [b.contact.to_text(), b.contact, b.peer_id, b.peer_id.hex(), b.peer_id.libp2p]
            for form in (*forms, b.peer_id.hex().upper()):
                assert await a.call(form, "echo", b"x") == b"x"
                assert (await a.connect(form)).peer_id == b.peer_id
            assert len(a.endpoint.connections) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "hello",
            "00",
            "g" * 64,
            "0" * 64,
            "01" + "0" * 62,
            "12D3KooW",
            "kontinuum:",
            "kontinuum:AAAA",
            "é" * 64,
        ],
    )
    async def test_a_text_that_names_nobody_is_the_callers_mistake(self, text):
        """
        It is refused with an error of ours, at once.
        """
        async with quiet_node() as a:
            for act in (a.connect, a.ping, functools.partial(a.call, protocol="x"), a.disconnect):
                with pytest.raises(KontinuumError):
                    await act(text)

    @pytest.mark.parametrize("peer", [None, 5, b"x" * 32, ["a"]])
    async def test_what_is_no_name_at_all_is_misuse(self, peer):
        """
        A wrong type gives an error that says what is expected.
        """
        async with quiet_node() as a:
            with pytest.raises(UnknownPeerError):
                await a.call(peer, "x")

    async def test_oneself_and_strangers(self):
        """
        A node does not dial itself, not even at a given address; an unknown identity has no address.
        """
        async with quiet_node() as a, quiet_node() as b:
            for peer in (a.peer_id, a.contact, a.peer_id.hex()):
                with pytest.raises(UnknownPeerError):
                    await a.connect(peer)
                with pytest.raises(UnknownPeerError):
                    await a.connect(peer, address=a.endpoint.local_address)
            with pytest.raises(NoAddressError):
                await a.call(b.peer_id, "x")
            assert (await a.connect(b.peer_id, address=b.endpoint.local_address)).connected
            assert isinstance(b.contact, Contact)
            assert isinstance(a.peer_id, PeerId)
