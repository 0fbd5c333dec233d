"""Peers that exist only as a key, a contact or an address that never answers."""

import contextlib
import socket

from kontinuum import Contact, KeyPair, Multiaddr
from kontinuum.base.clock import SystemClock
from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity.pow import ProofOfWork, network_id


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
