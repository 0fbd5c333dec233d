"""What must hold of every honest node at any time, whatever happens around it.

The rules of effects (one answer for each request, one completion for each operation) are checked at every
step by ``dht_host``; these are rules of a node's state and cost more, so that a few nodes are looked at at a
time, all of them in turn, and all of them at the end.

Pure:   no I/O, clock or randomness.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from kontinuum.base.errors import PeerError
from kontinuum.dht.config import K_MAX
from kontinuum.dht.keys import KEY_BITS, bucket_index
from kontinuum.dht.routing_table import PREFIX_BUCKET_MAX, PREFIX_TABLE_MAX
from kontinuum.sim.identities import NETWORK

if TYPE_CHECKING:
    from kontinuum.dht.node import Dht
    from kontinuum.dht.peer import Peer
    from kontinuum.sim.dht_host import DhtHost
    from kontinuum.sim.scenario import Scenario

TIMEOUT_SLACK_S = 1.0
"""Seconds after its deadline in which an operation completes. Our choice: a timer may come with others."""


class Invariants:
    """The rules for the nodes of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._defences = scenario.defences
        self._verified: set[Peer] = set()

    def check(self, host: DhtHost) -> None:
        """Look at one node.

        Raises:
            InvariantError: It broke a rule.
        """
        if host.machine is None:
            return
        machine = cast("Dht", host.machine)
        self._check_table(host, machine)
        self._check_records(host, machine)
        self._check_operations(host)

    def _check_table(self, host: DhtHost, machine: Dht) -> None:
        table, own, scenario = machine.table, host.identity, self._scenario
        sizes: Counter[int] = Counter()
        networks: Counter[str] = Counter()
        bucket_networks: Counter[tuple[int, str]] = Counter()
        for peer in table:
            if peer.peer_id == own.peer_id:
                host.broken("nobody is in its own table", repr(peer))
            index = bucket_index(peer.key ^ own.key)
            sizes[index] += 1
            if self._defences.verify_contacts and peer not in self._verified:
                try:
                    peer.contact.verify_lasting(NETWORK, scenario.pow_bits)
                except PeerError as error:
                    host.broken("only contacts with work enter the table", f"{peer!r}: {error}")
                self._verified.add(peer)
            entry = table.get(peer.peer_id)
            prefix = None if entry is None else entry.prefix
            if prefix is not None:
                networks[prefix] += 1
                bucket_networks[index, prefix] += 1
        most = max(sizes.values(), default=0)
        if most > K_MAX or len(table) > KEY_BITS * K_MAX:
            host.broken("buckets are bounded", f"{most} peers in a bucket, {len(table)} in all")
        if self._defences.prefix_caps:
            self._check_caps(host, networks, bucket_networks)

    def _check_caps(
        self, host: DhtHost, networks: Counter[str], bucket_networks: Counter[tuple[int, str]]
    ) -> None:
        for prefix, count in networks.items():
            if count > PREFIX_TABLE_MAX:
                host.broken("a network has no more than its share of a table", f"{count} in {prefix}")
        for (index, prefix), count in bucket_networks.items():
            if count > PREFIX_BUCKET_MAX:
                host.broken(
                    "a network has no more than its share of a bucket", f"{count} of {prefix} in {index}"
                )

    def _check_records(self, host: DhtHost, machine: Dht) -> None:
        figures = machine.records.figures()
        if figures.bytes > figures.bytes_max:
            host.broken("the store is bounded", f"{figures.bytes} of {figures.bytes_max} bytes")
        held = set(machine.records.keys())
        kept = {key for key, _ in host.disk}
        if machine.records.changed:
            return  # Effects are on their way.
        missing = held - kept
        if missing:
            host.broken("what is held is on disk", f"{min(missing)!r} is not")

    def _check_operations(self, host: DhtHost) -> None:
        now = host.world.now
        for command, since in host.operations.values():
            if now > since + command.timeout_s + TIMEOUT_SLACK_S:
                host.broken("an operation ends in time", f"{command!r:.160}")
