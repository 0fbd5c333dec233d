"""What settings mean together: contradictions that stop a node, and doubts worth telling a person.

Pure:     no I/O; works on a configuration that is already within the bounds of its fields.
"""

from __future__ import annotations

import difflib
from ipaddress import ip_network
from typing import TYPE_CHECKING

from kontinuum.base.errors import KontinuumError
from kontinuum.identity.contact import Contact
from kontinuum.identity.multiaddr import Multiaddr
from kontinuum.identity.peer_id import PeerId
from kontinuum.node import bootstrap
from kontinuum.node.errors import Finding
from kontinuum.node.local_address import LocalAddress, host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from kontinuum.node.config import NodeConfig

NAT_MAPPING_S = 30.0
"""Seconds after which many NATs forget a silent UDP mapping (RFC 4787 asks for 120, few obey)."""

ROOMS = (
    "base",
    "wire",
    "identity",
    "keys",
    "messages",
    "transport",
    "rpc",
    "transfer",
    "dht",
    "gossip",
    "libp2p",
    "vault",
    "clusters",
    "node",
    "sim",
    "cli",
)
"""Rooms that can have a log level of their own; the keys of ``log_levels``."""


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return the sentence for a key that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.5)
    return f"there is no setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def explain(error: ValidationError, fields: Mapping[str, FieldInfo]) -> list[Finding]:
    """Turn pydantic's account of what is wrong into sentences for people."""
    return [
        Finding("error", ".".join(str(part) for part in problem["loc"]), _sentence(problem, fields))
        for problem in error.errors(include_url=False, include_input=False)
    ]


def contradictions(config: NodeConfig) -> list[Finding]:
    """Return every reason why these settings cannot work, each within its bounds."""
    return [Finding("error", key, message) for key, message in _contradictions(config)]


def doubts(config: NodeConfig) -> list[Finding]:
    """Return what can work, but deserves a second look."""
    return [Finding("warning", key, message) for key, message in _doubts(config)]


def _sentence(problem: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    key = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return unknown_key(key, list(fields))
    if problem["type"] == "string_pattern_mismatch":
        extra = fields[key].json_schema_extra
        return f"should be {extra['form'] if isinstance(extra, dict) else 'something else'}"
    return problem["msg"].removeprefix("Value error, ").replace("Input should be", "should be")


def _contradictions(config: NodeConfig) -> Iterator[tuple[str, str]]:
    if config.keep_alive_s >= config.idle_timeout_s / 2:
        half = config.idle_timeout_s / 2
        yield "keep_alive_s", f"{config.keep_alive_s:g} s must be below half of idle_timeout_s ({half:g} s)"
    if config.handshakes_per_ip_burst < config.handshakes_per_ip_per_s:
        yield (
            "handshakes_per_ip_burst",
            (
                f"{config.handshakes_per_ip_burst} must not be below "
                f"handshakes_per_ip_per_s ({config.handshakes_per_ip_per_s:g})"
            ),
        )
    if config.call_timeout_s > config.call_timeout_max_s:
        yield (
            "call_timeout_s",
            f"must be at most call_timeout_max_s ({config.call_timeout_s:g} > {config.call_timeout_max_s:g})",
        )
    if config.handlers_per_peer_max > config.handlers_max:
        yield (
            "handlers_per_peer_max",
            f"{config.handlers_per_peer_max} must not exceed handlers_max ({config.handlers_max})",
        )
    least = config.pubsub_message_bytes_max + 1024
    if config.pubsub_queue_bytes_max < least:
        yield "pubsub_queue_bytes_max", f"must hold one message with what is around it: at least {least}"
    for room in config.log_levels:
        if room not in ROOMS:
            yield "log_levels", unknown_key(room, ROOMS).replace("setting", "room")
    yield from _unreadable("listen", [config.listen], host_and_port)
    yield from _unreadable("metrics", [config.metrics] if config.metrics != "off" else [], LocalAddress.parse)
    yield from _unreadable("advertise", config.advertise, Multiaddr.parse)
    yield from _unreadable("bootstrap", config.bootstrap, Contact.from_text)
    yield from _unreadable("pubsub_shared_networks", config.pubsub_shared_networks, ip_network)
    yield from _unreadable("pubsub_direct", config.pubsub_direct, PeerId.parse)


def _unreadable(key: str, texts: Sequence[str], parse: Callable[[str], object]) -> Iterator[tuple[str, str]]:
    for text in texts:
        try:
            parse(text)
        except (ValueError, KontinuumError) as error:
            shown = text if len(text) <= 60 else text[:57] + "..."
            yield key, f"{shown}: {error}" if shown not in str(error) else str(error)


def _doubts(config: NodeConfig) -> Iterator[tuple[str, str]]:
    if config.keylog_path is not None:
        yield (
            "keylog_path",
            (
                f"the keys of every connection are written to {config.keylog_path}: whoever has that file "
                "reads the traffic; remove the setting when the debugging is done"
            ),
        )
    if config.core_dumps:
        yield "core_dumps", "a crash writes this process's memory, its keys included, to the disk"
    if config.metrics_address is not None and not config.metrics_address.is_loopback:
        yield "metrics", f"{config.metrics} can be reached from other machines, and metrics have no password"
    if config.keep_alive_s >= NAT_MAPPING_S:
        yield (
            "keep_alive_s",
            (
                f"many NATs forget a mapping after {NAT_MAPPING_S:g} s of silence: {config.keep_alive_s:g} s "
                "will lose connections behind them"
            ),
        )
    if config.listen_address[1] == 0 and config.advertise:
        yield (
            "advertise",
            "listen has port 0, so each start takes a new port and no address stays true",
        )
    for problem in bootstrap.problems(config):
        yield "bootstrap", problem
    if not config.bootstrap and not config.mdns:
        yield "bootstrap", "with no bootstrap contact and mdns off, this node waits until others dial it"
    if config.pow_bits < 16 and config.network == "main":
        yield "pow_bits", f"{config.pow_bits} bits on the network 'main' give identities away for nothing"
