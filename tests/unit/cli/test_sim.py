"""``kontinuum sim`` as far as it needs no simulation."""

import json
from dataclasses import asdict, fields

import pytest

from helpers.sim_results import result
from kontinuum.base.errors import FileUnavailableError
from kontinuum.cli import schema
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.main import run
from kontinuum.cli.sim import files, tables
from kontinuum.sim.compare import Change, compare
from kontinuum.sim.errors import InvariantError
from kontinuum.sim.gossip.result import GossipResult
from kontinuum.sim.result import Result
from kontinuum.sim.scenario import Scenario

TOML = 'name = "small"\ndescription = "Says [bold]what[/] it shows."\nnodes = 50\n'


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Work in a directory with one scenario of its own, and no source tree with others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "_in_source_tree", lambda: tmp_path / "elsewhere")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "small.toml").write_text(TOML)


def saved(path, **changes):
    """Write a made-up result into a file."""
    path.write_text(result(**changes).to_json())
    return str(path)


def run_json(capsys, *arguments):
    """Run a command with ``--json``; return its exit code and the one object that it wrote."""
    code = run([*arguments, "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return code, json.loads(lines[0])


def test_the_schema_is_that_of_a_result():
    """
    ``sim run --json`` promises exactly the fields of a result, in order.
    """
    assert schema.RESULTS["sim run"] == tuple(field.name for field in fields(Result))
    assert tuple(field.name for field in fields(GossipResult)) == schema.SIM_GOSSIP


def test_scenarios_are_listed(capsys):
    """
    Each scenario at hand with its path, for people and for programs; markup in its texts is text.
    """
    code, listed = run_json(capsys, "sim", "list")
    assert (code, tuple(listed)) == (Exit.OK, schema.RESULTS["sim list"])
    (entry,) = listed["scenarios"]
    assert tuple(entry) == schema.SCENARIO
    assert (entry["name"], entry["path"], entry["nodes"]) == ("small", "scenarios/small.toml", 50)
    assert run(["sim", "list"]) == Exit.OK
    assert "Says [bold]what[/] it shows." in capsys.readouterr().out


def test_a_scenario_is_a_path_or_a_name(tmp_path):
    """
    A name stands for a file in scenarios/; a path for itself; anything else names those that are known.
    """
    assert files.scenario_path("small").name == "small.toml"
    assert files.scenario_path("scenarios/small.toml").name == "small.toml"
    with pytest.raises(CliError) as caught:
        files.scenario_path("large")
    assert caught.value.family is Exit.MISUSE
    assert "small" in caught.value.hint
    assert files.shown(tmp_path / "scenarios" / "small.toml") == "scenarios/small.toml"


def test_a_scenario_here_wins_over_one_of_the_source_tree(tmp_path):
    """
    Two of one name: the one in the current directory is meant.
    """
    (tmp_path / "elsewhere").mkdir()
    for name in ("small", "other"):
        (tmp_path / "elsewhere" / f"{name}.toml").write_text(TOML)

    assert {name: files.shown(path) for name, path in files.known().items()} == {
        "other": "elsewhere/other.toml",
        "small": "scenarios/small.toml",
    }


def test_names_are_completed():
    """
    A shell is offered the names that begin with what was typed.
    """
    assert files.complete("") == ["small"]
    assert files.complete("sm") == ["small"]
    assert files.complete("x") == []


def test_two_results_are_compared(capsys, tmp_path):
    """
    What changed is shown for people and for programs, with the documented keys.
    """
    a = saved(tmp_path / "a.json")
    b = saved(tmp_path / "b.json", seed=8, digest="cd" * 32, success_ratio=0.5, hops_mean=2.0)

    code, compared = run_json(capsys, "sim", "compare", a, b)
    assert (code, tuple(compared)) == (Exit.OK, schema.RESULTS["sim compare"])
    assert {tuple(one) for one in compared["figures"]} == {schema.SIM_FIGURE}
    assert {tuple(one) for one in compared["settings"]} == {schema.SIM_SETTING}
    assert (compared["better"], compared["worse"]) == (1, 1)

    assert run(["sim", "compare", a, b]) == Exit.OK
    shown = capsys.readouterr().out
    assert "-49.00 points" in shown
    assert "-20.0 %" in shown
    assert "1 figures better, 1 worse" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["sim"],
        ["sim", "run"],
        ["sim", "run", "nothing"],
        ["sim", "run", "small", "--nodes", "1"],
        ["sim", "run", "small", "--seed", "-1"],
        ["sim", "run", "small", "--defences", "some"],
        ["sim", "run", "broken.toml"],
        ["sim", "compare", "a.json"],
        ["sim", "compare", "missing.json", "missing.json"],
        ["sim", "compare", "broken.toml", "broken.toml"],
        ["sim", "replay", "missing.json"],
        ["sim", "replay", "empty.json"],
    ],
)
def test_misuse_is_told_in_one_line_and_one_object(capsys, tmp_path, arguments):
    """
    Wrong input ends with 2 and one clear line, never a traceback.
    """
    (tmp_path / "broken.toml").write_text("name = 5\n")
    (tmp_path / "empty.json").write_text("{}")
    code = run(arguments)
    captured = capsys.readouterr()
    assert code == Exit.MISUSE
    assert "Traceback" not in captured.err
    if arguments != ["sim"]:
        assert captured.err.startswith("kontinuum: ")
    again, told = run_json(capsys, *arguments)
    assert again == code
    assert tuple(told["error"]) == schema.ERROR


