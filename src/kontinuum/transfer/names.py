"""Decide whether a name that a peer sent may become a file in a directory of ours.

Source:  our own rules (ADR 0012); the device names and forbidden characters are those of Windows ("Naming
         Files, Paths, and Namespaces"), because a name accepted here may travel on to such a machine.
Bounds:  NAME_BYTES_MAX bytes of UTF-8.
Trust:   the name is hostile input.
Pure:    no file system is asked; what exists already is the business of ``kontinuum.transfer.target``.
"""

import unicodedata

from kontinuum.transfer.errors import BadFileNameError

NAME_BYTES_MAX = 220
"""Bytes of UTF-8 in a name. Our choice (ADR 0012): file systems allow 255, and the partial file and its
journal add a prefix and a suffix of 30 bytes at most. A longer name is refused."""

_FORBIDDEN = frozenset('/\\:*?"<>|')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "clock$", "conin$", "conout$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"]
)
_INVISIBLE_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])


def verify_file_name(name: str) -> str:  # noqa: C901 -- one rule per line
    """Return ``name`` when it is one plain file name on every common file system.

    Raises:
        BadFileNameError: the name is empty, too long, a path, hidden, a device, not in normal form, or holds
            a character that is invisible or that some file system forbids.
    """
    if not name:
        raise BadFileNameError("it is empty")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadFileNameError("it is not valid UTF-8") from None
    if size > NAME_BYTES_MAX:
        raise BadFileNameError(f"it is longer than {NAME_BYTES_MAX} bytes")
    for character in name:
        if character in _FORBIDDEN:
            raise BadFileNameError(f"it contains {character!r}")
        if unicodedata.category(character) in _INVISIBLE_CATEGORIES:
            raise BadFileNameError(f"it contains the invisible character U+{ord(character):04X}")
    if name.startswith("."):
        raise BadFileNameError("it begins with a dot")
    if name != name.strip() or name.endswith("."):
        raise BadFileNameError("it begins or ends with a space, or ends with a dot")
    if unicodedata.normalize("NFC", name) != name:
        raise BadFileNameError("it is not in Unicode normal form C")
    if name.split(".", 1)[0].rstrip().casefold() in _DEVICES:
        raise BadFileNameError("it is a device name")
    return name


def collision_key(name: str) -> str:
    """Equal for two names that some file system would store as one file."""
    return unicodedata.normalize("NFC", name.casefold())
