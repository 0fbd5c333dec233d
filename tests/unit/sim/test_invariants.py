"""Rules of a node's state: each is noticed when it is broken."""

from itertools import count

import pytest

from kontinuum.dht.config import K_MAX
from kontinuum.dht.events import FindPeers
from kontinuum.dht.peer import Peer
from kontinuum.dht.records import blake3_key
from kontinuum.sim.chance import material
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.identities import Identity, time_of_day
from kontinuum.sim.invariants import Invariants
from kontinuum.sim.scenario import Scenario, Workload
from kontinuum.sim.simulation import Simulation

SCENARIO = Scenario(name="two", nodes=2, pow_bits=3, workload=Workload(lookups=0))


@pytest.fixture
def host():
    """An honest node that keeps all rules."""
    host = Simulation(SCENARIO, 1).honest[0]
    Invariants(SCENARIO).check(host)
    return host


def stranger(number, ip, *, worked=True) -> Peer:
    """Somebody whom the node has never met."""
    identity = Identity(material(1, "stranger", number), pow_bits=SCENARIO.pow_bits, worked=worked)
    identity.move(ip, time_of_day(0.0))
    return identity.peer


def in_far_bucket(host, ips):
    """Strangers in the far half of the key space, at these addresses."""
    numbers = count()
    for ip in ips:
        while (peer := stranger(next(numbers), ip)).key >> 255 == host.identity.key >> 255:
            pass
        yield peer


def broken(host, words):
    """The check notices it."""
    with pytest.raises(InvariantError, match=words):
        Invariants(SCENARIO).check(host)


def test_contacts_without_work_are_noticed(host):
    """
    A peer in the table whose contact has no proof of work.
    """
    host.machine.table.offer(stranger(0, "20.1.0.1", worked=False), None, 0.0)

    broken(host, "only contacts with work")


def test_too_large_a_bucket_is_noticed(host):
    """
    More peers in a bucket than any adaptation allows.
    """
    host.machine.table.set_k(K_MAX + 1)
    for peer in in_far_bucket(host, [f"20.{i}.0.1" for i in range(1, K_MAX + 2)]):
        host.machine.table.offer(peer, None, 0.0)

    broken(host, "buckets are bounded")


def test_a_network_with_more_than_its_share_is_noticed(host):
    """
    Three peers of one /24 in one bucket.
    """
    for peer in in_far_bucket(host, ["20.1.0.1", "20.2.0.2", "20.3.0.3"]):
        host.machine.table.offer(peer, None, 0.0)
        host.machine.table.get(peer.peer_id).prefix = "20.1.0"

    broken(host, "share of a bucket")


def test_a_record_that_is_not_on_disk_is_noticed(host):
    """
    What a node holds is on its disk.
    """
    at = time_of_day(0.0)
    sender, records = stranger(0, "20.1.0.1").peer_id, host.machine.records
    records.put(blake3_key(b"x"), b"x", sender=sender, ip="20.1.0.1", at=at, now=0.0)
    records.effects()

    broken(host, "what is held is on disk")


def test_an_operation_that_does_not_end_is_noticed(host):
    """
    After its time-out an operation is over.
    """
    command = FindPeers(operation=1, timeout_s=1.0, target=1)
    host.operations[1] = command, 0.0
    Invariants(SCENARIO).check(host)
    host.world.now = 3.0

    broken(host, "ends in time")
