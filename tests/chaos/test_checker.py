"""A judge that misses a planted defect is no judge: every kind of defect is planted and must be named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.checker import judge

Line = dict[str, Any]


def _sound() -> tuple[list[Line], list[Line]]:
    client = [
        {"key": f"k{n}", "digest": f"d{n}", "status": 202, "submission": f"s{n}", "deliveries": [f"v{n}"]} for n in range(20)
    ]
    client.insert(3, {"key": "k3", "digest": "d3", "status": None, "submission": None, "deliveries": []})
    client.append(dict(client[0]))
    client.append({"key": "k99", "digest": "d99", "status": 503, "submission": None, "deliveries": []})
    receiver = [{"delivery_id": f"v{n}", "digest": f"d{n}", "case_number": f"c{n}"} for n in range(20)]
    return client, receiver


def _judge(folder: Path, client: list[Line], receiver: list[Line]) -> Any:
    logs = []
    for name, lines in (("client", client), ("receiver", receiver)):
        log = folder / name
        log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"half a li', encoding="utf-8")
        logs.append(log)
    return judge(logs[0], logs[1:])


def test_a_sound_run_is_found_sound(tmp_path: Path) -> None:
    verdict = _judge(tmp_path, *_sound())

    assert verdict.kept
    assert (verdict.acknowledged, verdict.cases) == (20, 20)


@pytest.mark.parametrize("victim", [0, 7, 19])
def test_a_dropped_case_is_found(tmp_path: Path, victim: int) -> None:
    client, receiver = _sound()
    del receiver[victim]

    assert _judge(tmp_path, client, receiver).lost == [f"k{victim}"]


def test_a_second_case_for_one_delivery_is_found(tmp_path: Path) -> None:
    client, receiver = _sound()
    receiver.append({"delivery_id": "v7", "digest": "d7", "case_number": "c1007"})

    assert _judge(tmp_path, client, receiver).doubled == ["v7"]


def test_one_message_under_two_delivery_ids_is_found(tmp_path: Path) -> None:
    client, receiver = _sound()
    receiver.append({"delivery_id": "v900", "digest": "d7", "case_number": "c900"})

    assert _judge(tmp_path, client, receiver).doubled == ["v7", "v900"]


def test_swapped_bytes_are_found(tmp_path: Path) -> None:
    client, receiver = _sound()
    receiver[4]["digest"], receiver[5]["digest"] = receiver[5]["digest"], receiver[4]["digest"]

    assert _judge(tmp_path, client, receiver).corrupted == ["k4", "k5"]


def test_two_receipts_for_one_key_are_found(tmp_path: Path) -> None:
    client, receiver = _sound()
    client.append({"key": "k2", "digest": "d2", "status": 202, "submission": "s777", "deliveries": ["v2"]})

    assert _judge(tmp_path, client, receiver).unstable == ["k2"]


def test_a_case_that_nobody_posted_is_found(tmp_path: Path) -> None:
    client, receiver = _sound()
    receiver.append({"delivery_id": "v500", "digest": "made up", "case_number": "c500"})

    assert _judge(tmp_path, client, receiver).invented == ["v500"]
