"""What people on the path see, and what strangers off it can do: nothing that names or disturbs anybody."""

import random

import pytest

from helpers.initial_packets import client_hello, extensions, open_initial
from helpers.packet_net import CLOSED, CONNECTED, Application, Host, PacketNet

SERVER_NAME, ALPN, RAW_SERVER_KEY = 0, 16, 20


def recorded(net: PacketNet, source: Host, to: Host) -> list[bytes]:
    """A list that fills with what ``source`` sends to ``to``."""
    seen: list[bytes] = []

    def note(datagram: bytes) -> bool:
        seen.append(datagram)
        return False

    net.link(source.addresses[0], to.addresses[0]).drop = note
    return seen


@pytest.mark.parametrize("post_quantum", [True, False], ids=["hybrid", "X25519"])
def test_no_packet_of_a_handshake_shows_an_identity(post_quantum):
    """
    Whoever opens the Initial packets, which anybody can, finds no server name and neither of the two keys, in
    bytes, hex or base58; the rest of the handshake is encrypted.
    """
    net = PacketNet()
    alice, bob = net.host("alice", post_quantum=post_quantum), net.host("bob")
    sent, received = recorded(net, alice, bob), recorded(net, bob, alice)
    net.connect(alice, bob)
    net.run(1)
    hello = client_hello(sent[: 2 if post_quantum else 1])
    found = extensions(hello)

    assert found[ALPN] == b"\0\x0c\x0bkontinuum/1"
    assert SERVER_NAME not in found
    original = sent[0][6 : 6 + sent[0][5]]
    opened = [hello, open_initial(received[0], original)]
    for key in (alice.native.public_key, bob.native.public_key):
        for text in (key, key.hex().encode(), key[:16].hex().encode(), key[16:].hex().encode()):
            assert not any(text.lower() in data.lower() for data in opened + sent + received)


def test_a_wrong_pin_fails_on_both_sides_with_the_alert_that_says_so():
    """
    The dialler expects another key than the one that answers: both sides see it end with alert 42.
    """
    net = PacketNet()
    alice, bob, carol = net.host("alice"), net.host("bob"), net.host("carol")
    alice.native.connect(5, *bob.addresses[0], carol.native.public_key)
    net.run(5)

    assert not alice.of(CONNECTED) + bob.of(CONNECTED)
    assert [event[2:5] for event in alice.of(CLOSED)] == [(5, 3, 0x100 + 42)]
    assert [event[2:5] for event in bob.of(CLOSED)] == [(None, 2, 0x100 + 42)]
    net.run(20)
    assert [host.native.counters()["connections"] for host in (alice, bob)] == [0, 0]


class Conversation:
    """Two peers in the middle of something, and what each has sent so far."""

    def __init__(self) -> None:
        self.net = PacketNet(7)
        self.alice, self.bob = self.net.host("alice"), self.net.host("bob")
        self.to_bob = recorded(self.net, self.alice, self.bob)
        self.to_alice = recorded(self.net, self.bob, self.alice)
        self.ours, _ = self.net.connect(self.alice, self.bob)
        self.near, self.far = Application(self.alice), Application(self.bob)
        self.token = 0
        self.talk()

    def talk(self, within_s: float = 1.0) -> None:
        """A call of three packets."""
        self.token += 1
        self.alice.native.call(self.ours, self.token, b"echo", 0, b"x" * 3000)
        self.net.run(until=lambda: self.token in self.near.replies, for_s=within_s)
        assert self.near.replies[self.token] == (0, b"x" * 3000)

    def undisturbed(self) -> None:
        """The connection is as before, calls take no longer, and nothing was accepted twice."""
        self.talk(within_s=0.2)
        assert len(self.far.calls) == self.token
        assert not self.near.closed + self.far.closed
        for host in (self.alice, self.bob):
            assert host.native.counters()["connections"] == 1
            assert len(host.of(CONNECTED)) == 1


@pytest.mark.parametrize("from_path", [True, False], ids=["from the peer's address", "from elsewhere"])
@pytest.mark.parametrize("way", ["replayed", "truncated", "flipped", "extended", "joined"])
def test_packets_that_were_seen_before_or_changed_do_not_disturb(way, from_path):
    """
    Every packet of a conversation comes again: whole, cut, with a bit flipped, with bytes or a packet behind
    it; from the address of the peer and from another one. Calls go on as before.
    """
    talk = Conversation()
    rng = random.Random(1)  # noqa: S311 -- chance of a test
    talk.net.run(1)
    packets = list(talk.to_bob)
    for datagram in packets:
        position = rng.randrange(len(datagram))
        changed = {
            "replayed": datagram,
            "truncated": datagram[:position],
            "flipped": datagram[:position]
            + bytes([datagram[position] ^ 1 << rng.randrange(8)])
            + datagram[position + 1 :],
            "extended": datagram + bytes(50),
            "joined": datagram + packets[0],
        }[way]
        source = talk.alice.addresses[0] if from_path else ("192.0.2.99", 1000)
        talk.net.inject(talk.bob, source, changed)
    talk.undisturbed()
    talk.net.run(60)
    talk.undisturbed()


