"""Keep the memory of a process that holds keys out of core dumps, and other processes of its user out of it.

Source:   setrlimit(2), RLIMIT_CORE; prctl(2), PR_SET_DUMPABLE; core(5). Both are needed: a limit of 0 stops
          files, but not a program that takes dumps through a pipe, such as systemd-coredump.
Trust:    this is for programs. A library does not change the process that it is used in, so that ``Node`` in
          somebody's program leaves this to it.
"""

from __future__ import annotations

import os
import sys

CORE_DUMPS_VARIABLE = "KONTINUUM_CORE_DUMPS"
"""The environment variable of the setting ``core_dumps``, looked at before any setting is read."""

_YES = frozenset({"1", "true", "yes", "on"})
_PR_SET_DUMPABLE = 4


def core_dumps_wanted() -> bool:
    """Whether the environment allows core dumps; nothing else does before settings are read."""
    return os.environ.get(CORE_DUMPS_VARIABLE, "").lower() in _YES


def set_core_dumps(*, allowed: bool) -> None:
    """Allow core dumps of this process, or forbid them; children that it executes inherit the limit only.

    What the system does not know, or does not let us do, is left as it is.
    """
    import ctypes
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard if allowed else 0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, int(allowed), 0, 0, 0)
