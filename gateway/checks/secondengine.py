"""The same schema by xmlschema: slow and without limits of its own, but it knows the type and the position of everything.

Never in the gateway's own process: an element of 20 MB costs it gigabytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lxml import etree

from gateway.packages.schemafiles import XS, SchemaFiles

if TYPE_CHECKING:
    import xmlschema

_XSD: Final = XS[1:-1]


def write_texts(files: SchemaFiles, folder: Path) -> None:
    """As ``compiled_from`` reads them."""
    for key, text in files.texts.items():
        (folder / key).write_bytes(_without_doctype(text))


def compiled_from(folder: Path, entry: tuple[str, ...], namespace: str) -> xmlschema.XMLSchema10:
    """Opens nothing outside ``folder``. Raises ``xmlschema.XMLSchemaException``, what the engine stumbles over, and its warning
    when a file cannot be included or imported: it would go on without."""
    import xmlschema  # 30 MB that only a child process needs

    wrapper = etree.Element(XS + "schema", {"targetNamespace": namespace} if namespace else {}, nsmap={"xs": _XSD})
    for key in entry:
        etree.SubElement(wrapper, XS + "include", schemaLocation=key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", xmlschema.XMLSchemaIncludeWarning)
        warnings.simplefilter("error", xmlschema.XMLSchemaImportWarning)
        return xmlschema.XMLSchema10(
            etree.tostring(wrapper, encoding="unicode"), base_url=str(folder), allow="sandbox", defuse="always",
            validation="strict",
        )


def prefixed(name: str, prefixes: Mapping[str, str]) -> str:
    """"{namespace}local" as a person writes it."""
    namespace, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
    if namespace == _XSD:
        return f"xs:{local}"
    prefix = prefixes.get(namespace)
    return f"{prefix}:{local}" if prefix else local


def _without_doctype(text: bytes) -> bytes:
    """xmlschema takes no DOCTYPE at all; the few plain entities of the W3C's own schema are put in their place."""
    if b"<!DOCTYPE" not in text:
        return text
    parser = etree.XMLParser(
        resolve_entities="internal", no_network=True, load_dtd=False, huge_tree=False,  # type: ignore[arg-type]
    )
    return etree.tostring(etree.fromstring(text, parser), encoding="utf-8")
