"""Which plots a result has: how long and how far operations went, and how the network did over time.

Bounds:  one curve for each kind of operation, one point for each interval of the run.
Pure:    no I/O, clock or randomness.
"""

from collections.abc import Iterable

from kontinuum.sim.clusters.result import ClusterResult
from kontinuum.sim.gossip.result import GossipResult
from kontinuum.sim.report.gossip_plots import gossip_plots
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Line, Plot, cumulative, distribution, histogram, lines
from kontinuum.sim.report.units import Unit
from kontinuum.sim.result import OperationFigures, Result

READS = ("find", "get", "resolve", "providers")
"""Operations that look something up. The others write."""

HOPS_SHOWN_MIN = 5
"""Bars of a histogram of hops at least. Our choice: two broad ones look like a wall."""

KINDS = {
    "find": "find peers",
    "get": "get a record",
    "resolve": "resolve a contact",
    "providers": "find providers",
    "put": "put a record",
    "provide": "provide",
}
"""What people read for the kinds of operations."""


def plots(result: Result | GossipResult | ClusterResult) -> list[Plot]:
    """Return the plots of a result; none for what did not happen."""
    if isinstance(result, GossipResult):
        return gossip_plots(result)
    if isinstance(result, ClusterResult):
        return []
    done = {kind: one for kind, one in result.operations.items() if one.succeeded}
    found = [plot for plot in (_latencies(done), *_hops(done)) if plot is not None]
    return [*found, *_over_time(result)]


def _latencies(done: dict[str, OperationFigures]) -> Plot | None:
    curves = [Line(KINDS.get(kind, kind), cumulative(one.latencies_s)) for kind, one in done.items()]
    curves = [curve for curve in curves if curve.points and curve.points[-1][0] > 0]
    if not curves:
        return None
    title = "Latency of operations" if len(curves) > 1 else f"Latency: {curves[0].name}"
    return distribution(title, Axis("from the command to its end", Unit.SECONDS, log=True), curves)


def _hops(done: dict[str, OperationFigures]) -> list[Plot]:
    drawn = []
    for kind in READS:
        if kind not in done or not done[kind].hops:
            continue
        hops = {int(number): count for number, count in done[kind].hops.items()}
        total = sum(hops.values())
        first = min(hops)
        last = max(*hops, first + HOPS_SHOWN_MIN - 1)
        bins = [(at - 0.5, at + 0.5, hops.get(at, 0) / total) for at in range(first, last + 1)]
        axis = Axis("hops", Unit.COUNT)
        drawn.append(histogram(f"Hops: {KINDS[kind]}", axis, Axis("share", Unit.RATIO), bins))
    return drawn


def _over_time(result: Result) -> list[Plot]:
    series = result.series
    rows = (
        ("Honest nodes online", "nodes", Unit.COUNT, series.online),
        ("Requests delivered", "per second", Unit.NUMBER, series.messages_per_s),
        ("Entries of a routing table", "mean", Unit.NUMBER, series.table_mean),
        ("Hostile entries in honest tables", "share", Unit.RATIO, series.hostile_table_share),
        ("Records held, all nodes together", "records", Unit.COUNT, series.stored_records),
    )
    time = Axis("simulated time", Unit.SECONDS)
    drawn = []
    busy = [number for number, lookups in enumerate(series.lookups) if lookups]
    success = [(series.at_s[number], series.success_ratio[number]) for number in busy]
    if len(success) > 1:
        axis = Axis("success", Unit.RATIO, low=_floor(share for _, share in success), high=1.0)
        drawn.append(lines("Success of lookups", time, axis, [Line("success", success)]))
    for title, words, unit, values in rows:
        if len(set(values)) > 1:  # Else there is nothing to see.
            curve = Line(title, list(zip(series.at_s, values, strict=True)))
            drawn.append(lines(title, time, Axis(words, unit, low=0.0), [curve]))
    return drawn


def _floor(values: Iterable[float]) -> float:
    """Return where the axis of a success ratio begins: near the worst, so that small dips can be seen."""
    worst = min(values)
    return next((low for low in (0.98, 0.9, 0.5) if worst >= low), 0.0)
