"""How a command reaches the gateway: over the socket of the one that runs here, or over HTTP (NAHTLOS_URL, NAHTLOS_KEY)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from gateway import control
from gateway.cli.output import Exit, as_json, fail, show

if TYPE_CHECKING:
    from gateway.settings import Settings

_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, FileNotFoundError, ConnectionError)


class Gateway:
    """The running gateway's API. Every refusal ends the command with what the gateway said."""

    def __init__(self, client: httpx.Client, where: str) -> None:
        self._client, self.where = client, where

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.call("POST", path, json=dict(body))

    def call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **request: Any) -> Any:
        """The JSON answer. accept: statuses of 400 and above that are an answer as well."""
        return self.answer(method, path, accept=accept, **request).json()

    def answer(self, method: str, path: str, *, accept: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        """With its headers, which may say more. The content is JSON for sure."""
        response = self.raw(method, path, **request)
        if response.status_code >= 400 and response.status_code not in accept:
            refuse(response)
        try:
            response.json()
        except ValueError:
            fail(f"Unter {self.where} antwortet etwas anderes als Nahtlos.",
                 f"Something other than Nahtlos answers at {self.where}.", code=Exit.UNREACHABLE)
        return response

    def content(self, path: str) -> bytes:
        """A document, as it is stored."""
        response = self.raw("GET", path)
        if response.status_code >= 400:
            refuse(response)
        return response.content

    def lines(self, path: str, **query: str) -> Iterator[Any]:
        """Each line of an answer that is a stream of JSON objects, as it comes."""
        try:
            with self._client.stream("GET", path, params=query) as response:
                if response.status_code >= 400:
                    response.read()
                    refuse(response)
                for line in response.iter_lines():
                    yield json.loads(line)
        except (*_UNREACHABLE, httpx.TransportError):
            fail(
                f"Die Verbindung zum Gateway ist abgebrochen ({self.where}).",
                f"The connection to the gateway broke off ({self.where}).", code=Exit.UNREACHABLE,
            )

    def raw(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)
        except _UNREACHABLE:
            unreachable(self.where)
        except httpx.TimeoutException:
            fail(
                f"Das Gateway hat nicht rechtzeitig geantwortet ({self.where}); was es getan hat, zeigt: nahtlos audit list",
                f"The gateway did not answer in time ({self.where}); nahtlos audit list shows what it did",
                code=Exit.UNREACHABLE,
            )
        except httpx.TransportError as broken:
            kind = type(broken).__name__
            fail(f"Die Verbindung zum Gateway ist abgebrochen ({self.where}, {kind}).",
                 f"The connection to the gateway broke off ({self.where}, {kind}).", code=Exit.UNREACHABLE)


def is_running() -> bool:
    """Is there a gateway to ask? With NAHTLOS_URL there has to be one."""
    if os.environ.get("NAHTLOS_URL"):
        return True
    return control.answers(control.living(state_settings().control_socket))


@contextmanager
def connected(*, timeout: float = 60.0) -> Iterator[Gateway]:
    """By HTTP where NAHTLOS_URL says so, else over the control socket in the state directory."""
    if url := os.environ.get("NAHTLOS_URL"):
        _require_address(url)
        headers = {"Authorization": f"Bearer {key}"} if (key := _key()) else {}
        client, where = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False), url
    else:
        socket = control.living(state_settings().control_socket)
        if not socket.exists():
            unreachable(str(socket))
        transport = httpx.HTTPTransport(uds=str(socket))
        client, where = httpx.Client(base_url="http://nahtlos", transport=transport, timeout=timeout), str(socket)
    with client:
        yield Gateway(client, where)


def state_settings(**given: Any) -> Settings:
    """The settings from the environment, ``given`` before it, or the end of the command with every fault in them."""
    from gateway import settings as configuration  # over HTTP nobody needs them, and they take their time

    try:
        return configuration.read(**given)
    except configuration.SettingsFaults as faults:
        fail(*("\n".join(f"{each.file}: {text}" for each, text in said) for said in (
            [(each, each.de) for each in faults.faults], [(each, each.en) for each in faults.faults],
        )), code=Exit.USAGE)


def unreachable(where: str) -> NoReturn:
    fail(
        f"Das Gateway ist nicht erreichbar ({where}). Läuft es? Start: nahtlos serve",
        f"The gateway cannot be reached ({where}). Is it running? Start it: nahtlos serve", code=Exit.UNREACHABLE,
    )


def refuse(response: httpx.Response) -> NoReturn:
    """What the gateway said, in its own words; for machines the problem as it came."""
    try:
        problem = response.json()
    except ValueError:
        problem = {"status": response.status_code, "title": response.reason_phrase}
    if as_json.get():
        show(problem, lambda: None)
    de = problem.get("detail_de") or problem.get("title_de") or problem.get("detail") or problem.get("title") or "Fehler"
    en = problem.get("detail_en") or problem.get("title_en") or ""
    german, english = [f"{de} ({response.status_code})"], [en]
    for finding in problem.get("findings", ()):
        for lines, own, line, said in ((german, finding.get("de"), "Zeile", de), (english, finding.get("en"), "line", en)):
            place = place_of(finding, line)
            lines += [f"  {place}: {own}" if place else f"  {own}"] if own != said else [f"  {place}"] if place else []
    if response.status_code == 401 or problem.get("code") in ("portals-only", "operators-only"):
        german.append(_WHOSE_KEY[0])
        english.append(_WHOSE_KEY[1])
    fail("\n".join(german), "\n".join(english) if en else "")


def place_of(finding: Mapping[str, Any], word: str = "Zeile") -> str:
    """"Zeile 4 /antrag/name", or nothing where a finding is about the whole."""
    line, path = finding.get("line"), finding.get("path")
    return " ".join(part for part in (f"{word} {line}" if line else "", path or "") if part)


_WHOSE_KEY = (
    """Einreichen kann nur ein Portal: NAHTLOS_URL nennt das Gateway, NAHTLOS_KEY (oder NAHTLOS_KEY_FILE) den Schlüssel des
Portals. Einen Schlüssel gibt auf der Maschine des Gateways aus: nahtlos portal key new PORTAL
Für den Betrieb: ohne NAHTLOS_URL auf der Maschine des Gateways, sonst nahtlos operator key new NAME""",
    """Only a portal can submit: NAHTLOS_URL names the gateway, NAHTLOS_KEY (or NAHTLOS_KEY_FILE) the portal's key.
On the gateway's machine, nahtlos portal key new PORTAL gives one out.
Operators: without NAHTLOS_URL on the gateway's machine, else nahtlos operator key new NAME""",
)


def _require_address(url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        fail(f"NAHTLOS_URL: „{url}“ ist keine Adresse wie https://nahtlos.example.de",
             f'NAHTLOS_URL: "{url}" is no address such as https://nahtlos.example.de', code=Exit.USAGE)


def _key() -> str | None:
    path = os.environ.get("NAHTLOS_KEY_FILE")
    try:
        key = os.environ.get("NAHTLOS_KEY") or (Path(path).read_text(encoding="ascii").strip() if path else None)
    except (OSError, UnicodeDecodeError):
        fail(f"NAHTLOS_KEY_FILE: {path} ist nicht lesbar.", f"NAHTLOS_KEY_FILE: {path} cannot be read.", code=Exit.USAGE)
    if key and not (key.isascii() and key.isprintable()):
        fail("NAHTLOS_KEY ist kein Schlüssel: Er hat nur Buchstaben, Ziffern und _.",
             "NAHTLOS_KEY is no key: it holds nothing but letters, digits and _.", code=Exit.USAGE)
    return key
