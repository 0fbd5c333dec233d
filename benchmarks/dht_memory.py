"""How much memory does one DHT node take at most? Every structure is filled to its cap, and measured.

Prints a table; ``--json`` writes it as one object. ``dht_scaling.py`` puts it beside the hops of a lookup.

What is measured is what Python allocates (``tracemalloc``) from an empty structure to a full one, with
everything that it alone keeps alive. Peers are decoded from their bytes inside the measurement: each is a
contact with one address, a key, a signature and a proof of work. Structures that keep the same peers are
measured apart, so that their sum is more than a node ever takes.
"""

import argparse
import gc
import json
import math
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from kontinuum.dht import prefixes
from kontinuum.dht.adaptive import MEMORY_REQUESTS, Adaptation
from kontinuum.dht.admission import ADMISSION_MEMO_MAX, Admission
from kontinuum.dht.config import K_MAX, PATHS, DhtConfig, K
from kontinuum.dht.events import Refusal
from kontinuum.dht.kbucket import WAITING_MAX
from kontinuum.dht.keys import KEY_BITS, KadKey
from kontinuum.dht.peer import Peer
from kontinuum.dht.prefixes import PREFIX_CACHE_MAX
from kontinuum.dht.records import Publications, Records, blake3_key, default_validators
from kontinuum.dht.records.publications import PUBLICATIONS_MAX
from kontinuum.dht.records.quotas import RATES_MAX, Rates
from kontinuum.dht.records.store import PROVIDERS_MAX
from kontinuum.dht.routing_table import RoutingTable
from kontinuum.dht.search import SEARCH_PEERS_MAX, Search, SearchSettings
from kontinuum.dht.tiers import PREFIXES_MAX, Tiers
from kontinuum.identity import Contact, KeyPair, PeerId
from kontinuum.node.peer_store import PEERS_MAX, PeerStore
from kontinuum.sim.identities import BEGIN, NETWORK, Identity

LARGE_NETWORK = 10_000_000
"""Nodes of the network that the seed document speaks of."""

CONNECTION_BYTES = 51_600
"""Resident bytes of an idle connection, as docs/performance.md has it."""

CONNECTIONS_MAX = 4096
"""``max_connections`` of a node, by default."""


@dataclass(frozen=True)
class Structure:
    """One thing that a node keeps in memory."""

    name: str
    what: str
    """What fills it."""
    entries: int
    bytes: int
    counted: bool = True
    """Part of the sum: no other way to fill something that is counted already, and not shared."""

    @property
    def bytes_per_entry(self) -> float:
        return self.bytes / self.entries


def measured(build: Callable[[], object]) -> tuple[int, object]:
    """Bytes that are allocated by ``build`` and still there when it has returned."""
    build()  # Once before: caches of the modules fill, and are not what is measured.
    gc.collect()
    tracemalloc.start()
    kept = build()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size, kept


def ip_of(number: int) -> str:
    """An address on the internet, in a /24 of its own and one of 20,000 /16."""
    return f"{20 + number // 256 % 80}.{number % 256}.{number // 20480 % 256}.1"


@cache
def contacts(count: int) -> list[bytes]:
    """The bytes of that many contacts."""
    made = []
    for number in range(count):
        identity = Identity(number.to_bytes(32), pow_bits=0)
        identity.move(ip_of(number), BEGIN)
        made.append(identity.peer.wire.contact)
    return made


@cache
def identity(number: int) -> bytes:
    """The key of a peer, as bytes."""
    return bytes(KeyPair.from_seed(number.to_bytes(32)).peer_id)


def peers_of(encoded: list[bytes]) -> Iterator[Peer]:
    """Peers as they come out of a message: nothing of them is shared."""
    for one in encoded:
        data = bytes(bytearray(one))
        yield Peer(Contact.decode(data), data)


def placed(peer: Peer, bucket: int, number: int) -> Peer:
    """Put a peer where it would have to be ground for: into that bucket of the table around 0."""
    top = 1 << bucket
    peer.key = KadKey(top | number * 0x9E3779B97F4A7C15 % top) if top > 1 else KadKey(top)
    return peer


