"""Ask a node: the running one of a data directory, or a short-lived one that a command starts for itself.

Trust: the running node is ours; what it tells about peers is shown escaped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kontinuum.cli import state
from kontinuum.cli.errors import CliError, Exit, from_control
from kontinuum.cli.options import data_dir, default_dir
from kontinuum.cli.progress import MiningBar

if TYPE_CHECKING:
    from pathlib import Path

    from kontinuum.node.config import NodeConfig
    from kontinuum.node.operations import NodeOperations

OnEvent = Callable[[Mapping[str, Any]], None]

T = TypeVar("T")


class Session(Protocol):
    """Something that answers control methods."""

    daemon: bool
    """Whether it is a running node, which outlives this command."""

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        """Ask one question; events on the way go to ``on_event``.

        Raises:
            CliError: the node refused or could not.
        """
        ...


class DaemonSession:
    """The running node of a data directory."""

    daemon = True

    def __init__(self, client: Any) -> None:
        self._client = client

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        """See :class:`Session`."""
        from kontinuum.node.errors import ControlError

        result: dict[str, Any] = {}
        try:
            async with contextlib.aclosing(self._client.stream(method, params)) as answers:
                async for answer in answers:
                    if on_event is not None and "event" in answer:
                        on_event(answer["event"])
                    result = answer.get("result", result)
        except ControlError as error:
            raise from_control(error.code, error.message) from error
        return result


class LocalSession:
    """A node of this very process, gone when the command ends."""

    daemon = False

    def __init__(self, operations: NodeOperations) -> None:
        self._methods = operations.methods()

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, on_event: OnEvent | None = None
    ) -> dict[str, Any]:
        """See :class:`Session`."""
        from kontinuum.node.errors import ControlError

        async def emit(event: Mapping[str, Any]) -> None:
            if on_event is not None:
                on_event(event)

        try:
            return dict(await self._methods[method](dict(params or {}), emit))
        except ControlError as error:
            raise from_control(error.code, error.message) from error


@contextlib.asynccontextmanager
async def running_node(given: Path | None) -> AsyncIterator[Session]:
    """Connect to the running node of a directory.

    Raises:
        CliError: none is running there.
    """
    from kontinuum.node.control_client import ControlClient
    from kontinuum.node.errors import ControlError, NotRunningError

    directory = data_dir(given)
    client = ControlClient(directory / "control.sock")
    try:
        await client.connect()
    except NotRunningError:
        raise CliError(
            f"no node is running in {directory}",
            family=Exit.UNAVAILABLE,
            code="not_running",
            hint=f"start one with: kontinuum node run{'' if given is None else f' --dir {given}'}",
        ) from None
    except ControlError as error:
        raise from_control(error.code, error.message) from error
    try:
        yield DaemonSession(client)
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def any_node(given: Path | None) -> AsyncIterator[Session]:
    """Connect to the running node of a directory, or start a short-lived one.

    Without a running node: the identity of the directory if it has one; else, when no directory was named, a
    fresh identity that nobody will see again.
    """
    directory = data_dir(given)
    try:
        async with running_node(given) as session:
            yield session
            return
    except CliError as error:
        if error.code != "not_running":
            raise
    if given is not None or (directory == default_dir() and (directory / "identity.key").exists()):
        config = _load({"listen": "[::]:0"}, directory)
    else:
        config = _load({"listen": "[::]:0"}, None)
    if config.dht == "server":
        # Nobody shall count on a node that is gone in a moment.
        config = config.model_copy(update={"dht": "client"})
    async with short_lived_node(config) as session:
        yield session


def _load(flags: Mapping[str, Any], directory: Path | None) -> NodeConfig:
    from kontinuum.node.config import NodeConfig

    return NodeConfig.load(data_dir=directory, flags=flags)


@contextlib.asynccontextmanager
async def short_lived_node(config: NodeConfig) -> AsyncIterator[Session]:
    """Run a node for as long as the block runs."""
    from kontinuum.node.node import Node  # The engine takes a moment to load.
    from kontinuum.node.operations import NodeOperations

    with MiningBar(state.output) as bar:
        node = Node(config, on_mining=bar.update)
        operations = NodeOperations(node)
        await node.__aenter__()
    try:
        yield LocalSession(operations)
    finally:
        await node.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; Ctrl-C cancels it, and it may clean up."""
    return asyncio.run(work)
