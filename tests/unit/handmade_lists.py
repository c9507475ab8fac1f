"""Code lists written by hand: what the tests of code lists share."""

from __future__ import annotations

from pathlib import Path

from gateway.rules.codelists import CodeLists, prepare

COLOURS = "urn:beispiel:farbe"


def genericode(uri: str, version: str, *keys: str, recommended: str | None = "code", others: str = "") -> str:
    mark = "<Annotation><AppInfo><x:recommendedKeyColumn/></AppInfo></Annotation>"
    declared = "".join(
        f'<Key Id="{name}Key">{mark if name == recommended else ""}<ShortName>k</ShortName><ColumnRef Ref="{name}"/></Key>'
        for name in ("alt", "code")
    )
    rows = "".join(
        f'<Row><Value ColumnRef="alt"><SimpleValue>alt-{key}</SimpleValue></Value>'
        f'<Value ColumnRef="code"><SimpleValue>{key}</SimpleValue></Value></Row>' for key in keys
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gc:CodeList xmlns:gc="http://docs.oasis-open.org/codelist/ns/genericode/1.0/" xmlns:x="http://xoev.de/schemata/genericode/4">
  <Identification><ShortName>n</ShortName><Version>{version}</Version><CanonicalUri>{uri}</CanonicalUri>
    <CanonicalVersionUri>{uri}_{version}</CanonicalVersionUri></Identification>
  <ColumnSet><Column Id="alt" Use="optional"/><Column Id="code" Use="required"/>{declared}</ColumnSet>
  <SimpleCodeList>{rows}{others}</SimpleCodeList>
</gc:CodeList>"""


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def two_versions(folder: Path) -> CodeLists:
    """Of one list, prepared in ``ready``."""
    files = [
        written(folder, "a.xml", genericode(COLOURS, "1", "rot", "blau")),
        written(folder, "b.xml", genericode(COLOURS, "2", "rot", "grün")),
    ]
    found, faults = prepare(files, folder / "ready")
    assert not faults
    return found
