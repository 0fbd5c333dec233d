"""The keys of every ``--json`` result: a promise to programs. ``docs/cli.md`` shows them; a test compares.

A key is never removed or given another meaning; new ones may come.
"""

ERROR = ("code", "family", "message", "hint")
"""Keys of ``{"error": {...}}``, which takes the place of a result."""

FILE = ("name", "size", "code", "resumed_from", "blake3")
"""Keys of one entry of ``files``."""

CONTACT = ("contact", "peer_id", "libp2p", "addresses", "sequence", "issued_at")
"""Keys of a contact."""

DHT_STORED = ("key", "holders", "refused", "hops", "requests", "elapsed_ms")
"""Keys of what was stored with others."""

DHT_PEERS = ("target", "peers", "complete", "hops", "requests", "elapsed_ms")
"""Keys of peers that were found."""

RESULTS: dict[str, tuple[str, ...]] = {
    "--version": ("version",),
    "up": (
        "ok",
        "nodes",
        "nodes_alive",
        "pairs",
        "pairs_connected",
        "calls_ok",
        "calls_failed",
        "messages_sent",
        "messages_verified",
        "dht_pairs",
        "dht_resolved",
        "pubsub_published",
        "pubsub_delivered",
        "pubsub_delivery_ratio",
        "file_bytes",
        "file_blake3",
        "file_receivers",
        "file_verified",
        "elapsed_s",
        "problems",
        "peers",
    ),
    "node init": ("data_dir", "peer_id", "libp2p", "config"),
    "node run": ("event", "peer_id", "contact", "addresses", "libp2p_addresses", "data_dir"),
    "node id": ("peer_id", "libp2p"),
    "node status": (
        "peer_id",
        "libp2p",
        "place",
        "key_in_use",
        "cut_off_by",
        "network",
        "addresses",
        "libp2p_addresses",
        "peers_connected",
        "peers_known",
        "uptime_s",
        "pid",
        "data_dir",
    ),
    "node stop": ("stopping", "pid"),
    "peers": ("peers",),
    "ping": (
        "peer_id",
        "count",
        "rtt_ms",
        "rtt_min_ms",
        "rtt_mean_ms",
        "rtt_max_ms",
        "path",
        "address",
        "key_exchange",
    ),
    "call": ("data", "bytes", "elapsed_ms"),
    "send": ("peer_id", "files", "bytes", "elapsed_s"),
    "receive": ("type", "sessions", "files_stored", "events_dropped"),
    "vault put": ("objects", "bytes", "elapsed_s"),
    "vault get": ("object_id", "name", "to", "bytes", "sender", "elapsed_s"),
    "vault list": ("objects", "bytes"),
    "vault delete": ("deleted",),
    "vault check": ("ok", "objects", "damaged"),
    "vault sync": ("ok", "synced"),
    "vault key": ("recipient", "exported"),
    "keys new-root": ("file", "root", "words", "protected"),
    "keys show": ("file", "kind", "public", "protected", "version", "previous"),
    "keys passphrase": ("file", "public", "protected", "previous"),
    "keys backup": ("form", "root", "files", "verified"),
    "keys verify-backup": ("ok", "root", "form", "pieces"),
    "keys restore": ("file", "root", "form", "pieces", "protected"),
    "keys explain": ("key", "kind", "powers", "thief", "chain"),
    "cluster init": ("cluster", "place", "path", "label", "key", "directory"),
    "cluster add-node": ("cluster", "place", "path", "label", "key", "handover", "told"),
    "cluster join": ("cluster", "place", "path", "label", "key", "directory"),
    "cluster show": (
        "cluster",
        "place",
        "path",
        "epoch",
        "label",
        "key",
        "way",
        "branch_here",
        "running",
        "members",
        "trusted",
        "sessions",
        "cut_off_by",
    ),
    "cluster log": ("cluster", "name", "statements", "verified", "problems"),
    "cluster rekey": (
        "cluster",
        "before",
        "place",
        "path",
        "epoch",
        "key",
        "handovers",
        "parcels",
        "told",
        "resealed",
        "left",
    ),
    "cluster revoke": ("cluster", "place", "path", "scope", "reason", "falls", "told"),
    "cluster recover": ("cluster", "place", "path", "label", "key", "handover", "told", "falls"),
    "cluster recover --all": ("cluster", "place", "path", "key", "directory", "opened", "left"),
    "cluster order": ("cluster", "place", "leave", "sequence", "told"),
    "cluster story": ("ok", "acts"),
    "meet show": ("type", "name", "cluster", "since", "how", "by", "successor", "disputed"),
    "meet join": ("type", "name", "cluster", "since", "how", "by", "successor", "disputed"),
    "cluster trust": ("name", "cluster", "since", "how", "by"),
    "cluster untrust": ("name", "cluster"),
    "cluster follow": ("name", "cluster", "since", "how", "by"),
    "seal": ("to", "bytes", "sender", "readers", "elapsed_s"),
    "open": ("to", "bytes", "name", "sender", "readers", "elapsed_s"),
    "contact show": CONTACT,
    "contact qr": CONTACT,
    "contact add": CONTACT,
    "dht put": DHT_STORED,
    "dht get": (
        "key",
        "value",
        "bytes",
        "sequence",
        "expires_at",
        "answers",
        "rejected",
        "hops",
        "requests",
        "elapsed_ms",
    ),
    "dht provide": DHT_STORED,
    "dht find": DHT_PEERS,
    "dht lookup": DHT_PEERS,
    "dht stats": (
        "state",
        "server",
        "network_size",
        "table",
        "seeds",
        "k",
        "alpha",
        "dead_share",
        "rtt_ms",
        "tiers",
        "records",
        "publications",
        "requests",
        "lookups",
        "counts",
    ),
    "pubsub pub": ("topic", "messages", "bytes", "peers", "elapsed_ms"),
    "pubsub sub": ("type", "topic", "messages", "dropped"),
    "pubsub peers": ("topics", "peers"),
    "pubsub scores": ("scores", "bands", "thresholds"),
    "config check": ("ok", "findings"),
    "config example": ("toml",),
    "doctor": ("ok", "checks"),
    "sim run": (
        "scenario",
        "description",
        "digest",
        "seed",
        "nodes",
        "hostile",
        "defences",
        "lookups",
        "success_ratio",
        "hops_mean",
        "latency_p50_s",
        "latency_p99_s",
        "wall_s",
        "peak_rss_bytes",
        "simulated_s",
        "events",
        "messages",
        "operations",
        "series",
        "counters",
        "attack",
        "settings",
    ),
    "sim compare": ("a", "b", "same", "better", "worse", "settings", "figures"),
    "sim list": ("scenarios",),
    "sim replay": ("same", "scenario", "seed", "nodes", "digest", "digest_before", "wall_s"),
    "completion": ("shell", "script"),
}
"""Keys of each command's result, in order. ``status`` is ``node status``."""

