"""The one place that chooses an SQLite library and opens databases. Everybody else imports it from here.

Two SQLite libraries in one process drop each other's locks, so nothing else in rmtui imports sqlite3 or pysqlite3.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.runs import lock_notice
from rmtui.runs.files import locked
from trainer.files import PRIVATE, replace_file

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

Row = sqlite3.Row
LIBRARY_VERSION: str = sqlite3.sqlite_version

SCHEMA = 9
"""Number of migrations in `rmtui.index.migrations`."""

PATIENCE = 5.0
"""Seconds that a process waits for the write lock of one index, all its transactions together, before it says so."""
_AT_LEAST = 0.25
"""Seconds that a transaction waits even then; shorter waits are not counted."""
_FORGOTTEN = 10.0
"""Seconds after which earlier waiting no longer counts."""
_STATEMENT = 2000
"""Milliseconds that SQLite waits by itself. It counts naps as meant; on a busy machine they last longer."""
_NAP = round(1000 * lock_notice.SILENT)
"""Milliseconds of waiting for the write lock between two looks at the clock."""
_MAKING = 15.0
"""Seconds to wait for another rmtui that makes or migrates the index."""
LONG_LOG = 8 << 20
"""Bytes of write-ahead log above which whoever writes folds it in."""


class Connection(sqlite3.Connection):
    """SQLite's own, which knows its file."""

    path: str = ""


_waited: dict[str, tuple[float, float]] = {}
"""Index → (seconds waited for its write lock, when that was last)."""


class DatabaseError(UserError):
    """The index cannot be used. Runs and trainings are not touched by that: their truth is in the run folders."""


class NewerSchema(DatabaseError):
    """The index was written by a newer rmtui."""


class Damaged(DatabaseError):
    """The file is not a whole database any more; `rmtui rebuild` puts it aside and makes another."""


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn SQLite's and the disk's complaints about `path` into sentences that a person can act on."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise DatabaseError(
            f"the index {path} cannot be opened",
            f"{error.strerror or error}; the runs are safe in their folders",
            "make the folder writable and check that its disk has room",
        ) from error


def _explained(path: Path, error: sqlite3.Error) -> DatabaseError:
    text = str(error)
    safe = "the runs are safe in their folders, and training continues"
    if "locked" in text or "busy" in text:
        return DatabaseError(f"the index {path} is locked by another program", safe, "end that program, or try again")
    if "full" in text or ("I/O" in text and _room(path) < 1 << 20):
        return DatabaseError(f"the disk that holds the index {path} is full", safe, "free some space and try again")
    if "readonly" in text or "unable to open" in text:
        return DatabaseError(f"the index {path} cannot be written", f"{text}; {safe}", "make file and folder writable")
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return Damaged(f"the index {path} is damaged ({text})", safe, "rebuild it: rmtui rebuild")
    return DatabaseError(
        f"the index {path} cannot be used ({text})", safe, "check its disk, then rebuild it: rmtui rebuild"
    )


def _room(path: Path) -> int:
    """Bytes that the disk of `path` has left for us."""
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def open_database(path: Path) -> Connection:
    """The index at `path` at the newest schema, made when missing. Raises DatabaseError; overwrites nothing."""
    with faults(path):
        if not path.exists():
            _create(path)
        if path.stat().st_size == 0:
            raise Damaged(
                f"the index {path} is empty (0 bytes)",
                "something cut it off; the runs are safe in their folders",
                "rebuild it: rmtui rebuild",
            )
        connection = connect_file(path)
        try:
            if _version(connection, path) < SCHEMA:
                _migrate(path)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_file(path: Path) -> Connection:
    connection = sqlite3.connect(
        path, timeout=_STATEMENT / 1000, isolation_level=None, cached_statements=256, factory=Connection
    )
    connection.path = str(path)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


