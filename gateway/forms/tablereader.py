"""Reads a field table: TOML in, ``fieldtable.Table`` out, every fault with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.faults import Fault, Faults, Where, did_you_mean
from gateway.config.toml_lines import line_of_error, parse
from gateway.forms.fieldtable import Block, CodeList, Condition, Entry, Leaf, Over, Source, Table
from gateway.forms.formvalues import FUNCTIONS
from gateway.forms.portalform import is_id

AS = (*FUNCTIONS, "raw", "unescape", "sha256", "size")

_TABLE = {"title", "leistung", "compared", "forms", "versions", "unescape", "root", "namespace", "ignore", "fields", "repeat",
          "file", "codes"}
_FIELD = {"from", "join", "as", "codes", "otherwise", "default", "constant", "when", "each", "alone"}
_REPEAT = {"to", "from", "when", "fields"}
_FILE = {"to", "from", "when", "art", "bezeichnung", "filename", "mimetype", "fields"}
KEYS = _TABLE | _FIELD | _REPEAT | _FILE | {"file"}
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_METADATA = ("formId", "postfachHandleId", "creationDate", "pdfApplicantFormBase64")


def read(path: Path) -> Table:
    """Raises ``Faults`` with every fault as file:line and, for a misspelt name, the nearest known one."""
    try:
        text = path.read_text(encoding="utf-8")
        data, lines = parse(text)
    except tomllib.TOMLDecodeError as error:
        line = line_of_error(error)
        raise Faults([Fault(str(path), line, f"kein gültiges TOML ({error})", f"not valid TOML ({error})")]) from None
    except (OSError, UnicodeDecodeError) as error:
        kind = error.__class__.__name__
        raise Faults([Fault(str(path), 0, f"nicht lesbar ({kind})", f"cannot be read ({kind})")]) from None
    reader = _Reader(Where(str(path), lines))
    table = reader.table(data)
    if reader.faults:
        raise Faults(reader.faults)
    return table


class _Reader:
    """Collects faults and goes on, so that one look shows them all."""

    def __init__(self, where: Where) -> None:
        self.where, self.faults, self.codes = where, list[Fault](), dict[str, CodeList]()

    def table(self, data: Mapping[str, Any]) -> Table:
        where = self.where
        self._known(data, _TABLE, where)
        for name, entries in self._get(data, "codes", dict, {}, where).items():
            self._code_list(name, entries, where.at("codes", name))
        entries = list(self._fields(self._get(data, "fields", dict, {}, where), where.at("fields"), inside=False))
        for n, block in enumerate(self._get(data, "repeat", list, [], where)):
            entries += self._repeat(block, where.at("repeat", n))
        for n, block in enumerate(self._get(data, "file", list, [], where)):
            entries += self._file(block, where.at("file", n), inside=False)
        return Table(
            where, tuple(entries), self.codes,
            forms=tuple(self._texts(data, "forms", where)), versions=self._get(data, "versions", str, "", where),
            leistung=self._get(data, "leistung", str, None, where), root=self._get(data, "root", str, None, where),
            namespace=self._get(data, "namespace", str, None, where), unescape=self._get(data, "unescape", bool, False, where),
            ignore=tuple(self._texts(data, "ignore", where)),
        )

    def _fields(self, fields: Mapping[str, Any], where: Where, *, inside: bool) -> Iterator[Entry]:
        """inside: of a repeated block, where a name without group means the instance at hand."""
        for to, value in fields.items():
            path, place = self._message_path(to, where.at(to)), where.at(to)
            for n, alternative in enumerate(value if isinstance(value, list) else [value]):
                spot = place.at(n) if isinstance(value, list) else place
                if isinstance(alternative, str):
                    alternative = {"from": alternative}
                if not isinstance(alternative, dict):
                    self._fault(spot, "hierher gehört ein Formularfeld oder eine Tabelle in { }",
                                "a form field or a table in { } belongs here")
                elif "file" in alternative:
                    block = {"to": to, "from": alternative["file"]} | {k: v for k, v in alternative.items() if k != "file"}
                    yield from self._file(block, spot, inside=inside)
                elif path:
                    yield self._leaf(path, alternative, spot, inside=inside)

    def _leaf(self, to: tuple[str, ...], value: Mapping[str, Any], where: Where, *, inside: bool) -> Leaf:
        self._known(value, _FIELD, where)
        sources = tuple(self._source(text, where, inside=inside) for text in self._texts(value, "from", where))
        constant = self._get(value, "constant", str, None, where)
        if (constant is None) == (not sources):
            self._fault(where, "genau eines von „from“ und „constant“ gehört hierher",
                        'exactly one of "from" and "constant" belongs here')
        functions = self._texts(value, "as", where)
        for name in functions:
            if name not in AS:
                de, en = did_you_mean(name, AS)
                self._fault(where, f"unbekannte Funktion „{name}“{de}", f'unknown function "{name}"{en}')
        for key in ("constant", "default", "join"):
            self._writable(value.get(key), where)
        return Leaf(
            to, where, sources, constant, tuple(functions) if "as" in value else None, self._codes_of(value, where),
            self._get(value, "join", str, None, where), self._get(value, "default", str, None, where),
            self._when(value, where, inside=inside), self._get(value, "each", bool, False, where),
            self._get(value, "alone", bool, True, where),
        )

    def _repeat(self, value: Any, where: Where) -> Iterator[Block]:
        if not isinstance(value, dict):
            return
        self._known(value, _REPEAT, where)
        to = self._message_path(self._get(value, "to", str, "", where), where.at("to"))
        origin = self._get(value, "from", str, "", where)
        over, sources = Over.ONCE, tuple[Source, ...]()
        if "/" in origin or origin.startswith("@"):
            over, sources = Over.VALUES, (self._source(origin, where.at("from"), inside=False),)
        elif origin:
            over, sources = Over.INSTANCES, (Source(self._id(origin, where.at("from")), ""),)
        fields = self._get(value, "fields", dict, {}, where)
        if not fields:
            self._fault(where, "„fields“ fehlt oder ist leer", '"fields" is missing or empty')
        if to:
            yield Block(to, where, over, sources, tuple(self._fields(fields, where.at("fields"), inside=over is not Over.ONCE)),
                        self._when(value, where, inside=over is not Over.ONCE))

    def _file(self, value: Any, where: Where, *, inside: bool) -> Iterator[Block]:
        """One element per uploaded file, with what every Anlage holds unless ``fields`` says otherwise."""
        if not isinstance(value, dict):
            return
        self._known(value, _FILE, where)
        to = self._message_path(self._get(value, "to", str, "anlage", where), where.at("to"))
        sources = tuple(self._source(text, where, inside=inside) for text in self._texts(value, "from", where))
        if not sources:
            self._fault(where, "„from“ fehlt: das Formularfeld mit der Datei", '"from" is missing: the form field with the file')
            return
        metadata = all(source.group == "@" for source in sources)
        name, content = self._get(value, "filename", str, None, where), Source("", "." if metadata else "base64Data")
        art, title = self._get(value, "art", str, None, where), self._get(value, "bezeichnung", str, None, where)
        for text in (name, art, title, self._get(value, "mimetype", str, None, where)):
            self._writable(text, where)
        file_name = Leaf(("dateiname",), where, (Source("", "filename"),), functions=("filename",), default=name or "Datei")
        standard: list[Leaf] = [
            Leaf(("bezeichnung",), where, constant=title) if title is not None else replace(file_name, to=("bezeichnung",)),
            Leaf(("art",), where, constant=art if art is not None else "nachweis"),
            file_name,
            Leaf(("mimetype",), where, (Source("", "mimetype"),), functions=("mimetype",),
                 default=value.get("mimetype", "application/octet-stream")),
            Leaf(("groesse",), where, (content,), functions=("size",)),
            Leaf(("sha256",), where, (content,), functions=("sha256",)),
            Leaf(("inhalt",), where, (content,), functions=("raw",)),
        ]
        own = list(self._fields(self._get(value, "fields", dict, {}, where), where.at("fields"), inside=True))
        replaced = {entry.to for entry in own}
        entries = [leaf for leaf in standard if leaf.to not in replaced] + own
        if to:
            yield Block(to, where, Over.FILES, sources, tuple(entries), self._when(value, where, inside=inside))

    def _when(self, value: Mapping[str, Any], where: Where, *, inside: bool) -> tuple[Condition, ...]:
        """{ "gruppe/feld" = "wert" }: one text or several, true and false for yes and no, "*" for given, "" for not given."""
        conditions = []
        for name, wanted in self._get(value, "when", dict, {}, where).items():
            source = self._source(name, where.at("when", name), inside=inside)
            values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            if all(isinstance(text, bool) for text in values) and len(values) == 1:
                conditions.append(Condition(source, ("true", "1", "ja", "Ja", "yes", "on", "wahr"), negated=not values[0]))
            elif values in (("*",), ("",)):
                conditions.append(Condition(source, negated=values == ("",)))
            elif values and all(isinstance(text, str) for text in values):
                conditions.append(Condition(source, values))
            else:
                self._fault(where.at("when", name), "erwartet wird ein Text, eine Liste von Texten, true oder false",
                            "a text, a list of texts, true or false is expected")
            for text in values:
                self._writable(text, where)
        return tuple(conditions)

    def _codes_of(self, value: Mapping[str, Any], where: Where) -> str | None:
        codes, otherwise = value.get("codes"), self._get(value, "otherwise", str, None, where)
        self._writable(otherwise, where)
        if isinstance(codes, dict):
            name = "/".join(map(str, where.place))
            self._code_list(name, codes, where.at("codes"), otherwise)
            return name
        if codes is None:
            return None
        if codes not in self.codes:
            de, en = did_you_mean(str(codes), self.codes)
            self._fault(where, f"unbekannte Codeliste „{codes}“{de}", f'unknown code list "{codes}"{en}')
            return None
        if otherwise is None:
            return str(codes)
        name = f"{codes} ({otherwise})"
        self.codes[name] = replace(self.codes[str(codes)], otherwise=otherwise)
        return name

    def _code_list(self, name: str, entries: Any, where: Where, otherwise: str | None = None) -> None:
        if not isinstance(entries, dict) or not all(isinstance(text, str) for text in entries.values()):
            self._fault(where, 'eine Codeliste hat Zeilen der Form "Formular" = "Nachricht"',
                        'a code list has lines like "form" = "message"')
            return
        for text in entries.values():
            self._writable(text, where)
        self.codes[name] = CodeList({key.strip(): text for key, text in entries.items()}, otherwise, where)

    def _source(self, text: str, where: Where, *, inside: bool) -> Source:
        if text.startswith("@"):
            if text[1:] not in _METADATA:
                de, en = did_you_mean(text[1:], _METADATA)
                self._fault(where, f"unbekannte Angabe „{text}“ im Kopf des Formulars{de}", f'unknown metadata "{text}"{en}')
            return Source("@", text[1:])
        group, slash, name = text.partition("/")
        if not slash:
            if not inside:
                self._fault(where, f"„{text}“: hier gehört „gruppe/feld“ hin", f'"{text}": "group/field" belongs here')
            return Source("", "." if text == "." else self._id(text, where))
        return Source(self._id(group, where), self._id(name, where))

    def _id(self, name: str, where: Where) -> str:
        """A name that no portal can have is a slip of the pen; and only such names ever reach an XPath."""
        if not is_id(name):
            self._fault(where, f"„{name}“ kann kein Formularfeld heißen (a–z, A–Z, Ziffern, _ - .; vorn keine Ziffer)",
                        f'no form field can be called "{name}" (ASCII letters, digits, _ - .; no digit first)')
            return "_"
        return name

    def _message_path(self, text: str, where: Where) -> tuple[str, ...]:
        steps = tuple(text.split("/"))
        if all(_NAME.fullmatch(step) for step in steps):
            return steps
        self._fault(where, f"„{text}“ ist kein Nachrichtenfeld der Form „a/b/c“", f'"{text}" is no message field like "a/b/c"')
        return ()

    def _known(self, value: Mapping[str, Any], keys: set[str], where: Where) -> None:
        for key in value:
            if key not in keys:
                de, en = did_you_mean(key, keys)
                self._fault(where.at(key), f"unbekannter Schlüssel „{key}“{de}", f'unknown key "{key}"{en}')

    def _texts(self, value: Mapping[str, Any], key: str, where: Where) -> list[str]:
        found = value.get(key, [])
        texts = [found] if isinstance(found, str) else found
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return texts
        self._fault(where.at(key), f"„{key}“: erwartet wird ein Text oder eine Liste von Texten",
                    f'"{key}": a text or a list of texts is expected')
        return []

    def _get(self, value: Mapping[str, Any], key: str, kind: type[Any], default: Any, where: Where) -> Any:
        found = value.get(key, default)
        if found is default or isinstance(found, kind):
            return found
        word = {str: ("ein Text", "a text"), bool: ("true oder false", "true or false"), dict: ("eine Tabelle", "a table"),
                list: ("eine Liste von Tabellen", "a list of tables")}[kind]
        self._fault(where.at(key), f"„{key}“: erwartet wird {word[0]}", f'"{key}": {word[1]} is expected')
        return default

    def _writable(self, text: object, where: Where) -> None:
        if isinstance(text, str) and re.search(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text):
            self._fault(where, "enthält ein Zeichen, das in XML nicht erlaubt ist", "holds a character that XML does not allow")

    def _fault(self, where: Where, de: str, en: str) -> None:
        self.faults.append(where.fault(de, en))
