"""What an error of PostgreSQL means: for the one operation, for the moment, or for the connection."""

from __future__ import annotations

import asyncpg

from gateway.ports import JournalUnavailable

CUT = (asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, OSError, TimeoutError)
"""The server cannot be heard any more, or asyncpg has given the connection up."""

_OF_THE_OPERATION = ("22", "23", "42")  # data, integrity, statement
_OF_THE_MOMENT = ("25006", "40001", "40P01", "55P03", "57014")  # read only, serialization, deadlock, lock, canceled


def as_answer(surprise: BaseException) -> Exception:
    """What the one caller is told. PostgreSQL's own texts may hold values; its codes and names of constraints do not."""
    if isinstance(surprise, asyncpg.PostgresError):
        if state_of(surprise)[:2] in _OF_THE_OPERATION:
            return ValueError(f"the journal refuses this: {code_of(surprise)}")
        return JournalUnavailable(f"the journal could not be written ({code_of(surprise)})", full=is_full(surprise))
    if isinstance(surprise, ValueError):  # asyncpg's too, for a value that does not fit its place
        return surprise if not isinstance(surprise, asyncpg.InterfaceError) else ValueError("the journal refuses a value")
    if isinstance(surprise, CUT):
        return JournalUnavailable(f"the journal cannot be reached ({type(surprise).__name__})")
    return surprise if isinstance(surprise, Exception) else JournalUnavailable("the journal was closed")


def code_of(failure: BaseException) -> str:
    """"23505 UniqueViolationError delivery_once", "57P01 AdminShutdownError", "ConnectionResetError"."""
    name = type(failure).__name__
    if isinstance(failure, asyncpg.PostgresError):
        return " ".join(part for part in (state_of(failure), name, getattr(failure, "constraint_name", None)) if part)
    return name


def state_of(failure: asyncpg.PostgresError) -> str:
    return str(getattr(failure, "sqlstate", None) or "")


def is_full(failure: BaseException) -> bool:
    return isinstance(failure, asyncpg.PostgresError) and state_of(failure) == "53100"


def is_cut(failure: BaseException) -> bool:
    """Nothing more can be asked on this connection."""
    if isinstance(failure, asyncpg.PostgresError):
        return state_of(failure)[:2] in ("08", "58", "XX") or state_of(failure)[:3] == "57P"
    return isinstance(failure, CUT) and not isinstance(failure, ValueError)


def is_for_all(failure: BaseException) -> bool:
    """Each alone would only meet the same: no room, no memory, no turn, a server that has become a standby, no key."""
    if isinstance(failure, JournalUnavailable):
        return True
    if not isinstance(failure, asyncpg.PostgresError):
        return False
    return state_of(failure)[:2] == "53" or state_of(failure) in _OF_THE_MOMENT[:1] + _OF_THE_MOMENT[3:]