EVENTS: dict[str, tuple[str, ...]] = {
    "ready": ("type", "to", "contact"),
    "offer": ("type", "peer_id", "files"),
    "session": ("type", "peer_id", "files", "error"),
    "subscribed": ("type", "topic"),
    "message": ("type", "topic", "author", "seqno", "data", "received_from"),
    "code": ("type", "code", "expires_at", "cluster", "key", "addresses"),
    "peer": (
        "type",
        "cluster",
        "root",
        "key",
        "place",
        "label",
        "calls_itself",
        "suggested_name",
        "known_as",
        "nodes",
        "nodes_total",
    ),
    "words": ("type", "words"),
    "act": ("type", "number", "title", "shown", "facts"),
    "watching": ("type",),
    "recognised": ("type", "peer_id", "name"),
    "cut": ("type", "peer_id", "why"),
    "renamed": ("type", "old", "new"),
    "chain": ("type", "cluster", "statements"),
    "ordered": ("type", "epoch"),
    "out_of_use": ("type", "why"),
    "root_replaced": ("type",),
}
"""Keys of the lines that commands which follow events write before their result, by their ``type``."""

PUBSUB_TOPIC = ("topic", "joined", "peers", "mesh")
"""Keys of one entry of ``topics`` (command ``pubsub peers``)."""

