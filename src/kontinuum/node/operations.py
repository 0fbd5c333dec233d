"""What can be asked of a node: the methods of its control socket, and of a command's short-lived node.

Bounds:   PINGS_MAX and CALLS_MAX per request; PROGRESS_INTERVAL_S between two progress events.
Trust:    requests come from the node's owner; they are checked to help him. Names and texts that come from
          peers are data; whoever shows them escapes them.
Errors:   every error of ours leaves as a ``ControlError`` whose code is ``family.code``: ``unavailable``,
          ``peer`` or ``misuse``, so that a command knows how to end without knowing every leaf.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError
from kontinuum.identity.peer_id import PeerId
from kontinuum.node import control_params as given
from kontinuum.node.control import Emit, Handler, error_code
from kontinuum.node.control_params import OperationError
from kontinuum.node.dht_operations import DhtOperations
from kontinuum.node.errors import ClusterOffError, ControlError
from kontinuum.node.files import NodeFiles
from kontinuum.node.introductions import PING
from kontinuum.node.neighbours import LIBP2P_PATH
from kontinuum.node.pubsub_operations import PubSubOperations
from kontinuum.node.services import in_cluster
from kontinuum.rpc.errors import CallTimeoutError
from kontinuum.transfer.digest import new_blake3
from kontinuum.transfer.incoming.policy import BYTES_MAX_DEFAULT, Accept, Refuse
from kontinuum.transfer.incoming.service import sweeping
from kontinuum.transfer.incoming.target import Target
from kontinuum.transfer.messages import FILES_MAX, Code, Offer
from kontinuum.transfer.outgoing.source import Source
from kontinuum.transfer.report import FileReport, Progress, code_text
from kontinuum.transport.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kontinuum.node.node import Node

PINGS_MAX = 10_000
"""Pings of one request. Our choice; more is refused."""

CALLS_MAX = 100_000
"""Repetitions of one call in one request. Our choice; more is refused."""

PROGRESS_INTERVAL_S = 0.1
"""Seconds between two progress events of one transfer: what a person can follow. Our choice."""

EVENTS_MAX = 64
"""Events of one request that wait for a client which does not read, and files whose progress does. Our
choice: an offer of FILES_MAX files takes some 70 kB. Beyond it the oldest are dropped; the result says how
many."""

SILENCE_S = 3.0
"""Seconds without an answer after which an older connection is made anew. Our choice: above round trips."""

CLUSTER_METHODS = (
    *(
        f"cluster.{name}"
        for name in ("show", "say", "rekeyed", "order", "parcel", "trust", "untrust", "events")
    ),
    *(f"meet.{name}" for name in ("invite", "accept", "confirm", "cancel")),
    "vault.sync",
)
"""Methods that take a node of a cluster."""

DIGEST_PROTOCOL = "kontinuum/digest/1"
"""Answers a call with BLAKE3 of its data. Only nodes of ``kontinuum up`` offer it."""


class NodeOperations:
    """The control methods of one node, and its side of file transfers.

    Args:
        node: running, or about to run; its handlers for files are registered at once.
        demo: also offer DIGEST_PROTOCOL.
    """

    def __init__(self, node: Node, *, demo: bool = False) -> None:
        self._node = node
        self._files = NodeFiles(node)
        self._started = time.monotonic()
        self.stopped = asyncio.Event()
        """Set by the method ``stop``."""

        if demo:

            @node.handler(DIGEST_PROTOCOL)
            def digest(_peer: PeerId, data: bytes) -> bytes:
                hasher = new_blake3()
                hasher.update(data)
                return hasher.digest()

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name, ready for a ``ControlServer``."""
        methods: dict[str, Handler] = {
            "status": self.status,
            "peers": self.peers,
            "ping": self.ping,
            "call": self.call,
            "send": self.send,
            "receive": self.receive,
            "contact.show": self.contact_show,
            "contact.add": self.contact_add,
            "stop": self.stop,
            **DhtOperations(self._node).methods(),
            **PubSubOperations(self._node).methods(),
            **_cluster_methods(self._node),
        }
        return {name: _with_family(method) for name, method in methods.items()}

    async def status(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Say who this node is and how it does."""
        given.only(params)
        node = self._node
        peers = node.peers()
        return {
            "peer_id": str(node.peer_id),
            "libp2p": node.peer_id.libp2p,
            **node.standing(),
            "network": node.config.network,
            "addresses": [str(address) for address in node.addresses],
            "libp2p_addresses": list(node.libp2p_addresses),
            "peers_connected": sum(peer.connected for peer in peers),
            "peers_known": len(peers),
            "uptime_s": round(time.monotonic() - self._started, 3),
            "pid": os.getpid(),
            "data_dir": None if node.config.data_dir is None else str(node.config.data_dir),
        }

    async def peers(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """List the peers that this node knows."""
        given.only(params)
        return {"peers": [self._peer(peer) for peer in self._node.peers()]}

    def _peer(self, peer: Any) -> dict[str, Any]:
        return {
            "peer_id": str(peer.peer_id),
            "name": self._node.name_of(peer.peer_id),
            "connected": peer.connected,
            "address": None if peer.address is None else str(peer.address),
            "path": peer.path if peer.connected else None,
            "rtt_ms": _ms(peer.rtt_s) if peer.connected else None,
            "key_exchange": peer.key_exchange if peer.connected else None,
        }

    async def ping(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Measure round trips. ``{"peer", "count": 1, "interval_s": 0}``; an event for each."""
        given.only(params, "peer", "count", "interval_s")
        count = given.number(params, "count", 1, PINGS_MAX, 1)
        interval_s = given.number(params, "interval_s", 0, 3600, 0)
        peer_id = await self._reach(given.text(params, "peer"))
        times: list[float] = []
        for number in range(int(count)):
            if number:
                await asyncio.sleep(interval_s)
            times.append(await self._node.ping(peer_id))
            await emit({"sequence": number, "rtt_ms": _ms(times[-1])})
        known = {peer.peer_id: peer for peer in self._node.peers()}.get(peer_id)
        return {
            "peer_id": str(peer_id),
            "count": len(times),
            "rtt_ms": [_ms(value) for value in times],
            "rtt_min_ms": _ms(min(times)),
            "rtt_mean_ms": _ms(sum(times) / len(times)),
            "rtt_max_ms": _ms(max(times)),
            "path": None if known is None else known.path,
            "address": None if known is None else str(known.address),
            "key_exchange": None if known is None else known.key_exchange,
        }

    async def _reach(self, peer: str) -> PeerId:
        """Connect to ``peer``, and see that somebody is still at the other end of an older connection.

        A peer that was killed and has come back leaves a connection that looks alive for most of a minute.
        """
        info = await self._node.connect(peer)
        peer_id = info.peer_id
        if info.path == LIBP2P_PATH:
            return peer_id  # It takes no calls, and the ping itself will tell.
        try:
            await self._node.call(peer_id, PING, timeout=SILENCE_S)
        except (CallTimeoutError, ConnectionLostError):
            await self._node.disconnect(peer_id)
            await self._node.connect(peer_id)
        return peer_id

    async def call(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Call a protocol. ``{"peer", "protocol", "data": base64, "timeout_s": 30, "count": 1}``.

        The result holds the last reply. With a ``count`` above 1 a failed call is counted, not raised.
        """
        given.only(params, "peer", "protocol", "data", "timeout_s", "count")
        data = given.base64_bytes(params, "data")
        count = int(given.number(params, "count", 1, CALLS_MAX, 1))
        timeout_s = given.number(params, "timeout_s", 0.01, 3600, 30)
        peer, protocol = given.text(params, "peer"), given.text(params, "protocol")
        started, reply, failed = time.monotonic(), b"", 0
        for _ in range(count):
            try:
                reply = await self._node.call(peer, protocol, data, timeout=timeout_s)
            except KontinuumError:
                if count == 1:
                    raise
                failed += 1
        elapsed = time.monotonic() - started
        return {
            "data": base64.b64encode(reply).decode(),
            "calls_ok": count - failed,
            "calls_failed": failed,
            "elapsed_ms": _ms(elapsed),
        }

    async def send(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Send files. ``{"peer", "paths": [...]}``, absolute paths; progress events, then the outcomes."""
        given.only(params, "peer", "paths")
        peer = given.text(params, "peer")
        paths = [given.absolute(path) for path in given.texts(params, "paths")]
        if not 0 < len(paths) <= FILES_MAX:
            raise OperationError("misuse.bad_params", f"one session sends 1 to {FILES_MAX} files")
        sources = await asyncio.to_thread(lambda: [Source(path) for path in paths])
        names = [source.offer.name for source in sources]
        if len(set(names)) < len(names):
            raise OperationError(
                "misuse.same_name", "two of the files have the same name; send them one by one"
            )
        started = time.monotonic()
        peer_id = await self._reach(peer)
        async with _Events(emit) as events:
            reports = await self._files.send(peer_id, sources, on_progress=events.progress)
        return {
            "peer_id": str(peer_id),
            "files": [file_json(report) for report in reports],
            "bytes": sum(_moved(report) for report in reports),
            "elapsed_s": round(time.monotonic() - started, 3),
        }

    async def receive(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Take files until the request is cancelled, or until ``sessions`` of them are over.

        ``{"to": directory, "overwrite": false, "bytes_max": ..., "from": [peer, ...], "sessions": null}``.
        Events: ``ready``, ``offer``, ``progress``, ``session``.
        """
        given.only(params, "to", "overwrite", "bytes_max", "from", "sessions")
        bytes_max = int(given.number(params, "bytes_max", 0, 2**53, BYTES_MAX_DEFAULT))
        sessions = params.get("sessions")
        left = None if sessions is None else int(given.number(params, "sessions", 1, 10**6, 1))
        wanted = {PeerId.parse(text) for text in given.texts(params, "from")} if "from" in params else None
        overwrite = params.get("overwrite", False) is True
        target = await asyncio.to_thread(Target, given.absolute(given.text(params, "to")), new_blake3)
        ended = asyncio.Event()
        done = stored = 0
        with target:
            async with _Events(emit) as events:

                async def policy(peer: bytes, offer: Offer) -> Accept | Refuse:
                    if wanted is not None and peer not in wanted:
                        return Refuse(Code.REFUSED)
                    offered = [{"name": file.name, "size": file.size} for file in offer.files]
                    events.put({"type": "offer", "peer_id": peer.hex(), "files": offered})

                    def end(reports: Sequence[FileReport], error: KontinuumError | None) -> None:
                        nonlocal done, stored
                        done += 1
                        stored += sum(report.outcome.code == Code.STORED for report in reports)
                        ended.set()
                        events.put(
                            {
                                "type": "session",
                                "peer_id": peer.hex(),
                                "files": [file_json(report) for report in reports],
                                "error": None if error is None else str(error),
                            }
                        )

                    return Accept(
                        target,
                        overwrite=overwrite,
                        bytes_max=bytes_max,
                        on_progress=events.progress,
                        on_end=end,
                    )

                async with sweeping(target), self._files.receiving(policy):
                    events.put(
                        {"type": "ready", "to": str(target.path), "contact": self._node.contact.to_text()}
                    )
                    while left is None or done < left:
                        ended.clear()
                        await ended.wait()
        return {"sessions": done, "files_stored": stored, "events_dropped": events.dropped}

    async def contact_show(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Return this node's contact."""
        given.only(params)
        return contact_json(self._node.contact)

    async def contact_add(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Remember a contact. ``{"contact": "kontinuum:..."}``."""
        given.only(params, "contact")
        from kontinuum.identity.contact import Contact

        contact = Contact.from_text(given.text(params, "contact"))
        self._node.add_contact(contact)
        return contact_json(contact)

    async def stop(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """End the node."""
        given.only(params)
        self.stopped.set()
        return {"stopping": True, "pid": os.getpid()}


class _Events:
    """Sends events in order from callbacks that cannot wait; of progress only the newest counts.

    A client that does not read loses the oldest ones: what peers do must not pile up in the node.
    """

    def __init__(self, emit: Emit) -> None:
        self.dropped = 0
        """Events that were lost, progress not counted."""
        self._emit = emit
        self._queue: deque[Mapping[str, Any]] = deque()
        self._progress: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if exception[0] is None:
            with contextlib.suppress(OSError):
                await self._flush()

    def put(self, event: Mapping[str, Any]) -> None:
        if len(self._queue) >= EVENTS_MAX:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(event)
        self._wanted.set()

    def progress(self, progress: Progress) -> None:
        # In the order of the last news, so that the oldest one is the first.
        self._progress.pop((progress.name, progress.index), None)
        if len(self._progress) >= EVENTS_MAX:
            del self._progress[next(iter(self._progress))]
        self._progress[progress.name, progress.index] = {
            "type": "progress",
            "index": progress.index,
            "name": progress.name,
            "done": progress.done,
            "size": progress.size,
        }
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._flush()
            await asyncio.sleep(PROGRESS_INTERVAL_S)

    async def _flush(self) -> None:
        progress, self._progress = self._progress, {}
        for event in progress.values():
            await self._emit(event)
        while self._queue:
            await self._emit(self._queue.popleft())


def file_json(report: FileReport) -> dict[str, Any]:
    """Return what became of one file, for JSON."""
    return {
        "name": report.name,
        "size": report.size,
        "code": code_text(report.outcome.code),
        "resumed_from": report.outcome.resumed_from,
        "blake3": report.outcome.digest.hex() or None,
    }


def contact_json(contact: Any) -> dict[str, Any]:
    """Return a contact, for JSON."""
    return {
        "contact": contact.to_text(),
        "peer_id": str(contact.peer_id),
        "libp2p": contact.peer_id.libp2p,
        "addresses": [str(address) for address in contact.addresses],
        "sequence": contact.sequence,
        "issued_at": contact.issued_at.isoformat(),
    }


def _moved(report: FileReport) -> int:
    return report.size - report.outcome.resumed_from if report.outcome.code == Code.STORED else 0


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _cluster_methods(node: Node) -> dict[str, Handler]:
    """What concerns clusters. A node without one does not load all that, and says so."""
    if not in_cluster(node.config):
        return dict.fromkeys(CLUSTER_METHODS, _no_cluster)
    from kontinuum.node.cluster_operations import ClusterOperations
    from kontinuum.node.meeting_operations import MeetingOperations
    from kontinuum.node.vault_operations import VaultOperations

    return {
        **ClusterOperations(node).methods(),
        **VaultOperations(node).methods(),
        **MeetingOperations(node).methods(),
    }


async def _no_cluster(_params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
    raise ClusterOffError


def _with_family(method: Handler) -> Handler:
    async def guarded(params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        try:
            return await method(params, emit)
        except ControlError:
            raise
        except KontinuumError as error:
            family = (
                "peer"
                if isinstance(error, PeerError)
                else "misuse"
                if isinstance(error, MisuseError)
                else "unavailable"
            )
            raise OperationError(f"{family}.{error_code(error)}", str(error)) from error

    return guarded
