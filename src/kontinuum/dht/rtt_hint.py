"""What a reply says about how far away the peers are that it names, and what that is worth.

Whoever names a peer of its table tells the round trip that it has measured to it. For whoever asked, the
round trip to the one who answered and that one together are about the most that its own will be. So a lookup
can tell near from far among peers in networks to which it never measured anything (``tiers``).

Source:   our own extension (docs/protocols/kad.md).
Bounds:   HINT_MAX_US; nothing is kept but for the time of one lookup.
Trust:    a hint is a stranger's claim. It counts only where we have not measured ourselves, only for the
          order among candidates about equally close, and never makes a peer nearer than who named it is to us
          by our own measurement. So a liar's friends are asked as if they stood where the liar stands, at
          best; a search ends when the k closest have answered, whatever their order.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kontinuum.messages.kad import KadPeer

HINT_MIN_US = 1024
"""Microseconds that the smallest hint says: below a millisecond all round trips are alike (``RTT_MIN_S`` of
``tiers``)."""

HINT_MAX_US = 1 << 24
"""Microseconds that the largest hint says, nearly 17 s: more than any request waits. A larger one that is
read counts as that."""


def hint_us(rtt_s: float | None) -> int:
    """How a measured round trip is told: the power of two nearest to it, in microseconds; 0 for none.

    No more than that is needed, since tiers differ by a factor of two; it tells strangers little about where
    we are; and as it hardly ever changes, the bytes by which a peer is named stay the same.
    """
    if rtt_s is None or rtt_s <= 0:
        return 0
    # Half of a factor of two is its square root, 1.4142: so the exponent is rounded, not cut off.
    power: int = 1 << max(0, int(rtt_s * 1_414_214).bit_length() - 1)
    return min(HINT_MAX_US, max(HINT_MIN_US, power))


def expected_s(named: Sequence[KadPeer], rtt_s: float) -> dict[bytes, float]:
    """What round trips to the peers that a reply names are to be expected, by their wire ids.

    Args:
        named: The peers; those without a hint are left out.
        rtt_s: Our own round trip to whoever named them, above 0.
    """
    return {peer.peer_id: rtt_s + min(peer.rtt_us, HINT_MAX_US) / 1e6 for peer in named if peer.rtt_us}
