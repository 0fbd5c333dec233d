from ipaddress import IPv4Address

import pytest

from kontinuum.identity import BadAddressError, Multiaddr
from kontinuum.wire.limits import DNS_NAME_CHARS_MAX, MULTIADDR_BYTES_MAX, MULTIADDR_TEXT_CHARS_MAX

LONGEST_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

GOOD = [
    ("/ip4/127.0.0.1/udp/1234/quic-v1", "047f000001910204d2cd03"),
    ("/ip4/192.0.2.1/udp/65535/quic-v1", "04c00002019102ffffcd03"),
    ("/ip6/::1/udp/1/quic-v1", "29000000000000000000000000000000019102" + "0001cd03"),
    ("/ip6/2001:db8::1/udp/4433/quic-v1", "2920010db80000000000000000000000019102" + "1151cd03"),
    ("/dns4/example.org/udp/4433/quic-v1", "360b6578616d706c652e6f726791021151cd03"),
    (
        "/dns6/xn--bcher-kva.example/udp/53/quic-v1",
        "3715786e2d2d62636865722d6b76612e6578616d706c6591020035cd03",
    ),
    ("/dns4/localhost/udp/4433/quic-v1", "36096c6f63616c686f737491021151cd03"),
]
"""Text and bytes; the codes are those of multiformats/multiaddr, protocols.csv; the first one extends
go-multiaddr's test vector for /ip4/127.0.0.1/udp/1234 (047f000001910204d2)."""


@pytest.mark.parametrize(("text", "encoded"), GOOD)
def test_text_and_bytes_go_both_ways(text, encoded):
    """
    One address has one text and one binary form.
    """
    address = Multiaddr.parse(text)

    assert str(address) == text
    assert address.encode().hex() == encoded
    assert Multiaddr.decode(bytes.fromhex(encoded)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "]",
        "/",
        "//////",
        "192.0.2.1:4433",
        "/ip4/192.0.2.1",
        "/ip4/192.0.2.1/udp/4433",
        "/ip4/192.0.2.1/udp/4433/quic",
        "/ip4/192.0.2.1/tcp/4433/quic-v1",
        "/ip4/192.0.2.1/udp/4433/quic-v1/",
        "/ip4/192.0.2.1/udp/4433/quic-v1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        " /ip4/192.0.2.1/udp/4433/quic-v1",
        "ip4/192.0.2.1/udp/4433/quic-v1",
        "/IP4/192.0.2.1/udp/4433/quic-v1",
        "/dns/example.org/udp/4433/quic-v1",
        "/dnsaddr/example.org/udp/4433/quic-v1",
        "/ip4/192.0.2.1/udp/0/quic-v1",
        "/ip4/192.0.2.1/udp/65536/quic-v1",
        "/ip4/192.0.2.1/udp/04433/quic-v1",
        "/ip4/192.0.2.1/udp/+4433/quic-v1",
        "/ip4/192.0.2.1/udp/-1/quic-v1",
        "/ip4/192.0.2.1/udp/٣/quic-v1",
        "/ip4/192.0.2.1/udp//quic-v1",
        "/ip4/192.0.2.01/udp/4433/quic-v1",
        "/ip4/192.0.2/udp/4433/quic-v1",
        "/ip4/3221225985/udp/4433/quic-v1",
        "/ip4/0.0.0.0/udp/4433/quic-v1",
        "/ip4/224.0.0.1/udp/4433/quic-v1",
        "/ip4/255.255.255.255/udp/4433/quic-v1",
        "/ip4/::1/udp/4433/quic-v1",
        "/ip4/example.org/udp/4433/quic-v1",
        "/ip6/::/udp/4433/quic-v1",
        "/ip6/ff02::1/udp/4433/quic-v1",
        "/ip6/::ffff:192.0.2.1/udp/4433/quic-v1",
        "/ip6/::ffff:c000:201/udp/4433/quic-v1",
        "/ip6/fe80::1%eth0/udp/4433/quic-v1",
        "/ip6/2001:DB8::1/udp/4433/quic-v1",
        "/ip6/2001:db8:0:0:0:0:0:1/udp/4433/quic-v1",
        "/ip6/[::1]/udp/4433/quic-v1",
        "/dns4//udp/4433/quic-v1",
        "/dns4/Example.org/udp/4433/quic-v1",
        "/dns4/example.org./udp/4433/quic-v1",
        "/dns4/.example.org/udp/4433/quic-v1",
        "/dns4/a..b/udp/4433/quic-v1",
        "/dns4/-a.example/udp/4433/quic-v1",
        "/dns4/a-.example/udp/4433/quic-v1",
        "/dns4/a_b.example/udp/4433/quic-v1",
        "/dns4/bücher.example/udp/4433/quic-v1",
        "/dns4/a b/udp/4433/quic-v1",
        "/dns4/a\n/udp/4433/quic-v1",
        "/dns4/a\0/udp/4433/quic-v1",
        "/dns4/192.0.2.1/udp/4433/quic-v1",
        "/dns4/" + "a" * 64 + "/udp/4433/quic-v1",
        "/dns4/" + LONGEST_NAME + "x/udp/4433/quic-v1",
        "/" * 10**6,
        "x" * (MULTIADDR_TEXT_CHARS_MAX + 1),
    ],
    ids=lambda text: repr(text[:50]),
)
def test_text_outside_the_subset_is_refused(text):
    """
    No free text, one shape, one spelling, one host, a real port.
    """
    with pytest.raises(BadAddressError):
        Multiaddr.parse(text)