def full_table(k: int, waiting: int, fill: Callable[[int], int]) -> tuple[RoutingTable, int]:
    """A routing table with ``fill(bucket)`` peers in each bucket, and more that wait."""
    table = RoutingTable(KadKey(0), k=k)
    source, number = peers_of(contacts(KEY_BITS * (K_MAX + WAITING_MAX))), 0
    for bucket in range(KEY_BITS):
        count = fill(bucket)
        for _ in range(min(count + (waiting if count == k else 0), 1 << min(bucket, 16))):
            table.offer(placed(next(source), bucket, number), ip_of(number), float(number))
            number += 1
    return table, number


def usual_fill(nodes: int, k: int) -> Callable[[int], int]:
    """How many peers a bucket finds in a network of that size."""
    return lambda bucket: min(k, math.floor(nodes / 2 ** (KEY_BITS - bucket) + 0.5))


def routing_tables() -> Iterator[Structure]:
    for name, k, waiting, fill, counted in (
        ("routing table", K_MAX, WAITING_MAX, lambda _: K_MAX, True),
        ("routing table, k at rest", K, 0, lambda _: K, False),
        ("routing table, 10 M nodes", K, WAITING_MAX, usual_fill(LARGE_NETWORK, K), False),
    ):
        size, (table, _) = measured(lambda k=k, waiting=waiting, fill=fill: full_table(k, waiting, fill))
        figures = table.fill()
        what = f"{len(figures.sizes)} buckets, k = {k}, {figures.waiting} peers waiting"
        yield Structure(name, what, figures.peers + figures.waiting, size, counted)


def tiers() -> Structure:
    def build() -> Tiers:
        filled = Tiers()
        for number in range(PREFIXES_MAX):
            filled.observe(f"{1 + number // 256}.{number % 256}.0.1", 0.01 + number % 300 / 1000, 0.0)
        return filled

    prefixes.latency_prefix.cache_clear()
    size, _ = measured(build)
    return Structure("latency tiers", "a round trip for each /16 or /32", PREFIXES_MAX, size)


def admission() -> Structure:
    encoded = contacts(KEY_BITS * (K_MAX + WAITING_MAX))[:ADMISSION_MEMO_MAX]

    def build() -> Admission:
        memo = Admission(NETWORK, 0)
        for one in encoded:
            memo.check(bytes(bytearray(one)), BEGIN)
        return memo

    size, _ = measured(build)
    return Structure("admission memo", "verified contacts", ADMISSION_MEMO_MAX, size)


