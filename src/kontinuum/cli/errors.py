"""Exit codes, and which error leads to which.

Source: our own table, ``docs/cli.md``.
"""

from __future__ import annotations

from enum import IntEnum

from kontinuum.base.errors import KontinuumError, MisuseError, PeerError, UnavailableError


class Exit(IntEnum):
    """How ``kontinuum`` ends."""

    OK = 0
    """Done."""
    FAILURE = 1
    """A check failed, or a fault of our own."""
    MISUSE = 2
    """The command, its arguments, a file or the configuration is wrong; trying again will not help."""
    UNAVAILABLE = 3
    """No node, no route, no space, a time-out; trying again may help."""
    PEER = 4
    """The other peer refused or broke a rule."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CliError(KontinuumError):
    """An error with all that a command wants to say about it.

    Args:
        message: one sentence for people.
        family: how the program ends.
        code: stable word for programs.
        hint: what to do about it; empty when nothing is known.
    """

    def __init__(self, message: str, *, family: Exit, code: str, hint: str = "") -> None:
        super().__init__(message)
        self.family = family
        self.code = code
        self.hint = hint


_FAMILIES = {family.name.lower(): family for family in Exit}
_CODES = {
    "unavailable": Exit.UNAVAILABLE,
    "connection_lost": Exit.UNAVAILABLE,
    "unreachable": Exit.UNAVAILABLE,
    "timed_out": Exit.UNAVAILABLE,
    "cancelled": Exit.UNAVAILABLE,
    "busy": Exit.UNAVAILABLE,
    "refused": Exit.UNAVAILABLE,
    "internal": Exit.FAILURE,
}
"""What the control socket itself answers; everything else of it is our own misuse."""


def family_of(error: BaseException) -> Exit:
    """Return how the program ends with this error."""
    match error:
        case CliError():
            return error.family
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case UnavailableError() | OSError():
            return Exit.UNAVAILABLE
        case PeerError():
            return Exit.PEER
        case MisuseError():
            return Exit.MISUSE
    return Exit.FAILURE


def from_control(code: str, message: str) -> CliError:
    """Return the error behind an answer of the control socket.

    The node writes ``family.code`` for errors of its own rooms, and a plain word for those of the socket.
    """
    family, dot, word = code.partition(".")
    if dot and family in _FAMILIES:
        return CliError(message, family=_FAMILIES[family], code=word, hint=_HINTS.get(word, ""))
    return CliError(message, family=_CODES.get(code, Exit.MISUSE), code=code, hint=_HINTS.get(code, ""))


_HINTS = {
    "not_running": "start one with: kontinuum node run",
    "dial_timeout": "is that node running, and can its UDP port be reached from here? try: kontinuum doctor",
    "unknown_peer": "a peer is 64 hex digits, 12D3KooW..., or a contact line kontinuum:...",
    "no_address": "on the other side: kontinuum contact show",
    "not_found": "kontinuum dht stats says how the node stands with its network",
    "not_stored": "kontinuum dht stats says how the node stands with its network",
    "dht_off": 'set dht = "server" or "client" in node.toml',
    "bad_key": "such as /blake3/HEX, /sha256/HEX, /signed/PEER/NAME or /contact/PEER",
    "unknown_protocol": "the other node has no handler of that name",
    "transfer_interrupted": "run the same command again: it continues where it stopped",
    "wrong_parent": "name the key store of the root, or of a branch above that node: --parent FILE",
    "last_key": "--root FILE, with the key store of the root, shows it",
    "not_living": "kontinuum cluster show says what is in use; new keys come with: kontinuum cluster recover",
    "unknown_name": "kontinuum cluster show lists the nodes, and the clusters that we trust",
    "passphrase": "set KONTINUUM_PASSPHRASE, or run it on a terminal",
}


def hint_of(error: BaseException) -> str:
    """Return what to do about an error; empty when nothing is known."""
    from kontinuum.node.control import error_code

    if isinstance(error, CliError):
        return error.hint
    return _HINTS.get(error_code(error), "") if isinstance(error, KontinuumError) else ""
