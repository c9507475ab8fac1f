"""Runs a stylesheet that can touch nothing but its input: no file, no network, no second stylesheet, no clock, no dice.

Stylesheets know our functions under ``urn:nahtlos:mapping:1``; what a function cannot read becomes a finding and an empty
value, so that one run tells every fault. libxml2 objects belong to a thread, so each thread compiles its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lxml import etree

from gateway.config.faults import did_you_mean
from gateway.findings import Finding
from gateway.forms.formfunctions import NAMES, OURS, Codes, Functions
from gateway.vocabulary import say

XSL = "http://www.w3.org/1999/XSL/Transform"
PARAMETERS = ("message_id", "leistung", "ars", "portal", "form_id", "version", "received", "test")

_lxml: Any = etree  # its stubs do not know these parameters
_DENIED = _lxml.XSLTAccessControl(read_file=False, write_file=False, create_dir=False, read_network=False, write_network=False)
_ELSEWHERE = {f"{{{XSL}}}{name}" for name in ("import", "include", "document", "result-document")} | {
    "{http://exslt.org/common}document",
}
_EXTENSIONS = ("http://exslt.org/", "http://icl.com/saxon", "http://xmlsoft.org/", "http://www.jclark.com/xt", "org.apache.xalan")
_HARMLESS = frozenset({"http://exslt.org/common", "http://exslt.org/sets", "http://exslt.org/strings"})
_FICKLE_CALL = re.compile(r"\b(?:document|generate-id|unparsed-entity-uri|system-property)\s*\(")


@dataclass(frozen=True, slots=True)
class Result:
    """body: the document, UTF-8, "" when nothing came out. unescaped, files: how many values were unescaped, files read."""

    body: bytes = field(repr=False)
    findings: tuple[Finding, ...]
    unescaped: int
    files: int


class SheetFault(Exception):
    """A stylesheet that cannot be used, or wants what none may have. line: 1-based, 0 where unknown."""

    def __init__(self, line: int, de: str, en: str) -> None:
        super().__init__(en)
        self.line, self.de, self.en = line, de, en


class Sheet:
    """A checked stylesheet. Raises ``SheetFault`` when it is made, never later."""

    def __init__(self, source: bytes, *, codes: Mapping[str, Codes] = MappingProxyType({})) -> None:
        self.source, self._codes = source, codes
        self._own = threading.local()
        _refuse(_parse(source))
        self._compiled()

    def run(self, root: etree._Element, parameters: Mapping[str, str], *, unescape: bool = False) -> Result:
        """Never raises for what stands in the document: what goes wrong is a finding."""
        compiled, state = self._compiled()
        state.begin(unescape)
        body = b""
        try:
            result = compiled(root, **{name: _lxml.XSLT.strparam(value) for name, value in parameters.items()})
            body = bytes(result) if result.getroot() is not None else b""
        except Exception:  # whatever a stylesheet stumbles over, intake must not; the error's text may quote the document
            state.findings.append(say("mapping-failed"))
        outcome = Result(body, tuple(state.findings), state.unescaped, state.files)
        state.begin(False)  # what it remembers keeps a copy of the whole document alive
        return outcome

    def _compiled(self) -> tuple[Any, Functions]:
        own: tuple[Any, Functions] | None = getattr(self._own, "pair", None)
        if own is None:
            state = Functions(self._codes)
            try:
                sheet = _lxml.XSLT(_parse(self.source), extensions=state.extensions(), access_control=_DENIED)
            except etree.LxmlError as error:
                log: Any = error.error_log
                line = next((entry.line for entry in log if entry.line), 0)
                raise SheetFault(line, "das ist kein gültiges XSLT 1.0", "this is not valid XSLT 1.0") from error
            own = self._own.pair = (sheet, state)
        return own


def _parse(source: bytes) -> etree._ElementTree:
    parser = etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False, remove_pis=True, remove_comments=True)
    parser.resolvers.add(_Nothing())
    try:
        return etree.ElementTree(etree.fromstring(source, parser))
    except etree.XMLSyntaxError as error:
        raise SheetFault(error.lineno or 0, "das ist kein wohlgeformtes XML", "this is not well-formed XML") from error


def _refuse(sheet: etree._ElementTree) -> None:
    """Beside the access control, so that the author learns it when the file is loaded, with its line."""
    if getattr(sheet.docinfo, "internalDTD", None) is not None:
        raise SheetFault(1, "eine DOCTYPE ist nicht erlaubt", "a DOCTYPE is not allowed")
    for element in sheet.iter():
        line = int(getattr(element, "sourceline", 0) or 0)
        if element.tag in _ELSEWHERE:
            name = etree.QName(element).localname
            raise SheetFault(line, f"„{name}“ ist nicht erlaubt: eine Zuordnung liest und schreibt nur ihr Dokument",
                             f'"{name}" is not allowed: a mapping reads and writes its own document only')
        for uri in element.nsmap.values():
            if uri.startswith(_EXTENSIONS) and uri not in _HARMLESS:
                # Clocks and dice (the same input must give the same output), files, and evaluation of data as code.
                raise SheetFault(line, f"die Erweiterung {uri} ist nicht erlaubt", f"the extension {uri} is not allowed")
        for value in map(str, element.attrib.values()):
            if call := _FICKLE_CALL.search(_without_literals(value)):
                raise SheetFault(line, f"„{call[0]})“ ist nicht erlaubt", f'"{call[0]})" is not allowed')
            for prefix in (prefix for prefix, uri in element.nsmap.items() if uri == OURS and prefix):
                for name in re.findall(rf"\b{re.escape(prefix)}:([\w.-]+)\s*\(", _without_literals(value)):
                    if name not in NAMES:
                        de, en = did_you_mean(name, NAMES)
                        raise SheetFault(line, f"unbekannte Funktion „{name}“{de}", f'unknown function "{name}"{en}')


def _without_literals(expression: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "''", expression)


class _Nothing(etree.Resolver):
    """Answers every request for another document with an empty one that fits nowhere."""

    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        return self.resolve_string("", context, base_url=None)
