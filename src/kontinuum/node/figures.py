"""Counters of a node."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Counters of a node since it started."""

    uptime_s: float
    """Seconds since the start."""
    inbound: int
    """Peers that connected to us."""
    outbound: int
    """Peers that we connected to."""
    evicted: int
    """Idle connections closed to make room, by us or by the peer."""
    calls: dict[tuple[str, str], int]
    """Calls by direction (``outgoing``, ``incoming``) and outcome."""
    handlers: int
    """Handlers at work."""
    known_peers: int
    """Peers whose contact is saved."""
