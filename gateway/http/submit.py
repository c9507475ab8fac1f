"""The two calls that read documents: POST /v1/submissions and POST /v1/validations.

Plain ASGI, because this is the hot path; the OpenAPI describes them all the same (``openapi.py``).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from gateway.access import Forbidden, Identity, Party
from gateway.examination import Attachment, Examination, Incoming
from gateway.findings import Unacceptable
from gateway.http.edge import Receive, Scope, Send
from gateway.http.multipart import Multipart
from gateway.http.problems import Kind, Problem, body_of, finding_json, language_of
from gateway.http.services import Post, Services
from gateway.http.translation import problem_of
from gateway.http.upload import (
    MULTIPART,
    ClientGone,
    ContentDigest,
    content_length,
    headers_of,
    idempotency_key,
    limit_of,
    media_type_of,
    pour,
    refuse_encoding,
    too_large,
    traceparent,
)
from gateway.http.views import receipt_json
from gateway.intake import Receipt, holds

MAX_QUERY = 1024


@dataclass(frozen=True, slots=True)
class Upload:
    body: bytes
    attachments: tuple[Attachment, ...]
    size: int


class Submit:
    """POST /v1/submissions: 202 and a receipt once it is durable, or a problem and nothing stored."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, started = self._services, self._services.now()
        post = Post("submissions", scope["nahtlos.request"])
        try:
            receipt = await self._accept(post, scope, receive)
            await answer(send, 202, receipt_json(receipt), _receipt_headers(receipt))
        except ClientGone:
            post.outcome = "client-gone"
            raise
        except Exception as error:
            problem = problem_of(error)
            post.status, post.outcome = problem.kind.status, problem.kind.slug
            raise
        finally:
            post.seconds = services.now() - started
            services.on_post(post)

    async def _accept(self, post: Post, scope: Scope, receive: Receive) -> Receipt:
        services = self._services
        headers = headers_of(scope)
        identity = portal_of(services, scope, headers)
        post.portal, post.credential, post.traceparent = identity.holder, identity.credential, traceparent(headers)
        with enter(services, identity), budget_for(services, headers) as grown:
            upload = await read(services, headers, receive, whole=scope.get("nahtlos.whole", False), grown=grown)
            post.size, post.parts = upload.size, 1 + len(upload.attachments)
            try:
                async with asyncio.timeout(services.limits.answer):
                    incoming = incoming_of(identity, upload, scope, headers)
                    post.leistung = incoming.leistung
                    receipt = await services.intake.accept(incoming)
            except TimeoutError:
                raise _no_answer_in_time() from None
            except Unacceptable as fault:
                services.admission.count_invalid(identity.holder)
                post.findings, post.rule = len(fault.findings), fault.findings[0].rule
                if fault.package is not None:
                    known = services.registry.packages.get(fault.package)
                    post.package, post.leistung = fault.package, post.leistung or (known.leistung if known else None)
                raise
        if receipt.held:
            services.admission.count_invalid(identity.holder)
        submission = receipt.dossier.submission
        post.status, post.outcome = 202, "replayed" if receipt.replayed else "held" if receipt.held else "accepted"
        post.submission, post.leistung, post.package = submission.id, submission.leistung, submission.package
        post.findings = receipt.facts.get("findings", 0)
        return receipt


