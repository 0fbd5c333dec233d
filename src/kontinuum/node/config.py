"""The settings of a node: every field with its meaning, unit and bounds, and the relations between them.

Precedence:  flags > environment (``KONTINUUM_*``) > ``node.toml`` > defaults; see ``config_sources``.
             ``NodeConfig(...)`` itself reads nothing but its arguments: a library call means what it says.
Bounds:      each field carries its own; a value outside is refused with the bound in the message.
Trust:       the configuration belongs to the owner of the node; it is checked to help, not to defend.
Import cost: pydantic (0.2 s). ``import kontinuum`` must not import this module.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from kontinuum.dht.config import K_MIN, PATHS, QUORUM
from kontinuum.gossip.score_params import LOCAL_NETWORKS
from kontinuum.gossip.subscription import BYTES_MAX, MESSAGES_MAX
from kontinuum.node.config_rules import contradictions, doubts, explain
from kontinuum.node.errors import ConfigError, Finding
from kontinuum.node.local_address import LocalAddress, host_and_port
from kontinuum.node.passphrase import SOURCE_PATTERN, SOURCES
from kontinuum.transport.options import ACTIVE_WAIT_MAX_S
from kontinuum.wire.limits import PUBSUB_DATA_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

ADVERTISE_MAX = 16
"""Addresses a node may advertise. The contact record holds no more (issue 3, section 3); more is refused."""

BOOTSTRAP_MAX = 64
"""Bootstrap contacts. Our choice: each is dialled at start; more is refused."""


LogLevel = Literal["debug", "info", "warning", "error"]


def _words(value: object) -> object:
    """Let an environment variable hold a list: ``a, b`` or ``a b``."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _pairs(value: object) -> object:
    """Let an environment variable hold a table: ``rpc=debug, transport=warning``."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.replace(",", " ").split()]
    if not all(key and level for key, _, level in pairs):
        raise ValueError("write it as room=level, room=level")
    return {key: level for key, _, level in pairs}


def _number(value: object) -> object:
    """Refuse ``max_streams = true``, which would quietly mean 1."""
    if isinstance(value, bool):
        raise ValueError("is a number, not true or false")  # noqa: TRY004 -- pydantic reports ValueError
    return value


def _expand(value: object) -> object:
    """Read ``~`` as the home directory; an empty text means the option is off."""
    return (Path(value).expanduser() if value else None) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Levels = Annotated[dict[str, LogLevel], NoDecode, BeforeValidator(_pairs)]
Count = Annotated[int, BeforeValidator(_number)]
Seconds = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
OptionalPath = Annotated[Path | None, BeforeValidator(_expand)]


def _about(group: str, unit: str = "", *, form: str = "") -> dict[str, Any]:
    """Return a field's heading in ``node.toml`` and the documentation, its unit, and its form in words."""
    return {"group": group, "unit": unit, "form": form}


NETWORK = "Which network"
REACH = "Where it listens, and how it finds others"
CONNECTIONS = "Connections"
CALLS = "Calls"
DHT = "Finding peers and records"
PUBSUB = "Topics"
WATCH = "Logs and metrics"


