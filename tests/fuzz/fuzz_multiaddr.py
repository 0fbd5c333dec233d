"""Any bytes and any text are an address with exactly that form, or a BadAddressError; nothing else."""

import os
import sys
from pathlib import Path

from kontinuum.identity import BadAddressError, Multiaddr

SEEDS = [
    bytes.fromhex("047f000001910204d2cd03"),
    bytes.fromhex("290000000000000000000000000000000191020001cd03"),
    bytes.fromhex("360b6578616d706c652e6f726791021151cd03"),
    b"/ip4/192.0.2.1/udp/4433/quic-v1",
    b"/ip6/2001:db8::1/udp/4433/quic-v1",
    b"/dns6/xn--bcher-kva.example/udp/53/quic-v1",
]


def fuzz(data: bytes) -> None:
    """One input, as bytes, as text and as what a socket reports."""
    try:
        address = Multiaddr.decode(data)
        assert address.encode() == data
        assert Multiaddr.parse(str(address)) == address
    except BadAddressError:
        pass
    text = data.decode(errors="replace")
    try:
        address = Multiaddr.parse(text)
        assert str(address) == text
        assert Multiaddr.decode(address.encode()) == address
    except BadAddressError:
        pass
    try:
        address = Multiaddr.from_ip(text, 1)
        assert Multiaddr.parse(str(address)) == address
    except BadAddressError:
        pass


if __name__ == "__main__":
    # In a fresh interpreter, where atheris can instrument our modules before anybody imports them.
    os.execv(  # noqa: S606  no shell is needed
        sys.executable, [sys.executable, str(Path(__file__).with_name("run.py")), "multiaddr", *sys.argv[1:]]
    )
