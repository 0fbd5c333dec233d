"""Commands as far as they need no node."""

import json
import os
import subprocess
import sys

import pytest

from kontinuum.cli import schema
from kontinuum.cli.commands.node import with_settings
from kontinuum.cli.commands.receive import parse_size
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.main import run
from kontinuum.node.config import NodeConfig

PEER = "5" * 64


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Give every test a home directory of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in list(os.environ):
        if name.startswith("KONTINUUM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run_json(capsys, *arguments):
    """Run a command with ``--json``; return its exit code and the one object that it wrote."""
    code = run([*arguments, "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return code, json.loads(lines[0])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["up", "--help"], ["node", "--help"], ["node", "run", "-h"]]
)
def test_help_ends_well(capsys, arguments):
    """
    Every level has help on standard output.
    """
    assert run(arguments) == Exit.OK
    assert "Usage: kontinuum" in capsys.readouterr().out


def test_the_slow_libraries_are_not_imported_for_help():
    """
    Neither rich nor pydantic nor the engine is loaded to show the help.
    """
    script = (
        "import sys; from kontinuum.cli.main import run; run(['--help']);"
        "print([name for name in ('rich', 'pydantic', 'zeroconf', 'asyncio', 'segno', 'kontinuum._native')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_its_libraries_the_program_says_what_to_install():
    """
    The library alone has no typer; the program then ends with one clear line.
    """
    script = "import sys; sys.modules['typer'] = None; import kontinuum.cli.main"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == Exit.MISUSE
    assert "kontinuum[cli]" in done.stderr
    assert "Traceback" not in done.stderr


def test_version(capsys):
    """
    The version is shown for people and for programs.
    """
    code, result = run_json(capsys, "--version")
    assert code == Exit.OK
    assert tuple(result) == schema.RESULTS["--version"]
    assert run(["--version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("kontinuum ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["node"],
        ["node", "nonsense"],
        ["ping"],
        ["ping", PEER, "--count", "0"],
        ["ping", PEER, "--count", "x"],
        ["call", PEER],
        ["send", PEER],
        ["send", "missing-file", PEER],
        ["send", ".", PEER],
        ["receive", "--to", "missing-directory"],
        ["receive", "--max-size", "-5"],
        ["receive", "--max-size", "1X"],
        ["up", "--nodes", "1"],
        ["up", "--nodes", "51"],
        ["up", "--file", "missing-file"],
        ["completion", "tcsh"],
        ["dht"],
        ["dht", "put"],
        ["dht", "get"],
        ["dht", "find", PEER, "--count", "0"],
        ["contact", "add", "kontinuum:AAAA"],
        ["contact", "add", "hello"],
        ["node", "id"],
        ["node", "init", "--pow-bits", "41"],
        ["node", "init", "--listen", "nonsense"],
        ["node", "init", "--network", "NOT A NAME"],
    ],
)
def test_misuse_is_told_in_one_line_and_one_object(capsys, arguments):
    """
    Wrong input ends with 2 (or 4 where a peer's line is wrong), one clear line, never a traceback.
    """
    code = run(arguments)
    captured = capsys.readouterr()
    assert code in (Exit.MISUSE, Exit.PEER)
    assert "Traceback" not in captured.err
    errors = [line for line in captured.err.splitlines() if not line.startswith("  hint:")]
    if arguments != ["node"]:
        assert errors[0].startswith("kontinuum: ")
    again, result = run_json(capsys, *arguments)
    assert again == code
    assert tuple(result["error"]) == schema.ERROR


@pytest.mark.parametrize(
    "arguments",
    [
        ["peers"],
        ["status"],
        ["node", "status"],
        ["node", "stop"],
        ["contact", "show"],
        ["contact", "qr"],
        ["dht", "stats"],
        ["dht", "provide", "/blake3/" + 64 * "0"],
    ],
)
def test_without_a_running_node_the_way_to_start_one_is_told(capsys, arguments):
    """
    Commands that need a running node end with 3 and the command that starts one.
    """
    code, result = run_json(capsys, *arguments)
    assert code == Exit.UNAVAILABLE
    assert result["error"]["code"] == "not_running"
    assert "kontinuum node run" in result["error"]["hint"]


def test_a_node_is_made_once_and_never_replaced(capsys, tmp_path):
    """
    ``node init`` makes a private directory with a key and settings; a second one changes nothing.
    """
    directory = tmp_path / "n"
    code, made = run_json(
        capsys, "node", "init", "--dir", str(directory), "--network", "home", "--pow-bits", "12"
    )
    assert code == Exit.OK
    assert tuple(made) == schema.RESULTS["node init"]
    assert directory.stat().st_mode & 0o777 == 0o700
    key = (directory / "identity.key").read_bytes()
    config = NodeConfig.load(data_dir=directory)
    assert (config.network, config.pow_bits) == ("home", 12)
    code, _error = run_json(capsys, "node", "init", "--dir", str(directory))
    assert code == Exit.MISUSE
    assert (directory / "identity.key").read_bytes() == key
    code, identity = run_json(capsys, "node", "id", "--dir", str(directory))
    assert tuple(identity) == schema.RESULTS["node id"]
    assert identity["peer_id"] == made["peer_id"]


def test_settings_are_switched_on_in_the_example():
    """
    Given settings stand uncommented in the example; the rest stays as it is.
    """
    text = with_settings(NodeConfig.example_toml(), {"network": "home", "pow_bits": 3})
    assert '\nnetwork = "home"\n' in text
    assert "\npow_bits = 3\n" in text
    assert "\n#listen = " in text


def test_config_check_and_example(capsys, tmp_path):
    """
    The example is a valid configuration; what is wrong in one is listed, and the exit code says so.
    """
    code, example = run_json(capsys, "config", "example")
    assert tuple(example) == schema.RESULTS["config example"]
    run(["node", "init", "--dir", str(tmp_path / "n")])
    capsys.readouterr()
    code, result = run_json(capsys, "config", "check", "--dir", str(tmp_path / "n"))
    assert (code, result["ok"]) == (Exit.OK, True)
    assert tuple(result) == schema.RESULTS["config check"]
    (tmp_path / "n" / "node.toml").write_text("max_streems = 5\n")
    code, result = run_json(capsys, "config", "check", "--dir", str(tmp_path / "n"))
    assert (code, result["ok"]) == (Exit.FAILURE, False)
    assert tuple(result["findings"][0]) == schema.FINDING


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capsys, shell):
    """
    Each shell gets a script that names the program.
    """
    code, result = run_json(capsys, "completion", shell)
    assert code == Exit.OK
    assert tuple(result) == schema.RESULTS["completion"]
    assert "kontinuum" in result["script"]


def test_completion_completes():
    """
    The shell's question is answered with commands.
    """
    environment = {
        **os.environ,
        "_KONTINUUM_COMPLETE": "complete_bash",
        "COMP_WORDS": "kontinuum con",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-m", "kontinuum.cli.main"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.split()) == ["config", "contact"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("500M", 500 << 20),
        ("2GiB", 2 << 30),
        ("1 ", 1),
        ("9T", 9 << 40),
    ],
)
def test_sizes(text, size):
    """
    Sizes have binary units.
    """
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5G", "1P", "0x10", "٣", "9" * 40])
def test_what_is_no_size_is_refused(text):
    """
    Anything else is misuse.
    """
    with pytest.raises(CliError):
        parse_size(text)


def test_the_documentation_shows_every_key(repository):
    """
    ``docs/cli.md`` lists exactly the keys that commands write.
    """
    lines = (repository / "docs" / "cli.md").read_text().splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    shown = {row[0].strip(" `"): tuple(word.strip(" `") for word in row[1].split(",")) for row in rows}
    assert shown == {**schema.RESULTS, **schema.EVENTS}
