"""Settings: who wins, what is refused and in which words, and pages that agree with the fields."""

import math
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kontinuum.base.errors import MisuseError
from kontinuum.identity.contact import Contact
from kontinuum.identity.keys import KeyPair
from kontinuum.identity.pow import ProofOfWork, network_id
from kontinuum.node import config_docs, config_rules
from kontinuum.node.config import NodeConfig
from kontinuum.node.config_sources import NODE_TOML_BYTES_MAX
from kontinuum.node.errors import ConfigError, Finding
from kontinuum.node.local_address import LocalAddress, host_and_port

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    """No variable of the person who runs the tests takes part."""
    for name in [name for name in os.environ if name.startswith("KONTINUUM_")]:
        monkeypatch.delenv(name)


def findings(**values):
    """What the constructor finds wrong: key -> message."""
    with pytest.raises(ConfigError) as refused:
        NodeConfig(**values)
    return {finding.key: finding.message for finding in refused.value.findings}


def test_the_constructor_reads_nothing_but_its_arguments(monkeypatch, tmp_path):
    """A library call means what it says, whatever the environment and the directory hold."""
    monkeypatch.setenv("KONTINUUM_NETWORK", "other")
    (tmp_path / "node.toml").write_text('network = "third"')

    assert NodeConfig(data_dir=tmp_path).network == "main"


def test_each_source_wins_over_the_next_one(monkeypatch, tmp_path):
    """Flags win over the environment, that over the file, that over the defaults; each field alone."""
    (tmp_path / "node.toml").write_text("max_streams = 1\nmax_connections = 1\nhalf_open_max = 1\n")
    monkeypatch.setenv("KONTINUUM_MAX_STREAMS", "2")
    monkeypatch.setenv("KONTINUUM_MAX_CONNECTIONS", "2")

    config = NodeConfig.load(data_dir=tmp_path, flags={"max_streams": 3, "max_connections": None})

    assert (config.max_streams, config.max_connections, config.half_open_max) == (3, 2, 1)
    assert config.handlers_max == 4096
    assert config.data_dir == tmp_path


def test_the_directory_may_come_from_the_environment(monkeypatch, tmp_path):
    """KONTINUUM_DATA_DIR names the directory, and so the file; a flag wins over it."""
    (tmp_path / "node.toml").write_text('network = "from-file"')
    monkeypatch.setenv("KONTINUUM_DATA_DIR", str(tmp_path))

    assert NodeConfig.load().network == "from-file"
    assert NodeConfig.load(flags={"data_dir": tmp_path / "none"}).network == "main"


def test_lists_and_tables_in_the_environment(monkeypatch):
    """Lists take commas or blanks, tables room=level pairs."""
    monkeypatch.setenv("KONTINUUM_ADVERTISE", "/ip4/192.0.2.1/udp/1/quic-v1, /ip4/192.0.2.2/udp/2/quic-v1")
    monkeypatch.setenv("KONTINUUM_LOG_LEVELS", "rpc=debug,transport=warning")
    monkeypatch.setenv("KONTINUUM_POST_QUANTUM", "false")
    config = NodeConfig.load()

    assert len(config.advertise) == 2
    assert config.log_levels == {"rpc": "debug", "transport": "warning"}
    assert config.post_quantum is False


@pytest.mark.parametrize(
    ("key", "near"), [("max_stream", "max_streams"), ("Listen", "listen"), ("idle_timeout", "idle_timeout_s")]
)
def test_an_unknown_key_is_refused_with_the_nearest_one(monkeypatch, tmp_path, key, near):
    """A typing error is named, wherever it stands, and so is what was probably meant."""
    assert findings(**{key: 1})[key].endswith(f"did you mean {near!r}?")

    (tmp_path / "node.toml").write_text(f"{key} = 1\n")
    with pytest.raises(ConfigError, match=rf"node.toml: {key}: .*{near}"):
        NodeConfig.load(data_dir=tmp_path)

    monkeypatch.setenv(f"KONTINUUM_{key.upper()}_", "1")
    with pytest.raises(ConfigError, match=rf"KONTINUUM_{key.upper()}_: .*{near}"):
        NodeConfig.load()


