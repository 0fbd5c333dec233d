"""The real command with small simulations: run, reports, compare, replay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.programs import PROGRAM, run_json, run_program
from kontinuum.cli import schema
from kontinuum.cli.errors import Exit

pytestmark = pytest.mark.slow

SCENARIO = """
name = "small"
description = "Fifty nodes, a minute."
nodes = 50
settle_s = 20
duration_s = 60
[workload]
lookups = 60
records = 10
gets = 30
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home directory with a scenario in it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.toml").write_text(SCENARIO)
    return folder


@pytest.fixture(scope="module")
def done(home):
    """A run with all its reports: exit code, what it wrote as JSON, and where the files are."""
    files = {name: home / f"a.{name}" for name in ("out", "html", "events")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    code, result = run_json(home, "sim", "run", str(home / "small.toml"), *options)
    return code, result, files


def test_a_run_finds_its_peers(done):
    """
    Fifty honest nodes find everything; the JSON has exactly the documented keys.
    """
    code, result, _files = done
    assert (code, tuple(result)) == (Exit.OK, schema.RESULTS["sim run"])
    assert (result["nodes"], result["lookups"], result["success_ratio"]) == (50, 90, 1.0)
    assert result["hops_mean"] >= 1
    assert result["peak_rss_bytes"] > 2**20
    assert all(result["defences"].values())


def test_the_reports_are_written(done):
    """
    The file has what the output had, the page tells how to do it again, and every event is a line.
    """
    _code, result, files = done
    assert json.loads(files["out"].read_text()) == result
    page = files["html"].read_text()
    assert f"--seed {result['seed']} --nodes 50" in page
    assert result["digest"] in page
    assert page.count("<svg") > 3
    with files["events"].open() as lines:
        assert sum(1 for _ in lines) >= result["events"]


def test_the_same_run_again(home, done):
    """
    A replay from the result alone, under another hash seed, does the same, event for event.
    """
    _code, result, files = done
    environment = {**os.environ, "PYTHONHASHSEED": "7", "HOME": str(home)}
    command = [*PROGRAM, "sim", "replay", str(files["out"]), "--json"]
    again = subprocess.run(command, env=environment, capture_output=True, check=False)

    replayed = json.loads(again.stdout)
    assert (again.returncode, tuple(replayed)) == (Exit.OK, schema.RESULTS["sim replay"])
    assert replayed["same"]
    assert replayed["digest"] == result["digest"]


def test_a_replay_of_another_code_says_so(home, done):
    """
    When the event log is not that of the result, the exit code tells.
    """
    _code, result, _files = done
    other = home / "other.json"
    other.write_text(json.dumps({**result, "digest": "00" * 32}))

    code, replayed = run_json(home, "sim", "replay", str(other))
    assert (code, replayed["same"]) == (Exit.FAILURE, False)


def test_options_go_before_the_scenario(home, done):
    """
    Seed, size and defences of the command line hold; comparing shows them, and what they did.
    """
    _code, _result, files = done
    other = home / "b.json"
    options = ["--seed", "9", "--nodes", "30", "--defences", "off", "--out", str(other)]
    shown = run_program(home, "sim", "run", str(home / "small.toml"), *options)
    assert shown.returncode == Exit.OK
    text = shown.stdout.decode()
    assert text.startswith("small, seed 9, defences off\n")
    assert "--seed 9 --nodes 30 --defences off" in text
    assert "\x1b" not in text
    assert shown.stderr == b""

    code, compared = run_json(home, "sim", "compare", str(files["out"]), str(other))
    assert (code, compared["same"]) == (Exit.OK, False)
    changed = {one["name"]: (one["a"], one["b"]) for one in compared["settings"]}
    assert changed["nodes"] == ("50", "30")
    assert changed["seed"] == ("1", "9")
    assert changed["defences.quotas"] == ("true", "false")
    assert "messages" in {one["name"] for one in compared["figures"]}


def test_every_scenario_of_the_project_can_be_read(repository):
    """
    ``sim list`` in the source tree reads all of scenarios/.
    """
    command = [*PROGRAM, "sim", "list", "--json"]
    listed = subprocess.run(command, cwd=repository, capture_output=True, check=True)
    entries = json.loads(listed.stdout)["scenarios"]
    paths = {Path(entry["path"]).name for entry in entries}
    assert paths == {path.name for path in (repository / "scenarios").glob("*.toml")}


def test_scenario_names_are_completed(repository):
    """
    The shell is offered the scenarios that begin with what was typed.
    """
    environment = {
        **os.environ,
        "_KONTINUUM_COMPLETE": "complete_bash",
        "COMP_WORDS": "kontinuum sim run dht-",
        "COMP_CWORD": "3",
    }
    command = [sys.executable, "-m", "kontinuum.cli.main"]
    offered = subprocess.run(
        command, env=environment, cwd=repository, capture_output=True, text=True, check=False
    )
    names = {path.stem for path in (repository / "scenarios").glob("dht-*.toml")}
    assert set(offered.stdout.split()) == names
