"""The demo's two ways to the gateway, both over real HTTP: as the portal, which insists, and as an operator, who looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from gateway.demo.judging import Answer
from gateway.demo.posting import Post

PATIENCE = 120.0
"""Seconds that the portal insists on an answer: a killed gateway may take a while to come back on a busy machine."""


class Unanswered(Exception):
    """A post or a question got no answer at all. de: which."""


class Gate:
    """The gateway as both see it, also across its restarts."""

    def __init__(self, url: str, *, portal_key: str, operator_key: str) -> None:
        self.url, self.portal_key, self.operator_key = url, portal_key, operator_key
        self._portal, self._operator = _client(url, portal_key), _client(url, operator_key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self._portal.aclose()
        await self._operator.aclose()

    async def post(self, post: Post) -> Answer:
        """Sends until there is an answer that is final, as a portal should: same key, same bytes. Raises ``Unanswered``."""
        headers = {"Content-Type": "application/xml"} | ({"Idempotency-Key": post.key} if post.key else {})
        loop = asyncio.get_running_loop()
        end, tries, last = loop.time() + PATIENCE, 0, "keine Verbindung"
        while loop.time() < end:
            tries += 1
            try:
                response = await self._portal.post(f"/v1/submissions{post.query}", content=post.body, headers=headers)
            except httpx.TransportError:
                last = "keine Verbindung"
                await asyncio.sleep(0.2)
                continue
            if response.status_code in (429, 503, 507):
                last = f"{response.status_code} {response.json().get('detail_de', '')}"
                await asyncio.sleep(min(float(response.headers.get("retry-after", "1")), 2.0))
                continue
            return Answer(post, response.status_code, response.json(), tries)
        raise Unanswered(f"{post.leistung}/{post.label} ist nach {PATIENCE:.0f} s nicht angenommen: {last}")

    async def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """Target → backlog, pause, breaker."""
        return {each["name"]: each for each in (await self._ask("GET", "/v1/targets"))["targets"]}

    async def dead_letters(self) -> list[dict[str, Any]]:
        """What waits for a person now, the oldest first."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = await self._ask("GET", "/v1/dead-letters", params={"limit": 500} | ({"after": after} if after else {}))
            found += page["dead_letters"]
            after = page["next"]
            if after is None:
                return found

    async def dead_letter(self, delivery: str) -> dict[str, Any]:
        said: dict[str, Any] = await self._ask("GET", f"/v1/dead-letters/{delivery}")
        return said

    async def replay(self, letter: Mapping[str, Any], *, reason: str) -> None:
        """Exactly what was looked at: with the revision that was shown."""
        order = {"reason": reason, "revision": letter["revision"]}
        await self._ask("POST", f"/v1/dead-letters/{letter['id']}/replay", json=order)

    async def deliveries(self, submission: str) -> list[dict[str, Any]]:
        """As operators see them: state, what they wait for, until when."""
        found: list[dict[str, Any]] = (await self._ask("GET", f"/v1/submissions/{submission}"))["deliveries"]
        return found

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        for _ in range(int(PATIENCE / 0.3)):
            try:
                response = await self._operator.request(method, path, **request)
            except httpx.TransportError:
                await asyncio.sleep(0.3)
                continue
            if response.status_code == 503:
                await asyncio.sleep(0.3)
                continue
            if response.status_code >= 400:
                problem = response.json()
                raise Unanswered(f"{method} {path}: {response.status_code} {problem.get('detail_de') or problem.get('title')}")
            return response.json()
        raise Unanswered(f"{method} {path}: keine Antwort in {PATIENCE:.0f} s.")


async def repair(system_url: str) -> None:
    """What the vendor does on the phone: the case system's faults are over."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        (await client.delete(f"{system_url}/_faults")).raise_for_status()


async def lookups(system_url: str) -> int:
    """How often this case system was asked whether it has a case already."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return int((await client.get(f"{system_url}/_stats")).json()["lookups"])


def _client(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": "de"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)