def test_an_unknown_key_unlike_any_other_has_no_suggestion():
    """A wild guess would mislead."""
    assert findings(qqqqqqqq=1) == {"qqqqqqqq": "there is no setting 'qqqqqqqq'"}


def test_the_variable_of_the_passphrase_is_no_setting(monkeypatch):
    """KONTINUUM_PASSPHRASE is known but never becomes part of the configuration."""
    monkeypatch.setenv("KONTINUUM_PASSPHRASE", "hunter2")

    assert "hunter2" not in repr(NodeConfig.load())


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"keep_alive_s": 22.5}, "keep_alive_s", "below half of idle_timeout_s (22.5 s)"),
        ({"keep_alive_s": 15, "idle_timeout_s": 30}, "keep_alive_s", "below half"),
        ({"handshakes_per_ip_per_s": 201}, "handshakes_per_ip_burst", "handshakes_per_ip_per_s (201)"),
        ({"call_timeout_s": 601}, "call_timeout_s", "call_timeout_max_s (601 > 600)"),
        ({"handlers_max": 10}, "handlers_per_peer_max", "handlers_max (10)"),
        ({"pubsub_queue_bytes_max": 66_000}, "pubsub_queue_bytes_max", "at least 66560"),
        ({"pubsub_direct": ("x",)}, "pubsub_direct", "identity"),
        ({"pubsub_shared_networks": ("10.0.0.0/33",)}, "pubsub_shared_networks", "10.0.0.0/33"),
        ({"max_streams": 0}, "max_streams", "greater than or equal to 1"),
        ({"max_streams": True}, "max_streams", "is a number, not true or false"),
        ({"idle_timeout_s": math.inf}, "idle_timeout_s", "3600"),
        ({"idle_timeout_s": math.nan}, "idle_timeout_s", "should be"),
        ({"pow_bits": 41}, "pow_bits", "40"),
        ({"network": ""}, "network", "at least 1"),
        ({"network": "Ümlaut"}, "network", "should be lower-case letters, digits"),
        ({"network": "a" * 65}, "network", "at most 64"),
        ({"listen": "192.0.2.1"}, "listen", "0.0.0.0:4433 or [::]:4433"),
        ({"listen": "localhost:1"}, "listen", "IP address"),
        ({"listen": "::1:4433"}, "listen", "[::]:4433"),
        ({"listen": "127.0.0.1:65536"}, "listen", "port 0 to 65535"),
        ({"listen": "127.0.0.1:-1"}, "listen", "port 0 to 65535"),
        ({"metrics": "9464"}, "metrics", "0.0.0.0:4433"),
        ({"metrics": "unix:relative"}, "metrics", "absolute path"),
        ({"advertise": ["/ip4/192.0.2.1/tcp/1"]}, "advertise", "quic-v1"),
        ({"advertise": ["/ip4/192.0.2.1/udp/1/quic-v1"] * 17}, "advertise", "at most 16"),
        ({"bootstrap": ["kontinuum:AAAA"]}, "bootstrap", "kontinuum:AAAA: "),
        ({"bootstrap": ["x" * 500]}, "bootstrap", "xxx...: "),
        ({"log_levels": {"rcp": "debug"}}, "log_levels", "there is no room 'rcp'; did you mean 'rpc'?"),
        ({"log_levels": {"rpc": "loud"}}, "log_levels.rpc", "'debug', 'info', 'warning' or 'error'"),
        ({"log_levels": "rpc"}, "log_levels", "room=level"),
        ({"congestion": "reno"}, "congestion", "'bbr3' or 'cubic'"),
        ({"passphrase_source": "hunter2"}, "passphrase_source", "should be auto, prompt, env:NAME"),
    ],
)
def test_what_cannot_work_is_refused_in_words(values, key, words):
    """Every bound and every relation has a message that names the setting and the bound."""
    assert words in findings(**values)[key]


