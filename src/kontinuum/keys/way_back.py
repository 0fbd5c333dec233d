"""What a node does that slept, or comes back from a backup: it merges what it missed and looks for itself.

Every answer but one leads back to speaking for the same place. Only a place that an ancestor removed for
good is not given again: its machine becomes a new place.

Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kontinuum.keys.paths import Path
from kontinuum.keys.standing import Standing
from kontinuum.keys.verdicts import Status, branch_verdict
from kontinuum.wire.limits import KEY_EPOCHS_MAX

if TYPE_CHECKING:
    from kontinuum.keys.chain import Chain


class Way(StrEnum):
    """What to do."""

    NONE = "nothing: the key speaks"
    """The node is where it was."""

    ASK_PEERS = "ask peers for statements: this branch is not known here"
    """The chain lacks the branch's birth: merge more."""

    MOVE_ON = "take the newer epoch from the branch secret"
    """The branch is in use and has a later epoch than the node's, made elsewhere: derive it."""

    REKEY = "rekey from the branch secret"
    """The branch is in use, its newest epoch is not: the node makes the next one, alone."""

    ASK_ANCESTOR = "ask an ancestor for a new branch"
    """The branch, or one above it, is out of use: the nearest ancestor in use gives a new one."""

    START_ANEW = "become a new place: this one was removed for good"
    """An ancestor removed the place; another one may be given."""

    FOLLOW_ROOT = "follow the root to its new cluster"
    """The root made a transition."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """What to do, and with whom."""

    way: Way
    """What."""

    path: Path
    """The branch it is about: with MOVE_ON and REKEY the node's own, with ASK_ANCESTOR the one to ask."""

    epoch: int = 0
    """With MOVE_ON the epoch to derive, with REKEY the least that will count."""


def way_back(chain: Chain, path: Path, epoch: int) -> WayBack:
    """What a node does, given what it learned, that holds ``path``'s secrets and speaks with ``epoch``."""
    registers = chain.registers
    verdict = branch_verdict(registers, path)
    match verdict.status:
        case Status.LIVING:
            return _on_a_living_branch(chain, path, epoch)
        case Status.CLOSED:
            return WayBack(Way.FOLLOW_ROOT, Path())
        case Status.REMOVED:
            return WayBack(Way.START_ANEW, verdict.path.parent)
        case Status.UNBORN:
            return WayBack(Way.ASK_PEERS, verdict.path)
        case _:
            return WayBack(Way.ASK_ANCESTOR, verdict.path.parent)


def _on_a_living_branch(chain: Chain, path: Path, epoch: int) -> WayBack:
    registers = chain.registers
    newest = max(registers.epochs(path), default=-1)
    least = least_epoch(chain, path)
    if newest >= 0:
        verdict = Standing(chain).of_branch(path)
        if verdict.living and newest >= epoch:
            return WayBack(Way.NONE if newest == epoch else Way.MOVE_ON, path, newest)
        if not verdict.living:
            least = max(least, newest + 1)
    # An epoch that the chain has not seen is said again: its keys are the same, so nothing contradicts.
    least = max(least, epoch)
    if least >= KEY_EPOCHS_MAX:
        return WayBack(Way.ASK_ANCESTOR, path.parent)
    return WayBack(Way.REKEY, path, least)


def least_epoch(chain: Chain, path: Path) -> int:
    """The least epoch of a branch that no revocation takes away; KEY_EPOCHS_MAX or more if none is left."""
    if not path.steps:
        return 0
    said = chain.registers.revocations(path.parent, path.steps[-1].child)
    through = (each.body.through for each in said)
    return max((epoch + 1 for branch, epoch in through if branch == path.branch), default=0)
