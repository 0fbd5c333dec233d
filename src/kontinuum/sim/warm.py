"""Tables as a network has them that has run for long.

Every bucket holds k random nodes of its part of the key space, or all of them; round trips to these nodes
and to some networks are known; some lookups have told how large the network is; the next looks around are
spread over their interval. Nodes that share a first part of their keys stand together in the directory, so
each bucket is a slice of it.

Differs: a network that really ran for hours prefers its oldest nodes; here all are equally old.
Pure:    no I/O or clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.dht.keys import KEY_BITS
from kontinuum.dht.prefixes import latency_prefix
from kontinuum.dht.records import contact_key
from kontinuum.dht.records.publications import CONTACT_INTERVAL_S
from kontinuum.dht.refreshing import LOOK_EVERY_S, SELF_INTERVAL_FACTOR
from kontinuum.dht.routing_table import Inserted
from kontinuum.sim.regions import RTT_MS

if TYPE_CHECKING:
    from kontinuum.base.entropy import Rng
    from kontinuum.dht.keys import KadKey
    from kontinuum.dht.node import Dht
    from kontinuum.sim.directory import Directory
    from kontinuum.sim.host import Host

SPARE_FACTOR = 2
"""Candidates for each place of a bucket: some are refused for their network. Our choice."""

NETWORKS_KNOWN_MAX = 64
"""Networks to which a node knows the round trip at the start. Our choice: fewer than it would in truth."""

LOOKUPS_DONE = 12
"""Lookups of random places that each node has done. Our choice: those of one refresh of all its buckets in a
network of some thousands."""

PLACES = 64
"""Random places that these lookups were for, in all nodes together. Our choice."""


class Warm:
    """Puts machines that were just made where they would be after hours.

    Args:
        directory: Everybody who was there in these hours.
        rng: Chance.
        k: Peers in a bucket.
    """

    def __init__(self, directory: Directory[Host], rng: Rng, k: int) -> None:
        self._directory = directory
        self._rng = rng
        self._k = k
        self._lookups = [self._lookup(rng.below(1 << KEY_BITS)) for _ in range(PLACES)]

    def warm(self, machine: Dht, host: Host, *, published: bool) -> None:
        """Fill the table, and settle everything else.

        Args:
            machine: It knows its own contact, and nothing else.
            host: Where it runs.
            published: Its contact was published at some time in the last hour; otherwise it is due at once.
        """
        self._fill(machine, host)
        now, rng = host.world.now, self._rng
        interval_s = machine.parts.config.refresh_interval_s
        for place, distances in rng.sample(self._lookups, LOOKUPS_DONE):
            machine.parts.density.observe(place, distances)
        refreshing = machine._refreshing  # noqa: SLF001  -- no node needs a way to be in the middle of its life
        refreshing._look_at = now + rng.uniform(0.0, LOOK_EVERY_S)  # noqa: SLF001
        refreshing._self_at = now + rng.uniform(0.0, interval_s * SELF_INTERVAL_FACTOR)  # noqa: SLF001
        machine._replication.start(now - rng.uniform(0.0, LOOK_EVERY_S))  # noqa: SLF001
        refreshing.settled = True
        machine._replication.settle()  # noqa: SLF001
        machine._joining.answered()  # noqa: SLF001
        if published:
            key, ago_s = contact_key(host.identity.peer_id), rng.uniform(0.0, CONTACT_INTERVAL_S)
            machine._publications.published(key, now - ago_s)  # noqa: SLF001

    def _lookup(self, place: KadKey) -> tuple[KadKey, list[int]]:
        return place, [place ^ host.identity.key for host in self._directory.closest(place, self._k)]

    def _fill(self, machine: Dht, host: Host) -> None:
        table, local, now, rng = machine.table, host.identity.key, host.world.now, self._rng
        interval_s, k = machine.parts.config.refresh_interval_s, self._k
        networks: set[str] = set()
        for index in range(KEY_BITS - 1, -1, -1):
            table.touched(index, now - rng.uniform(0.0, interval_s))
            low, high = self._directory.bucket(local, index)
            places = range(low, high) if high - low <= k else rng.sample(range(low, high), SPARE_FACTOR * k)
            free = k
            for place in places:
                other = self._directory.at(place)
                if not isinstance(table.offer(other.peer, other.ip, now), Inserted):
                    continue
                if (entry := table.get(other.peer.peer_id)) is not None:
                    entry.measured(_rtt_s(host, other))
                prefix = latency_prefix(other.ip)
                if len(networks) < NETWORKS_KNOWN_MAX and prefix not in networks:
                    networks.add(prefix)
                    machine.tiers.observe(other.ip, _rtt_s(host, other), now)
                free -= 1
                if not free:
                    break
            if self._alone(local, index):
                break

    def _alone(self, local: KadKey, index: int) -> bool:
        """Nobody else is in the part of the key space that begins as ``local`` does, down to that bit."""
        low, high = self._directory.bucket(local ^ (1 << index), index)
        return high - low <= 1


def _rtt_s(host: Host, other: Host) -> float:
    return RTT_MS[host.region][other.region] / 1000.0 + 2.0 * (host.access_s + other.access_s)
