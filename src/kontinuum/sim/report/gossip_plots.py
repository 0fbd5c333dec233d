"""Which plots a run of topics has: how long deliveries took, and how the network did over time.

Bounds:  one point for each interval of the run.
Pure:    no I/O, clock or randomness.
"""

from kontinuum.sim.gossip.result import GossipResult
from kontinuum.sim.report.scale import Axis
from kontinuum.sim.report.svg import Line, Plot, cumulative, distribution, lines
from kontinuum.sim.report.units import Unit

TIME = Axis("simulated time", Unit.SECONDS)


def gossip_plots(result: GossipResult) -> list[Plot]:
    """Return the plots of a result; none for what did not happen."""
    series = result.series
    drawn = []
    curve = Line("delivery", cumulative(result.latencies_s))
    if curve.points and curve.points[-1][0] > 0:
        axis = Axis("from publishing to delivery", Unit.SECONDS, log=True)
        drawn.append(distribution("Latency of deliveries", axis, [curve]))
    rows = (
        ("Delivered in time", Axis("share", Unit.RATIO, low=0.0, high=1.0), series.delivery_ratio),
        ("Slowest deliveries", Axis("99th percentile", Unit.SECONDS, low=0.0), series.latency_p99_s),
        ("Mesh of an honest node", Axis("peers", Unit.NUMBER, low=0.0), series.mesh_mean),
        ("Hostile peers in honest meshes", Axis("share", Unit.RATIO, low=0.0), series.hostile_mesh_share),
        (
            "Honest nodes online",
            Axis("nodes", Unit.COUNT, low=0.0),
            list(map(float, series.online)),
        ),
    )
    for title, axis, values in rows:
        if len(set(values)) > 1:  # Else there is nothing to see.
            points = list(zip(series.at_s, values, strict=True))
            drawn.append(lines(title, TIME, axis, [Line(title, points)]))
    return drawn
