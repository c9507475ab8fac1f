"""Puts the resources together into one ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway import __version__
from gateway.access import Forbidden, Unauthenticated
from gateway.http import (
    audit,
    catalogue,
    deadletters,
    docs,
    documents,
    health,
    keys,
    maintenance,
    openapi,
    receipts,
    rehearsals,
    submissions,
    targets,
)
from gateway.http.edge import Edge, Receive, Scope, Send
from gateway.http.problems import Kind, Problem, kind_of, language_of, render
from gateway.http.services import Services
from gateway.http.submit import Submit, Validate
from gateway.http.translation import problem_of
from gateway.operate import Moved, NotAllowed, Unknown
from gateway.ports import JournalUnavailable

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

_OURS = (Problem, Unauthenticated, Forbidden, Unknown, Moved, NotAllowed, JournalUnavailable)


_ALLOWED = {"/v1/submissions": ("GET", "POST"), "/v1/validations": ("POST",)}


def create(services: Services) -> ASGI:
    """The application. The two calls that read documents never pass through FastAPI: see ``submit.py``."""
    app = described()
    app.state.services = services
    direct: dict[tuple[str, str], ASGI] = {
        ("POST", "/v1/submissions"): Submit(services), ("POST", "/v1/validations"): Validate(services),
    }

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        handler = direct.get((method, path))
        if handler is not None:
            await handler(scope, receive, send)
        elif method not in _ALLOWED.get(path, (method,)):
            raise Problem(Kind.METHOD, headers=((b"allow", ", ".join(_ALLOWED[path]).encode()),))
        else:
            await app(scope, receive, send)

    return Edge(application)


def described() -> FastAPI:
    """Every resource that FastAPI serves; enough for the OpenAPI document, without anything to work with."""
    app = FastAPI(
        title="Nahtlos", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )
    for module in (
        submissions, receipts, catalogue, deadletters, documents, targets, audit, keys, maintenance, rehearsals, health, docs,
    ):
        app.include_router(module.router)
    for kind in _OURS:
        app.add_exception_handler(kind, _respond)
    app.add_exception_handler(HTTPException, _respond_http)
    app.add_exception_handler(RequestValidationError, _respond_parameters)
    app.add_exception_handler(Exception, _respond)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


async def _respond(request: Request, error: Exception) -> Response:
    return _response(request, problem_of(error))


async def _respond_http(request: Request, error: Exception) -> Response:
    """404 and 405 of the router itself. Its texts are constants, but they are not ours."""
    assert isinstance(error, HTTPException)
    kind = kind_of(error.status_code)
    headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
    return _response(request, Problem(kind, headers=headers))


async def _respond_parameters(request: Request, error: Exception) -> Response:
    """Which parameters are wrong, without what was sent."""
    assert isinstance(error, RequestValidationError)
    names = sorted({str(fault["loc"][-1]) for fault in error.errors() if fault["loc"][0] in ("query", "path", "header")})
    listed = ", ".join(names)
    return _response(request, Problem(
        Kind.BAD_PARAMETER,
        de=f"Falsch oder nicht angegeben: {listed}.", en=f"Wrong or missing: {listed}.", extra={"parameters": names},
    ))


def _response(request: Request, problem: Problem) -> Response:
    status, headers, body = render(
        problem, language=language_of(request.scope["headers"]), request_id=request.scope["nahtlos.request"],
    )
    response = Response(body, status_code=status)
    response.raw_headers = headers
    return response
