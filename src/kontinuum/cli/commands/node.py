"""``kontinuum node``: make, run and look at a node of this machine."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kontinuum.cli import state
from kontinuum.cli.options import DirOption, JsonOption, data_dir
from kontinuum.cli.progress import MiningBar

if TYPE_CHECKING:
    from kontinuum.node.node import Node

app = typer.Typer(
    help="Make, run and look at a node of this machine.", no_args_is_help=True, rich_markup_mode=None
)

NetworkOption = Annotated[str | None, typer.Option("--network", help="Name of the network.")]
PowOption = Annotated[
    int | None, typer.Option("--pow-bits", min=0, max=40, help="Proof of work that this network demands.")
]
ListenOption = Annotated[str | None, typer.Option("--listen", help="UDP address, such as [::]:4433.")]


@app.command("init")
def init(
    directory: DirOption = None,
    network: NetworkOption = None,
    pow_bits: PowOption = None,
    listen: ListenOption = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Protect the key by a passphrase.")
    ] = False,
    _json: JsonOption = False,
) -> None:
    """Make a data directory with a fresh key and a commented node.toml. Nothing is ever replaced."""
    from kontinuum.base.files import create_atomically
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.data_dir import DataDir
    from kontinuum.node.passphrase import read_passphrase

    path = data_dir(directory)
    settings: dict[str, Any] = {
        name: value
        for name, value in {"network": network, "pow_bits": pow_bits, "listen": listen}.items()
        if value is not None
    }
    NodeConfig(**settings)  # A wrong setting is told before anything is made.
    with DataDir.open(path, create=True) as made:
        secret = None
        if passphrase and not made.key.exists():
            secret = read_passphrase("auto", prompt="New passphrase: ", confirm=True)
        key_pair = made.create_key(passphrase=secret)
        if not made.config.exists():
            create_atomically(made.config, with_settings(NodeConfig.example_toml(), settings).encode())
        data = {
            "data_dir": str(path),
            "peer_id": str(key_pair.peer_id),
            "libp2p": key_pair.peer_id.libp2p,
            "config": str(made.config),
        }
    where = "" if directory is None else f" --dir {directory}"
    state.output.result(data, f"{key_pair.peer_id}\nkey and settings are in {path}")
    state.output.note(f"start it with: kontinuum node run{where}")


def with_settings(example: str, settings: dict[str, Any]) -> str:
    """Return the example ``node.toml`` with some settings switched on."""
    for name, value in settings.items():
        line = f"{name} = {value}" if isinstance(value, int) else f'{name} = "{value}"'
        example, found = re.subn(rf"(?m)^#{name} = .*$", line, example)
        if found != 1:
            raise AssertionError(f"the example has no setting {name}")
    return example


@app.command("run")
def run_node(  # noqa: PLR0917 -- typer passes by name
    directory: DirOption = None,
    network: NetworkOption = None,
    pow_bits: PowOption = None,
    listen: ListenOption = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option("--bootstrap", metavar="CONTACT", help="A contact to meet first.")
    ] = None,
    mdns: Annotated[bool | None, typer.Option("--mdns/--no-mdns", help="Find nodes on the LAN.")] = None,
    libp2p: Annotated[
        bool | None, typer.Option("--libp2p/--no-libp2p", help="Speak libp2p as well, on the same port.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Where /metrics is served, or off.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="auto, human or json.")] = None,
    demo: Annotated[bool, typer.Option("--demo", hidden=True)] = False,
    stop_with_stdin: Annotated[bool, typer.Option("--stop-with-stdin", hidden=True)] = False,
    _json: JsonOption = False,
) -> None:
    """Run a node until Ctrl-C. A missing data directory is made, with a fresh key."""
    import asyncio

    from kontinuum.node import logs
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.daemon import run_daemon
    from kontinuum.node.data_dir import DataDir

    path = data_dir(directory)
    flags = {
        "network": network,
        "pow_bits": pow_bits,
        "listen": listen,
        "bootstrap": bootstrap or None,
        "mdns": mdns,
        "libp2p": libp2p,
        "metrics": metrics,
        "log_level": log_level,
        "log_format": log_format,
    }
    with DataDir.open(path, create=True) as made:
        if not made.key.exists() and not made.in_cluster:
            made.create_key()
    config = NodeConfig.load(data_dir=path, flags=flags)
    logs.configure(level=config.log_level, levels=config.log_levels, log_format=config.log_format)

    def ready(node: "Node") -> None:
        data = {
            "event": "ready",
            "peer_id": str(node.peer_id),
            "contact": node.contact.to_text(),
            "addresses": [str(address) for address in node.addresses],
            "libp2p_addresses": list(node.libp2p_addresses),
            "data_dir": str(path),
        }
        where = ", ".join(str(address) for address in node.addresses)
        foreign = "".join(f"\n{address}" for address in node.libp2p_addresses)
        state.output.event(data, f"{node.peer_id}\nlistening on {where}\n{node.contact.to_text()}{foreign}")

    with MiningBar(state.output) as bar:

        def ready_and_clear(node: "Node") -> None:
            bar.__exit__()
            ready(node)

        asyncio.run(
            run_daemon(
                config,
                demo=demo,
                stop_with_stdin=stop_with_stdin,
                on_ready=ready_and_clear,
                on_mining=bar.update,
            )
        )


@app.command("id")
def identity(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Show the identity of a data directory, in both text forms."""
    from kontinuum.cli.sealing import identity as identity_of

    peer_id = identity_of(directory).peer_id
    data = {"peer_id": str(peer_id), "libp2p": peer_id.libp2p}
    state.output.result(data, f"{peer_id}\n{peer_id.libp2p}")


@app.command("status")
def status(directory: DirOption = None, _json: JsonOption = False) -> None:
    """Show how the running node does."""
    from kontinuum.cli.output import fields
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask("status")

    result = run(work())
    shown = {
        "peer": result["peer_id"],
        "libp2p": result["libp2p"],
        **_standing(result),
        "network": result["network"],
        "addresses": " ".join(result["addresses"]),
        "libp2p addresses": " ".join(result["libp2p_addresses"]) or "off",
        "peers": f"{result['peers_connected']} connected, {result['peers_known']} known",
        "up": f"{result['uptime_s']:.0f} s, process {result['pid']}",
        "directory": result["data_dir"],
    }
    state.output.result(result, fields(shown))


def _standing(result: dict[str, Any]) -> dict[str, str]:
    """The place of a node of a cluster, and what is wrong with its key."""
    if result["place"] is None:
        return {}
    shown = {"place": result["place"]}
    if not result["key_in_use"]:
        shown["key"] = "out of use: kontinuum cluster show says what to do"
    elif result["cut_off_by"]:
        from kontinuum.cli.cluster_views import CUT_OFF

        shown["key"] = (
            f"in use as far as is known here, but {CUT_OFF.format(', '.join(result['cut_off_by']))}"
        )
    return shown


@app.command("stop")
def stop(directory: DirOption = None, _json: JsonOption = False) -> None:
    """End the running node."""
    from kontinuum.cli.session import run, running_node

    async def work() -> dict[str, Any]:
        async with running_node(directory) as session:
            return await session.ask("stop")

    result = run(work())
    state.output.result(result, f"process {result['pid']} is ending")
