"""A node of a cluster in a process, or on a host, of its own. Ends when its input does.

Commands and answers as in ``dht_program.py``. Times are of the monotonic clock, which all processes share.
"""

import asyncio
import base64
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.dht_program import obey
from kontinuum import Node, NodeConfig, PeerId
from kontinuum.base.errors import KontinuumError
from kontinuum.clusters.members import Judgement
from kontinuum.keys.bundles import decode_bundle
from kontinuum.keys.genesis import Genesis, cluster_id
from kontinuum.node.cluster_events import SessionCut
from kontinuum.node.events import PeerRenamed

LOOK_S = 0.002


class Program:
    """The commands, and the node that they concern."""

    def __init__(self, stack, listen):
        self.stack = stack
        self.listen = listen
        self.node = None
        self.seen = {}
        """When what was seen first: ``cut KEY``, ``renamed KEY``, ``out KEY``."""
        self.watched = set()

    async def open(self, data_dir, **fields):
        """Start the node of a data directory; return its contact."""
        config = NodeConfig(
            data_dir=Path(data_dir), network="local", pow_bits=0, listen=self.listen, peers_wanted=0,
            dht="off", log_level="error", **fields,
        )  # fmt: skip
        self.node = await self.stack.enter_async_context(Node(config))
        self.node.handler("test/who")(lambda _peer, _data: str(self.node.peer_id).encode())
        self._watching = asyncio.create_task(self._watch())
        return self.node.contact.to_text()

    async def _watch(self):
        async for event in self.node.events():
            match event:
                case SessionCut(peer_id, _):
                    self.seen.setdefault(f"cut {peer_id}", time.monotonic())
                case PeerRenamed(former, _):
                    self.seen.setdefault(f"renamed {former}", time.monotonic())

    async def look_for(self, key):
        """From now on notice when a key is out of use here."""
        self._looking = asyncio.create_task(self._look(key))
        return True

    async def _look(self, key):
        peer = PeerId.parse(key)
        while self.node.clusters.book.judge(peer).judgement is not Judgement.OUT_OF_USE:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self.seen.setdefault(f"out {peer}", time.monotonic())

    async def know(self, contacts):
        """Learn where peers are."""
        for text in contacts:
            self.node.add_contact(text)
        return True

    async def connect(self, contact):
        """Connect to a peer."""
        await self.node.connect(contact)
        return True

    async def sessions(self):
        """The names of the members that are connected."""
        return sorted(each["name"] for each in self.node.clusters.describe()["sessions"])

    async def say(self, cluster, bundle):
        """Say statements; return when that began."""
        began = time.monotonic()
        statements = decode_bundle(base64.b64decode(bundle))
        self.node.clusters.say(cluster_id(bytes.fromhex(cluster)), statements)
        return began

    async def trust(self, genesis, bundle, name):
        """Trust another cluster."""
        statements = decode_bundle(base64.b64decode(bundle))
        self.node.clusters.trust(Genesis.decode(base64.b64decode(genesis)), statements, name, "given")
        return True

    async def rekey(self):
        """Move to another epoch; return the old key and when that began."""
        old = self.node.peer_id
        began = time.monotonic()
        rekeyed = self.node.clusters.home.rekey(self.node.clock.utc())
        await self.node.clusters.rekeyed([rekeyed.statement], rekeyed.secret)
        return [str(old), began]

    async def when(self, what, within_s=30.0):
        """When something was seen, or nothing if it was not in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while what not in self.seen:  # noqa: ASYNC110 -- several ways lead there
                    await asyncio.sleep(LOOK_S)
        return self.seen.get(what)

    async def call(self, name):
        """Call a node by its name; return its key, or what went wrong."""
        try:
            return (await self.node.call(name, "test/who", timeout=5)).decode()
        except KontinuumError as error:
            return repr(error)

    async def key(self):
        """Our key."""
        return str(self.node.peer_id)


if __name__ == "__main__":
    asyncio.run(obey(Program))
