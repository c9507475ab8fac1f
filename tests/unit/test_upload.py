from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.http.multipart import Multipart
from gateway.http.problems import Kind, Problem
from gateway.http.strict_json import parse_object
from gateway.http.upload import (
    Budget,
    ClientGone,
    ContentDigest,
    Limits,
    Pace,
    headers_of,
    idempotency_key,
    media_type_of,
    pour,
    refuse_encoding,
    traceparent,
)


class Wire:
    """Plays a client: each item is a chunk, a pause in seconds, or ``None`` for hanging up."""

    def __init__(self, *plan: bytes | float | None) -> None:
        self.plan = list(plan)

    async def __call__(self) -> MutableMapping[str, Any]:
        while self.plan and isinstance(self.plan[0], float):
            await asyncio.sleep(self.plan.pop(0))  # type: ignore[arg-type]
        if not self.plan:
            await asyncio.sleep(3600)
        chunk = self.plan.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}


def kind_from(act: Any, *arguments: Any) -> Kind:
    with pytest.raises(Problem) as raised:
        act(*arguments)
    return raised.value.kind


async def test_a_body_arrives_whole() -> None:
    chunks: list[bytes] = []
    assert await pour(Wire(b"ab", b"c", b""), chunks.append, limit=3, pace=Pace()) == 3
    assert chunks == [b"ab", b"c"]


async def test_a_body_over_the_limit_is_not_read_on() -> None:
    wire = Wire(b"ab", b"cd", b"ef", b"")
    with pytest.raises(Problem) as raised:
        await pour(wire, lambda chunk: None, limit=3, pace=Pace())
    assert raised.value.kind is Kind.TOO_LARGE
    assert wire.plan == [b"ef", b""]


async def test_a_sender_that_stalls_is_given_up() -> None:
    with pytest.raises(Problem) as raised:
        await pour(Wire(b"ab"), lambda chunk: None, limit=9, pace=Pace(idle=0.05))
    assert raised.value.kind is Kind.TIMEOUT


async def test_a_sender_that_crawls_is_given_up_though_it_never_stalls() -> None:
    crawl = [item for _ in range(100) for item in (0.02, b"x")]
    with pytest.raises(Problem) as raised:
        await pour(Wire(*crawl), lambda chunk: None, limit=999, pace=Pace(idle=1, grace=0.1, rate=1000))
    assert raised.value.kind is Kind.TIMEOUT


async def test_a_sender_that_is_fast_enough_may_take_longer_than_the_grace() -> None:
    steady = [item for _ in range(20) for item in (0.01, b"x" * 100)]
    assert await pour(Wire(*steady, b""), lambda chunk: None, limit=9999, pace=Pace(idle=1, grace=0.05, rate=1000)) == 2000


async def test_a_sender_that_hangs_up_leaves_nothing() -> None:
    with pytest.raises(ClientGone):
        await pour(Wire(b"ab", None), lambda chunk: None, limit=9, pace=Pace())


def test_the_memory_for_uploads_is_limited() -> None:
    budget = Budget(10)
    budget.take(8)
    assert kind_from(budget.take, 3) is Kind.UNAVAILABLE
    budget.give_back(8)
    budget.take(10)


@pytest.mark.parametrize("name", [b"content-type", b"idempotency-key", b"authorization", b"content-digest"])
def test_a_header_that_decides_something_may_occur_only_once(name: bytes) -> None:
    assert kind_from(headers_of, {"headers": [(name, b"a"), (name, b"b")]}) is Kind.BAD_REQUEST


def test_other_headers_may_repeat() -> None:
    assert headers_of({"headers": [(b"via", b"a"), (b"via", b"b")]}) == {b"via": b"b"}


@pytest.mark.parametrize("key", [b"", b"a b", b"a\tb", b"x" * 256, "ä".encode()])
def test_an_idempotency_key_is_short_and_visible(key: bytes) -> None:
    assert kind_from(idempotency_key, {b"idempotency-key": key}) is Kind.BAD_REQUEST


def test_quotation_marks_around_a_key_do_not_count() -> None:
    assert idempotency_key({b"idempotency-key": b'"abc"'}) == idempotency_key({b"idempotency-key": b"abc"}) == b"abc"
    assert idempotency_key({b"idempotency-key": b"x" * 255}) == b"x" * 255
    assert idempotency_key({}) is None


def test_a_traceparent_that_is_none_is_ignored() -> None:
    good = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    assert traceparent({b"traceparent": good}) == good.decode()
    assert traceparent({b"traceparent": good + b"\nx"}) is None
    assert traceparent({}) is None


