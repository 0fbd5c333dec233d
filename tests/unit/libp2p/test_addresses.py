"""Addresses of libp2p peers, as text and as bytes."""

import pytest

from helpers.identities import ALICE, BOB
from kontinuum.identity import BadAddressError, BadIdentityError, Multiaddr
from kontinuum.libp2p.addresses import (
    ADDRESS_TEXT_CHARS_MAX,
    PeerAddress,
    address_text,
    decode_address,
    encode_address,
    usable_addresses,
)
from kontinuum.libp2p.errors import AddressMisuseError
from kontinuum.wire.limits import MULTIADDR_BYTES_MAX

ID = ALICE.peer_id
HERE = Multiaddr.parse("/ip4/127.0.0.1/udp/45803/quic-v1")
P2P = bytes.fromhex("a50326") + ID.multihash
ADDRESSES = [
    "/ip4/127.0.0.1/udp/45803/quic-v1",
    "/ip6/2001:db8::1/udp/1/quic-v1",
    "/dns4/example.org/udp/65535/quic-v1",
    "/dns6/a.example/udp/4001/quic-v1",
]


def test_bytes_that_go_libp2p_sent():
    """
    The address of a capture.
    """
    assert encode_address(HERE) == bytes.fromhex("047f0000019102b2ebcd03")


@pytest.mark.parametrize("text", ADDRESSES)
def test_text_and_bytes_and_back(text):
    """
    With the peer's id and without, in both forms.
    """
    address = Multiaddr.parse(text)

    assert PeerAddress.parse(address_text(address, ID)) == PeerAddress(ID, (address,))
    assert decode_address(encode_address(address)) == ((address,), None)
    assert encode_address(address, ID) == encode_address(address) + P2P
    assert decode_address(encode_address(address, ID)) == ((address,), ID)


def test_a_name_of_both_families_is_two_addresses():
    """
    /dns/ is what others write for a name whose IPv6 and IPv4 addresses are both meant.
    """
    both = tuple(Multiaddr.parse(f"/{kind}/example.org/udp/4001/quic-v1") for kind in ("dns6", "dns4"))
    data = b"\x35\x0bexample.org" + bytes.fromhex("91020fa1cd03")

    assert PeerAddress.parse(f"/dns/example.org/udp/4001/quic-v1/p2p/{ID.libp2p}").addresses == both
    assert decode_address(data) == (both, None)
    assert decode_address(data + P2P) == (both, ID)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/ip4/192.0.2.1/udp/4001/quic-v1", "does not say whose"),
        ("/ip4/192.0.2.1/tcp/4001/p2p/ID", "QUIC, not TCP"),
        ("/ip4/192.0.2.1/udp/4001/quic/p2p/ID", "write /quic-v1"),
        ("/ip4/192.0.2.1/udp/4001/quic-v1/webtransport/p2p/ID", "looks like"),
        ("/ip4/192.0.2.1/udp/0/quic-v1/p2p/ID", "from 1 to 65535"),
        ("/ip4/0.0.0.0/udp/1/quic-v1/p2p/ID", "not the address of one host"),
        ("/dnsaddr/bootstrap.example/p2p/ID", "not looked up"),
        ("/ip4/192.0.2.1/udp/1/quic-v1/p2p/ID/p2p-circuit/p2p/ID", "relayed"),
        ("/ip4/192.0.2.1/udp/1/quic-v1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "RSA"),
        (
            "/ip4/192.0.2.1/udp/1/quic-v1/p2p/16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
            "secp256k1",
        ),
        ("/ip4/192.0.2.1/udp/1/quic-v1/p2p/HEX", "write the peer's id as 12D3KooW"),
        ("/ip4/192.0.2.1/udp/1/quic-v1/p2p/", "no identity"),
        ("/" + "x" * ADDRESS_TEXT_CHARS_MAX, "too many"),
    ],
)
def test_what_cannot_be_dialled_says_why(text, message):
    """
    Each refusal is a sentence for the person who typed it.
    """
    with pytest.raises(AddressMisuseError, match=message):
        PeerAddress.parse(text.replace("ID", ID.libp2p).replace("HEX", ID.hex()))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(P2P, id="a peer without a place"),
        pytest.param(encode_address(HERE)[:-1], id="cut off"),
        pytest.param(encode_address(HERE, ID)[:-1], id="its peer cut off"),
        pytest.param(encode_address(HERE, ID) + b"\x00", id="something behind it"),
        pytest.param(encode_address(HERE, ID) + P2P, id="two peers"),
        pytest.param(bytes.fromhex("047f000001060fa1"), id="TCP"),
        pytest.param(bytes.fromhex("047f00000191020fa1cc03"), id="the draft of QUIC"),
        pytest.param(encode_address(HERE) + bytes.fromhex("a50322") + b"\x12\x20" + b"x" * 32, id="RSA peer"),
        pytest.param(b"\x35\x0bexample.org" + bytes.fromhex("91020fa1cc03"), id="a name with the draft"),
        pytest.param(b"\x04" * (MULTIADDR_BYTES_MAX + 1), id="too long"),
    ],
)
def test_other_bytes_are_refused(data):
    """
    What is outside of the subset, in a second spelling, cut off or followed by something.
    """
    with pytest.raises(BadAddressError):
        decode_address(data)


def test_a_peer_id_that_is_no_key_is_refused():
    """
    An identity of small order is none, wherever it stands.
    """
    small_order = bytes.fromhex("002408011220") + b"\x01" + bytes(31)
    with pytest.raises(BadIdentityError):
        decode_address(encode_address(HERE) + bytes.fromhex("a50326") + small_order)


def test_of_a_list_those_count_that_we_can_dial():
    """
    Other kinds, other peers' addresses and repetitions are left out; the order stays.
    """
    other = Multiaddr.parse(ADDRESSES[1])
    listed = [
        bytes.fromhex("047f000001060fa1"),
        encode_address(other),
        encode_address(Multiaddr.parse(ADDRESSES[2]), BOB.peer_id),
        b"junk",
        encode_address(HERE, ID),
        encode_address(HERE),
    ]

    assert usable_addresses(listed, ID) == (other, HERE)
