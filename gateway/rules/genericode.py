"""Reads code lists in Genericode 1.0 (OASIS), as XRepository publishes them, piece by piece: never a whole list in memory.

A list says what it is (``CanonicalUri`` and version) and which column holds the key; of everything else only the keys are
kept. XÖV marks the key column by ``recommendedKeyColumn``; where several keys are declared and none is recommended, a value
of any of them counts, because the standards differ in which they use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from lxml import etree

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_KEYS: Final = 1_000_000

_HEAD: Final = ("Identification", "ColumnSet")
_ROWS: Final = "SimpleCodeList"
_PIECE: Final = 64 * 1024


class CodeListFault(Exception):
    """This file is no code list that can be used."""

    def __init__(self, file: Path, de: str, en: str) -> None:
        self.file, self.de, self.en = file, de, en
        super().__init__(f"{file}: {de} / {en}")


class ListName(NamedTuple):
    """What a message has to say to mean this list. uri: ``listURI``; version: ``listVersionID``."""

    uri: str
    version: str


def identify(file: Path) -> ListName:
    """The name of the list in a file; reads no further than its head. Raises ``CodeListFault``."""
    return _read(file, keys=False)[0]


def read_keys(file: Path) -> frozenset[str]:
    """Every key of the list, white space collapsed. Raises ``CodeListFault``."""
    return _read(file, keys=True)[1]


def collapsed(text: str) -> str:
    return " ".join(text.split())


def _read(file: Path, *, keys: bool) -> tuple[ListName, frozenset[str]]:
    parser = etree.XMLPullParser(
        events=("start", "end"), tag=(*_HEAD, _ROWS), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CodeListFault(file, f"größer als {MAX_BYTES} Byte", f"larger than {MAX_BYTES} bytes")
        with file.open("rb") as source:
            pieces = iter(lambda: source.read(_PIECE), b"")
            name, columns, rows = _head(file, parser, pieces)
            found = _keys(file, parser, pieces, rows, columns) if keys else frozenset()
    except OSError as error:
        raise CodeListFault(file, f"nicht lesbar: {error.strerror}", f"cannot be read: {error.strerror}") from None
    except etree.XMLSyntaxError as error:
        raise CodeListFault(file, f"kein wohlgeformtes XML (Zeile {error.lineno})",
                            f"not well-formed (line {error.lineno})") from None
    if keys and not found:
        raise CodeListFault(file, "enthält keinen einzigen Schlüssel", "has not a single key")
    return name, found


_Parser = etree.XMLPullParser


def _head(file: Path, parser: _Parser, pieces: Iterator[bytes]) -> tuple[ListName, tuple[tuple[str, int], ...], etree._Element]:
    name: ListName | None = None
    columns: tuple[tuple[str, int], ...] = ()
    for piece in pieces:
        parser.feed(piece)
        for event, node in parser.read_events():
            assert isinstance(node, etree._Element)
            if node.getroottree().docinfo.internalDTD is not None:
                raise CodeListFault(file, "eine Dokumenttyp-Deklaration (DOCTYPE) ist nicht erlaubt", "a DOCTYPE is not allowed")
            if event == "end" and node.tag == "Identification":
                name = _name(file, node)
            elif event == "end" and node.tag == "ColumnSet":
                columns = _key_columns(file, node)
            elif event == "start" and node.tag == _ROWS and name is not None and columns:
                return name, columns, node
    parser.close()
    raise CodeListFault(file, "keine Codeliste nach Genericode 1.0", "not a code list in Genericode 1.0")


def _name(file: Path, node: etree._Element) -> ListName:
    uri = (node.findtext("CanonicalUri") or "").strip()
    versioned = (node.findtext("CanonicalVersionUri") or "").strip()
    version = versioned.removeprefix(uri + "_") if versioned.startswith(uri + "_") else (node.findtext("Version") or "").strip()
    if not uri or not version:
        raise CodeListFault(file, "nennt Kennung oder Version der Liste nicht (CanonicalUri, CanonicalVersionUri)",
                            "does not say the URI or version of the list (CanonicalUri, CanonicalVersionUri)")
    return ListName(uri, version)


def _key_columns(file: Path, columns: etree._Element) -> tuple[tuple[str, int], ...]:
    """Id and place (from 1) of each."""
    places = {column.get("Id"): place for place, column in enumerate(columns.iterchildren("Column"), start=1)}
    declared = [
        (reference.get("Ref"), key.find("Annotation/AppInfo/{*}recommendedKeyColumn") is not None)
        for key in columns.iterchildren("Key") for reference in key.findall("ColumnRef")
        if len(key.findall("ColumnRef")) == 1
    ]
    required = [column.get("Id") for column in columns.iterchildren("Column") if column.get("Use") == "required"]
    chosen = (
        [column for column, recommended in declared if recommended] or [column for column, _ in declared] or required[:1]
    )
    if not chosen or any(column not in places for column in chosen):
        raise CodeListFault(file, "nennt keine Schlüsselspalte", "names no key column")
    return tuple((str(column), places[column]) for column in chosen)


def _keys(
    file: Path, parser: _Parser, pieces: Iterator[bytes], rows: etree._Element, columns: tuple[tuple[str, int], ...]
) -> frozenset[str]:
    """The rows of one piece at a time, all but the last, which may not be whole yet."""
    found: set[str] = set()

    def take(last: int) -> None:
        for column, place in columns:
            texts: Any = _texts(rows, column=column, place=place, last=last)
            found.update(text if text.isalnum() else collapsed(text) for text in texts)
        del rows[:len(rows) - 1 + last]
        if len(found) > MAX_KEYS:
            raise CodeListFault(file, f"mehr als {MAX_KEYS} Einträge", f"more than {MAX_KEYS} entries")

    for piece in pieces:
        take(0)
        parser.feed(piece)
    parser.close()
    take(1)
    found.discard("")
    return frozenset(found)


# A value without a reference belongs to the column in its own place.
_texts = etree.XPath(
    "Row[position() < last() + $last]/Value[@ColumnRef = $column or (not(@ColumnRef) and position() = $place)]"
    "/SimpleValue/text()",
    smart_strings=False,
)
