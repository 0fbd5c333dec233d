"""Handshakes over real sockets: who gets in, what both sides learn when not, and what an onlooker reads."""

import asyncio
import logging
import socket

import pytest
from aioquic.buffer import Buffer
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import pull_quic_header

from helpers.nodes import eventually, quiet_node
from kontinuum import KeyPair, _native
from kontinuum.base.entropy import SystemEntropy
from kontinuum.transport.errors import NoCommonProtocolError, WrongPeerError

SOON_S = 2.0
"""Far below a dial's time-out of 10 s, and room for a busy machine."""


@pytest.fixture
def failures(caplog):
    """The reasons of handshakes that failed at the node that was dialled, as its log has them."""
    caplog.set_level(logging.DEBUG, logger="kontinuum.transport")
    return lambda: [record.reason for record in caplog.records if record.message == "a handshake failed"]


async def test_both_sides_know_the_verified_peer():
    """
    After the handshake each has the other's identity, and both show the post-quantum key exchange.
    """
    async with quiet_node() as alice, quiet_node() as bob:
        await alice.connect(bob.contact)
        theirs = await eventually(lambda: bob.connection(alice.peer_id))

        assert alice.connection(bob.peer_id).peer_id == bob.peer_id
        assert theirs.peer_id == alice.peer_id
        assert (theirs.key_exchange, theirs.alpn) == ("X25519MLKEM768", "kontinuum/1")


async def test_a_node_without_post_quantum_cryptography_is_understood():
    """
    Where one side offers X25519 alone, that is used, and shown.
    """
    async with quiet_node(post_quantum=False) as alice, quiet_node() as bob:
        await alice.connect(bob.contact)

        assert alice.connection(bob.peer_id).key_exchange == "X25519"


async def test_who_holds_another_key_is_refused_with_an_error_of_its_own_on_both_sides(failures):
    """
    The dialler expects somebody else at this address: both hear so at once, and the right one still gets in.
    """
    stranger = KeyPair.generate(SystemEntropy()).peer_id
    async with quiet_node() as alice, quiet_node() as bob:
        address = bob.endpoint.local_address
        started = alice.clock.monotonic()

        with pytest.raises(WrongPeerError):
            await alice.connect(stranger, address=address)

        assert alice.clock.monotonic() - started < SOON_S
        (reason,) = await eventually(failures)
        assert "0x12a" in reason  # TLS alert 42
        assert bob.peers() == []
        await alice.connect(bob.peer_id, address=address)


@pytest.mark.parametrize("post_quantum", [True, False], ids=["two packets", "one packet"])
async def test_an_unknown_protocol_is_told_within_a_round_trip(failures, post_quantum):
    """
    No common ALPN is an error at once, not a time-out, also where the ClientHello spans two packets.
    """
    async with quiet_node(post_quantum=post_quantum) as alice, quiet_node() as bob:
        started = alice.clock.monotonic()

        with pytest.raises(NoCommonProtocolError):
            await alice.endpoint.dial(bob.peer_id, bob.endpoint.local_address, alpn="other/9")

        assert alice.clock.monotonic() - started < SOON_S
        (reason,) = await eventually(failures)
        assert "0x178" in reason  # TLS alert 120


async def test_while_handshakes_hang_others_prove_their_address_and_get_in():
    """
    Beyond half_open_max unfinished handshakes a dialler is asked to prove its address (Retry), and does so.
    """
    loop = asyncio.get_running_loop()
    async with quiet_node() as alice, quiet_node(half_open_max=1) as bob:
        counters = bob.endpoint.native.counters
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hanging:
            hanging.setblocking(False)  # noqa: FBT003 -- the standard library's signature
            first, *_rest = first_flight(KeyPair.generate(SystemEntropy()), bob.peer_id)
            await loop.sock_sendto(hanging, first, bob.endpoint.local_address)
            await eventually(lambda: counters()["handshakes_accepted"])

            await alice.connect(bob.contact)

        assert counters()["handshakes_retried"] >= 1


def first_flight(key_pair, expected):
    """The datagrams with which a dialler begins; a post-quantum ClientHello needs two."""
    engine = _native.Endpoint(key_pair.seed, None, {})
    engine.connect(1, "192.0.2.1", 4433, expected)
    _, outgoing, _ = engine.drive(0.0)
    return [datagram for _, datagrams in outgoing for datagram in datagrams]


def client_hello(datagrams):
    """What an onlooker reads of the first flight: everybody can make the keys of its packets."""
    plain = b""
    crypto = CryptoPair()
    for datagram in datagrams:
        buffer = Buffer(data=datagram)
        header = pull_quic_header(buffer, host_cid_length=8)
        if not plain:
            crypto.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
        plain += crypto.decrypt_packet(datagram[: header.packet_length], buffer.tell(), 0)[1]
    return plain


def test_the_first_flight_names_no_identity():
    """
    Neither the dialler's key nor the one that it expects, nor any server name, is readable from outside.
    """
    ours, theirs = KeyPair.generate(SystemEntropy()), KeyPair.generate(SystemEntropy())

    hello = client_hello(first_flight(ours, theirs.peer_id))

    assert b"kontinuum/1" in hello, "this is the ClientHello"
    for key in (ours.peer_id, theirs.peer_id):
        assert bytes(key) not in hello
        assert key.hex()[:16].encode() not in hello
    assert b".invalid" not in hello
