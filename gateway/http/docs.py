"""The API's documentation as one page that needs neither internet nor script, and the OpenAPI document itself."""

from __future__ import annotations

import html
import json
import re
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.http import openapi

router = APIRouter(include_in_schema=False)

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
h2{border-bottom:2px solid #003064;margin-top:3rem}
details{border:1px solid #bbb;border-radius:4px;margin:.5rem 0;padding:.5rem 1rem}
summary{cursor:pointer}code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{background:#f3f4f6;padding:.5rem;overflow:auto}
b{display:inline-block;min-width:4.5rem;color:#003064}table{border-collapse:collapse}
td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
p,summary,td{overflow-wrap:anywhere}td:first-child{min-width:4rem}
@media (prefers-color-scheme:dark){body{background:#111;color:#eee}pre{background:#222}b,h2{color:#8ab4f8}}
"""


@router.get("/openapi.json")
async def machine_readable(request: Request) -> Response:
    return Response(_text(request.app), media_type="application/json")


@router.get("/")
async def front_door() -> Response:
    return RedirectResponse("/docs")


@router.get("/docs")
async def readable(request: Request) -> Response:
    return HTMLResponse(_page(request.app), headers={
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    })


@cache
def _text(app: FastAPI) -> str:
    return openapi.text(app)


@cache
def _page(app: FastAPI) -> str:
    whole = openapi.document(app)
    groups: dict[str, list[str]] = {}
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation.get("tags", ["Sonstiges"])[0], []).append(_operation(path, method, operation))
    body = "".join(f"<h2>{html.escape(name)}</h2>{''.join(each)}" for name, each in sorted(groups.items(), key=_portals_first))
    schemas = "".join(
        f"<details id='{html.escape(name)}'><summary><code>{html.escape(name)}</code></summary>"
        f"<pre>{html.escape(json.dumps(schema, ensure_ascii=False, indent=1))}</pre></details>"
        for name, schema in whole["components"]["schemas"].items()
    )
    return (
        f"<!doctype html><html lang='de'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Nahtlos: Schnittstelle</title><style>{_STYLE}</style><h1>Nahtlos: Schnittstelle</h1>"
        f"<p>{_prose(whole['info']['description'])}</p>"
        f"<p>Version {html.escape(whole['info']['version'])} · <a href='/openapi.json'>openapi.json</a></p>"
        f"{body}<h2>Formen der Antworten</h2>{schemas}</html>"
    )


def _portals_first(group: tuple[str, list[str]]) -> tuple[bool, str]:
    return group[0].startswith("Betrieb"), group[0]


def _prose(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{html.escape(each['name'])}</code><td>{html.escape(each['in'])}"
        f"<td>{_prose(each.get('description', ''))}"
        for each in operation.get("parameters", ())
    )
    answers = "".join(
        f"<tr><td>{html.escape(status)}<td>{_prose(answer.get('description', ''))}<td>{_shape(answer)}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
        f"{html.escape(operation.get('summary', ''))}</summary>"
        f"<p>{_prose(operation.get('description', ''))}</p>"
        + (f"<h3>Angaben</h3><table>{parameters}</table>" if parameters else "")
        + f"<h3>Antworten</h3><table>{answers}</table></details>"
    )


def _shape(answer: dict[str, Any]) -> str:
    for content in answer.get("content", {}).values():
        name = str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
        if name:
            return f"<a href='#{html.escape(name)}'>{html.escape(name)}</a>"
    return ""
