"""Run the first step of a handler at once, and make a task of it only if it has to wait.

Most handlers do not wait, and a task costs more than all else that a call takes in Python. So a spare task
stands by: the first step runs as that task, in its context. A handler that ends in its first step leaves the
spare as it was; one that waits takes it over, and another spare is made.

To the handler there is no difference: ``current_task``, time-outs, task groups, cancellation and context
variables work from its first line.
Source: docs.python.org, "Extending asyncio", Task lifetime support (``_enter_task``, ``_leave_task``).
"""

import asyncio
import types
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

Work = Coroutine[Any, Any, None]


class _Spare:
    """A task that waits for a handler to continue, and the context that both run in."""

    __slots__ = ("_handed", "context", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop, base: Context) -> None:
        self.context = base.copy()
        self._handed: asyncio.Future[tuple[Work, Any]] = loop.create_future()
        self.task = loop.create_task(self._run(), context=self.context)

    def hand_over(self, work: Work, waits_for: Any) -> None:
        """``work`` waits for ``waits_for``: the task goes on with it from there."""
        self._handed.set_result((work, waits_for))

    async def _run(self) -> None:
        try:
            work, waits_for = await self._handed
        except asyncio.CancelledError:
            if not self._handed.done() or self._handed.cancelled():
                raise
            work, waits_for = self._handed.result()
            await _continue(work, waits_for, asyncio.CancelledError())
        else:
            await _continue(work, waits_for, None)


class Starter:
    """Starts handlers on one loop. Call :meth:`start` from its callbacks, never from within a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._base = copy_context()
        self._variables = tuple(self._base.items())
        self._spare: _Spare | None = None

    def start(self, work: Work) -> asyncio.Task[None] | None:
        """Run ``work`` up to its first wait.

        Returns:
            The task that goes on with it, or ``None`` when it has ended.

        Raises:
            CancelledError: ``work`` gave itself up in its first step.
            BaseException: Whatever else it raised there; it should raise nothing.
        """
        if asyncio.current_task(self._loop) is not None:  # An endpoint that is being closed by a task.
            return self._loop.create_task(work)
        spare = self._spare or _Spare(self._loop, self._base)
        self._spare = None
        _enter_task(self._loop, spare.task)
        try:
            waits_for = spare.context.run(work.send, None)
        except StopIteration:
            pass
        except BaseException:
            spare.task.cancel()
            raise
        else:
            if spare.task.cancelling():
                # It cancelled itself, and the spare with it: another task tells it so.
                return self._loop.create_task(_cancelled(work, waits_for), context=spare.context)
            spare.hand_over(work, waits_for)
            return spare.task
        finally:
            _leave_task(self._loop, spare.task)
        if self._is_untouched(spare):
            self._spare = spare
        else:
            spare.task.cancel()  # The next handler must not see what this one left behind.
        return None

    def _is_untouched(self, spare: _Spare) -> bool:
        context = spare.context
        return (
            len(context) == len(self._variables)
            and not spare.task.cancelling()
            and all(context[variable] is value for variable, value in self._variables)
        )

    def close(self) -> None:
        """Let the spare go."""
        if self._spare is not None:
            self._spare.task.cancel()
            self._spare = None


async def _cancelled(work: Work, waits_for: Any) -> None:
    if isinstance(waits_for, asyncio.Future):
        waits_for.cancel()
    await _continue(work, waits_for, asyncio.CancelledError())


@types.coroutine
def _continue(work: Work, waits_for: Any, thrown: BaseException | None) -> Generator[Any, Any, None]:
    """Drive ``work``, which has already yielded ``waits_for``, as its task would have."""
    resume: Callable[[Any], Any]
    argument: Any
    while True:
        if thrown is None:
            try:
                argument, resume = (yield waits_for), work.send
            except BaseException as error:  # noqa: BLE001 -- whatever the task throws belongs to the work
                argument, resume = error, work.throw
        else:
            argument, resume, thrown = thrown, work.throw, None
        try:
            waits_for = resume(argument)
        except StopIteration:
            return
