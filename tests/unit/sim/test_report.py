"""The page of a run, and the comparison of two."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from helpers.sim_results import operation, result
from kontinuum.sim.compare import NoResultError, checked, compare
from kontinuum.sim.report.figures import KEY_FIGURES, Better, flat, label, operation_rows, settings
from kontinuum.sim.report.page import page
from kontinuum.sim.report.plots import plots

COMMAND = "kontinuum sim run scenarios/made-up.toml --seed 7 --nodes 1000"


def as_json(one):
    """Return a result as programs read it."""
    return json.loads(one.to_json())


class _Tags(HTMLParser):
    """Checks that tags are closed in order; remembers them."""

    VOID = frozenset(["meta"])

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_well_formed():
    """
    Every tag is closed; the command, the seed, the digest, every key figure and the plots are on it.
    """
    written = page(result(), command=COMMAND)

    tags = _Tags()
    tags.feed(written)
    assert tags.open == []
    assert tags.seen.count("svg") == len(plots(result())) > 5
    for words in (COMMAND, "Seed 7", "ab" * 32, "99.0 %", "300 MiB", "hostile[0].kind", "refused stale"):
        assert words in written
    for name in _key_figures(as_json(result())):
        assert label(name) in written


def _key_figures(data):
    """Those that a result of this kind has, in order: of topics it has others than of the DHT."""
    return [name for name in KEY_FIGURES if name in data]


def test_the_page_needs_no_network():
    """
    No address in it, no script, and a policy that would not let it.
    """
    written = page(result(), command=COMMAND)

    tags = _Tags()
    tags.feed(written)
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert not {"src", "href"} & {name for name, _ in tags.attributes}
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", written) == []
    assert "default-src 'none'" in written


def test_names_of_a_scenario_are_text():
    """
    Markup in a scenario's texts is shown, not obeyed.
    """
    evil = "<script>alert(1)</script>"
    written = page(result(scenario=evil, description=evil, attack={evil: 1.0}), command=evil)

    assert "<script" not in written
    assert "&lt;script&gt;" in written


def test_the_same_result_gives_the_same_page():
    """
    A page has no date and no chance in it.
    """
    assert page(result(), command=COMMAND) == page(result(), command=COMMAND)


def test_a_run_in_which_nothing_happened_has_a_page():
    """
    Without operations and without attackers there are no plots and no tables of them.
    """
    empty = operation(0)
    empty = replace(empty, count=0, succeeded=0, hops={}, latencies_s=[])
    quiet = result(operations={"find": empty}, attack={}, counters={}, series=type(result().series)())

    assert plots(quiet) == []
    written = page(quiet, command=COMMAND)
    assert "<svg" not in written
    assert "Attack" not in written


def test_settings_at_their_defaults_are_folded_away():
    """
    What the scenario set stands first; the rest can be unfolded.
    """
    shown, folded = page(result(), command=COMMAND).split("<details>")

    assert "workload.lookups" in shown
    assert "hostile[0].kind" in shown
    assert "hostile[0].delay_s" in folded
    assert "network.loss" not in shown
    assert "network.loss" in folded


def test_every_figure_of_a_result_has_unit_and_direction():
    """
    Figures are flat, named as in the JSON, with the unit of their name; what attackers win is never "better".
    """
    figures = flat(as_json(result()))

    assert str(figures["operations.get.latency_p50_s"]) == "500 ms"
    assert figures["operations.get.success_ratio"].better is Better.MORE
    assert figures["hops_mean"].better is Better.LESS
    assert figures["counters.refused_stale"].better is Better.NEITHER
    assert figures["attack.table_share"].better is Better.NEITHER
    assert str(figures["attack.table_share"]) == "19.0 %"
    first = _key_figures(as_json(result()))
    assert len(first) > 10
    assert list(figures)[: len(first)] == first
    assert "seed" not in figures
    assert not any("latencies" in name for name in figures)


def test_figures_of_successes_need_a_success():
    """
    Where nothing succeeded there are no hops and no latency, and so nothing that could be better or worse.
    """
    none = replace(operation(), succeeded=0, success_ratio=0.0, hops_mean=0.0, latency_p50_s=0.0)
    failed = as_json(result(success_ratio=0.0, hops_mean=0.0, latency_p50_s=0.0, operations={"get": none}))

    figures = flat(failed)
    assert not {"hops_mean", "latency_p50_s", "operations.get.hops_mean"} & set(figures)
    assert figures["operations.get.requests_mean"].value == 14.25
    changes = {change.name: change for change in compare(failed, as_json(result())).figures}
    assert changes["operations.get.hops_mean"].better is None
    assert changes["operations.get.success_ratio"].better is True
    ((kind, *cells),) = operation_rows(failed)
    assert (kind, cells) == ("get", ["100", "0.0 %", "-", "14.2", "-", "-", "-"])


def test_success_is_drawn_where_there_were_lookups():
    """
    An interval without lookups is no interval of success.
    """
    series = replace(result().series, lookups=[0, 40, 30], success_ratio=[1.0, 0.5, 0.25])

    (drawn,) = [plot for plot in plots(result(series=series)) if plot.title == "Success of lookups"]

    assert "success: 20 s, 50.0 %" in drawn.inline()
    assert "10 s" not in drawn.inline().split("<title>", 1)[1]


def test_settings_are_flat_texts():
    """
    Tables, lists of tables, switches and empty values each have one line.
    """
    rows = settings(as_json(result()))

    assert rows["workload.lookups"] == "100"
    assert rows["hostile[0].share"] == "0.2"
    assert rows["defences.quotas"] == "true"
    assert rows["partition"] == "none"
    assert rows["seed"] == "7"


def test_a_run_compared_with_itself_has_no_changes():
    """
    Nothing is better, nothing is worse, and the logs are the same.
    """
    one = as_json(result())

    compared = compare(one, one)

    assert compared.same
    assert (compared.settings, compared.figures, compared.better, compared.worse) == ([], [], 0, 0)


def test_changes_are_judged():
    """
    Each figure that differs has its change and whether it is for the better.
    """
    off = dict.fromkeys(result().defences, False)
    other = result(
        seed=8,
        digest="cd" * 32,
        defences=off,
        success_ratio=0.495,
        hops_mean=2.0,
        counters={"refused_stale": 0, "evicted": 3},
        attack={"identities": 250.0, "table_share": 0.38},
    )

    compared = compare(as_json(result()), as_json(other))

    changes = {change.name: change for change in compared.figures}
    assert (changes["success_ratio"].change, changes["success_ratio"].better) == (-0.5, False)
    assert (changes["hops_mean"].change, changes["hops_mean"].better) == (-0.2, True)
    assert (changes["counters.evicted"].difference, changes["counters.evicted"].change) == (3, None)
    assert changes["attack.table_share"].better is None
    assert (compared.better, compared.worse, compared.same) == (1, 1, False)
    names = {setting.name: (setting.a, setting.b) for setting in compared.settings}
    assert names["seed"] == ("7", "8")
    assert names["defences.quotas"] == ("true", "false")


def test_the_noise_of_a_machine_is_no_verdict():
    """
    A few per cent of time or memory are shown and not judged; twice the time is worse.
    """
    noise = compare(as_json(result()), as_json(result(wall_s=12.3)))
    slow = compare(as_json(result()), as_json(result(wall_s=24.0)))

    assert [change.better for change in noise.figures] == [None]
    assert [change.better for change in slow.figures] == [False]


def test_results_of_other_versions_can_be_compared():
    """
    A figure or setting that only one side has is shown as such.
    """
    older, newer = as_json(result()), as_json(result())
    del older["operations"]["get"]
    older["counters"]["rare"] = 5
    older["attack"]["gone"] = 5
    newer["settings"]["invented"] = 3
    newer["news"] = "no figure"

    compared = compare(older, newer)

    changes = {change.name: change for change in compared.figures}
    assert (changes["counters.rare"].a, changes["counters.rare"].b) == (5, 0)
    assert (changes["attack.gone"].a, changes["attack.gone"].b) == (5, None)
    assert changes["operations.get.hops_mean"].a is None
    assert [(one.name, one.a, one.b) for one in compared.settings] == [("invented", None, "3")]
    json.dumps(compared.to_json())


@pytest.mark.parametrize(
    "broken", [[], None, {}, "x", {"digest": 1}, {"digest": "a", "scenario": "b", "seed": "1"}]
)
def test_what_is_no_result_is_refused(broken):
    """
    Any other JSON is refused with the name of the file.
    """
    with pytest.raises(NoResultError, match=r"a\.json"):
        checked(broken, "a.json")
