"""Records and the routing table on disk: an SQLite database that holds each batch of changes whole or not.

Source:   sqlite.org, "Write-Ahead Logging", "Result and Error Codes", "Defense Against The Dark Arts".
Bounds:   ROWS_AT_ONCE rows in memory while reading; PEERS_MAX contacts of the routing table; LOG_BYTES_MAX of
          log besides; rows with longer fields than records have are left out.
Trust:    the file may be damaged or forged: what comes out of it is checked by ``Records.restore``. A file
          that is no database of ours, or a broken one, is set aside for a person to look at, and an empty one
          takes its place.
Not pure: this file is the room's door to the disk. It blocks; any thread may use it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kontinuum.base.errors import FileUnavailableError
from kontinuum.base.files import PRIVATE_MODE
from kontinuum.dht.events import Drop, Keep
from kontinuum.identity import BadIdentityError, PeerId
from kontinuum.wire.limits import CONTACT_BYTES_MAX, KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

PEERS_MAX = 8192
"""Contacts of a routing table that are kept: 256 buckets of 30, and some. Our choice. More: the best."""

ROWS_AT_ONCE = 64
"""Rows in memory while reading: 4 MiB of the largest records. Our choice."""

LOG_BYTES_MAX = 4 * 2**20
"""Bytes that the log keeps on disk once its content is in the database. Our choice: SQLite's own 1,000
pages."""

IP_CHARS_MAX = 64
"""Characters of an address: IPv6 with a zone has at most 60. Longer: the row is left out."""

BUSY_TIMEOUT_S = 1.0
"""Seconds to wait for another process that has the database open. Our choice: there is none but by
mistake."""

_APPLICATION_ID = int.from_bytes(b"Kont")
_FORMAT_VERSION = 1

_RECORDS = (
    "CREATE TABLE records (key BLOB NOT NULL, provider BLOB NOT NULL, value BLOB NOT NULL, "
    "sender BLOB NOT NULL, ip TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (key, provider)) STRICT"
)

_PEERS = "CREATE TABLE peers (place INTEGER PRIMARY KEY, contact BLOB NOT NULL) STRICT"

_SCHEMA = [
    ("table", "records", _RECORDS),
    ("index", "sqlite_autoindex_records_1", None),
    ("table", "peers", _PEERS),
]

_BEFORE_CHECKING = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA locking_mode = EXCLUSIVE",  # No shared memory file, and nobody beside us.
)

_AFTER_CHECKING = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # kill -9 loses nothing; a power cut may lose the last batches.
    f"PRAGMA journal_size_limit = {LOG_BYTES_MAX}",
)

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_SIDE_FILES = ("", "-wal", "-shm")


class _NotOursError(Exception):
    """The file is a database, but none that this program made."""


class SqliteRecords:
    """The records of one node on disk. Make one by :meth:`open`; the node can do without.

    Attributes:
        path: The database.
        set_aside: Where a file that could not be read was moved, if one was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database, or make one; a broken one is set aside. Only its owner can read it.

        Raises:
            FileUnavailableError: the disk is full, read-only or not ours, or another process has it open.
        """
        records = cls(path)
        records._run("open", lambda _connection: None)
        return records

    def load(self) -> Iterator[Keep]:
        """All that is there, the oldest change first. Rows that are no records are left out.

        Should the file turn out to be broken on the way, what is behind that place is lost.

        Raises:
            FileUnavailableError: the disk refused.
        """
        behind = -1
        while rows := self._run("read", partial(_read, behind=behind)):
            behind = rows[-1][0]
            for row in rows:
                if (keep := _keep(row)) is not None:
                    yield keep

    def apply(self, effects: Iterable[Keep | Drop]) -> None:
        """Write changes, in order, all or none. When this returns, they survive the death of the process.

        Raises:
            FileUnavailableError: the disk refused. None of them was written; try the same call later.
        """
        self._run("write", partial(_write, changes=list(effects)))

    def save_table(self, contacts: Iterable[bytes]) -> None:
        """Replace the saved routing table by these contacts, best first; all or none.

        Raises:
            FileUnavailableError: the disk refused; the old table is untouched.
        """
        self._run("write", partial(_write_table, contacts=list(islice(contacts, PEERS_MAX))))

    def load_table(self) -> list[bytes]:
        """The contacts that were saved last, best first; not checked.

        Raises:
            FileUnavailableError: the disk refused.
        """
        return self._run("read", _read_table)

    def close(self) -> None:
        """Close the database. A second call does nothing."""
        with self._lock:
            self._close()

    def _run(self, action: str, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the database; if it is broken, with an empty one in its place."""
        with self._lock:
            try:
                try:
                    return do(self._connected())
                except (sqlite3.DatabaseError, _NotOursError) as error:
                    if not _is_broken(error):
                        raise
                    self._set_aside()
                    return do(self._connected())
            except (sqlite3.Error, OSError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                raise FileUnavailableError(self.path, action, reason) from error

    def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path)
        return self._connection

    def _set_aside(self) -> None:
        self._close()
        aside = self.path.with_name(self.path.name + ".corrupt")
        for suffix in _SIDE_FILES:
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        self.set_aside = aside


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to a sound database of ours, made if it was not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, PRIVATE_MODE)  # SQLite gives its log the same permissions.
    try:
        os.fchmod(descriptor, PRIVATE_MODE)
    finally:
        os.close(descriptor)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        for setting in _BEFORE_CHECKING:
            connection.execute(setting)
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            _create(connection)
        _check(connection)
        for setting in _AFTER_CHECKING:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        connection.execute(_RECORDS)
        connection.execute(_PEERS)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_FORMAT_VERSION}")


