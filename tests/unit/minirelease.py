"""Small releases of made-up standards, laid out as official ones are; every rule of installing is tested on these."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.releases import Added, Refused, Wish, add

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAMESPACE = "urn:probe:standard:1.0"
CODES = "http://xoev.de/schemata/code/1_0/xoev-code.xsd"


def xsd(
    body: str = "", *, namespace: str = NAMESPACE, links: str = "", standard: str = "", version: str = "1.0", head: str = "",
    qualified: bool = True,
) -> bytes:
    """A schema file. standard: its name, as XÖV writes it into every file of a standard. Its own types have the prefix t."""
    told = "" if not standard else (
        f"<xs:annotation><xs:appinfo><standard><nameKurz>{standard.title()}</nameKurz><nameTechnisch>{standard}</nameTechnisch>"
        f"</standard><versionStandard><version>{version}</version></versionStandard></xs:appinfo></xs:annotation>"
    )
    form = "qualified" if qualified else "unqualified"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xs:schema {XS} xmlns:t="{namespace}" targetNamespace="{namespace}" '
        f'elementFormDefault="{form}" {head}>{told}{links}{body}</xs:schema>\n'
    ).encode()


def element(name: str = "antrag.stellen.0001", content: str = "") -> str:
    return f'<xs:element name="{name}"><xs:complexType><xs:sequence>{content}</xs:sequence></xs:complexType></xs:element>'


def include(location: str) -> str:
    return f'<xs:include schemaLocation="{location}"/>'


def imported(namespace: str, location: str) -> str:
    return f'<xs:import namespace="{namespace}" schemaLocation="{location}"/>'


def codelist(uri: str = "urn:probe:liste", version: str = "1", keys: Iterator[str] | tuple[str, ...] = ("a", "b")) -> bytes:
    rows = "".join(f'<Row><Value ColumnRef="k"><SimpleValue>{key}</SimpleValue></Value></Row>' for key in keys)
    return (
        '<gc:CodeList xmlns:gc="http://docs.oasis-open.org/codelist/ns/genericode/1.0/"><Annotation/><Identification>'
        f"<ShortName>l</ShortName><Version>{version}</Version><CanonicalUri>{uri}</CanonicalUri>"
        f"<CanonicalVersionUri>{uri}_{version}</CanonicalVersionUri></Identification><ColumnSet>"
        '<Column Id="k" Use="required"><ShortName>k</ShortName><Data Type="string"/></Column>'
        '<Key Id="ks"><ShortName>ks</ShortName><ColumnRef Ref="k"/></Key></ColumnSet>'
        f"<SimpleCodeList>{rows}</SimpleCodeList></gc:CodeList>"
    ).encode()


def schematron(*tests: str, namespace: str = NAMESPACE) -> bytes:
    asserts = "".join(f'<assert id="r{n}" test="{test}">Regel {n} ist verletzt.</assert>' for n, test in enumerate(tests))
    return (
        '<schema xmlns="http://purl.oclc.org/dsdl/schematron" queryBinding="xslt2">'
        f'<ns prefix="t" uri="{namespace}"/><pattern><rule context="t:antrag.stellen.0001">{asserts}</rule></pattern></schema>'
    ).encode()


PLAIN: Mapping[str, bytes] = {"probe.xsd": xsd(element(content='<xs:element name="wert" type="xs:int"/>'), standard="probe")}
LIBRARY: Mapping[str, bytes] = {
    "xsd/xoev-code.xsd": xsd(
        '<xs:complexType name="Code"><xs:sequence><xs:element name="code" type="xs:token" form="unqualified"/></xs:sequence>'
        '<xs:attribute name="listURI" type="xs:anyURI"/><xs:attribute name="listVersionID" type="xs:token"/></xs:complexType>',
        namespace="http://xoev.de/schemata/code/1_0",
    ),
}


def message(value: str = "1", *, namespace: str = NAMESPACE, root: str = "antrag.stellen.0001") -> bytes:
    return f'<t:{root} xmlns:t="{namespace}"><t:wert>{value}</t:wert></t:{root}>'.encode()


class Shelf:
    """The packages of a site. ``add`` lays a release out as a folder and installs it."""

    def __init__(self, root: Path) -> None:
        self.root, self.packages = root / "schemas", root / "schemas" / "packages"
        self._downloads = root / "downloads"

    def add(self, files: Mapping[str, bytes], release: str = "release", *, zipped: bool = False, **wish: Any) -> list[Added]:
        return self.add_path((self.zipped if zipped else self.folder)(files, release), **wish)

    def add_path(self, path: Path, **wish: Any) -> list[Added]:
        return add(path, self.packages, roots=(self.root,), at=AT, wish=Wish(**wish))

    def refusal(self, files: Mapping[str, bytes] | Path, release: str = "release", **wish: Any) -> Refused:
        """Why it is refused; fails when it is not, or when anything is left of it."""
        before = self.contents()
        try:
            added = self.add_path(files, **wish) if isinstance(files, Path) else self.add(files, release, **wish)
        except Refused as refused:
            assert self.contents() == before, "something is left of a refused release"
            return refused
        raise AssertionError(f"not refused: {[one.id for one in added]}")

    def folder(self, files: Mapping[str, bytes], name: str = "release") -> Path:
        folder = self._downloads / name
        shutil.rmtree(folder, ignore_errors=True)
        for file, body in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(body)
        return folder

    def zipped(self, files: Mapping[str, bytes], name: str = "release") -> Path:
        return self.archive(name, *files.items())

    def archive(self, name: str, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        """A zip with exactly these entries, however they are called."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", method) as archive:
            for entry, content in entries:
                info = entry if isinstance(entry, zipfile.ZipInfo) else zipfile.ZipInfo(entry)
                info.compress_type = method
                archive.writestr(info, content)
        path = self._downloads / f"{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.getvalue())
        return path

    def contents(self) -> dict[str, bytes]:
        """Every file but the locks."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*")) if path.is_file() and path.suffix != ".lock"
        }
