"""Progress bars, on standard error: for moving files and for mining. On a terminal only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from kontinuum.cli.output import Output, printable

if TYPE_CHECKING:
    from collections.abc import Mapping


MINING_SHOWN_MIN = 1 << 20
"""Expected hashes below which mining takes no time worth a word. Our choice: some 0.2 s."""


class TransferBars:
    """One bar per file on the way. Does nothing when the output is not decorated."""

    def __init__(self, output: Output) -> None:
        self._progress: Any = None
        self._tasks: dict[tuple[int, str], Any] = {}
        self._output = output

    def __enter__(self) -> Self:
        if self._output.decorated:
            from rich.progress import (
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


class MiningBar:
    """Shows how far the proof of work of a new identity is. Without a terminal: one line, if it is long."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress: Any = None
        self._task: Any = None
        self._said = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, hashes: int, expected: int) -> None:
        """Take the hashes tried and expected. It may take more than expected: that is an average."""
        if expected < MINING_SHOWN_MIN:
            return
        if not self._said:
            self._said = True
            if self._output.decorated:
                self._start(expected)
            else:
                self._output.note("proof of work for this identity, once; it takes some seconds ...")
        if self._progress is not None:
            self._progress.update(self._task, completed=min(hashes, expected))

    def _start(self, expected: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("proof of work for this identity"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._output.console(),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=expected)
