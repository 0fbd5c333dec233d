"""Ancestors' orders on their way: each node keeps them, and tells its fellows, until they were obeyed.

So an order reaches a node that sleeps now from whoever is awake when it wakes up.

Bounds:   ORDERS_MAX orders; of more, those of the lowest issuers make way for those of higher ones.
Trust:    an order is kept only after its signature was verified, its issuer is above its target, and both
          are in use. ``keys.orders`` decides whether it is obeyed.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.clusters import events as ev
from kontinuum.keys.errors import StaleOrderError
from kontinuum.keys.verdicts import branch_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.clusters.sessions import Parts
    from kontinuum.keys.bodies import StatementId
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.orders import Obedience, Order
    from kontinuum.keys.paths import Path

ORDERS_MAX = 256
"""Orders that a node keeps for others. Our choice: one for each place right below the root."""


class OrdersKept:
    """The orders of our cluster that were not obeyed yet.

    Args:
        parts: What the machine's parts share.
        obedience: What this node remembers of orders to itself.
        pending: Orders that were kept before.
    """

    def __init__(self, parts: Parts, obedience: Obedience, pending: Iterable[Order]) -> None:
        self._parts = parts
        self._obedience = obedience
        self._kept: dict[tuple[Path, StatementId], Order] = {
            (order.target, order.issuer): order for order in pending
        }

    def __len__(self) -> int:
        return len(self._kept)

    def encoded(self) -> list[bytes]:
        """All of them, sorted."""
        return sorted(order.encode() for order in self._kept.values())

    def start(self) -> None:
        """Give our own node again what it did not obey before it stopped."""
        self.prune()
        for order in self._kept.values():
            if order.target == self._parts.book.path:
                self._parts.out.append(ev.Ordered(order))

    def is_news(self, order: Order) -> bool:
        """Whether looking at its signature may be worth it."""
        kept = self._kept.get((order.target, order.issuer))
        return (kept is None or kept.sequence < order.sequence) and not self._is_past(order)

    def take(self, order: Order) -> None:
        """Verify an order and keep it; effects say so.

        Raises:
            StaleOrderError: It was obeyed, or there is no room for it.
            PeerError, UnavailableError: See :meth:`Order.verify`.
        """
        chain = self._chain()
        if not self.is_news(order):
            raise StaleOrderError("this order was obeyed already, or a newer one is known")
        mine = order.target == self._parts.book.path
        if mine:
            self._obedience.verify(order, chain)
        else:
            order.verify(chain)
            self._make_room(order, chain)
        self._kept[order.target, order.issuer] = order
        self._save()
        if mine:
            self._parts.out.append(ev.Ordered(order))

    def prune(self) -> bool:
        """Forget what was obeyed, or cannot be any more. Says whether there was any."""
        past = [key for key, order in self._kept.items() if self._is_past(order)]
        for key in past:
            del self._kept[key]
        if past:
            self._save()
        return bool(past)

    def _is_past(self, order: Order) -> bool:
        registers = self._chain().registers
        newest = max(registers.epochs(order.target), default=-1)
        return newest > order.leave or not branch_verdict(registers, order.target).living

    def _make_room(self, order: Order, chain: Chain) -> None:
        if len(self._kept) < ORDERS_MAX or (order.target, order.issuer) in self._kept:
            return
        lowest = max(self._kept, key=lambda key: self._level(chain, key[1]))
        if self._level(chain, lowest[1]) <= self._level(chain, order.issuer):
            raise StaleOrderError("no room for further orders")
        del self._kept[lowest]

    @staticmethod
    def _level(chain: Chain, issuer: StatementId) -> int:
        birth = chain.registers.birth(issuer)
        return 0 if birth is None else len(birth.path.steps)

    def _save(self) -> None:
        latest = tuple(sorted(self._obedience.latest.items()))
        self._parts.out.append(ev.SaveOrders(latest, tuple(self._kept.values())))

    def _chain(self) -> Chain:
        chain = self._parts.book.own
        if chain is None:
            raise AssertionError("orders are looked at in a cluster only")
        return chain
