"""Streams of the simulated world: in order, at the speed of the uplink, with bounded room."""

import pytest

from helpers.gossip_net import message_body, peer_id
from kontinuum.base.entropy import Rng
from kontinuum.messages import pubsub_fields as tags
from kontinuum.messages.pubsub import decode
from kontinuum.sim.gossip.host import Host, stand_in
from kontinuum.sim.gossip.hostile import swallow
from kontinuum.sim.gossip.world import ROOM_BYTES, GossipWorld
from kontinuum.sim.network import Network
from kontinuum.sim.scenario import NetworkSettings


class Ear(Host):
    """Writes down what it hears."""

    def __init__(self, world, number, *, uplink_bytes_per_s=1e9):
        super().__init__(
            world,
            peer_id(number),
            region=0,
            ip=f"192.0.2.{number}",
            access_s=0.01,
            uplink_s_per_byte=1.0 / uplink_bytes_per_s,
        )
        self.heard = []
        self.rooms = []
        self.online = True
        world.add(self)

    def on_rpc(self, _sender, data):
        self.heard.append((self.world.now, data))

    def on_room(self, _other, room_bytes):
        self.rooms.append(room_bytes)


def pair(*, loss=0.3, **kwargs):
    """Two connected hosts on a bad line."""
    world = GossipWorld(Network(NetworkSettings(loss=loss), Rng(1)))
    one, other = Ear(world, 1, **kwargs), Ear(world, 2)
    assert world.connect(one, other)
    return world, one, other


def test_a_stream_keeps_its_order_and_loses_nothing():
    """
    Loss and reordering of packets cost time only.
    """
    world, one, other = pair()
    for number in range(200):
        world.send(one, other, number.to_bytes(2))
    world.run(60.0)

    assert [data for _, data in other.heard] == [number.to_bytes(2) for number in range(200)]
    times = [time for time, _ in other.heard]
    assert times == sorted(times)


def test_a_narrow_uplink_takes_its_time():
    """
    A hundred kilobytes at ten kilobytes a second.
    """
    world, one, other = pair(loss=0.0, uplink_bytes_per_s=10_000.0)
    for _ in range(100):
        world.send(one, other, bytes(1000))
    world.run(60.0)

    assert other.heard[-1][0] == pytest.approx(10.6, abs=0.3)


def test_the_sender_hears_of_room_when_bytes_have_arrived():
    """
    After half of the room was used.
    """
    world, one, other = pair(loss=0.0)
    for _ in range(3):
        world.send(one, other, bytes(ROOM_BYTES // 4))
    world.run(5.0)

    assert one.rooms
    assert one.rooms[-1] <= ROOM_BYTES


def test_what_is_on_its_way_when_a_connection_ends_is_lost():
    """
    And a second connection of the pair does not see it.
    """
    world, one, other = pair(loss=0.0)
    world.send(one, other, b"first")
    world.disconnect(one, other)
    assert world.connect(one, other)
    world.send(one, other, b"second")
    world.run(5.0)

    assert [data for _, data in other.heard] == [b"second"]


def test_an_attacker_swallows_messages_and_nothing_else():
    """
    All of them, or those of one author.
    """
    mine = tags.message_field(message_body(1, "t", b"a", 1))
    hers = tags.message_field(message_body(2, "t", b"b", 1))
    control = tags.control_field([tags.graft_part("t")])
    rpc = mine + hers + control

    assert decode(swallow(rpc, None)) == decode(control)
    assert decode(swallow(rpc, peer_id(1))) == decode(hers + control)


def test_stand_ins_are_as_long_as_signatures():
    """
    And of one key and text only.
    """
    assert len(stand_in(b"k", b"d")) == 64
    assert stand_in(b"k", b"d") != stand_in(b"l", b"d")