@pytest.mark.parametrize("value", [
    b"application/json", b"text/plain", b"application/zip", b"image/svg+xml", b"application/x-www-form-urlencoded",
])
def test_other_content_types_are_refused(value: bytes) -> None:
    assert kind_from(media_type_of, {b"content-type": value}) is Kind.MEDIA_TYPE


@pytest.mark.parametrize("value", [
    b"application/xml", b"text/xml; charset=UTF-8", b"application/vnd.xyz+xml", b'application/xml; charset="utf-8"',
])
def test_xml_in_utf8_is_read(value: bytes) -> None:
    media_type_of({b"content-type": value})


@pytest.mark.parametrize("charset", [b"iso-8859-1", b"utf-16", b"utf-7", b"x"])
def test_other_encodings_are_refused(charset: bytes) -> None:
    assert kind_from(media_type_of, {b"content-type": b"application/xml; charset=" + charset}) is Kind.MEDIA_TYPE


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, gzip", b"br", b"deflate"])
def test_compressed_content_is_refused(coding: bytes) -> None:
    assert kind_from(refuse_encoding, {b"content-encoding": coding}) is Kind.MEDIA_TYPE
    refuse_encoding({b"content-encoding": b"identity"})


def test_a_digest_that_does_not_fit_is_found() -> None:
    right = base64.b64encode(hashlib.sha256(b"abc").digest())
    both = right.decode(), base64.b64encode(hashlib.sha512(b"abc").digest()).decode()
    for header, body, fits in (
        (b"sha-256=:" + right + b":", b"abc", True),
        (b"sha-256=:" + right + b":", b"abd", False),
        (f"sha-512=:{both[1]}:, sha-256=:{both[0]}:".encode(), b"abc", True),
        (f"sha-512=:{both[0]}:, sha-256=:{both[0]}:".encode(), b"abc", False),
        (b"md5=:AAAA:", b"abc", True),
    ):
        digest = ContentDigest(header)
        digest.update(body)
        if fits:
            digest.verify()
        else:
            assert kind_from(digest.verify) is Kind.DIGEST_MISMATCH


@pytest.mark.parametrize("header", [b"", b"sha-256", b"sha-256=abc", b"sha-256=:a:", b"sha-256=:" + b"!" * 4 + b":", b"\xff"])
def test_a_digest_that_cannot_be_read_is_an_error(header: bytes) -> None:
    assert kind_from(ContentDigest, header) is Kind.BAD_REQUEST


# --- multipart -----------------------------------------------------------------------------------------------------


def parts(*each: tuple[bytes, bytes], end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in each) + end


SUBMISSION = (b'Content-Disposition: form-data; name="submission"\r\nContent-Type: application/xml', b"<a/>")


def take_apart(body: bytes, *, step: int = 10**9, limits: Limits | None = None) -> Any:
    reader = Multipart({b"boundary": b"B"}, limits or Limits())
    for start in range(0, len(body), step):
        reader.feed(body[start:start + step])
    return reader.finish()


@pytest.mark.parametrize("step", [1, 2, 7, 10**9])
def test_a_message_and_its_files_come_out_byte_for_byte(step: int) -> None:
    tricky = b"\r\n--B-\r\n--C\r\n\x00\xff--"
    message, files = take_apart(parts(
        SUBMISSION,
        ('Content-Disposition: form-data; name="x"; filename="Übersicht „1“.pdf"\r\nContent-Type: image/png'.encode(), tricky),
        (b'Content-Disposition: form-data; name="leer"', b""),
    ), step=step)
    assert message == b"<a/>"
    assert [(f.name, f.media_type, f.body) for f in files] == [
        ("Übersicht „1“.pdf", "image/png", tricky), ("leer", "application/octet-stream", b""),
    ]


@pytest.mark.parametrize("named", [
    b"filename*=UTF-8''%C3%9Cbersicht.pdf",
    b"filename=\"=?utf-8?B?w5xiZXJzaWNodC5wZGY=?=\"; filename*=utf-8'de'%C3%9Cbersicht.pdf",
])
def test_a_name_may_also_come_in_the_form_of_other_headers(named: bytes) -> None:
    """The standard for forms says no, and clients do it all the same."""
    _, files = take_apart(parts(SUBMISSION, (b"Content-Disposition: form-data; name=anlage; " + named, b"x")))
    assert files[0].name == "Übersicht.pdf"


def test_a_name_that_looks_like_a_path_stays_a_name() -> None:
    _, files = take_apart(parts(SUBMISSION, (b'Content-Disposition: form-data; name="f"; filename="../../etc/passwd"', b"x")))
    assert files[0].name == "../../etc/passwd"


