"""Every "no" of the API in one place: RFC 9457 ``application/problem+json``, German and English.

A problem says what happened, whether anything was stored, and what the caller should do. It names places and rules,
never a value that somebody sent. ``type`` is stable (``urn:nahtlos:problem:<slug>``); the texts may get better.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.findings import Finding

MEDIA_TYPE = b"application/problem+json"


class Kind(Enum):
    """slug, status, German title, English title."""

    BAD_REQUEST = ("bad-request", 400, "Die Anfrage ist nicht lesbar.", "The request cannot be read.")
    BAD_PARAMETER = ("bad-parameter", 400, "Ein Parameter der Anfrage ist falsch.", "A parameter of the request is wrong.")
    UNREADABLE = ("unreadable-document", 400, "Das Dokument ist nicht lesbar.", "The document cannot be read.")
    DIGEST_MISMATCH = (
        "digest-mismatch", 400,
        "Der Inhalt passt nicht zur mitgesandten Prüfsumme.", "The content does not match the digest that came with it.",
    )
    NOT_AUTHENTICATED = (
        "not-authenticated", 401, "Die Anmeldung fehlt oder gilt nicht.", "Credentials are missing or not valid.",
    )
    NOT_PERMITTED = ("not-permitted", 403, "Dazu fehlt die Berechtigung.", "You are not permitted to do this.")
    NOT_FOUND = ("not-found", 404, "Das gibt es hier nicht.", "There is no such thing here.")
    METHOD = ("method-not-allowed", 405, "Diese Methode gibt es hier nicht.", "This method does not exist here.")
    NOT_ACCEPTABLE = (
        "not-acceptable", 406, "In dieser Form gibt es die Antwort hier nicht.", "The answer does not exist in this form here.",
    )
    TIMEOUT = ("request-timeout", 408, "Die Anfrage kam zu langsam an.", "The request arrived too slowly.")
    CONFLICT = ("conflict", 409, "Das ist im jetzigen Zustand nicht möglich.", "This is not possible in the present state.")
    TOO_LARGE = ("too-large", 413, "Die Einreichung ist zu groß.", "The submission is too large.")
    MEDIA_TYPE = ("unsupported-media-type", 415, "Diese Art von Inhalt wird nicht gelesen.", "This kind of content is not read.")
    INVALID = ("invalid-document", 422, "Das Dokument ist nicht gültig.", "The document is not valid.")
    UNKNOWN_LEISTUNG = ("unknown-leistung", 422, "Diese Leistung gibt es hier nicht.", "This service is not offered here.")
    NO_ROUTE = (
        "no-route", 422, "Für diese Einreichung gibt es hier keinen Leitweg.", "There is no route for this submission here.",
    )
    KEY_REUSED = (
        "key-reused", 422,
        "Unter diesem Schlüssel wurde schon etwas anderes eingereicht.", "Something else was already submitted under this key.",
    )
    TOO_MANY = ("too-many-requests", 429, "Es sind zu viele Anfragen auf einmal.", "There are too many requests at once.")
    TOO_MANY_INVALID = (
        "too-many-invalid", 429,
        "Dieses Portal hat zu viele ungültige Dokumente gesandt.", "This portal has sent too many invalid documents.",
    )
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "Der Kopf der Anfrage ist zu groß.", "The head of the request is too large.")
    INTERNAL = ("internal-error", 500, "Im Gateway ist ein Fehler aufgetreten.", "Something went wrong inside the gateway.")
    UNAVAILABLE = ("unavailable", 503, "Das Gateway kann gerade nichts annehmen.", "The gateway cannot take anything just now.")
    STORAGE_FULL = ("storage-full", 507, "Der Speicher des Gateways ist voll.", "The gateway's storage is full.")

    def __init__(self, slug: str, status: int, de: str, en: str) -> None:
        self.slug, self.status, self.de, self.en = slug, status, de, en

    @property
    def uri(self) -> str:
        return f"urn:nahtlos:problem:{self.slug}"


@dataclass(slots=True, eq=False)
class Problem(Exception):
    """Raise it anywhere below an endpoint; the caller gets it as RFC 9457.

    de, en: one or two sentences of our own, without any value that was sent. retry_after: seconds. extra: further
    members of the answer (codes and ids of ours). headers: further response headers. close: end the connection after
    it, because the rest of the request will not be read.
    """

    kind: Kind
    de: str = ""
    en: str = ""
    findings: Sequence[Finding] = ()
    retry_after: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Sequence[tuple[bytes, bytes]] = ()
    close: bool = False

    def __str__(self) -> str:
        return self.kind.slug


def body_of(problem: Problem, *, language: str, request_id: str) -> dict[str, Any]:
    """The members of the answer, in the order a person reads them."""
    kind = problem.kind
    german = language == "de"
    body: dict[str, Any] = {
        "type": kind.uri,
        "title": kind.de if german else kind.en,
        "status": kind.status,
        "detail": (problem.de if german else problem.en) or (kind.de if german else kind.en),
        "title_de": kind.de,
        "title_en": kind.en,
        "detail_de": problem.de or kind.de,
        "detail_en": problem.en or kind.en,
        "instance": f"urn:nahtlos:request:{request_id}",
    }
    if problem.retry_after is not None:
        body["retry_after"] = problem.retry_after
    body.update(problem.extra)
    if problem.findings:
        body["findings"] = [finding_json(f) for f in problem.findings]
    return body


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding as portals and consoles get it; fields that are not known are left out."""
    said: dict[str, Any] = {
        "code": finding.code, "rule": finding.rule, "severity": finding.severity.value, "de": finding.de, "en": finding.en,
    }
    if finding.line is not None:
        said["line"] = finding.line
    if finding.column is not None:
        said["column"] = finding.column
    if finding.path is not None:
        said["path"] = finding.path
    if finding.expected:
        said["expected"] = list(finding.expected)
    if finding.reason_de is not None:
        said["reason_de"], said["reason_en"] = finding.reason_de, finding.reason_en
    return said


def render(problem: Problem, *, language: str, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body, ready for ASGI."""
    body = json.dumps(
        body_of(problem, language=language, request_id=request_id), ensure_ascii=False, separators=(",", ":")
    ).encode()
    headers = [
        (b"content-type", MEDIA_TYPE),
        (b"content-length", str(len(body)).encode()),
        (b"content-language", language.encode()),
        (b"vary", b"accept-language"),
        *problem.headers,
    ]
    if problem.retry_after is not None:
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    if problem.kind is Kind.NOT_AUTHENTICATED:
        headers.append((b"www-authenticate", b'Bearer realm="nahtlos"'))
    if problem.close:
        headers.append((b"connection", b"close"))
    return problem.kind.status, headers, body


def kind_of(status: int) -> Kind:
    """The kind that says no more than this status; ``INTERNAL`` for one that none has."""
    return next((kind for kind in Kind if kind.status == status), Kind.INTERNAL)


def bare(status: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a refusal from below the application, where there is no request yet."""
    _, headers, body = render(Problem(kind_of(status), close=True), language="de", request_id="0")
    return [*headers, *SECURITY_HEADERS], body


SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def language_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """"de" or "en", whichever Accept-Language weighs more; German where it says nothing we speak."""
    wanted = b",".join(value for name, value in headers if name == b"accept-language")[:256].decode("latin-1").lower()
    best, weight = "de", 0.0
    for choice in wanted.split(","):
        tag, _, parameters = choice.partition(";")
        language = tag.strip().partition("-")[0]
        if language not in ("de", "en"):
            continue
        q = _quality(parameters)
        if q > weight:
            best, weight = language, q
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