def test_relations_hold_exactly_at_their_limits():
    """The last allowed value of each relation is allowed."""
    NodeConfig(keep_alive_s=14.9, idle_timeout_s=30)
    NodeConfig(handshakes_per_ip_per_s=200)
    NodeConfig(call_timeout_s=600)
    NodeConfig(handlers_max=1024)


def test_everything_wrong_is_said_at_once(tmp_path, monkeypatch):
    """A person repairs a file once, not once for each mistake."""
    (tmp_path / "node.toml").write_text('max_streams = 0\ncongestion = "reno"\nfoo = 1\n')
    monkeypatch.setenv("KONTINUUM_BAR", "1")
    keys = {finding.key for finding in NodeConfig.check(data_dir=tmp_path, flags={"pow_bits": 99})}

    assert keys == {"max_streams", "congestion", "foo", "bar", "pow_bits"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"network = ", "Invalid value"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"network = 'a'\nnetwork = 'b'", "overwrite"),
        (b"#" * (NODE_TOML_BYTES_MAX + 1), "larger than"),
        (b"data_dir = '/tmp'", "cannot say so itself"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path, content, words):
    """A broken file is an error with its path, never a traceback and never ignored."""
    (tmp_path / "node.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=words) as refused:
        NodeConfig.load(data_dir=tmp_path)

    assert str(tmp_path / "node.toml") in str(refused.value)


def test_a_file_of_the_largest_size_is_read(tmp_path):
    """The bound of the file holds exactly."""
    (tmp_path / "node.toml").write_bytes(b"#" * NODE_TOML_BYTES_MAX)

    assert NodeConfig.load(data_dir=tmp_path).network == "main"


def test_an_unreadable_file_is_an_error_not_a_missing_one(tmp_path):
    """A file that is there but cannot be read must not be mistaken for no file."""
    (tmp_path / "node.toml").mkdir()

    with pytest.raises(ConfigError, match="cannot be read"):
        NodeConfig.load(data_dir=tmp_path)


@given(st.binary(max_size=300))
def test_any_file_gives_a_configuration_or_findings(tmp_path_factory, content):
    """Whatever the file holds, there is a configuration or there are findings; nothing else is raised."""
    directory = tmp_path_factory.mktemp("config")
    (directory / "node.toml").write_bytes(content)

    assert all(isinstance(finding, Finding) for finding in NodeConfig.check(data_dir=directory))


def test_a_real_contact_is_a_bootstrap_contact(monkeypatch):
    """The text that another node shows is what bootstrap takes, in a file or a variable."""
    key = KeyPair.from_seed(b"\x01" * 32)
    proof = ProofOfWork(network_id("main"), key.peer_id, 0)
    text = Contact.issue(
        key, [], sequence=1, issued_at=datetime(2026, 1, 1, tzinfo=UTC), proof=proof
    ).to_text()
    monkeypatch.setenv("KONTINUUM_BOOTSTRAP", text)

    assert NodeConfig.load().bootstrap == (text,)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"keylog_path": "/tmp/keys"}, "keylog_path"),
        ({"core_dumps": True}, "core_dumps"),
        ({"metrics": "0.0.0.0:9464"}, "metrics"),
        ({"keep_alive_s": 30, "idle_timeout_s": 90}, "keep_alive_s"),
        ({"listen": "0.0.0.0:0", "advertise": ("/ip4/192.0.2.1/udp/1/quic-v1",)}, "advertise"),
        ({}, "bootstrap"),
        ({"pow_bits": 0}, "pow_bits"),
    ],
)
def test_what_is_doubtful_is_a_warning(values, key):
    """A configuration that works but surprises gets a warning, not a refusal."""
    found = {finding.key: finding for finding in NodeConfig.check(flags=values)}

    assert found[key].level == "warning"
    assert NodeConfig.load(flags=values)


