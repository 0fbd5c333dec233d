"""``kontinuum cluster watch``: what happens to keys and sessions, as it happens."""

from typing import Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import Exit
from kontinuum.cli.options import DirOption, JsonOption

_LINES = {
    "watching": "watching; Ctrl-C ends it",
    "recognised": "{name} is here, key {peer_id}",
    "cut": "{peer_id} was cut off: {why}",
    "renamed": "{old} is {new} from now on",
    "chain": "{statements} new in cluster {cluster}; see: kontinuum cluster log",
    "ordered": "a parent orders this node to leave key number {epoch}: kontinuum cluster rekey",
    "out_of_use": "the key of this node is out of use: {why}",
    "root_replaced": "this node has keys under another root, and starts again",
}
"""What people read, by the event's type."""


def watch(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Tell what happens to keys and sessions until Ctrl-C: who comes, who is cut off, who has a new key."""
    from kontinuum.cli.output import printable
    from kontinuum.cli.session import run, running_node

    def show(event: Any) -> None:
        values = {name: printable(str(value)) for name, value in event.items()}
        state.output.event(event, _LINES[event["type"]].format_map(values))

    async def follow() -> None:
        async with running_node(directory) as session:
            await session.ask("cluster.events", {}, show)

    run(follow())
    state.output.note("the node stops")
    raise typer.Exit(Exit.UNAVAILABLE)