class Validate:
    """POST /v1/validations: what a submission would be told; nothing is stored."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, started = self._services, self._services.now()
        post = Post("validations", scope["nahtlos.request"], 200)
        headers = headers_of(scope)
        identity = portal_of(services, scope, headers)
        with enter(services, identity), budget_for(services, headers) as grown:
            upload = await read(services, headers, receive, whole=scope.get("nahtlos.whole", False), grown=grown)
            incoming = incoming_of(identity, upload, scope, headers)
            try:
                found: Examination | None = await services.intake.examine(incoming)
                fault: Exception | None = found.fault if found else None
            except Unacceptable as unreadable:
                found, fault = None, unreadable
        if isinstance(fault, Unacceptable):
            services.admission.count_invalid(identity.holder)
        report = self._report(incoming, found, fault, language=language_of(scope["headers"]), request=scope["nahtlos.request"])
        await answer(send, 200, report)
        post.outcome = "valid" if report["valid"] else "invalid"
        post.portal, post.credential = identity.holder, identity.credential
        post.size, post.parts, post.findings = upload.size, 1 + len(upload.attachments), len(report["findings"])
        post.leistung, post.package, post.seconds = report["leistung"], report["package"], services.now() - started
        services.on_post(post)

    def _report(
        self, incoming: Incoming, found: Examination | None, fault: Exception | None, *, language: str, request: str
    ) -> dict[str, Any]:
        site = self._services.site
        held = found is not None and fault is not None and holds(incoming, found)
        problem = problem_of(fault) if fault is not None else None
        findings = fault.findings if isinstance(fault, Unacceptable) else found.report.findings if found and found.report else ()
        return {
            "valid": fault is None,
            "outcome": "accepted" if fault is None else "held" if held else "refused",
            "status": 202 if problem is None or held else problem.kind.status,
            "origin": found.origin.value if found else None,
            "leistung": found.slug or None if found else None,
            "ars": found.ars or None if found else None,
            "package": found.package.id if found and found.package else None,
            "message_type": found.header.type if found and found.header else None,
            "test": incoming.test or bool(found and found.header and found.header.test),
            "complete": found.report.complete if found and found.report else fault is None,
            "route": [
                {"target": step.target, "purpose": step.purpose.value, "authority": site.targets[step.target].authority}
                for step in found.route.to
            ] if found and found.route else None,
            "findings": [finding_json(finding) for finding in findings],
            "problem": body_of(problem, language=language, request_id=request) if problem else None,
        }


# --- steps that both share, in the order they happen -------------------------------------------------------------------


def portal_of(services: Services, scope: Scope, headers: dict[bytes, bytes]) -> Identity:
    """The portal that calls. Raises ``access.Unauthenticated`` and ``access.Forbidden``."""
    identity = services.door.identify(scope, headers)
    if identity.party is not Party.PORTAL or identity.portal is None:
        raise Forbidden(
            "portals-only", "Einreichen kann nur ein Portal; dieser Schlüssel gehört dem Betrieb.",
            "Only a portal can submit; this key belongs to the operators.",
        )
    return identity


@contextmanager
def enter(services: Services, identity: Identity) -> Iterator[None]:
    assert identity.portal is not None
    portal = identity.portal
    with services.admission.enter(portal.name, cap=portal.in_flight, invalid_per_minute=portal.invalid_per_minute):
        yield


@contextmanager
def budget_for(services: Services, headers: dict[bytes, bytes]) -> Iterator[Callable[[int], None]]:
    """Memory for the body: as large as it says it is; for one of unknown length, as large as a message may become, and then
    as large as it has ``grown``. Raises ``Problem`` 413 for one that is larger than any may be."""
    length = content_length(headers)
    if length is not None and length > services.limits.document:
        limit, part = limit_of(services.limits, media_type_of(headers)[0])
        if length > limit:
            raise too_large(limit, part=part)
    held = services.limits.document if length is None else length
    services.budget.take(held)

    def grown(size: int) -> None:
        nonlocal held
        if size > held:
            services.budget.take(size - held)
            held = size

    try:
        yield grown
    finally:
        services.budget.give_back(held)


async def read(
    services: Services, headers: dict[bytes, bytes], receive: Receive, *, grown: Callable[[int], None], whole: bool = False
) -> Upload:
    """The message and its attachments, byte for byte. grown, whole: see ``upload.pour``. Raises ``Problem``, ``ClientGone``."""
    limits = services.limits
    refuse_encoding(headers)
    media_type, parameters = media_type_of(headers)
    limit, part = limit_of(limits, media_type)
    digest = ContentDigest(headers[b"content-digest"]) if b"content-digest" in headers else None
    chunks: list[bytes] = []
    parts = Multipart(parameters, limits) if media_type == MULTIPART else None
    take = chunks.append if parts is None else parts.feed

    def both(chunk: bytes) -> None:
        assert digest is not None
        digest.update(chunk)
        take(chunk)

    sink = take if digest is None else both
    size = await pour(receive, sink, limit=limit, pace=limits.pace, whole=whole, part=part, grown=grown)
    if digest is not None:
        digest.verify()
    if parts is None:
        return Upload(chunks[0] if len(chunks) == 1 else b"".join(chunks), (), size)
    body, files = parts.finish()
    return Upload(body, files, size)


def incoming_of(identity: Identity, upload: Upload, scope: Scope, headers: dict[bytes, bytes]) -> Incoming:
    query = parameters_of(scope["query_string"])
    return Incoming(
        identity, upload.body, upload.attachments,
        leistung=query.get("leistung"), ars=query.get("ars"), test=query.get("test") == "true",
        key=idempotency_key(headers), traceparent=traceparent(headers),
    )


def parameters_of(raw: bytes) -> dict[str, str]:
    """leistung, ars and test of the URL. Raises ``Problem`` 400 for any other, for one given twice and for one that
    cannot be right."""
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw[:MAX_QUERY + 1].decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError:
        pairs = [("", "")]
    query = dict(pairs)
    wrong = [name for name, value in query.items() if name not in _PARAMETERS or not _PARAMETERS[name].fullmatch(value)]
    if wrong or len(query) != len(pairs) or len(raw) > MAX_QUERY:
        raise Problem(
            Kind.BAD_PARAMETER,
            de="Erlaubt sind ?leistung= (Kurzname, siehe GET /v1/leistungen), ?ars= (2, 3, 5, 8, 9 oder 12 Ziffern), ?test=true.",
            en="Allowed are ?leistung= (short name, see GET /v1/leistungen), ?ars= (2, 3, 5, 8, 9 or 12 digits), ?test=true.",
            extra={"parameters": sorted(name for name in wrong if name in _PARAMETERS)},
        )
    return query


_PARAMETERS = {
    "leistung": re.compile(r"[a-z0-9][a-z0-9-]{0,63}"),
    "ars": re.compile(r"[0-9]{2}|[0-9]{3}|[0-9]{5}|[0-9]{8}|[0-9]{9}|[0-9]{12}"),
    "test": re.compile(r"true|false"),
}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


async def answer(
    send: Send, status: int, body: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    raw = _encode(body).encode()
    await send({
        "type": "http.response.start", "status": status,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw)), *headers],
    })
    await send({"type": "http.response.body", "body": raw})


def _no_answer_in_time() -> Problem:
    """A commit that takes this long may still succeed: nobody may be told that nothing was stored (P5)."""
    return Problem(
        Kind.UNAVAILABLE,
        de="Der Speicher antwortet nicht. Ob etwas gespeichert wurde, ist ungewiss; bitte dieselbe Einreichung mit demselben "
        "Idempotency-Key noch einmal senden.",
        en="Storage does not answer. Whether anything was stored is not known; please send the same submission with the same "
        "Idempotency-Key again.",
        extra={"code": "commit_unknown"}, retry_after=10,
    )


def _receipt_headers(receipt: Receipt) -> tuple[tuple[bytes, bytes], ...]:
    location = (b"location", f"/v1/submissions/{receipt.dossier.submission.id}".encode())
    return (location, (b"idempotency-replayed", b"true")) if receipt.replayed else (location,)
