"""Write to a file in another thread, so that encrypting the next run overlaps with writing the last.

Bounds:   RUNS_WAITING_MAX runs wait; whoever brings another one waits.
Not pure: it writes to a descriptor. It knows nothing of what it writes.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Self

RUNS_WAITING_MAX = 3
"""Runs that wait for the disk. Our choice: with one in work on either side 5 MiB are held."""

_IOVEC_MAX = 512
"""Buffers in one system call; Linux takes 1,024."""

Buffers = Sequence[bytes | memoryview]


class OverlappedWriter:
    """Writes runs of buffers one behind the other, in a thread of its own, as a context manager.

    Leaving the block waits until everything is written, unless an exception leaves it.

    Args:
        descriptor: Where to; it stays the caller's.
        offset: Where the first run begins.
    """

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._waiting: deque[Buffers] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._ended = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="kontinuum seal", daemon=True)

    def put(self, run: Buffers) -> None:
        """Write ``run`` next. It belongs to the writer until :meth:`settle`, or until three more were taken.

        Raises:
            OSError: An earlier run could not be written.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < RUNS_WAITING_MAX or self._error)
            self._raise()
            self._waiting.append(run)
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until every run is written.

        Raises:
            OSError: One could not be written.
        """
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._busy) or self._error)
            self._raise()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            with self._changed:
                self._ended = True
                self._waiting.clear()
                self._changed.notify_all()
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                run = self._waiting.popleft()
                self._busy = True
                self._changed.notify_all()
            try:
                self._offset = write_all(self._descriptor, run, self._offset)
            except OSError as error:
                with self._changed:
                    self._error, self._busy = error, False
                    self._changed.notify_all()
                return


def write_all(descriptor: int, run: Buffers, offset: int) -> int:
    """Write every byte of ``run`` at ``offset``; return the offset behind it."""
    buffers: list[memoryview] = [memoryview(buffer) for buffer in run if len(buffer)]
    while buffers:
        written = os.pwritev(descriptor, buffers[:_IOVEC_MAX], offset)
        offset += written
        while buffers and written >= len(buffers[0]):
            written -= len(buffers.pop(0))
        if written:
            buffers[0] = buffers[0][written:]
    return offset
