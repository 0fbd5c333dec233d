"""The report of a run as one HTML page: complete in itself, readable on a phone, in light and dark.

Source:  the policy in its head (Content Security Policy, level 3) forbids the page any network.
Trust:   every text is escaped; names come from scenario files.
Pure:    no I/O, clock or randomness; the same result gives the same bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from kontinuum.sim.clusters.result import ClusterResult
from kontinuum.sim.clusters.scenario import ClusterScenario, Split, Thieves
from kontinuum.sim.gossip.result import GossipResult
from kontinuum.sim.gossip.scenario import GossipScenario, Sybils
from kontinuum.sim.report.figures import KEY_FIGURES, flat, label, operation_rows, settings
from kontinuum.sim.report.plots import KINDS, plots
from kontinuum.sim.report.svg import style
from kontinuum.sim.result import Result
from kontinuum.sim.scenario import Fault, Hostile, Partition, Scenario, as_dict

_STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #57606a; --ground: #ffffff; --box: #f6f8fa;
  --edge: #d8dee4; --good: #1a7f37; --bad: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --ground: #0d1117;
  --box: #161b22; --edge: #30363d; --good: #3fb950; --bad: #f85149 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1100px; padding: 16px; color: var(--ink); background: var(--ground);
  font: 16px/1.5 ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif }
h1 { margin: 8px 0 0; font-size: 28px; line-height: 1.2 }
h2 { margin: 36px 0 12px; font-size: 20px }
p { margin: 6px 0; max-width: 75ch }
.soft { color: var(--soft) }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(148px, 1fr)); gap: 10px;
  margin: 20px 0 }
.figure { background: var(--box); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px }
.figure b { display: block; font-size: 22px; font-weight: 600; line-height: 1.25 }
.figure span { color: var(--soft); font-size: 13.5px }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px;
  align-items: start }
.plots svg { display: block; width: 100%; height: auto; max-width: 640px }
pre, .wide { overflow-x: auto }
pre { background: var(--box); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px;
  margin: 12px 0; font: 14px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.9em;
  overflow-wrap: anywhere }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--edge);
  vertical-align: top }
th { font-weight: 600; white-space: nowrap } td.number, th.number { text-align: right; white-space: nowrap }
.switches { display: flex; flex-wrap: wrap; gap: 8px; list-style: none; margin: 0; padding: 0 }
.switches li { border: 1px solid currentColor; border-radius: 999px; padding: 2px 12px; font-size: 14px }
.on { color: var(--good) } .off { color: var(--bad) }
details { margin: 12px 0 } summary { cursor: pointer; color: var(--soft) }
"""


_NUMBER = re.compile(r"\[\d+\]")


def page(result: Result | GossipResult | ClusterResult, *, command: str) -> str:
    """Return the page; ``command`` is the command line that does the run again."""
    data = asdict(result)
    drawn = "\n".join(f"<div>{plot.inline()}</div>" for plot in plots(result))
    parts = [
        f"<h1>{escape(result.scenario)}</h1>",
        f'<p class="soft">{escape(result.description)}</p>' if result.description else "",
        _key_figures(data),
        _again(result, command),
        f'<h2>Plots</h2>\n<div class="plots">{drawn}</div>' if drawn else "",
        _operations(data),
        _expectations(data),
        _named("Measured", "measured", data, "From a revocation until its effect, and what quiet costs."),
        _named("Attack", "attack", data, "What the attackers did, what it cost them, and what they won."),
        _defences(result.defences),
        _settings(data),
        _named("Counters", "counters", data, "Of all honest nodes, added up."),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(result.scenario)}, seed {result.seed}</title>\n"
        f"<style>{_STYLE}{style()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _again(result: Result | GossipResult | ClusterResult, command: str) -> str:
    return (
        f'<h2>Run it again</h2>\n<pre>{escape(command)}</pre>\n<p class="soft">Seed {result.seed}. '
        f"The same code gives the same event log, whose SHA-256 is <code>{escape(result.digest)}</code>.</p>"
    )


def _key_figures(data: Mapping[str, Any]) -> str:
    found = flat(data)
    boxes = [
        f'<div class="figure"><b>{escape(str(found[name]))}</b><span>{escape(label(name))}</span></div>'
        for name in KEY_FIGURES
        if name in found
    ]
    return '<div class="figures">\n' + "\n".join(boxes) + "\n</div>"


def _operations(data: Mapping[str, Any]) -> str:
    rows = [(KINDS.get(kind, kind), *cells) for kind, *cells in operation_rows(data)]
    header = ("operation", "count", "success", "hops", "requests", "median", "90 %", "99 %")
    return f"<h2>Operations</h2>\n{_table(header, rows, numbers=len(header) - 1)}" if rows else ""


def _named(title: str, group: str, data: Mapping[str, Any], words: str) -> str:
    rows = [
        (figure.name.partition(".")[2].replace("_", " "), str(figure))
        for figure in flat(data).values()
        if figure.name.startswith(f"{group}.")
    ]
    if not rows:
        return ""
    return f'<h2>{title}</h2>\n<p class="soft">{words}</p>\n{_table((), rows, numbers=1)}'


def _expectations(data: Mapping[str, Any]) -> str:
    rows = [(words, "yes" if held else "NO") for words, held in data.get("expectations", {}).items()]
    return f"<h2>Expectations</h2>\n{_table((), rows)}" if rows else ""


def _defences(defences: Mapping[str, bool]) -> str:
    shown = [
        f'<li class="{"on" if on else "off"}">{escape(name.replace("_", " "))} {"on" if on else "off"}</li>'
        for name, on in defences.items()
    ]
    return '<h2>Defences</h2>\n<ul class="switches">\n' + "\n".join(shown) + "\n</ul>" if shown else ""


def _settings(data: Mapping[str, Any]) -> str:
    """Show what the scenario set, and folded away what it left as it is."""
    usual = settings({"settings": _usual(data.get("kind"))})
    rows = {name: value for name, value in settings(data).items() if not name.startswith("defences.")}
    special: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in rows.items():
        default = usual.get(_NUMBER.sub("[0]", name), "none")
        told = value != default or name.endswith(".kind")
        (special if told else rest).append((name, value))
    return (
        f"<h2>Settings</h2>\n{_table(('setting', 'value'), special)}\n"
        f"<details><summary>{len(rest)} settings at their defaults</summary>\n"
        f"{_table(('setting', 'value'), rest)}</details>"
    )


def _usual(kind: object) -> dict[str, Any]:
    """What a scenario says that says nothing: one of everything that it can have several of."""
    partition = (Partition(regions=()),)
    if kind == "clusters":
        return asdict(ClusterScenario(name="", hostile=(Thieves(),), partition=(Split(),)))
    if kind == "gossip":
        return asdict(GossipScenario(name="", hostile=(Sybils(),), partition=partition))
    return as_dict(Scenario(name="", hostile=(Hostile(),), fault=(Fault(),), partition=partition))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """Return a table whose last ``numbers`` columns are numbers."""
    width = max(map(len, (header, *rows)))
    css = ["" if column < width - numbers else ' class="number"' for column in range(width)]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(css, header, strict=False))
    lines = [f"<tr>{head}</tr>"] if header else []
    for row in rows:
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(css, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"
