"""Every case of the hostile corpus through the real endpoint of a gateway in its own process, with the manifest's own
expectations: status, nothing fetched, nothing read, nothing stored, time, memory, and a good submission right after."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.security.hostile import HOSTILE, Case, assumptions, body_of, cases, chunks_of, schema_of
from tests.security.served import Served, served
from tests.security.test_hostile_http import exchange

# One address and one file of the manifest for all of them: in one process, one after the other.
pytestmark = [pytest.mark.corpus, pytest.mark.xdist_group("canary")]

PATH = "/v1/submissions?leistung=probe&ars=08121"
BODIES = cases("body")
MAIN = "antrag.xsd"


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """One gateway per schema of the corpus, because two of them claim the same root element."""
    up: dict[str, Any] = {}
    managers = []
    for schema in sorted({case.schema for case in BODIES if case.schema}):
        case = next(case for case in BODIES if case.schema == schema)
        manager = served(tmp_path_factory.mktemp(schema.removesuffix(".xsd")), message=schema_of(case), header_timeout="3s",
                         body_idle_timeout="3s", body_min_rate="4KiB")
        managers.append(manager)
        up[schema] = manager.__enter__()
    yield up
    for manager in managers:
        manager.__exit__(None, None, None)


def post(up: Served, case: Case, ready: bytes | None = None) -> tuple[int, bytes]:
    """The body as it is made, so that a gigabyte needs no gigabyte; chunked where it is large. ready: made before."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)
    headers = {"Authorization": f"Bearer {up.key}", "Content-Type": case.content_type, **case.headers}
    try:
        if is_small(case):
            connection.request("POST", PATH, ready if ready is not None else body_of(case), headers)
        else:
            connection.request("POST", PATH, chunks_of(case), headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused while it was still being sent; the answer may be there
    answer = connection.getresponse()
    said = answer.status, answer.read()
    connection.close()
    return said


def is_small(case: Case) -> bool:
    return (case.size or 0) <= 64 << 20


def held_by(up: Served) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
    connection.request("GET", "/v1/audit?limit=1000", headers={"Authorization": f"Bearer {up.keys['betrieb']}"})
    entries = json.loads(connection.getresponse().read())["entries"]
    connection.close()
    return {entry["submission"] for entry in entries if entry["submission"]}  # type: ignore[return-value]


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_the_answer_is_what_the_manifest_expects(case: Case, gateways: dict[str, Served], canary: list[str]) -> None:
    up = gateways[case.schema or MAIN]
    before, known = up.memory(), held_by(up)
    Path(f"/proc/{up.process.pid}/clear_refs").write_text("5")
    ready = body_of(case) if is_small(case) else None
    began = up.seconds()
    status, said = post(up, case, ready)
    seconds = up.seconds() - began
    assert status in case.statuses, said[:500]
    if case.outcome in ("accept", "accept-inert"):
        assert status == 202
    if case.outcome == "reject":
        assert status != 202
    if status != 202:
        problem = json.loads(said)
        assert problem["type"].startswith("urn:nahtlos:problem:")
        assert problem["detail_de"]
        assert len(said) < 100_000
        assert held_by(up) == known, "something was stored"
    assert not canary, "something went out"
    for text in (*case.expect.get("response_must_not_contain", ()), assumptions()["canary_file_content"], "root:x:0"):
        assert text.encode() not in said
        assert text not in up.log.read_text()
    reading = 5 if (case.size or 0) > 1 << 20 else 1
    assert seconds < case.expect["max_seconds"] + reading
    assert up.memory()["VmHWM"] - before["VmRSS"] < case.expect["max_rss_growth_mib"]
    began = up.seconds()
    control = next(case for case in BODIES if case.name == "control-ok")
    if case.schema == MAIN:
        assert post(up, control)[0] == 202
        assert up.seconds() - began < 1.5


def test_what_was_taken_was_taken_byte_for_byte(gateways: dict[str, Served]) -> None:
    up = gateways[MAIN]
    wanted = [body_of(case) for case in BODIES if case.family == "control" and (case.size or 0) < 1 << 20]
    for case in BODIES:
        if case.family == "control" and (case.size or 0) < 1 << 20:
            assert post(up, case)[0] == 202
    end = time.monotonic() + 10
    while time.monotonic() < end:
        taken = [path.read_bytes() for path in up.out.rglob("*") if path.is_file()]
        if all(any(body == other for other in taken) for body in wanted):
            return
        time.sleep(0.2)
    raise AssertionError("a control document did not arrive as it was sent")


@pytest.mark.parametrize("case", cases("json-body"), ids=lambda case: case.name)
def test_hostile_json_changes_nothing(case: Case, gateways: dict[str, Served]) -> None:
    up = gateways[MAIN]
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
    headers = {"Authorization": f"Bearer {up.keys['betrieb']}", "Content-Type": case.content_type}
    connection.request("POST", "/v1/targets/ablage/pause", body_of(case), headers)
    answer = connection.getresponse()
    assert answer.status in case.statuses, answer.read()
    connection.close()


@pytest.mark.parametrize("case", cases("raw-http"), ids=lambda case: case.name)
def test_hostile_framing_hides_nothing(case: Case, gateways: dict[str, Served]) -> None:
    up = gateways[MAIN]
    sent = (HOSTILE / case.given["file"]).read_bytes()
    for placeholder, value in (("@@HOST@@", "x"), ("@@PATH@@", PATH), ("@@AUTH@@", f"Bearer {up.key}")):
        sent = sent.replace(placeholder.encode(), value.encode())
    said = exchange(up, sent, hang_up="half-close" in str(case.given.get("notes")))
    if not said:
        assert {"close", "none"} & set(case.expect["http_status"])
    else:
        assert said[9:12].decode() in case.expect["http_status"], said[:200]
    assert said.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("case", cases("stream"), ids=lambda case: case.name)
async def test_a_sender_that_takes_its_time_is_ended(case: Case, gateways: dict[str, Served]) -> None:
    """The deadlines of this gateway are three seconds, so that nobody has to wait for a minute."""
    up, stream = gateways[MAIN], case.given["stream"]
    before = up.memory()["VmRSS"]

    async def one() -> tuple[float, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {up.key}\r\nContent-Type: application/xml\r\n"
        writer.write(head.encode())

        async def send() -> None:
            rate = stream.get("bytes_per_second", 0)
            if stream.get("send") == "body":
                writer.write(f"Content-Length: {stream['content_length']}\r\n\r\n".encode())
            elif rate == 0:
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                if rate:
                    await asyncio.sleep(1)
                    writer.write(b"x" * rate)
                else:
                    writer.write(b"%x\r\n" % stream["chunk_bytes"] + b"x" * stream["chunk_bytes"] + b"\r\n")
                    await writer.drain()

        task = asyncio.create_task(send())
        try:
            said = await asyncio.wait_for(reader.read(), 15)
        except ConnectionResetError:
            said = b""
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            writer.close()
        return loop.time() - began, said

    results = await asyncio.gather(*(one() for _ in range(stream.get("connections", 1))))
    for seconds, said in results:
        assert seconds < 12
        assert not said or said[9:12].decode() in case.expect["http_status"], said[:100]
    assert up.memory()["VmRSS"] - before < 128
    control = next(case for case in BODIES if case.name == "control-ok")
    assert (await asyncio.to_thread(post, up, control))[0] == 202