def test_a_sound_configuration_has_no_findings():
    """Nobody is warned without a reason."""
    assert NodeConfig.check(flags={"mdns": True, "metrics": "unix:/run/k.sock"}) == []


@pytest.mark.parametrize(
    ("listen", "ipv6_only", "mode", "address"),
    [
        ("[::]:4433", False, "dual", ("::", 4433)),
        ("[::]:4433", True, "v6", ("::", 4433)),
        ("[::1]:1", False, "v6", ("::1", 1)),
        ("127.0.0.1:0", False, "v4", ("127.0.0.1", 0)),
    ],
)
def test_which_ip_versions_the_socket_takes(listen, ipv6_only, mode, address):
    """The address says it: [::] takes both unless ipv6_only."""
    config = NodeConfig(listen=listen, ipv6_only=ipv6_only)

    assert (config.ip_mode, config.listen_address) == (mode, address)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:9464", "[::1]:0", "0.0.0.0:80", "unix:/run/k.sock", "unix:/with space/k"]
)
def test_local_addresses_round_trip(text):
    """What an address prints is what it was read from."""
    assert str(LocalAddress.parse(text)) == text


def test_local_addresses_know_who_can_reach_them():
    """Loopback and Unix sockets are this machine's alone."""
    assert LocalAddress.parse("localhost:1") == LocalAddress.parse("127.0.0.1:1")
    assert LocalAddress.parse("unix:/x").is_loopback
    assert LocalAddress.parse("[::1]:1").is_loopback
    assert not LocalAddress.parse("[::]:1").is_loopback


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text):
    """Reading an address raises ValueError or gives one that is read back alike."""
    try:
        host, port = host_and_port(text)
    except ValueError:
        return
    assert host_and_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") == (host, port)


def test_a_configuration_does_not_change():
    """Nobody turns a setting of a running node by accident."""
    with pytest.raises(ValueError, match="frozen"):
        NodeConfig().network = "other"


def test_configuration_errors_are_the_callers():
    """The family says who must act."""
    assert issubclass(ConfigError, MisuseError)


def test_the_example_file_is_valid_and_changes_nothing(tmp_path):
    """The generated node.toml means the defaults, and so does each of its lines without the '#'."""
    example = NodeConfig.example_toml()
    assert tomllib.loads(example) == {}

    settings = [line[1:] for line in example.splitlines() if line.startswith("#") and line[1:2].isalpha()]
    (tmp_path / "node.toml").write_text("\n".join(settings))
    assert NodeConfig.load(data_dir=tmp_path) == NodeConfig(data_dir=tmp_path)
    assert len(settings) == len(NodeConfig.model_fields) - 1


def test_every_field_is_described_with_its_group_and_bounds():
    """No setting without a description and a place; no number without a unit and both bounds."""
    for name, field in NodeConfig.model_fields.items():
        assert field.description, name
        assert field.json_schema_extra["group"], name
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert field.json_schema_extra["unit"], name
            assert " to " in config_docs._facts(field), name


def test_the_rooms_with_a_log_level_are_the_rooms():
    """A new room can be given a level."""
    rooms = {path.name for path in (ROOT / "src/kontinuum").iterdir() if (path / "__init__.py").exists()}

    assert rooms <= set(config_rules.ROOMS)


def test_the_page_is_up_to_date():
    """docs/configuration.md is what `python -m kontinuum.node.config_docs` writes."""
    assert (ROOT / "docs/configuration.md").read_text() == config_docs.markdown()


def test_importing_kontinuum_does_not_import_pydantic():
    """The package stays quick to import; settings are loaded when a node is configured."""
    code = "import sys, kontinuum; sys.exit(any(name.startswith('pydantic') for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
