"""The methods of a node that publish and subscribe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.gossip.subscription import Drop, Subscription
    from kontinuum.gossip.validation import Validator
    from kontinuum.identity import PeerId
    from kontinuum.node.pubsub import NodePubSub


class PubSubMethods(ABC):
    """Topics of a node. A part of ``Node``."""

    @property
    @abstractmethod
    def pubsub(self) -> NodePubSub:
        """Publish and subscribe of this node: all that the methods below do, and more.

        Raises:
            MisuseError: The node does not run.
            PubSubOffError: The setting ``pubsub`` is off.
        """

    def subscribe(
        self,
        topic: str,
        *,
        messages_max: int | None = None,
        bytes_max: int | None = None,
        drop: Drop | str = "oldest",
        own: bool = True,
    ) -> Subscription:
        """The messages of a topic: ``async with node.subscribe("news") as messages``, then ``async for``.

        A topic may have several subscribers; each gets every message. What waits for one that does not keep
        up is bounded: beyond that it loses messages, which its ``dropped`` counts, and nobody waits for it.

        Args:
            topic: Its name, 1 to 256 bytes as UTF-8.
            messages_max: Messages that may wait; the setting ``pubsub_buffer_messages`` if not given.
            bytes_max: Bytes of data that may wait; the setting ``pubsub_buffer_bytes`` if not given.
            drop: What gives way beyond that: the ``oldest`` or the ``newest``.
            own: Whether messages that this node publishes are wanted, too.

        Raises:
            MisuseError: A bound is below 1, there is no such way to drop, or (on entering) the name is none.
        """
        return self.pubsub.subscribe(
            topic, messages_max=messages_max, bytes_max=bytes_max, drop=drop, own=own
        )

    async def publish(self, topic: str, data: bytes) -> int:
        """Sign ``data`` and send it to everybody in ``topic``; the node need not be in it. Waits for nobody.

        Returns:
            To how many peers it was sent at once; they pass it on. If nobody is known yet, 0: it goes to the
            first peers of the topic that turn up within half a minute.

        Raises:
            NotPublishedError: It is longer than the setting ``pubsub_message_bytes_max``.
            MisuseError: The topic's name is none.
        """
        return await self.pubsub.publish(topic, data)

    async def publish_many(self, messages: Iterable[tuple[str, bytes]]) -> list[int]:
        """:meth:`publish` for pairs of topic and data, which spread sooner than if they came one by one."""
        return await self.pubsub.publish_many(messages)

    def topic_peers(self, topic: str) -> list[PeerId]:
        """Connected peers that are in ``topic``, whether or not this node is."""
        return self.pubsub.topic_peers(topic)

    def add_validator(self, topic: str, validator: Validator) -> None:
        """Ask ``validator`` about each message of ``topic`` before it is delivered and passed on.

        Args:
            topic: Its name.
            validator: Gets the message and returns a ``Verdict``: ACCEPT, IGNORE, or REJECT, which costs the
                peer that sent it. A coroutine has ten seconds; a plain function must not block. With several
                of them the first that does not accept decides.

        Raises:
            MisuseError: It was added already.
        """
        self.pubsub.add_validator(topic, validator)

    def remove_validator(self, topic: str, validator: Validator) -> None:
        """Ask it no more. Raises a MisuseError if it is no validator of that topic."""
        self.pubsub.remove_validator(topic, validator)
