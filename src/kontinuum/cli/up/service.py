"""Start a network of node processes, make it work, and end it without leaving anything behind.

Bounds:   the plan's time-out for everything but staying; CALL_TIMEOUT_S per call; every wait on a child also
          ends when the child does.
Trust:    nothing is believed of a node that can be computed here: files and messages are hashed by us.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError
from kontinuum.cli.up.child import Child
from kontinuum.cli.up.summary import NodeState, PairState, Plan, Summary
from kontinuum.cli.up.table import LiveTable
from kontinuum.cli.up.topic import TopicTraffic
from kontinuum.cli.up.workplace import digest_of, generate_file, workplace
from kontinuum.node.operations import DIGEST_PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kontinuum.cli.output import Output

POW_BITS = 12
"""Proof of work of the private network: some thousand hashes, no time at all (issue 3, section 5)."""

START_TIMEOUT_S = 20.0
"""Seconds that a node may take to start. Our choice: it takes about one."""

MEET_TIMEOUT_S = 15.0
"""Seconds in which two nodes must have heard of each other. Our choice: it takes about one."""

RESOLVE_TIMEOUT_S = 20.0
"""Seconds in which a node must have found another one by its key. Our choice: it takes some milliseconds once
the other one has published where it is."""

MEET_PAUSE_S = 0.1
"""Seconds between two attempts to reach a node that is not known yet."""

CALL_TIMEOUT_S = 5.0
"""Seconds for one call. Our choice: on one machine it takes a millisecond."""

CALLS_PER_ROUND = 50
"""Calls of each node to each other one in one round."""

ROUND_PAUSE_S = 1.0
"""Seconds between two rounds while the network stays."""


async def run_network(plan: Plan, output: Output) -> Summary:
    """Carry the plan out; return what happened. Ctrl-C ends it in order and is part of what happened.

    Raises:
        CliError: the nodes have no place to live.
    """
    with workplace(plan.directory) as place:
        network = _Network(plan, place)
        await network.run(output)
        return network.summary


class _Network:
    """The processes of one run, and what is known about them."""

    def __init__(self, plan: Plan, place: Path) -> None:
        self.summary = Summary([NodeState(index) for index in range(plan.nodes)])
        self._plan = plan
        self._place = place
        self._children = [Child(index, place / f"node-{index + 1}") for index in range(plan.nodes)]
        self._started = time.monotonic()
        self._work: asyncio.Task[None] | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._message_digest = b""
        self._topic = TopicTraffic(self.summary, self._children, self._problem)

    async def run(self, output: Output) -> None:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._interrupt)
        footer = "Ctrl-C ends the network" if self._plan.stay else ""
        try:
            async with LiveTable(self.summary, output, footer):
                self._work = asyncio.create_task(self._carry_out())
                with suppress(asyncio.CancelledError):
                    await self._work
        except CliError as error:
            self.summary.problems.append(str(error))
        finally:
            self.summary.elapsed_s = time.monotonic() - self._started
            await self._end()
            for number in signals:
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        # Whoever presses Ctrl-C twice still gets an orderly end: it takes END_TIMEOUT_S at most.
        self.summary.interrupted = True
        if self._work is not None:
            self._work.cancel()

    async def _end(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        for child in self._children:
            child.ask_to_end()
        await self._topic.close()
        await asyncio.gather(*[child.end() for child in self._children])

    async def _carry_out(self) -> None:
        try:
            async with asyncio.timeout(self._plan.timeout_s):
                await self._start()
                await self._topic.join()
                await self._round(self._resolve)
                await self._round(self._meet)
                await self._round(self._call_each)
                await self._topic.publish()
                await self._send_file()
                await self._look()
                self.summary.complete = True
        except TimeoutError:
            self.summary.problems.append(f"not done within {self._plan.timeout_s:g} s")
            if not self._plan.stay:
                return
        while self._plan.stay:
            await asyncio.sleep(ROUND_PAUSE_S)
            await self._round(self._call_each)
            await self._topic.publish()
            await self._look()

    # --- starting -----------------------------------------------------------------------------------

    async def _start(self) -> None:
        network = f"up-{secrets.token_hex(8)}"
        options = ["--network", network, "--pow-bits", str(POW_BITS), "--listen", "127.0.0.1:0"]
        options += ["--no-mdns", "--metrics", "off", "--log-format", "json"]
        await self._start_one(self._children[0], options)
        bootstrap = ["--bootstrap", self._children[0].ready["contact"]]
        async with asyncio.TaskGroup() as group:
            for child in self._children[1:]:
                group.create_task(self._start_guarded(child, [*options, *bootstrap]))

    async def _start_guarded(self, child: Child, options: list[str]) -> None:
        """Like :meth:`_start_one`, but one node that does not start leaves the others running."""
        try:
            await self._start_one(child, options)
        except CliError as error:
            self._problem(str(error))
            self.summary.nodes[child.index].phase = "not started"

    async def _start_one(self, child: Child, options: list[str]) -> None:
        state = self.summary.nodes[child.index]
        await child.start(options, START_TIMEOUT_S)
        state.peer_id, state.pid, state.alive, state.phase = (
            child.ready["peer_id"],
            child.pid,
            True,
            "running",
        )
        state.address = next(iter(child.ready["addresses"]), "")
        self._watchers.append(asyncio.create_task(self._watch(child)))

    async def _watch(self, child: Child) -> None:
        words = await child.wait()
        state = self.summary.nodes[child.index]
        state.alive = False
        state.phase = words
        self._problem(f"node {child.index + 1} ({state.peer_id[:8]}) {words}")

    def _problem(self, text: str) -> None:
        if text not in self.summary.problems:
            self.summary.problems.append(text)

    # --- calling ------------------------------------------------------------------------------------

    async def _round(self, visit: Any) -> None:
        """Let every living node visit every other living one; nodes side by side, each one in order."""

        async def visit_all(child: Child) -> None:
            for other in self._children:
                if other is not child and self._alive(child) and self._alive(other):
                    pair = self.summary.nodes[child.index].pairs.setdefault(other.index, PairState())
                    try:
                        await visit(child, other, pair)
                    except CliError as error:
                        await asyncio.sleep(0)  # The news of a death may be waiting behind us.
                        pair.calls_failed += 1
                        if self._alive(child) and self._alive(other):
                            self._problem(f"node {child.index + 1} to node {other.index + 1}: {error}")

        async with asyncio.TaskGroup() as group:
            for child in self._children:
                group.create_task(visit_all(child))

    def _alive(self, child: Child) -> bool:
        return self.summary.nodes[child.index].alive

    async def _resolve(self, child: Child, other: Child, pair: PairState) -> None:
        """Find a node by its key, through the DHT alone: what peers have told otherwise does not count."""
        deadline = time.monotonic() + RESOLVE_TIMEOUT_S
        asked = {"target": other.ready["peer_id"], "timeout_s": CALL_TIMEOUT_S}
        while True:
            try:
                found = await child.ask("dht.find", asked)
                break
            except CliError as error:
                await asyncio.sleep(MEET_PAUSE_S)
                if not self._alive(child) or not self._alive(other):
                    return
                # A node publishes where it is once it has met its network.
                if time.monotonic() > deadline:
                    self._problem(f"node {child.index + 1} did not find node {other.index + 1}: {error}")
                    return
        if [peer["contact"] for peer in found["peers"]] == [other.ready["contact"]]:
            pair.resolve_ms = found["elapsed_ms"]
        else:
            self._problem(f"node {child.index + 1} found another contact than that of node {other.index + 1}")

    async def _meet(self, child: Child, other: Child, pair: PairState) -> None:
        """Bring the message to a node of which only the identity is said; the network must know the rest."""
        self.summary.messages_sent += 1
        deadline = time.monotonic() + MEET_TIMEOUT_S
        while True:
            try:
                result = await child.ask("call", self._message_call(other, 1))
                break
            except CliError:
                if time.monotonic() > deadline or not self._alive(child) or not self._alive(other):
                    raise
            await asyncio.sleep(MEET_PAUSE_S)
        pair.calls_ok += 1
        if base64.b64decode(result["data"]) == self._expected():
            self.summary.messages_verified += 1
        else:
            self._problem(f"node {other.index + 1} got another message than node {child.index + 1} sent")

    async def _call_each(self, child: Child, other: Child, pair: PairState) -> None:
        result = await child.ask("call", self._message_call(other, CALLS_PER_ROUND))
        pair.calls_ok += result["calls_ok"]
        pair.calls_failed += result["calls_failed"]
        pair.round_ok, pair.round_ms = result["calls_ok"], result["elapsed_ms"]

    def _message_call(self, other: Child, count: int) -> dict[str, Any]:
        return {
            "peer": other.ready["peer_id"],
            "protocol": DIGEST_PROTOCOL,
            "data": base64.b64encode(self._plan.message).decode(),
            "count": count,
            "timeout_s": CALL_TIMEOUT_S,
        }

    def _expected(self) -> bytes:
        if not self._message_digest:
            from kontinuum.transfer.digest import new_blake3  # Loads the engine.

            hasher = new_blake3()
            hasher.update(self._plan.message)
            self._message_digest = hasher.digest()
        return self._message_digest

    async def _look(self) -> None:
        """Ask every living node how it sees the others."""
        by_peer_id = {child.ready.get("peer_id"): child.index for child in self._children}
        for child in self._children:
            if not self._alive(child):
                continue
            try:
                seen = (await child.ask("peers"))["peers"]
            except CliError as error:
                await asyncio.sleep(0)
                if self._alive(child):
                    self._problem(f"node {child.index + 1}: {error}")
                continue
            pairs = self.summary.nodes[child.index].pairs
            for pair in pairs.values():
                pair.connected = False
            for peer in seen:
                index = by_peer_id.get(peer["peer_id"])
                if index is not None and index != child.index:
                    pair = pairs.setdefault(index, PairState())
                    pair.connected = peer["connected"]
                    pair.path = peer["path"] or ""
                    pair.rtt_ms = peer["rtt_ms"]

    # --- the file -----------------------------------------------------------------------------------

    async def _send_file(self) -> None:
        """Send the file from the first living node to every other one, side by side."""
        path = self._plan.file
        if path is None:
            path = await asyncio.to_thread(generate_file, self._place / "generated.bin")
        summary = self.summary
        summary.file_name = path.name
        summary.file_bytes = path.stat().st_size
        summary.file_digest = await asyncio.to_thread(digest_of, path)
        living = [child for child in self._children if self._alive(child)]
        summary.file_receivers = len(self._children) - 1
        if len(living) < 2:
            self._problem("nobody is there to take the file")
            return
        started = time.monotonic()
        summary.nodes[living[0].index].file = "sending"
        async with asyncio.TaskGroup() as group:
            for other in living[1:]:
                group.create_task(self._send_one(living[0], other, path))
        summary.file_s = time.monotonic() - started
        summary.nodes[living[0].index].file = "sent"

    async def _send_one(self, child: Child, other: Child, path: Path) -> None:
        state = self.summary.nodes[other.index]
        target = self._place / f"received-{other.index + 1}"
        target.mkdir(exist_ok=True)
        ready = asyncio.Event()

        def show(event: Mapping[str, Any]) -> None:
            if event["type"] == "ready":
                ready.set()
            elif event["type"] == "progress":
                state.file_done = event["done"]

        params = {
            "to": str(target),
            "overwrite": True,
            "bytes_max": self.summary.file_bytes,
            "from": [child.ready["peer_id"]],
            "sessions": 1,
        }
        state.file = "receiving"
        try:
            async with AsyncExitStack() as stack:
                receiving = asyncio.create_task(other.ask("receive", params, show))
                stack.callback(receiving.cancel)
                waiting = asyncio.create_task(ready.wait())
                stack.callback(waiting.cancel)
                await asyncio.wait([receiving, waiting], return_when=asyncio.FIRST_COMPLETED)
                if not ready.is_set():
                    await receiving
                sent = await child.ask("send", {"peer": other.ready["peer_id"], "paths": [str(path)]})
                await receiving
        except CliError as error:
            state.file = "failed"
            self._problem(f"the file did not reach node {other.index + 1}: {error}")
            return
        arrived = target / sent["files"][0]["name"]
        digest = await asyncio.to_thread(digest_of, arrived)
        if digest and digest == self.summary.file_digest == sent["files"][0]["blake3"]:
            self.summary.file_verified_by += 1
            state.file, state.file_done = "verified", self.summary.file_bytes
        else:
            state.file = sent["files"][0]["code"] if sent["files"][0]["code"] != "stored" else "different"
            self._problem(f"the file at node {other.index + 1} is not the one that was sent: {state.file}")
