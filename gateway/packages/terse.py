"""The terse twin of a schema: the same language, in which a wrong code is reported without reciting the whole list.

``<restriction><enumeration/>…`` becomes a union with that restriction as its only member, under a name, so that libxml2
says "is not a valid value of the union type 'x'" and the list can be looked up. Only types that nothing else is derived
from are touched; see ``compiled`` for what the twin may decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lxml import etree

from gateway.packages.schemafiles import XS, SchemaFiles

LONG: Final = 8


def terse_texts(files: SchemaFiles) -> tuple[Mapping[str, bytes], Mapping[str, tuple[str, ...]]]:
    """The rewritten texts by key, and for each wrapped type "{namespace}name" its values."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    roots = {key: etree.fromstring(text, parser) for key, text in files.texts.items()}
    untouchable = {name for root in roots.values() for name in _derived_from(root)}
    codes: dict[str, tuple[str, ...]] = {}
    for root in roots.values():
        for simple in list(root.iter(XS + "simpleType")):
            _wrap(root, simple, untouchable, codes)
    return {key: etree.tostring(root) for key, root in roots.items()}, codes


def _derived_from(root: etree._Element) -> set[str]:
    """Local names of types that are a base or a part of another, or whose places have a fixed or default value."""
    found: set[str] = set()
    for node in root.iter(XS + "restriction", XS + "union", XS + "list", XS + "element", XS + "attribute"):
        names = [node.get("base"), node.get("itemType"), *str(node.get("memberTypes", "")).split()]
        if node.get("fixed") is not None or node.get("default") is not None:
            names.append(node.get("type"))
        found.update(str(name).rpartition(":")[2] for name in names if name)
    return found


def _wrap(
    root: etree._Element, simple: etree._Element, untouchable: set[str], codes: dict[str, tuple[str, ...]]
) -> None:
    restriction, owner = simple.find(XS + "restriction"), simple.getparent()
    if restriction is None or owner is None:
        return
    values = tuple(str(value.get("value", "")) for value in restriction.iterchildren(XS + "enumeration"))
    others = [child for child in restriction.iterchildren(etree.Element) if child.tag != XS + "enumeration"]
    if len(values) < LONG or any(child.tag != XS + "annotation" for child in others):
        return
    namespace = str(root.get("targetNamespace", ""))
    if owner is root:
        name = str(simple.get("name"))
        if name in untouchable:
            return
    elif owner.tag in (XS + "element", XS + "attribute") and owner.get("fixed") is None and owner.get("default") is None:
        prefix = next((p for p, uri in root.nsmap.items() if uri == namespace and p), None)
        if prefix is None:
            return
        name = f"nahtlos-codes-{len(codes)}"
        simple.set("name", name)
        owner.remove(simple)
        owner.set("type", f"{prefix}:{name}")
        root.append(simple)
    else:
        return
    union = etree.SubElement(simple, XS + "union")
    etree.SubElement(union, XS + "simpleType").append(restriction)
    codes[f"{{{namespace}}}{name}"] = values
