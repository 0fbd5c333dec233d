"""What can go wrong while a node is set up and watched, by who must act.

Each error keeps its facts as fields, so that the command line can show them as text or as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kontinuum.base.errors import MisuseError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``kontinuum config check`` tells a person."""

    level: Literal["error", "warning"]
    """An error stops a node from starting; a warning is worth a second look."""

    key: str
    """The field it is about, as written in ``node.toml``; empty when it is about the whole file."""

    message: str
    """One sentence: what is wrong and what would be right."""

    source: str = ""
    """Where the value came from: a flag, an environment variable, a file. Empty when unknown."""

    def __str__(self) -> str:
        """Return the finding as one line: ``node.toml: keep_alive_s: ...``."""
        where = self.source if self.key and self.key.upper() in self.source else self.key
        if self.source and where is not self.source:
            where = f"{self.source}: {self.key}" if self.key else self.source
        return f"{where}: {self.message}" if where else self.message


class ConfigError(MisuseError):
    """The configuration cannot be used. ``findings`` says everything that is wrong, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class DataDirError(MisuseError):
    """The data directory cannot be used as it is. ``fix`` is what would make it usable."""

    def __init__(self, path: Path, problem: str, fix: str = "") -> None:
        self.path = path
        self.problem = problem
        self.fix = fix
        super().__init__(f"{path}: {problem}" + (f"; {fix}" if fix else ""))


class DataDirLockedError(DataDirError):
    """Another node works in this data directory. ``pid`` is its process, or ``None`` if it did not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.pid = pid
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            path,
            f"a node is already running here ({holder})",
            "stop it first, or choose another directory with --dir",
        )


class PassphraseError(MisuseError):
    """The key is locked and no passphrase could be had. The message says the ways to give one."""


class PassphraseStoreError(PassphraseError):
    """The credential or keyring entry that was named gives no passphrase; the message says why."""


class ListenError(UnavailableError):
    """A local service (metrics, control) could not take its address. ``address`` is where it wanted to be."""

    def __init__(self, address: str, problem: str) -> None:
        self.address = address
        self.problem = problem
        super().__init__(f"{address}: {problem}")


class NotRunningError(UnavailableError):
    """No node answers on this control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"no node is running in {path.parent} (start one with `kontinuum node run`)")


class ControlError(MisuseError):
    """The running node refused a control request. ``code`` is stable, ``message`` is for people."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{message} ({code})")


class UnknownPeerError(MisuseError):
    """A peer was named in a way that cannot be understood."""


class NoAddressError(UnavailableError):
    """Nothing is known about where a peer is.

    Args:
        peer_id: The peer.
    """

    def __init__(self, peer_id: bytes) -> None:
        super().__init__(
            f"no address of {peer_id.hex()[:8]} is known; add its contact (kontinuum contact add), or wait "
            "until a peer tells it"
        )
        self.peer_id = peer_id


class PeerBackoffError(UnavailableError):
    """A peer could not be reached a moment ago and is left alone for now.

    Args:
        peer_id: The peer.
        retry_after_s: Seconds until it is tried again.
    """

    def __init__(self, peer_id: bytes, retry_after_s: float) -> None:
        super().__init__(
            f"{peer_id.hex()[:8]} could not be reached; the next attempt is in {retry_after_s:.1f} s"
        )
        self.peer_id = peer_id
        self.retry_after_s = retry_after_s


class DhtOffError(MisuseError):
    """The node takes no part in the DHT."""

    def __init__(self) -> None:
        super().__init__("this node has no DHT: its setting dht is off")


class PubSubOffError(MisuseError):
    """The node neither publishes nor subscribes."""

    def __init__(self) -> None:
        super().__init__("this node has no topics: its setting pubsub is off")


class Libp2pOffError(MisuseError):
    """The node does not speak libp2p."""

    def __init__(self) -> None:
        super().__init__("this node does not speak libp2p: its setting libp2p is off (node run --libp2p)")


class ForeignPeerError(MisuseError):
    """A peer that is no Kontinuum node was asked for something that only such nodes have.

    Args:
        peer_id: The peer.
    """

    def __init__(self, peer_id: bytes) -> None:
        super().__init__(
            f"{peer_id.hex()[:8]} speaks libp2p alone: it takes pings and topics, no calls, streams or files"
        )
        self.peer_id = peer_id


class VaultOffError(MisuseError):
    """The node keeps nothing, so it has no vault."""

    def __init__(self) -> None:
        super().__init__("this node has no vault: it has no data directory")


class RecordRefusedError(MisuseError):
    """The record may not be put, or the command makes no sense; nothing was sent. The message says why."""


class NotFoundError(UnavailableError):
    """Nobody who was asked has it.

    Args:
        what: What was looked for, for people.
        why: Why it may not have been found: nobody to ask, no time left; empty if everybody was asked.
    """

    def __init__(self, what: str, why: str = "") -> None:
        super().__init__(f"{what} was not found" + (f": {why}" if why else ""))
        self.what = what


class NotStoredError(UnavailableError):
    """Nobody keeps it.

    Args:
        why: Why.
        refused: Who refused it, and with which reason; the reasons are ``kontinuum.dht.events.Refusal``.
    """

    def __init__(self, why: str, refused: tuple[tuple[bytes, int], ...] = ()) -> None:
        super().__init__(f"nobody keeps the record: {why}")
        self.refused = refused


class ClusterOffError(MisuseError):
    """The node belongs to no cluster."""

    def __init__(self) -> None:
        super().__init__(
            "this node belongs to no cluster: make one with kontinuum cluster init, or join one with "
            "kontinuum cluster join"
        )


class KeyOutOfUseError(MisuseError):
    """A peer was named by a key that its owner's parent took out of use, and nobody took its place.

    Args:
        key: The key.
        reason: In words.
    """

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(f"{key.hex()[:8]} is out of use: {reason}")
        self.key = key
        self.reason = reason
