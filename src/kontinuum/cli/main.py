"""The program ``kontinuum``: reads the arguments, runs one command, ends with one exit code.

No error of ours, of the network or of a user shows a traceback, unless ``--debug`` asks for it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

try:
    import typer
except ImportError:
    sys.stderr.write("kontinuum: the command line is not installed\n  hint: pip install 'kontinuum[cli]'\n")
    raise SystemExit(2) from None

from kontinuum.cli import state
from kontinuum.cli.commands import (
    call,
    chat,
    cluster,
    completion,
    config,
    contact,
    dht,
    doctor,
    keys,
    meet,
    node,
    peers,
    ping,
    pubsub,
    receive,
    sealed,
    send,
    sim,
    up,
    vault,
)
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="kontinuum",
    help="A network that its members own: identities, calls, streams and files between peers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.add_typer(node.app, name="node")
app.command("status")(node.status)
app.command("peers")(peers.peers)
app.command("ping")(ping.ping)
app.command("call")(call.call)
app.command("send")(send.send)
app.command("receive")(receive.receive)
app.add_typer(vault.app, name="vault")
app.add_typer(keys.app, name="keys")
app.add_typer(cluster.app, name="cluster")
app.add_typer(meet.app, name="meet")
app.command("seal")(sealed.seal)
app.command("open")(sealed.open_)
app.add_typer(contact.app, name="contact")
app.add_typer(dht.app, name="dht")
app.add_typer(pubsub.app, name="pubsub")
app.add_typer(config.app, name="config")
app.add_typer(sim.app, name="sim")
app.command("chat")(chat.chat)
app.command("doctor")(doctor.doctor)
app.command("completion")(completion.completion)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("kontinuum")
        except PackageNotFoundError:
            number = "unknown"
        state.output.result({"version": number}, f"kontinuum {number}")
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    _json: Annotated[
        bool, typer.Option("--json", help="Results as JSON; works behind every command.")
    ] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """A network that its members own: identities, calls, streams and files between peers."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return the exit code."""
    options = list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)
    output = state.output = Output(json="--json" in options, debug="--debug" in options)
    try:
        code = app(args=_without_debug(arguments), prog_name="kontinuum", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        output.note("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has what it wanted. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else Exit.FAILURE
    except Exception as error:
        if output.debug:
            raise
        return output.error(_named(error))
    if code == Exit.INTERRUPTED:
        output.note("interrupted")
    return code if isinstance(code, int) else Exit.OK


def _without_debug(arguments: Sequence[str]) -> list[str]:
    """Take ``--debug`` out, so that it works behind every command without being declared there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [word for word in arguments[:end] if word != "--debug"] + list(arguments[end:])


def _named(error: Exception) -> Exception:
    """Return ``error``, or what a wrong command line means in our own words."""
    exit_code, words = getattr(error, "exit_code", None), getattr(error, "format_message", None)
    if isinstance(exit_code, int) and callable(words):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "kontinuum"
        text = str(words()).rstrip(".")
        if not text:  # A group without a verb: the help was all that was wanted.
            return CliError("which command?", family=Exit.MISUSE, code="usage", hint=f"{command} --help")
        return CliError(text, family=Exit.MISUSE, code="usage", hint=f"{command} --help")
    if type(error).__module__.startswith("kontinuum.") or isinstance(error, OSError):
        return error
    return CliError(
        f"this is a fault in Kontinuum: {type(error).__name__}: {error}",
        family=Exit.FAILURE,
        code="internal",
        hint="run it again with --debug and report what it shows",
    )


def main() -> None:
    """Entry point of the console script."""
    from kontinuum.node.core_dumps import core_dumps_wanted, set_core_dumps

    set_core_dumps(allowed=core_dumps_wanted())  # Any command may come to hold a key.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # A lost reader is an error we handle, not a death.
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
