"""The application's validators: asked before a message is delivered and forwarded.

A plain function answers at once; a coroutine runs as a task while messages of other peers go on.
Source: libp2p specs, pubsub/gossipsub/gossipsub-v1.1.md, "Extended Validators".
Bounds: VALIDATIONS_MAX coroutines at once, VALIDATIONS_PER_PEER_MAX for messages of one peer, each for at
        most VALIDATION_TIMEOUT_S. What exceeds a bound is ignored, without blame, and counted.
Trust:  a validator may raise or return anything: that is a fault of ours, so the message is ignored.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.base.log import RoomLogger
from kontinuum.gossip.events import Message, Verdict

if TYPE_CHECKING:
    from kontinuum.identity import PeerId

Validator = Callable[[Message], Verdict | Awaitable[Verdict]]
"""Says what is to be done with a message. A plain function runs inline and must not block."""

VALIDATIONS_MAX = 1024
"""Coroutines of validators at once. Our choice; messages beyond it are ignored."""

VALIDATIONS_PER_PEER_MAX = 256
"""Of these, for messages that one peer has sent us. Our choice: a flood takes no more than its share."""

VALIDATION_TIMEOUT_S = 10.0
"""Seconds that a validator may take. Our choice; by then the others have it."""

_log = RoomLogger("gossip")


class Validators:
    """The validators of one node, and those of them that are at work.

    Args:
        report: Told the verdict on each message that :meth:`begin` was called for, once.
    """

    def __init__(self, report: Callable[[Message, Verdict], None]) -> None:
        self.counts: Counter[str] = Counter()
        """Verdicts, and why there was none: ``throttled``, ``timed_out``, ``failed``."""
        self._report = report
        self._by_topic: dict[str, list[Validator]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._per_peer: Counter[PeerId] = Counter()
        self._closing = False

    @property
    def at_work(self) -> int:
        """Coroutines that have not answered yet."""
        return len(self._tasks)

    def of(self, topic: str) -> bool:
        """Whether messages of ``topic`` are to be asked about."""
        return topic in self._by_topic

    def add(self, topic: str, validator: Validator) -> None:
        """Ask ``validator`` about each message of ``topic``, after those that are there already.

        Raises:
            MisuseError: It is there already.
        """
        validators = self._by_topic.setdefault(topic, [])
        if validator in validators:
            raise MisuseError(f"this validator of {topic!r} was added already")
        validators.append(validator)

    def remove(self, topic: str, validator: Validator) -> None:
        """Ask it no more.

        Raises:
            MisuseError: It is none of this topic.
        """
        validators = self._by_topic.get(topic, [])
        if validator not in validators:
            raise MisuseError(f"this is no validator of {topic!r}")
        validators.remove(validator)
        if not validators:
            del self._by_topic[topic]

    def begin(self, message: Message) -> None:
        """Ask about ``message``. The verdict is reported within this call if no validator has to wait."""
        validators = tuple(self._by_topic.get(message.topic, ()))
        for position, validator in enumerate(validators):
            try:
                answer = validator(message)
            except Exception as error:  # noqa: BLE001 -- a validator may raise anything
                self._failed(message, error)
                return
            if inspect.isawaitable(answer):
                self._begin_task(message, answer, validators[position + 1 :])
                return
            if answer is not Verdict.ACCEPT:
                self._end(message, answer)
                return
        self._end(message, Verdict.ACCEPT)

    async def close(self) -> None:
        """Ask nothing more, and wait for what runs."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin_task(self, message: Message, first: Awaitable[Verdict], rest: tuple[Validator, ...]) -> None:
        peer = message.received_from
        if (
            self._closing
            or len(self._tasks) >= VALIDATIONS_MAX
            or self._per_peer[peer] >= VALIDATIONS_PER_PEER_MAX
        ):
            if inspect.iscoroutine(first):
                first.close()
            self.counts["throttled"] += 1
            self._report(message, Verdict.IGNORE)
            return
        task = asyncio.get_running_loop().create_task(self._work(message, first, rest))
        self._tasks.add(task)
        self._per_peer[peer] += 1

        def end(_task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]

        task.add_done_callback(end)

    async def _work(self, message: Message, first: Awaitable[Verdict], rest: tuple[Validator, ...]) -> None:
        try:
            async with asyncio.timeout(VALIDATION_TIMEOUT_S):
                answer = await first
                for validator in rest:
                    if answer is not Verdict.ACCEPT:
                        break
                    given = validator(message)
                    answer = await given if inspect.isawaitable(given) else given
        except TimeoutError:
            self.counts["timed_out"] += 1
            self._report(message, Verdict.IGNORE)
        except Exception as error:  # noqa: BLE001 -- a validator may raise anything
            self._failed(message, error)
        else:
            self._end(message, answer)

    def _end(self, message: Message, answer: object) -> None:
        if not isinstance(answer, Verdict):
            self._failed(message, TypeError(f"a validator returned {type(answer).__name__}, no Verdict"))
            return
        self.counts[answer.value] += 1
        self._report(message, answer)

    def _failed(self, message: Message, error: Exception) -> None:
        _log.error("a validator failed; the message is ignored", topic=message.topic, exc_info=error)
        self.counts["failed"] += 1
        self._report(message, Verdict.IGNORE)
