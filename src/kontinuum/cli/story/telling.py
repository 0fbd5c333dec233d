"""How the story is shown: each act with its commands, as they run, and what came of it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kontinuum.cli import state
from kontinuum.cli.story.acts import Story

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_CHARS_MAX = 100
"""Characters of a command line that are shown: contacts are long, and nobody reads them."""


def tell(directory: Path | None, pause_s: float) -> list[dict[str, Any]]:
    """Play the story and show it; returns the acts for programs.

    Args:
        directory: Where it plays; it stays. None: somewhere, and nothing stays.
        pause_s: Seconds after each act, for whoever reads along.

    Raises:
        StoryError: Something did not come about; all processes are ended.
    """
    output, acts = state.output, []
    with _place(directory) as place:
        story = Story(place, show=_show_command, begin=_show_title)
        with contextlib.closing(story.play()) as playing:
            for act in playing:
                acts.append({"type": "act", **asdict(act)})
                if output.json:
                    output.event(acts[-1])
                else:
                    output.note(f"   {act.shown}")
                time.sleep(pause_s)
    return acts


@contextlib.contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(mode=0o700, parents=True)
        yield directory.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kontinuum-story-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def _show_title(number: int, title: str) -> None:
    state.output.note(f"\n{number}. {title}")


def _show_command(line: str) -> None:
    cut = line if len(line) <= COMMAND_CHARS_MAX else line[: COMMAND_CHARS_MAX - 1] + "…"
    state.output.note(f"   $ {cut}")
