"""The table of what is in progress, against a model that looks at everything each time."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kontinuum.rpc.deadlines import NEVER, Deadlines


@dataclass(eq=False)
class Thing:
    """Something with a deadline."""

    deadline: float


class AgainstModel(RuleBasedStateMachine):
    """Things come, go and become overdue in any order."""

    def __init__(self):
        super().__init__()
        self.table = Deadlines()
        self.model = {}
        self.now = 0.0
        self.key = 0

    @rule(after=st.one_of(st.floats(-1.0, 10.0), st.just(NEVER)))
    def add(self, after):
        self.key += 1
        before = self.table.next_deadline()
        thing = Thing(self.now + after)
        earlier = self.table.add(self.key, thing)
        self.model[self.key] = thing
        assert earlier == (thing.deadline < (NEVER if before is None else before))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data):
        key = data.draw(st.sampled_from(sorted(self.model)))
        assert self.table.remove(key) is self.model.pop(key)
        assert self.table.remove(key) is None

    @rule(seconds=st.floats(0.0, 5.0))
    def pass_time(self, seconds):
        self.now += seconds
        overdue = [(key, thing) for key, thing in self.model.items() if thing.deadline <= self.now]
        assert self.table.handle_timeout(self.now) == overdue
        for key, _ in overdue:
            del self.model[key]
        due = self.table.next_deadline()
        assert due is None or due > self.now

    @invariant()
    def knows_the_same_and_is_never_late(self):
        assert self.table.entries == self.model
        earliest = min((thing.deadline for thing in self.model.values()), default=NEVER)
        due = self.table.next_deadline()
        assert (NEVER if due is None else due) <= earliest


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=60, stateful_step_count=40)


def test_an_early_or_repeated_look_does_nothing():
    """
    Whatever is not due stays, however often one looks.
    """
    table = Deadlines()
    table.add("a", Thing(5.0))
    assert table.handle_timeout(4.999) == table.handle_timeout(0.0) == []
    assert [key for key, _ in table.handle_timeout(5.0)] == ["a"]
    assert table.handle_timeout(5.0) == []
    assert table.next_deadline() is None


def test_looks_are_cheap_while_nothing_is_due():
    """
    With 100,000 things in progress a look does not touch them.
    """

    class Untouchable:
        reads = 0

        @property
        def deadline(self):
            Untouchable.reads += 1
            return 10.0

    table = Deadlines()
    for key in range(100_000):
        table.add(key, Untouchable())
    before = Untouchable.reads
    for _ in range(1000):
        table.handle_timeout(9.0)
    assert Untouchable.reads == before
