"""The process that simulates: its garbage and its memory."""

from __future__ import annotations

import gc
import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GC_THRESHOLD = 200_000
"""New objects until the garbage collector looks for cycles among them: the machines make few, and millions
of objects live for the whole run. Our choice."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Let the garbage collector rest: it would look at millions of living objects again and again."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 1000)
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def peak_rss_bytes() -> int:
    """Most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
