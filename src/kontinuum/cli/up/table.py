"""The live table of ``kontinuum up``: on a terminal only."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from kontinuum.cli.output import Output, printable
from kontinuum.cli.up.summary import HEADER, Summary, rows

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_S = 0.25
"""Seconds between two drawings. Our choice: lively, and cheap."""

WIDE_COLUMNS = 110
"""Columns of a terminal below which LEFT_OUT is left out, so that the rest fits into 80."""

LEFT_OUT = ("ADDRESS", "PATH")
"""Columns that say least while all nodes are on one machine."""


class LiveTable:
    """Draws the summary again and again while the block runs. Does nothing without a terminal."""

    def __init__(self, summary: Summary, output: Output, footer: str) -> None:
        self._summary = summary
        self._output = output
        self._footer = footer
        self._live: Any = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._output.decorated:
            from rich.live import Live

            self._live = Live(
                self._draw(), console=self._output.console(), transient=True, auto_refresh=False
            )
            self._live.start()
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._live is not None:
            self._live.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        narrow = self._output.console().width < WIDE_COLUMNS
        shown = [index for index, name in enumerate(HEADER) if not (narrow and name in LEFT_OUT)]
        table = Table(box=None, pad_edge=False)
        for index in shown:
            table.add_column(HEADER[index], no_wrap=True)
        for node, row in zip(self._summary.nodes, rows(self._summary), strict=True):
            style = "" if node.alive else "red" if node.phase != "starting" else "dim"
            table.add_row(*[Text(printable(row[index])) for index in shown], style=style)
        summary = self._summary
        line = (
            f"{summary.pairs_connected} of {summary.pairs} pairs connected, "
            f"{summary.calls_per_s:.0f} calls per second, {summary.calls_failed} failed, "
            f"{100 * summary.pubsub_delivery_ratio:.4g} % delivered"
        )
        notes = [Text(printable(problem), style="red") for problem in summary.problems[-3:]]
        return Group(table, Text(""), Text(line), *notes, Text(self._footer, style="dim"))
