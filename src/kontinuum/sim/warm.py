"""Tables as a network has them that has run for long.

Every bucket holds k random nodes of its part of the key space, or all of them; round trips to some networks
are known; the next looks around are spread over their interval as they are after hours. Nodes that share a
first part of their keys stand together in the directory, so each bucket is a slice of it.

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
    from kontinuum.dht.node import Dht
    from kontinuum.sim.directory import Directory
    from kontinuum.sim.host import Host

SPARE_FACTOR = 2
"""Candidates for each place of a bucket: some are refused for their network. Our choice."""

NETWORKS_KNOWN_MAX = 64
"""Networks to which a node knows the round trip at the start. Our choice: fewer than it would in truth."""


def fill(machine: Dht, host: Host, directory: Directory[Host], rng: Rng, k: int) -> None:
    """Fill the table of a machine that was just made, from everybody in ``directory``."""
    table, local, now = machine.table, host.identity.key, host.world.now
    known: dict[str, None] = {}
    for index in range(KEY_BITS - 1, -1, -1):
        low, high = directory.bucket(local, index)
        places = range(low, high) if high - low <= k else rng.sample(range(low, high), SPARE_FACTOR * k)
        taken = 0
        for place in places:
            other = directory.at(place)
            if isinstance(table.offer(other.peer, other.ip, now), Inserted):
                taken += 1
                prefix = latency_prefix(other.ip)
                if len(known) < NETWORKS_KNOWN_MAX and prefix not in known:
                    known[prefix] = None
                    machine.tiers.observe(other.ip, _rtt_s(host, other), now)
                if taken == k:
                    break
        if _alone(directory, local, index):
            break


def _alone(directory: Directory[Host], local: int, index: int) -> bool:
    """Nobody else is in the part of the key space that begins as ``local`` does, down to that bit."""
    low, high = directory.bucket(local ^ (1 << index), index)
    return high - low <= 1


def _rtt_s(host: Host, other: Host) -> float:
    return RTT_MS[host.region][other.region] / 1000.0 + 2.0 * (host.access_s + other.access_s)


def settle(machine: Dht, now: float, rng: Rng, *, published: bool) -> None:
    """Put a machine whose table is full where it would be after hours: joined, its next looks spread out.

    Args:
        machine: It knows its own contact.
        now: Monotonic seconds.
        rng: Chance.
        published: Its contact was published at some time in the last hour; otherwise it is due at once.
    """
    interval_s = machine.parts.config.refresh_interval_s
    refreshing = machine._refreshing  # noqa: SLF001
    machine._joining.answered()  # noqa: SLF001
    machine._replication.start(now - rng.uniform(0.0, LOOK_EVERY_S))  # noqa: SLF001
    refreshing._look_at = now + rng.uniform(0.0, LOOK_EVERY_S)  # noqa: SLF001
    refreshing._self_at = now + rng.uniform(0.0, interval_s * SELF_INTERVAL_FACTOR)  # noqa: SLF001
    for index in range(KEY_BITS):
        machine.table.touched(index, now - rng.uniform(0.0, interval_s))
    if published:
        key = contact_key(machine.parts.local)
        machine._publications.published(key, now - rng.uniform(0.0, CONTACT_INTERVAL_S))  # noqa: SLF001
