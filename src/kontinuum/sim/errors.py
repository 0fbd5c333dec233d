"""Errors of the simulator."""

from kontinuum.base.errors import KontinuumError, MisuseError


class ScenarioError(MisuseError):
    """A scenario says something that cannot be run.

    Args:
        key: The place in the file, with dots: ``workload.lookups``, ``hostile[0].kind``.
        problem: What is wrong with it.
        source: The file, if it came from one.
    """

    def __init__(self, key: str, problem: str, *, source: str = "") -> None:
        super().__init__(f"{source}: {key}: {problem}" if source else f"{key}: {problem}")
        self.key = key
        self.problem = problem
        self.source = source


class InvariantError(KontinuumError):
    """A machine did what it must never do. The message has the seed, a short log and the command to replay.

    Args:
        invariant: The rule that was broken, in words.
        detail: What was seen.
        node: Number of the host at which it was broken.
        at_s: Simulated seconds.
        seed: The seed of the run.
        nodes: Honest nodes of the run.
        log: What happened to that host last, one line for each event, oldest first.
        command: The command that does it again.
    """

    def __init__(
        self,
        invariant: str,
        detail: str,
        *,
        node: int,
        at_s: float,
        seed: int = 0,
        nodes: int = 0,
        log: tuple[str, ...] = (),
        command: str = "",
    ) -> None:
        lines = [f"{invariant}: {detail}", f"  node {node} at {at_s:.6f} s, seed {seed}, {nodes} nodes"]
        lines += [f"  {line}" for line in log]
        if command:
            lines.append(f"  replay: {command}")
        super().__init__("\n".join(lines))
        self.invariant = invariant
        self.detail = detail
        self.node = node
        self.at_s = at_s
        self.seed = seed
        self.nodes = nodes
        self.log = log
        self.command = command