def _check(connection: sqlite3.Connection) -> None:
    names = ("application_id", "user_version")
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    schema = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    if marks != [_APPLICATION_ID, _FORMAT_VERSION] or schema != _SCHEMA:
        raise _NotOursError
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _NotOursError


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # Some errors have rolled back already.
            connection.execute("ROLLBACK")
        raise


def _read(connection: sqlite3.Connection, behind: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT rowid, key, provider, value, sender, ip, expires_at FROM records "
        "WHERE rowid > ? AND length(key) <= ? AND length(value) <= ? AND length(ip) <= ? "
        "ORDER BY rowid LIMIT ?",
        (behind, KAD_KEY_BYTES_MAX, KAD_VALUE_BYTES_MAX, IP_CHARS_MAX, ROWS_AT_ONCE),
    ).fetchall()


def _write(connection: sqlite3.Connection, changes: list[Keep | Drop]) -> None:
    with _transaction(connection):
        for change in changes:
            place = change.key, change.provider or b""
            if isinstance(change, Keep):
                connection.execute(
                    "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)",
                    (*place, change.value, change.sender, change.ip, change.expires_at_s),
                )
            else:
                connection.execute("DELETE FROM records WHERE key = ? AND provider = ?", place)


def _write_table(connection: sqlite3.Connection, contacts: list[bytes]) -> None:
    with _transaction(connection):
        connection.execute("DELETE FROM peers")
        connection.executemany("INSERT INTO peers (contact) VALUES (?)", ((contact,) for contact in contacts))


def _read_table(connection: sqlite3.Connection) -> list[bytes]:
    rows = connection.execute(
        "SELECT contact FROM peers WHERE length(contact) <= ? ORDER BY place LIMIT ?",
        (CONTACT_BYTES_MAX, PEERS_MAX),
    )
    return [contact for (contact,) in rows]


def _keep(row: Sequence[Any]) -> Keep | None:
    _, key, provider, value, sender, ip, expires_at_s = row
    try:
        if ip:
            ip_address(ip)
        by = PeerId(provider) if provider else None
        return Keep(key, value, by, PeerId(sender), expires_at_s, ip)
    except (BadIdentityError, ValueError):
        return None


def _is_broken(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT
    return isinstance(error, _NotOursError)