@pytest.mark.parametrize("option", ["--html", "--out", "--events"])
@pytest.mark.parametrize("place", ["missing/file", "scenarios"])
def test_a_report_that_cannot_be_written_is_told_before_the_run(capsys, option, place):
    """
    Nobody waits ten minutes to hear that there is no such directory.
    """
    code, told = run_json(capsys, "sim", "run", "small", option, place)
    assert code == Exit.UNAVAILABLE
    assert place.partition("/")[0] in told["error"]["message"]


def test_reports_replace_each_other(tmp_path):
    """
    A report is written at once or not at all, and others may read it.
    """
    path = tmp_path / "report.html"
    for words in ("one", "two"):
        files.writable(path)
        files.write(path, words)
        assert path.read_text() == words
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(FileUnavailableError):
        files.writable(tmp_path)


def test_a_run_is_a_table(monkeypatch):
    """
    Operations, the whole run, attack, digest and the command; as plain text where no terminal is.
    """
    monkeypatch.setenv("COLUMNS", "40")  # Not that of a terminal: no line is broken.
    shown = tables.run_text(result(), "kontinuum sim run small --seed 7")

    lines = shown.splitlines()
    assert lines[0] == "made-up, seed 7, defences on"
    assert any(line.startswith("find peers") and "99.0 %" in line for line in lines)
    assert any(line.startswith("memory at most") and line.endswith("300 MiB") for line in lines)
    assert any(line.startswith("table share") and line.endswith("19.0 %") for line in lines)
    assert not any(line.startswith("evicted") for line in lines)
    assert lines[-1] == "again: kontinuum sim run small --seed 7"
    assert "\x1b" not in shown


@pytest.mark.parametrize(("wanted", "coloured"), [(None, True), ("1", False)])
def test_colours_are_for_terminals_and_obey_no_color(monkeypatch, wanted, coloured):
    """
    On a terminal what is worse is red, unless NO_COLOR is set.
    """
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if wanted:
        monkeypatch.setenv("NO_COLOR", wanted)
    a, b = (json.loads(one.to_json()) for one in (result(), result(success_ratio=0.5)))

    assert ("\x1b[31m" in tables.compare_text(compare(a, b))) is coloured


def test_hostile_texts_cannot_drive_the_terminal():
    """
    Control characters in a scenario or a result are shown, not obeyed.
    """
    evil = "\x1b[2J\u202e"
    one = result(scenario=evil, description=evil, attack={evil: 1.0}, counters={evil: 1})
    data = asdict(one)
    shown = [
        tables.run_text(one, evil),
        tables.compare_text(compare(data, {**data, "settings": {evil: evil}, "counters": {evil: 2}})),
        tables.list_text([(Scenario(name=evil, description=evil), evil)]),
    ]
    for text in shown:
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize(
    ("name", "a", "b", "words"),
    [
        ("success_ratio", 0.99, 0.995, "+0.50 points"),
        ("latency_p50_s", 0.5, 0.25, "-50.0 %"),
        ("counters.evicted", 0.0, 3.0, "+3"),
        ("counters.evicted", 0.0, -3.0, "-3"),
        ("counters.evicted", None, 3.0, "new"),
        ("counters.evicted", 3.0, None, "gone"),
    ],
)
def test_changes_are_written_in_points_and_per_cent(name, a, b, words):
    """
    Ratios change by points, everything else by per cent, and what was 0 by as much as it is now.
    """
    difference = None if a is None or b is None else b - a
    share = difference / a if difference is not None and a else None
    assert tables.change_text(Change(name, a, b, difference, share, None)) == words


def test_a_broken_rule_ends_the_run_with_all_that_is_needed(capsys, monkeypatch):
    """
    A node that breaks a rule: exit code 1, the seed, what happened last, and the command that does it again.
    """

    def broken(_scenario, *, seed, command, **_rest):
        raise InvariantError(
            "rule", "was broken", node=3, at_s=1.5, seed=seed, nodes=50, log=("3 timer",), command=command
        )

    monkeypatch.setattr("kontinuum.sim.kinds.dht_run", broken)
    arguments = ["sim", "run", "small", "--seed", "9"]
    assert run(arguments) == Exit.FAILURE
    told = capsys.readouterr().err
    for words in (
        "rule: was broken",
        "seed 9",
        "3 timer",
        "replay: kontinuum sim run scenarios/small.toml --seed 9",
    ):
        assert words in told
    code, result = run_json(capsys, *arguments)
    assert (code, result["error"]["family"], result["error"]["code"]) == (
        Exit.FAILURE,
        "failure",
        "invariant",
    )
