"""The topic of a network: every node is in it and publishes, and what each hears is counted here.

Bounds:   JOIN_TIMEOUT_S to join, DELIVERY_TIMEOUT_S for the messages of a round; a node that dies ends its
          part.
Trust:    a message counts as heard if it is one that another node of this network published, once.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import TYPE_CHECKING, Any

from kontinuum.cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kontinuum.cli.up.child import Child
    from kontinuum.cli.up.summary import Summary

TOPIC = "kontinuum/up"
"""What it is called."""

MESSAGES_PER_ROUND = 20
"""Messages of each node in one round."""

JOIN_TIMEOUT_S = 10.0
"""Seconds in which a node must have joined the topic. Our choice: it takes some milliseconds."""

DELIVERY_TIMEOUT_S = 10.0
"""Seconds in which all messages of a round must have been heard by all. Our choice: it takes some
milliseconds; what gossip must repair takes some seconds."""


class TopicTraffic:
    """What the nodes of one network say to each other in a topic.

    Args:
        summary: What is known; the nodes' figures are kept up to date.
        children: The nodes.
        problem: Told what went wrong, in words.
    """

    def __init__(self, summary: Summary, children: list[Child], problem: Callable[[str], None]) -> None:
        self._summary = summary
        self._children = children
        self._problem = problem
        self._tasks: list[asyncio.Task[None]] = []
        self._missing: dict[int, set[bytes]] = {child.index: set() for child in children}
        """What each node has not heard yet."""
        self._news = asyncio.Event()

    async def join(self) -> None:
        """Let all living nodes join, and listen to what they hear until :meth:`close`."""
        ready: list[asyncio.Event] = []
        for child in self._living():
            ready.append(asyncio.Event())
            self._tasks.append(asyncio.create_task(self._listen(child, ready[-1])))
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await asyncio.gather(*(each.wait() for each in ready))
        except TimeoutError:
            self._problem(f"not all nodes joined the topic within {JOIN_TIMEOUT_S:g} s")

    async def close(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def publish(self) -> None:
        """Let all living nodes publish at once, and wait until each has heard all the others."""
        for heard in self._missing.values():
            heard.clear()  # What an earlier round has lost stays lost.
        async with asyncio.TaskGroup() as group:
            for child in self._living():
                group.create_task(self._publish(child))
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                while any(self._missing[child.index] for child in self._living()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            lost = sum(len(self._missing[child.index]) for child in self._living())
            self._problem(f"{lost} messages of the topic were not heard within {DELIVERY_TIMEOUT_S:g} s")

    def _living(self) -> list[Child]:
        return [child for child in self._children if self._summary.nodes[child.index].alive]

    async def _publish(self, child: Child) -> None:
        state = self._summary.nodes[child.index]
        messages = [secrets.token_bytes(32) for _ in range(MESSAGES_PER_ROUND)]
        others = [other for other in self._living() if other is not child]
        for other in others:
            self._missing[other.index].update(messages)
        encoded = [base64.b64encode(message).decode() for message in messages]
        try:
            await child.ask("pubsub.publish", {"topic": TOPIC, "messages": encoded, "wait_s": 5})
        except CliError as error:
            for other in others:
                self._missing[other.index].difference_update(messages)
            await asyncio.sleep(0)  # The news of a death may be waiting behind us.
            if state.alive:
                self._problem(f"node {child.index + 1} could not publish: {error}")
            return
        state.published += len(messages)
        for other in others:
            self._summary.nodes[other.index].awaited += len(messages)

    async def _listen(self, child: Child, ready: asyncio.Event) -> None:
        state, missing = self._summary.nodes[child.index], self._missing[child.index]

        def take(event: Mapping[str, Any]) -> None:
            if event["type"] == "subscribed":
                ready.set()
                return
            message = base64.b64decode(event["data"])
            if message in missing:
                missing.remove(message)
                state.heard += 1
                self._news.set()

        try:
            await child.ask("pubsub.subscribe", {"topic": TOPIC, "messages_max": 100_000}, take)
        except CliError as error:
            await asyncio.sleep(0)
            if state.alive:
                self._problem(f"node {child.index + 1} hears no topic: {error}")
        finally:
            ready.set()
            self._news.set()  # Nobody waits any more for what it has not heard.
