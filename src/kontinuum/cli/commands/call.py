"""``kontinuum call``."""

import sys
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.options import DirOption, JsonOption, PeerArgument, TimeoutOption

DATA_BYTES_MAX = 1 << 20
"""Bytes of a call: the limit of the RPC room. More is refused before anything is sent."""


def call(
    peer: PeerArgument,
    protocol: Annotated[
        str, typer.Argument(metavar="PROTOCOL", help="Name of the handler, such as kontinuum/ping/1.")
    ],
    data: Annotated[
        str,
        typer.Argument(metavar="[DATA|-]", help="The request; - reads standard input.", show_default=False),
    ] = "",
    timeout: TimeoutOption = 30.0,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Call a handler of a peer and write its reply to standard output, byte for byte."""
    import base64

    from kontinuum.cli.session import any_node, run
    from kontinuum.cli.waiting import within

    request = _read_stdin() if data == "-" else data.encode("utf-8", "surrogateescape")
    if len(request) > DATA_BYTES_MAX:
        raise CliError(
            f"a call carries at most {DATA_BYTES_MAX} bytes",
            family=Exit.MISUSE,
            code="call_too_large",
            hint="send a file instead: kontinuum send FILE PEER",
        )
    params = {
        "peer": peer,
        "protocol": protocol,
        "data": base64.b64encode(request).decode(),
        "timeout_s": timeout,
    }

    async def work() -> dict[str, object]:
        async with any_node(directory) as session:
            return await within(timeout + 30, session.ask("call", params))

    result = run(work())
    reply = base64.b64decode(str(result["data"]))
    if state.output.json:
        shown = {"data": result["data"], "bytes": len(reply), "elapsed_ms": result["elapsed_ms"]}
        state.output.result(shown, "")
        return
    sys.stdout.buffer.write(reply)
    if sys.stdout.isatty() and not reply.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise CliError(
            "- reads the request from standard input, and that is a terminal",
            family=Exit.MISUSE,
            code="usage",
            hint="pipe the request in, or give it as an argument",
        )
    return sys.stdin.buffer.read(DATA_BYTES_MAX + 1)