PUBSUB_PEER = (
    "peer_id",
    "protocol",
    "outbound",
    "address",
    "score",
    "topics",
    "meshes",
    "queued_bytes",
    "stalled_s",
)
"""Keys of one entry of ``peers`` (command ``pubsub peers``)."""

PUBSUB_SCORE = (
    "peer_id",
    "connected",
    "score",
    "topics",
    "application",
    "colocation",
    "behaviour",
    "slow",
)
"""Keys of one entry of ``scores`` (command ``pubsub scores``): the parts of the score."""

CLUSTER_MEMBER = ("name", "place", "label", "key", "living", "verdict", "connected")
"""Keys of one entry of ``members`` (command ``cluster show``)."""

CLUSTER_TRUSTED = ("name", "cluster", "since", "how", "by", "successor", "disputed", "members")
"""Keys of one entry of ``trusted`` (command ``cluster show``)."""

CLUSTER_STATEMENT = ("id", "issued_at", "by", "by_label", "kind", "about", "said", "verdict")
"""Keys of one entry of ``statements`` (command ``cluster log``)."""

VAULT_OBJECT = ("object_id", "size_bytes", "stored_at", "present", "name")
"""Keys of one entry of ``objects`` (commands ``vault put`` and ``vault list``)."""

VAULT_DAMAGE = ("object_id", "problem")
"""Keys of one entry of ``damaged`` (command ``vault check``)."""

READER = ("key", "id", "role")
"""Keys of one entry of ``readers`` (commands ``seal`` and ``open``)."""

PEER = ("peer_id", "name", "connected", "address", "path", "rtt_ms", "key_exchange")
"""Keys of one entry of ``peers`` (command ``peers``)."""

DHT_PEER = ("peer_id", "addresses", "contact")
"""Keys of one entry of ``peers`` (commands ``dht find`` and ``dht lookup``)."""

DHT_STEP = (
    "type",
    "peer_id",
    "address",
    "via",
    "path",
    "hop",
    "started_ms",
    "rtt_ms",
    "shared_bits",
)
"""Keys of one entry of ``trace`` (commands ``dht`` with ``--trace``)."""

UP_PEER = (
    "peer_id",
    "address",
    "state",
    "alive",
    "connected",
    "calls_ok",
    "calls_failed",
    "rtt_ms",
    "resolved",
    "published",
    "heard",
    "file",
)
"""Keys of one entry of ``peers`` (command ``up``)."""

FINDING = ("level", "key", "message", "source")
"""Keys of one entry of ``findings`` (command ``config check``)."""

CHECK = ("name", "status", "found", "fix")
"""Keys of one entry of ``checks`` (command ``doctor``)."""

SCENARIO = ("name", "path", "description", "nodes", "seed", "kind", "hostile")
"""Keys of one entry of ``scenarios`` (command ``sim list``)."""

SIM_GOSSIP = (
    "scenario",
    "description",
    "kind",
    "digest",
    "seed",
    "nodes",
    "hostile",
    "defences",
    "published",
    "delivery_ratio",
    "worst_delivery_ratio",
    "latency_p50_s",
    "latency_p99_s",
    "duplicates_per_delivery",
    "bytes_sent_per_byte_delivered",
    "wall_s",
    "peak_rss_bytes",
    "simulated_s",
    "events",
    "messages",
    "latencies_s",
    "series",
    "counters",
    "attack",
    "settings",
)
"""Keys of a result of ``sim run`` with a scenario of topics."""

SIM_SETTING = ("name", "a", "b")
"""Keys of one entry of ``settings`` (command ``sim compare``)."""

SIM_FIGURE = ("name", "a", "b", "difference", "change", "better")
"""Keys of one entry of ``figures`` (command ``sim compare``)."""
