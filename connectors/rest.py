"""A case system with a REST interface: ``connector = "rest"``.

Its ways and its answers are options, because no two products agree; the defaults are those of our own profile
(README.md), which a vendor can implement without any connector at all.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from string import Formatter
from typing import ClassVar
from urllib.parse import quote

from connectors.answers import Absent, check_place, read_place, reason, retry_after
from connectors.http import Answer, HttpConnector, HttpOptions, Meaning, meaning, nahtlos_headers, raise_for
from connectors.multipart import multipart
from connectors.sdk import (
    Acknowledgement,
    Blocked,
    Envelope,
    HandedOver,
    InDoubt,
    NotThere,
    Refused,
    StillOpen,
    Target,
    Unavailable,
)

_SLOTS = ("delivery_id", "submission_id", "reference", "leistung", "ars", "authority")
_ASK_LATER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions(HttpOptions):
    """deliver, find, check: method and URL; ``{url}``, ``{delivery_id}``, ``{reference}``, ``{leistung}``, ``{ars}`` are
    filled in. ``find = ""`` where the product cannot be asked, ``check = ""`` where it has no such page.

    case_number: where the answer holds it (see ``answers``); ``""`` where it gives none. found: the same for ``find``.
    rejected: where ``find`` says that the case was rejected after all; its text is the reason.
    rename_headers: ours → theirs; ``""`` leaves a header out. document_name: name of the multipart field of the message.
    """

    deliver: str = "POST {url}/cases"
    find: str = "GET {url}/cases?delivery_id={delivery_id}"
    check: str = "GET {url}/health"
    case_number: str = "json:/caseNumber"
    found: str = "json:/cases/0/caseNumber"
    rejected: str = ""
    rename_headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/xml"
    document_name: str = "submission"

    def __post_init__(self) -> None:
        HttpOptions.__post_init__(self)
        for name in ("deliver", "find", "check"):
            _check_template(name, getattr(self, name), empty_allowed=name != "deliver")
        for name in ("case_number", "found", "rejected"):
            if place := getattr(self, name):
                try:
                    check_place(place)
                except ValueError as fault:
                    raise ValueError(f"{name}: {fault}") from None
        if self.find and not self.found:
            raise ValueError("found: say where the answer to find holds the case number, or set find = \"\"")
        if self.find and "{delivery_id}" not in self.find:
            raise ValueError("find: needs {delivery_id}, the only name under which the case can be looked up")


class RestConnector(HttpConnector):
    """Hands a message over by one request and reads the case number from the answer."""

    name = "rest"
    Options: ClassVar[type] = RestOptions

    async def deliver(self, envelope: Envelope, target: Target) -> Acknowledgement | HandedOver:
        options: RestOptions = target.options
        method, url = _fill(options.deliver, envelope, options)
        headers = nahtlos_headers(envelope)
        if envelope.attachments:
            headers["Content-Type"], body = multipart(envelope, document_name=options.document_name)
            answer = await self.ask(target, method, url, headers=_renamed(headers, options), body=body)
        else:
            headers["Content-Type"] = options.content_type
            if envelope.digest:
                headers["Content-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(envelope.digest)).decode()}:"
            answer = await self.ask(target, method, url, headers=_renamed(headers, options), body=envelope.document)
        if answer.status == 409 and options.find:
            return await self._perhaps_had_it_already(envelope, target, answer)
        raise_for(answer)
        return _taken(answer, options)

    async def find(self, envelope: Envelope, target: Target) -> Acknowledgement | NotThere | StillOpen:
        options: RestOptions = target.options
        if not options.find:
            raise InDoubt("this target cannot be asked")
        method, url = _fill(options.find, envelope, options)
        answer = await self.look_up(target, url, method=method)
        missing = StillOpen(_ASK_LATER) if envelope.token else NotThere()
        if answer.status in (404, 410):
            return _not_found(answer, options, missing)
        if meaning(answer.status) is Meaning.REFUSED:
            raise Blocked(f"lookup: HTTP {answer.status}")
        raise_for(answer)
        if answer.status == 202:
            return StillOpen(retry_after(answer) or _ASK_LATER)
        if options.rejected and isinstance(said := read_place(answer, options.rejected), str):
            raise Refused(said[:500])
        match read_place(answer, options.found):
            case str(number):
                return Acknowledgement(number, {"status": str(answer.status), "by": "lookup"})
            case Absent.EMPTY:
                return missing
            case _:
                raise Blocked("lookup: the answer is not the one that `found` describes")

    def can_find(self, target: Target) -> bool:
        return bool(target.options.find)

    async def check(self, target: Target) -> None:
        options: RestOptions = target.options
        if not options.check:
            return
        method, url = _fill(options.check, None, options)
        answer = await self.look_up(target, url, method=method)
        if meaning(answer.status) is not Meaning.TAKEN:
            raise Blocked(f"check: HTTP {answer.status}")

    async def _perhaps_had_it_already(self, envelope: Envelope, target: Target, conflict: Answer) -> Acknowledgement | HandedOver:
        """409 is how some products say "I have that one": then it is taken, and the lookup knows the number, at once or later."""
        try:
            known = await self.find(envelope, target)
        except (Unavailable, Blocked):
            raise InDoubt("HTTP 409, and the lookup failed") from None
        if isinstance(known, Acknowledgement):
            return known
        if isinstance(known, StillOpen):
            return HandedOver("409", ask_after=known.ask_after)
        raise Refused(reason(conflict).text, code="http-409")


def _taken(answer: Answer, options: RestOptions) -> Acknowledgement | HandedOver:
    facts = {"status": str(answer.status)}
    if answer.media_type == "text/html":
        raise InDoubt("answered with a web page")  # a log-in form or a firewall's notice, with 200
    if not options.case_number:
        return Acknowledgement(facts=facts)
    number = read_place(answer, options.case_number)
    if isinstance(number, str):
        return Acknowledgement(number, facts)
    if answer.status == 202 and options.find:
        return HandedOver("202", ask_after=retry_after(answer) or timedelta(minutes=1))
    raise InDoubt("the answer broke off" if not answer.complete else "no case number in the answer")


def _not_found(answer: Answer, options: RestOptions, missing: NotThere | StillOpen) -> NotThere | StillOpen:
    """404 is an answer only where the delivery id is part of the path; elsewhere, and as a web page, the URL is wrong.

    The difference matters: "not there" means that the document is sent once more.
    """
    by_path = "{delivery_id}" in options.find.partition("?")[0]
    if by_path and answer.media_type != "text/html":
        return missing
    raise Blocked(f"lookup: HTTP {answer.status}, there is no such page")


def _check_template(name: str, template: str, *, empty_allowed: bool) -> None:
    if not template and empty_allowed:
        return
    method, _, url = template.partition(" ")
    if method not in (("POST", "PUT") if name == "deliver" else ("GET", "HEAD")) or not url.startswith("{url}"):
        raise ValueError(f"{name}: expected a method and a URL, such as \"POST {{url}}/cases\"")
    try:
        slots = {slot for _, slot, _, _ in Formatter().parse(url) if slot is not None}
    except ValueError:
        raise ValueError(f"{name}: a brace is not closed") from None
    if unknown := slots - {"url", *_SLOTS}:
        raise ValueError(f"{name}: unknown {{{min(unknown)}}}; known are {', '.join(_SLOTS)}")


def _fill(template: str, envelope: Envelope | None, options: RestOptions) -> tuple[str, str]:
    method, _, url = template.partition(" ")
    used = [slot for slot in _SLOTS if envelope is not None and f"{{{slot}}}" in url]
    values = {slot: quote(getattr(envelope, slot), safe="") for slot in used}
    try:
        return method, url.format(url=options.url.rstrip("/"), **values)
    except KeyError as missing:
        raise Blocked(f"{missing} has no value here") from None


def _renamed(headers: dict[str, str], options: RestOptions) -> dict[str, str]:
    if not options.rename_headers:
        return headers
    theirs = {ours.lower(): name for ours, name in options.rename_headers.items()}
    return {theirs.get(name.lower(), name): value for name, value in headers.items() if theirs.get(name.lower(), name)}