@pytest.mark.parametrize(("body", "kind"), [
    (parts(SUBMISSION, end=b""), Kind.BAD_REQUEST),
    (parts(SUBMISSION, end=b"--B"), Kind.BAD_REQUEST),
    (parts(), Kind.BAD_REQUEST),
    (b"", Kind.BAD_REQUEST),
    (b"no boundary at all", Kind.BAD_REQUEST),
    (parts((b'Content-Disposition: form-data; name="other"', b"<a/>")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, SUBMISSION), Kind.BAD_REQUEST),
    (parts((b"Content-Type: application/xml", b"<a/>")), Kind.BAD_REQUEST),
    (parts((b'Content-Disposition: form-data; name="submission"\r\nContent-Type: application/json', b"{}")), Kind.MEDIA_TYPE),
    (parts((SUBMISSION[0] + b"\r\nContent-Encoding: gzip", b"<a/>")), Kind.MEDIA_TYPE),
    (parts((SUBMISSION[0] + b"\r\nContent-Transfer-Encoding: base64", b"<a/>")), Kind.MEDIA_TYPE),
    (parts((SUBMISSION[0] + b"; charset=utf-16", b"<a/>")), Kind.MEDIA_TYPE),
    (parts((SUBMISSION[0] + b"\r\nX: " + b"y" * 5000, b"<a/>")), Kind.BAD_REQUEST),
    (parts((SUBMISSION[0] + b"".join(b"\r\nX%d: y" % n for n in range(20)), b"<a/>")), Kind.BAD_REQUEST),
    (parts((SUBMISSION[0] + b"\r\nContent-Type: text/xml", b"<a/>")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, (b'Content-Disposition: form-data; name="f"; filename="a\x01b"', b"x")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, (b'Content-Disposition: form-data; name="f"; filename="\xff"', b"x")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, (b"Content-Disposition: form-data; name=f; filename*=UTF-8''%FF", b"x")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, (b"Content-Disposition: form-data; name=f; filename*=UTF-8''a%0Ab", b"x")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, (b'Content-Disposition: form-data; name="f"; filename="' + b"n" * 256 + b'"', b"x")), Kind.BAD_REQUEST),
    (parts(SUBMISSION, *[(b'Content-Disposition: form-data; name="f"', b"x")] * 32), Kind.TOO_LARGE),
])
def test_a_broken_multipart_body_is_refused(body: bytes, kind: Kind) -> None:
    assert kind_from(take_apart, body) is kind


def test_a_message_or_file_over_its_own_limit_is_refused() -> None:
    small = Limits(document=3, attachment=5)
    assert kind_from(lambda: take_apart(parts(SUBMISSION), limits=small)) is Kind.TOO_LARGE
    big_file = parts((SUBMISSION[0], b"<a"), (b'Content-Disposition: form-data; name="f"', b"123456"))
    assert kind_from(lambda: take_apart(big_file, limits=small)) is Kind.TOO_LARGE


@pytest.mark.parametrize("boundary", [{}, {b"boundary": b""}, {b"boundary": b"x" * 71}])
def test_a_boundary_is_needed(boundary: dict[bytes, bytes]) -> None:
    assert kind_from(Multipart, boundary, Limits()) is Kind.BAD_REQUEST


# --- JSON of operators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b"", b"[]", b"1", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":-Infinity}', b"[" * 200_000, b'{"a":' * 200_000,
    b'{"a":' + b"9" * 50_000 + b"}", b'{"a":\xff}', b'{"a":1', '{"a":1}'.encode("utf-16"), b'{"a":{"b":1,"b":2}}',
])
def test_json_that_is_not_plain_is_refused(body: bytes) -> None:
    assert kind_from(parse_object, body) is Kind.BAD_REQUEST


def test_brackets_in_a_text_are_text() -> None:
    assert parse_object(b'{"reason":"' + b"[" * 100 + b'\\"{"}') == {"reason": "[" * 100 + '"{'}


async def test_a_body_that_is_said_to_be_whole_is_read_the_same() -> None:
    async def once() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"abc", "more_body": False}

    chunks: list[bytes] = []
    assert await pour(once, chunks.append, limit=3, pace=Pace(), whole=True) == 3
    assert chunks == [b"abc"]
    with pytest.raises(Problem) as raised:
        await pour(once, chunks.append, limit=2, pace=Pace(), whole=True)
    assert raised.value.kind is Kind.TOO_LARGE
    with pytest.raises(ClientGone):
        await pour(Wire(None), chunks.append, limit=9, pace=Pace(), whole=True)
    assert await pour(Wire(b"ab", b"c", b""), chunks.append, limit=3, pace=Pace(), whole=True) == 3
