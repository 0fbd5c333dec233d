"""Settings of an endpoint, and how they reach the native engine.

Bounds: the relations between settings are checked when they are made.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kontinuum.base.errors import MisuseError

EVICTION_HEADROOM = 128
"""Connections that the engine takes beyond ``connections_max``, while the policy makes room. Our choice;
beyond it handshakes are refused before they cost anything."""

RAW_BUFFER_MIN_BYTES = 512 * 1024
"""Least ``raw_buffer_max``, bytes. Our choice: twice what is read ahead; below it honest senders would be
refused."""

ACTIVE_WAIT_MAX_S = 0.001
"""Longest active wait. Our choice: what nobody notices, and far more than a wake-up costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """What can be set about an endpoint. The defaults serve a node on the open internet."""

    libp2p: bool = False
    """Speak libp2p as well, on the same socket."""
    raw_buffer_max: int = 2**20
    """Bytes that a libp2p peer may have sent unread in small packets on one stream before it is refused."""
    streams_max: int = 64
    """Concurrent streams of each kind that a peer may open; more wait at the peer."""
    idle_timeout_s: float = 45.0
    """Seconds of silence after which a connection is lost."""
    keep_alive_s: float = 15.0
    """Seconds after which an idle connection says something: half of a NAT's usual 30 s for UDP."""
    connections_max: int = 4096
    """Connections; beyond it the least useful idle one is closed."""
    half_open_max: int = 256
    """Handshakes in progress beyond which a dialler must prove its address (Retry)."""
    handshakes_per_ip_per_s: float = 50.0
    """Sustained handshakes from one IPv4 address or IPv6 /64; beyond it: Retry, then refusal."""
    handshakes_per_ip_burst: int = 200
    """Handshakes from one address at once."""
    connection_buffer_max: int = 16 * 2**20
    """Bytes that one peer may make us hold; the stream that goes beyond is stopped."""
    post_quantum: bool = True
    """Prefer X25519MLKEM768."""
    congestion: str = "bbr3"
    """``bbr3`` or ``cubic``."""
    paths_max: int = 1
    """Paths of one connection; 1 switches multipath off."""
    path_idle_s: float = 1.0
    """Seconds of silence after which one of several paths is given up."""
    path_keep_alive_s: float = 0.3
    """Seconds between two probes of each of several paths."""
    active_wait_s: float = 50e-6
    """Seconds to look at the socket before the loop sleeps, where answers come that fast; 0 never does."""
    mtu_max: int = 1452
    """Largest UDP payload to probe for."""
    qlog_dir: Path | None = None
    """Write qlog files here."""
    keylog_path: Path | None = None
    """Append TLS secrets here: for debugging only."""
    accept: bool = True
    """Accept connections, not only make them."""

    def __post_init__(self) -> None:
        if self.keep_alive_s * 2 > self.idle_timeout_s:
            raise MisuseError("keep_alive_s must be at most half of idle_timeout_s")
        if self.congestion not in ("bbr3", "cubic"):
            raise MisuseError(f"no such congestion control: {self.congestion}")
        if not 0 <= self.active_wait_s <= ACTIVE_WAIT_MAX_S:
            raise MisuseError(
                f"active_wait_s is at most {ACTIVE_WAIT_MAX_S:g}: the loop stands still meanwhile"
            )
        if self.raw_buffer_max < RAW_BUFFER_MIN_BYTES:
            raise MisuseError(f"raw_buffer_max is at least {RAW_BUFFER_MIN_BYTES}")
        if min(self.streams_max, self.connections_max, self.half_open_max, self.paths_max) < 1:
            raise MisuseError("streams_max, connections_max, half_open_max and paths_max are at least 1")

    def native(self) -> dict[str, Any]:
        """The settings under the engine's names."""
        return {
            "accept": self.accept,
            "post_quantum": self.post_quantum,
            "bbr": self.congestion == "bbr3",
            "libp2p": self.libp2p,
            "raw_buffer_max": self.raw_buffer_max,
            "streams_max": self.streams_max,
            "idle_timeout_s": self.idle_timeout_s,
            "keep_alive_s": self.keep_alive_s,
            "connections_max": self.connections_max + EVICTION_HEADROOM,
            "half_open_max": self.half_open_max,
            "handshakes_per_ip_per_s": self.handshakes_per_ip_per_s,
            "handshakes_per_ip_burst": float(self.handshakes_per_ip_burst),
            "connection_buffer_max": self.connection_buffer_max,
            "paths_max": self.paths_max,
            "path_idle_s": self.path_idle_s,
            "path_keep_alive_s": self.path_keep_alive_s,
            "active_wait_s": self.active_wait_s,
            "mtu_max": self.mtu_max,
            "qlog_dir": self.qlog_dir,
            "keylog_path": self.keylog_path,
        }
