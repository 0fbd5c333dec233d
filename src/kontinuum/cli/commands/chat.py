"""``kontinuum chat``: rooms, direct messages and files among people."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from kontinuum.cli import state
from kontinuum.cli.options import DirOption, JsonOption


def chat(  # noqa: PLR0917 -- typer passes by name
    rooms: Annotated[list[str] | None, typer.Option("--room", metavar="ROOM", help="Room to enter.")] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option("--bootstrap", metavar="CONTACT", help="Somebody to meet first.")
    ] = None,
    nick: Annotated[str | None, typer.Option("--nick", help="What to be called.", show_default=False)] = None,
    network: Annotated[str | None, typer.Option("--network", help="Name of the network.")] = None,
    pow_bits: Annotated[
        int | None, typer.Option("--pow-bits", min=0, max=40, help="Proof of work that this network demands.")
    ] = None,
    listen: Annotated[str | None, typer.Option("--listen", help="UDP address, such as [::]:4433.")] = None,
    mdns: Annotated[bool | None, typer.Option("--mdns/--no-mdns", help="Find nodes on the LAN.")] = None,
    downloads: Annotated[
        Path, typer.Option("--downloads", metavar="DIR", help="Where accepted files go.")
    ] = Path("kontinuum-downloads"),
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a full screen.")] = False,
    directory: DirOption = None,
    _json: JsonOption = False,
) -> None:
    """Talk: in rooms, to one person, and with files. Names are proven by their keys.

    Without --dir it is a fresh identity that nobody sees again; with it, that of the directory, whose node
    must not be running meanwhile.
    """
    from kontinuum.cli.chat.lines import nickname, room_name
    from kontinuum.cli.chat.run import run_chat
    from kontinuum.cli.session import run
    from kontinuum.node.config import NodeConfig

    flags = {
        "network": network,
        "pow_bits": pow_bits,
        "listen": listen or "[::]:0",
        "bootstrap": bootstrap or None,
        "mdns": mdns,
    }
    entered = [room_name(room) for room in rooms or ["lobby"]]
    called = nickname(nick if nick is not None else _login_name())
    path = None
    if directory is not None:
        from kontinuum.node.data_dir import DataDir

        path = directory.expanduser().absolute()
        with DataDir.open(path, create=True) as made:
            if not made.key.exists() and not made.in_cluster:
                made.create_key()
    config = NodeConfig.load(
        data_dir=path, flags={key: value for key, value in flags.items() if value is not None}
    )
    terminals = (sys.stdin, sys.stdout, sys.stderr)  # The screen is drawn on the last one.
    full_screen = not plain and not state.output.json and all(each.isatty() for each in terminals)
    run(run_chat(config, called, entered, downloads, full_screen=full_screen))


def _login_name() -> str:
    from kontinuum.cli.chat.safe import safe_nick

    try:
        return safe_nick(getpass.getuser()) or "someone"
    except (KeyError, OSError):  # An account without a name.
        return "someone"
