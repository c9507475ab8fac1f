"""Whatever somebody sends, and wherever they put it: it is in no answer of refusal, in no log line and in no figure."""

from __future__ import annotations

import asyncio
import io
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.story.conftest import ARS, House, house, log, sample

__all__ = ["log"]

ROUNDS = 150
Request = tuple[str, str, dict[str, Any]]


def marks(seed: int) -> Iterator[str]:
    """Words that occur nowhere else: of letters, so that they may stand where only names are allowed."""
    chance = random.Random(seed)
    while True:
        yield "Q" + "".join(chance.choices(string.ascii_letters, k=14))


def in_a_value(mark: str) -> Request:
    body = sample("minimal").replace(b"1979-05-14", mark.encode())
    return "POST", "/v1/submissions", {"content": body}


def in_every_value(mark: str) -> Request:
    body = sample("vollstaendig").replace(b"Baumann", mark.encode())
    return "POST", "/v1/validations", {"content": body.replace(b"<l:anzahlImHaushalt>", b"<l:anzahlImHaushalt>" + mark.encode())}


def as_an_element(mark: str) -> Request:
    body = sample("minimal").replace(b"<l:hund>", f"<l:{mark}>{mark}</l:{mark}><l:hund>".encode())
    return "POST", "/v1/submissions", {"content": body}


def as_the_root(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": f'<{mark} xmlns="urn:{mark}" {mark}="{mark}">{mark}</{mark}>'.encode()}


def as_an_attribute(mark: str) -> Request:
    body = sample("minimal").replace(b'version="1.0">', f'version="1.0" {mark}="{mark}">'.encode())
    return "POST", "/v1/submissions", {"content": body}


def as_a_code(mark: str) -> Request:
    body = sample("vollstaendig").replace(b"<code>", f"<code>{mark}".encode())
    return "POST", "/v1/submissions", {"content": body}


def in_broken_xml(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": f"<a><{mark}>&{mark};</b>".encode()}


def as_an_entity(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": f'<!DOCTYPE {mark} [<!ENTITY {mark} "{mark}">]><a>&{mark};</a>'.encode()}


def as_the_encoding(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": f'<?xml version="1.0" encoding="{mark}"?><a/>'.encode()}


def in_a_form(mark: str) -> Request:
    body = sample("form-broken-datum").replace(b"Baumann", mark.encode()).replace(b"<hunde>", f"<{mark}/><hunde>".encode())
    return "POST", "/v1/submissions?leistung=hundesteuer", {"content": body}


def in_the_query(mark: str) -> Request:
    return "POST", f"/v1/submissions?{mark}={mark}&ars={mark}&leistung={mark.lower()}", {"content": sample("minimal")}


def in_the_path(mark: str) -> Request:
    return "GET", f"/v1/submissions/{mark}?since={mark}", {}


def in_headers(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": b"<a>", "headers": {
        "idempotency-key": mark, "traceparent": mark, "user-agent": mark, "accept-language": mark, "x-forwarded-for": mark,
        f"x-{mark}": mark, "content-digest": mark, "cookie": mark, "referer": mark, "client-cert": mark,
    }}


def as_the_type(mark: str) -> Request:
    headers = {"content-type": f"application/{mark}; charset={mark}"}
    return "POST", "/v1/submissions", {"content": sample("minimal"), "headers": headers}


def as_the_key(mark: str) -> Request:
    return "POST", "/v1/submissions", {"content": sample("minimal"), "headers": {"authorization": f"Bearer nk_{mark}"}}


def as_a_file(mark: str) -> Request:
    return "POST", "/v1/submissions", {"files": {
        "submission": (f"{mark}.xml", sample("broken-iban"), "application/xml"),
        mark: (f"../{mark}\n.pdf", mark.encode(), f"a/{mark}"),
    }}


def as_a_good_file(mark: str) -> Request:
    message = sample("minimal").replace(b"Baumann", mark.encode())
    return "POST", f"/v1/submissions?ars={ARS}", {
        "files": {"submission": ("a.xml", message, "text/xml"), "x": (f"{mark}.pdf", mark.encode(), "a/b")},
        "headers": {"idempotency-key": mark},
    }


def as_a_boundary(mark: str) -> Request:
    headers = {"content-type": f"multipart/form-data; boundary={mark}"}
    return "POST", "/v1/submissions", {"content": mark.encode(), "headers": headers}


def in_the_method(mark: str) -> Request:
    return mark.upper(), "/v1/submissions", {}


WAYS: list[Callable[[str], Request]] = [
    in_a_value, in_every_value, as_an_element, as_the_root, as_an_attribute, as_a_code, in_broken_xml, as_an_entity,
    as_the_encoding, in_a_form, in_the_query, in_the_path, in_headers, as_the_type, as_the_key, as_a_file, as_a_good_file,
    as_a_boundary, in_the_method,
]


@pytest.mark.parametrize("seed", [1])
async def test_what_is_sent_never_comes_out_again(tmp_path: Path, log: io.BytesIO, seed: int) -> None:
    used: list[tuple[str, str]] = []
    async with house(tmp_path) as up:
        api, words = up.client("portal"), marks(seed)
        for number in range(ROUNDS):
            way, mark = WAYS[number % len(WAYS)], next(words)
            method, path, request = way(mark)
            headers = {"content-type": "application/xml"} if "content" in request else {}
            answer = await api.request(method, path, **(request | {"headers": headers | request.get("headers", {})}))
            assert answer.status_code < 500, (way.__name__, answer.text)
            assert mark.lower() not in answer.text.lower(), (way.__name__, answer.text)
            assert mark.lower() not in str(answer.headers).lower(), way.__name__
            used.append((way.__name__, mark))
        await settled(up)
        figures = (await api.get("/metrics")).text.lower()
    lines = log.getvalue().decode().lower()
    assert len(lines.splitlines()) >= ROUNDS / 2
    for name, mark in used:
        assert mark.lower() not in lines, (name, next(line for line in lines.splitlines() if mark.lower() in line))
        assert mark.lower() not in figures, name


async def settled(up: House) -> None:
    """Give what was accepted the time to be delivered, so that the lines of attempts are there as well."""
    await asyncio.sleep(1.5)
    assert up.city.register.cases >= 1
