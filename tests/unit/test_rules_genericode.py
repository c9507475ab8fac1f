"""Genericode: which keys a list has, what is no list, and how prepared lists are kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway.rules import codelists
from gateway.rules.codelists import CodeLists, prepare
from gateway.rules.genericode import CodeListFault, ListName, identify, read_keys
from tests.unit.handmade_lists import COLOURS, genericode, two_versions, written


@pytest.fixture
def lists(tmp_path: Path) -> CodeLists:
    return two_versions(tmp_path)


# --- Genericode ----------------------------------------------------------------------------------------------------------


def test_the_recommended_key_column_gives_the_keys(tmp_path: Path) -> None:
    file = written(tmp_path, "a.xml", genericode("urn:x", "3.0", "01", "02  b"))
    assert identify(file) == ListName("urn:x", "3.0")
    assert read_keys(file) == {"01", "02 b"}


def test_without_a_recommendation_the_values_of_every_key_column_count(tmp_path: Path) -> None:
    file = written(tmp_path, "a.xml", genericode("urn:x", "1", "01", recommended=None))
    assert read_keys(file) == {"01", "alt-01"}


def test_a_value_without_a_reference_belongs_to_the_column_in_its_place(tmp_path: Path) -> None:
    row = "<Row><Value/><Value><SimpleValue>zwei</SimpleValue></Value></Row>"
    assert read_keys(written(tmp_path, "a.xml", genericode("urn:x", "1", "eins", others=row))) == {"eins", "zwei"}


def test_a_list_longer_than_one_piece_loses_no_key(tmp_path: Path) -> None:
    keys = [f"{number:07}" for number in range(20_000)]
    assert read_keys(written(tmp_path, "a.xml", genericode("urn:x", "1", *keys))) == set(keys)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<a/>", "not a code list"),
        ("<a", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY e "x">]>' + genericode("urn:x", "1", "&e;").partition("?>")[2], "DOCTYPE"),
        (genericode("", "1", "a"), "URI or version"),
        (genericode("urn:x", "1"), "not a single key"),
        (genericode("urn:x", "1", "a").replace('<ColumnRef Ref="code"/>', '<ColumnRef Ref="weg"/>'), "key column"),
        (genericode("urn:x", "1", "a")[:-30], "not well-formed"),
    ],
)
def test_a_file_that_is_no_usable_list_is_refused_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    file = written(tmp_path, "a.xml", text)
    with pytest.raises(CodeListFault, match=says):
        read_keys(file)


def test_preparing_names_every_bad_file_and_keeps_the_good_ones(tmp_path: Path) -> None:
    files = [
        written(tmp_path, "1.xml", genericode("urn:x", "1", "a")), written(tmp_path, "2.xml", "<a/>"),
        written(tmp_path, "3.xml", genericode("urn:x", "1", "b")), tmp_path / "fehlt.xml",
    ]
    found, faults = prepare(files, tmp_path / "ready")
    assert list(found) == [ListName("urn:x", "1")]
    assert sorted(fault.file.name for fault in faults) == ["2.xml", "3.xml", "fehlt.xml"]
    assert found.keys(ListName("urn:x", "1")) == {"a"}


# --- the store -----------------------------------------------------------------------------------------------------------


def test_prepared_lists_are_opened_without_the_files_they_came_from(tmp_path: Path, lists: CodeLists) -> None:
    for file in tmp_path.glob("*.xml"):
        file.unlink()
    assert CodeLists.open(tmp_path / "ready").keys(ListName(COLOURS, "2")) == {"rot", "grün"}


def test_a_missing_or_damaged_index_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CodeListFault, match="index"):
        CodeLists.open(tmp_path)
    (tmp_path / codelists.INDEX).write_text("{")
    with pytest.raises(CodeListFault, match="index"):
        CodeLists.open(tmp_path)


def test_nothing_is_loaded_before_it_is_asked_for_and_little_is_kept(
    tmp_path: Path, lists: CodeLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = CodeLists.open(tmp_path / "ready")
    assert len(opened) == 2
    assert not opened._loaded
    monkeypatch.setattr(codelists, "KEPT_KEYS", 2)
    for version in ("1", "2"):
        opened.keys(ListName(COLOURS, version))
    assert list(opened._loaded) == [ListName(COLOURS, "2")]


def test_many_threads_get_the_same_list(lists: CodeLists) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(id(lists.keys(ListName(COLOURS, "1"))))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_of_two_stores_the_first_one_decides(tmp_path: Path, lists: CodeLists) -> None:
    (tmp_path / "two").mkdir()
    other, _ = prepare([written(tmp_path, "c.xml", genericode(COLOURS, "1", "gold"))], tmp_path / "two")
    assert (lists | other).keys(ListName(COLOURS, "1")) == {"rot", "blau"}
    assert (other | lists).keys(ListName(COLOURS, "1")) == {"gold"}
