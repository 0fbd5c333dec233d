"""The bar of a running simulation, on standard error: on a terminal only."""

from __future__ import annotations

from typing import Any, Self

from kontinuum.cli.output import Output, printable


class SimulationBar:
    """Shows how much of the simulated time is over. Does nothing when the output is not decorated."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._output.decorated:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=self._output.console(),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(printable(self._name), total=1.0)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, share: float) -> None:
        """Take which share of the run is over, 0 to 1."""
        if self._progress is not None:
            self._progress.update(self._task, completed=share)
