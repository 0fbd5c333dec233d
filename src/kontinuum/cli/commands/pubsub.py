"""``kontinuum pubsub``: publish to topics and follow them."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption, TimeoutOption
from kontinuum.cli.output import columns, printable, size_text

app = typer.Typer(help="Publish to topics, and follow them.", no_args_is_help=True, rich_markup_mode=None)

TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Its name, 1 to 256 bytes.")]


@app.command("pub")
def pub(
    topic: TopicArgument,
    data: Annotated[
        str,
        typer.Argument(metavar="[DATA|-]", help="The message; - reads standard input.", show_default=False),
    ] = "-",
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the input is a message.")] = False,
    timeout: TimeoutOption = 10.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Publish a message, or with --lines one for each line of standard input.

    It goes to those who are known to be in the topic; if nobody is yet, it waits for somebody.
    """
    import base64

    from kontinuum.cli.message_input import batches
    from kontinuum.cli.session import any_node, run

    total = {"messages": 0, "bytes": 0, "peers": 0, "elapsed_ms": 0.0}

    async def work() -> None:
        async with any_node(directory) as session:
            async for batch in batches(data, lines=lines):
                encoded = [base64.b64encode(message).decode() for message in batch]
                params = {"topic": topic, "messages": encoded, "wait_s": timeout}
                result = await session.ask("pubsub.publish", params)
                for key in ("messages", "bytes", "elapsed_ms"):
                    total[key] += result[key]
                total["peers"] = result["peers"]

    run(work())
    if not total["peers"]:
        raise CliError(
            f"nobody is in {printable(topic)!r}, as far as this node knows",
            family=Exit.UNAVAILABLE,
            code="nobody_there",
            hint="is a node running that has subscribed, and is it in the same network?",
        )
    state.output.result({"topic": topic, **total}, "")
    state.output.note(
        f"{total['messages']} messages, {size_text(int(total['bytes']))}, to {total['peers']} peers at once"
    )


@app.command("sub")
def sub(
    topic: TopicArgument,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after so many messages.", show_default=False)
    ] = None,
    own: Annotated[bool, typer.Option("--own", help="Messages of this node, too.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the messages as they are, and nothing else.")
    ] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Follow a topic until Ctrl-C: who wrote what, one line for each message.

    Names are the first eight digits of the author's key; control characters are shown escaped.
    """
    from kontinuum.cli.session import any_node, run

    params: dict[str, Any] = {"topic": topic, "own": own}
    if count is not None:
        params["count"] = count

    async def work() -> dict[str, Any]:
        async with any_node(directory) as session:
            return await session.ask("pubsub.subscribe", params, lambda event: _show(event, raw=raw))

    result = run(work())
    if not raw:
        state.output.result({"type": "end", **result}, "")
    if result["dropped"]:
        state.output.note(f"{result['dropped']} messages came too fast to be shown")


@app.command("peers")
def peers(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Only this topic.", show_default=False)
    ] = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show the running node's topics, and the peers that share them."""
    params = {} if topic is None else {"topic": topic}
    result = _ask("pubsub.peers", params, directory)
    meshed = [
        [each["topic"], "yes" if each["joined"] else "no", str(each["peers"]), str(len(each["mesh"]))]
        for each in result["topics"]
    ]
    rows = [
        [
            peer["peer_id"][:8],
            peer["protocol"],
            "we" if peer["outbound"] else "it",
            f"{peer['score']:.1f}",
            str(peer["topics"]),
            str(len(peer["meshes"])),
            size_text(peer["queued_bytes"]),
        ]
        for peer in result["peers"]
    ]
    text = "\n\n".join(
        (
            columns(meshed, ["TOPIC", "JOINED", "PEERS", "MESH"]) if meshed else "no topics",
            columns(rows, ["PEER", "PROTOCOL", "DIALLED", "SCORE", "TOPICS", "MESHES", "WAITING"])
            if rows
            else "no peers",
        )
    )
    state.output.result(result, text)


@app.command("scores")
def scores(
    peer: Annotated[
        str | None, typer.Argument(metavar="[PEER]", help="Only this peer.", show_default=False)
    ] = None,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Show what the running node thinks of each peer, and why; the worst first."""
    result = _ask("pubsub.scores", {} if peer is None else {"peer": peer}, directory)
    terms = ("score", "topics", "application", "colocation", "behaviour", "slow")
    rows = [
        [each["peer_id"][:8] + ("" if each["connected"] else " (gone)")]
        + [f"{each[term]:.1f}" for term in terms]
        for each in result["scores"]
    ]
    thresholds = result["thresholds"]
    limits = ", ".join(f"{name} {value:.0f}" for name, value in thresholds.items())
    table = columns(rows, ["PEER", *(term.upper() for term in terms)]) if rows else "no peers"
    state.output.result(result, f"{table}\n\nthresholds: {limits}")


def _ask(method: str, params: Mapping[str, Any], directory: Any) -> dict[str, Any]:
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask(method, params)

    return run(work())


def _show(event: Mapping[str, Any], *, raw: bool) -> None:
    import base64

    if raw:
        if event["type"] == "message":
            sys.stdout.buffer.write(base64.b64decode(event["data"]))
            sys.stdout.buffer.flush()
    elif state.output.json:
        state.output.event(event)
    elif event["type"] == "subscribed":
        state.output.note(f"following {printable(event['topic'])}; Ctrl-C ends it")
    else:
        text = base64.b64decode(event["data"]).decode("utf-8", "backslashreplace")
        state.output.event({}, f"{event['author'][:8]}  {printable(text)}")
