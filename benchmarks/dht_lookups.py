"""How many lookups a second do the machines of the DHT manage, without sockets?

    python benchmarks/dht_lookups.py [--json] [--peers N]

One node of a network of N peers, all of which have met each other, looks for random places. Answers are what
those peers would say: the k closest of their tables. They are worked out beforehand, so that the clock sees
the machine alone. ``search`` is one ``Search`` with its answers, over as many paths as a node takes and over
one; ``machine`` is the whole ``Dht``, from the command to its outcome, asked for its next deadline after each
event as its shell does. The best of several runs.
"""

import argparse
import json
import random
import time
from collections import deque
from datetime import timedelta

from dht_table import NETWORK, met, peer_of
from kontinuum.base.entropy import Rng
from kontinuum.dht import events as ev
from kontinuum.dht.admission import Admission
from kontinuum.dht.commands import SEEDS_PER_SEARCH
from kontinuum.dht.config import PATHS, DhtConfig, K
from kontinuum.dht.keys import KEY_BITS
from kontinuum.dht.node import Dht
from kontinuum.dht.records import default_validators
from kontinuum.dht.search import Search, SearchSettings
from kontinuum.messages.kad import KadMessage, MessageType

TARGETS = 200
"""Places that are looked for, in each run."""

RUNS = 5
"""The first one also fills what remembers; the best counts."""


class Network:
    """Peers that have met each other, and what they would answer."""

    def __init__(self, count):
        self.peers = [peer_of(number) for number in range(count)]
        self.tables = {peer.peer_id: met(peer, self.peers) for peer in self.peers}
        self._answers = {}

    def answer(self, peer_id, target):
        """Whom that peer would name: peers, and the message that names them."""
        asked = peer_id, target
        if asked not in self._answers:
            named = self.tables[peer_id].closest(target, K)
            closer = tuple(peer.wire for peer in named)
            self._answers[asked] = named, KadMessage(MessageType.FIND_NODE, closer_peers=closer)
        return self._answers[asked]


def searches(network, targets, paths):
    """Look for each place with a ``Search``; the seconds that all of them took, and their requests."""
    local = network.peers[0]
    settings, table, answer = SearchSettings(paths=paths), network.tables[local.peer_id], network.answer
    seeds = {target: table.closest(target, SEEDS_PER_SEARCH) for target in targets}
    requests, start = 0, time.perf_counter()
    for target in targets:
        search = Search(target, seeds[target], local=local.peer_id, settings=settings)
        asked = deque(search.start(0.0))
        while asked:
            peer_id = asked.popleft().peer_id
            asked += search.answered(peer_id, answer(peer_id, target)[0], 0.0)
        requests += search.requests
    return time.perf_counter() - start, requests


def machine(network):
    """A whole DHT whose table is that of the first peer."""
    local, admission = network.peers[0], Admission(NETWORK, 0)
    noon = local.contact.issued_at
    made = Dht(
        local.peer_id,
        DhtConfig(network_id=NETWORK, pow_bits=0),
        rng=Rng(1),
        calendar=lambda now: noon + timedelta(seconds=now),
        admission=admission,
        validators=default_validators(NETWORK, admission.check),
    )
    made.handle(ev.SelfChanged(local.contact), 0.0)
    for peer in network.tables[local.peer_id]:
        made.table.offer(admission.check(peer.wire.contact, noon), peer.ip, 0.0)
    return made


def commands(dht, network, targets, first):
    """Let the machine find each place; the seconds that all of them took, and their requests."""
    requests, start = 0, time.perf_counter()
    for number, target in enumerate(targets, first):
        asked = deque(dht.handle(ev.FindPeers(operation=number, timeout_s=30.0, target=target), 0.0))
        while asked:
            effect = asked.popleft()
            if type(effect) is ev.Ask:
                message = network.answer(effect.peer.peer_id, target)[1]
                asked += dht.handle(ev.Reply(effect.request, message, 0.01, effect.peer.ip), 0.0)
                dht.next_deadline()
            elif type(effect) is ev.Completed:
                requests += effect.outcome.requests
    return time.perf_counter() - start, requests


def measure(count):
    """All figures, for a network of ``count`` peers."""
    rng = random.Random(1)  # noqa: S311 -- no secret
    network = Network(count)
    targets = [rng.getrandbits(KEY_BITS) for _ in range(TARGETS)]
    dht = machine(network)
    by_search = [searches(network, targets, PATHS) for _ in range(RUNS)]
    by_path = [searches(network, targets, 1) for _ in range(RUNS)]
    by_machine = [commands(dht, network, targets, run * TARGETS) for run in range(RUNS)]
    return {
        "peers": count,
        "search_per_s": TARGETS / min(by_search)[0],
        "search_requests": by_search[-1][1] / TARGETS,
        "search_one_path_per_s": TARGETS / min(by_path)[0],
        "search_one_path_requests": by_path[-1][1] / TARGETS,
        "machine_per_s": TARGETS / min(by_machine)[0],
        "machine_requests": by_machine[-1][1] / TARGETS,
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", type=int, default=1000, help="size of the network")
    arguments = parser.parse_args()
    report = measure(arguments.peers)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name:28}{value:12,.1f}")


if __name__ == "__main__":
    main()
