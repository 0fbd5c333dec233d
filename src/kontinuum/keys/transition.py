"""A cluster under a new root: the old root names it, both sign, and everybody who knew the cluster decides.

A transition replaces the whole chain: all keys of the old one are out of use for whoever learns of it.
Following is not automatic, for a thief of the old root could have made the transition; a commitment in the
old genesis rules that out. If two successors were named, the old root is in two hands, and nothing but
meeting again helps.

Bounds:   SUCCESSIONS_MAX accepted successions.
Trust:    chains and genesis of others were verified; whether to follow is the caller's decision.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kontinuum.base.errors import MisuseError
from kontinuum.keys.bodies import Transition
from kontinuum.keys.errors import ForkedSuccessionError, WrongClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kontinuum.keys.chain import Chain
    from kontinuum.keys.genesis import ClusterId, Genesis

SUCCESSIONS_MAX = 4096
"""Accepted successions that a node remembers. Our choice (ADR 0050). More: MisuseError, for only our own user
accepts any."""


def successor(chain: Chain) -> Transition | None:
    """Where the chain's root went; None if it did not leave.

    Raises:
        ForkedSuccessionError: It named several.
    """
    bodies = [statement.body for statement in chain.registers.transitions]
    named = [body for body in bodies if isinstance(body, Transition)]
    if any(body != named[0] for body in named):
        raise ForkedSuccessionError("the root named several successors; meet its owner again")
    return named[0] if named else None


def verify_succession(old: Chain, new: Genesis) -> ClusterId:
    """Check that ``new`` begins the chain that the old root left for, without following yet.

    Returns:
        The new cluster's id.

    Raises:
        WrongClusterError: The old root did not leave, or went elsewhere.
        ForkedSuccessionError: It named several successors.
    """
    named = successor(old)
    if named is None or (named.cluster, named.root) != (new.cluster, new.root):
        raise WrongClusterError("the old root did not leave for this one")
    return new.cluster


class Successions:
    """The successions that this node's user accepted. Its owner keeps :attr:`accepted` on the disk.

    Args:
        accepted: What was accepted before: old and new cluster.
    """

    def __init__(self, accepted: Iterable[tuple[ClusterId, ClusterId]] = ()) -> None:
        self.accepted: dict[ClusterId, ClusterId] = dict(accepted)
        """By the old cluster's id."""

    def accept(self, old: Chain, new: Genesis) -> None:
        """Follow the old root to the new one, from now on. A second call changes nothing.

        Raises:
            WrongClusterError: The old root did not leave for the new one.
            ForkedSuccessionError: It named several successors.
            MisuseError: Following would lead in a circle, or too many were accepted.
        """
        cluster = verify_succession(old, new)
        if self.current(cluster) == old.cluster:
            raise MisuseError("this succession would lead back to where it began")
        if old.cluster not in self.accepted and len(self.accepted) >= SUCCESSIONS_MAX:
            raise MisuseError(f"at most {SUCCESSIONS_MAX} successions are kept")
        self.accepted[old.cluster] = cluster

    def current(self, cluster: ClusterId) -> ClusterId:
        """Where a cluster is now: itself, or what it became by accepted successions."""
        for _ in range(len(self.accepted)):
            following = self.accepted.get(cluster)
            if following is None:
                break
            cluster = following
        return cluster
