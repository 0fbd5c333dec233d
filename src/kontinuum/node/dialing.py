"""In which order and when the addresses of a peer are tried, and when a dead peer is tried again.

Source: RFC 8305 ("Happy Eyeballs"), sections 4 and 5: families alternate, attempts overlap.
Bounds: ATTEMPTS_MAX dials of one peer at once; CONTACT_ADDRESSES_MAX addresses.
Trust:  addresses come from signed contacts and may still lie: a wrong one costs an attempt, never the race.
Pure:   no I/O or clock; the jitter comes from a seedable generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from kontinuum.base.entropy import Rng
from kontinuum.identity import Multiaddr, PeerId

ATTEMPT_DELAY_S = 0.25
"""Seconds before the next address is tried beside those that have not answered. RFC 8305, section 5."""

ATTEMPTS_MAX = 4
"""Dials of one peer at once. Our choice: bounds what a contact with 16 dead addresses costs."""

BACK_OFF_FIRST_S = 1.0
"""Seconds for which a peer is left alone after a failure. Doubles with every further one. Our choice."""

BACK_OFF_MAX_S = 300.0
"""Longest time for which a peer is left alone. Our choice: five minutes, so that a restart is noticed."""

BACK_OFF_PEERS_MAX = 4096
"""Peers whose failures are remembered; the oldest is forgotten. Our choice."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Effect: try this address."""

    address: Multiaddr


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Effect: no address is left, and none is being tried."""


class Race:
    """The addresses of one peer, raced. Call :meth:`start`, then the others; perform the effects in order."""

    def __init__(self, addresses: Sequence[Multiaddr]) -> None:
        self._left = _alternate(addresses)
        self._in_flight = 0
        self._next_at: float | None = None

    def start(self, now: float) -> list[Dial | GiveUp]:
        """Try the first address."""
        return self._advance(now)

    def on_failed(self, now: float) -> list[Dial | GiveUp]:
        """One of the addresses failed: the next one need not wait."""
        self._in_flight -= 1
        return self._advance(now)

    def handle_timeout(self, now: float) -> list[Dial | GiveUp]:
        """Try the next address if it is time."""
        return [] if self._next_at is None or now < self._next_at else self._advance(now)

    def next_deadline(self) -> float | None:
        """When the next address is due beside the others; ``None`` if none is."""
        return self._next_at

    def _advance(self, now: float) -> list[Dial | GiveUp]:
        self._next_at = None
        if not self._left:
            return [] if self._in_flight else [GiveUp()]
        if self._in_flight >= ATTEMPTS_MAX:
            return []
        self._in_flight += 1
        address = self._left.pop(0)
        if self._left and self._in_flight < ATTEMPTS_MAX:
            self._next_at = now + ATTEMPT_DELAY_S
        return [Dial(address)]


def _alternate(addresses: Sequence[Multiaddr]) -> list[Multiaddr]:
    """IPv6 and IPv4 in turn, each in the order that its owner prefers."""
    six = [address for address in addresses if address.kind in ("ip6", "dns6")]
    four = [address for address in addresses if address.kind in ("ip4", "dns4")]
    first, second = (six, four) if addresses and addresses[0] in six else (four, six)
    return [address for pair in zip_longest(first, second) for address in pair if address is not None]


class BackOff:
    """How long each peer that could not be reached is left alone."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._failures: dict[PeerId, tuple[int, float]] = {}

    def failed(self, peer_id: PeerId, now: float) -> None:
        """The peer could not be reached."""
        count = self._failures.pop(peer_id, (0, 0.0))[0] + 1
        wait_s = min(BACK_OFF_FIRST_S * 2 ** min(count - 1, 16), BACK_OFF_MAX_S)
        # Jitter, so that nodes that lost the same peer do not come back all at once.
        self._failures[peer_id] = (count, now + wait_s * self._rng.uniform(0.5, 1.0))
        if len(self._failures) > BACK_OFF_PEERS_MAX:
            del self._failures[next(iter(self._failures))]

    def forget(self, peer_id: PeerId) -> None:
        """The peer was reached, or has told us new addresses."""
        self._failures.pop(peer_id, None)

    def waiting(self, now: float) -> list[PeerId]:
        """The peers that are left alone now."""
        return [peer_id for peer_id, (_, until) in self._failures.items() if until > now]

    def wait_s(self, peer_id: PeerId, now: float) -> float:
        """Seconds until the peer may be tried again; 0 if it may."""
        _, until = self._failures.get(peer_id, (0, now))
        return max(0.0, until - now)
