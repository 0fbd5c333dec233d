"""``kontinuum peers``."""

from typing import Any

from kontinuum.cli import state
from kontinuum.cli.options import DirOption, JsonOption


def peers(directory: DirOption = None, _json: JsonOption = False) -> None:
    """List the peers of the running node: connected ones with path and round-trip time."""
    from kontinuum.cli.output import columns
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask("peers")

    result = run(work())
    known = result["peers"]
    rows = [
        [
            peer["peer_id"],
            peer["name"] or "-",
            peer["path"] or ("connected" if peer["connected"] else "known"),
            "-" if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.2f} ms",
            peer["key_exchange"] or "-",
            peer["address"] or "-",
        ]
        for peer in known
    ]
    titles = ["PEER", "NAME", "PATH", "RTT", "KEY EXCHANGE", "ADDRESS"]
    state.output.result(result, columns(rows, titles) if rows else "no peers yet")
