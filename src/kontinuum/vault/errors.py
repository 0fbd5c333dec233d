"""What can go wrong with a vault, by who must act. Each message says what to do."""

from kontinuum.base.errors import MisuseError, PeerError, UnavailableError


class BadObjectIdError(PeerError):
    """Bytes or text that are no object id."""


class BadObjectNameError(MisuseError):
    """A name that no object can have."""


class NoSuchObjectError(MisuseError):
    """The vault has no such object.

    Args:
        what: The id, its beginning, or the name that was asked for.
        was_deleted: Whether the vault had it once.
    """

    def __init__(self, what: str, *, was_deleted: bool = False) -> None:
        why = "it was deleted" if was_deleted else "kontinuum vault list shows what there is"
        super().__init__(f"the vault has no object {what!r}: {why}")
        self.what = what
        self.was_deleted = was_deleted


class AmbiguousObjectError(MisuseError):
    """Several objects have this name, or an id that begins so.

    Args:
        what: What was asked for.
        ids: The ids in question, 32 bytes each.
    """

    def __init__(self, what: str, ids: tuple[bytes, ...]) -> None:
        shown = ", ".join(object_id.hex()[:12] for object_id in ids[:5])
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        super().__init__(f"{len(ids)} objects are called {what!r}; name one by its id: {shown}{more}")
        self.what = what
        self.ids = ids


class VaultFullError(MisuseError):
    """The vault has as many objects as a vault may have."""

    def __init__(self, objects_max: int) -> None:
        super().__init__(f"the vault has {objects_max} objects, which are the most; delete some")


class ObjectTooLargeError(MisuseError):
    """An object is too large to be had as bytes in memory; it can be had as a file or a stream."""

    def __init__(self, size_bytes: int, bytes_max: int) -> None:
        super().__init__(
            f"the object has {size_bytes} bytes, and {bytes_max} at most are read into memory; "
            "get it as a file or a stream"
        )
        self.size_bytes = size_bytes


class DamagedObjectError(UnavailableError):
    """An object's file is not what was put there.

    Args:
        object_id: Which, 32 bytes.
        problem: What was found.
    """

    def __init__(self, object_id: bytes, problem: str) -> None:
        short = object_id.hex()[:12]
        super().__init__(
            f"object {short} is lost here: {problem}; copy it from another node or a backup, "
            f"or give it up with: kontinuum vault delete {short}"
        )
        self.object_id = object_id
        self.problem = problem


class SyncProtocolError(PeerError):
    """Another vault broke the protocol between vaults."""


class SyncRefusedError(PeerError):
    """Another node gives us no copies, or takes none from us."""


class SyncInterruptedError(UnavailableError):
    """A copying ended before it was complete; what came is kept, and the next one goes on from there."""
