"""What a mapping does with one form, line by line, without showing a single value: for the author of a field table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lxml import etree

from gateway.forms.fieldtable import Block, Leaf, Over, Source, Table, every_leaf
from gateway.forms.formfunctions import field_of
from gateway.forms.messageplan import Plan
from gateway.forms.portalform import FormValue, fields_of, instance_number, is_id, is_instance, metadata, values
from gateway.forms.transform import Result


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the explanation. message_field or form_field is ``None`` when the other side has no partner.

    filled: the message field gets something from this form. de, en: a note, "" if there is nothing to say.
    """

    message_field: str | None
    form_field: str | None
    filled: bool
    de: str = ""
    en: str = ""


def view_of_table(table: Table, plan: Plan, root: etree._Element, result: Result) -> list[Row]:
    """Message fields in the order of the table, then what the table leaves behind of this form."""
    message = _message(result)
    found = [f"{value.group}/{value.name}" for value in values(root)]
    rows = []
    for blocks, leaf in _lines(plan):
        path = "/".join([step for block in blocks for step in block.to] + list(leaf.to))
        sources = list(dict.fromkeys(filter(None, (_with_group(source, blocks) for source in leaf.sources))))
        given = any(_given(source, root, found) for source in sources)
        filled = _holds(message, path.split("/")) and (given or not sources or leaf.default is not None)
        faults = [finding for finding in result.findings if field_of(finding.path or "").partition("/selected")[0] in sources]
        de, en = "", ""
        if faults:
            de, en = faults[0].de, faults[0].en
        elif not filled:
            de, en = _why_empty(leaf, given=given, missed=_missed(plan, path.split("/"), message))
        rows.append(Row(path, " oder ".join(sources) or None, filled, de, en))
    return rows + _left_behind(table, plan, root)


def view_of_sheet(source: bytes, root: etree._Element, result: Result) -> list[Row]:
    """For a hand-written stylesheet: what stands in the message, what failed, and the form fields it never names."""
    rows = [Row(path, None, True) for path in dict.fromkeys(_paths(_message(result)))]
    rows += [Row(None, field_of(finding.path or "") or None, False, finding.de, finding.en) for finding in result.findings]
    named = set(re.findall(rb"[A-Za-z_][\w.-]*", source))
    unnamed = dict.fromkeys(f"{value.group}/{value.name}" for value in values(root) if value.name.encode() not in named)
    return rows + [Row(None, name, False, "kommt im XSLT nicht vor", "is not named in the XSLT") for name in unnamed]


def _lines(plan: Plan) -> Iterable[tuple[tuple[Block, ...], Leaf]]:
    """As a reader of the table counts them: the many parts of a file are one line."""
    seen = set[int]()
    for blocks, leaf in every_leaf(plan.entries):
        if blocks and blocks[-1].over is Over.FILES:
            if id(blocks[-1]) not in seen:
                seen.add(id(blocks[-1]))
                yield blocks[:-1], Leaf(blocks[-1].to, blocks[-1].where, blocks[-1].sources)
        else:
            yield blocks, leaf


def _left_behind(table: Table, plan: Plan, root: etree._Element) -> list[Row]:
    """Fields that hold something and that no line takes. A condition counts as taking: its field decides something."""
    everywhere, first_only = set[str](), set[str]()
    for name, every in _taken(plan):
        (everywhere if every else first_only).add(name)
    lowest = _lowest_instances(root)
    rows = dict[str, Row]()
    for value in values(root):
        name = f"{value.group}/{value.name}"
        if name in everywhere or any(fnmatchcase(name, pattern) for pattern in table.ignore):
            continue
        if name in first_only and value.instance == lowest.get(value.group):
            continue
        rows.setdefault(name, Row(None, name, False, *_why_left(value, name in first_only)))
    for name in ("postfachHandleId", "pdfApplicantFormBase64"):
        if metadata(root, name) and f"@{name}" not in everywhere | first_only and f"@{name}" not in table.ignore:
            rows[name] = Row(None, f"@{name}", False, "wird nicht übernommen", "is left behind")
    return list(rows.values())


def _taken(plan: Plan) -> Iterable[tuple[str, bool]]:
    """Form fields that lines and conditions read, and whether of every instance or only of the first."""
    for blocks, leaf in every_leaf(plan.entries):
        for source in (*leaf.sources, *(condition.source for condition in leaf.when)):
            yield _with_group(source, blocks), not source.group
        for n, block in enumerate(blocks):
            for condition in block.when:
                yield _with_group(condition.source, blocks[:n + 1]), not condition.source.group
            for source in block.sources if block.over is not Over.INSTANCES else ():
                yield _with_group(source, blocks[:n]), block.over is Over.FILES or not source.group


def _why_left(value: FormValue, first_only: bool) -> tuple[str, str]:
    if first_only:
        return "nur die erste Angabe wird übernommen, das Formular hat mehrere", "only the first is taken, the form has several"
    if not all(map(is_id, (value.group, value.name))) or not is_instance(value.instance):
        return "so kann kein Formularfeld heißen; wird nicht übernommen", "no form field can be called so; is left behind"
    return "wird nicht übernommen", "is left behind"


def _missed(plan: Plan, steps: list[str], message: etree._Element | None) -> bool:
    """Whether the message is not whole without it: required, and so is every part around it that is not there either."""
    for n in range(len(steps), 0, -1):
        shape = plan.root.shape.at(*steps[:n]) if plan.root.shape is not None else None
        if shape is None or not shape.required:
            return False
        if n == 1 or _holds(message, steps[:n - 1]):
            return True
    return False


def _why_empty(leaf: Leaf, *, given: bool, missed: bool) -> tuple[str, str]:
    if given:
        return "ausgefüllt, aber eine Bedingung trifft nicht zu", "given, but a condition does not hold"
    if missed:
        return "Pflichtfeld, im Formular leer", "required, empty in the form"
    return ("im Formular leer", "empty in the form") if leaf.sources else ("", "")


def _with_group(source: Source, blocks: tuple[Block, ...]) -> str:
    """A name inside a block, seen from outside: "hunde/rufname"; of a file or value, the field it stands in."""
    if source.group or not blocks:
        return str(source)
    block = blocks[-1]
    if block.over is Over.INSTANCES:
        return f"{block.sources[0].group}/{source.field}"
    return " oder ".join(_with_group(outer, blocks[:-1]) for outer in block.sources) or str(source)


def _given(name: str, root: etree._Element, found: list[str]) -> bool:
    if name.startswith("@"):
        return metadata(root, name[1:]) is not None
    return any(part in found for part in name.split(" oder "))


def _lowest_instances(root: etree._Element) -> dict[str, str]:
    holder = fields_of(root)
    return {
        str(group.tag): min((str(instance.tag) for instance in group), key=instance_number, default="")
        for group in (holder if holder is not None else ())
    }


def _message(result: Result) -> etree._Element | None:
    return etree.fromstring(result.body, etree.XMLParser(huge_tree=True, resolve_entities=False)) if result.body else None


def _holds(node: etree._Element | None, path: list[str]) -> bool:
    if node is None:
        return False
    if not path:
        return any(text.strip() for text in node.itertext())
    return any(_holds(child, path[1:]) for child in node if etree.QName(child).localname == path[0])


def _paths(node: etree._Element | None, above: str = "") -> Iterable[str]:
    for child in node if node is not None else ():
        path = f"{above}{etree.QName(child).localname}"
        if len(child):
            yield from _paths(child, f"{path}/")
        else:
            yield path
