"""Addresses that others name for a peer."""

import pytest

from kontinuum.identity import Multiaddr
from kontinuum.node.named_addresses import ADDRESSES_MAX, Reach, fit_to_dial, reach_of


def address(text):
    """With a port."""
    return Multiaddr.parse(f"{text}/udp/4433/quic-v1")


LOOPBACK, LAN, WORLD = address("/ip4/127.0.0.1"), address("/ip4/192.168.1.9"), address("/ip4/8.8.4.4")
NAME = address("/dns4/internal.example")


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("/ip4/127.0.0.1", Reach.HOST),
        ("/ip6/::1", Reach.HOST),
        ("/ip4/10.0.0.1", Reach.NETWORK),
        ("/ip4/169.254.169.254", Reach.NETWORK),
        ("/ip4/100.64.0.1", Reach.NETWORK),
        ("/ip6/fd00::1", Reach.NETWORK),
        ("/ip6/fe80::1", Reach.NETWORK),
        ("/ip4/8.8.4.4", Reach.WORLD),
        ("/ip6/2606:4700::1", Reach.WORLD),
        ("/dns4/example.org", None),
    ],
)
def test_how_far_an_address_reaches(text, reach):
    """
    By what the registries say of its network; a name says nothing.
    """
    assert reach_of(address(text)) is reach


@pytest.mark.parametrize(
    ("own", "dialled"),
    [
        ([WORLD], [WORLD]),
        ([LAN, WORLD], [WORLD]),
        ([LAN], [LAN, WORLD]),
        ([LOOPBACK], [LOOPBACK, LAN, WORLD]),
        ([], [LAN, WORLD]),
    ],
)
def test_nothing_nearer_to_us_than_we_are_to_the_world_is_dialled(own, dialled):
    """
    A stranger cannot have a server look into the network behind it; names are never looked up.
    """
    assert fit_to_dial([NAME, LOOPBACK, LAN, WORLD], own) == tuple(dialled)


def test_so_many_addresses_and_no_more():
    """
    At the limit, and beyond it.
    """
    named = [address(f"/ip4/8.8.4.{number}") for number in range(1, ADDRESSES_MAX + 2)]
    assert fit_to_dial(named, [WORLD]) == tuple(named[:ADDRESSES_MAX])
