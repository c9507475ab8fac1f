"""Two case systems that serve the same services and have nothing in common: that is what two administrations run.

**fallakte** speaks JSON: bearer token, ``POST /cases``, numbers such as ``HN-2026-000123``. It is the profile that
``connector = "rest"`` expects without further options.
**amtsregister** speaks XML: user and password, ``POST /ws/antraege``, lookup by path, numbers such as ``50.3/000123-26``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Product:
    """How one case system speaks. numbers: see ``CaseRegister``. find_prefix: the delivery id follows it, else it is a query."""

    name: str
    numbers: str
    deliver: str
    find: str
    find_prefix: bool
    health: str
    media_type: str
    taken: Callable[[str], bytes]
    found: Callable[[str | None], bytes]
    problem: Callable[[int, str], bytes]
    problem_type: str
    authorization: Callable[[str], str]
    options: Callable[[str, str], dict[str, Any]]
    created: int = 201


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _xml(element: str, text: str) -> bytes:
    return f'<antwort xmlns="urn:example:amtsregister:1"><{element}>{escape(text)}</{element}></antwort>'.encode()


def _basic(secret: str) -> str:
    return "Basic " + base64.b64encode(f"nahtlos:{secret}".encode()).decode()


FALLAKTE = Product(
    name="fallakte",
    numbers="HN-{year}-{n:06d}",
    deliver="/cases",
    find="/cases",
    find_prefix=False,
    health="/health",
    media_type="application/json",
    taken=lambda number: b'{"caseNumber": "%s"}' % number.encode(),
    found=lambda number: _json({"cases": [{"caseNumber": number}] if number else []}),
    problem=lambda status, reason: _json({"type": "about:blank", "status": status, "detail": reason}),
    problem_type="application/problem+json",
    authorization=lambda secret: f"Bearer {secret}",
    options=lambda url, secret: {"url": url, "token": secret},
)

AMTSREGISTER = Product(
    name="amtsregister",
    numbers="50.3/{n:06d}-{year}",
    deliver="/ws/antraege",
    find="/ws/antraege/",
    find_prefix=True,
    health="/ws/status",
    media_type="application/xml",
    taken=lambda number: _xml("aktenzeichen", number),
    found=lambda number: _xml("aktenzeichen", number or ""),
    problem=lambda _status, reason: _xml("fehler", reason),
    problem_type="application/xml",
    authorization=_basic,
    options=lambda url, secret: {
        "url": url,
        "user": "nahtlos",
        "password": secret,
        "deliver": "POST {url}/ws/antraege",
        "find": "GET {url}/ws/antraege/{delivery_id}",
        "check": "GET {url}/ws/status",
        "case_number": "xpath:string(//*[local-name()='aktenzeichen'])",
        "found": "xpath:string(//*[local-name()='aktenzeichen'])",
        "content_type": "application/xml; charset=utf-8",
    },
    created=200,
)

PRODUCTS: Mapping[str, Product] = MappingProxyType({product.name: product for product in (FALLAKTE, AMTSREGISTER)})