@contextmanager
def reading_foreign(path: Path) -> Iterator[Connection]:
    """Another program's SQLite file, for reading. Raises UserError where SQLite cannot read it.

    Here, since no process may load two SQLite libraries.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, factory=Connection)
    except sqlite3.Error as error:
        raise UserError(f"cannot read {path}", str(error), "is it a SQLite file?") from None
    try:
        yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}", str(error), "is it the right file?") from None
    finally:
        connection.close()


def _version(connection: Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        raise NewerSchema(
            f"the index {path} was written by a newer rmtui",
            f"its schema is {version}, this rmtui knows {SCHEMA}; nothing was changed",
            f"use the newer rmtui here, or move {path.name} away; it is rebuilt from the run folders",
        )
    return int(version)


@contextmanager
def write(connection: Connection) -> Iterator[None]:
    """One short transaction that takes the write lock at its start; inside another one, a part that fails alone."""
    whole = not connection.in_transaction
    end = "COMMIT" if whole else "RELEASE part"
    undo = ["ROLLBACK"] if whole else ["ROLLBACK TO part", "RELEASE part"]
    if whole:
        _begin(connection)
    else:
        connection.execute("SAVEPOINT part")
    try:
        yield
        connection.execute(end)
    except BaseException:
        for step in undo if connection.in_transaction else ():
            connection.execute(step)
        raise


def _begin(connection: Connection) -> None:
    """Take the write lock. However many transactions wait, and however slow the machine, the sum is bounded."""
    started = time.monotonic()
    before, last = _waited.get(connection.path, (0.0, 0.0))
    before = before if started - last < _FORGOTTEN else 0.0
    until = started + max(_AT_LEAST, PATIENCE - before)
    try:
        while not _got_lock(connection, until):
            lock_notice.notify(f"the index {connection.path}, which another program holds")
    finally:
        now = time.monotonic()
        if now - started >= _AT_LEAST:
            _waited[connection.path] = (before + now - started, now)


def _got_lock(connection: Connection, until: float) -> bool:
    nap = min(_NAP, max(1, round(1000 * (until - time.monotonic()))))
    connection.execute(f"PRAGMA busy_timeout = {nap}")
    try:
        connection.execute("BEGIN IMMEDIATE")
        return True
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) or time.monotonic() >= until:
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {_STATEMENT}")


def bound_log(connection: Connection, path: Path) -> None:
    """Fold a long write-ahead log into the database: among many writers no moment comes at which SQLite does."""
    try:
        size = path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return
    if size > LONG_LOG:
        connection.execute("PRAGMA busy_timeout = 200")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.execute(f"PRAGMA busy_timeout = {_STATEMENT}")


def check(connection: Connection, path: Path) -> None:
    """Raises Damaged where SQLite finds the file's structure broken."""
    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise Damaged(f"the index {path} is damaged ({answer})", "the runs are safe in their folders")


def set_aside(path: Path) -> Path:
    """Rename a damaged index and its companions, so that nothing of it is lost; returns its new name."""
    with _alone(path):
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
        return aside


def _create(path: Path) -> None:
    """Put an empty index at `path` in one step, so that nobody ever opens half of one."""
    with _alone(path):
        if path.exists():
            return
        for stale in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            stale.unlink(missing_ok=True)
        replace_file(path, _empty_index(), PRIVATE)


@lru_cache(maxsize=1)
def _empty_index() -> bytes:
    """The bytes of an index without rows, in WAL mode."""
    with tempfile.TemporaryDirectory(prefix="rmtui-") as folder:
        path = Path(folder) / "runs.sqlite"
        _run_migrations(path)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        return path.read_bytes()


def _migrate(path: Path) -> None:
    """Bring an older index to this schema, one process at a time."""
    with _alone(path):
        _run_migrations(path)


def _run_migrations(path: Path) -> None:
    command = [sys.executable, "-P", "-m", "rmtui.index.migrations", str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        cause = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise DatabaseError(
            f"the index {path} could not be brought to this version",
            f"{cause}; the runs are safe in their folders",
            "free some space, or rebuild it: rmtui rebuild",
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time makes, migrates or replaces an index; one that hangs there makes no other hang."""
    try:
        with locked(lock_file(path), _MAKING, f"the index {path}, which another rmtui makes or replaces"):
            yield
    except TimeoutError:
        raise DatabaseError(
            f"the index {path} is being made or replaced by another rmtui",
            f"it has not ended within {_MAKING:.0f} s; the runs are safe in their folders",
            "try again, or end that rmtui",
        ) from None


def lock_file(path: Path) -> Path:
    """The file whose kernel lock making, migrating and replacing an index take."""
    return path.with_name(f"{path.name}.lock")
