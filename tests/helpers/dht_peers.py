"""Many cheap peers for tests of the DHT; always the same, so that failures repeat.

Real contacts with real signatures, but without work (zero bits): some 100 us for each, and once only.
"""

from functools import cache
from ipaddress import ip_address

from helpers.identities import NETWORK, contact_of
from kontinuum.dht.keys import KadKey
from kontinuum.dht.peer import Peer
from kontinuum.identity import Contact, KeyPair, Multiaddr, ProofOfWork


def ip_of(number: int) -> str:
    """The address of peer ``number``: on the internet, in a /24 of its own and one of 256 /16 (or more)."""
    return f"{20 + (number >> 16) % 80}.{number & 255}.{number >> 8 & 255}.1"


@cache
def key_pair(number: int) -> KeyPair:
    """The key pair of peer ``number``."""
    return KeyPair.from_seed(number.to_bytes(32))


@cache
def contact(number: int, ip: str | None = None, sequence: int = 1) -> Contact:
    """The contact of peer ``number``, at ``ip_of(number)`` or elsewhere, issued at noon."""
    pair = key_pair(number)
    host = ip or ip_of(number)
    kind = f"ip{ip_address(host).version}"
    return contact_of(
        pair,
        addresses=[Multiaddr.parse(f"/{kind}/{host}/udp/4433/quic-v1")],
        sequence=sequence,
        proof=ProofOfWork(NETWORK, pair.peer_id, 0),
    )


@cache
def peer(number: int, ip: str | None = None, sequence: int = 1) -> Peer:
    """Peer ``number``: the same object each time for the same arguments."""
    issued = contact(number, ip, sequence)
    return Peer(issued, issued.encode())


def peers(count: int, first: int = 0) -> list[Peer]:
    """Peers ``first`` to ``first + count - 1``, each in a /24 of its own, anywhere in the key space."""
    return [peer(number) for number in range(first, first + count)]


def placed(number: int, key: KadKey, ip: str | None = None, sequence: int = 1) -> Peer:
    """Peer ``number`` at a place of the key space that one would have to grind for: a new object."""
    issued = contact(number, ip, sequence)
    made = Peer(issued, issued.encode())
    made.key = key
    return made
