"""Commands about clusters that are killed anywhere: nothing is lost, and they go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    """What was left by processes that died at each change of the disk in turn, and what came of it."""
    directory = tmp_path_factory.mktemp("deaths")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KONTINUUM_")}
    done = subprocess.run(
        [sys.executable, HELPERS / "cluster_program.py", directory],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(deaths, command):
    """The deaths of one command."""
    found = [death for death in deaths if death["command"] == command]
    assert found
    assert not found[-1]["died"]
    return found


def test_a_directory_is_what_it_was_or_what_it_becomes(deaths):
    """
    After SIGKILL anywhere, the node has its old key or its new one, and a chain that loads.
    """
    for death in deaths:
        if death["command"] == "recover":
            continue
        before, after = death["before"], death["after"]
        assert after["code"] == 0, death
        assert after["statements"] >= before["statements"] or after["cluster"] != before["cluster"], death


def test_the_same_command_goes_on(deaths):
    """
    Run again, every command does what is left, and ends well.
    """
    assert len(deaths) > 100
    for death in deaths:
        assert death["code"] == 0, death
        assert death["finally"]["code"] == 0, death


def test_the_vault_is_whole_and_opens(deaths):
    """
    Wherever it was interrupted, the object is there once, and opens with the node's keys.
    """
    for death in deaths:
        assert death["contents"] == ["something to keep"], death


def test_keys_go_where_they_should(deaths):
    """
    A rekeying ends at the next epoch or the one after it, a join at the new branch, a new root elsewhere.
    """
    for death in of(deaths, "rekey"):
        assert death["finally"]["epoch"] - death["after"]["epoch"] == 1, death
    for death in of(deaths, "join"):
        assert death["finally"]["path"] == "/1.1", death
    for death in of(deaths, "root"):
        assert death["finally"]["cluster"] != death["before"]["cluster"], death
        assert death["finally"]["key"] == of(deaths, "root")[-1]["finally"]["key"], death
    for death in of(deaths, "recover"):
        assert death["finally"]["cluster"] == death["before"]["cluster"], death
        assert death["finally"]["key"] != death["before"]["key"], death
