"""What is new in a chain goes to the cluster's topic, once: also nodes without a session with us hear it.

Only those who know a cluster's id can read its topic, and on it nothing is said but about that cluster: so
nobody learns there whom a cluster trusts.

Bounds:   NEWS_BYTES_MAX for each message; HEARD_BYTES_MAX and HEARD_BYTES_PER_S are listened to; statements
          that wait to be published, by the chain.
Trust:    whoever knows the id can write there: statements are verified by the chain.
Pure:     no I/O or clock; chance is a seedable Rng.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.clusters import events as ev
from kontinuum.clusters.budget import Budget
from kontinuum.clusters.deadlines import Timer
from kontinuum.clusters.tags import open_news, seal_news, topic_of
from kontinuum.keys.bundles import bundles, decode_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.clusters.sessions import Parts
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.keys.statements import Statement

NEWS_BYTES_MAX = 64 * 1024
"""Bytes of one message on a topic. Our choice: news and, if they fit, what they build on. Of longer news
nothing is published; sessions bring them."""

NEWS_DELAY_S = 1.0
"""Seconds, at most, until news that came from a session are published, unless they were on the topic by then.
Our choice: a random part of it, so that one node speaks and the others need not."""

HEARD_BYTES_MAX = 1024 * 1024
"""Bytes that are listened to on all topics at once. Our choice. More: passed over; sessions bring it."""

HEARD_BYTES_PER_S = 64 * 1024
"""The same each second after that. Our choice."""


class News:
    """The topics of the clusters that we know.

    Args:
        parts: What the machine's parts share.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._topics: dict[str, ClusterId] = {}
        self._budget = Budget(HEARD_BYTES_MAX, HEARD_BYTES_PER_S, 0.0)
        self._waiting: dict[ClusterId, dict[StatementId, None]] = {}

    def follow(self) -> bool:
        """Name the topics to listen to, if they are others than before; says whether they are."""
        topics = {topic_of(cluster): cluster for cluster in self._parts.book.clusters()}
        if topics == self._topics:
            return False
        self._topics = topics
        self._parts.out.append(ev.Follow(tuple(topics)))
        return True

    def heard(self, event: ev.Heard, now: float) -> tuple[ClusterId, tuple[Statement, ...]] | None:
        """The statements in a message, and of which cluster."""
        cluster = self._topics.get(event.topic)
        if cluster is None or not self._budget.take(len(event.data), now):
            self._parts.counts["news_passed_over"] += 1
            return None
        try:
            if len(event.data) > 2 * NEWS_BYTES_MAX:
                return None
            statements = decode_bundle(open_news(cluster, event.data))
        except PeerError:
            self._parts.counts["news_malformed"] += 1
            return None
        waiting = self._waiting.get(cluster, {})
        for statement in statements:
            waiting.pop(statement.id, None)
        return cluster, statements

    def publish(self, cluster: ClusterId, statements: Sequence[Statement]) -> None:
        """Publish what our own user says."""
        chain = self._parts.book.chain(cluster)
        if chain is None:
            return
        whole = chain.foundation(statement.id for statement in statements)
        for each in (whole, statements):
            encoded = list(bundles(each))
            if len(encoded) == 1 and len(encoded[0]) <= NEWS_BYTES_MAX:
                self._parts.out.append(ev.Announce(topic_of(cluster), seal_news(cluster, encoded[0])))
                return

    def publish_later(self, cluster: ClusterId, statements: Sequence[Statement], now: float) -> None:
        """Publish what came from a session, unless somebody else does."""
        waiting = self._waiting.setdefault(cluster, {})
        waiting |= dict.fromkeys(statement.id for statement in statements)
        if not self._parts.deadlines.is_set(0, Timer.NEWS):
            delay_s = self._parts.rng.uniform(NEWS_DELAY_S / 10, NEWS_DELAY_S)
            self._parts.deadlines.set(0, Timer.NEWS, now + delay_s)

    def on_timer(self) -> None:
        """Publish what nobody else has published."""
        waiting, self._waiting = self._waiting, {}
        for cluster, ids in waiting.items():
            chain = self._parts.book.chain(cluster)
            if chain is not None:
                found = (chain.statement(statement_id) for statement_id in ids)
                statements = [statement for statement in found if statement is not None]
                if statements:
                    self.publish(cluster, statements)
