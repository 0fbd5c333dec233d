import asyncio

from kontinuum.base.drive import drive


class Echo:
    """Says every event again, and ``tick`` at its deadline, once."""

    def __init__(self) -> None:
        self.deadline: float | None = None

    def handle(self, event: str, now: float) -> list[str]:
        """Say it again; ``arm`` sets the deadline."""
        if event == "arm":
            self.deadline = now
        return [event]

    def handle_timeout(self, now: float) -> list[str]:
        """Tick, if it is time."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        return ["tick"]

    def next_deadline(self) -> float | None:
        """When to tick."""
        return self.deadline


async def test_a_due_deadline_comes_before_further_events():
    """
    A flood of events cannot starve a machine's timer; effects come in order.
    """
    inbox: asyncio.Queue[str] = asyncio.Queue(10)
    done: asyncio.Queue[str] = asyncio.Queue()
    for event in ("one", "arm", "two", "three"):
        inbox.put_nowait(event)

    task = asyncio.create_task(drive(Echo(), inbox, done.put))
    seen = [await asyncio.wait_for(done.get(), 5) for _ in range(5)]
    task.cancel()

    assert seen == ["one", "arm", "tick", "two", "three"]


async def test_a_deadline_wakes_an_idle_machine():
    """
    Without any event the machine is woken when it asked to be.
    """
    inbox: asyncio.Queue[str] = asyncio.Queue(1)
    done: asyncio.Queue[str] = asyncio.Queue()
    machine = Echo()
    machine.deadline = asyncio.get_running_loop().time() + 0.01

    task = asyncio.create_task(drive(machine, inbox, done.put))

    assert await asyncio.wait_for(done.get(), 5) == "tick"
    task.cancel()
