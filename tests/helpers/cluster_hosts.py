"""Two clusters on hosts that are far from each other: what a revocation and a rekeying take there."""

import asyncio
import base64
import socket
from pathlib import Path

from helpers.clusters import Household, now
from helpers.dht_hosts import hosts
from kontinuum.keys.bodies import Reason, Scope
from kontinuum.keys.bundles import encode_bundle

PROGRAM = Path(__file__).with_name("cluster_host_program.py")

DELAY_S = 0.025
"""One way: a round trip is the 50 ms that the figures are for."""

OURS = ("server", "laptop", "phone", "tablet", "router")
THEIRS = ("uno", "due", "tre")


def text(data):
    """Bytes for a command."""
    return base64.b64encode(data).decode()


async def settled(process, count, within_s=30.0):
    """Wait until a node has so many sessions with members."""
    async with asyncio.timeout(within_s):
        while len(await process.ask("sessions")) < count:  # noqa: ASYNC110 -- it is another process
            await asyncio.sleep(0.1)


class Field:
    """The hosts of both clusters, all connected."""

    def __init__(self, directory, made, wire):
        self.ours, self.theirs = Household(directory / "ours"), Household(directory / "theirs")
        self.wire = wire
        self.at = dict(zip((*OURS, *THEIRS), made, strict=True))
        self.address = {name: f"198.18.{number}.1" for number, name in enumerate(self.at, start=1)}

    async def open(self):
        """Start everybody; all of a cluster are connected, and each of theirs with all of ours."""
        contacts = {}
        for home, names in ((self.ours, OURS), (self.theirs, THEIRS)):
            for name in names:
                home.add(name)
            for name in names:
                contacts[name] = await self.at[name].ask("open", str(home.directory / name))
            chain = (home.chain.cluster.hex(), text(encode_bundle(home.chain)))
            for name in names:
                await self.at[name].ask("say", *chain)
        for process in self.at.values():
            await process.ask("know", list(contacts.values()))
        for home, first, name in ((self.theirs, "server", "bob"), (self.ours, "uno", "alice")):
            genesis, bundle = text(home.chain.genesis.encode()), text(encode_bundle(home.chain))
            await self.at[first].ask("trust", genesis, bundle, name)
        for name in OURS:
            await settled(self.at[name], len(OURS) - 1)
        for theirs in THEIRS:
            for ours in OURS:
                await self.at[theirs].ask("connect", contacts[ours])
        everybody = len(OURS) + len(THEIRS) - 1
        for name in OURS:
            await settled(self.at[name], everybody)
        for name in THEIRS:
            await settled(self.at[name], everybody)

    async def revoke(self, victim, teller):
        """Revoke a node of ours by the root's word, given to one node; returns its key, and when."""
        key = await self.at[victim].ask("key")
        for name in self.at:
            if name != victim:
                await self.at[name].ask("look_for", key)
        statement = self.ours.pen.revoke(self.ours.path(victim), Scope.BRANCH, now(), reason=Reason.STOLEN)
        bundle = text(encode_bundle([statement]))
        return key, await self.at[teller].ask("say", self.ours.chain.cluster.hex(), bundle)

    async def after(self, what, began, but):
        """Seconds from ``began`` until everybody but some has seen it; all must."""
        names = [name for name in self.at if name not in but]
        seen = await asyncio.gather(*(self.at[name].ask("when", what) for name in names))
        missing = [name for name, at in zip(names, seen, strict=True) if at is None]
        assert not missing, f"{what} was not seen by {missing}"
        return max(seen) - began

    def part(self, *names):
        """Cut these hosts off from the others."""
        self.wire.apart = {socket.inet_aton(self.address[name]) for name in names}

    def heal(self):
        """Let everything pass again; returns when."""
        self.wire.apart = set()
        return asyncio.get_running_loop().time()


async def measure(directory, *, partitions_s=(8.0,)):
    """The figures of one run.

    Raises:
        Forbidden: This machine lets us make no hosts.
    """
    wires = []
    count = len(OURS) + len(THEIRS)
    async with hosts(count, delay_s=DELAY_S, program=PROGRAM, wires=wires) as made:
        field = Field(directory, made, wires[0])
        await field.open()
        figures = {"hosts": count, "round_trip_ms": 2000 * DELAY_S}
        old, began = await field.at["router"].ask("rekey")
        renamed = await field.after(f"renamed {old}", began, but=("router",))
        figures["rekey_sessions_renamed_max_s"] = round(renamed, 3)
        key, began = await field.revoke("router", "server")
        figures["revoked_known_max_s"] = round(await field.after(f"out {key}", began, but=("router",)), 3)
        figures["session_cut_max_s"] = round(await field.after(f"cut {key}", began, but=("router",)), 3)
        healed = {}
        for victim, parted_s in zip(("tablet", "phone"), partitions_s, strict=False):
            field.part("laptop", "due", victim)
            await asyncio.sleep(parted_s)
            key, _ = await field.revoke(victim, "server")
            await asyncio.sleep(1.0)
            began = field.heal()
            took = await field.after(f"out {key}", began, but=("router", "tablet", victim))
            cut = await field.after(f"cut {key}", began, but=[
                name for name in field.at if name not in ("laptop", "due")
            ])  # fmt: skip
            healed[f"after_{parted_s:g}_s"] = round(max(took, cut), 3)
        figures["healed"] = healed
        figures["healed_known_max_s"] = max(healed.values())
        return figures
