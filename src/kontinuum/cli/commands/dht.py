"""``kontinuum dht``: find peers and records."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption, TimeoutOption

app = typer.Typer(
    help="Find peers by their key; store and fetch records.", no_args_is_help=True, rich_markup_mode=None
)

VALUE_BYTES_MAX = 64 * 1024
"""Bytes of a record's value. More is refused before anything is sent."""

KeyArgument = Annotated[
    str,
    typer.Argument(metavar="KEY", help="/blake3/HEX, /sha256/HEX, /signed/PEER/NAME or /contact/PEER."),
]

TargetArgument = Annotated[
    str, typer.Argument(metavar="PEER|KEY", help="64 hex digits, 12D3KooW..., or a key such as /blake3/HEX.")
]

TraceOption = Annotated[bool, typer.Option("--trace", help="Draw the path of the search, hop by hop.")]


@app.command("put")
def put(  # noqa: PLR0917 -- typer passes by name
    value: Annotated[
        str, typer.Argument(metavar="VALUE|-", help="What to store; - reads standard input, at most 64 KiB.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Sign it, as what this node says under that name.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Store it as it is under this key, to which it must belong.")
    ] = None,
    trace: TraceOption = False,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Store a record with the peers closest to its key, and write the key: its BLAKE3 hash as a rule.

    A running node publishes it again until it expires; otherwise the peers keep it for two days.
    """
    import base64

    content = _content(value)
    params: dict[str, Any] = {"value": base64.b64encode(content).decode()}
    params |= {word: given for word, given in (("name", name), ("key", key)) if given is not None}
    result = _ask("dht.put", params, directory, timeout, trace=trace)
    _tell_stored(result, "put", trace=trace)


@app.command("get")
def get(
    key: KeyArgument,
    quorum: Annotated[
        int,
        typer.Option("--quorum", min=0, max=100, help="Valid answers to wait for; 0: as set."),
    ] = 0,
    trace: TraceOption = False,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Write the newest valid record of a key to standard output, byte for byte."""
    import base64

    result = _ask("dht.get", {"key": key, "quorum": quorum}, directory, timeout, trace=trace)
    if state.output.json:
        state.output.result(result, "")
        return
    if trace:
        state.output.note(_tree(f"get {key}", result, sys.stderr))
    value = base64.b64decode(str(result["value"]))
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty() and not value.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()
    state.output.note(
        f"{result['answers']} peers gave it, {result['rejected']} gave something invalid; {_cost(result)}"
    )


@app.command("provide")
def provide(
    key: KeyArgument,
    trace: TraceOption = False,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Let the running node say that it has what KEY names, and go on saying it."""
    result = _ask("dht.provide", {"key": key}, directory, timeout, trace=trace, running=True)
    _tell_stored(result, "provide", trace=trace)


@app.command("find")
def find(
    target: TargetArgument,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Providers to look for.")] = 20,
    trace: TraceOption = False,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Find where a peer is, by its key alone; or who provides a record's key."""
    params = {"target": target, "count": count}
    _tell_peers(_ask("dht.find", params, directory, timeout, trace=trace), "find", trace=trace)


@app.command("lookup")
def lookup(
    target: TargetArgument,
    count: Annotated[int, typer.Option("--count", min=0, max=1000, help="How many peers; 0: k.")] = 0,
    trace: TraceOption = False,
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Find the living peers closest to a peer or a key."""
    params = {"target": target, "count": count}
    _tell_peers(_ask("dht.lookup", params, directory, timeout, trace=trace), "lookup", trace=trace)


@app.command("stats")
def stats(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Show how the running node stands with its network."""
    from kontinuum.cli.output import fields, size_text
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask("dht.stats")

    result = run(work())
    table, records, seeds = result["table"], result["records"], result["seeds"]
    size = result["network_size"]
    shown = {
        "state": result["state"] + ("" if result["server"] else " (only asks)"),
        "network": "size not known yet" if size is None else f"about {size} peers",
        "table": f"{table['peers']} peers in {len(table['buckets'])} buckets, {table['doubtful']} doubtful, "
        f"{table['waiting']} waiting",
        "bootstrap": f"{seeds['named']} contacts, {seeds['dead']} of them dead",
        "k, alpha": f"{result['k']}, {result['alpha']}",
        "round trip": f"{result['rtt_ms']:.2f} ms in {len(result['tiers']['sizes'])} tiers "
        f"of {result['tiers']['prefixes']} networks",
        "records": f"{records['values']} and {records['providers']} providers, "
        f"{size_text(records['bytes'])} of {size_text(records['bytes_max'])}",
        "published": result["publications"],
        "requests": f"{result['requests']['in_flight']} in flight, {result['requests']['queued']} waiting",
    }
    for kind, latency in result["lookups"].items():
        shown[kind.replace("_", " ")] = f"{latency['count']}, {latency['mean_ms']:.2f} ms on average"
    state.output.result(result, fields(shown))


def _ask(
    method: str,
    params: Mapping[str, Any],
    directory: Path | None,
    timeout_s: float,
    *,
    trace: bool,
    running: bool = False,
) -> dict[str, Any]:
    """Ask a node; with ``trace`` the result has its steps under ``trace``."""
    from kontinuum.cli.session import any_node, run, running_node
    from kontinuum.cli.waiting import within

    steps: list[Mapping[str, Any]] = []

    async def work() -> dict[str, Any]:
        async with running_node(directory) if running else any_node(directory) as session:
            asked = {**params, "timeout_s": timeout_s, "trace": trace}
            return await within(timeout_s + 5, session.ask(method, asked, steps.append))

    result = run(work())
    return {**result, "trace": list(steps)} if trace else result


def _content(value: str) -> bytes:
    content = (
        sys.stdin.buffer.read(VALUE_BYTES_MAX + 1)
        if value == "-"
        else value.encode("utf-8", "surrogateescape")
    )
    if len(content) > VALUE_BYTES_MAX:
        raise CliError(
            f"a record holds at most {VALUE_BYTES_MAX} bytes",
            family=Exit.MISUSE,
            code="record_too_large",
            hint="send a file to a peer instead, and let others find that peer: kontinuum dht provide",
        )
    return content


def _tell_stored(result: Mapping[str, Any], verb: str, *, trace: bool) -> None:
    refused = f", {len(result['refused'])} refused" if result["refused"] else ""
    lines = [_tree(f"{verb} {result['key']}", result, sys.stdout)] if trace and not state.output.json else []
    state.output.result(result, "\n".join([*lines, result["key"]]))
    state.output.note(f"{len(result['holders'])} peers keep it{refused}; {_cost(result)}")


def _tell_peers(result: Mapping[str, Any], verb: str, *, trace: bool) -> None:
    from kontinuum.cli.output import columns

    rows = [[peer["peer_id"], " ".join(peer["addresses"]) or "-"] for peer in result["peers"]]
    text = columns(rows, ["PEER", "ADDRESS"]) if rows else "nobody"
    if trace and not state.output.json:
        text = _tree(f"{verb} {result['target']}", result, sys.stdout) + "\n" + text
    state.output.result(result, text)
    state.output.note(_cost(result) + ("" if result["complete"] else "; the time was over before the end"))


def _tree(title: str, result: Mapping[str, Any], stream: Any) -> str:
    from kontinuum.cli.trace import tree_text

    return tree_text(title, result["trace"], stream)


def _cost(result: Mapping[str, Any]) -> str:
    return f"{result['requests']} requests, {result['hops']} hops, {result['elapsed_ms']:.1f} ms"
