"""Any bytes are a message between clusters or a PeerError; a machine takes them from whoever sends them."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

from kontinuum.base import PeerError
from kontinuum.base.entropy import Rng
from kontinuum.clusters import events as ev
from kontinuum.clusters import messages
from kontinuum.clusters.book import Book
from kontinuum.clusters.machine import ClusterMachine
from kontinuum.clusters.sessions import Stream
from kontinuum.clusters.tags import hello_tag, open_news, topic_of
from kontinuum.identity import KeyPair
from kontinuum.keys.author import Author, found_chain
from kontinuum.keys.bundles import encode_bundle
from kontinuum.keys.derivation import RootSeed

ROWS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "cluster_messages.json").read_text(encoding="utf-8")
)
ROOT = RootSeed(bytes(range(32))).cluster()
CHAIN = found_chain(ROOT)
BORN = [Author(CHAIN, ROOT).delegate(datetime(2026, 1, 2, tzinfo=UTC), label=label) for label in "ab"]
EXPORTER = bytes(32)

KEYS = (KeyPair.from_seed(bytes([9]) * 32), BORN[1].epoch.signing())
"""A stranger's and a member's."""

SEEDS = [bytes.fromhex(row["encoded"]) for row in ROWS if row["format"] == "message"]
SEEDS += [
    messages.encode(messages.Statements(CHAIN.cluster, encode_bundle(CHAIN))),
    messages.encode(messages.Heads(CHAIN.cluster, CHAIN.heads(), is_answer=False)),
]


def meeting(key: KeyPair) -> ClusterMachine:
    """The machine of a node whom the owner of a key has met, on connection 1."""
    local = BORN[0].epoch.signing().peer_id
    machine = ClusterMachine(Book(CHAIN, BORN[0].branch.path), local, rng=Rng(1))
    hello = messages.Hello(messages.VERSION, hello_tag(EXPORTER, CHAIN.cluster, dialler=True))
    for event in (
        ev.Started(),
        ev.Opened(1, key.peer_id, local, outbound=False, exporter=EXPORTER),
        ev.StreamReady(1),
        ev.Received(1, messages.encode(hello)),
    ):
        machine.handle(event, 0.0)
    return machine


MACHINES = [meeting(key) for key in KEYS]


def fuzz(data: bytes) -> None:
    """One input as a message, as one that a stranger and a member send, and as one on a topic."""
    with contextlib.suppress(PeerError):
        message = messages.decode(data)
        if not isinstance(message, messages.Unknown):
            assert messages.decode(messages.encode(message)) == message
    with contextlib.suppress(PeerError):
        open_news(CHAIN.cluster, data)
    for index, machine in enumerate(MACHINES):
        machine.handle(ev.Received(1, data), 10.0)
        machine.handle(ev.Heard(topic_of(CHAIN.cluster), data), 10.0)
        if [session.stream for session in machine.sessions()] != [Stream.MET]:
            MACHINES[index] = meeting(KEYS[index])
