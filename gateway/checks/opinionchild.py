"""The child process of ``opinion``: asks xmlschema what it thinks of a document that libxml2 has refused.

Large base64 is blanked first, because this engine has no limits; the answer holds places and names of the schema only.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lxml import etree

from gateway.checks.childprocess import Recent, answer_questions
from gateway.checks.secondengine import compiled_from, prefixed
from gateway.document import read_again
from gateway.packages.declarations import Declarations
from gateway.xml.nodes import Paths

MOST_BYTES: Final = 1024 * 1024
SCHEMAS_KEPT: Final = 8
_MOST_ERRORS: Final = 50
_BLANK_ABOVE: Final = 4096
_MEMORY: Final = 1536 * 1024 * 1024


class _Second:
    def __init__(self) -> None:
        self._schemas: Recent[tuple[Any, Declarations]] = Recent(SCHEMAS_KEPT)

    def answer(self, question: bytes) -> bytes:
        digest, made_of, body = pickle.loads(question)  # noqa: S301  written by our own parent
        known = self._schemas.get(digest)
        if known is None:
            folder, entry, namespace, declared = made_of
            known = (compiled_from(Path(folder), entry, namespace), declared)
            self._schemas.put(digest, known)
        schema, declared = known
        return json.dumps(_opinion(schema, declared, body) if body else {}).encode()


def _opinion(schema: Any, declared: Declarations, body: bytes) -> dict[str, Any]:
    """looked: whether it was asked at all. whole: it saw every value."""
    root = read_again(body).root
    blanked = _blank(root, declared)
    if len(body) - blanked > MOST_BYTES:
        return {"looked": False, "errors": []}
    paths = Paths(declared.names)
    types: dict[etree._Element, Any] = {}

    def note(node: etree._Element, declaration: Any) -> bool:
        types[node] = declaration.type
        return False

    errors = islice(schema.iter_errors(root, validation_hook=note), _MOST_ERRORS)
    said = [_said(error, types.get(error.elem), paths, declared) for error in errors]
    return {"looked": True, "whole": not blanked, "errors": said}


def _blank(root: etree._Element, declared: Declarations) -> int:
    """How many bytes were taken out of values that the schema knows as base64."""
    blanked = 0
    for tag in {element for element, attribute in declared.base64 if not attribute}:
        for node in root.iter(tag):
            if node.text and len(node.text) > _BLANK_ABOVE:
                blanked += len(node.text)
                node.text = "AAAA"
    return blanked


def _said(error: Any, declared_type: Any, paths: Paths, declared: Declarations) -> dict[str, Any]:
    """type: of the element. inner: of what objected, an attribute's for one."""
    prefixes = declared.names.prefixes
    node = error.elem
    inner = _type_of(islice(_around(error.validator), 8), prefixes)
    said: dict[str, Any] = {"at": None, "type": _type_of([declared_type], prefixes) or inner, "inner": inner}
    if not isinstance(node, etree._Element):
        return said
    said["at"] = paths.of(node)
    index = getattr(error, "index", None)
    if index is not None:
        names = (prefixed(str(one.name), prefixes) for one in error.expected or () if getattr(one, "name", None))
        said |= {"children": index, "holder": paths.name(node), "expected": list(dict.fromkeys(names))[:20]}
        if index < len(node):
            said |= {"unexpected": paths.name(node[index]), "child": paths.of(node[index])}
    return said


def _type_of(among: Iterable[Any], prefixes: Mapping[str, str]) -> list[str]:
    """The first of them that is a type with a name, then what that is made from."""
    named = next((one for one in among if _is_type(one) and one.name), None)
    if named is None:
        return []
    chain = [prefixed(str(named.name), prefixes)]
    if chain[0].startswith("xs:"):
        return chain
    base = getattr(named, "primitive_type", None) or getattr(named, "root_type", None)
    if base is not None and base.name and base.name != named.name and not str(base.name).endswith(("anyType", "anySimpleType")):
        chain.append(prefixed(str(base.name), prefixes))
    return chain


def _around(validator: Any) -> Iterator[Any]:
    while validator is not None:
        yield validator
        kind = getattr(validator, "type", None)
        if kind is not None:
            yield kind
        validator = getattr(validator, "parent", None)


def _is_type(one: Any) -> bool:
    return hasattr(one, "is_simple") and hasattr(one, "name")


if __name__ == "__main__":
    answer_questions(_Second().answer, deadline=float(sys.argv[1]), memory=_MEMORY)