def test_guessed_ids_and_noise_off_the_path_do_not_disturb():
    """
    Packets under the connection's ids from somewhere else, and any bytes from anywhere, change nothing.
    """
    talk = Conversation()
    rng = random.Random(2)  # noqa: S311 -- chance of a test
    ids = {packet.ids[:8] for packet in talk.net.log if len(packet.ids) == 8}
    assert ids
    for number in range(2000):
        first = bytes([0x40 | rng.randrange(64)])
        known = rng.choice(sorted(ids))
        datagram = first + known + rng.randbytes(rng.randrange(20, 1200))
        talk.net.inject(rng.choice([talk.alice, talk.bob]), (f"198.51.100.{number % 250}", 5), datagram)
        talk.net.inject(talk.bob, ("198.51.100.1", 5), rng.randbytes(rng.randrange(1, 1300)))
    talk.undisturbed()
    assert talk.bob.native.counters()["half_open"] == 0


def test_a_forged_version_negotiation_is_ignored():
    """
    A Version Negotiation packet with the ids of the handshake, before it and in the middle of it, that offers
    nothing or unknown versions, or our own: the handshake succeeds (RFC 9000, section 6.2).
    """
    for versions in (b"", b"\x0a\x0a\x0a\x0a", b"\0\0\0\1"):
        talk = Conversation()
        first = next(packet for packet in talk.net.log if packet.source == talk.alice.addresses[0])
        destination, source = first.ids[:16], first.ids[16:]
        forged = b"\xc0" + bytes(4) + bytes([len(source)]) + source + bytes([len(destination)]) + destination
        talk.net.inject(talk.alice, talk.bob.addresses[0], forged + versions)
        talk.undisturbed()


def test_a_forged_version_negotiation_in_the_first_flight_ends_no_handshake():
    """
    Off the path nobody knows the ids of a handshake: with guessed ones the dialler does not listen.
    """
    net = PacketNet(delay_s=0.05)
    alice, bob = net.host("alice"), net.host("bob")
    net.dial(alice, bob)
    net.run(0.02)
    for guess in range(500):
        ids = guess.to_bytes(8, "big")
        forged = b"\xc0" + bytes(4) + b"\x08" + ids + b"\x08" + ids + b"\x0a\x0a\x0a\x0a"
        net.inject(alice, bob.addresses[0], forged)
    net.run(until=lambda: bool(alice.of(CONNECTED)), for_s=1)


def test_a_forged_stateless_reset_is_ignored():
    """
    A packet that looks like a stateless reset but ends in a guessed token ends nothing (RFC 9000, 10.3).
    """
    talk = Conversation()
    rng = random.Random(3)  # noqa: S311 -- chance of a test
    ids = sorted({packet.ids[:8] for packet in talk.net.log if len(packet.ids) == 8})
    for host, peer in ((talk.alice, talk.bob), (talk.bob, talk.alice)):
        for _ in range(500):
            datagram = bytes([0x40 | rng.randrange(64)]) + rng.choice(ids) + rng.randbytes(40)
            talk.net.inject(host, peer.addresses[0], datagram)
    talk.undisturbed()


def test_a_peer_that_forgot_the_connection_says_so_and_is_believed():
    """
    The counterpart: a peer that restarted with the same key answers with a true stateless reset or silence;
    either way the connection ends and a new one is made.
    """
    talk = Conversation()
    talk.bob.native = type(talk.bob.native)(bytes([2] * 32), None, {"rng_seed": bytes(32)})
    talk.alice.native.call(talk.ours, 99, b"echo", 0, b"x")
    talk.net.run(until=lambda: bool(talk.near.closed), for_s=60)
    before = len(talk.bob.of(CONNECTED))
    talk.net.dial(talk.alice, talk.bob, token=50)
    talk.net.run(until=lambda: len(talk.bob.of(CONNECTED)) > before, for_s=2)


def test_an_address_that_dials_too_often_must_prove_itself_and_then_wait():
    """
    Beyond its burst an address gets Retry, beyond that a refusal; others get in meanwhile.
    """
    net = PacketNet()
    bob = net.host("bob", handshakes_per_ip_burst=5.0, handshakes_per_ip_per_s=0.1)
    busy, quiet = net.host("busy"), net.host("quiet")
    for token in range(1, 13):
        net.dial(busy, bob, token)
    net.run(2)
    counters = bob.native.counters()
    assert len(busy.of(CONNECTED)) == 10, "five unproven, five proven"
    assert counters["handshakes_retried"] >= 7
    assert counters["handshakes_refused"] >= 2
    assert {event[2:5] for event in busy.of(CLOSED)} == {(11, 2, 2), (12, 2, 2)}
    net.connect(quiet, bob)


def test_more_connections_than_allowed_are_refused():
    """
    Beyond ``connections_max`` a dialler is told at once; a place that becomes free is given away again.
    """
    net = PacketNet()
    bob = net.host("bob", connections_max=3)
    others = [net.host(f"peer {n}") for n in range(5)]
    for host in others:
        net.dial(host, bob)
    net.run(2)
    assert len(bob.of(CONNECTED)) == 3
    refused = [host for host in others if host.of(CLOSED)]
    assert [host.of(CLOSED)[0][3:5] for host in refused] == [(2, 2), (2, 2)]
    bob.native.close(bob.of(CONNECTED)[0][1], 0, "")
    net.run(5)
    net.connect(refused[0], bob, token=2)