class NodeConfig(BaseSettings):
    """The settings of one node. Frozen; built by :meth:`load` for a daemon, or directly in a program.

    Raises:
        ConfigError: something is unknown, out of bounds or contradictory; ``findings`` names all of it.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, case_sensitive=True)

    data_dir: OptionalPath = Field(
        None, json_schema_extra=_about(NETWORK),
        description="Directory with the key, the saved peers and node.toml. Without one nothing is stored.",
    )  # fmt: skip
    network: str = Field(
        "main", min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$",
        json_schema_extra=_about(NETWORK, form="lower-case letters, digits and . _ -"),
        description="Name of the network. Nodes of different networks do not know each other.",
    )  # fmt: skip
    pow_bits: Count = Field(
        24, ge=0, le=40, json_schema_extra=_about(NETWORK, "leading zero bits"),
        description="Proof of work that every identity of this network carries. All its nodes use one value.",
    )  # fmt: skip
    passphrase_source: str = Field(
        "auto", pattern=SOURCE_PATTERN, json_schema_extra=_about(NETWORK, form=SOURCES),
        description="Where the passphrase of the key comes from: auto (KONTINUUM_PASSPHRASE, or else the "
        "terminal), prompt, env:NAME, fd:NUMBER, credential:NAME (systemd) or keyring:SERVICE/USER.",
    )  # fmt: skip
    branch_passphrase_source: str = Field(
        "none", pattern=rf"^none$|{SOURCE_PATTERN}",
        json_schema_extra=_about(NETWORK, form=f"none, {SOURCES}"),
        description="Where the passphrase of this node's branch comes from when a parent orders the node to "
        "rekey. none: a person does it, with kontinuum cluster rekey, unless the branch has no passphrase.",
    )  # fmt: skip

    listen: str = Field(
        "[::]:4433", json_schema_extra=_about(REACH),
        description="UDP address: [::]:4433 takes IPv6 and IPv4, 0.0.0.0:4433 IPv4 only. Port 0: any free.",
    )  # fmt: skip
    ipv6_only: bool = Field(
        default=False, json_schema_extra=_about(REACH),
        description="Let [::] take IPv6 alone.",
    )  # fmt: skip
    advertise: Words = Field(
        (), max_length=ADVERTISE_MAX, json_schema_extra=_about(REACH),
        description="Addresses that others are told, such as /ip4/203.0.113.5/udp/4433/quic-v1, where the "
        "node cannot know them itself. Empty: those of its own interfaces.",
    )  # fmt: skip
    bootstrap: Words = Field(
        (), max_length=BOOTSTRAP_MAX, json_schema_extra=_about(REACH),
        description="Contacts (kontinuum:...) to meet first.",
    )  # fmt: skip
    peers_wanted: Count = Field(
        8, ge=0, le=1024, json_schema_extra=_about(REACH, "peers"),
        description="Connections that the node tries to have by itself; the DHT makes its own beside.",
    )  # fmt: skip
    mdns: bool = Field(
        default=False, json_schema_extra=_about(REACH),
        description="Find nodes on the local network, and be found. Off, because it tells everyone on that "
        "network who you are.",
    )  # fmt: skip
    libp2p: bool = Field(
        default=False, json_schema_extra=_about(REACH),
        description="Speak libp2p as well, on the same port: programs made with it can connect, ping, and "
        "share topics. Off, because it lets in peers without a proof of work.",
    )  # fmt: skip
    peers_saved_max: Count = Field(
        1024, ge=0, le=65_536, json_schema_extra=_about(REACH, "peers"),
        description="Peers remembered over a restart; the least useful one makes room.",
    )  # fmt: skip

    max_connections: Count = Field(
        4096, ge=1, le=1_000_000, json_schema_extra=_about(CONNECTIONS, "connections"),
        description="Open at once; at the limit the least useful idle one is closed. Some 60 kB each.",
    )  # fmt: skip
    max_streams: Count = Field(
        64, ge=1, le=4096, json_schema_extra=_about(CONNECTIONS, "streams"),
        description="Streams of each kind that one peer may have open; it waits beyond that.",
    )  # fmt: skip
    half_open_max: Count = Field(
        256, ge=1, le=65_536, json_schema_extra=_about(CONNECTIONS, "handshakes"),
        description="Unfinished handshakes; beyond that a dialler must first prove its address (Retry).",
    )  # fmt: skip
    handshakes_per_ip_per_s: Seconds = Field(
        50.0, gt=0, le=1e6, json_schema_extra=_about(CONNECTIONS, "handshakes per second"),
        description="Sustained rate from one IP address (IPv6: one /64); more are ignored.",
    )  # fmt: skip
    handshakes_per_ip_burst: Count = Field(
        200, ge=1, le=1_000_000, json_schema_extra=_about(CONNECTIONS, "handshakes"),
        description="Handshakes that one IP address may start at once, above the rate.",
    )  # fmt: skip
    idle_timeout_s: Seconds = Field(
        45.0, ge=5, le=3600, json_schema_extra=_about(CONNECTIONS, "seconds"),
        description="A connection on which nothing arrived for so long is dead.",
    )  # fmt: skip
    keep_alive_s: Seconds = Field(
        15.0, ge=1, le=1800, json_schema_extra=_about(CONNECTIONS, "seconds"),
        description="Silence after which a packet keeps the connection, and a NAT's mapping, alive. "
        "Below half of idle_timeout_s.",
    )  # fmt: skip
    dial_timeout_s: Seconds = Field(
        10.0, ge=0.1, le=300, json_schema_extra=_about(CONNECTIONS, "seconds"),
        description="Time for all addresses of a peer to answer.",
    )  # fmt: skip
    post_quantum: bool = Field(
        default=True, json_schema_extra=_about(CONNECTIONS),
        description="Prefer the key exchange X25519MLKEM768; false: X25519 alone.",
    )  # fmt: skip
    congestion: Literal["bbr3", "cubic"] = Field(
        "bbr3", json_schema_extra=_about(CONNECTIONS),
        description="Congestion control. At 5 % loss bbr3 moves some 15 times what cubic does.",
    )  # fmt: skip
    active_wait_s: float = Field(
        50e-6, ge=0, le=ACTIVE_WAIT_MAX_S, json_schema_extra=_about(CONNECTIONS, "seconds"),
        description="Look at the socket for so long before sleeping, where answers come that fast; 0: never. "
        "It makes single calls in a local network some three times as fast and costs CPU while they run.",
    )  # fmt: skip

    call_timeout_s: Seconds = Field(
        30.0, ge=0.01, le=3600, json_schema_extra=_about(CALLS, "seconds"),
        description="A call without a time-out of its own waits so long.",
    )  # fmt: skip
    call_timeout_max_s: Seconds = Field(
        600.0, ge=0.01, le=86_400, json_schema_extra=_about(CALLS, "seconds"),
        description="The longest a peer may make one of our handlers work.",
    )  # fmt: skip
    handlers_max: Count = Field(
        4096, ge=1, le=1_000_000, json_schema_extra=_about(CALLS, "handlers"),
        description="Handlers at work at once, of all peers; beyond that a caller is told that we are busy.",
    )  # fmt: skip
    handlers_per_peer_max: Count = Field(
        1024, ge=1, le=1_000_000, json_schema_extra=_about(CALLS, "handlers"),
        description="Handlers at work at once for one peer.",
    )  # fmt: skip

    dht: Literal["server", "client", "off"] = Field(
        "server", json_schema_extra=_about(DHT),
        description="server: find peers and records, and help others to; client: only ask, for a node that "
        "is seldom there or cannot be reached; off: neither, peers are known by contact or introduction.",
    )  # fmt: skip
    dht_paths: Count = Field(
        PATHS, ge=1, le=K_MIN, json_schema_extra=_about(DHT, "paths"),
        description="Ways through the network that share no peer, for each lookup of a record. More "
        "withstand more hostile peers and cost more requests.",
    )  # fmt: skip
    dht_quorum: Count = Field(
        QUORUM, ge=1, le=K_MIN, json_schema_extra=_about(DHT, "answers"),
        description="Peers that must give a valid record before the newest of theirs counts, for records "
        "that can change.",
    )  # fmt: skip
    dht_store_bytes_max: Count = Field(
        64 * 2**20, ge=2**20, le=2**40, json_schema_extra=_about(DHT, "bytes"),
        description="Records held for others, in memory and on disk; beyond that new ones are refused.",
    )  # fmt: skip

    pubsub: bool = Field(
        default=True, json_schema_extra=_about(PUBSUB),
        description="Publish and subscribe to topics, and pass on messages of those that the node is in.",
    )  # fmt: skip
    pubsub_message_bytes_max: Count = Field(
        64 * 1024, ge=1024, le=PUBSUB_DATA_BYTES_MAX, json_schema_extra=_about(PUBSUB, "bytes"),
        description="Longest data of a message. All nodes of a topic should use one value: a longer one is "
        "refused, and not passed on.",
    )  # fmt: skip
    pubsub_buffer_messages: Count = Field(
        MESSAGES_MAX, ge=1, le=1_000_000, json_schema_extra=_about(PUBSUB, "messages"),
        description="Messages that wait for one subscriber, unless it says otherwise; beyond that it loses "
        "some.",
    )  # fmt: skip
    pubsub_buffer_bytes: Count = Field(
        BYTES_MAX, ge=1024, le=2**40, json_schema_extra=_about(PUBSUB, "bytes"),
        description="The same in bytes of data.",
    )  # fmt: skip
    pubsub_queue_bytes_max: Count = Field(
        8 * 2**20, ge=64 * 1024, le=2**32, json_schema_extra=_about(PUBSUB, "bytes"),
        description="Messages that wait for one slow peer; beyond that the least important are dropped, and "
        "the peer pays with its score.",
    )  # fmt: skip
    pubsub_shared_networks: Words = Field(
        tuple(str(network) for network in LOCAL_NETWORKS), max_length=256, json_schema_extra=_about(PUBSUB),
        description="Networks in which many peers may have one address without a loss of score, such as "
        "203.0.113.7/32 for an office behind one NAT.",
    )  # fmt: skip
    pubsub_direct: Words = Field(
        (), max_length=256, json_schema_extra=_about(PUBSUB),
        description="Peers, by identity, with whom every message is exchanged, whatever their score. They "
        "should name this node, too.",
    )  # fmt: skip
    pubsub_px: bool = Field(
        default=False, json_schema_extra=_about(PUBSUB),
        description="Name other peers to those for whom there is no room in the mesh: for nodes that many "
        "meet first.",
    )  # fmt: skip

    log_level: LogLevel = Field(
        "info", json_schema_extra=_about(WATCH), description="debug, info, warning or error.",
    )  # fmt: skip
    log_levels: Levels = Field(
        default_factory=dict, json_schema_extra=_about(WATCH),
        description='Levels of single rooms, such as { rpc = "debug" }.',
    )  # fmt: skip
    log_format: Literal["auto", "human", "json"] = Field(
        "auto", json_schema_extra=_about(WATCH),
        description="auto: human on a terminal, JSON otherwise.",
    )  # fmt: skip
    metrics: str = Field(
        "off", json_schema_extra=_about(WATCH),
        description="Where /metrics, /healthz, /readyz are served: 127.0.0.1:9464, unix:/run/k.sock or off.",
    )  # fmt: skip
    qlog_dir: OptionalPath = Field(
        None, json_schema_extra=_about(WATCH),
        description="Directory for one qlog file per connection. Without one, none is written.",
    )  # fmt: skip
    keylog_path: OptionalPath = Field(
        None, json_schema_extra=_about(WATCH),
        description="DANGER: writes the session keys of every connection here, to debug with Wireshark. "
        "Whoever has the file reads the traffic.",
    )  # fmt: skip
    core_dumps: bool = Field(
        default=False, json_schema_extra=_about(WATCH),
        description="DANGER: lets a crash write this process's memory, keys included, and debuggers of the "
        "same user read it.",
    )  # fmt: skip

    @property
    def listen_address(self) -> tuple[str, int]:
        """The host (an IP address) and port of ``listen``."""
        return host_and_port(self.listen)

    @property
    def ip_mode(self) -> Literal["v4", "v6", "dual"]:
        """Which IP versions the socket takes."""
        host = ipaddress.ip_address(self.listen_address[0])
        if host.version == 4:
            return "v4"
        return "dual" if host == ipaddress.IPv6Address("::") and not self.ipv6_only else "v6"

    @property
    def metrics_address(self) -> LocalAddress | None:
        """Where metrics are served, or ``None``."""
        return None if self.metrics == "off" else LocalAddress.parse(self.metrics)

    @classmethod
    def load(cls, *, data_dir: Path | None = None, flags: Mapping[str, Any] | None = None) -> Self:
        """Join flags, environment, ``DIR/node.toml`` and defaults.

        Args:
            data_dir: the directory, if the caller knows it; else flags or ``KONTINUUM_DATA_DIR`` say it.
            flags: values from the command line; ``None`` means that the flag was not given.

        Raises:
            ConfigError: with every finding of level "error".
        """
        from kontinuum.node.config_sources import load  # It imports this class.

        return load(cls, data_dir=data_dir, flags=flags or {})

    @classmethod
    def check(cls, *, data_dir: Path | None = None, flags: Mapping[str, Any] | None = None) -> list[Finding]:
        """Return all that is wrong or doubtful, for ``kontinuum config check``. Raises nothing."""
        from kontinuum.node.config_sources import check  # It imports this class.

        return check(cls, data_dir=data_dir, flags=flags or {})

    def doubts(self) -> list[Finding]:
        """Return what works but deserves a second look, to be logged when a node starts (a key log, say)."""
        return doubts(self)

    @classmethod
    def example_toml(cls) -> str:
        """Return a ``node.toml`` in which every setting stands commented out, at its default."""
        from kontinuum.node.config_docs import example_toml  # It imports this class.

        return example_toml(cls)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the base class fixes the signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the constructor read its arguments alone; :meth:`load` is what reads the surroundings."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            config = handler(values)
        except ValidationError as error:
            raise ConfigError(explain(error, cls.model_fields)) from None
        if found := contradictions(config):
            raise ConfigError(found)
        return config
