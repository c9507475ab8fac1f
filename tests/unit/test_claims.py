from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from gateway import claims
from gateway.ports import Part, Role

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def part(body: bytes, role: Role = Role.ATTACHMENT, *, name: str | None = "a.pdf", media_type: str = "application/pdf") -> Part:
    return Part(role, media_type, body, hashlib.sha256(body).digest(), name=name)


MESSAGE = part(b"<a/>", Role.RECEIVED, name=None, media_type="application/xml")


def test_the_fingerprint_covers_everything_that_was_submitted() -> None:
    whole = claims.fingerprint("hundesteuer", "08125", [MESSAGE, part(b"1")])
    others = [
        claims.fingerprint("wohngeld", "08125", [MESSAGE, part(b"1")]),
        claims.fingerprint(None, "08125", [MESSAGE, part(b"1")]),
        claims.fingerprint("hundesteuer", "08126", [MESSAGE, part(b"1")]),
        claims.fingerprint("hundesteuer", "08125", [MESSAGE]),
        claims.fingerprint("hundesteuer", "08125", [MESSAGE, part(b"2")]),
        claims.fingerprint("hundesteuer", "08125", [MESSAGE, part(b"1", name="b.pdf")]),
        claims.fingerprint("hundesteuer", "08125", [MESSAGE, part(b"1", media_type="image/png")]),
    ]
    assert len({whole, *others}) == len(others) + 1


def test_fields_cannot_run_into_each_other() -> None:
    assert claims.fingerprint("ab", "c", [MESSAGE]) != claims.fingerprint("a", "bc", [MESSAGE])


def test_the_order_of_attachments_and_what_was_made_here_do_not_count() -> None:
    one, two = part(b"1"), part(b"2", name="b.pdf")
    made = part(b"<m/>", Role.MESSAGE, name=None)
    assert claims.fingerprint(None, None, [MESSAGE, one, two]) == claims.fingerprint(None, None, [MESSAGE, two, one, made])


def test_keys_are_kept_at_least_thirty_days_and_forms_one_day() -> None:
    assert claims.by_key(b"k", at=AT).expires_at - AT >= timedelta(days=30)
    assert claims.by_message("a", "u", at=AT).expires_at - AT >= timedelta(days=30)
    assert claims.by_form("f", None, b"x", at=AT).expires_at - AT == timedelta(hours=24)


def test_a_message_uuid_is_the_same_in_capitals() -> None:
    assert claims.by_message("a", "AB", at=AT).key_hash == claims.by_message("a", "ab", at=AT).key_hash
    assert claims.by_message("b", "ab", at=AT).key_hash != claims.by_message("a", "ab", at=AT).key_hash