def record_stores() -> Iterator[Structure]:
    bytes_max = DhtConfig(network_id=NETWORK, pow_bits=0).store_bytes_max
    validators = default_validators(NETWORK, Admission(NETWORK, 0).check)
    for name, value_bytes, counted in (
        ("record store, small records", 32, True),
        ("record store, large records", 65_536, False),
    ):

        def build(value_bytes: int = value_bytes) -> Records:
            # Every record of another sender in another /24: the most accounts that there can be.
            store, number, refused = Records(validators, bytes_max=bytes_max), 0, 0
            while refused < 256:
                value = number.to_bytes(8) * (value_bytes // 8)
                sender = PeerId(bytes(bytearray(identity(number))))
                answer = store.put(
                    blake3_key(value), value, sender=sender, ip=ip_of(number), at=BEGIN, now=float(number)
                )
                refused = 0 if answer is Refusal.NONE else refused + 1
                number += 1
                store.effects()
            return store

        size, store = measured(build)
        figures = store.figures()
        what = (
            f"{value_bytes} B each; {figures.bytes / 2**20:.1f} of {bytes_max // 2**20} MiB by its own count"
        )
        yield Structure(name, what, figures.values, size, counted)


def providers() -> Structure:
    encoded = contacts(KEY_BITS * (K_MAX + WAITING_MAX))[:PROVIDERS_MAX]
    validators = default_validators(NETWORK, Admission(NETWORK, 0).check)

    def build() -> Records:
        store = Records(validators, bytes_max=2**30)
        for number, peer in enumerate(peers_of(encoded)):
            store.add_provider(b"/blake3/" + bytes(32), peer, ip=ip_of(number), at=BEGIN, now=float(number))
        store.effects()
        return store

    size, store = measured(build)
    return Structure(
        "providers of one key", "part of the record store", store.figures().providers, size, counted=False
    )


def rates() -> Structure:
    def build() -> Rates:
        filled = Rates()
        for number in range(RATES_MAX):
            filled.allow(PeerId(bytes(bytearray(identity(number)))), ip_of(number), 0.0)
        return filled

    size, _ = measured(build)
    return Structure("rates of senders", "peers and /24 that sent lately", RATES_MAX, size)


def publications() -> Structure:
    def build() -> Publications:
        filled = Publications()
        for number in range(PUBLICATIONS_MAX):
            filled.add(b"/blake3/" + number.to_bytes(32), None, now=float(number), at=BEGIN + timedelta(0))
        return filled

    size, _ = measured(build)
    return Structure(
        "publications", "keys that our own program provides", PUBLICATIONS_MAX, size, counted=False
    )


def search() -> Structure:
    encoded = contacts(KEY_BITS * (K_MAX + WAITING_MAX))
    peers = list(peers_of(encoded))[: PATHS * SEARCH_PEERS_MAX]
    local = KeyPair.from_seed(bytes(31) + b"\xff").peer_id

    def build() -> Search:
        settings = SearchSettings(k=K, alpha=3, paths=PATHS, slow_after_s=1.0, prefix_caps=True)
        made = Search(KadKey(0), peers[:K], local=local, settings=settings)
        asked = made.start(0.0)
        for begin in range(0, len(peers), K):  # What is named are peers that others keep alive, too.
            asked += made.answered(asked.pop(0).peer_id, peers[begin : begin + K], 0.0) if asked else []
        return made

    size, _ = measured(build)
    what = f"{PATHS} paths, up to {SEARCH_PEERS_MAX} peers each; the peers themselves not counted"
    return Structure("one lookup", what, 1, size)


def adaptation() -> Structure:
    def build() -> Adaptation:
        filled = Adaptation()
        for number in range(4 * round(MEMORY_REQUESTS)):
            filled.answered(number / 10, number % 50 / 100)
        return filled

    size, _ = measured(build)
    return Structure("adaptation", "k and alpha", 1, size)


def prefix_caches() -> Structure:
    def build() -> None:
        for function in (prefixes.cap_prefix, prefixes.latency_prefix):
            function.cache_clear()
            for number in range(PREFIX_CACHE_MAX):
                function(ip_of(number * 7))

    size, _ = measured(build)
    return Structure("prefixes of addresses", "two caches of the process", 2 * PREFIX_CACHE_MAX, size)


def saved_peers() -> Structure:
    encoded = contacts(KEY_BITS * (K_MAX + WAITING_MAX))[:PEERS_MAX]

    def build() -> PeerStore:
        store = PeerStore(None, network_id=NETWORK, pow_bits=0)
        for one in encoded:
            store.add(Contact.decode(bytes(bytearray(one))), BEGIN)
        return store

    size, store = measured(build)
    return Structure("peers saved over a restart", "contacts and how dialling them went", len(store), size)


def connections() -> Structure:
    what = f"{CONNECTION_BYTES:,} B each, measured with real ones (docs/performance.md)"
    return Structure("connections", what, CONNECTIONS_MAX, CONNECTIONS_MAX * CONNECTION_BYTES)


def measure() -> list[Structure]:
    """Fill everything."""
    return [
        *routing_tables(),
        tiers(),
        admission(),
        *record_stores(),
        providers(),
        rates(),
        search(),
        adaptation(),
        prefix_caches(),
        publications(),
        saved_peers(),
        connections(),
    ]


def table(structures: list[Structure]) -> str:
    """Lay the figures out as plain text."""
    lines = [f"{'structure at its cap':28}{'entries':>9}{'bytes':>14}{'per entry':>11}  filled with"]
    for one in structures:
        mark = " " if one.counted else "*"
        lines.append(
            f"{one.name:27}{mark}{one.entries:9,}{one.bytes:14,}{one.bytes_per_entry:11,.0f}  {one.what}"
        )
    total = sum(one.bytes for one in structures if one.counted)
    lines += [f"{'sum':28}{'':9}{total:14,}", "* another way to fill, or our own program's: not in the sum"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    structures = measure()
    if parser.parse_args().json:
        rows = [{**vars(one), "bytes_per_entry": one.bytes_per_entry} for one in structures]
        print(json.dumps({"structures": rows}))
    else:
        print(table(structures))


if __name__ == "__main__":
    main()
