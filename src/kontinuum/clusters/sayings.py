"""What the nodes of one cluster tell each other besides chains: whom the cluster trusts, who is ordered what.

Bounds:   those of the list of trust and of the orders; an order or an entry that we do not have costs its
          sender a piece of work, and is passed over beyond those.
Trust:    only nodes of our own cluster are listened to, and each entry and order bears its author's
          signature: a node can pass them on, and cannot make them.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError, UnavailableError
from kontinuum.clusters import events as ev
from kontinuum.clusters.members import Judgement
from kontinuum.clusters.messages import DIGEST_BYTES, Orders, Trust
from kontinuum.clusters.trust import TrustEntry
from kontinuum.identity import BadSignatureError
from kontinuum.keys.errors import WrongClusterError
from kontinuum.keys.orders import Order
from kontinuum.transport.errors import CloseCode
from kontinuum.wire.limits import CLUSTER_TRUST_ENTRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kontinuum.clusters.orders_kept import OrdersKept
    from kontinuum.clusters.sessions import Parts, Session
    from kontinuum.identity import PeerId


class Sayings:
    """The list of trust and the orders, between us and our fellows.

    Args:
        parts: What the machine's parts share.
        orders: The orders.
        trusted: Called when the list of trust changed, before anybody is told.
    """

    def __init__(self, parts: Parts, orders: OrdersKept, trusted: Callable[[Session | None], None]) -> None:
        self._parts = parts
        self._orders = orders
        self._trusted = trusted
        self._told: list[bytes] = []
        self._told_state = (-1, -1)
        """Of what the list of trust and our chain were when ``_told`` was made."""

    def digest(self, session: Session) -> bytes:
        """What both compare; of nothing between different clusters."""
        digest = hashlib.sha256(b"kontinuum/cluster-sayings/v1\0")
        if session.is_fellow:
            for each in (*self._entries(), *self._orders.encoded()):
                digest.update(hashlib.sha256(each).digest())
        return digest.digest()[:DIGEST_BYTES]

    def say(self, session: Session) -> None:
        """Tell a fellow everything."""
        self._send_trust(session, self._entries())
        for order in self._orders.encoded():
            self._parts.send(session, Orders(order))

    # --- trust ---

    def on_trust(self, session: Session, message: Trust, now: float) -> None:
        """A fellow shows entries of the list of trust."""
        if not session.is_fellow:
            return
        known = set(self._entries())
        entries: list[TrustEntry] = []
        for data in message.entries:
            if data in known:
                continue
            if not session.work.take(1, now):
                self._parts.counts["trust_passed_over"] += 1
                break  # Summaries go on to differ, so that the rest comes again.
            try:
                entry = TrustEntry.decode(data)
            except BadSignatureError:
                self._parts.cut(session, CloseCode.NONE, "an entry of trust that its author did not sign")
                return
            except PeerError:
                self._parts.bar(session, "malformed")
                return
            if entry.own != self._parts.book.cluster:
                self._parts.bar(session, "foreign")
                return
            if self._counts(entry):
                entries.append(entry)
            else:
                self._parts.counts["trust_passed_over"] += 1
        self.add_trust(entries, session)

    def add_trust(self, entries: Sequence[TrustEntry], source: Session | None) -> None:
        """Take entries in, and tell the other fellows."""
        added = self._parts.book.merge_trust(entries)
        if added:
            self._parts.out.append(ev.SaveTrust())
            self._trusted(source)
            encoded = [entry.encode() for entry in added]
            for fellow in list(self._parts.fellows()):
                if fellow is not source:
                    self._send_trust(fellow, encoded)

    def _counts(self, entry: TrustEntry) -> bool:
        """Whether its author speaks, or spoke, for a node of ours. What others say is not passed on."""
        judged = self._parts.book.judge(entry.author)
        speaks = judged.judgement in (Judgement.MEMBER, Judgement.SUPERSEDED)
        return speaks and judged.member is not None and judged.member.own

    # --- orders ---

    def on_order(self, session: Session, message: Orders, now: float) -> None:
        """A fellow passes an order on."""
        if not session.is_fellow:
            return
        try:
            order = Order.decode(message.order)
        except PeerError:
            self._parts.bar(session, "malformed")
            return
        if not self._orders.is_news(order):
            return
        if not session.work.take(1, now):
            self._parts.counts["orders_passed_over"] += 1
            return
        try:
            self.add_order(order, session)
        except (BadSignatureError, WrongClusterError):
            self._parts.cut(session, CloseCode.NONE, "an order that nobody gave")
        except (PeerError, UnavailableError):
            self._parts.counts["orders_passed_over"] += 1

    def add_order(self, order: Order, source: Session | None) -> None:
        """Keep an order, and tell the other fellows. Raises as :meth:`OrdersKept.take`."""
        self._orders.take(order)
        encoded = order.encode()
        for fellow in self._parts.fellows():
            if fellow is not source:
                self._parts.send(fellow, Orders(encoded))

    def _send_trust(self, session: Session, entries: Sequence[bytes]) -> None:
        for start in range(0, len(entries), CLUSTER_TRUST_ENTRIES_MAX):
            self._parts.send(session, Trust(tuple(entries[start : start + CLUSTER_TRUST_ENTRIES_MAX])))

    def _entries(self) -> list[bytes]:
        """What is told of the list of trust, sorted."""
        book = self._parts.book
        state = (book.trust.version, 0 if book.own is None else len(book.own))
        if state != self._told_state:
            self._told_state = state
            counts: dict[PeerId, bool] = {}
            for entry in book.trust:
                if entry.author not in counts:
                    counts[entry.author] = self._counts(entry)
            self._told = sorted(entry.encode() for entry in book.trust if counts[entry.author])
        return self._told
