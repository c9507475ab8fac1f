"""Portal form XML of the SEITENBAU family (service-bw, Amt24): what it looks like, and what it says of itself.

It has no namespace and no schema. ``serviceportal`` holds ``metadata`` (since 2025-06, children in any order) and
``serviceportal-fields``; before, and where the process leaves metadata out, ``serviceportal-fields`` is the root.
Below: group / ``instance_N`` / field. Source: the published form dumper of the platform (serviceportale-commons).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lxml import etree

if TYPE_CHECKING:
    from gateway.document import Document

ROOTS = ("serviceportal", "serviceportal-fields")
FIELDS = "serviceportal-fields"
LIST_VALUE = "selectedValue"
FILE_PARTS = ("base64Data", "mimetype", "filename")

_ID = re.compile(r"(?!(?i:xml))[A-Za-z_][\w.-]*", re.ASCII)
_INSTANCE = re.compile(r"instance_([0-9]{1,9})")
_FORM_ID = re.compile(r"(?P<tenant>[^:]*):(?P<name>.+?)(?::v(?P<version>[0-9][\w.]*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PortalForm:
    """What a form says of itself; everything is ``None`` without metadata.

    form_id: whole, "6000357:Musterlandkreis_Hundesteuer:v1.0"; its parts are tenant, form_name, version ("1.0").
    creation_date: as written. has_handle: there is a ``postfachHandleId``; the handle itself is personal and not here.
    """

    form_id: str | None
    tenant: str | None
    form_name: str | None
    version: str | None
    creation_date: str | None
    has_handle: bool


@dataclass(frozen=True, slots=True)
class FormValue:
    """One field of one instance that holds something. place: "hunde/instance_1/rufname", as in the file."""

    group: str
    instance: str
    name: str
    element: etree._Element = field(repr=False, compare=False)

    @property
    def place(self) -> str:
        return f"{self.group}/{self.instance}/{self.name}"


def recognise(document: Document) -> PortalForm | None:
    """``None`` when this is no portal form. Reads nothing but the root's name and the metadata."""
    return recognise_root(document.root)


def recognise_root(root: etree._Element) -> PortalForm | None:
    if root.tag not in ROOTS:
        return None
    form_id = metadata(root, "formId")
    parts = _FORM_ID.fullmatch(form_id) if form_id else None
    return PortalForm(
        form_id=form_id,
        tenant=parts["tenant"] or None if parts else None,
        form_name=parts["name"] if parts else form_id,
        version=parts["version"] if parts else None,
        creation_date=metadata(root, "creationDate"),
        has_handle=metadata(root, "postfachHandleId") is not None,
    )


def metadata(root: etree._Element, name: str) -> str | None:
    """An entry of the metadata, without outer blanks; ``None`` when absent or empty."""
    text = root.findtext(f"metadata/{name}") if root.tag == "serviceportal" else None
    return (text or "").strip() or None


def fields_of(root: etree._Element) -> etree._Element | None:
    """The element that holds the groups."""
    return root if root.tag == FIELDS else root.find(FIELDS)


def values(root: etree._Element) -> Iterator[FormValue]:
    """Every field that holds something, instances in the order of their numbers; what is no group/instance_N/field
    appears with what there is as ``place``, so that nothing is left behind unseen."""
    holder = fields_of(root)
    for group in holder if holder is not None else ():
        for instance in sorted(group, key=lambda element: instance_number(str(element.tag))):
            for value in instance:
                if not is_empty(value):
                    yield FormValue(str(group.tag), str(instance.tag), str(value.tag), value)
            if not len(instance) and not is_empty(instance):
                yield FormValue(str(group.tag), str(instance.tag), "", instance)


def instance_number(tag: str) -> int:
    """7 for "instance_7"; a name that is none sorts last."""
    match = _INSTANCE.fullmatch(tag)
    return int(match[1]) if match else 10**9


def is_instance(tag: str) -> bool:
    return _INSTANCE.fullmatch(tag) is not None


def is_id(name: str) -> bool:
    """Whether the portal can have produced this group or field name; the portal's process dies on any other."""
    return _ID.fullmatch(name) is not None


def is_empty(element: etree._Element) -> bool:
    """Empty and absent are one: not given. A list or a file with only empty parts is empty."""
    return not any(text.strip() for text in element.itertext())


def fits(form: PortalForm, pattern: str, *, versions: str = "") -> bool:
    """Whether a binding speaks of this form. pattern: of the whole formId without its version, or with it, ``*`` stands
    for anything; versions: bounds that must all hold, ">=1.0,<2", "" for any."""
    if form.form_id is None:
        return False
    bare = form.form_id.removesuffix(f":v{form.version}") if form.version else form.form_id
    if not (fnmatchcase(form.form_id, _only_stars(pattern)) or fnmatchcase(bare, _only_stars(pattern))):
        return False
    return not versions or (form.version is not None and in_range(form.version, versions))


def in_range(version: str, bounds: str) -> bool:
    """Dotted numbers compare as numbers: 1.10 comes after 1.9. Raises ``ValueError`` for bounds that are none."""
    have = _numbers(version)
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        match = re.fullmatch(r"(>=|<=|==|!=|>|<)?\s*([0-9]+(?:\.[0-9]+)*)", bound)
        if match is None:
            raise ValueError(f"not a version bound: {bound}")
        want, width = _numbers(match[2]), max(len(have), len(_numbers(match[2])))
        left, right = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
        if not {">=": left >= right, "<=": left <= right, "==": left == right, "!=": left != right,
                ">": left > right, "<": left < right}[match[1] or "=="]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", version))


def _only_stars(pattern: str) -> str:
    return pattern.replace("[", "[[]").replace("?", "[?]")
