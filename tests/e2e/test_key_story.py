"""
The story of issue 6, whole, with real processes: what people watch with ``kontinuum cluster story``.
"""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.programs import PROGRAM, environment, wait_until

pytestmark = pytest.mark.slow

TITLES = [
    "A root, on paper",
    "Three machines, one cluster",
    "Alice and Bob meet",
    "Everybody calls everybody",
    "A letter, sealed, and a copy of it",
    "The phone is stolen",
    "The laptop changes its key",
    "Everything burns",
    "Back from words and one copy",
    "Another root",
]


def test_the_whole_story(tmp_path):
    """
    A root, a cluster of three, a meeting by text code, calls both ways, a theft, a rekeying, a fire, recovery
    from words and one copy, another root. Every act checks what it shows; here, that none is missing.
    """
    place = tmp_path / "stage"
    done = subprocess.run(
        [*PROGRAM, "cluster", "story", "--dir", str(place), "--json"],
        env=environment(tmp_path),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    *events, result = [json.loads(line) for line in done.stdout.splitlines()]
    assert result["ok"] is True
    acts = {each["title"]: each["facts"] for each in events}
    assert list(acts) == TITLES
    assert acts["Three machines, one cluster"]["alice"] != acts["Three machines, one cluster"]["bob"]
    assert acts["Alice and Bob meet"]["code_chars"] <= 300
    assert acts["Everybody calls everybody"]["calls"] == 12
    theft, rekey = acts["The phone is stolen"], acts["The laptop changes its key"]
    assert theft["key"] != theft["tried"]
    assert rekey["before"] != rekey["after"]
    assert acts["Everything burns"]["left"] == []
    assert acts["Back from words and one copy"]["place"] == "/0"
    assert acts["Another root"]["before"] == acts["Three machines, one cluster"]["alice"]
    assert acts["Another root"]["after"] != acts["Another root"]["before"]
    assert nodes_in(place) == []
    for log in place.glob("*.log"):
        assert b"Traceback" not in log.read_bytes(), log


def test_a_story_that_is_interrupted_leaves_no_node_behind(tmp_path):
    """
    Ctrl-C in the middle, and SIGKILL: every node ends, for it ends with its input.
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        place = tmp_path / number.name
        playing = subprocess.Popen(
            [*PROGRAM, "cluster", "story", "--dir", str(place), "--json"],
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda place=place: len(nodes_in(place)) >= 2, "two nodes of the story")
        playing.send_signal(number)
        assert playing.wait(30) != 0
        wait_until(lambda place=place: not nodes_in(place), "the end of the nodes")


def test_a_directory_that_is_there_is_left_alone(tmp_path):
    """
    The story overwrites nothing.
    """
    done = subprocess.run(
        [*PROGRAM, "cluster", "story", "--dir", str(tmp_path), "--json"],
        env=environment(tmp_path),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert b"new directory" in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def nodes_in(place):
    """The processes that run in a directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == place:
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [process.name] if state != "Z" else []
        except OSError:
            continue
    return found
