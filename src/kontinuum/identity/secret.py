"""Bytes that must not be seen: keys and seeds while they are in Python's hands.

CPython cannot wipe memory reliably (``docs/limitations.md``); what this type prevents is the common leak, a
secret that is printed: by a log line, a traceback that shows local variables, an error message or a pickle.
"""

from typing import NoReturn, SupportsIndex

from kontinuum.base.errors import MisuseError


class Secret(bytes):
    """Bytes whose text forms do not show them. Indexing, ``hex()`` and ``bytes()`` still give the content."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<secret of {len(self)} bytes>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise MisuseError("a secret is not pickled or copied")
