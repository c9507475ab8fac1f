"""What an error of SQLite means: for the one operation, for the moment, or for the disk."""

from __future__ import annotations

import sqlite3

from gateway.ports import JournalUnavailable


def as_answer(surprise: Exception) -> Exception:
    """What the one caller is told. SQLite's own texts name tables and columns, never values."""
    if isinstance(surprise, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)):
        return ValueError(f"the journal refuses this: {surprise}")
    if isinstance(surprise, sqlite3.Error):
        return JournalUnavailable(f"the journal could not be written ({code_of(surprise)})", full=is_full(surprise))
    return surprise


def code_of(failure: sqlite3.Error) -> str:
    return getattr(failure, "sqlite_errorname", None) or type(failure).__name__


def is_full(failure: Exception) -> bool:
    return isinstance(failure, sqlite3.Error) and _primary(failure) == sqlite3.SQLITE_FULL


def is_locked(failure: Exception) -> bool:
    """Somebody with a shell holds the file: each alone would only wait once more."""
    return isinstance(failure, sqlite3.Error) and _primary(failure) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_ill(failure: sqlite3.Error) -> bool:
    """The disk or the file, and not the one statement."""
    return _primary(failure) in (
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    )


def _primary(failure: sqlite3.Error) -> int:
    return (getattr(failure, "sqlite_errorcode", None) or 0) & 0xFF
