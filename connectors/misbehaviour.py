"""How each fault of a script looks on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from connectors.faults import Fault, Kind
from connectors.listener import Connection, Request, head
from connectors.products import Product
from connectors.register import CaseRegister, Entry

_MAKE_NO_CASE = (Kind.HANG_BEFORE, Kind.CLOSE_BEFORE, Kind.LOGIN_PAGE)


class System(Protocol):
    """What a fault needs to know of the case system that has it."""

    product: Product
    register: CaseRegister


async def misbehave(
    system: System, connection: Connection, request: Request, fault: Fault, *, take: Callable[[], Entry] | None = None
) -> None:
    """take: makes the case; ``None`` for questions, which make none."""
    entry = None
    if take is not None and fault.kind not in _MAKE_NO_CASE and (fault.kind is not Kind.STATUS or fault.commit):
        entry = take()
        await system.register.synced()
    number = entry.case_number if entry is not None else system.register.number(request.headers.get("idempotency-key", ""))
    body, media_type = system.product.taken(number or ""), system.product.media_type
    match fault.kind:
        case Kind.STATUS:
            more = (("Retry-After", fault.retry_after),) if fault.retry_after else ()
            text = system.product.problem(fault.status, fault.reason or f"simulated {fault.status}")
            connection.reply(fault.status, text, media_type=system.product.problem_type, headers=more)
        case Kind.HANG_BEFORE | Kind.HANG_AFTER:
            await asyncio.sleep(3600)
        case Kind.CLOSE_BEFORE | Kind.CLOSE_AFTER:
            connection.close()
        case Kind.RESET:
            connection.write(head(201, len(body), media_type) + body[: len(body) // 2])
            await asyncio.sleep(0.02)
            connection.reset()
        case Kind.DRIP:
            for byte in head(201, len(body), media_type) + body:
                connection.write(bytes([byte]))
                await asyncio.sleep(fault.seconds)
        case Kind.LATE:
            await asyncio.sleep(fault.seconds)
            connection.reply(201, body, media_type=media_type)
        case Kind.WRONG_TYPE:
            connection.reply(200, b"\x89PNG\r\n\x1a\n", media_type="image/png")
        case Kind.LOGIN_PAGE:
            connection.reply(200, b"<html><form>Kennwort</form></html>", media_type="text/html; charset=utf-8")
        case Kind.HUGE:
            connection.reply(201, body.rjust(8 << 20), media_type=media_type)
        case Kind.GARBAGE:
            connection.write(b"\x00\x01\x02 not http\r\n\r\n")
            connection.close()
