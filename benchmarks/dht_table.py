"""What do a routing table and its latency tiers weigh, and how fast is the table?

    python benchmarks/dht_table.py [--json] [--peers N]

Bytes are what Python's allocator gave out (tracemalloc) while the structure was filled. Peers, that is
contacts with what is worked out from them, are shared between tables and are counted on their own. Tables are
those of nodes in a network of N peers that have met all of them, and one that is filled to its cap: every
bucket with the largest k and a full replacement cache. Times are the best of five runs.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
import tracemalloc
from datetime import UTC, datetime

from kontinuum.dht.config import K_MAX, K
from kontinuum.dht.kbucket import WAITING_MAX, Entry
from kontinuum.dht.keys import KEY_BITS
from kontinuum.dht.peer import Peer
from kontinuum.dht.prefixes import latency_prefix
from kontinuum.dht.routing_table import RoutingTable
from kontinuum.dht.tiers import PREFIXES_MAX, Tiers, tier_borders
from kontinuum.identity import Contact, KeyPair, Multiaddr, ProofOfWork, network_id

NETWORK = network_id("bench")
TABLES = 50
TARGETS = 5_000


def peer_of(number):
    """A peer in a /24 of its own, with a valid contact of one address."""
    pair = KeyPair.from_seed(number.to_bytes(32))
    ip = f"{20 + (number >> 16) % 80}.{number & 255}.{number >> 8 & 255}.1"
    contact = Contact.issue(
        pair,
        [Multiaddr.parse(f"/ip4/{ip}/udp/4433/quic-v1")],
        sequence=1,
        issued_at=datetime(2026, 1, 1, tzinfo=UTC),
        proof=ProofOfWork(NETWORK, pair.peer_id, 0),
    )
    encoded = contact.encode()
    # As peers come from the wire: decoded, sharing nothing.
    return Peer(Contact.decode(encoded), encoded)


def weighed(build):
    """What ``build`` makes, and the bytes that it takes."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = build()
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return made, size


def met(local, peers):
    """The table of a node that has met everybody, a different time each; with round trips."""
    table = RoutingTable(local.key, k=K)
    for second, peer in enumerate(peers):
        table.offer(peer, peer.ip, float(second))
    for second, peer in enumerate(table):
        table.seen(peer.peer_id, 1e6 + second, 0.01 + second / 1e4)
    return table


def placed(peers):
    """All that fits into a table at place 0, farthest bucket first: (peer, bucket)."""
    supply = iter(peers)
    for index in reversed(range(KEY_BITS)):
        for step in range(min(K_MAX + WAITING_MAX, 1 << index)):
            peer = next(supply)
            peer.key = (1 << index) + step
            yield peer


def at_cap(peers):
    """A table with every bucket and replacement cache full."""
    table = RoutingTable(0, k=K_MAX, prefix_caps=False)
    for second, peer in enumerate(peers):
        table.offer(peer, None, float(second))
    for second, peer in enumerate(table):
        table.seen(peer.peer_id, 1e6 + second, 0.01 + second / 1e4)
    return table


def tiers_at_cap():
    """Tiers that know as many networks as they remember."""
    rng, tiers = random.Random(1), Tiers()  # noqa: S311 -- no secret
    for number in range(PREFIXES_MAX):
        tiers.observe(f"{20 + number // 256}.{number % 256}.1.1", 10 ** rng.uniform(-3, 0), float(number))
    latency_prefix.cache_clear()  # It belongs to the process.
    return tiers


def best_us(call, arguments):
    """Microseconds of one call, the best of five runs over all arguments."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for argument in arguments:
            call(argument)
        best = min(best, time.perf_counter() - start)
    return best / len(arguments) * 1e6


def weigh_network(count):
    """That many peers and the tables of some of them, who have met all; what either takes, in bytes."""
    peers, peers_bytes = weighed(lambda: [peer_of(number) for number in range(count)])
    for peer in peers:  # Networks of addresses are remembered by the process, not by a table.
        RoutingTable(0, k=K).wants(peer)
    tables, tables_bytes = weighed(lambda: [met(local, peers) for local in peers[:TABLES]])
    return peers, peers_bytes, tables, tables_bytes


def measure(count):
    """All figures, for a network of ``count`` peers."""
    rng = random.Random(1)  # noqa: S311 -- no secret
    peers, peers_bytes, tables, tables_bytes = weigh_network(count)
    entries = sum(len(table) for table in tables)
    waiting = sum(table.fill().waiting for table in tables)

    most = KEY_BITS * (K_MAX + WAITING_MAX)
    everybody = list(placed([peer_of(1_000_000 + number) for number in range(most)]))
    full, full_bytes = weighed(lambda: at_cap(everybody))
    tiers, tiers_bytes = weighed(tiers_at_cap)

    rtts = [10 ** rng.uniform(-3, 0) for _ in range(PREFIXES_MAX)]
    table, local = tables[0], peers[0]
    far = [rng.getrandbits(KEY_BITS) for _ in range(TARGETS)]
    near = [local.key ^ rng.getrandbits(KEY_BITS - 10) for _ in range(TARGETS)]
    members = list(table)
    closest_far_us = best_us(lambda target: table.closest(target, K), far)
    closest_near_us = best_us(lambda target: table.closest(target, K), near)
    return {
        "peers": count,
        "table_entries": entries / TABLES,
        "table_waiting": waiting / TABLES,
        "table_bytes": tables_bytes / TABLES,
        "entry_bytes": tables_bytes / entries,
        "entry_object_bytes": sys.getsizeof(Entry(local, None, 0.0)) + 16,  # With the collector's header.
        "peer_bytes": peers_bytes / count,
        "full_table_entries": len(full),
        "full_table_waiting": full.fill().waiting,
        "full_table_bytes": full_bytes,
        "full_table_with_peers_bytes": full_bytes + (len(full) + full.fill().waiting) * peers_bytes / count,
        "tiers_prefixes": tiers.figures().prefixes,
        "tiers_bytes": tiers_bytes,
        "tiers": len(tiers),
        "closest_far_us": closest_far_us,
        "closest_near_us": closest_near_us,
        "closest_full_table_us": best_us(lambda target: full.closest(target, K_MAX), far),
        "closest_per_s": 1e6 / max(closest_far_us, closest_near_us),
        "offer_known_us": best_us(lambda peer: table.offer(peer, peer.ip, 2e6), members),
        "wants_us": best_us(lambda peer: table.wants(peer, peer.ip), peers[1:]),
        "seen_us": best_us(lambda peer: table.seen(peer.peer_id, 2e6, 0.05), members),
        "tier_us": best_us(tiers.tier, [f"{20 + n // 256}.{n % 256}.1.1" for n in range(TARGETS)]),
        "recluster_full_ms": best_us(tier_borders, [rtts]) / 1e3,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", type=int, default=10_000, help="size of the network")
    report = measure(parser.parse_args().peers)
    if parser.parse_args().json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name:30}{value:>16}" if isinstance(value, str) else f"{name:30}{value:16,.1f}")


if __name__ == "__main__":
    main()
