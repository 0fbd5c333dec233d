"""Clusters of real nodes for tests: a root in memory, a data directory for each place."""

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as FilePath

from helpers.nodes import eventually, settings
from kontinuum import Node
from kontinuum.base.entropy import SystemEntropy
from kontinuum.clusters.store import ClusterStore, Keys
from kontinuum.keys.author import Author, Handover, found_chain
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.keystore import Unprotected
from kontinuum.node.data_dir import DataDir


def now():
    """The time of day."""
    return datetime.now(UTC)


@dataclass
class Household:
    """A root with its chain, and the directories of its nodes."""

    directory: FilePath
    seed: RootSeed = field(default_factory=lambda: RootSeed.generate(SystemEntropy()))

    def __post_init__(self):
        self.root = self.seed.cluster()
        self.chain = found_chain(self.root)
        self.given: dict[str, Handover] = {}

    @property
    def pen(self):
        """The root's; it writes into the household's own copy of the chain."""
        return Author(self.chain, self.root)

    def add(self, label: str, *, with_branch: bool = True) -> FilePath:
        """A further place; returns its data directory, which knows the chain of now."""
        handover = self.given[label] = self.pen.delegate(now(), label=label)
        path = self.directory / label
        DataDir.open(path, create=True).close()
        keys = Keys(
            epoch=handover.epoch,
            epoch_protection=Unprotected(),
            branch=handover.branch if with_branch else None,
            branch_protection=Unprotected(),
        )
        ClusterStore(path / "cluster").begin(self.chain, handover.branch.path, keys, entropy=SystemEntropy())
        return path

    def node(self, label: str, **fields) -> Node:
        """The node of a place, not started."""
        return Node(settings(data_dir=self.directory / label, pubsub=False, **fields))

    def path(self, label: str):
        """The branch of a place."""
        return self.given[label].branch.path


@contextlib.asynccontextmanager
async def household(directory: FilePath, *labels: str, **fields):
    """A household and its running nodes, all connected and recognised."""
    home = Household(directory)
    for label in labels:
        home.add(label)
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[Node] = []
        for label in labels:
            node = await stack.enter_async_context(home.node(label, **fields))
            # Each had the chain of when it was made: it hears of those that came later.
            node.clusters.say(home.chain.cluster, list(home.chain))
            for other in nodes:  # One side dials, so that there is one connection.
                node.add_contact(other.contact)
                await eventually(lambda node=node, other=other: other.peer_id in node._connected)
            nodes.append(node)
        for node in nodes:
            await eventually(lambda node=node: len(node.clusters.connected_fellows()) == len(labels) - 1)
        yield home, nodes
