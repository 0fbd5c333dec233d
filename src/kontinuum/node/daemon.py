"""Run a node as a process: logs, metrics, control socket, signals, and an orderly end.

Bounds:   CLOSE_TIMEOUT_S for the end.
Trust:    whoever may signal the process or open its control socket is its owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from kontinuum.base.log import RoomLogger
from kontinuum.node.cluster_events import RootReplaced
from kontinuum.node.control import ControlServer
from kontinuum.node.core_dumps import set_core_dumps
from kontinuum.node.events import PathChanged, PeerConnected, PeerLost, PeerRenamed
from kontinuum.node.operations import NodeOperations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kontinuum.node.cluster_home import ClusterHome
    from kontinuum.node.config import NodeConfig
    from kontinuum.node.node import Node

CLOSE_TIMEOUT_S = 5.0
"""Seconds that the end of a node may take after SIGTERM. Our choice; then the process ends as it is."""

_log = RoomLogger("node")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the node in order. A second one of them ends the process at once."""


async def run_daemon(
    config: NodeConfig,
    *,
    demo: bool = False,
    stop_with_stdin: bool = False,
    on_ready: Callable[[Node], None] | None = None,
    on_mining: Callable[[int, int], None] | None = None,
) -> None:
    """Run a node until a signal, the method ``stop``, or (``stop_with_stdin``) the end of standard input.

    Args:
        config: its settings; ``data_dir`` is set.
        demo: offer what ``kontinuum up`` measures with.
        stop_with_stdin: end when the other end of the pipe on standard input is closed, which also happens
            when the process there is killed.
        on_ready: called once everything runs.
        on_mining: told how far the proof of work of a first start is.

    Raises:
        KontinuumError: the node cannot start; nothing is left running.
    """
    if config.data_dir is None:
        raise AssertionError("a daemon lives in a data directory")
    set_core_dumps(allowed=config.core_dumps)  # Before the key is read.
    loop = asyncio.get_running_loop()
    with _stop_event(loop) as stop:
        if stop_with_stdin:
            _watch_stdin(loop, stop)
        home: ClusterHome | None = None
        while True:
            home = await _run_once(config, stop, home, demo=demo, on_ready=on_ready, on_mining=on_mining)
            if home is None:
                return
            _log.info("the node starts again, with keys under another root")


async def _run_once(
    config: NodeConfig,
    stop: asyncio.Event,
    home: ClusterHome | None,
    *,
    demo: bool,
    on_ready: Callable[[Node], None] | None,
    on_mining: Callable[[int, int], None] | None,
) -> ClusterHome | None:
    """Run a node until it shall end, or start again with the keys that are returned."""
    from kontinuum.node.node import Node  # The engine takes a moment to load.

    if config.data_dir is None:
        raise AssertionError("a daemon lives in a data directory")
    loop = asyncio.get_running_loop()
    node = Node(config, home=home, on_mining=on_mining)
    operations = NodeOperations(node, demo=demo)
    again = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        if not await _started(node, stop):
            return None
        stack.push_async_exit(node)
        await stack.enter_async_context(ControlServer(config.data_dir / "control.sock", operations.methods()))
        watching = asyncio.create_task(_watch_events(node, again), name="kontinuum log of peers")
        stack.callback(watching.cancel)
        if on_ready is not None:
            on_ready(node)
        waits = [asyncio.create_task(event.wait()) for event in (stop, operations.stopped, again)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        # Closing must not hang on a peer: after this the process ends as it is.
        last = loop.call_later(CLOSE_TIMEOUT_S, os._exit, 1)
        home = node.clusters.home if again.is_set() and not stop.is_set() else None
    if home is not None:
        last.cancel()
    return home


async def _started(node: Node, stop: asyncio.Event) -> bool:
    """Start the node; say no when we were told to stop before: mining can take a while."""
    starting = asyncio.create_task(node.__aenter__(), name="kontinuum start")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
    except asyncio.CancelledError:
        # Whoever cancels us gets no node to stop, so that one which has just started must not stay.
        starting.cancel()
        await asyncio.wait([starting])
        await node.close()
        raise
    finally:
        stopping.cancel()
    if starting.cancelled():
        return False
    starting.result()
    return True


async def _watch_events(node: Node, again: asyncio.Event) -> None:
    """Write down who comes and goes; notice when the node must start again."""
    async for event in node.events():
        match event:
            case PeerConnected(peer_id, (host, port), outbound):
                side = "we dialled" if outbound else "it dialled"
                _log.info("a peer is connected", peer=peer_id.short, address=f"{host} port {port}", side=side)
            case PeerLost(peer_id, reason):
                _log.info("a peer is gone", peer=peer_id.short, reason=str(reason))
            case PeerRenamed(former, peer_id):
                _log.info("a peer goes by another identity now", peer=peer_id.short, former=former.short)
            case RootReplaced():
                again.set()
            case PathChanged(peer_id, path, change, _):
                _log.debug("a path changed", peer=peer_id.short, path=path, change=change)


@contextlib.contextmanager
def _stop_event(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, readable)
