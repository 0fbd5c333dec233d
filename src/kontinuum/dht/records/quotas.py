"""How much of the store one sender, its /24 and its /16 may take, and how often they may ask.

A /16 may hold NETWORK_SHARE of the store, a /24 all that its /16 may hold, a peer all that its /24 may: but
only while what it is a part of is empty; when half of that is taken, a quarter of it. So whoever comes late
finds less, but something; a store never fills up; and nothing of anybody has to go for a newcomer.

Source:   Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM
          Transactions on Networking 6(2), 1998 (shares); ITU-T I.371, annex A: generic cell rate algorithm
          (rates). A /16 and a /24 stand for a /32 and a /48 of IPv6 (``kontinuum.dht.prefixes``).
Differs:  a share goes with the square of the room, not with the room. A store does not drain as a queue does:
          there each newcomer would take the same part of what is left, and forty /16 would leave nothing.
          So, n greedy /16 leave 1 / (1 + n / 8) of the store, and after 500 the next still gets a record in.
Bounds:   accounts exist only for what is held; RATES_MAX senders and prefixes are remembered for their rate.
Trust:    ``sender`` and ``ip`` are proven by the connection.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.dht.events import Refusal
from kontinuum.dht.prefixes import PREFIX_CACHE_MAX, cap_prefix, latency_prefix

if TYPE_CHECKING:
    from kontinuum.identity import PeerId

PEER_ENTRIES_MAX = 100
"""Entries that one peer may have us hold. The project's seed. More: refused, ``Refusal.QUOTA``."""

PEER_BYTES_MAX = 2**20
"""Bytes that one peer may have us hold, ENTRY_BYTES for each entry included. The project's seed. More:
refused, ``Refusal.QUOTA``."""

NETWORK_SHARE = 1 / 8
"""Part of an empty store that a /16, or a peer on no public network, may hold. Our choice (docs/dht.md): with
what it takes itself a /16 gets to 10 % of the store, one /24 to 4.4 %, one peer to 2.7 %. More: refused,
``Refusal.QUOTA``, or ``Refusal.FULL`` if it holds nothing yet."""

PUTS_PER_S_PEER = 1.0
"""Records a second that one peer may send. Our choice: a hundred records are published anew in two minutes.
More: refused, ``Refusal.BUSY``."""

PUTS_BURST_PEER = 120
"""Records that one peer may send at once. Our choice: all that it may have us hold, and some newer ones.
More: refused, ``Refusal.BUSY``."""

PUTS_PER_S_PREFIX = 4.0
"""Records a second from one /24. Our choice. More: refused, ``Refusal.BUSY``."""

PUTS_BURST_PREFIX = 480
"""Records at once from one /24. Our choice: four peers. More: refused, ``Refusal.BUSY``."""

RATES_MAX = 4096
"""Senders and prefixes whose rate is remembered. Our choice; beyond it the one that was quiet for longest is
forgotten. Nobody escapes by that alone: a peer that sends on is never the quiet one."""


_NOTHING = (0, 0)


@lru_cache(maxsize=PREFIX_CACHE_MAX)
def neighbourhoods(ip: str) -> tuple[str, ...]:
    """The /16 and the /24 of an address; none for one that is not known, or not on the internet."""
    prefix = cap_prefix(ip) if ip else None
    return () if prefix is None else (latency_prefix(ip), prefix)


def _names(sender: PeerId, ip: str) -> tuple[PeerId | str, ...]:
    """Whom an entry counts to, from the widest to the narrowest."""
    return (*neighbourhoods(ip), sender)


class Quotas:
    """Who holds how much: accounts of peers, of their /24 and of their /16.

    Args:
        bytes_max: All that may be held.
    """

    __slots__ = ("_accounts", "bytes", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        if bytes_max < 1:
            raise MisuseError("a store has room for a byte at least")
        self.bytes_max = bytes_max
        self.bytes = 0
        """All that is held."""
        self._accounts: dict[PeerId | str, tuple[int, int]] = {}

    def refusal(self, sender: PeerId, ip: str, cost: int) -> Refusal:
        """Whether an entry of ``cost`` bytes fits; ``Refusal.NONE`` if it does."""
        used, entries = self._accounts.get(sender, _NOTHING)
        if entries >= PEER_ENTRIES_MAX or used + cost > PEER_BYTES_MAX:
            return Refusal.QUOTA
        above, taken, share = float(self.bytes_max), self.bytes, NETWORK_SHARE
        for name in _names(sender, ip):
            room = max(1 - (taken + cost) / above, 0.0)
            limit = share * above * room**2
            used = self._accounts.get(name, _NOTHING)[0]
            if used + cost > limit:
                return Refusal.QUOTA if used else Refusal.FULL
            above, taken, share = limit, used, 1.0
        return Refusal.NONE

    def take(self, sender: PeerId, ip: str, cost: int) -> None:
        """An entry is there."""
        self.bytes += cost
        for name in _names(sender, ip):
            used, entries = self._accounts.get(name, _NOTHING)
            self._accounts[name] = used + cost, entries + 1

    def give(self, sender: PeerId, ip: str, cost: int) -> None:
        """An entry is gone."""
        self.bytes -= cost
        for name in _names(sender, ip):
            used, entries = self._accounts[name]
            if entries == 1:
                del self._accounts[name]
            else:
                self._accounts[name] = used - cost, entries - 1

    def used(self, name: PeerId | str) -> tuple[int, int]:
        """Bytes and entries of a peer or a prefix."""
        return self._accounts.get(name, _NOTHING)

    def __len__(self) -> int:
        """Peers and prefixes that have something here."""
        return len(self._accounts)


class Rates:
    """How often peers and their /24 send: for each that sent lately, when it may send a whole burst again."""

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at: dict[PeerId | str, float] = {}

    def allow(self, sender: PeerId, ip: str, now: float) -> bool:
        """Whether one more may come now; it counts only if so."""
        full_at = self._full_at
        prefix = neighbourhoods(ip)[1:]
        by_peer = max(full_at.get(sender, now), now)
        by_prefix = max(full_at.get(prefix[0], now), now) if prefix else now
        allowed = (
            by_peer - now <= (PUTS_BURST_PEER - 1) / PUTS_PER_S_PEER
            and by_prefix - now <= (PUTS_BURST_PREFIX - 1) / PUTS_PER_S_PREFIX
        )
        # Refused ones are noted too, without cost: whoever goes on asking must not become the quiet one.
        if prefix:
            self._set(prefix[0], by_prefix + allowed / PUTS_PER_S_PREFIX)
        self._set(sender, by_peer + allowed / PUTS_PER_S_PEER)
        while full_at and (full_at[oldest := next(iter(full_at))] <= now or len(full_at) > RATES_MAX):
            del full_at[oldest]
        return allowed

    def _set(self, name: PeerId | str, at: float) -> None:
        self._full_at.pop(name, None)  # So that the first one is the one that was quiet for longest.
        self._full_at[name] = at

    def __len__(self) -> int:
        return len(self._full_at)
