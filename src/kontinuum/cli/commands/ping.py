"""``kontinuum ping``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.options import DirOption, JsonOption, PeerArgument, TimeoutOption


def ping(
    peer: PeerArgument,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=10_000, help="How often.")] = 3,
    interval_s: Annotated[float, typer.Option("--interval", min=0, max=3600, help="Seconds between.")] = 0.2,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Measure the round-trip time to a peer, and show the path."""
    from kontinuum.cli.output import printable
    from kontinuum.cli.session import any_node, run
    from kontinuum.cli.waiting import within

    output = state.output

    def show(event: Mapping[str, Any]) -> None:
        if not output.json:
            output.event({}, f"{event['sequence'] + 1}: {event['rtt_ms']:.2f} ms")

    async def work() -> dict[str, Any]:
        async with any_node(directory) as session:
            params = {"peer": peer, "count": count, "interval_s": interval_s}
            return await within(timeout + count * interval_s, session.ask("ping", params, show))

    result = run(work())
    summary = (
        f"{result['peer_id']}\n"
        f"min {result['rtt_min_ms']:.2f} ms, mean {result['rtt_mean_ms']:.2f} ms, "
        f"max {result['rtt_max_ms']:.2f} ms over a {result['path']} path to "
        f"{printable(str(result['address']))} ({result['key_exchange']})"
    )
    output.result(result, summary)
