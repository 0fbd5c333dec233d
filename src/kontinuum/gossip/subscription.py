"""What waits for one subscriber of a topic, and what is dropped when it does not keep up.

Bounds: MESSAGES_MAX messages and BYTES_MAX bytes of data wait, unless the subscriber says otherwise.
Trust:  whoever publishes decides how much comes; a subscriber that does not read loses messages of its own,
        counted in ``dropped``, and holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Self

from kontinuum.base.errors import MisuseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kontinuum.gossip.events import Message

MESSAGES_MAX = 1024
"""Messages that wait for one subscriber. Our choice: ten seconds of one publisher at its full rate."""

BYTES_MAX = 8 * 2**20
"""Bytes of data that wait for one subscriber. Our choice. A message that is alone may be larger."""


class Drop(Enum):
    """What gives way in a full buffer."""

    OLDEST = "oldest"
    """What waits the longest: for whoever wants to be up to date."""
    NEWEST = "newest"
    """What has just come: for whoever wants no gap in what it has read."""

    @classmethod
    def parse(cls, given: Drop | str) -> Drop:
        """The way that is named.

        Raises:
            MisuseError: There is none of that name.
        """
        try:
            return cls(given)
        except ValueError:
            raise MisuseError(f"a full buffer drops the oldest or the newest, not {given!r}") from None


class Subscription:
    """The messages of one topic from now on: ``async with node.subscribe(topic) as messages``.

    An asynchronous iterator. It ends when it is left, or when the node stops; what waits then can be read.

    Args:
        topic: Its name.
        join: Called when it begins; it gets messages from then on.
        leave: Called when it ends.
        messages_max: Messages that may wait.
        bytes_max: Bytes of data that may wait.
        drop: What gives way beyond that.
        own: Whether messages of this very node are wanted.

    Raises:
        MisuseError: A bound is below 1.
    """

    def __init__(
        self,
        topic: str,
        *,
        join: Callable[[Subscription], None],
        leave: Callable[[Subscription], None],
        messages_max: int = MESSAGES_MAX,
        bytes_max: int = BYTES_MAX,
        drop: Drop = Drop.OLDEST,
        own: bool = True,
    ) -> None:
        if messages_max < 1 or bytes_max < 1:
            raise MisuseError("a subscription lets at least one message and one byte wait")
        self.topic = topic
        self.own = own
        """Messages of this node are wanted as well."""
        self.received = 0
        """Messages that came, the dropped ones included."""
        self.dropped = 0
        """Messages lost because this subscriber did not keep up."""
        self._join = join
        self._leave = leave
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._drop_oldest = drop is Drop.OLDEST
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._joined = False
        self._ended = False

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    def __bool__(self) -> bool:
        return True

    async def __aenter__(self) -> Self:
        if self._joined:
            raise MisuseError("a subscription is entered once; make another one")
        self._join(self)
        self._joined = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the topic. A second call does nothing."""
        if not self._ended:
            self.end()
            if self._joined:
                self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if not self._joined:
            raise MisuseError("enter the subscription first: async with node.subscribe(topic) as messages")
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message.data)
        return message

    # --- called by the service ---

    def put(self, message: Message) -> bool:
        """A message came. Says whether nothing had to give way."""
        waiting, size = self._waiting, len(message.data)
        self.received += 1
        kept = True
        while waiting and (len(waiting) >= self._messages_max or self._bytes + size > self._bytes_max):
            kept = False
            self.dropped += 1
            if not self._drop_oldest:
                return False
            self._bytes -= len(waiting.popleft().data)
        waiting.append(message)
        self._bytes += size
        self._wake.set()
        return kept

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake.set()
