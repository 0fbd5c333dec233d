"""What can be asked of a node about the DHT: its methods of the control socket.

Every search takes ``timeout_s`` and ``trace``; with ``trace`` each of its requests is an event.

Bounds:   TRACE_MAX events of one search; values as large as records may be.
Trust:    requests come from the node's owner; they are checked to help him. What peers say of themselves is
          data; whoever shows it escapes it.
"""

from __future__ import annotations

import base64
import time
from math import isinf
from typing import TYPE_CHECKING, Any

from kontinuum.dht.config import OPERATION_TIMEOUT_S
from kontinuum.dht.key_text import key_text, parse_key
from kontinuum.dht.records import blake3_key
from kontinuum.dht.records.signed_record import SIGNED_NAMESPACE, SignedRecord
from kontinuum.identity import PeerId
from kontinuum.node import control_params as given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.dht.events import Peers, Step, Stored
    from kontinuum.identity import Contact
    from kontinuum.node.control import Emit, Handler
    from kontinuum.node.dht import NodeDht
    from kontinuum.node.node import Node

TRACE_MAX = 4096
"""Requests of one search that a trace tells. Our choice: a search has some fifty."""

FIND_MAX = 1000
"""Peers that one search may be asked for. Our choice; more is refused."""


class DhtOperations:
    """The control methods of one node that begin with ``dht.``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name."""
        return {
            "dht.put": self.put,
            "dht.get": self.get,
            "dht.provide": self.provide,
            "dht.find": self.find,
            "dht.lookup": self.lookup,
            "dht.stats": self.stats,
        }

    async def put(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Store a record. ``{"value": base64, "name", "key"}``.

        With a name it is signed by this node, with a key it is stored as it is, else under its BLAKE3 hash.
        """
        search = _Search(params, "value", "name", "key")
        value, dht = given.base64_bytes(params, "value"), self._node.dht
        if "name" in params and "key" in params:
            raise given.OperationError("misuse.bad_params", "a record has a name or a key, not both")
        if "name" in params:
            key, value = dht.sign(given.text(params, "name"), value)
        else:
            key = parse_key(given.text(params, "key")) if "key" in params else blake3_key(value)
        stored = await dht.put(key, value, timeout_s=search.timeout_s, on_step=search.on_step)
        return await search.result(emit, {"key": key_text(key), **_stored(stored)})

    async def get(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Fetch a record. ``{"key"}``; of a signed record ``value`` is what its owner said."""
        search = _Search(params, "key", "quorum")
        key = parse_key(given.text(params, "key"))
        found, value = await self._node.dht.find_record(
            key,
            quorum=int(given.number(params, "quorum", 0, 100, 0)),
            timeout_s=search.timeout_s,
            on_step=search.on_step,
        )
        sequence = expires_at = None
        if key.startswith(f"/{SIGNED_NAMESPACE}/".encode()):
            record = SignedRecord.decode(value)
            value, sequence, expires_at = record.value, record.sequence, record.expires_at.isoformat()
        return await search.result(
            emit,
            {
                "key": key_text(key),
                "value": base64.b64encode(value).decode(),
                "bytes": len(value),
                "sequence": sequence,
                "expires_at": expires_at,
                "answers": found.answers,
                "rejected": found.rejected,
                "hops": found.hops,
                "requests": found.requests,
            },
        )

    async def provide(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Say that this node has what a key names. ``{"key"}``."""
        search = _Search(params, "key")
        key = parse_key(given.text(params, "key"))
        stored = await self._node.dht.provide(key, timeout_s=search.timeout_s, on_step=search.on_step)
        return await search.result(emit, {"key": key_text(key), **_stored(stored)})

    async def find(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Find a peer by its key, or who provides a record's key. ``{"target", "count": 20}``.

        Through the DHT alone: what this node knows otherwise does not count.
        """
        search = _Search(params, "target", "count")
        text, dht = given.text(params, "target"), self._node.dht
        count = int(given.number(params, "count", 1, FIND_MAX, 20))
        if text.startswith("/"):
            peers = await dht.find_providers(
                parse_key(text), count=count, timeout_s=search.timeout_s, on_step=search.on_step
            )
            return await search.result(emit, {"target": text, **_peers(peers)})
        resolved = await dht.resolve(PeerId.parse(text), timeout_s=search.timeout_s, on_step=search.on_step)
        found = {
            "target": text,
            "peers": [_contact(resolved.contact)],
            "complete": resolved.found.complete,
            "hops": resolved.found.hops,
            "requests": resolved.found.requests,
        }
        return await search.result(emit, found)

    async def lookup(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """The living peers closest to a peer or a key. ``{"target", "count": 0}``; 0 takes k."""
        search = _Search(params, "target", "count")
        text = given.text(params, "target")
        target = parse_key(text) if text.startswith("/") else PeerId.parse(text)
        count = int(given.number(params, "count", 0, FIND_MAX, 0))
        peers = await self._node.dht.find_peers(
            target, count=count, timeout_s=search.timeout_s, on_step=search.on_step
        )
        return await search.result(emit, {"target": text, **_peers(peers)})

    async def stats(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """How this node's DHT does."""
        given.only(params)
        return stats_json(self._node.dht)


class _Search:
    """What all searches have in common: the time they may take, the trace, and how long they took."""

    def __init__(self, params: dict[str, Any], *known: str) -> None:
        given.only(params, *known, "timeout_s", "trace")
        self.timeout_s = given.number(params, "timeout_s", 0.01, 3600, OPERATION_TIMEOUT_S)
        self.on_step = self._steps_append if params.get("trace", False) is True else None
        self._steps: list[Step] = []
        self._started = time.monotonic()

    def _steps_append(self, step: Step) -> None:
        if len(self._steps) < TRACE_MAX:
            self._steps.append(step)

    async def result(self, emit: Emit, result: dict[str, Any]) -> Mapping[str, Any]:
        """Tell the trace, then the result."""
        elapsed = time.monotonic() - self._started
        for step in self._steps:
            await emit(_step(step))
        return {**result, "elapsed_ms": _ms(elapsed)}


def stats_json(dht: NodeDht) -> dict[str, Any]:
    """Return how a node's DHT does, for JSON."""
    now, service = dht.machine.figures(), dht.service
    table, records, adaptation = now.table, now.records, now.adaptation
    return {
        "state": now.state.value,
        "server": dht.machine.config.server,
        "network_size": None if now.network_size is None else round(now.network_size),
        "table": {
            "peers": table.peers,
            "doubtful": table.doubtful,
            "waiting": table.waiting,
            "buckets": {str(index): size for index, size in sorted(table.sizes.items())},
        },
        "seeds": dht.seeds,
        "k": adaptation.k,
        "alpha": adaptation.alpha,
        "dead_share": round(adaptation.dead_share, 4),
        "rtt_ms": _ms(adaptation.rtt_s),
        "tiers": {"prefixes": now.tiers.prefixes, "sizes": list(now.tiers.sizes)},
        "records": {
            "values": records.values,
            "providers": records.providers,
            "bytes": records.bytes,
            "bytes_max": records.bytes_max,
            "refused": {reason.name.lower(): count for reason, count in records.refused.items()},
        },
        "publications": now.publications,
        "requests": {"in_flight": service.asks, "queued": service.queued},
        "lookups": {
            words(kind): {
                "count": latency.count,
                "mean_ms": _ms(latency.total_s / latency.count),
                "p50_below_ms": _bound_ms(latency.quantile(0.5)),
                "p99_below_ms": _bound_ms(latency.quantile(0.99)),
            }
            for kind, latency in service.latencies.items()
        },
        "counts": {**now.counts, **service.counts},
    }


def _stored(stored: Stored) -> dict[str, Any]:
    return {
        "holders": [str(peer_id) for peer_id in stored.holders],
        "refused": {str(peer_id): reason.name.lower() for peer_id, reason in stored.refused},
        "hops": stored.hops,
        "requests": stored.requests,
    }


def _peers(peers: Peers) -> dict[str, Any]:
    return {
        "peers": [_contact(peer.contact) for peer in peers.peers],
        "complete": peers.complete,
        "hops": peers.hops,
        "requests": peers.requests,
    }


def _contact(contact: Contact) -> dict[str, Any]:
    return {
        "peer_id": str(contact.peer_id),
        "addresses": [str(address) for address in contact.addresses],
        "contact": contact.to_text(),
    }


def _step(step: Step) -> dict[str, Any]:
    addresses = step.peer.contact.addresses
    return {
        "type": "step",
        "peer_id": str(step.peer.peer_id),
        "address": str(addresses[0]) if addresses else None,
        "via": None if step.via is None else str(step.via),
        "path": step.path,
        "hop": step.hop,
        "started_ms": _ms(step.started_s),
        "rtt_ms": None if step.rtt_s is None else _ms(step.rtt_s),
        "shared_bits": step.shared_bits,
    }


def words(kind: str) -> str:
    """``FindPeers`` is ``find_peers``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _bound_ms(bound_s: float | None) -> float | None:
    return None if bound_s is None or isinf(bound_s) else _ms(bound_s)