def test_the_longest_name_and_beyond():
    """
    253 characters are a name, 254 are none, in both forms; the byte limit leaves room for the longest.
    """
    assert len(LONGEST_NAME) == DNS_NAME_CHARS_MAX
    address = Multiaddr("dns6", LONGEST_NAME, 65535)

    assert len(address.encode()) <= MULTIADDR_BYTES_MAX
    assert len(str(address)) <= MULTIADDR_TEXT_CHARS_MAX
    assert Multiaddr.decode(address.encode()) == Multiaddr.parse(str(address)) == address
    with pytest.raises(BadAddressError):
        Multiaddr("dns6", LONGEST_NAME + "e", 1)
    with pytest.raises(BadAddressError, match="more than"):
        Multiaddr.decode(bytes(MULTIADDR_BYTES_MAX + 1))


@pytest.mark.parametrize("encoded", [encoded for _, encoded in GOOD])
def test_bytes_that_are_cut_off_extended_or_changed_are_refused(encoded):
    """
    Every prefix, every byte too many: refused. Every changed byte: refused, or another valid address.
    """
    data = bytes.fromhex(encoded)
    for length in range(len(data)):
        with pytest.raises(BadAddressError):
            Multiaddr.decode(data[:length])
    with pytest.raises(BadAddressError):
        Multiaddr.decode(data + b"\0")
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            assert Multiaddr.decode(changed).encode() == changed
        except BadAddressError:
            continue


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "047f00000191020000cd03",
        "0400000000910204d2cd03",
        "048400" + "7f000001910204d2cd03",
        "067f000001910204d2cd03",
        "047f0000010604d2cd03",
        "047f000001910204d2cc03",
        "36" + "8b00" + "6578616d706c652e6f726791021151cd03",
        "36" + "ffffffffffffffff7f" + "61",
        "36" + "02c3bc" + "91021151cd03",
        "36" + "0161" + "910211",
        "29" + "00000000000000000000ffffc0000201" + "91021151cd03",
        "8400" + "7f000001910204d2cd03",
        "ff" * 20,
    ],
)
def test_bytes_outside_the_subset_are_refused(encoded):
    """
    Port 0, non-minimal varints, other protocols, huge lengths, IPv4 in IPv6, names beyond ASCII.
    """
    with pytest.raises(BadAddressError):
        Multiaddr.decode(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("192.0.2.1", "/ip4/192.0.2.1/udp/1/quic-v1"),
        ("::ffff:192.0.2.1", "/ip4/192.0.2.1/udp/1/quic-v1"),
        ("fe80::1%eth0", "/ip6/fe80::1/udp/1/quic-v1"),
        ("2001:0DB8::0001", "/ip6/2001:db8::1/udp/1/quic-v1"),
    ],
)
def test_what_sockets_report_becomes_the_only_spelling(host, text):
    """
    A dual-stack socket writes IPv4 inside IPv6 and adds zones; both are taken off.
    """
    assert str(Multiaddr.from_ip(host, 1)) == text


@pytest.mark.parametrize(
    "host", ["", "example.org", str(IPv4Address(0)), "::", "1.2.3.4.5", "x" * 10**6, "%", ":" * 100]
)
def test_what_is_no_host_is_refused(host):
    """
    From a socket as well, only the address of one host is one.
    """
    with pytest.raises(BadAddressError):
        Multiaddr.from_ip(host, 1)


@pytest.mark.parametrize("port", [True, 1.0, "1", None, 0, 65536])
def test_a_port_is_a_number(port):
    """
    Constructing checks as parsing does.
    """
    with pytest.raises(BadAddressError):
        Multiaddr("ip4", "192.0.2.1", port)
