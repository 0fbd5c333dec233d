"""Two nodes find each other by real multicast on this machine, among records that make no sense."""

import asyncio
import contextlib
import socket
from datetime import UTC, datetime

import pytest

from kontinuum.identity.contact import Contact
from kontinuum.identity.keys import KeyPair
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node.discovery import SERVICE_TYPE, MdnsDiscovery, encode_txt

pytestmark = pytest.mark.slow

NETWORK = network_id("mdns-test")
INTERFACE = "127.0.0.1"


@pytest.fixture(autouse=True)
def multicast():
    """Skip where the loopback interface does not carry multicast."""
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        try:
            group = socket.inet_aton("224.0.0.251") + socket.inet_aton(INTERFACE)
            receiver.bind(("", 0))
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            receiver.settimeout(1)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE))
            sender.sendto(b"probe", ("224.0.0.251", receiver.getsockname()[1]))
            receiver.recv(16)
        except OSError as error:
            pytest.skip(f"the loopback interface carries no multicast here: {error}")


def contact(number, sequence=1):
    """A fresh contact of peer ``number``."""
    key = KeyPair.from_seed(number.to_bytes(32, "big"))
    address = Multiaddr.parse(f"/ip4/127.0.0.1/udp/{4000 + number}/quic-v1")
    proof = ProofOfWork(NETWORK, key.peer_id, 0)
    return Contact.issue(key, [address], sequence=sequence, issued_at=datetime.now(UTC), proof=proof)


class Neighbour:
    """A node on the local network."""

    def __init__(self, number, network=NETWORK):
        self.contact = contact(number)
        self.found = asyncio.Queue()
        self.discovery = MdnsDiscovery(
            lambda: self.contact,
            self.found.put_nowait,
            network_id=network,
            pow_bits=0,
            interfaces=[INTERFACE],
        )

    async def hears(self, contact):
        """Wait until this contact is reported."""
        async with asyncio.timeout(20):
            while await self.found.get() != contact:
                pass


async def test_two_nodes_find_each_other_and_hear_of_changes():
    """Each reports the other's signed contact, and again when it changed."""
    one, two = Neighbour(1), Neighbour(2)
    async with one.discovery, two.discovery:
        await asyncio.gather(one.hears(two.contact), two.hears(one.contact))

        one.contact = contact(1, sequence=2)
        one.discovery.refresh()
        await two.hears(one.contact)


async def test_a_node_with_another_identity_is_found_by_that():
    """
    By those who knew it before, and by those who come later, who hear of no former one.
    """
    one, two, three = Neighbour(1), Neighbour(2), Neighbour(3)
    async with one.discovery, two.discovery:
        await two.hears(one.contact)
        former, one.contact = one.contact, contact(11)
        one.discovery.refresh()
        await two.hears(one.contact)
        async with three.discovery:
            heard = []
            async with asyncio.timeout(20):
                while one.contact not in heard:
                    heard.append(await three.found.get())
            assert former not in heard


async def test_hostile_records_do_not_keep_nodes_from_finding_each_other():
    """Rubbish, a forged contact and another network are announced; nothing of them is reported."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf  # noqa: PLC0415

    stranger = AsyncZeroconf(interfaces=[INTERFACE])
    forged = encode_txt(contact(3))
    forged["c0"] = forged["c0"][:-4] + "AAAA"
    records = [
        {"n": NETWORK.hex()[:16]},
        {"n": NETWORK.hex()[:16], "c0": b"\xff" * 200},
        forged,
        {"n": "other"},
    ]
    one, two = Neighbour(1), Neighbour(2)
    try:
        for number, record in enumerate(records):
            info = AsyncServiceInfo(
                SERVICE_TYPE, f"evil{number}.{SERVICE_TYPE}", port=1, properties=record, server="evil.local."
            )
            await stranger.async_register_service(info, cooperating_responders=True)
        async with one.discovery, two.discovery:
            await asyncio.gather(one.hears(two.contact), two.hears(one.contact))
            assert one.found.empty() or {await one.found.get()} == {two.contact}
    finally:
        await stranger.async_close()


async def test_closing_twice_and_without_a_start_is_harmless():
    """A node that stops early leaves nothing behind."""
    neighbour = Neighbour(1)
    await neighbour.discovery.close()
    await neighbour.discovery.start()
    await neighbour.discovery.close()
    await neighbour.discovery.close()
