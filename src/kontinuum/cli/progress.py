"""Progress bars for moving files: on a terminal only, on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from kontinuum.cli.output import Output, printable

if TYPE_CHECKING:
    from collections.abc import Mapping


class TransferBars:
    """One bar per file on the way. Does nothing when the output is not decorated."""

    def __init__(self, output: Output) -> None:
        self._progress: Any = None
        self._tasks: dict[tuple[int, str], Any] = {}
        self._output = output

    def __enter__(self) -> Self:
        if self._output.decorated:
            from rich.progress import (  # noqa: PLC0415 -- slow to import
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self._output.console(),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, event: Mapping[str, Any]) -> None:
        """Take one ``progress`` event."""
        if self._progress is None:
            return
        key = (event["index"], event["name"])
        if key not in self._tasks:
            name = printable(event["name"])
            # The rate counts what travels now, not what an earlier session has left.
            self._tasks[key] = self._progress.add_task(name, total=event["size"], completed=event["done"])
        self._progress.update(self._tasks[key], completed=event["done"])

    def clear(self) -> None:
        """Remove all bars: a session is over."""
        if self._progress is not None:
            for task in self._tasks.values():
                self._progress.remove_task(task)
        self._tasks.clear()
