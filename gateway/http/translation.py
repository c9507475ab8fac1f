"""What the use cases raise, as the problems the API answers with. The only place that knows both."""

from __future__ import annotations

from gateway.access import Forbidden, Unauthenticated
from gateway.admission import Reason, TurnedAway
from gateway.belonging import Refusal, Why
from gateway.findings import Unacceptable
from gateway.http.problems import Kind, Problem
from gateway.operate import Moved, NotAllowed, Unknown
from gateway.ports import JournalUnavailable


def problem_of(error: Exception) -> Problem:
    """What the caller is told; for anything unforeseen, nothing but a number to ask about."""
    match error:
        case Problem():
            return error
        case Unacceptable():
            return _of_document(error)
        case Refusal():
            return Problem(_REFUSALS[error.why], de=error.de, en=error.en, extra={"code": error.code, **error.extra})
        case Unauthenticated():
            return Problem(Kind.NOT_AUTHENTICATED, de=error.de, en=error.en, extra={"code": error.code}, close=True)
        case Forbidden():
            return Problem(Kind.NOT_PERMITTED, de=error.de, en=error.en, extra={"code": error.code}, close=True)
        case TurnedAway():
            kind, de, en = _TURNED_AWAY[error.reason]
            return Problem(kind, de=de, en=en, extra={"code": error.reason.value}, retry_after=error.retry_after, close=True)
        case JournalUnavailable():
            return Problem(
                Kind.STORAGE_FULL if error.full else Kind.UNAVAILABLE,
                de="Es wurde nichts gespeichert; bitte später noch einmal senden.",
                en="Nothing was stored; please send again later.",
                retry_after=error.retry_after,
            )
        case Unknown():
            return Problem(Kind.NOT_FOUND)
        case Moved():
            return Problem(
                Kind.CONFLICT,
                de="Der Stand hat sich geändert, seit er angesehen wurde. Bitte neu laden und noch einmal entscheiden.",
                en="It has changed since it was looked at. Please load it again and decide again.",
                extra={"code": "moved"} | ({"revision": error.current.revision} if error.current else {}),
            )
        case NotAllowed():
            return Problem(Kind.CONFLICT, de=error.de, en=error.en, extra={"code": error.code})
    return Problem(
        Kind.INTERNAL,
        de="Ob etwas gespeichert wurde, zeigt eine Wiederholung mit demselben Idempotency-Key. Der Betrieb findet den Fehler "
        "unter der Nummer in instance.",
        en="Sending again with the same Idempotency-Key shows whether anything was stored. Operators find the error under the "
        "number in instance.",
    )


_REFUSALS = {
    Why.UNKNOWN_LEISTUNG: Kind.UNKNOWN_LEISTUNG,
    Why.NO_ROUTE: Kind.NO_ROUTE,
    Why.KEY_REUSED: Kind.KEY_REUSED,
}

_DOCUMENT = {400: Kind.UNREADABLE, 413: Kind.TOO_LARGE, 415: Kind.MEDIA_TYPE, 422: Kind.INVALID}

_TURNED_AWAY = {
    Reason.TOO_MANY: (
        Kind.TOO_MANY,
        "Dieses Portal hat so viele Einreichungen gleichzeitig offen, wie ihm erlaubt sind. Es wurde nichts gespeichert.",
        "This portal has as many submissions open at once as it may have. Nothing was stored.",
    ),
    Reason.TOO_MANY_INVALID: (
        Kind.TOO_MANY_INVALID,
        "In der letzten Minute kamen von diesem Portal zu viele ungültige Dokumente. Es wurde nichts gespeichert.",
        "Too many invalid documents came from this portal within the last minute. Nothing was stored.",
    ),
    Reason.STOPPING: (
        Kind.UNAVAILABLE,
        "Das Gateway wird gerade beendet. Es wurde nichts gespeichert; bitte gleich noch einmal senden.",
        "The gateway is stopping. Nothing was stored; please send again in a moment.",
    ),
    Reason.JOURNAL_SLOW: (
        Kind.UNAVAILABLE,
        "Der Speicher kommt gerade nicht nach. Es wurde nichts gespeichert; bitte gleich noch einmal senden.",
        "Storage cannot keep up just now. Nothing was stored; please send again in a moment.",
    ),
    Reason.DISK_FULL: (
        Kind.STORAGE_FULL,
        "Der Platz reicht nur noch für schon Angenommenes. Es wurde nichts gespeichert; bitte später noch einmal senden.",
        "There is only room left for what was accepted already. Nothing was stored; please send again later.",
    ),
}


def _of_document(fault: Unacceptable) -> Problem:
    count = len(fault.findings)
    return Problem(
        _DOCUMENT.get(fault.status, Kind.INVALID),
        de=fault.findings[0].de if count == 1 else f"{count} Befunde, alle unter findings. Es wurde nichts gespeichert.",
        en=fault.findings[0].en if count == 1 else f"{count} findings, all of them in findings. Nothing was stored.",
        findings=fault.findings, extra={"package": fault.package} if fault.package else {},
    )
