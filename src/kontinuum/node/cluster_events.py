"""What a node tells its watchers about keys, clusters and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kontinuum.identity import PeerId


@dataclass(frozen=True, slots=True)
class MemberRecognised:
    """A connected peer speaks for a node of our cluster, or of one that we trust."""

    peer_id: PeerId
    name: str
    """``/1``, ``bob:/2``."""


@dataclass(frozen=True, slots=True)
class SessionCut:
    """A connection was closed because its key is out of use, or did not follow a rekeying in time."""

    peer_id: PeerId
    why: str


@dataclass(frozen=True, slots=True)
class ChainGrew:
    """Somebody said something about keys, and it holds."""

    cluster: str
    """The cluster's id, hexadecimal."""
    statements: int
    """How many were new."""


@dataclass(frozen=True, slots=True)
class RekeyOrdered:
    """A parent orders this node to leave an epoch, and only a person can open its branch's secret."""

    epoch: int


@dataclass(frozen=True, slots=True)
class OwnKeyOut:
    """The key of this node is out of use: others cut it off, and it starts again only with another one."""

    why: str


@dataclass(frozen=True, slots=True)
class RootReplaced:
    """A parent gave this node keys under a new root; it starts again with them."""


ClusterEvent = MemberRecognised | SessionCut | ChainGrew | RekeyOrdered | OwnKeyOut | RootReplaced


def cluster_event_json(event: object) -> dict[str, Any] | None:
    """An event of keys and sessions for JSON; none for others."""
    told: dict[str, Any] | None = None
    match event:
        case MemberRecognised(peer_id, name):
            told = {"type": "recognised", "peer_id": str(peer_id), "name": name}
        case SessionCut(peer_id, why):
            told = {"type": "cut", "peer_id": str(peer_id), "why": why}
        case ChainGrew(cluster, statements):
            told = {"type": "chain", "cluster": cluster, "statements": statements}
        case RekeyOrdered(epoch):
            told = {"type": "ordered", "epoch": epoch}
        case OwnKeyOut(why):
            told = {"type": "out_of_use", "why": why}
        case RootReplaced():
            told = {"type": "root_replaced"}
    return told
