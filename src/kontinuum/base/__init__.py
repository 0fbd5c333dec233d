"""The lowest room: what every other room stands on.

Start with :mod:`kontinuum.base.errors` (the three families of errors) and
:mod:`kontinuum.base.machine` (how every protocol of Kontinuum is shaped). Clock and entropy are the two ways
in which the world enters a pure room; :mod:`kontinuum.base.files` is how anything reaches the disk.
"""

from kontinuum.base.clock import Clock, SystemClock
from kontinuum.base.entropy import Entropy, Rng, SystemEntropy
from kontinuum.base.errors import (
    AlreadyExistsError,
    FileTooLargeError,
    FileUnavailableError,
    KontinuumError,
    MisuseError,
    NotPrivateError,
    PeerError,
    UnavailableError,
)
from kontinuum.base.files import create_atomically, read_private, write_atomically
from kontinuum.base.machine import Machine

__all__ = [
    "AlreadyExistsError",
    "Clock",
    "Entropy",
    "FileTooLargeError",
    "FileUnavailableError",
    "KontinuumError",
    "Machine",
    "MisuseError",
    "NotPrivateError",
    "PeerError",
    "Rng",
    "SystemClock",
    "SystemEntropy",
    "UnavailableError",
    "create_atomically",
    "read_private",
    "write_atomically",
]
